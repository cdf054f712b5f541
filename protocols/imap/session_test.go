package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/wire"
)

// opened opens a session, selects the inbox and lists it.
func opened(t *testing.T, o Options) (*Session, protocols.Listing) {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Select(t.Context(), "", false); err != nil {
		t.Fatal(err)
	}
	l, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

// drain fetches items, deletes what came whole, and tells of each how it went: "1 ok", "2 message unavailable".
func drain(s *Session, items []protocols.Item) (log []string) {
	ctx := context.Background()
	for m, err := range s.Fetch(ctx, items) {
		if m == nil {
			return append(log, "end "+protocols.AsFault(err).Kind.String())
		}
		if err == nil {
			_, err = io.Copy(io.Discard, m.Body)
		}
		if err != nil {
			log = append(log, fmt.Sprint(m.Item.Num, " ", protocols.AsFault(err).Kind))
			continue
		}
		log = append(log, fmt.Sprint(m.Item.Num, " ok"))
		if err := s.Delete(ctx, m.Item); err != nil {
			log = append(log, "delete: "+protocols.AsFault(err).Kind.String())
		}
	}
	return log
}

func nums(items []protocols.Item) (n []int) {
	for _, it := range items {
		n = append(n, it.Num)
	}
	return n
}

func TestCommandsOnTheWire(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*mailtest.IMAP, *Options)
		want   string
	}{
		{"batches", nil, `A0001 CAPABILITY
A0002 LOGIN "alice" "secret"
A0003 SELECT "INBOX"
A0004 EXPUNGE
A0005 UID FETCH 1:* (UID FLAGS RFC822.SIZE)
A0006 UID FETCH 101:103 (UID BODY.PEEK[])
A0007 UID STORE 101:103 +FLAGS.SILENT (\Seen \Deleted)
A0008 UID EXPUNGE 101:103
A0009 LOGOUT`},
		{"batches, keep", func(s *mailtest.IMAP, o *Options) { o.Keep = true }, `A0001 CAPABILITY
A0002 LOGIN "alice" "secret"
A0003 SELECT "INBOX"
A0004 UID FETCH 1:* (UID FLAGS RFC822.SIZE)
A0005 UID FETCH 101:103 (UID BODY.PEEK[])
A0006 UID STORE 101:103 +FLAGS.SILENT (\Seen \Deleted)
A0007 UID EXPUNGE 101:103
A0008 LOGOUT`},
		// The reference's own sequence, but for UID SEARCH.
		{"message by message", func(s *mailtest.IMAP, o *Options) { s.Caps = []string{"IMAP4rev1"} }, `A0001 CAPABILITY
A0002 LOGIN "alice" "secret"
A0003 SELECT "INBOX"
A0004 EXPUNGE
A0005 SEARCH UNSEEN
A0006 UID SEARCH ALL
A0007 FETCH 1:3 RFC822.SIZE
A0008 FETCH 1 RFC822.HEADER
A0009 FETCH 1 BODY.PEEK[TEXT]
A0010 STORE 1 +FLAGS (\Seen \Deleted)
A0011 EXPUNGE
A0012 FETCH 1 RFC822.HEADER
A0013 FETCH 1 BODY.PEEK[TEXT]
A0014 STORE 1 +FLAGS (\Seen \Deleted)
A0015 EXPUNGE
A0016 FETCH 1 RFC822.HEADER
A0017 FETCH 1 BODY.PEEK[TEXT]
A0018 STORE 1 +FLAGS (\Seen \Deleted)
A0019 EXPUNGE
A0020 LOGOUT`},
		{"expunge 2, fetchsizelimit 2, keep", func(s *mailtest.IMAP, o *Options) {
			s.Caps, s.NoUID, o.Expunge, o.ExpungeSet, o.FetchSizeLimit, o.Keep = []string{"IMAP4rev1"}, true, 2, true, 2, true
		}, `A0001 CAPABILITY
A0002 LOGIN "alice" "secret"
A0003 SELECT "INBOX"
A0004 SEARCH UNSEEN UNDELETED
A0005 UID SEARCH ALL
A0006 FETCH 1:2 RFC822.SIZE
A0007 FETCH 3 RFC822.SIZE
A0008 FETCH 1 RFC822.HEADER
A0009 FETCH 1 BODY.PEEK[TEXT]
A0010 STORE 1 +FLAGS (\Seen \Deleted)
A0011 FETCH 2 RFC822.HEADER
A0012 FETCH 2 BODY.PEEK[TEXT]
A0013 STORE 2 +FLAGS (\Seen \Deleted)
A0014 EXPUNGE
A0015 FETCH 1 RFC822.HEADER
A0016 FETCH 1 BODY.PEEK[TEXT]
A0017 STORE 1 +FLAGS (\Seen \Deleted)
A0018 EXPUNGE
A0019 LOGOUT`},
		{"IMAP4", func(s *mailtest.IMAP, o *Options) {
			s.Caps, s.NoUIDValidity, o.FetchAll, o.Expunge, o.ExpungeSet = nil, true, true, 0, true
		}, `A0001 CAPABILITY
A0002 LOGIN "alice" "secret"
A0003 SELECT "INBOX"
A0004 EXPUNGE
A0005 FETCH 1:3 RFC822.SIZE
A0006 FETCH 1 RFC822.HEADER
A0007 FETCH 1 RFC822.TEXT.PEEK
A0008 STORE 1 +FLAGS.SILENT (\Seen \Deleted)
A0009 FETCH 2 RFC822.HEADER
A0010 FETCH 2 RFC822.TEXT.PEEK
A0011 STORE 2 +FLAGS.SILENT (\Seen \Deleted)
A0012 FETCH 3 RFC822.HEADER
A0013 FETCH 3 RFC822.TEXT.PEEK
A0014 STORE 3 +FLAGS.SILENT (\Seen \Deleted)
A0015 EXPUNGE
A0016 LOGOUT`},
		{"a large message", func(s *mailtest.IMAP, o *Options) { o.LargeMessage = 200; o.Keep = true }, `A0001 CAPABILITY
A0002 LOGIN "alice" "secret"
A0003 SELECT "INBOX"
A0004 UID FETCH 1:* (UID FLAGS RFC822.SIZE)
A0005 UID FETCH 101 (UID BODY.PEEK[HEADER])
A0006 UID FETCH 101 (UID BODY.PEEK[TEXT])
A0007 UID STORE 101 +FLAGS.SILENT (\Seen \Deleted)
A0008 UID FETCH 102 (UID BODY.PEEK[HEADER])
A0009 UID FETCH 102 (UID BODY.PEEK[TEXT])
A0010 UID STORE 102 +FLAGS.SILENT (\Seen \Deleted)
A0011 UID FETCH 103 (UID BODY.PEEK[HEADER])
A0012 UID FETCH 103 (UID BODY.PEEK[TEXT])
A0013 UID STORE 103 +FLAGS.SILENT (\Seen \Deleted)
A0014 UID EXPUNGE 101:103
A0015 LOGOUT`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mailtest.NewIMAP(mailtest.Letters(3)...)
			var o Options
			if c.change != nil {
				c.change(s, &o)
			}
			start(t, s)
			base := options(s)
			o.Dialer, o.Host, o.Service, o.User, o.Secret = base.Dialer, base.Host, base.Service, base.User, base.Secret
			session, l := opened(t, o)
			if got := fmt.Sprint(drain(session, l.Items)); got != "[1 ok 2 ok 3 ok]" {
				t.Error(got)
			}
			if removed, err := session.Commit(t.Context()); err != nil || len(removed) != 3 {
				t.Error(nums(removed), err)
			}
			if err := session.Close(); err != nil {
				t.Error(err)
			}
			if got := strings.Join(s.Commands()[0], "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if n := len(s.Left("alice", "INBOX")); n != 0 {
				t.Errorf("%d messages are left", n)
			}
		})
	}
}

