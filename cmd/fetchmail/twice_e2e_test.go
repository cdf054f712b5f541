package main_test

import (
	"fmt"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

// Two entries of the rcfile name one folder, and one of them is watched: each message comes once all the same.
func TestAFolderThatIsWatchedAndPolledGivesEachMessageOnce(t *testing.T) {
	const messages = 20
	d := real.StartDovecot(t, real.DovecotOptions{})
	c := newClient(t, binary(t))
	entry := fmt.Sprintf("proto imap port %d user alice password secret is x here sslproto '' mda \"sleep 0.01; cat >>%s/all; echo x >>%[2]s/got\"", d.IMAP, c.home)
	c.rc(t, fmt.Sprintf("set daemon 1\npoll watched via localhost %s idle\npoll polled via localhost %[1]s\n", entry))
	var mails [][]byte
	for i := range messages {
		mails = append(mails, fmt.Appendf(nil, "Subject: %d\n\ntext\n", i))
	}
	d.Put(t, "alice", "", real.Texts(mails...)...)
	r := c.start(t, "-N")
	await(t, "the folder is empty", func() bool { return d.Count(t, "alice", "") == 0 })
	if code := r.quit(t); code != 0 {
		t.Errorf("exit %d", code)
	}
	if n := len(c.read(t, "got")) / 2; n != messages {
		t.Errorf("%d messages came out of %d", n, messages)
	}
}
