package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

const kept = 20_000 // messages that lie on the server and are known

// TestTwentyThousandKeptMessagesAreOneListing: what a poll costs grows with what is new, not with what is kept.
func TestTwentyThousandKeptMessagesAreOneListing(t *testing.T) {
	raw := []byte("Subject: kept\r\n\r\nx\r\n")
	pop := mailtest.NewPOP3(slices.Repeat([][]byte{raw}, kept+1)...)
	imap := mailtest.NewIMAP()
	mail := slices.Repeat([]mailtest.IMAPMail{{Raw: raw}}, kept+1)
	for i := range mail {
		mail[i].UID = uint32(i + 1)
	}
	imap.UIDValidity = 7
	imap.Put("alice", "INBOX", mail...)
	for _, tt := range []struct {
		proto, record string // of the message with a number
		server        interface {
			Start(string) error
			Close()
			Port() string
			Commands() [][]string
		}
	}{{"pop3", "alice@localhost uid-%d\n", pop}, {"imap", "alice@localhost/INBOX 7.%d\n", imap}} {
		t.Run(tt.proto, func(t *testing.T) {
			start(t, tt.server)
			c := newClient(t, binary(t))
			var ids strings.Builder
			for i := range kept {
				fmt.Fprintf(&ids, tt.record, i+1)
			}
			c.write(t, ".fetchids", ids.String())
			c.rc(t, fmt.Sprintf("poll localhost proto %s uidl port %s\n user alice there password secret is %s here sslproto '' keep maildir \"~/Maildir\"\n", tt.proto, tt.server.Port(), c.user))
			r := c.run(t)
			if want := fmt.Sprintf("%d messages (%d seen) for alice at localhost", kept+1, kept); r.code != 0 || !strings.HasPrefix(r.stdout, want) {
				t.Errorf("%s\nwant %s", r, want)
			}
			commands := tt.server.Commands()
			t.Logf("%v, %d commands, %.1f MB", r.took, len(commands[0]), float64(r.peak)/1e6)
			if len(commands) != 1 || len(commands[0]) > 9 {
				t.Errorf("%d connections, the first with %q", len(commands), commands[0])
			}
			if r.took > time.Minute {
				t.Errorf("the poll took %v", r.took)
			}
			if n := strings.Count(c.read(t, ".fetchids"), "\n"); n != kept+1 {
				t.Errorf("%d lines in .fetchids", n)
			}
		})
	}
}

// TestSavedUIDsAreListedAsTheReferenceDoes compares what -V says of the record.
func TestSavedUIDsAreListedAsTheReferenceDoes(t *testing.T) {
	var said []string
	for _, bin := range []string{real.Reference(t), binary(t)} {
		c := newClient(t, bin)
		c.rc(t, "poll localhost proto pop3 user alice password x user bob password y\npoll elsewhere.example.org via localhost proto pop3 user Carol password z\n")
		c.write(t, ".fetchids", "alice@localhost one\n damaged\nalice@localhost\nALICE@LocalHost TWO 2\ncarol@localhost c\nbob b\nx@localhost x\nalice@localhost three\n")
		text, list := "", false
		for line := range strings.Lines(c.run(t, "-V").stdout) {
			if list = strings.Contains(line, "UIDs saved") || list && strings.HasPrefix(line, "\t"); list {
				text += line
			}
		}
		said = append(said, text)
	}
	if said[0] != said[1] || !strings.Contains(said[1], "3 UIDs saved.\n\tone\n\tTWO\n\tthree\n") {
		t.Errorf("the reference says\n%s\nours\n%s", said[0], said[1])
	}
}