func TestAThousandMessagesTakeFewRoundTrips(t *testing.T) {
	s := start(t, mailtest.NewIMAP(mailtest.Letters(1000)...))
	session, l := opened(t, options(s))
	if log := drain(session, l.Items); len(log) != 1000 || slices.ContainsFunc(log, func(l string) bool { return !strings.HasSuffix(l, " ok") }) {
		t.Fatal(log)
	}
	removed, err := session.Commit(t.Context())
	session.Close()
	if err != nil || len(removed) != 1000 {
		t.Error(len(removed), err)
	}
	if n := s.Trips(); n > 50 {
		t.Errorf("%d round trips", n)
	}
	if n := len(s.Left("alice", "INBOX")); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// Wherever the connection breaks off, nothing goes that was not read to its end.
func TestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	mail := [][]byte{[]byte("A: b\r\n\r\nfirst\r\n"), []byte("C: d\r\n\r\nsecond\r\n")}
	for _, caps := range [][]string{{"IMAP4rev1", "UIDPLUS"}, {"IMAP4rev1"}} {
		whole := 0
		for cut := int64(1); whole < 2; cut++ {
			s := mailtest.NewIMAP(mail...)
			s.Caps, s.CutAfter = caps, cut
			got := map[string]bool{}
			end := cutSession(t, piped(s), mail, got)
			s.Close()
			left := s.Left("alice", "INBOX")
			for _, m := range mail {
				if !got[string(m)] && !slices.ContainsFunc(left, func(l mailtest.IMAPMail) bool {
					return bytes.Equal(l.Raw, m) && !slices.Contains(l.Flags, `\Deleted`)
				}) {
					t.Fatalf("cut after %d octets (%v): a message is gone that was not fetched", cut, caps)
				}
			}
			if end == nil {
				whole++
			}
			if cut > 10_000 {
				t.Fatal("the session never ends well")
			}
		}
	}
}

