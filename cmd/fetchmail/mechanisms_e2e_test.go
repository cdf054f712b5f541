package main_test

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols/mailtest/real"
)

// mechanisms are the values of auth with which the whole program logs in to a real Dovecot. The command that has to be
// seen in the dialogue is named as both protocols have it, behind AUTH and AUTHENTICATE.
var mechanisms = []struct {
	name string // of the test; the value of auth stands in front of the comma
	user string // further options of the user; "" is the password
	sent string
	need string // "ticket" or "keytab": of Kerberos
	bad  string // options of a user whom Dovecot refuses
	only string // protocol; "" is both
}{
	{name: "password", sent: "", bad: "password wrong"},
	{name: "apop", sent: "APOP", bad: "password wrong", only: "pop3"},
	{name: "any, with a ticket", sent: "GSSAPI", need: "ticket"},
	{name: "any, without a ticket", sent: "CRAM-MD5", bad: "password wrong", only: "imap"},
	{name: "any, without a ticket, POP3", sent: "NTLM", bad: "password wrong", only: "pop3"},
	{name: "plain", sent: "PLAIN", bad: "password wrong"},
	{name: "login", sent: "LOGIN", bad: "password wrong"},
	{name: "cram-md5", sent: "CRAM-MD5", bad: "password wrong"},
	{name: "scram", sent: "SCRAM-SHA-256", bad: "password wrong"},
	{name: "scram-sha-1", sent: "SCRAM-SHA-1", bad: "password wrong"},
	{name: "scram-sha-256", sent: "SCRAM-SHA-256", bad: "password wrong"},
	{name: "otp", sent: "OTP", bad: "password wrong"},
	{name: "ntlm", sent: "NTLM", bad: "password wrong"},
	{name: "external", user: "sslcert @CERT@ sslkey @KEY@", sent: "EXTERNAL", bad: " "},
	{name: "oauthbearer", user: "password @TOKEN@", sent: "OAUTHBEARER", bad: "password @OLD@"},
	{name: "xoauth2", user: "password @TOKEN@", sent: "OAUTHBEARER", bad: "password @OLD@"},
	{name: "gssapi, with a ticket", user: " ", sent: "GSSAPI", need: "ticket", bad: " "},
	{name: "gssapi, with a keytab", user: " ", sent: "GSSAPI", need: "keytab"},
	{name: "kerberos_v5", user: " ", sent: "GSSAPI", need: "ticket"},
}

var command = regexp.MustCompile(`> (?:A\d+ )?(?:AUTH |AUTHENTICATE )?([A-Z0-9-]+)`)

