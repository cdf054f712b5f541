package main_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols/mailtest/real"
)

// killable are the sinks besides SMTP, each with as many messages as it takes in a second or so.
var killable = []struct {
	name, proto, option string
	messages            int
}{
	{"lmtp", "IMAP", "lmtp smtphost localhost/@LMTP@", 200},
	{"procmail", "POP3", `mda "/usr/bin/procmail -m @DIR@/procmailrc"`, 100},
	{"maildrop", "IMAP", `mda "/usr/bin/maildrop @DIR@/mailfilter"`, 100},
	{"bsmtp", "POP3", `bsmtp "@DIR@/batch"`, 800},
	{"maildir", "IMAP", `maildir "@DIR@/Maildir"`, 800},
	{"mbox", "POP3", `mbox "@DIR@/mbox"`, 800},
}

// killTimes is how often a sink is killed; FETCHMAIL_KILLS=50 makes it more.
func killTimes(t *testing.T) int {
	s := os.Getenv("FETCHMAIL_KILLS")
	if s == "" {
		return 10
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKilledWhileDelivering kills the program at random instants while it delivers into each kind of sink: nothing is
// lost, nothing is torn, and no kill costs more than one duplicate.
func TestKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	real.Procmail(t)
	real.Maildrop(t)
	p := newPlace(t, real.DovecotOptions{}, real.PostfixOptions{})
	for _, k := range killable {
		t.Run(k.name, func(t *testing.T) {
			mails, sums := numbered(k.messages)
			for i := range mails { // some are too large for a pipe
				if i%20 == 0 {
					delete(sums, sum(mails[i].Text))
					mails[i].Text = append(mails[i].Text, bytes.Repeat([]byte("a long message\n"), 10000)...)
					sums[sum(mails[i].Text)]++
				}
			}
			begin := func() *client {
				c := newClient(t, binary(t))
				c.agents(t)
				c.rc(t, strings.ReplaceAll(p.fill(fmt.Sprintf("poll localhost proto %s port @%s@\n user alice there with password secret is user1 here\n"+
					" sslproto '' %s\n", k.proto, k.proto, k.option)), p.dir, c.home))
				p.Dovecot.Put(t, "alice", "", mails...)
				return c
			}
			whole := begin().run(t, "-s")
			if whole.code != 0 {
				t.Fatalf("the run that is timed: %s", whole)
			}
			p.Dovecot.Empty(t, "user1@localhost", "")
			c := begin()
			seed := uint64(time.Now().UnixNano())
			rnd := rand.New(rand.NewPCG(seed, 0))
			span := whole.took / 2
			killed, times := 0, 1
			for killed < killTimes(t) {
				r, err := c.runKilled(time.Duration(1+rnd.Int64N(int64(span))), "-s")
				switch {
				case err != nil:
					t.Fatal(err)
				case r.code < 0:
					killed++
				case r.code > 1:
					t.Fatalf("after %d kills: %s", killed, r)
				default:
					times++
					span = max(span/2, 10*time.Millisecond) // the machine was slower when the time was taken
					p.Dovecot.Put(t, "alice", "", mails...)
				}
			}
			if r := c.run(t, "-s"); r.code > 1 {
				t.Errorf("the last run: %s", r)
			}
			if n := p.left(t); n != 0 {
				t.Errorf("%d messages are left", n)
			}
			dup := compare(t, p.came(t, k.name, c.home), sums, times)
			t.Logf("seed %d: %d kills within %v of the start, %d messages, %d duplicates", seed, killed, span, times*k.messages, dup)
			if dup > killed {
				t.Errorf("%d duplicates after %d kills", dup, killed)
			}
		})
	}
}

// came returns what a sink has got, with LF line ends and without the marks of its format.
func (p *place) came(t *testing.T, sink, home string) []real.Mail {
	t.Helper()
	if sink == "lmtp" || sink == "maildir" || sink == "procmail" || sink == "maildrop" {
		return p.arrived(t, sink, home)
	}
	name, unpack := "batch", unbatch
	if sink == "mbox" {
		name, unpack = "mbox", unbox
	}
	b, err := os.ReadFile(filepath.Join(home, name))
	if err != nil {
		t.Fatal(err)
	}
	mails, err := unpack(string(b))
	if err != nil {
		t.Error(err)
	}
	if others, _ := filepath.Glob(filepath.Join(home, "."+name+"*")); len(others) > 0 {
		t.Errorf("left beside the file: %q", others)
	}
	return mails
}

// unbatch reads a BSMTP file line by line; every message must have its commands and its end.
func unbatch(text string) (mails []real.Mail, err error) {
	want := "MAIL"
	var in bytes.Buffer
	for line := range strings.SplitAfterSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		switch {
		case want == "" && strings.TrimSuffix(line, "\r\n") == ".":
			mails = append(mails, real.Mail{Text: bytes.ReplaceAll(in.Bytes(), []byte("\r\n"), []byte("\n"))})
			want = "MAIL"
			in.Reset()
		case want == "":
			in.WriteString(strings.TrimPrefix(line, "."))
		case !strings.HasPrefix(line, want):
			return mails, fmt.Errorf("behind %d messages %q instead of %s", len(mails), line, want)
		default:
			want = map[string]string{"MAIL": "RCPT", "RCPT": "DATA", "DATA": ""}[want]
		}
	}
	if want != "MAIL" {
		return mails, fmt.Errorf("the file ends within message %d", len(mails)+1)
	}
	return mails, nil
}

// unbox reads an mbox; every message must have its first line and the empty one behind it.
func unbox(text string) (mails []real.Mail, err error) {
	if !strings.HasPrefix(text, "From ") || !strings.HasSuffix(text, "\n\n") {
		return nil, fmt.Errorf("the file is torn: %q", cut(text))
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(text[len("From "):], "\n"), "\n\nFrom ") {
		_, message, _ := strings.Cut(part, "\n")
		var b bytes.Buffer
		for line := range strings.SplitAfterSeq(message, "\n") {
			if strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
				line = line[1:]
			}
			b.WriteString(line)
		}
		if !bytes.HasSuffix(b.Bytes(), []byte("\n")) {
			b.WriteByte('\n')
		}
		mails = append(mails, real.Mail{Text: b.Bytes()})
	}
	return mails, nil
}
