package main_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

// TestFilesThatCannotBeWritten has an account whose mail has nowhere to go: its mail stays, one line says why, and the
// account after it gets its mail. What is behind a message that is too large is not held up by it. Files may not grow
// beyond 64 KB, which stands for a disk that is full.
func TestFilesThatCannotBeWritten(t *testing.T) {
	p := &place{Dovecot: real.StartDovecot(t, real.DovecotOptions{})}
	big := real.Mail{Text: append([]byte("From: d@far.example.org\nSubject: big\n\n"), bytes.Repeat([]byte("a line of text\n"), 10000)...)}
	const before = "From x Fri Jan  3 10:01:00 2020\n\nold\n\n"
	for _, c := range []struct {
		name, option string
		words        string
	}{
		{"Maildir on a full disk", `maildir "@DIR@/full"`, "file too large"},
		{"mbox on a full disk", `mbox "@DIR@/mbox"`, "file too large"},
		{"BSMTP on a full disk", `bsmtp "@DIR@/mbox"`, "file too large"},
		{"BSMTP on a full device", `bsmtp "/dev/full"`, "no space left on device"},
		{"MDA without room for temporary files", `mda "cat >/dev/null"`, "file too large"},
		{"Maildir in a folder of root", `maildir "@DIR@/root/Maildir"`, "permission denied"},
		{"mbox in a folder of root", `mbox "@DIR@/root/mbox"`, "permission denied"},
		{"BSMTP in a folder of root", `bsmtp "@DIR@/root/batch"`, "Permission denied"},
		{"Maildir that is a file", `maildir "@DIR@/mbox"`, "not a directory"},
		{"mbox that is a folder", `mbox "@DIR@"`, "is a directory"},
		{"BSMTP that is a folder", `bsmtp "@DIR@"`, "Is a directory"},
		{"mbox behind a link that leads nowhere", `mbox "@DIR@/loop"`, "too many levels of symbolic links"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Contains(c.name, "root") && os.Getuid() != 0 {
				t.Skip("a folder of root needs root")
			}
			p.Dovecot.Empty(t, "alice", "")
			p.Dovecot.Empty(t, "bob", "")
			if strings.Contains(c.words, "file too large") {
				p.Dovecot.Put(t, "alice", "", append([]real.Mail{big}, real.Texts(letters...)...)...)
			} else {
				p.Dovecot.Put(t, "alice", "", real.Texts(letters[0])...)
			}
			p.Dovecot.Put(t, "bob", "", real.Texts(letters...)...)
			client := newClient(t, limited(t))
			client.write(t, "mbox", before)
			os.Symlink(client.home+"/loop", client.home+"/loop")
			os.Mkdir(client.home+"/root", 0o755)
			client.rc(t, strings.ReplaceAll(fmt.Sprintf("set no bouncemail\npoll localhost proto imap port %d\n user alice there with password secret is user1 here sslproto '' %s"+
				"\n user bob there with password secret2 is user2 here sslproto '' maildir \"@DIR@/bob\"\n", p.IMAP, c.option), "@DIR@", client.home))
			r := client.run(t)
			if r.code != 0 || p.left(t) != 1 || !strings.Contains(r.stderr, c.words) {
				t.Errorf("%d left: %s", p.left(t), r)
			}
			if n := len(real.ReadMaildir(t, client.home+"/bob")); n != len(letters) {
				t.Errorf("bob has got %d messages", n)
			}
			got := strings.TrimPrefix(client.read(t, "mbox"), before)
			mailbox := strings.Contains(c.option, "DIR@/mbox") && strings.Contains(c.words, "file too large")
			if strings.Contains(got, "a line of text") || mailbox != (strings.Count(got, "Subject:") == len(letters)) {
				t.Errorf("the file has %d octets more", len(got))
			}
			if half, _ := filepath.Glob(client.home + "/full/tmp/*"); len(half) > 0 {
				t.Errorf("left in the Maildir: %q", half)
			}
			if others, _ := filepath.Glob(client.home + "/.mbox*"); len(others) > 0 {
				t.Errorf("left beside the file: %q", others)
			}
		})
	}
}

// limited is the program under test with files of at most 64 KB.
func limited(t *testing.T) string {
	t.Helper()
	script := filepath.Join(real.Dir(t), "fetchmail")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nulimit -f 128\nexec "+binary(t)+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}