// piped are the options of a session that needs no port.
func piped(s *mailtest.IMAP) Options {
	return Options{Host: "127.0.0.1", Service: "143", User: "alice", Secret: auth.Fixed("secret"), Dialer: &wire.Dialer{
		Timeout: 10 * time.Second,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			s.Serve(theirs)
			return ours, nil
		},
	}}
}

// cutSession is a whole poll; got takes the texts of messages that came whole.
func cutSession(t *testing.T, o Options, mail [][]byte, got map[string]bool) error {
	ctx := t.Context()
	s, err := Open(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	l, err := s.List(ctx)
	if err != nil {
		return err
	}
	for m, err := range s.Fetch(ctx, l.Items) {
		if m == nil || err != nil {
			return err
		}
		text, err := io.ReadAll(m.Body)
		if err != nil {
			continue
		}
		text = append(slices.Clone(m.Header), text...)
		if !bytes.Equal(text, mail[m.Item.Num-1]) {
			t.Errorf("half a message passed for a whole one: %q", text)
		}
		got[string(text)] = true
		if err := s.Delete(ctx, m.Item); err != nil {
			return err
		}
	}
	if _, err := s.Commit(ctx); err != nil {
		return err
	}
	return s.Close()
}

// The inactivity limit must not run while the sink holds us up, whatever the library's own deadlines say.
func TestASlowSinkDoesNotTimeOut(t *testing.T) {
	const limit, pause = 5 * time.Minute, 6 * time.Minute
	for name, caps := range map[string][]string{"batches": {"IMAP4rev1", "UIDPLUS"}, "message by message": {"IMAP4rev1"}} {
		t.Run(name, func(t *testing.T) {
			s := mailtest.NewIMAP(append(mailtest.Letters(1), bytes.Repeat([]byte("0123456789\r\n"), 300_000))...)
			s.Caps = caps
			onPipe(t, s, limit, func(t *testing.T, o Options) {
				session, l := opened(t, o)
				n := 0
				for m, err := range session.Fetch(t.Context(), l.Items) {
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(pause)
					io.ReadFull(m.Body, make([]byte, 10))
					time.Sleep(pause)
					if _, err := io.Copy(io.Discard, m.Body); err != nil {
						t.Fatal(err)
					}
					time.Sleep(pause)
					if err := session.Delete(t.Context(), m.Item); err != nil {
						t.Fatal(err)
					}
					n++
				}
				if removed, err := session.Commit(t.Context()); n != 2 || len(removed) != 2 || err != nil {
					t.Error(n, nums(removed), err)
				}
			})
		})
	}
}

func TestFaultsOfSingleMessages(t *testing.T) {
	lie := func(n int64) func(*mailtest.IMAPMail) { return func(m *mailtest.IMAPMail) { m.Announce = n } }
	letter := int64(len(mailtest.Letter(2)))
	for _, c := range []struct {
		name   string
		change func(*mailtest.IMAPMail)
		want   string
	}{
		{"refused", func(m *mailtest.IMAPMail) { m.Refused = true }, "[1 ok 3 ok 2 message unavailable] [1 3]"},
		{"left out", func(m *mailtest.IMAPMail) { m.Missing = true }, "[1 ok 3 ok 2 message unavailable] [1 3]"},
		// What is behind the end of the literal is text of a message, and nothing in it may be believed.
		{"announced too small", lie(letter - 20), "[1 ok 2 message unavailable 3 ok] [1 3]"},
		{"announced too small, by its last line end", lie(letter - 2), "[1 ok 2 message unavailable 3 ok] [1 3]"},
		{"announced as nothing", lie(1), "[1 ok 2 message unavailable 3 ok] [1 3]"},
		{"with a text like our commands", func(m *mailtest.IMAPMail) {
			m.Raw = []byte("Subject: x\r\n\r\ntext\r\n" + strings.Repeat(")\r\nA0006 OK done\r\nA0007 OK done\r\n* 3 FETCH (UID 103 BODY[] {3}\r\nbad)\r\nA0008 OK done\r\n", 20))
			m.Announce = 14
		}, "[1 ok 2 message unavailable 3 ok] [1 3]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mailtest.NewIMAP(mailtest.Letters(3)...)
			s.Change("alice", "INBOX", 2, c.change)
			start(t, s)
			session, l := opened(t, options(s))
			log := drain(session, l.Items)
			removed, err := session.Commit(t.Context())
			if err != nil && protocols.AsFault(err).Kind != protocols.Server {
				t.Error(err)
			}
			if err != nil { // marks whose answers were lost: they are made again, as the next poll would
				for _, it := range []protocols.Item{l.Items[0], l.Items[2]} {
					session.Delete(t.Context(), it)
				}
				removed, err = session.Commit(t.Context())
			}
			if got := fmt.Sprint(log, " ", nums(removed)); err != nil || !sameWords(got, c.want) {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
			if left := s.Left("alice", "INBOX"); len(left) != 1 || left[0].UID != 102 || len(left[0].Flags) != 0 {
				t.Errorf("left are %v", left)
			}
		})
	}
}

// sameWords compares without regard to order.
func sameWords(a, b string) bool {
	x, y := strings.FieldsFunc(a, brackets), strings.FieldsFunc(b, brackets)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

func brackets(r rune) bool { return strings.ContainsRune("[] ", r) }

func TestALiteralThatIsTooLongEndsTheSession(t *testing.T) {
	s := mailtest.NewIMAP(mailtest.Letters(3)...)
	s.Change("alice", "INBOX", 2, func(m *mailtest.IMAPMail) { m.Announce = 1 << 40 })
	start(t, s)
	o := options(s)
	o.Dialer.Timeout = time.Second
	session, l := opened(t, o)
	if got := fmt.Sprint(drain(session, l.Items)); got != "[1 ok 2 timeout end timeout]" {
		t.Error(got)
	}
	if removed, err := session.Commit(t.Context()); err == nil || len(removed) != 0 {
		t.Error(nums(removed), err)
	}
	if left := s.Left("alice", "INBOX"); len(left) != 3 {
		t.Errorf("%d messages are left", len(left))
	}
}

func TestRefusalsOfRemoval(t *testing.T) {
	for _, c := range []struct {
		name, command, reply string
		removed              string
		detail               string
		left                 int
	}{
		{"STORE refused", "UID STORE", "TAG NO not these", "[]", "", 3},
		{"EXPUNGE refused", "UID EXPUNGE", "TAG NO not now", "[]", "", 3},
		{"EXPUNGE does nothing", "UID EXPUNGE", "TAG OK done", "[]", "mail expunge mismatch (0 actual != 3 expected)", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, mailtest.NewIMAP(mailtest.Letters(3)...))
			s.On(c.command, mailtest.IMAPReply(c.reply))
			session, l := opened(t, options(s))
			drain(session, l.Items)
			removed, err := session.Commit(t.Context())
			f := protocols.AsFault(err)
			if err == nil || f.Kind != protocols.Server || strings.Join(f.Detail, "\n") != c.detail {
				t.Errorf("%v %q", err, f.Detail)
			}
			if got := fmt.Sprint(nums(removed)); got != c.removed {
				t.Errorf("removed %s", got)
			}
			if left := s.Left("alice", "INBOX"); len(left) != c.left {
				t.Errorf("%d messages are left", len(left))
			}
		})
	}
}

