package main_test

import (
	"fmt"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest"
)

// TestRepeatedSecretsAreHidden is about servers that repeat the password when they refuse it: it is shown nowhere,
// however much of the dialogue and in whatever form.
func TestRepeatedSecretsAreHidden(t *testing.T) {
	t.Parallel()
	const password = "hunter2-hunter2"
	var entries []string
	entry := func(proto, port string) {
		entries = append(entries, fmt.Sprintf("poll 127.0.0.1 proto %s port %s timeout 20\n user alice there with password %s is user1 here\n sslproto '' maildir \"~/Maildir\"\n",
			proto, port, password))
	}
	for _, words := range []string{"bad password " + password, "[IN-USE] " + password, "lock busy " + password, "[SYS/TEMP] " + password,
		"service " + password + " unavailable"} {
		s := mailtest.NewPOP3()
		s.On("PASS", mailtest.POP3Reply("-ERR "+words))
		if err := s.Start(""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		entry("pop3", s.Port())
	}
	for _, answer := range []string{"TAG NO [INUSE] " + password, "TAG BAD lock " + password, "TAG NO [ALERT] " + password, "* BYE " + password,
		"* OK [ALERT] " + password + "\r\nTAG NO no"} {
		s := mailtest.NewIMAP()
		s.On("LOGIN|AUTHENTICATE", mailtest.IMAPReply(answer))
		if err := s.Start(""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		entry("imap", s.Port())
	}
	for _, e := range entries {
		c := newClient(t, binary(t))
		c.rc(t, e)
		for _, args := range [][]string{nil, {"-vvv"}, {"--logformat", "json"}, {"-vvv", "--logformat", "json"}} {
			if r := c.run(t, args...); r.code == 0 || strings.Contains(r.stdout+r.stderr, "hunter2") {
				t.Errorf("%v: %s", args, r)
			}
		}
	}
}
