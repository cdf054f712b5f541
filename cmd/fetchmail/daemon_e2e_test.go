package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

// TestDaemon goes through the life of a daemon in the background: start, wake-up by a second call, a broken and a good
// change of the rcfile, the end by --quit.
func TestDaemon(t *testing.T) {
	p := newPlace(t, real.DovecotOptions{}, real.PostfixOptions{})
	p.Dovecot.Empty(t, "alice", "")
	c := newClient(t, binary(t))
	rc := p.fill("set daemon 3600\nset logfile \"" + filepath.Join(c.home, "log") + "\"\n" +
		"poll localhost proto imap port @IMAP@\n user alice there with password secret is user1 here\n sslproto '' maildir \"~/Maildir\"\n")
	c.rc(t, rc)
	c.write(t, "log", "")
	if r := c.run(t); r.code != 0 || r.stderr != "" {
		t.Fatalf("start: %s", r)
	}
	t.Cleanup(func() { c.run(t, "--quit") })
	logged := func(s string) func() bool {
		return func() bool { return strings.Contains(c.read(t, "log"), s) }
	}
	await(t, "the daemon starts", logged("fetchmail: starting fetchmail "))
	pidfile := c.read(t, ".fetchmail.pid")
	var pid, interval int
	if _, err := fmt.Sscanf(pidfile, "%d\n%d\n", &pid, &interval); err != nil || interval != 3600 || syscall.Kill(pid, 0) != nil {
		t.Fatalf("pidfile %q: %v", pidfile, err)
	}
	arrived := func(n int) func() bool {
		return func() bool {
			new, _ := os.ReadDir(filepath.Join(c.home, "Maildir", "new"))
			return len(new) == n
		}
	}

	p.Dovecot.Put(t, "alice", "", real.Texts(letters[0])...)
	want := fmt.Sprintf("fetchmail: background fetchmail at %d awakened.\n", pid)
	if r := c.run(t); r.code != 0 || r.stderr != want {
		t.Fatalf("second call: %s\nwant %q", r, want)
	}
	await(t, "the first message", arrived(1))
	if r := c.run(t, "-k"); r.code != 8 || !strings.Contains(r.stderr, "can't accept options while a background fetchmail is running.") {
		t.Errorf("options beside a daemon: %s", r)
	}

	c.rc(t, "poll localhost protokoll imap\n")
	syscall.Kill(pid, syscall.SIGUSR1)
	await(t, "the broken rcfile is reported", logged("the old configuration stays in force"))
	p.Dovecot.Put(t, "alice", "", real.Texts(letters[1])...)
	syscall.Kill(pid, syscall.SIGUSR1)
	await(t, "the second message, by the old configuration", arrived(2))

	c.rc(t, rc+"# changed\n")
	p.Dovecot.Put(t, "alice", "", real.Texts(letters[2])...)
	syscall.Kill(pid, syscall.SIGUSR1)
	await(t, "the new rcfile is read", logged("restarting fetchmail ("))
	await(t, "the third message", arrived(3))

	want = fmt.Sprintf("fetchmail: background fetchmail at %d killed.\n", pid)
	if r := c.run(t, "--quit"); r.code != 0 || r.stderr != want {
		t.Errorf("quit: %s\nwant %q", r, want)
	}
	await(t, "the daemon is gone", func() bool { return syscall.Kill(pid, 0) != nil })
	if c.read(t, ".fetchmail.pid") != "" {
		t.Error("the pidfile is still there")
	}
	if log := c.read(t, "log"); !strings.HasSuffix(log, "fetchmail: terminated with signal 15\n") {
		t.Errorf("log: %s", log)
	}
}
