package imap

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
)

// tape is a connection to a server that says what it has to say and hears nothing.
type tape struct {
	io.Reader
	net.Conn
}

func (t *tape) Read(p []byte) (int, error)       { return t.Reader.Read(p) }
func (t *tape) Write(p []byte) (int, error)      { return len(p), nil }
func (t *tape) Close() error                     { return nil }
func (t *tape) SetReadDeadline(time.Time) error  { return nil }
func (t *tape) SetWriteDeadline(time.Time) error { return nil }
func (t *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 143} }

func tapeConn(text []byte) *wire.Conn {
	return wire.NewConn(context.Background(), &tape{Reader: bytes.NewReader(text)}, "mail.example.test", 0)
}

func TestNoSecondCommandLeavesTheFilter(t *testing.T) {
	for _, line := range []string{"A1 SELECT \"a\r\nA2 DELETE x\"", "A1 SELECT \"a\rb\"", "A1 SELECT \"a\nb\"", "A1 SELECT \"a\x00b\""} {
		if newFilter(tapeConn(nil), nil, 0, 0).put(line) == nil {
			t.Errorf("%q was sent", line)
		}
	}
}

// overheard runs the library over a filter to which the server says text, with one command of each kind under way. It
// returns the library's error, and that of the filter.
func overheard(text []byte, w *want) (bodies [][]byte, library, filter error) {
	f := newFilter(tapeConn(text), nil, 0, 0)
	f.greet([]string{"IMAP4rev1", "UIDPLUS", "MOVE", "IDLE"})
	f.begin(`"INBOX"`, `"other"`)
	f.want, f.ends = w, map[uint32]error{}
	gate := make(chan struct{})
	c := imapclient.New(&gated{filter: f, gate: gate}, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	sel := c.Select("INBOX", nil)
	fetch := c.Fetch(goimap.UIDSet{goimap.UIDRange{Start: 1, Stop: 0}}, &goimap.FetchOptions{UID: true})
	store := c.Store(goimap.UIDSetNum(1), &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Flags: []goimap.Flag{goimap.FlagSeen}}, nil)
	expunge := c.UIDExpunge(goimap.UIDSetNum(1))
	search := c.UIDSearch(&goimap.SearchCriteria{}, nil)
	close(gate)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := fetch.Next(); m != nil; m = fetch.Next() {
			for it := m.Next(); it != nil; it = m.Next() {
				if b, ok := it.(imapclient.FetchItemDataBodySection); ok && b.Literal != nil {
					text, err := io.ReadAll(io.LimitReader(b.Literal, 1<<20))
					if err != nil {
						<-c.Closed() // what follows would read again
						continue
					}
					bodies = append(bodies, text)
				}
			}
		}
		fetch.Close()
		store.Close()
		expunge.Close()
		search.Wait()
		sel.Wait()
	}()
	select {
	case <-c.Closed():
	case <-ctx.Done():
		panic("the library hangs")
	}
	<-done
	library = c.Close()
	return bodies, library, f.failure()
}

// gated holds reading back, but for the greeting, until the commands are out.
type gated struct {
	*filter
	gate    chan struct{}
	greeted bool
}

func (g *gated) Read(p []byte) (int, error) {
	if g.greeted {
		<-g.gate
	}
	g.greeted = true
	return g.filter.Read(p)
}

