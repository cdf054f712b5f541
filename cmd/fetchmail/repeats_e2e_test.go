package main_test

import (
	"encoding/base64"
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
		start(t, s)
		entry("pop3", s.Port())
	}
	for _, answer := range []string{"TAG NO [INUSE] " + password, "TAG BAD lock " + password, "TAG NO [ALERT] " + password, "* BYE " + password,
		"* OK [ALERT] " + password + "\r\nTAG NO no"} {
		s := mailtest.NewIMAP()
		s.On("LOGIN|AUTHENTICATE", mailtest.IMAPReply(answer))
		start(t, s)
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

// A secret that was sent within a longer word, quoted, or as a digest is hidden too, and so is one repeated after the login.
func TestSecretsRepeatedInAnotherFormAreHidden(t *testing.T) {
	t.Parallel()
	const password = `hunter2"grün-hunter2`
	bad := base64.StdEncoding.EncodeToString([]byte(`{"status":"401","token":"` + password + `"}`))
	entries := map[string]string{}
	entry := func(proto, auth, on, port string) {
		entries[proto+" "+auth+" "+on] = fmt.Sprintf("poll 127.0.0.1 proto %s port %s timeout 20 auth %s\n user alice there with password '%s' is user1 here\n sslproto '' maildir \"~/Maildir\"\n",
			proto, port, auth, password)
	}
	for _, tt := range []struct{ auth, mech, on, answer string }{
		{"plain", "PLAIN", "AUTH", "-ERR bad " + password},
		{"apop", "", "APOP", "-ERR bad " + password},
		{"oauthbearer", "XOAUTH2", "AUTH", "+ " + bad + "\r\n-ERR no"},
	} {
		s := mailtest.NewPOP3()
		s.Stamp = "<1896.697170952@mail.example.test>"
		s.Caps = append(s.Caps, "SASL "+tt.mech)
		s.On(tt.on, mailtest.POP3Reply(tt.answer))
		start(t, s)
		entry("pop3", tt.auth, tt.on, s.Port())
	}
	for _, tt := range []struct{ auth, on, answer string }{
		{"plain", "AUTHENTICATE", "TAG NO bad " + password},
		{"password", "LOGIN", "TAG NO bad " + password},
		{"oauthbearer", "AUTHENTICATE", "TAG NO bad " + password},
		{"xoauth2", "AUTHENTICATE", "+ " + bad + "\r\nTAG NO no"},
		{"password", "SELECT|EXAMINE", "* OK [ALERT] " + password + "\r\nTAG NO bad " + password},
		{"password", "CLOSE|SELECT", "* BYE " + password},
	} {
		s := mailtest.NewIMAP()
		s.Users["alice"] = password
		s.Caps = append(s.Caps, "AUTH=OAUTHBEARER")
		if tt.auth == "xoauth2" {
			s.Caps = append(s.Caps[:len(s.Caps)-1], "AUTH=XOAUTH2")
		}
		s.On(tt.on, mailtest.IMAPReply(tt.answer))
		start(t, s)
		entry("imap", tt.auth, tt.on, s.Port())
	}
	for name, e := range entries {
		c := newClient(t, binary(t))
		c.rc(t, e)
		for _, args := range [][]string{nil, {"-vvv"}} {
			r := c.run(t, args...)
			if all := r.stdout + r.stderr; r.code == 0 || strings.Contains(strings.ToLower(all), "hunter2") || strings.Contains(all, bad) {
				t.Errorf("%s %v: %s", name, args, r)
			}
		}
	}
}
