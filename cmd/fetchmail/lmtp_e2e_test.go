package main_test

import (
	"fmt"
	"strconv"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

// fullBox makes every mailbox of a Dovecot full after one message; LMTP then says %s.
const fullBox = `auth_username_format = %%Lu
mail_plugins = quota
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:messages=1
  quota_rule2 = *:messages=1
}
quota_full_tempfail = %s
`

// TestLMTPVerdictsAreThoseOfEachRecipient has a real listener that takes a message for one recipient and not for the
// other. For good: the message is done with, as with the reference. For now: it stays for both.
func TestLMTPVerdictsAreThoseOfEachRecipient(t *testing.T) {
	source := real.StartDovecot(t, real.DovecotOptions{})
	const two = "Return-Path: <>\nFrom: d@far.example.org\nTo: bob@example.test, carol@example.test\nSubject: two\n\nx\n"
	for tempfail, want := range map[string]string{"no": "0 left, bob 1, carol 1", "yes": "1 left, bob 1, carol 1"} {
		d := real.StartDovecot(t, real.DovecotOptions{Settings: fmt.Sprintf(fullBox, tempfail)})
		run := func(bin, host string) string {
			for _, user := range []string{"bob@example.test", "carol@example.test"} {
				d.Empty(t, user, "")
			}
			d.Put(t, "bob@example.test", "", real.Texts([]byte("Subject: full\n\nx\n"))...)
			source.Empty(t, "alice", "")
			source.Put(t, "alice", "", real.Texts([]byte(two))...)
			client := newClient(t, bin)
			client.rc(t, fmt.Sprintf("set no bouncemail\nset postmaster ''\npoll localhost proto imap port %d no dns no envelope localdomains example.test\n"+
				" user alice there with password secret to * here sslproto '' %s\n", source.IMAP, host))
			r := client.run(t)
			state := fmt.Sprintf("%d left, bob %d, carol %d", source.Count(t, "alice", ""), d.Count(t, "bob@example.test", ""), d.Count(t, "carol@example.test", ""))
			if bin != real.Reference(t) && state != want {
				t.Errorf("tempfail %s, %s: %s: %s", tempfail, host, state, r)
			}
			return fmt.Sprintf("exit %d\n%s%s", r.code, r.stdout, state)
		}
		tcp := "lmtp smtphost localhost/" + strconv.Itoa(d.LMTP)
		ours := run(binary(t), tcp)
		if got := run(binary(t), "smtphost "+d.LMTPSocket); got != ours {
			t.Errorf("tempfail %s: a socket is something else than a port:\n%s", tempfail, diff(ours, got))
		}
		if tempfail == "no" { // otherwise bob's is lost with the reference: from the null sender
			if theirs := run(real.Reference(t), tcp); theirs != ours {
				t.Errorf("the reference (-) and ours (+):\n%s", diff(theirs, ours))
			}
		}
	}
}
