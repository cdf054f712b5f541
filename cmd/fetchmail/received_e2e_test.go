package main_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

// receivedWays are ways to a message whose Received line must be the reference's but for version and date. @OUT@ is the
// BSMTP file.
var receivedWays = []struct{ name, global, polls string }{
	{name: "POP3", polls: `poll localhost proto POP3 port @POP3@ user alice password secret is joe here sslproto '' bsmtp "@OUT@"`},
	{name: "IMAP", polls: `poll localhost proto IMAP port @IMAP@ user alice password secret is joe here sslproto '' bsmtp "@OUT@"`},
	{name: "address", polls: `poll 127.0.0.1 proto IMAP port @IMAP@ user alice password secret is joe here sslproto '' bsmtp "@OUT@"`},
	{name: "no dns", polls: `poll localhost proto POP3 port @POP3@ no dns user alice password secret is joe here sslproto '' bsmtp "@OUT@"`},
	{name: "auth password", polls: `poll localhost proto IMAP port @IMAP@ auth password user alice password secret is joe here sslproto '' bsmtp "@OUT@"`},
	{name: "APOP", polls: `poll localhost proto APOP port @POP3@ user alice password secret is joe here sslproto '' bsmtp "@OUT@"`},
	{name: "cram-md5", polls: `poll localhost proto IMAP port @IMAP@ auth cram-md5 user alice password secret is joe here sslproto '' bsmtp "@OUT@"`},
	{name: "STLS", polls: `poll localhost proto POP3 port @POP3@ user alice password secret is joe here sslcertfile "@CA@" bsmtp "@OUT@"`},
	{name: "STARTTLS", polls: `poll localhost proto IMAP port @IMAP@ user alice password secret is joe here sslcertfile "@CA@" bsmtp "@OUT@"`},
	{name: "POP3S", polls: `poll localhost proto POP3 port @POP3S@ user alice password secret is joe here ssl sslcertfile "@CA@" bsmtp "@OUT@"`},
	{name: "IMAPS", polls: `poll localhost proto IMAP port @IMAPS@ user alice password secret is joe here ssl sslcertfile "@CA@" bsmtp "@OUT@"`},
	{name: "tracepolls", polls: `poll label via localhost proto POP3 port @POP3@ tracepolls user alice password secret is joe here sslproto '' bsmtp "@OUT@"`},
	{name: "tracepolls and folder", polls: `poll label via localhost proto IMAP port @IMAP@ tracepolls user alice password secret is joe here sslproto '' folder INBOX bsmtp "@OUT@"`},
	{name: "tracepolls and TLS", polls: `poll label via localhost proto IMAP port @IMAPS@ tracepolls user alice password secret is joe here ssl sslcertfile "@CA@" bsmtp "@OUT@"`},
	{name: "invisible", global: "set invisible", polls: `poll localhost proto POP3 port @POP3@ tracepolls user alice password secret is joe here sslproto '' bsmtp "@OUT@"`},
	{name: "two users", polls: `poll localhost proto POP3 port @POP3@ tracepolls user alice password secret is joe here sslproto '' bsmtp "@OUT@"` +
		` user bob password secret2 is sue here sslproto '' bsmtp "@OUT@"`},
	{name: "multidrop", polls: `poll localhost proto POP3 port @POP3@ no dns user alice password secret is a b here sslproto '' bsmtp "@OUT@"`},
	{name: "multidrop for all", polls: `poll localhost proto IMAP port @IMAP@ no dns tracepolls localdomains far.example user alice password secret is * here sslproto '' bsmtp "@OUT@"`},
	{name: "whole address", polls: `poll localhost proto POP3 port @POP3@ user alice password secret is joe@far.example here sslproto '' bsmtp "@OUT@"`},
	{name: "smtpaddress", polls: `poll localhost proto POP3 port @POP3@ user alice password secret is joe here sslproto '' smtpaddress mda.example bsmtp "@OUT@"`},
	{name: "no name at all", polls: `poll localhost proto POP3 port @POP3@ user alice password secret sslproto '' bsmtp "@OUT@"`},
}

func TestReceivedLinesAsTheReference(t *testing.T) {
	t.Parallel()
	reference, bin := real.Reference(t), binary(t)
	d := real.StartDovecot(t, real.DovecotOptions{Mechanisms: []string{"plain", "login", "apop", "cram-md5"}})
	p := &place{Dovecot: d, Postfix: &real.Postfix{}}
	texts := [][]byte{[]byte("To: a@localhost\n\none\n"), []byte("To: a@localhost, b@localhost\n\ntwo\n"), []byte("To: q@far.example\n\nthree\n")}
	for _, w := range receivedWays {
		t.Run(w.name, func(t *testing.T) {
			var got []string
			for _, bin := range []string{reference, bin} {
				for _, user := range []string{"alice", "bob"} {
					d.Empty(t, user, "")
					d.Put(t, user, "", real.Texts(texts...)...)
				}
				c := newClient(t, bin)
				c.rc(t, w.global+"\nset postmaster boss\n"+strings.ReplaceAll(p.fill(w.polls), "@OUT@", filepath.Join(c.home, "out"))+"\n")
				if r := c.run(t); r.code != 0 {
					t.Fatalf("%s: %s", bin, r)
				}
				mails := strings.SplitAfter(settledText([]byte(c.read(t, "out"))), "\r\n.\r\n")
				slices.Sort(mails) // users are polled side by side
				// Where localhost has two addresses the reference may tell the one that it did not use.
				got = append(got, strings.ReplaceAll(strings.Join(mails, ""), "[::1]", "[127.0.0.1]"))
			}
			if n := strings.Count(got[1], "DATA\r\n"); n < len(texts) {
				t.Errorf("%d messages", n)
			}
			if got[0] != got[1] {
				t.Errorf("the reference (-) and ours (+):\n%s", diff(got[0], got[1]))
			}
		})
	}
}
