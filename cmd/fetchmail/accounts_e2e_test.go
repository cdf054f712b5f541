package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

// accounts are whole run control files, with other files of the home; each is run twice. The mailboxes of user1, user5
// and user7 hold the letters.
var accounts = []struct {
	name, rc string
	files    map[string]string
}{
	{name: "three users at two servers", rc: `
set postmaster "user1"
set bouncemail

defaults
     sslproto '' smtphost localhost/@SMTP@

poll localhost proto pop3 port @POP3@
     user 'user1' there with password 'secret' is user1 here
poll 127.0.0.1 proto imap port @IMAP@
     user 'user5' there with password 'secret2' is user2 here
     user 'user7' there with password 'secret3' is user2 here
`},
	{name: "one of them fails", rc: `
defaults proto pop3 sslproto '' smtphost localhost/@SMTP@
poll localhost port @POP3@ user user1 password secret is user1 here
poll localhost port 1 user user5 password secret2 is user1 here
poll 127.0.0.1 port @POP3@ user user7 password wrong is user1 here
`},
	{name: "only the last fails", rc: `
defaults proto imap sslproto '' smtphost localhost/@SMTP@
skip localhost port @IMAP@ user user1 password secret is user1 here
poll 127.0.0.1 port @IMAP@ user user7 password wrong is user1 here
`},
	{name: "labels", rc: `
poll inbox via localhost proto imap port @IMAP@ user user1 password secret is user1 here sslproto '' smtphost localhost/@SMTP@
poll other via localhost proto imap port @IMAP@ user user5 password secret2 is user2 here sslproto '' smtphost localhost/@SMTP@ keep
`},
	{name: "a password from .netrc", files: map[string]string{".netrc": "machine other login user1 password wrong\n" +
		"machine localhost\n\tlogin user1\n\tpassword secret\n"}, rc: `
poll localhost proto imap port @IMAP@ user user1 is user1 here sslproto '' smtphost localhost/@SMTP@
`},
	{name: "auto", rc: `
poll localhost proto auto port @IMAP@ user user1 password secret is user1 here sslproto '' smtphost localhost/@SMTP@
`},
	{name: "multidrop", rc: `
set postmaster user2
poll localhost proto imap port @IMAP@ no dns envelope "X-Original-To" aka mail.example.test
     user user1 password secret to alice=user3 eve=user4 here sslproto '' smtphost localhost/@SMTP@
`},
	{name: "STLS from a server that is not trusted", rc: `
poll localhost proto pop3 port @POP3@ user user1 password secret is user1 here smtphost localhost/@SMTP@
`},
	{name: "ssl with a name that is not in the certificate", rc: `
poll mail.test via 127.0.0.2 proto imap port @IMAPS@ user user1 password secret is user1 here ssl sslcertfile @CA@ smtphost localhost/@SMTP@
`},
	{name: "cram-md5 that is not offered", rc: `
poll localhost proto imap port @IMAP@ auth cram-md5 user user1 password secret is user1 here sslproto '' smtphost localhost/@SMTP@
`},
}

func TestAccountsEqualTheReference(t *testing.T) {
	t.Parallel()
	reference := real.Reference(t)
	p := newPlace(t, real.DovecotOptions{Users: map[string]string{"user1": "secret", "user5": "secret2", "user7": "secret3"}}, real.PostfixOptions{})
	for _, a := range accounts {
		t.Run(a.name, func(t *testing.T) {
			ours := twice(t, p, binary(t), a.rc, a.files)
			if theirs := twice(t, p, reference, a.rc, a.files); ours != theirs {
				t.Errorf("the reference (-) and ours (+):\n%s", diff(theirs, ours))
			}
		})
	}
}

// twice returns the account of two runs: statuses, words, what is left on the server and what came.
func twice(t *testing.T, p *place, bin, rc string, files map[string]string) string {
	t.Helper()
	var account strings.Builder
	for user := range p.Dovecot.Users {
		p.Dovecot.Empty(t, user, "")
		p.Dovecot.Put(t, user, "", real.Texts(letters...)...)
	}
	for _, user := range p.Postfix.Users {
		p.Postfix.Empty(t, user)
	}
	c := newClient(t, bin)
	c.rc(t, p.fill(rc))
	for name, text := range files {
		c.write(t, name, text)
	}
	for range 2 {
		r := c.run(t)
		fmt.Fprintf(&account, "exit %d\n%s%s\nleft:", r.code, r.stdout, mainError(r.stderr))
		for _, user := range []string{"user1", "user5", "user7"} {
			fmt.Fprintf(&account, " %d", p.Dovecot.Count(t, user, ""))
		}
		account.WriteString("\n")
	}
	var came []string
	for _, user := range p.Postfix.Users {
		for _, m := range p.Postfix.Mail(t, user) {
			came = append(came, user+" got:\n"+clean(string(m.Text)))
		}
	}
	slices.Sort(came)
	return account.String() + strings.Join(came, "\n----\n")
}
