package main_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols/mailtest/real"
)

const bulk = 2000 // messages in a mailbox

// numbered makes n different messages of 1 to 8 KB, with dots, long lines and 8-bit octets in them.
func numbered(n int) (mails []real.Mail, sums map[[32]byte]int) {
	rnd := rand.New(rand.NewPCG(1, 2))
	sums = map[[32]byte]int{}
	for i := range n {
		var b bytes.Buffer
		fmt.Fprintf(&b, "From: sender%d@far.example.org\nTo: alice@mail.example.test\nSubject: number %d\nMessage-ID: <%d@far.example.org>\n\n", i%7, i, i)
		fmt.Fprintf(&b, "This is message %d.\n", i)
		for size := 1000 + rnd.IntN(7000); b.Len() < size; {
			switch rnd.IntN(12) {
			case 0:
				b.WriteString(".\n")
			case 1:
				b.WriteString("..dots\n")
			case 2:
				b.WriteString("From the start of a line\n")
			case 3:
				fmt.Fprintf(&b, "%s\n", strings.Repeat("0123456789", 20+rnd.IntN(60)))
			case 4:
				b.WriteString("\xe4\xf6\xfc\xdf \xf0\x9f\x93\xac\n")
			case 5:
				b.WriteString("\n")
			default:
				fmt.Fprintf(&b, "line %d %x\n", b.Len(), rnd.Uint64())
			}
		}
		mails = append(mails, real.Mail{Text: b.Bytes()})
		sums[sum(b.Bytes())]++
	}
	return mails, sums
}

// sum tells bodies apart.
func sum(text []byte) [32]byte { return sha256.Sum256(body(text)) }

var bulkProtocols = []string{"POP3", "IMAP"}

func bulkRC(p *place, proto string) string {
	return p.fill(fmt.Sprintf("poll localhost proto %s port @%s@\n user alice there with password secret is user1 here\n"+
		" sslproto '' smtphost localhost/@SMTP@\n", proto, proto))
}

// compare checks that what came is what was sent so many times, byte for byte: nothing lost, nothing foreign, and
// returns how many copies there are beyond that.
func compare(t *testing.T, came []real.Mail, sent map[[32]byte]int, times int) (duplicates int) {
	t.Helper()
	got := map[[32]byte]int{}
	for _, m := range came {
		got[sum(m.Text)]++
	}
	lost, foreign := 0, 0
	for sum := range sent {
		lost += max(0, times-got[sum])
		duplicates += max(0, got[sum]-times)
	}
	for sum := range got {
		if sent[sum] == 0 {
			foreign++
		}
	}
	if lost > 0 || foreign > 0 {
		t.Errorf("of %d messages %d are lost; %d bodies are not as they were sent", len(sent)*times, lost, foreign)
	}
	return duplicates
}

func TestTwoThousandMessagesArriveOnceByteForByte(t *testing.T) {
	t.Parallel()
	p := newPlace(t, real.DovecotOptions{}, real.PostfixOptions{})
	mails, sums := numbered(bulk)
	if len(sums) != bulk {
		t.Fatal("the messages are not all different")
	}
	for _, proto := range bulkProtocols {
		t.Run(proto, func(t *testing.T) {
			p.Postfix.Empty(t, "user1")
			p.Dovecot.Put(t, "alice", "", mails...)
			c := newClient(t, binary(t))
			c.rc(t, bulkRC(p, proto))
			r := c.run(t, "-s")
			t.Logf("%d messages in %v, at most %.1f MB", bulk, r.took, float64(r.peak)/1e6)
			if r.code != 0 || r.stdout != "" {
				t.Errorf("the run: %s", r)
			}
			if n := p.left(t); n != 0 {
				t.Errorf("%d messages are left", n)
			}
			came := p.Postfix.Mail(t, "user1")
			if dup := compare(t, came, sums, 1); dup != 0 || len(came) != bulk {
				t.Errorf("%d messages arrived, %d of them twice", len(came), dup)
			}
			r = c.run(t)
			if want := "fetchmail: No mail for alice at localhost\n"; r.code != 1 || r.stdout != want {
				t.Errorf("the second run: %s\nwant exit 1 and %q", r, want)
			}
		})
	}
}

// TestKilledAtRandomInstants kills the program again and again while it works on a mailbox. Each instant is random
// within a tenth of the time that the whole mailbox takes, counted from a start of its own, so that kills fall into
// login, listing, transfer and clean-up alike and the mailbox lasts for all of them.
func TestKilledAtRandomInstants(t *testing.T) {
	t.Parallel()
	p := newPlace(t, real.DovecotOptions{}, real.PostfixOptions{})
	mails, sums := numbered(bulk)
	for _, proto := range bulkProtocols {
		t.Run(proto, func(t *testing.T) {
			p.Postfix.Empty(t, "user1")
			p.Dovecot.Put(t, "alice", "", mails...)
			c := newClient(t, binary(t))
			c.rc(t, bulkRC(p, proto))
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			rnd := rand.New(rand.NewPCG(seed, 0))
			span := wholeRun(t, p, proto, mails) / 10
			killed, times := 0, 1
			for killed < killTimes(t) {
				r, err := c.runKilled(time.Duration(1+rnd.Int64N(int64(span))), "-s")
				if err != nil {
					t.Fatal(err)
				}
				if r.code < 0 {
					killed++
					continue
				}
				// Everything was fetched before the kill: the same mail again for those that are to come.
				if times++; times > 9 {
					t.Fatalf("the program ends before it is killed: %s", r)
				}
				span /= 2 // the machine was slower when the time was taken
				p.Dovecot.Put(t, "alice", "", mails...)
			}
			if r := c.run(t, "-s"); r.code > 1 {
				t.Errorf("the last run: %s", r)
			}
			if n := p.left(t); n != 0 {
				t.Errorf("%d messages are left", n)
			}
			dup := compare(t, p.Postfix.Mail(t, "user1"), sums, times)
			t.Logf("%d kills within %v of the start, %d messages, %d duplicates", killed, span, times*bulk, dup)
			if dup > killed {
				t.Errorf("%d duplicates after %d kills", dup, killed)
			}
		})
	}
}

// wholeRun measures how long bob's copy of the mailbox takes.
func wholeRun(t *testing.T, p *place, proto string, mails []real.Mail) time.Duration {
	t.Helper()
	p.Dovecot.Put(t, "bob", "", mails...)
	c := newClient(t, binary(t))
	c.rc(t, strings.NewReplacer("alice", "bob", "secret", "secret2", "user1", "user2").Replace(bulkRC(p, proto)))
	r := c.run(t, "-s")
	if r.code != 0 {
		t.Fatalf("the run that is timed: %s", r)
	}
	p.Postfix.Empty(t, "user2")
	return r.took
}
