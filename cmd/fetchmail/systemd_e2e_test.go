package main_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
)

// TestSystemdIsToldHowTheDaemonIs is a service manager: it hears of the start, each round, a reload, signs of life, a
// process that hangs, and the end; sd_notify(3).
func TestSystemdIsToldHowTheDaemonIs(t *testing.T) {
	server := mailtest.NewPOP3()
	start(t, server)
	c := newClient(t, binary(t))
	path := filepath.Join(c.home, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var heard []string
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := socket.Read(b)
			if err != nil {
				return
			}
			mu.Lock()
			heard = append(heard, string(b[:n]))
			mu.Unlock()
		}
	}()
	count := func(pattern string) (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, h := range heard {
			if regexp.MustCompile(pattern).MatchString(h) {
				n++
			}
		}
		return n
	}
	hears := func(pattern string, n int) {
		t.Helper()
		await(t, pattern, func() bool { return count(pattern) >= n })
	}
	c.env = []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=400000"}
	rc := "poll localhost proto pop3 port " + server.Port() + " user alice password secret is x here sslproto '' maildir \"~/Maildir\"\n" +
		"poll localhost proto pop3 port " + server.Port() + " user alice password wrong is x here sslproto '' maildir \"~/Maildir\"\n"
	c.rc(t, rc)
	r := c.start(t, "-d", "3600", "-N")
	hears("^READY=1$", 1)
	hears(`^STATUS=2 polled, next poll at \d\d:\d\d:\d\d; 1 failing$`, 1)
	hears("^WATCHDOG=1$", 5)

	c.rc(t, rc+"# changed\n")
	r.signal(syscall.SIGUSR1)
	hears(`^RELOADING=1\nMONOTONIC_USEC=\d+\n?$`, 1)
	hears("^READY=1$", 2)
	hears("^STATUS=polling$", 1)
	hears("^STATUS=2 polled", 2)

	// A process that does not get on is silent.
	r.signal(syscall.SIGSTOP)
	before := 0
	await(t, "a second without a sign of life", func() bool {
		before = count("^WATCHDOG=1$")
		time.Sleep(time.Second)
		return count("^WATCHDOG=1$") == before
	})
	r.signal(syscall.SIGCONT)
	hears("^WATCHDOG=1$", before+2)

	r.quit(t)
	hears("^STOPPING=1$", 1)
	mu.Lock()
	defer mu.Unlock()
	if i := slices.IndexFunc(heard, func(s string) bool { return strings.HasPrefix(s, "READY") }); i > 2 {
		t.Errorf("ready late: %q", heard[:i+1])
	}
}

// TestUnitsTellACrashFromAnEnd is about the exit status of a program whose runtime gives up, as it does here because it
// may not have threads: 2, as that of a poll without a connection, after which systemd would not start it again.
func TestUnitsTellACrashFromAnEnd(t *testing.T) {
	for _, name := range []string{"fetchmail.service", "user/fetchmail.service"} {
		unit, err := os.ReadFile(filepath.Join("../../contrib/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, "/bin/bash")
		var success []string
		for line := range strings.Lines(string(unit)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch {
			case key == "SuccessExitStatus":
				success = strings.Fields(value)
			case key == "Environment" && !strings.HasPrefix(value, "HOME="):
				c.env = append(c.env, value)
			}
		}
		r := c.run(t, "-c", "ulimit -c 0 -u 1; exec "+binary(t)+" --version")
		if !strings.Contains(r.stderr, "fatal error: newosproc") || slices.Contains(success, strconv.Itoa(r.code)) {
			t.Errorf("%s has %q for success: %s", name, success, r)
		}
	}
}
