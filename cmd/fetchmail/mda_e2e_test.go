package main_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

// TestDeliveryProgramOfRoot holds fetchmail(1), --mda: root's programs run as the user that FETCHMAILUSER names.
func TestDeliveryProgramOfRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	p := &place{Dovecot: real.StartDovecot(t, real.DovecotOptions{})}
	name, uid, gid := real.Account(t)
	for _, c := range []struct {
		env  []string
		want string // user, group and other groups
	}{
		{nil, "0 0 0"},
		{[]string{"FETCHMAILUSER=" + name}, fmt.Sprint(uid, gid, gid)},
		{[]string{"FETCHMAILUSER=nobody-of-that-name"}, "0 0 0"},
	} {
		p.Dovecot.Empty(t, "alice", "")
		p.Dovecot.Put(t, "alice", "", real.Texts(letters[0])...)
		client := newClient(t, binary(t))
		client.user, client.uid, client.gid, client.env = "root", 0, 0, c.env
		client.rc(t, fmt.Sprintf("poll localhost proto imap port %d\n user alice there with password secret is user1 here sslproto ''\n"+
			` mda "cat >/dev/null; echo as $(id -u) $(id -g) $(id -G)."`+"\n", p.IMAP))
		r := client.run(t, "--pidfile", client.home+"/pid")
		if r.code != 0 || p.left(t) != 0 || !strings.Contains(r.stdout, "as "+c.want+".") {
			t.Errorf("%q: %d left, want %q: %s", c.env, p.left(t), c.want, r)
		}
	}
}

// TestVerdictsOfDeliveryPrograms has programs that fail in each way: the message stays, and the next account is served.
func TestVerdictsOfDeliveryPrograms(t *testing.T) {
	p := &place{Dovecot: real.StartDovecot(t, real.DovecotOptions{})}
	for _, c := range []struct{ option, words string }{
		{`mda "cat >/dev/null; exit 75"`, "MDA returned nonzero status 75"},
		{`mda "cat >/dev/null; exit 67"`, "MDA returned nonzero status 67"},
		{`mda "cat >/dev/null; kill -9 $$"`, "MDA died of signal 9"},
		{`mda "sleep 60; cat" mdatimeout 1`, "MDA took too long and was killed"},
		{`mda "/nonexistent/program"`, "MDA returned nonzero status 127"},
	} {
		p.Dovecot.Empty(t, "alice", "")
		p.Dovecot.Empty(t, "bob", "")
		p.Dovecot.Put(t, "alice", "", real.Texts(letters[0])...)
		p.Dovecot.Put(t, "bob", "", real.Texts(letters[0])...)
		client := newClient(t, binary(t))
		client.rc(t, strings.ReplaceAll(fmt.Sprintf("set no bouncemail\npoll localhost proto imap port %d\n user alice there with password secret is user1 here sslproto '' %s"+
			"\n user bob there with password secret2 is user2 here sslproto '' mda \"cat >@DIR@/bob\"\n", p.IMAP, c.option), "@DIR@", client.home))
		r := client.run(t)
		if r.code != 0 || p.left(t) != 1 || !strings.Contains(r.stderr, c.words) {
			t.Errorf("%s: %d left: %s", c.option, p.left(t), r)
		}
		if got := client.read(t, "bob"); !strings.HasSuffix(got, string(body(letters[0]))) {
			t.Errorf("%s: bob has got %q", c.option, got)
		}
	}
}