func TestOthersChangeTheFolder(t *testing.T) {
	s := start(t, mailtest.NewIMAP(mailtest.Letters(6)...))
	session, l := opened(t, options(s))
	s.Remove("alice", "INBOX", 2)
	s.Put("alice", "INBOX", mailtest.IMAPMail{Raw: mailtest.Letter(7)})
	if got := fmt.Sprint(drain(session, l.Items)); !sameWords(got, "[1 ok 3 ok 4 ok 5 ok 6 ok 2 message unavailable]") {
		t.Error(got)
	}
	removed, err := session.Commit(t.Context())
	if err != nil || fmt.Sprint(nums(removed)) != "[1 3 4 5 6]" {
		t.Error(nums(removed), err)
	}
	if !session.Announced() {
		t.Error("new mail was not announced")
	}
	l, err = session.List(t.Context())
	if err != nil || l.Total != 1 || l.Items[0].Num != 1 || session.Announced() {
		t.Error(l, err)
	}
	if got := fmt.Sprint(drain(session, l.Items)); got != "[1 ok]" {
		t.Error(got)
	}
}

func TestWithoutKeepDeletedMessagesGoFirst(t *testing.T) {
	for _, keep := range []bool{false, true} {
		for _, fetchAll := range []bool{false, true} {
			s := mailtest.NewIMAP(mailtest.Letters(4)...)
			s.Change("alice", "INBOX", 1, func(m *mailtest.IMAPMail) { m.Flags = []string{`\Deleted`} })
			s.Change("alice", "INBOX", 3, func(m *mailtest.IMAPMail) { m.Flags = []string{`\Seen`} })
			start(t, s)
			o := options(s)
			o.Keep, o.FetchAll = keep, fetchAll
			_, l := opened(t, o)
			var seen []int
			for _, it := range l.Items {
				if it.Seen {
					seen = append(seen, it.Num)
				}
			}
			want := map[[2]bool]string{{false, false}: "3 [2] true", {true, false}: "4 [1 3] true", {false, true}: "3 [] false", {true, true}: "4 [] false"}
			if got := fmt.Sprint(l.Total, " ", seen, " ", l.SeenKnown); got != want[[2]bool{keep, fetchAll}] {
				t.Errorf("keep %v, fetchall %v: %s", keep, fetchAll, got)
			}
		}
	}
}

