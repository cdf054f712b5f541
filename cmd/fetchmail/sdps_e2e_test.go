package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

func TestSDPSEqualsTheReference(t *testing.T) {
	env := func(lines ...string) mailtest.POP3Act {
		return mailtest.POP3Reply(append(append([]string{"+OK"}, lines...), ".")...)
	}
	usual := env("1", "host.example", "sender@env.example", "joe@demon.example", "x")
	for _, tt := range []struct {
		name, server, user string
		act                mailtest.POP3Act
	}{
		{"one user", "", "", usual},
		{"one user, a program", "", `mda "echo %F to %T; cat"`, usual},
		{"several users", "aka demon.example", "to joe list=other here", usual},
		{"not a name of the server", "no dns", "to joe other here", usual},
		{"whole domains", "localdomains demon.example", "to * here", usual},
		{"the envelope option does not count", "aka demon.example envelope X-Envelope-To", "to joe third here", usual},
		{"angle brackets", "aka demon.example", "to joe other here", env("1", "h", "<sender@env.example>", "<joe@demon.example>")},
		{"the null sender", "", "", env("1", "h", "<>", "joe@demon.example")},
		{"no sender", "", "", env("1", "h", "", "")},
		{"a short answer", "", "", env("1")},
		{"an empty answer", "", "", env()},
		{"names without a host", "", "to joe other here", env("1", "h", "sender", "joe")},
		{"several recipients", "aka demon.example", "to joe other here", env("1", "h", "s@env.example", "joe@demon.example", "other@demon.example")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := func(bin string) string {
				s := mailtest.NewPOP3([]byte("From: a@far.example.org\r\nTo: list@demon.example\r\nX-Envelope-To: third@demon.example\r\nSubject: one\r\n\r\nhi\r\n"),
					[]byte("From: b@far.example.org\r\nTo: list@elsewhere.example\r\nSubject: two\r\n\r\nho\r\n"))
				s.On(`\*ENV`, tt.act)
				start(t, s)
				l := listener(t, mailtest.SMTPOptions{})
				c := newClient(t, bin)
				c.rc(t, fmt.Sprintf("set postmaster pm\npoll localhost via 127.0.0.1 proto sdps port %s %s user alice password secret sslproto '' smtphost 127.0.0.1/%s %s\n",
					s.Port(), tt.server, l.Port(), tt.user))
				r := c.run(t)
				var mails, commands []string
				for _, m := range l.Mails() {
					mails = append(mails, passed(fmt.Sprintf("%s %q\n%s", m.From, m.To, m.Text)))
				}
				for _, line := range s.Commands()[0] {
					if !strings.HasPrefix(line, "LIST") { // asked for at other times
						commands = append(commands, line)
					}
				}
				lines := strings.Split(passed(r.stdout+r.stderr), "\n") // a program writes whenever it likes
				for i := range lines {
					lines[i] = strings.TrimSuffix(strings.TrimSuffix(lines[i], "flushed"), " ")
				}
				slices.Sort(lines)
				if strings.HasPrefix(tt.user, "mda") {
					text := strings.Join(lines, "\n")
					lines = []string{strconv.Itoa(strings.Count(text, "sender@env.example to "+c.user)), strconv.Itoa(strings.Count(text, "reading message"))}
				}
				return fmt.Sprintf("exit %d\n%s\n%s\n%s", r.code, strings.Join(lines, "\n"), strings.Join(commands, "\n"), strings.Join(mails, "\n"))
			}
			if theirs, ours := run(real.Reference(t)), run(binary(t)); theirs != ours {
				t.Errorf("the reference (-) and ours (+):\n%s", diff(theirs, ours))
			}
		})
	}
}

func TestSDPSWithoutAnEnvelope(t *testing.T) {
	s := mailtest.NewPOP3([]byte("From: a@far.example.org\r\n\r\nhi\r\n"))
	s.On(`\*ENV`, mailtest.POP3Reply("-ERR what"))
	start(t, s)
	c := newClient(t, binary(t))
	c.rc(t, fmt.Sprintf("poll localhost proto sdps port %s user alice password secret sslproto '' maildir \"~/M\"\n", s.Port()))
	r := c.run(t)
	if got, _ := os.ReadDir(filepath.Join(c.home, "M", "new")); r.code != 0 || len(got) != 1 || len(s.Left("alice")) != 0 {
		t.Errorf("a server that does not know *ENV: %s, %d messages", r, len(got))
	}
}
