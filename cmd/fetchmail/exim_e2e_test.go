package main_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

// eximTrail is what differs from run to run in Exim's own fields.
var eximTrail = regexp.MustCompile(`(?m)^\tid \S+\n|^Message-Id: <E[^\n]*|^Date: [^\n]* \+0000$|^\t\w{3}, [^\n]* \+0000$`)

// unanswered is a message of whose failure nobody can be told.
var unanswered = [][]byte{[]byte("Return-Path: <>\nFrom: d@far.example.org\nSubject: report\n\nx\n")}

// TestEximGetsTheSame hands a mailbox to Exim, as its client and as the user of its sendmail(8): what it stores is what it
// stores for the reference.
func TestEximGetsTheSame(t *testing.T) {
	p := newPlace(t, real.DovecotOptions{}, real.PostfixOptions{})
	e := real.StartExim(t)
	reference := real.Reference(t)
	smtp := fmt.Sprintf("smtphost localhost/%d", e.SMTP)
	for _, c := range []struct {
		name, rc string
		mails    [][]byte
		words    string // in the output of both
		left     int
	}{
		{"accepted", "is user1 here " + smtp, letters, "reading message alice@localhost:4 of 4", 0},
		{"postmaster", "is nobody here " + smtp, unanswered, "SMTP error: 550 5.1.1 no such user", 0},
		{"deferred", "is later here " + smtp, letters, "SMTP error: 451 4.2.1 not now", len(letters)},
		{"sendmail", fmt.Sprintf(`is user1 here mda "%s -i -f %%F -- %%T"`, e.Sendmail), letters, "reading message alice@localhost:4 of 4", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got [2][]string
			for i, bin := range []string{reference, binary(t)} {
				before := len(e.Mail(t, "user1")) + len(e.Mail(t, "postmaster"))
				p.Dovecot.Empty(t, "alice", "")
				p.Dovecot.Put(t, "alice", "", real.Texts(c.mails...)...)
				client := newClient(t, bin)
				client.rc(t, p.fill("set postmaster \"postmaster\"\npoll localhost proto imap port @IMAP@\n user alice there with password secret "+c.rc+" sslproto ''\n"))
				r := client.run(t)
				if r.code != 0 || !strings.Contains(r.stdout+r.stderr, c.words) || p.left(t) != c.left {
					t.Errorf("%s: %d left: %s", bin, p.left(t), r)
				}
				for _, m := range append(e.Mail(t, "user1"), e.Mail(t, "postmaster")...) {
					got[i] = append(got[i], clean(eximTrail.ReplaceAllString(string(m.Text), "")))
				}
				slices.Sort(got[i])
				if n := len(got[i]) - before; n != len(c.mails)-c.left {
					t.Errorf("%s: %d messages have arrived", bin, n)
				}
				e.Empty(t)
			}
			if a, b := strings.Join(got[0], "\n----\n"), strings.Join(got[1], "\n----\n"); a != b {
				t.Errorf("the reference (-) and ours (+):\n%s", diff(a, b))
			}
		})
	}
	if log := e.Log(); !strings.Contains(log, "P=esmtp") {
		t.Errorf("nobody spoke ESMTP:\n%s", log)
	}
}