// dialogs are what servers say in testdata/dialog/imap, for seeds.
func dialogs(f *testing.F) (all [][]byte) {
	files, _ := filepath.Glob("../../testdata/dialog/imap/*.txt")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var said []byte
		for line := range strings.Lines(string(text)) {
			if s, ok := strings.CutPrefix(line, "S: "); ok {
				said = append(said, strings.TrimRight(s, "\n")+"\r\n"...)
			}
		}
		all = append(all, said)
	}
	return all
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"* 3 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 5] x\r\nA0001 OK [READ-WRITE] x\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\nA0002 OK\r\n",
		"* 1 FETCH (UID 1 FLAGS (\\Seen a]b) RFC822.SIZE 3)\r\n* 2 FETCH (FLAGS () UID 2 RFC822.SIZE NIL)\r\nA0002 NO [X y] z\r\n",
		"* 1 FETCH (BODY[] {3}\r\nabc UID 1 FLAGS ())\r\n* 2 FETCH (UID 2 BODY[] \"a\\\"c\")\r\n* 3 FETCH (UID 3 BODY[] NIL)\r\n",
		"* 1 FETCH (UID 1 ENVELOPE (\"a\" {3}\r\nabc (NIL)) BODY[] {2}\r\nabc)\r\nA0002 OK\r\n",
		"* SEARCH 1 2 3 (MODSEQ 5)\r\n* SEARCH 4294967296 0 x\r\n* 1 EXPUNGE\r\n* 0 EXPUNGE\r\n* VANISHED 1:3\r\n* BYE gone\r\n",
		"+ go\r\n\r\n*\r\n* \r\nA9 OK\r\nA0001\r\nA0002 FOO\r\nA0003 BAD [\r\n* OK [ALERT] x\r\n* LIST () \"/\" {3}\r\nabc\r\n",
		"*1 FETCH (UID 1 BODY[]{1}\n",
		"* 1 FETCH (BODYSTRUCTURE " + strings.Repeat("(", 3000) + "\r\n",
	} {
		f.Add([]byte(s), byte(0))
		f.Add([]byte(s), byte(1))
		f.Add([]byte(s), byte(2))
	}
	for _, d := range dialogs(f) {
		f.Add(d, byte(0))
		f.Add(d, byte(1))
	}
	f.Fuzz(func(t *testing.T, text []byte, kind byte) {
		var w *want
		switch kind % 3 {
		case 0:
			w = &want{byUID: true, left: map[uint32]bool{1: true, 2: true, 3: true, 101: true, 102: true}}
		case 1:
			w = &want{byUID: true, list: true, size: true}
		}
		_, library, filter := overheard(text, w)
		if filter == nil {
			t.Fatal("the filter has no error at the end")
		}
		// Where a text breaks off the library may stumble over its own reader before it sees the end; sessions ask the filter.
		open := filter == io.ErrUnexpectedEOF && library != nil && strings.Contains(library.Error(), "literal is open")
		if library != nil && !open && !strings.Contains(library.Error(), filter.Error()) {
			t.Errorf("the library gave up with %v, the filter with %v", library, filter)
		}
	})
}

func FuzzWelcome(f *testing.F) {
	for _, s := range []string{
		"* OK [CAPABILITY IMAP4rev1 AUTH=CRAM-MD5 SASL-IR] hi\r\n+ PDE+\r\nA0001 NO no\r\nA0002 OK in\r\n",
		"* PREAUTH hi\r\n* CAPABILITY IMAP4rev1\r\nA0001 OK\r\n",
		"* OK hi\r\n* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\nA0001 OK\r\nA0002 OK go\r\n",
		"* BYE no\r\n", "hello\r\n* CAPABILITY IMAP4\r\nA0001 OK\r\nA0002 OK\r\n", "* LIST {3}\r\nabc\r\n",
	} {
		f.Add([]byte(s), "user", "secret")
	}
	f.Add([]byte("* OK hi\r\nA0001 OK\r\n+ \r\n+ \r\nA0002 OK\r\n"), "us\r\ner", "p\"\\")
	f.Fuzz(func(t *testing.T, text []byte, user, secret string) {
		g := &guest{conn: tapeConn(text), o: Options{Dialer: &wire.Dialer{}, Host: "h", Service: "143", User: user,
			Secret: auth.Fixed(secret), StartTLS: wire.May}.withDefaults()}
		shown := strings.Builder{}
		g.o.Trace = func(d wire.Dir, line string) {
			if d == wire.Sent {
				shown.WriteString(line + "\n")
			}
		}
		err := g.welcome(context.Background())
		var fault *protocols.Fault
		if err != nil && !errors.As(err, &fault) {
			fault = sessionFault(protocols.LoggingIn, "", err)
		}
		if len(secret) > 8 && !strings.Contains(user, secret) && strings.Contains(shown.String(), secret) {
			t.Errorf("the trace shows the secret: %q", shown.String())
		}
	})
}
