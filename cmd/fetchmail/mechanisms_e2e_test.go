package main_test

import (
	"cmp"
	"fmt"
	"regexp"
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
}{
	{name: "password", sent: "", bad: "password wrong"},
	{name: "any, with a ticket", sent: "GSSAPI", need: "ticket"},
	{name: "any, without a ticket", sent: "CRAM-MD5", bad: "password wrong"},
	{name: "plain", sent: "PLAIN", bad: "password wrong"},
	{name: "login", sent: "LOGIN", bad: "password wrong"},
	{name: "cram-md5", sent: "CRAM-MD5", bad: "password wrong"},
	{name: "scram", sent: "SCRAM-SHA-256", bad: "password wrong"},
	{name: "scram-sha-1", sent: "SCRAM-SHA-1", bad: "password wrong"},
	{name: "scram-sha-256", sent: "SCRAM-SHA-256", bad: "password wrong"},
	{name: "otp", sent: "OTP", bad: "password wrong"},
	{name: "external", user: "sslcert @CERT@ sslkey @KEY@", sent: "EXTERNAL", bad: " "},
	{name: "oauthbearer", user: "password @TOKEN@", sent: "OAUTHBEARER", bad: "password @OLD@"},
	{name: "xoauth2", user: "password @TOKEN@", sent: "OAUTHBEARER", bad: "password @OLD@"},
	{name: "gssapi, with a ticket", user: " ", sent: "GSSAPI", need: "ticket", bad: " "},
	{name: "gssapi, with a keytab", user: " ", sent: "GSSAPI", need: "keytab"},
	{name: "kerberos_v5", user: " ", sent: "GSSAPI", need: "ticket"},
}

var authCommand = regexp.MustCompile(`> (?:A\d+ )?AUTH(?:ENTICATE)? (\S+)`)

func TestEveryMechanismLogsInToDovecotAndARefusalIsStatus3(t *testing.T) {
	users := map[string]string{"alice": "secret", "bob": "secret2"}
	kdc := real.StartKDC(t, users)
	d := real.StartDovecot(t, real.DovecotOptions{Users: users, KDC: kdc, ClientCert: true, Mechanisms: strings.Fields(
		"plain login cram-md5 scram-sha-1 scram-sha-256 otp external oauthbearer xoauth2 gssapi")})
	cert, key := d.Client(t, "alice")
	fill := strings.NewReplacer("@CERT@", cert, "@KEY@", key, "@TOKEN@", d.Token(t, "alice", time.Hour), "@OLD@", d.Token(t, "alice", -time.Hour))
	cache, keytab := kdc.Ticket(t, "alice", "secret", time.Hour), kdc.ClientKeytab(t, "alice")
	for _, m := range mechanisms {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel() // Dovecot makes those wait who do not know the password
			for _, proto := range []string{"pop3", "imap"} {
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
				// The last one counts: any begins with EXTERNAL, which is refused.
				if said := authCommand.FindAllStringSubmatch(r.stdout, -1); m.sent != "" && (len(said) == 0 || said[len(said)-1][1] != m.sent) {
					t.Errorf("%s: %s was not used: %s", proto, m.sent, r)
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