func TestMoveTo(t *testing.T) {
	for _, drop := range []string{"", "MOVE", "UIDPLUS"} {
		s := mailtest.NewIMAP(mailtest.Letters(3)...)
		s.Caps = without(s.Caps, drop)
		s.Folder("alice", `a "b" \c`)
		start(t, s)
		o := options(s)
		o.MoveTo = `a "b" \c`
		session, l := opened(t, o)
		if got := fmt.Sprint(drain(session, l.Items[:2])); got != "[1 ok 2 ok]" {
			t.Error(got)
		}
		if removed, err := session.Commit(t.Context()); err != nil || fmt.Sprint(nums(removed)) != "[1 2]" {
			t.Error(drop, nums(removed), err)
		}
		if a, b := len(s.Left("alice", "INBOX")), len(s.Left("alice", o.MoveTo)); a != 1 || b != 2 {
			t.Errorf("without %q: %d in the inbox, %d moved", drop, a, b)
		}
	}
	s := start(t, mailtest.NewIMAP(mailtest.Letters(1)...))
	o := options(s)
	o.MoveTo = "nowhere"
	session, l := opened(t, o)
	drain(session, l.Items)
	removed, err := session.Commit(t.Context())
	if f := protocols.AsFault(err); err == nil || f.Kind != protocols.Server || f.Reply != "NO [TRYCREATE] no such folder" || len(removed) > 0 {
		t.Error(err, removed)
	}
}

func TestFolders(t *testing.T) {
	s := mailtest.NewIMAP()
	for _, name := range []string{`a"b\c`, "Entw&APw-rfe", "Entw\xfcrfe", "two words"} {
		s.Put("alice", name, mailtest.IMAPMail{Raw: mailtest.Letter(1)})
	}
	start(t, s)
	session, err := Open(t.Context(), options(s))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for _, name := range []string{`a"b\c`, "Entw&APw-rfe", "Entw\xfcrfe", "two words"} {
		if err := session.Select(t.Context(), name, true); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if l, err := session.List(t.Context()); err != nil || l.Total != 1 {
			t.Errorf("%q: %v %v", name, l, err)
		}
	}
	before := len(s.Commands()[0])
	for _, name := range []string{"a\r\nA0009 DELETE b", "a\x00b", "\n"} {
		err := session.Select(t.Context(), name, false)
		if f := protocols.AsFault(err); err == nil || f.Kind != protocols.Config {
			t.Errorf("%q: %v", name, err)
		}
	}
	session.o.MoveTo = "a\r\nA0009 DELETE b"
	if err := session.Select(t.Context(), "two words", false); err == nil || protocols.AsFault(err).Kind != protocols.Config {
		t.Errorf("moveto: %v", err)
	}
	session.o.MoveTo = ""
	if n := len(s.Commands()[0]); n != before {
		t.Errorf("%q was sent", s.Commands()[0][before:])
	}
	err = session.Select(t.Context(), "nope", false)
	if f := protocols.AsFault(err); err == nil || f.Kind != protocols.Server || len(f.Detail) != 1 || f.Detail[0] != "mailbox selection failed" {
		t.Error(err)
	}
}

func TestReadOnlyChangesNothing(t *testing.T) {
	for _, caps := range [][]string{{"IMAP4rev1", "UIDPLUS"}, {"IMAP4rev1"}} {
		s := mailtest.NewIMAP(mailtest.Letters(2)...)
		s.Caps = caps
		s.Change("alice", "INBOX", 1, func(m *mailtest.IMAPMail) { m.Flags = []string{`\Deleted`} })
		start(t, s)
		session, err := Open(t.Context(), options(s))
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Select(t.Context(), "", true); err != nil {
			t.Fatal(err)
		}
		l, err := session.List(t.Context())
		if err != nil || l.Total != 2 || l.Items[1].Seen {
			t.Error(l, err)
		}
		if err := session.Delete(t.Context(), l.Items[1]); err == nil {
			t.Error("deleted in a folder that is only read")
		}
		session.Close()
		for _, line := range s.Commands()[0] {
			if strings.Contains(line, "STORE") || strings.Contains(line, "EXPUNGE") || strings.Contains(line, "SELECT") {
				t.Errorf("%q was sent", line)
			}
		}
	}
}

