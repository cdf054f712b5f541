package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// imapWith serves alice's inbox with these messages, all of them unread.
func imapWith(t *testing.T, validity uint32, caps string, mail ...string) *mailtest.IMAP {
	t.Helper()
	s := mailtest.NewIMAP()
	s.UIDValidity, s.Caps = validity, strings.Fields(caps)
	for _, m := range mail {
		s.Put("alice", "INBOX", mailtest.IMAPMail{Raw: []byte("Subject: " + m + "\r\n\r\n" + m + "\r\n")})
	}
	start(t, s)
	return s
}

func flags(s *mailtest.IMAP, n int, flags ...string) {
	s.Change("alice", "INBOX", n, func(m *mailtest.IMAPMail) { m.Flags = flags })
}

// uidlRun polls s into a Maildir and returns the status, the first line of what was said, the subjects of what has
// come, and how many messages are left.
func uidlRun(t *testing.T, c *client, s *mailtest.IMAP, options string, args ...string) string {
	t.Helper()
	c.rc(t, fmt.Sprintf("poll localhost proto imap port %s %s\n user alice there password secret is %s here sslproto ''\n maildir \"~/Maildir\" keep\n", s.Port(), options, c.user))
	r := c.run(t, args...)
	first, _, _ := strings.Cut(r.stdout, "\n")
	came := ""
	box := filepath.Join(c.home, "Maildir")
	for _, m := range real.ReadMaildir(t, box) {
		came += " " + strings.TrimSpace(string(body(m.Text)))
	}
	removeMail(t, box)
	return fmt.Sprintf("exit %d, %s, came:%s, left %d", r.code, first, came, len(s.Left("alice", "INBOX")))
}

func TestUIDLWithIMAPKnowsMessagesByUIDAndNotByFlags(t *testing.T) {
	for name, caps := range map[string]string{"UIDPLUS": "IMAP4rev1 UIDPLUS", "without UIDPLUS": "IMAP4rev1"} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, binary(t))
			s := imapWith(t, 11, caps, "one", "two")
			expect := func(what, got, want string) {
				t.Helper()
				if got != want {
					t.Errorf("%s:\n%s, want\n%s\n.fetchids:\n%s", what, got, want, c.read(t, ".fetchids"))
				}
			}
			flags(s, 1, `\Seen`)
			expect("what was read elsewhere is not hidden", uidlRun(t, c, s, "uidl"), "exit 0, 2 messages for alice at localhost., came: one two, left 2")
			s.Put("alice", "INBOX", mailtest.IMAPMail{Raw: []byte("Subject: three\r\n\r\nthree\r\n"), Flags: []string{`\Seen`}})
			expect("counting", uidlRun(t, c, s, "uidl", "-c"), "exit 0, 3 messages (2 seen) for alice at localhost., came:, left 3")
			expect("read before it was fetched", uidlRun(t, c, s, "uidl"), "exit 0, 3 messages (2 seen) for alice at localhost., came: three, left 3")
			for n := range 3 {
				flags(s, n+1)
			}
			expect("marked as unread", uidlRun(t, c, s, "uidl"), "exit 1, 3 messages (3 seen) for alice at localhost., came:, left 3")
			if ids := c.read(t, ".fetchids"); ids != "alice@localhost/INBOX 11.101\nalice@localhost/INBOX 11.102\nalice@localhost/INBOX 11.103\n" {
				t.Errorf(".fetchids:\n%s", ids)
			}
			expect("without uidl the flags count", uidlRun(t, c, s, ""), "exit 0, 3 messages for alice at localhost., came: one two three, left 3")
			expect("and the record stays", uidlRun(t, c, s, "uidl"), "exit 1, 3 messages (3 seen) for alice at localhost., came:, left 3")

			anew := imapWith(t, 12, caps, "one", "two", "three")
			expect("with another UIDVALIDITY flush deletes nothing", uidlRun(t, c, anew, "uidl", "-F", "-l", "1"), "exit 1, 3 messages for alice at localhost., came:, left 3")
			expect("all are new", uidlRun(t, c, anew, "uidl", "-F"), "exit 0, 3 messages for alice at localhost., came: one two three, left 3")
			expect("and then old", uidlRun(t, c, anew, "uidl", "-F"), "exit 1, 3 messages (3 seen) for alice at localhost., came:, left 0")
			if ids := c.read(t, ".fetchids"); ids != "" {
				t.Errorf(".fetchids:\n%s", ids)
			}
		})
	}
}

func TestUIDLWithoutUIDsLooksAtFlags(t *testing.T) {
	c := newClient(t, binary(t))
	s := mailtest.NewIMAP([]byte("Subject: 1\r\n\r\none\r\n"), []byte("Subject: 2\r\n\r\ntwo\r\n"))
	s.Caps, s.NoUID = []string{"IMAP4rev1"}, true
	start(t, s)
	flags(s, 1, `\Seen`)
	if got, want := uidlRun(t, c, s, "uidl"), "exit 0, 2 messages (1 seen) for alice at localhost., came: two, left 2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestTheReferenceKeepsTheRecordOfIMAPFolders: its own lines stand beside ours, in either order.
func TestTheReferenceKeepsTheRecordOfIMAPFolders(t *testing.T) {
	ref := newClient(t, real.Reference(t))
	s := mailtest.NewPOP3([]byte("Subject: p\r\n\r\npop\r\n"))
	start(t, s)
	const ours = "alice@localhost/INBOX 11.101\nalice@localhost/Sent%20Items 12.7\n"
	ref.write(t, ".fetchids", ours)
	ref.rc(t, fmt.Sprintf("poll localhost proto pop3 uidl port %s\n user alice there password secret is %s here sslproto '' keep mda \"cat >/dev/null\"\n", s.Port(), ref.user))
	if r := ref.run(t); r.code != 0 {
		t.Fatal(r)
	}
	if ids := ref.read(t, ".fetchids"); !strings.HasSuffix(ids, ours) || strings.Count(ids, "\n") != 3 {
		t.Errorf("it has left\n%s", ids)
	}
}

// removeMail empties a Maildir.
func removeMail(t *testing.T, box string) {
	t.Helper()
	if err := os.RemoveAll(box); err != nil {
		t.Fatal(err)
	}
}

// TestMarksOfOthersAreNoMismatch: with keep and flush the reference stops when EXPUNGE removes what somebody else has
// marked, too.
func TestMarksOfOthersAreNoMismatch(t *testing.T) {
	c := newClient(t, binary(t))
	s := imapWith(t, 11, "IMAP4rev1 UIDPLUS", "one", "two", "three")
	flags(s, 1, `\Seen`)
	flags(s, 3, `\Deleted`)
	c.rc(t, fmt.Sprintf("poll localhost proto imap port %s\n user alice there password secret is %s here sslproto ''\n maildir \"~/Maildir\" keep flush limit 1\n", s.Port(), c.user))
	// One is old and goes, two is too large, three is old for us as well.
	if r := c.run(t); r.code != 1 || len(s.Left("alice", "INBOX")) != 1 {
		t.Errorf("%d left: %s", len(s.Left("alice", "INBOX")), r)
	}
}
