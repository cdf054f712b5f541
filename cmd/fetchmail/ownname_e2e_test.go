package main_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// TestOwnNameAsTheReference: what our machine is called, in greetings and Received lines, with hosts files of all kinds.
// Only upper case may differ.
func TestOwnNameAsTheReference(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root for namespaces")
	}
	reference, bin := real.Reference(t), binary(t)
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // for ever: the thread ends with the test
	if err := syscall.Unshare(syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS); err != nil {
		real.Missing(t, "no namespaces here: %v", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, line string }{
		{"vm", "127.0.1.1 vm.example.test vm"},
		{"vm", "127.0.1.1 vm vm.example.test"},
		{"vm", "127.0.1.1 other vm"},
		{"vm", "127.0.1.1 other vm vm.example.test"},
		{"vm", "127.0.1.1 VM.example.test vm\n::1 six.example.test vm"},
		{"vm", "::1 six vm\n127.0.1.1 vm.example.test vm"},
		{"vm", "127.0.0.1 localhost vm"},
		{"vm.example.test", "127.0.1.1 other vm.example.test"},
	} {
		if err := syscall.Sethostname([]byte(c.name)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n"+c.line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		theirs, ours := greets(t, reference), greets(t, bin)
		if !strings.EqualFold(theirs, ours) {
			t.Errorf("host name %s, hosts %q: reference %s, ours %s", c.name, c.line, theirs, ours)
		}
	}
}

// greets is how a program greets a listener, and the name in its Received line.
func greets(t *testing.T, bin string) string {
	t.Helper()
	box := mailtest.NewPOP3([]byte("From: a@far.example.org\r\n\r\ntext\r\n"))
	if err := box.Start(""); err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	sink, err := mailtest.StartSMTP(mailtest.SMTPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	c := newClient(t, bin)
	c.rc(t, "poll 127.0.0.1 proto POP3 port "+box.Port()+"\n user alice there with password secret is joe here\n"+
		" sslproto '' smtphost 127.0.0.1/"+sink.Port()+"\n")
	r := c.run(t, "-s")
	if len(sink.Mails()) != 1 {
		t.Fatal(r)
	}
	_, by, _ := strings.Cut(string(sink.Mails()[0].Text), "\tby ")
	by, _, _ = strings.Cut(by, " ")
	return sink.Sessions()[0][0] + " by " + by
}