func TestAnotherUIDValidityIsAnotherFolder(t *testing.T) {
	s := mailtest.NewIMAP(mailtest.Letters(2)...)
	start(t, s)
	_, l := opened(t, options(s))
	s.UIDValidity = 7
	session, _ := opened(t, options(s))
	if err := session.Delete(t.Context(), l.Items[0]); err == nil {
		t.Error("a message was deleted by the UID of another time")
	}
	if got := fmt.Sprint(drain(session, l.Items[:1])); got != "[1 message unavailable]" {
		t.Error(got)
	}
}

func TestIdle(t *testing.T) {
	for name, change := range map[string]func(*mailtest.IMAP, *Options){
		"IDLE":       nil,
		"forced":     func(s *mailtest.IMAP, o *Options) { s.Caps = without(s.Caps, "IDLE"); o.ForceIdle = true },
		"begun anew": func(s *mailtest.IMAP, o *Options) { o.IdleTimeout = 20 * time.Minute },
		"NOOP": func(s *mailtest.IMAP, o *Options) {
			s.Caps = without(s.Caps, "IDLE")
			o.NoopInterval = 10 * time.Minute
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := mailtest.NewIMAP(mailtest.Letters(1)...)
			onPipe(t, s, time.Minute, func(t *testing.T, o Options) {
				if change != nil {
					change(s, &o)
				}
				session, l := opened(t, o)
				drain(session, l.Items)
				session.Commit(t.Context())
				if session.CanWait() != (name != "NOOP") {
					t.Error("CanWait", session.CanWait())
				}
				for i := range 2 {
					time.AfterFunc(100*time.Minute, func() { s.Put("alice", "INBOX", mailtest.IMAPMail{Raw: mailtest.Letter(2 + i)}) })
					begin := time.Now()
					if err := session.Wait(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(begin); took < 100*time.Minute || took > 111*time.Minute {
						t.Errorf("waited for %v", took)
					}
					l, err := session.List(t.Context())
					if err != nil || len(l.Items) != 1 {
						t.Fatal(l, err)
					}
					if got := fmt.Sprint(drain(session, l.Items)); got != "[1 ok]" {
						t.Error(got)
					}
					session.Commit(t.Context())
				}
				// Whoever wants to know now is let through, and the session goes on.
				wake := make(chan struct{}, 1)
				wake <- struct{}{}
				if err := session.Wait(t.Context(), wake); err != nil {
					t.Fatal(err)
				}
				if l, err := session.List(t.Context()); err != nil || l.Total != 0 {
					t.Error(l, err)
				}
			})
		})
	}
}

func TestIdleEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		act  mailtest.IMAPAct
		want protocols.Kind
	}{
		{"the server goes", mailtest.IMAPThen(mailtest.IMAPReply("+ idling"), mailtest.IMAPDrop), protocols.Socket},
		{"BYE", mailtest.IMAPReply("+ idling", "* BYE time is up"), protocols.Socket},
		{"refused", mailtest.IMAPReply("TAG NO not now"), protocols.Server},
		{"OK without +", mailtest.IMAPReply("TAG OK done"), protocols.Server},
		{"silence instead of +", mailtest.IMAPHang, protocols.Timeout},
		{"silence after DONE", mailtest.IMAPThen(mailtest.IMAPReply("+ idling", "* 9 EXISTS"), mailtest.IMAPHang), protocols.Timeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mailtest.NewIMAP(mailtest.Letters(1)...)
			s.On("IDLE", c.act)
			onPipe(t, s, time.Second, func(t *testing.T, o Options) {
				o.IdleTimeout = time.Minute
				session, _ := opened(t, o)
				err := session.Wait(t.Context(), nil)
				if f := protocols.AsFault(err); err == nil || f.Kind != c.want {
					t.Errorf("%v", err)
				}
			})
		})
	}
	s := start(t, mailtest.NewIMAP())
	session, _ := opened(t, options(s))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := session.Wait(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestCloseWithinTheLoop(t *testing.T) {
	s := start(t, mailtest.NewIMAP(mailtest.Letters(50)...))
	session, l := opened(t, options(s))
	n := 0
	for range session.Fetch(t.Context(), l.Items) {
		n++
		session.Close()
	}
	if n != 1 {
		t.Errorf("%d messages after Close", n)
	}
	session.Close()
}

func TestWhatWouldWaitWithinTheLoopIsRefused(t *testing.T) {
	s := start(t, mailtest.NewIMAP(mailtest.Letters(20)...))
	session, l := opened(t, options(s))
	for _, err := range session.Fetch(t.Context(), l.Items) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := session.List(t.Context()); !errors.Is(err, errLooping) {
			t.Error("List:", err)
		}
		if err := session.Select(t.Context(), "", false); !errors.Is(err, errLooping) {
			t.Error("Select:", err)
		}
		if err := session.Wait(t.Context(), nil); !errors.Is(err, errLooping) {
			t.Error("Wait:", err)
		}
		for _, err := range session.Fetch(t.Context(), l.Items) {
			if !errors.Is(err, errLooping) {
				t.Error("Fetch:", err)
			}
		}
		if removed, err := session.Commit(t.Context()); err != nil || len(removed) > 0 {
			t.Error("Commit:", removed, err)
		}
		break
	}
	if got := len(drain(session, l.Items)); got != 20 {
		t.Errorf("%d messages", got)
	}
}

