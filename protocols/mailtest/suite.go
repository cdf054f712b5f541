package mailtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols"
)

// Mailbox is one account on some server, for the conformance suite. Functions that a server cannot offer are nil; the
// suite then leaves out what needs them.
type Mailbox struct {
	// Open opens a new session and, where there are folders, selects the inbox. known tells the UIDs that earlier
	// sessions have fetched; nil stands for none.
	Open func(ctx context.Context, known func(uid string) bool) (protocols.Session, error)
	// Left returns the messages that are on the server, in order. IMAP messages that are only marked \Deleted count.
	Left func() [][]byte
	// Refuse makes the server refuse the text of the message at position n (from 1) from now on.
	Refuse func(n int)
	// Cut makes the server drop the connection within the text of the message at position n, after the header.
	Cut func(n int)
	// Hang makes the server fall silent within the text of the message at position n.
	Hang func(n int)
}

// Maker makes a fresh mailbox that holds these messages, raw and with CRLF line ends, in that order.
type Maker func(t *testing.T, mail ...[]byte) Mailbox

// Letter is an everyday message; equal n give equal messages.
func Letter(n int) []byte {
	return crlf(fmt.Sprintf("Received: from far.example.org by mail.example.test; Fri, 3 Jan 2020 10:%02d:00 +0000\n"+
		"Message-ID: <letter-%d@far.example.org>\nDate: Fri, 03 Jan 2020 10:%02d:00 +0000\n"+
		"From: \"Dora Example\" <dora@far.example.org>\nTo: alice@mail.example.test\nSubject: letter %d\n\n"+
		"Dear reader %d,\n\nthis is all.\n", n%60, n, n%60, n, n))
}

// Letters are the messages 1 to n.
func Letters(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = Letter(i + 1)
	}
	return out
}

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// hostile are messages whose bytes must come through unchanged. NUL, bare CR and bare LF are not among them: real
// servers do not keep them.
func hostile() [][]byte {
	return [][]byte{
		crlf("Subject: dots\n\n.\n..\n.x\n...\n\n.\n"),
		crlf("Subject: header only\n\n"),
		crlf("Subject: blank lines\n\n\n\n\n"),
		crlf("Subject: no blank line\nX: y\n"),
		append(crlf("Subject: 8 bit \xff\xfe\n\n"), crlf("\xe4\xf6\xfc\x80\x81 \x1b[31m\n")...),
		append(crlf("Subject: one long line\n\n"), append(bytes.Repeat([]byte("x"), 100_000), "\r\n"...)...),
		crlf("Subject: many lines\n\n" + strings.Repeat("0123456789 0123456789\n", 10_000)),
		crlf("X-Long: " + strings.Repeat("y", 9_000) + "\n" + strings.Repeat("X-More: z\n\tfolded\n", 500) + "\nbody\n"),
		crlf("Subject: tags\n\n* BYE\n+OK\n-ERR\nA0001 OK done\n)\n{10}\n"),
	}
}

// TestSession checks that an implementation of protocols.Session keeps the contract.
func TestSession(t *testing.T, mk Maker) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Maker)
	}{
		{"an empty mailbox lists nothing and commits", suiteEmpty},
		{"List gives numbers, sizes and lasting UIDs", suiteList},
		{"messages arrive byte for byte and in order", suiteBytes},
		{"a chosen few arrive, the others do not", suiteSome},
		{"nothing is asked for no items", suiteNoItems},
		{"a message that is not read to its end does no harm", suiteUnread},
		{"the session goes on after a loop that was left early", suiteBreak},
		{"deleted messages are gone after Commit, no others", suiteDelete},
		{"a message can be deleted without fetching it", suiteDeleteOnly},
		{"Delete works between the messages of a long Fetch", suiteDeleteLong},
		{"Commit in the middle of a Fetch that was left early", suiteCommitEarly},
		{"Close without Commit deletes nothing", suiteClose},
		{"messages can be fetched twice", suiteTwice},
		{"what was seen is told by the next session", suiteSeen},
		{"a refused message does not hold up the others", suiteRefused},
		{"a message that breaks off is told and nothing is deleted", suiteCut},
		{"cancelling ends a silent session and deletes nothing", suiteCancel},
		{"a cancelled session commits nothing", suiteCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, mk) })
	}
}

func suiteContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// open opens a session and lists it.
func open(t *testing.T, box Mailbox, known func(string) bool) (context.Context, protocols.Session, protocols.Listing) {
	t.Helper()
	ctx := suiteContext(t)
	s, err := box.Open(ctx, known)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	l, err := s.List(ctx)
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return ctx, s, l
}

// text reads a message to its end.
func text(t *testing.T, m *protocols.Message) []byte {
	t.Helper()
	body, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatalf("body of message %d: %v", m.Item.Num, err)
	}
	if err := m.Close(); err != nil {
		t.Fatalf("Close of message %d: %v", m.Item.Num, err)
	}
	return append(append([]byte(nil), m.Header...), body...)
}

// fetchAll fetches items and compares them with want, which is indexed by Num-1.
func fetchAll(t *testing.T, ctx context.Context, s protocols.Session, items []protocols.Item, want [][]byte, each func(*protocols.Message)) {
	t.Helper()
	i := 0
	for m, err := range s.Fetch(ctx, items) {
		if err != nil {
			t.Fatalf("Fetch, message %d of %d: %v", i+1, len(items), err)
		}
		if i >= len(items) || m.Item.Num != items[i].Num || m.Item.UID != items[i].UID {
			t.Fatalf("message %d is %+v", i+1, m.Item)
		}
		got := text(t, m)
		sameText(t, m, got, want[m.Item.Num-1])
		if each != nil {
			each(m)
		}
		i++
	}
	if i != len(items) {
		t.Fatalf("Fetch yielded %d of %d messages", i, len(items))
	}
}

func sameText(t *testing.T, m *protocols.Message, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("message %d: got %d octets %.200q, want %d octets %.200q", m.Item.Num, len(got), got, len(want), want)
	}
	head := want
	if i := bytes.Index(want, []byte("\r\n\r\n")); i >= 0 {
		head = want[:i+4]
	}
	if !bytes.Equal(m.Header, head) {
		t.Fatalf("message %d: header %.200q, want %.200q", m.Item.Num, m.Header, head)
	}
}

func wantLeft(t *testing.T, box Mailbox, want ...[]byte) {
	t.Helper()
	// A server may need a moment after the connection has gone.
	var got [][]byte
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		got = box.Left()
		if len(got) == len(want) || time.Now().After(deadline) {
			break
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d messages are left on the server, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("message %d on the server is %.100q, want %.100q", i+1, got[i], want[i])
		}
	}
}

func commit(t *testing.T, ctx context.Context, s protocols.Session, want ...protocols.Item) {
	t.Helper()
	removed, err := s.Commit(ctx)
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	got, wanted := map[int]bool{}, map[int]bool{}
	for _, it := range removed {
		got[it.Num] = true
	}
	for _, it := range want {
		wanted[it.Num] = true
	}
	if len(removed) != len(want) || len(got) != len(wanted) {
		t.Fatalf("Commit confirmed %d messages %v, want %d", len(removed), got, len(want))
	}
	for n := range wanted {
		if !got[n] {
			t.Fatalf("Commit did not confirm message %d", n)
		}
	}
}

func suiteEmpty(t *testing.T, mk Maker) {
	ctx, s, l := open(t, mk(t), nil)
	if l.Total != 0 || len(l.Items) != 0 || l.Octets != 0 {
		t.Errorf("empty mailbox listed as %+v", l)
	}
	if s.Traits().Protocol == "" {
		t.Error("Traits do not name the protocol")
	}
	commit(t, ctx, s)
}

