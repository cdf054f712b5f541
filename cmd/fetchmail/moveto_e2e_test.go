package main_test

import (
	"fmt"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

func TestMoveToPutsMessagesIntoAnotherFolder(t *testing.T) {
	d := real.StartDovecot(t, real.DovecotOptions{})
	c := newClient(t, binary(t))
	rc := func(folder string) {
		c.rc(t, fmt.Sprintf("poll localhost proto imap port %d\n user alice there password secret is %s here sslproto ''\n moveto %q maildir \"~/Maildir\"\n", d.IMAP, c.user, folder))
	}
	d.Put(t, "alice", "", real.Texts(letters...)...)
	rc("nowhere")
	for range 2 {
		r := c.run(t)
		if want := `cannot move messages to folder "nowhere": NO [TRYCREATE]`; r.code != 7 || !strings.Contains(r.stderr, want) {
			t.Errorf("want exit 7 and %s: %s", want, r)
		}
		if n := d.Count(t, "alice", ""); n != len(letters) {
			t.Errorf("%d are left", n)
		}
	}

	d.Put(t, "alice", "Done", real.Texts([]byte("Subject: old\n\nold\n"))...)
	rc("Done")
	r := c.run(t) // what was delivered before is moved without being fetched again
	if left, moved := d.Count(t, "alice", ""), d.Count(t, "alice", "Done"); left != 0 || moved != len(letters)+1 {
		t.Errorf("%d left, %d in the other folder: %s", left, moved, r)
	}
	if n := len(real.ReadMaildir(t, c.home+"/Maildir")); n != len(letters) {
		t.Errorf("%d of %d messages have come", n, len(letters))
	}
}