func TestEveryMechanismLogsInToDovecotAndARefusalIsStatus3(t *testing.T) {
	users := map[string]string{"alice": "secret", "bob": "secret2"}
	kdc := real.StartKDC(t, users)
	d := real.StartDovecot(t, real.DovecotOptions{Users: users, KDC: kdc, ClientCert: true, Mechanisms: strings.Fields(
		"plain login apop cram-md5 scram-sha-1 scram-sha-256 otp external oauthbearer xoauth2 gssapi ntlm")})
	cert, key := d.Client(t, "alice")
	fill := strings.NewReplacer("@CERT@", cert, "@KEY@", key, "@TOKEN@", d.Token(t, "alice", time.Hour), "@OLD@", d.Token(t, "alice", -time.Hour))
	cache, keytab := kdc.Ticket(t, "alice", "secret", time.Hour), kdc.ClientKeytab(t, "alice")
	for _, m := range mechanisms {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel() // Dovecot makes those wait who do not know the password
			for _, proto := range []string{"pop3", "imap"} {
				if m.only != "" && m.only != proto {
					continue
				}
				c := newClient(t, binary(t))
				none := []string{"KRB5_CONFIG=" + kdc.Config, "KRB5CCNAME=FILE:" + c.home + "/none", "KRB5_CLIENT_KTNAME=" + c.home + "/none"}
				c.env = none
				switch m.need {
				case "ticket":
					c.env = []string{none[0], "KRB5CCNAME=FILE:" + cache, none[2]}
				case "keytab":
					c.env = []string{none[0], none[1], "KRB5_CLIENT_KTNAME=FILE:" + keytab}
				}
				run := func(options string) result {
					auth, _, _ := strings.Cut(m.name, ",")
					port := map[string]int{"pop3": d.POP3S, "imap": d.IMAPS}[proto]
					c.rc(t, fill.Replace(fmt.Sprintf("poll localhost proto %s port %d auth %s timeout 30\n user alice ssl sslcertfile %s %s\n",
						proto, port, auth, d.CA, cmp.Or(options, "password secret"))))
					return c.run(t, "-c", "-v")
				}
				r := run(m.user)
				if r.code != 1 { // no mail
					t.Errorf("%s %s\n%s", proto, r, d.Log())
				}
				sent := cmp.Or(m.sent, map[string]string{"pop3": "PASS", "imap": "LOGIN"}[proto])
				if !slices.ContainsFunc(command.FindAllStringSubmatch(r.stdout, -1), func(w []string) bool { return w[1] == sent }) {
					t.Errorf("%s: %s was not used: %s", proto, sent, r)
				}
				if m.bad == "" {
					continue
				}
				c.env = none
				if r := run(m.bad); r.code != 3 || strings.Contains(r.stdout+r.stderr, "wrong") || strings.Contains(r.stdout+r.stderr, "eyJ") {
					t.Errorf("%s, refused: %s\n%s", proto, r, d.Log())
				}
			}
		})
	}
}

var loginCommand = regexp.MustCompile(`> (A\d+ )?(LOGIN|USER|AUTH|APOP)`)

// A server that knows us already, behind a plugin: Dovecot's own programs, as somebody who may log in to the machine by
// ssh starts them.
func TestPreauthenticatedServerBehindAPlugin(t *testing.T) {
	real.StartDovecot(t, real.DovecotOptions{}) // for the check that it is there
	for _, proto := range []string{"imap", "pop3"} {
		for _, auth := range []string{"ssh", "implicit"} {
			t.Run(proto+"/"+auth, func(t *testing.T) {
				c := newClient(t, binary(t))
				c.write(t, "dovecot.conf", "log_path = "+c.home+"/log\nbase_dir = "+c.home+"/run\nssl = no\nmail_location = maildir:~/box\nnamespace inbox {\n inbox = yes\n}\n")
				greeting := ""
				if proto == "pop3" { // its login process would give it
					greeting = "printf '+OK ready\\r\\n'; "
				}
				c.write(t, "serve", "#!/bin/sh\n"+greeting+"exec env -i USER=alice HOME="+c.home+" PATH=/usr/sbin:/usr/bin:/bin /usr/lib/dovecot/"+proto+" -c "+c.home+"/dovecot.conf\n")
				c.chmod(t, "serve", 0o700)
				for _, dir := range []string{"box", "box/cur", "box/new", "box/tmp"} {
					if err := os.Mkdir(c.home+"/"+dir, 0o700); err != nil {
						t.Fatal(err)
					}
					c.own(t, c.home+"/"+dir)
				}
				c.write(t, "box/new/1.x.y", "Subject: x\n\nbody\n")
				c.rc(t, fmt.Sprintf("poll localhost proto %s auth %s plugin %s/serve timeout 30\n user alice there is user1 here sslproto ''\n mda \"cat >%s/got\"\n",
					proto, auth, c.home, c.home))
				r := c.run(t, "-v")
				if r.code != 0 || !strings.HasSuffix(c.read(t, "got"), "\n\nbody\n") {
					t.Errorf("%s\n%s", r, c.read(t, "log"))
				}
				if loginCommand.MatchString(r.stdout) {
					t.Errorf("somebody who is known logs in: %s", r)
				}
			})
		}
	}
}