func suiteList(t *testing.T, mk Maker) {
	mail := append(Letters(3), hostile()...)
	box := mk(t, mail...)
	var first []protocols.Item
	for range 2 {
		_, s, l := open(t, box, nil)
		if l.Total != len(mail) || len(l.Items) != len(mail) {
			t.Fatalf("Total %d, %d items, want %d", l.Total, len(l.Items), len(mail))
		}
		uids := map[string]bool{}
		var sum int64
		for i, it := range l.Items {
			if it.Num != i+1 {
				t.Errorf("item %d has Num %d", i, it.Num)
			}
			if it.Size >= 0 && it.Size != int64(len(mail[i])) {
				t.Errorf("item %d has Size %d, want %d", i, it.Size, len(mail[i]))
			}
			if it.UID == "" || uids[it.UID] {
				t.Errorf("item %d has UID %q", i, it.UID)
			}
			uids[it.UID] = true
			sum += int64(len(mail[i]))
			if first != nil && first[i].UID != it.UID {
				t.Errorf("item %d: UID was %q and is %q", i, first[i].UID, it.UID)
			}
		}
		if s.Traits().Octets && l.Octets != sum {
			t.Errorf("Octets %d, want %d", l.Octets, sum)
		}
		first = l.Items
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func suiteBytes(t *testing.T, mk Maker) {
	mail := append(Letters(2), hostile()...)
	box := mk(t, mail...)
	ctx, s, l := open(t, box, nil)
	fetchAll(t, ctx, s, l.Items, mail, nil)
	commit(t, ctx, s)
	wantLeft(t, box, mail...)
}

func suiteSome(t *testing.T, mk Maker) {
	mail := Letters(9)
	ctx, s, l := open(t, mk(t, mail...), nil)
	fetchAll(t, ctx, s, []protocols.Item{l.Items[1], l.Items[2], l.Items[5], l.Items[8]}, mail, nil)
	fetchAll(t, ctx, s, []protocols.Item{l.Items[0]}, mail, nil)
}

func suiteNoItems(t *testing.T, mk Maker) {
	ctx, s, _ := open(t, mk(t, Letters(2)...), nil)
	for m, err := range s.Fetch(ctx, nil) {
		t.Errorf("Fetch of nothing yielded %v, %v", m, err)
	}
	commit(t, ctx, s)
}

func suiteUnread(t *testing.T, mk Maker) {
	mail := append(hostile(), Letters(3)...)
	ctx, s, l := open(t, mk(t, mail...), nil)
	i := 0
	for m, err := range s.Fetch(ctx, l.Items) {
		if err != nil {
			t.Fatal(err)
		}
		switch i % 4 {
		case 0: // nothing is read, Message is closed
			closeTwice(t, m)
		case 1: // a part is read
			io.ReadFull(m.Body, make([]byte, 7))
			closeTwice(t, m)
		case 2: // neither read nor closed
		case 3:
			sameText(t, m, text(t, m), mail[m.Item.Num-1])
		}
		i++
	}
	if i != len(mail) {
		t.Fatalf("%d of %d messages", i, len(mail))
	}
	commit(t, ctx, s)
}

func closeTwice(t *testing.T, m *protocols.Message) {
	t.Helper()
	for range 2 {
		if err := m.Close(); err != nil {
			t.Fatalf("Close of message %d: %v", m.Item.Num, err)
		}
	}
}

func suiteBreak(t *testing.T, mk Maker) {
	mail := append(hostile(), Letters(200)...)
	ctx, s, l := open(t, mk(t, mail...), nil)
	for range s.Fetch(ctx, l.Items) {
		break
	}
	n := 0
	for m, err := range s.Fetch(ctx, l.Items[3:]) {
		if err != nil {
			t.Fatal(err)
		}
		sameText(t, m, text(t, m), mail[m.Item.Num-1])
		if n++; n == 5 {
			break
		}
	}
	fetchAll(t, ctx, s, l.Items[100:110], mail, nil)
	commit(t, ctx, s)
}

func suiteDelete(t *testing.T, mk Maker) {
	mail := Letters(5)
	box := mk(t, mail...)
	ctx, s, l := open(t, box, nil)
	fetchAll(t, ctx, s, l.Items, mail, func(m *protocols.Message) {
		if m.Item.Num == 2 || m.Item.Num == 5 {
			if err := s.Delete(ctx, m.Item); err != nil {
				t.Fatal(err)
			}
		}
	})
	commit(t, ctx, s, l.Items[1], l.Items[4])
	s.Close()
	wantLeft(t, box, mail[0], mail[2], mail[3])
}

func suiteDeleteOnly(t *testing.T, mk Maker) {
	mail := Letters(3)
	box := mk(t, mail...)
	ctx, s, l := open(t, box, nil)
	if err := s.Delete(ctx, l.Items[1]); err != nil {
		t.Fatal(err)
	}
	fetchAll(t, ctx, s, l.Items[2:], mail, nil)
	commit(t, ctx, s, l.Items[1])
	s.Close()
	wantLeft(t, box, mail[0], mail[2])
}

func suiteDeleteLong(t *testing.T, mk Maker) {
	mail := Letters(300)
	box := mk(t, mail...)
	ctx, s, l := open(t, box, nil)
	var gone []protocols.Item
	fetchAll(t, ctx, s, l.Items, mail, func(m *protocols.Message) {
		if m.Item.Num%100 == 7 {
			return
		}
		if err := s.Delete(ctx, m.Item); err != nil {
			t.Fatal(err)
		}
		gone = append(gone, m.Item)
	})
	commit(t, ctx, s, gone...)
	s.Close()
	wantLeft(t, box, mail[6], mail[106], mail[206])
}

func suiteCommitEarly(t *testing.T, mk Maker) {
	mail := append(Letters(200), hostile()...)
	box := mk(t, mail...)
	ctx, s, l := open(t, box, nil)
	var gone []protocols.Item
	for m, err := range s.Fetch(ctx, l.Items) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Item.Num == 4 {
			break // unread, with others under way behind it
		}
		text(t, m)
		if err := s.Delete(ctx, m.Item); err != nil {
			t.Fatal(err)
		}
		gone = append(gone, m.Item)
	}
	commit(t, ctx, s, gone...)
	s.Close()
	wantLeft(t, box, mail[3:]...)
}

func suiteClose(t *testing.T, mk Maker) {
	mail := Letters(4)
	box := mk(t, mail...)
	ctx, s, l := open(t, box, nil)
	for m, err := range s.Fetch(ctx, l.Items) {
		if err != nil {
			t.Fatal(err)
		}
		text(t, m)
		if err := s.Delete(ctx, m.Item); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s.Close()
	wantLeft(t, box, mail...)
	if removed, err := s.Commit(ctx); err == nil || len(removed) != 0 {
		t.Errorf("Commit after Close: %v, %v", removed, err)
	}
}

func suiteTwice(t *testing.T, mk Maker) {
	mail := Letters(3)
	ctx, s, l := open(t, mk(t, mail...), nil)
	for range 2 {
		fetchAll(t, ctx, s, l.Items, mail, nil)
	}
}

func suiteSeen(t *testing.T, mk Maker) {
	mail := Letters(4)
	box := mk(t, mail...)
	ctx, s, l := open(t, box, nil)
	for _, it := range l.Items {
		if it.Seen {
			t.Errorf("message %d is seen in a new mailbox", it.Num)
		}
	}
	fetched := map[string]bool{}
	fetchAll(t, ctx, s, l.Items[:2], mail, func(m *protocols.Message) {
		if err := s.MarkSeen(ctx, m.Item); err != nil {
			t.Fatal(err)
		}
		fetched[m.Item.UID] = true
	})
	commit(t, ctx, s)
	s.Close()
	_, _, l = open(t, box, func(uid string) bool { return fetched[uid] })
	for _, it := range l.Items {
		if it.Seen != (it.Num <= 2) {
			t.Errorf("message %d: Seen %v in the second session", it.Num, it.Seen)
		}
	}
	if !l.SeenKnown {
		t.Error("SeenKnown is false")
	}
}

func suiteRefused(t *testing.T, mk Maker) {
	mail := Letters(5)
	box := mk(t, mail...)
	if box.Refuse == nil {
		t.Log("this server refuses nothing")
		return
	}
	box.Refuse(2)
	box.Refuse(5)
	ctx, s, l := open(t, box, nil)
	var good, bad []int
	for m, err := range s.Fetch(ctx, l.Items) {
		if m == nil {
			t.Fatal(err)
		}
		if err != nil {
			var f *protocols.Fault
			if !errors.As(err, &f) || f.Kind != protocols.Unavailable {
				t.Errorf("message %d: %v is not a Fault of kind Unavailable", m.Item.Num, err)
			}
			bad = append(bad, m.Item.Num)
			continue
		}
		sameText(t, m, text(t, m), mail[m.Item.Num-1])
		good = append(good, m.Item.Num)
		if err := s.Delete(ctx, m.Item); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(good, bad) != "[1 3 4] [2 5]" {
		t.Errorf("fetched %v, refused %v", good, bad)
	}
	commit(t, ctx, s, l.Items[0], l.Items[2], l.Items[3])
	s.Close()
	wantLeft(t, box, mail[1], mail[4])
}

func suiteCut(t *testing.T, mk Maker) {
	mail := append(Letters(2), hostile()[6])
	box := mk(t, mail...)
	if box.Cut == nil {
		t.Log("this server never cuts")
		return
	}
	box.Cut(3)
	ctx, s, l := open(t, box, nil)
	var ended error
	for m, err := range s.Fetch(ctx, l.Items) {
		if m == nil {
			ended = err
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err := io.Copy(io.Discard, m.Body)
		if (m.Item.Num == 3) != (err != nil) {
			t.Errorf("message %d: %v", m.Item.Num, err)
		}
		var f *protocols.Fault
		if err != nil && (!errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &f) || f.Phase != protocols.InMessage) {
			t.Errorf("message %d: %#v is not a Fault within the message that wraps io.ErrUnexpectedEOF", m.Item.Num, err)
		}
		if err == nil {
			s.Delete(ctx, m.Item)
		}
	}
	if ended == nil {
		t.Error("Fetch did not tell that the session has ended")
	}
	if removed, err := s.Commit(ctx); err == nil || len(removed) != 0 {
		t.Errorf("Commit on a broken connection: %v, %v", removed, err)
	}
	s.Close()
	if s.Traits().CommitEnds {
		wantLeft(t, box, mail...)
	}
}

func suiteCancel(t *testing.T, mk Maker) {
	mail := append(Letters(2), hostile()[6])
	box := mk(t, mail...)
	if box.Hang == nil {
		t.Log("this server never falls silent")
		return
	}
	box.Hang(3)
	ctx, cancel := context.WithCancelCause(suiteContext(t))
	defer cancel(nil)
	s, err := box.Open(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := s.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("the user wants to leave")
	for m, err := range s.Fetch(ctx, l.Items) {
		if m == nil {
			if !errors.Is(err, why) {
				t.Errorf("Fetch ended with %v", err)
			}
			break
		}
		if m.Item.Num == 3 {
			time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
		}
		_, err = io.Copy(io.Discard, m.Body)
		if m.Item.Num == 3 && !errors.Is(err, why) {
			t.Errorf("body ended with %v", err)
		}
		if err == nil {
			s.Delete(ctx, m.Item)
		}
	}
	if removed, err := s.Commit(ctx); err == nil || len(removed) != 0 {
		t.Errorf("Commit after cancelling: %v, %v", removed, err)
	}
	s.Close()
	if s.Traits().CommitEnds {
		wantLeft(t, box, mail...)
	}
}

func suiteCancelled(t *testing.T, mk Maker) {
	mail := Letters(3)
	box := mk(t, mail...)
	ctx, cancel := context.WithCancel(suiteContext(t))
	s, err := box.Open(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := s.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.Delete(ctx, l.Items[0])
	cancel()
	if removed, err := s.Commit(ctx); !errors.Is(err, context.Canceled) || len(removed) != 0 {
		t.Errorf("Commit after cancelling: %v, %v", removed, err)
	}
	s.Close()
	wantLeft(t, box, mail...)
}