func TestHostileServers(t *testing.T) {
	for _, c := range []struct {
		name, command string
		act           mailtest.IMAPAct
		want          protocols.Kind
	}{
		{"a line without end", "UID FETCH", mailtest.IMAPFlood("* 1 FETCH (", "x"), protocols.Protocol},
		{"nesting without end", "UID FETCH", mailtest.IMAPFlood("* 1 FETCH (BODYSTRUCTURE ", "("), protocols.Protocol},
		{"more messages than can be", "SELECT", mailtest.IMAPReply("* 4294967295 EXISTS", "TAG OK done"), protocols.Protocol},
		{"more messages than can be, later", "EXPUNGE", mailtest.IMAPReply("* 4294967295 EXISTS", "TAG OK done"), protocols.Protocol},
		{"an unwanted literal of 4 GiB", "SELECT", mailtest.IMAPReply("* LIST () {4294967296}"), protocols.Protocol},
		{"untagged lines without end", "SELECT", mailtest.IMAPFlood("", "* 1 RECENT\r\n"), protocols.Protocol},
		{"BYE", "SELECT", mailtest.IMAPReply("* BYE enough"), protocols.Socket},
		{"silence", "SELECT", mailtest.IMAPHang, protocols.Timeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, mailtest.NewIMAP(mailtest.Letters(1)...))
			s.On(c.command, c.act)
			o := options(s)
			o.Dialer.Timeout = 10 * time.Second
			if c.want == protocols.Timeout {
				o.Dialer.Timeout = time.Second
			}
			session, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			_, err = session.List(t.Context())
			if f := protocols.AsFault(err); err == nil || f.Kind != c.want {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestHostileServersBeforeTheLogin(t *testing.T) {
	for name, act := range map[string]mailtest.IMAPAct{
		"a line without end":           mailtest.IMAPFlood("* CAPABILITY ", "x"),
		"untagged lines without end":   mailtest.IMAPFlood("", "* OK wait\r\n"),
		"an unwanted literal of 4 GiB": mailtest.IMAPReply("* LIST () {4294967296}"),
		"literals without end":         mailtest.IMAPFlood("* LIST", " {1}\r\nx"),
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, mailtest.NewIMAP(mailtest.Letters(1)...))
			s.On("CAPABILITY", act)
			_, err := Open(t.Context(), options(s))
			if f := protocols.AsFault(err); err == nil || f.Kind != protocols.Protocol {
				t.Errorf("%v", err)
			}
			for _, line := range s.Commands()[0] {
				if strings.Contains(line, "LOGIN") {
					t.Errorf("it gets the password: %q", line)
				}
			}
		})
	}
}

// What a server says reaches a log.
func TestAlertsAreToldUpToALimit(t *testing.T) {
	s := mailtest.NewIMAP()
	many := slices.Repeat([]string{"* OK [ALERT] beware"}, 300)
	s.On("CAPABILITY", mailtest.IMAPReply(append(many, "* CAPABILITY IMAP4rev1", "TAG OK done")...))
	s.On("SELECT", mailtest.IMAPReply(append(many, "* 0 EXISTS", "TAG OK done")...))
	start(t, s)
	o := options(s)
	told := 0
	o.Alert = func(string) { told++ }
	session, _ := opened(t, o)
	session.Close()
	if told != maxAlerts {
		t.Errorf("%d alerts are told", told)
	}
}

