package text

import (
	"bytes"
	"math/rand"
	"os"
	"regexp"
	"strconv"
	"testing"

	"fetchmail/deliver/header"
	"fetchmail/deliver/reftest"
)

var (
	mark  = regexp.MustCompile(`mark (\d+)\r?\n$`)
	trace = regexp.MustCompile(`Received: from localhost[^\n]*\n\tby [^\n]*\n\tfor [^\n]*\n`)
)

// TestHostileMIMEAsTheReference runs generated messages through the reference and through header and text, and compares
// every octet.
func TestHostileMIMEAsTheReference(t *testing.T) {
	for _, c := range []struct {
		name, user string
		lines      Lines
		decode     bool
		make       func(*rand.Rand, int) []byte
	}{
		{"mimedecode", "mimedecode", Lines{}, true, reftest.HostileMIME},
		{"mimedecode stripcr", "mimedecode stripcr", Lines{StripCR: true}, true, reftest.HostileMIME},
		{"stripcr", "stripcr", Lines{StripCR: true}, false, reftest.Hostile},
		{"forcecr", "forcecr", Lines{ForceCR: true}, false, reftest.Hostile},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewSource(seed(t)))
			msgs := make([][]byte, 1000)
			for i := range msgs {
				msgs[i] = c.make(r, i)
			}
			bad, seen := 0, 0
			for _, got := range reftest.Run(t, reftest.Config{User: c.user, Server: "bad-header accept"}, msgs) {
				m := mark.FindSubmatch(got.Text)
				if m == nil {
					t.Errorf("no mark in %.300q", got.Text)
					continue
				}
				seen++
				n, _ := strconv.Atoi(string(m[1]))
				want, body := through(t, msgs[n], c.lines, c.decode)
				if got.Params != body && bad < 4 {
					bad++
					t.Errorf("message %q\nreference %q\nours      %q", msgs[n], got.Params, body)
				}
				text := trace.ReplaceAll(reftest.Unstuffed(got.Text), []byte("Received: TRACE\n"))
				text = headerless.ReplaceAll(text, nil)
				if c.decode || c.lines.StripCR {
					// A dot that comes to the beginning of a line only by decoding, or by dropping a carriage
					// return, is not doubled by the reference.
					text, want = dots.ReplaceAll(text, nil), dots.ReplaceAll(want, nil)
				}
				if !bytes.Equal(text, want) && bad < 4 {
					bad++
					t.Errorf("message %q\nreference %q\nours      %q", msgs[n], text, want)
				}
			}
			if seen < len(msgs)*9/10 {
				t.Errorf("only %d of %d messages came through the reference", seen, len(msgs))
			}
		})
	}
}

var dots = regexp.MustCompile(`(?m)^\.+`)

var headerless = regexp.MustCompile(`To: [^\n]*\n(?:Subject: Headerless)`)

// through is what we make of a message, and the parameter of MAIL FROM.
func through(t *testing.T, raw []byte, l Lines, decode bool) (text []byte, kind string) {
	i := bytes.Index(raw, []byte("\n\r\n"))
	head, body := raw[:i+3], raw[i+3:]
	if raw[0] == '\r' || raw[0] == '\n' {
		i = bytes.IndexByte(raw, '\n')
		head, body = raw[:i+1], raw[i+1:]
	}
	if j := bytes.Index(raw, []byte("\n\n")); j >= 0 && j < i {
		head, body = raw[:j+2], raw[j+2:]
	}
	if l.ForceCR { // the reference completes line ends before it looks at addresses
		head = Lines{ForceCR: true}.Apply(head)
	}
	b, _ := header.Parse(head)
	e := header.Edit{Host: "localhost", RemoteUser: "alice", Rewrite: true, MimeDecode: decode, Received: []byte("Received: TRACE\r\n")}
	var out bytes.Buffer
	w := l.NewWriter(&out)
	var d Decode
	if decode {
		b.DecodeWords()
		m := b.MIME()
		d = Decode{Quoted: m.Quoted, Boundary: m.Boundary, Words: header.AppendWords}
	}
	w.Write(b.Edit(e))
	dw := d.NewWriter(w)
	dw.Write(b.Rest())
	dw.Write(body)
	dw.Close()
	w.Close()
	if kind = b.BodyType(false); kind != "" {
		kind = "BODY=" + kind
	}
	text = headerless.ReplaceAll(out.Bytes(), nil)
	return regexp.MustCompile(`Received: TRACE\r?\n`).ReplaceAll(text, []byte("Received: TRACE\n")), kind
}

// seed is fixed, so that a failure can be repeated, unless the environment asks for another.
func seed(t *testing.T) int64 {
	n, err := strconv.ParseInt(os.Getenv("HOSTILE_SEED"), 10, 64)
	if err != nil {
		return 1
	}
	t.Logf("seed %d", n)
	return n
}
