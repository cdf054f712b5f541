package main_test

import (
	"fmt"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// TestFetchidsAreReadByBothPrograms: one program keeps mail and notes the UIDs, the other one goes on with the file.
func TestFetchidsAreReadByBothPrograms(t *testing.T) {
	p := newPlace(t, real.DovecotOptions{}, real.PostfixOptions{})
	programs := map[string]string{"ours": binary(t), "the reference": real.Reference(t)}
	rc := p.fill("poll localhost proto POP3 port @POP3@ uidl\n user alice there with password secret is user1 here\n" +
		" sslproto '' keep smtphost localhost/@SMTP@\n")
	for first := range programs {
		for second := range programs {
			t.Run(first+", then "+second, func(t *testing.T) {
				p.Dovecot.Empty(t, "alice", "")
				p.Dovecot.Put(t, "alice", "", real.Texts(letters...)...)
				a := newClient(t, programs[first])
				// Lines of other accounts must come through.
				a.write(t, ".fetchids", "bob@localhost one\ncarol@elsewhere.example.org 1234\n")
				a.rc(t, rc)
				if r := a.run(t); r.code != 0 {
					t.Fatalf("first run: %s", r)
				}
				ids := a.read(t, ".fetchids")
				if n := strings.Count(ids, "alice@localhost "); n != len(letters) {
					t.Fatalf("%d of %d messages in .fetchids:\n%s", n, len(letters), ids)
				}

				b := newClient(t, programs[second])
				b.rc(t, rc)
				b.write(t, ".fetchids", ids)
				r := b.run(t)
				if want := fmt.Sprintf("%d messages (%d seen) for alice at localhost", len(letters), len(letters)); r.code != 1 || !strings.HasPrefix(r.stdout, want) {
					t.Errorf("second run: %s\nwant exit 1 and %q", r, want)
				}
				if got := b.read(t, ".fetchids"); got != ids {
					t.Errorf(".fetchids was\n%sand is\n%s", ids, got)
				}
				p.Dovecot.Put(t, "alice", "", real.Texts([]byte("Subject: one more\n\nnew\n"))...)
				if r := b.run(t); r.code != 0 || !strings.Contains(r.stdout, fmt.Sprintf("%d messages (%d seen)", len(letters)+1, len(letters))) {
					t.Errorf("third run: %s", r)
				}
			})
		}
	}
}

// TestAServerThatRefusesUIDsOnceCostsNothing: what is known stays known, and nothing is fetched again or flushed, until the
// server tells old messages from new ones again.
func TestAServerThatRefusesUIDsOnceCostsNothing(t *testing.T) {
	mail := [][]byte{[]byte("Subject: 1\r\n\r\none\r\n"), []byte("Subject: 2\r\n\r\ntwo\r\n")}
	well, ill := mailtest.NewPOP3(mail...), mailtest.NewPOP3(mail...)
	ill.NoUIDL = true
	for _, s := range []*mailtest.POP3{well, ill} {
		if err := s.Start("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	for _, options := range [][2]string{{"uidl", "keep"}, {"", "keep"}, {"uidl", "keep flush"}, {"uidl", "keep fetchall"}} {
		for name, bin := range map[string]string{"ours": binary(t), "the reference": real.Reference(t)} {
			if name != "ours" && strings.Contains(options[1], "flush") {
				continue // it deletes everything
			}
			c := newClient(t, bin)
			poll := func(s *mailtest.POP3) result {
				c.rc(t, fmt.Sprintf("poll localhost proto pop3 port %s %s\n user alice there password secret is %s here sslproto '' %s mda \"cat >>%s/got\"\n",
					s.Port(), options[0], c.user, options[1], c.home))
				return c.run(t)
			}
			if r := poll(well); r.code != 0 {
				t.Fatalf("%v, %s: %s", options, name, r)
			}
			ids := c.read(t, ".fetchids")
			r, code, fetched := poll(ill), 1, 2
			if strings.Contains(options[1], "fetchall") {
				code, fetched = 0, 4
			} else if !strings.HasSuffix(r.stdout, "2 messages for alice at localhost (38 octets).\n") {
				t.Errorf("%v, %s: want a count and no more: %s", options, name, r)
			}
			if r.code != code {
				t.Errorf("%v, %s: want exit %d: %s", options, name, code, r)
			}
			if got := c.read(t, ".fetchids"); got != ids || ids == "" {
				t.Errorf("%v, %s: .fetchids was\n%sand is\n%s", options, name, ids, got)
			}
			if n := strings.Count(c.read(t, "got"), "Subject:"); n != fetched {
				t.Errorf("%v, %s: %d messages fetched, want %d", options, name, n, fetched)
			}
		}
	}
	if n := len(ill.Left("alice")); n != len(mail) {
		t.Errorf("%d messages are left", n)
	}
}
