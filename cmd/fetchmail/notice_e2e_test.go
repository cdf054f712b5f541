package main_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// noticed runs a daemon at a server that refuses three logins and has a message above the limit then, until enough says
// so of what the listener has got. It returns the log.
func noticed(t *testing.T, bin string, l *mailtest.SMTP, enough func([]mailtest.Mail) bool) string {
	t.Helper()
	server := mailtest.NewPOP3(refusalText(0, false), refusalText(900, false), refusalText(1, false))
	no := mailtest.POP3Reply("-ERR no")
	server.Once("PASS", no, no, no)
	start(t, server)
	c := newClient(t, bin)
	c.write(t, "log", "")
	c.rc(t, fmt.Sprintf("set daemon 1\nset logfile \"%s\"\npoll localhost proto pop3 no dns port %s timeout 20\n"+
		" user alice pass secret is joe here sslproto '' limit 1000 smtphost localhost/%s\n", filepath.Join(c.home, "log"), server.Port(), l.Port()))
	if r := c.run(t); r.code != 0 {
		t.Fatalf("start: %s", r)
	}
	defer c.run(t, "--quit")
	await(t, "the mail arrives", func() bool { return enough(l.Mails()) })
	return c.read(t, "log")
}

// TestNoticesEqualTheReference compares the mail that the two programs write on their own, in the order in which it comes.
func TestNoticesEqualTheReference(t *testing.T) {
	var sent [2]string
	t.Run("run", func(t *testing.T) {
		for i, bin := range []string{real.Reference(t), binary(t)} {
			t.Run(filepath.Base(filepath.Dir(bin)), func(t *testing.T) {
				t.Parallel()
				l := listener(t, mailtest.SMTPOptions{})
				noticed(t, bin, l, func(m []mailtest.Mail) bool { return len(m) == 5 })
				for _, m := range l.Mails() {
					sent[i] += fmt.Sprintf("%s %q\n%s\n", m.From, m.To, clean(string(m.Text)))
				}
			})
		}
	})
	if sent[0] != sent[1] {
		t.Errorf("the reference (-) and ours (+):\n%s", diff(sent[0], sent[1]))
	}
	for _, subject := range []string{"authentication failed", "authentication OK", "oversized-messages warning"} {
		if !strings.Contains(sent[1], subject) {
			t.Errorf("no mail about %q:\n%s", subject, sent[1])
		}
	}
}

// TestARefusedNoticeChangesNothing has a listener that takes no notices: the mail goes on, nobody gets a report of that,
// and the log tells it.
func TestARefusedNoticeChangesNothing(t *testing.T) {
	reports := private()
	r := startRefuser(t, nil, false, reports)
	defer r.close()
	l := listener(t, mailtest.SMTPOptions{Answer: func(verb, line string) string {
		if verb == "mail" && strings.Contains(line, "FETCHMAIL-DAEMON") {
			return "550 5.7.1 no notices here"
		}
		return ""
	}})
	log := noticed(t, binary(t), l, func(m []mailtest.Mail) bool { return len(m) == 2 })
	if n := strings.Count(log, "SMTP error: 550 5.7.1 no notices here"); n < 2 || n > 8 {
		t.Errorf("%d lines about it:\n%s", n, log)
	}
	if reports && len(r.reports.Mails()) > 0 {
		t.Errorf("reports: %+v", r.reports.Mails())
	}
}

// TestAKeptMessageIsReportedOnce fetches a message again and again that is always refused and kept.
func TestAKeptMessageIsReportedOnce(t *testing.T) {
	reports := private()
	server := mailtest.NewPOP3(refusalText(0, !reports))
	start(t, server)
	r := startRefuser(t, []refusal{{"dot", "554 5.7.1 bad"}}, false, reports)
	defer r.close()
	c := newClient(t, binary(t))
	c.rc(t, r.rc(server, "", ""))
	for range 3 {
		if res := c.run(t); !strings.Contains(res.stderr, "554 5.7.1 bad") || len(server.Left("alice")) != 1 {
			t.Errorf("%s", res)
		}
	}
	if reports {
		if n := len(r.reports.Mails()); n != 1 {
			t.Errorf("%d reports", n)
		}
		if ids := c.read(t, ".fetchids"); !strings.Contains(ids, "bounced") {
			t.Errorf("not remembered: %q", ids)
		}
	}
	c.rc(t, r.rc(server, "set no softbounce", "onreject deadletter dead"))
	if c.run(t); len(server.Left("alice")) != 0 || c.read(t, ".fetchids") != "" {
		t.Errorf("still there, or still remembered: %q", c.read(t, ".fetchids"))
	}
}
