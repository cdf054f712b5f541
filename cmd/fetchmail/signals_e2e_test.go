package main_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// refusedRC is an account whose server answers nobody.
const refusedRC = "poll 127.0.0.1 proto imap port 1 user a password b\n"

// TestSignalsThatEndADaemon are those that end the reference in good order.
func TestSignalsThatEndADaemon(t *testing.T) {
	for _, bin := range []string{binary(t), real.Reference(t)} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGALRM} {
			c := newClient(t, bin)
			c.rc(t, refusedRC)
			r := c.start(t, "-N", "-d", "3600")
			await(t, "a poll", func() bool { return strings.Contains(c.read(t, "out"), "Query status=2") })
			r.signal(sig)
			<-r.done
			if out := c.read(t, "out"); !strings.Contains(out, "terminated with signal ") || c.read(t, ".fetchmail.pid") != "" {
				t.Errorf("%s, %v: %s", bin, sig, cut(out))
			}
		}
	}
}

// TestNobodyReadsTheOutput: a run whose words nobody hears any more does its work.
func TestNobodyReadsTheOutput(t *testing.T) {
	server := mailtest.NewPOP3([]byte("Subject: 1\r\n\r\none\r\n"), []byte("Subject: 2\r\n\r\ntwo\r\n"))
	start(t, server)
	c := newClient(t, binary(t))
	c.rc(t, "poll 127.0.0.1 proto pop3 port "+server.Port()+" user alice password secret sslproto '' mda \"cat >>mail\"\n")
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	defer out.Close()
	cmd := c.command(t.Context(), "-v", "-v")
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	if n := len(server.Left("alice")); n != 0 {
		t.Errorf("%d messages are still there", n)
	}
}

// TestReloadAndTheLog: a daemon in the background logs where the configuration in force says.
func TestReloadAndTheLog(t *testing.T) {
	c := newClient(t, binary(t))
	c.rc(t, "set daemon 3600\n"+refusedRC)
	if r := c.run(t); r.code != 0 {
		t.Fatal(r)
	}
	t.Cleanup(func() {
		c.rc(t, refusedRC) // with the one that cannot be used nothing is done
		if r := c.run(t, "--quit"); r.code != 0 {
			t.Error(r)
		}
	})
	stamp := time.Now()
	reload := func(head, tail string) {
		c.write(t, "new", "set daemon 3600\n"+head+strings.TrimSpace(refusedRC)+tail+"\n")
		// All at one time, as files are that follow each other closely.
		if err := os.Chtimes(filepath.Join(c.home, "new"), stamp, stamp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(c.home, "new"), filepath.Join(c.home, ".fetchmailrc")); err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(c.read(t, ".fetchmail.pid"), "\n")
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		syscall.Kill(pid, syscall.SIGUSR1)
	}
	logged := func(name, text string) func() bool {
		return func() bool { return strings.Contains(c.read(t, name), text) }
	}
	for _, name := range []string{"log1", "log2"} {
		c.write(t, name, "")
	}
	reload("set logfile \""+filepath.Join(c.home, "log1")+"\"\n", "")
	await(t, "a poll that is logged", logged("log1", "Query status=2"))
	reload("set syslog\n", "")
	await(t, "a remark that the log stays where it is", logged("log1", "changes when fetchmail is started anew"))
	reload("set logformat json set logfile \""+filepath.Join(c.home, "log2")+"\"\n", " onreject deadletter")
	await(t, "the refusal in the old log", logged("log1", "fetchmail: "+filepath.Join(c.home, ".fetchmailrc")+" changed and cannot be used"))
}

// TestDetachedDaemonThatCannotBegin: what keeps it from that is told where it is seen.
func TestDetachedDaemonThatCannotBegin(t *testing.T) {
	c := newClient(t, binary(t))
	c.rc(t, refusedRC)
	r := c.run(t, "-d", "3600", "--pidfile", filepath.Join(c.home, "none", "pid"))
	if r.code != 8 || !strings.Contains(r.stderr, "lock creation failed, pidfile") || strings.Contains(r.stderr, "has ended") {
		t.Error(r)
	}
}

// TestReloadMovesThePidfile: else a second call would not find the daemon, and begin another one.
func TestReloadMovesThePidfile(t *testing.T) {
	c := newClient(t, binary(t))
	rc := func(pidfile string) string {
		return "set daemon 3600 set pidfile \"" + filepath.Join(c.home, pidfile) + "\"\n" + refusedRC
	}
	c.rc(t, rc("a.pid"))
	r := c.start(t, "-N", "-f", ".fetchmailrc")
	await(t, "a poll", func() bool { return strings.Contains(c.read(t, "out"), "Query status=2") })
	before := c.read(t, "a.pid")
	c.rc(t, rc("b.pid"))
	r.signal(syscall.SIGUSR1)
	await(t, "the reload", func() bool {
		return strings.Contains(c.read(t, "out"), "restarting fetchmail ("+c.home+"/.fetchmailrc changed)")
	})
	if c.read(t, "a.pid") != "" || c.read(t, "a.status") != "" || c.read(t, "b.pid") != before || c.read(t, "b.status") == "" {
		t.Errorf("a.pid %q, a.status %q, b.pid %q, b.status %q", c.read(t, "a.pid"), c.read(t, "a.status"), c.read(t, "b.pid"), c.read(t, "b.status"))
	}
	if q := c.run(t, "--quit"); q.code != 0 {
		t.Error(q)
	}
	<-r.done
	if c.read(t, "b.pid") != "" || c.read(t, "b.status") != "" {
		t.Error("pidfile or status file are left")
	}
}