// RFC 3501, section 6.2.1: what was learned before TLS is forgotten, also where nothing comes in its place.
func TestCapabilitiesFromBeforeTLSAreForgotten(t *testing.T) {
	ca := mailtest.NewCA(t, "test CA")
	s := mailtest.NewIMAP(mailtest.Letters(1)...)
	s.TLS = ca.Issue(t, mailtest.CertSpec{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}).Config()
	start(t, s)
	s.Once("CAPABILITY", mailtest.IMAPReply("* CAPABILITY IMAP4rev1 STARTTLS AUTH=CRAM-MD5", "TAG OK done"), mailtest.IMAPReply("TAG OK done"))
	o := options(s)
	o.StartTLS, o.TLS = wire.Must, &wire.TLS{CheckCert: true, CertFile: ca.File(t)}
	session, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	want := []string{"A0001 CAPABILITY", "A0002 STARTTLS", "A0003 CAPABILITY", `A0004 LOGIN "alice" "secret"`}
	if got := s.Commands()[0]; !slices.Equal(got[:min(len(got), len(want))], want) {
		t.Errorf("commands %q", got)
	}
}

func TestTheTraceShowsNoSecretsAndNoText(t *testing.T) {
	for _, caps := range [][]string{nil, {"IMAP4rev1"}} {
		s := mailtest.NewIMAP([]byte("Subject: private\r\n\r\nsecret words\r\n"))
		if caps != nil {
			s.Caps = caps
		}
		start(t, s)
		o := options(s)
		var mu sync.Mutex
		var lines []string
		o.Trace = func(d wire.Dir, text string) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, string(rune(d))+" "+text)
		}
		session, l := opened(t, o)
		drain(session, l.Items)
		session.Commit(t.Context())
		session.Close()
		mu.Lock()
		all := strings.Join(lines, "\n")
		mu.Unlock()
		for _, bad := range []string{"secret", "private", "words"} {
			if strings.Contains(all, bad) {
				t.Errorf("the trace shows %q:\n%s", bad, all)
			}
		}
		for _, good := range []string{`> A0002 LOGIN "alice" *`, "< A0002 OK done", `> A0003 SELECT "INBOX"`, "< * 1 EXISTS", "LOGOUT", "BODY[", "< )"} {
			if !strings.Contains(all, good) {
				t.Errorf("the trace does not show %q:\n%s", good, all)
			}
		}
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	_, err = Open(t.Context(), Options{Dialer: &wire.Dialer{Timeout: time.Second}, Host: "127.0.0.1", Service: port})
	var dial *wire.DialError
	if f := protocols.AsFault(err); err == nil || f.Kind != protocols.Socket || f.Phase != protocols.Connecting || !errors.As(err, &dial) {
		t.Error(err)
	}
}

// A header that is too long costs its message only, and no more memory than the limit.
func TestALongHeaderIsGivenUp(t *testing.T) {
	long := []byte("Subject: x\r\n" + strings.Repeat("X: y\r\n", 1000) + "\r\nbody\r\n")
	small := mailtest.Letters(1)[0]
	for name, change := range map[string]func(*Options){
		"batches": func(*Options) {}, "by header": func(o *Options) { o.LargeMessage = 1 }, "message by message": func(o *Options) { o.classicOnly = true },
	} {
		s := start(t, mailtest.NewIMAP(small, long, small))
		o := options(s)
		o.MaxHeader = 4000
		change(&o)
		session, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		l, err := session.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for m, err := range session.Fetch(t.Context(), l.Items) {
			if m == nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err != nil {
				got = append(got, fmt.Sprint(m.Item.Num, " ", protocols.AsFault(err).Kind, " ", len(m.Header) == 0))
				continue
			}
			n, err := io.Copy(io.Discard, m.Body)
			got = append(got, fmt.Sprint(m.Item.Num, " ", int64(len(m.Header))+n == int64(len(small)), " ", err))
		}
		session.Close()
		if want := []string{"1 true <nil>", "2 message unavailable true", "3 true <nil>"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestManyMessagesAreRemovedInSeveralCommands(t *testing.T) {
	const n = 2*maxSet + 1
	box := mailtest.NewIMAP()
	for range n {
		box.Put("alice", "INBOX", mailtest.IMAPMail{Raw: []byte("Subject: x\r\n\r\n")})
	}
	s, l := opened(t, options(start(t, box)))
	for _, it := range l.Items {
		if err := s.Delete(t.Context(), it); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := s.Commit(t.Context())
	if err != nil || len(removed) != n || len(box.Left("alice", "INBOX")) != 0 {
		t.Errorf("%d removed: %v", len(removed), err)
	}
	if got := strings.Count(strings.Join(box.Commands()[0], "\n"), "UID EXPUNGE"); got != 3 {
		t.Errorf("%d commands", got)
	}
}
