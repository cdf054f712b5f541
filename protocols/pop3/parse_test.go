package pop3

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
)

func TestStatusLines(t *testing.T) {
	for line, want := range map[string]status{
		"+OK": granted, "+OK x": granted, "+OK\tx": granted, "+OK[x]": granted, "+OK,": granted,
		"+OKx": garbage, "+ok": garbage, "+": garbage, "+ x": garbage, "": garbage, "OK": garbage, " +OK": garbage,
		"-ERR": refused, "-ERR x": refused, "-ERRno": refused, "-": refused, "-err": garbage, "* OK": garbage,
	} {
		if got, _ := parseStatus([]byte(line)); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func TestUIDLines(t *testing.T) {
	for line, want := range map[string]string{
		"1 abc": "1 abc", "12  abc": "12 abc", " 3\tabc def": "3 abc", "4 a\xc3\xa4": "4 a\xc3\xa4",
		"1": "", "": "", "1 ": "", "x abc": "", "0 abc": "", "-1 abc": "", "+1 abc": "", "2147483648 abc": "", "1 a\x01b": "", "1 a\x7fb": "",
		"99999999999999999999 a": "", "1 " + strings.Repeat("x", maxUID): "1 " + strings.Repeat("x", maxUID), "1 " + strings.Repeat("x", maxUID+1): "",
	} {
		num, uid, ok := parseUID([]byte(line))
		got := fmt.Sprintf("%d %s", num, uid)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%.60q: %.60q, want %.60q", line, got, want)
		}
	}
}

func TestSizeLines(t *testing.T) {
	for line, want := range map[string]string{
		"1 100": "1 100", "2  9223372036854775807": "2 9223372036854775807", "3 0": "3 0", "4 10 extra": "4 10",
		"1 -5": "1 -1", "1 9223372036854775808": "", "1 abc": "", "1": "", "abc": "", "": "", "0 5": "", "-1 5": "",
	} {
		num, size, ok := parseSize([]byte(line))
		got := fmt.Sprintf("%d %d", num, size)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func FuzzLines(f *testing.F) {
	for _, s := range []string{"1 abc", "1 100", "+OK 3 100", "-ERR", "SASL PLAIN CRAM-MD5", "\x00", "1 \xff", "4294967297 1", "STLS x", "  "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if num, uid, ok := parseUID(line); ok {
			if again, uid2, ok := parseUID(fmt.Appendf(nil, "%d %s", num, uid)); !ok || again != num || uid2 != uid || num < 1 || uid == "" {
				t.Errorf("%q: %d %q", line, num, uid)
			}
		}
		if num, size, ok := parseSize(line); ok && (num < 1 || size < -1) {
			t.Errorf("%q: %d %d", line, num, size)
		}
		kind, text := parseStatus(line)
		if kind != garbage && len(text) >= len(line) {
			t.Errorf("%q: %v %q", line, kind, text)
		}
		var c capabilities
		c.add(string(line))
	})
}

// lineByLine is a server's side that has said everything in advance: a Read gives one line at most. It ends with EOF.
type lineByLine struct {
	net.Conn
	in *bufio.Reader
}

func (c *lineByLine) Read(p []byte) (int, error) {
	if _, err := c.in.Peek(1); err != nil {
		return 0, err
	}
	b, err := c.in.Peek(min(c.in.Buffered(), len(p)))
	if err != nil {
		return 0, err
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i+1]
	}
	n := copy(p, b)
	c.in.Discard(n)
	return n, nil
}
func (*lineByLine) Write(p []byte) (int, error)      { return len(p), nil }
func (*lineByLine) Close() error                     { return nil }
func (*lineByLine) SetReadDeadline(time.Time) error  { return nil }
func (*lineByLine) SetWriteDeadline(time.Time) error { return nil }
func (*lineByLine) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 110} }
func (*lineByLine) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1110} }

// Whatever a server says: no panic, no hang, every error is a fault, and only what came whole is confirmed.
func FuzzSession(f *testing.F) {
	login := "+OK\r\n+OK\r\nUIDL\r\n%s.\r\n+OK\r\n+OK\r\n"
	for _, caps := range []string{"", "PIPELINING\r\n"} {
		f.Add([]byte(fmt.Sprintf(login, caps)+"+OK 2 20\r\n-ERR\r\n+OK\r\n1 a\r\n2 b\r\n.\r\n+OK 1 10\r\n+OK 2 10\r\n"+
			"+OK\r\nA: b\r\n\r\nx\r\n.\r\n+OK\r\nA: b\r\n.\r\n+OK\r\n+OK\r\n+OK\r\n"), true)
		f.Add([]byte(fmt.Sprintf(login, caps)+"+OK 1 20\r\n+OK 0\r\n+OK 1 5\r\n+OK\r\n.\r\n+OK\r\n+OK\r\n"), false)
	}
	f.Add([]byte("-ERR\r\n"), false)
	f.Fuzz(func(t *testing.T, said []byte, uidl bool) {
		dials := 0
		o := Options{UIDL: uidl, MaxHeader: 1 << 10, Host: "127.0.0.1", Service: "110", User: "alice", Secret: auth.Fixed("secret"),
			Dialer: &wire.Dialer{DialContext: func(context.Context, string, string) (net.Conn, error) {
				dials++
				return &lineByLine{in: bufio.NewReader(bytes.NewReader(said))}, nil
			}}}
		s, err := Open(context.Background(), o)
		if dials > 3 {
			t.Errorf("%d connections", dials)
		}
		if err != nil {
			mustBeFault(t, err)
			return
		}
		defer s.Close()
		l, err := s.List(context.Background())
		if err != nil {
			mustBeFault(t, err)
			return
		}
		whole := map[int]bool{}
		for m, err := range s.Fetch(context.Background(), l.Items) {
			if err != nil {
				mustBeFault(t, err)
				continue
			}
			if _, err := io.Copy(io.Discard, m.Body); err == nil {
				whole[m.Item.Num] = true
				s.Delete(context.Background(), m.Item)
			}
		}
		removed, err := s.Commit(context.Background())
		if err != nil {
			mustBeFault(t, err)
		}
		for _, it := range removed {
			if !whole[it.Num] {
				t.Errorf("message %d confirmed without having come", it.Num)
			}
		}
	})
}

func mustBeFault(t *testing.T, err error) {
	t.Helper()
	var f *protocols.Fault
	if !errors.As(err, &f) || f.Kind == 0 {
		t.Errorf("%#v is no fault", err)
	}
}

func TestNoSecondCommandInALine(t *testing.T) {
	for _, line := range []string{"USER a\r\nDELE 1\r\n", "USER a\rb\r\n", "USER a\nb\r\n", "USER a\x00b\r\n", "USER a", "USER a\n"} {
		ours, theirs := net.Pipe()
		go func() {
			if got, _ := io.ReadAll(theirs); len(got) > 0 {
				t.Errorf("%q was sent", got)
			}
		}()
		if _, err := (&lineConn{Conn: ours}).Write([]byte(line)); !errors.Is(err, errBadByte) {
			t.Errorf("%q: %v", line, err)
		}
		ours.Close()
	}
}
