package main_test

import (
	"fmt"
	"strings"
	"testing"

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
