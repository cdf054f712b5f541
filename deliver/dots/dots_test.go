package dots

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

var table = []struct{ in, want string }{
	{"", ".\r\n"},
	{"a\r\n", "a\r\n.\r\n"},
	{"a", "a\r\n.\r\n"},
	{"a\n", "a\r\n.\r\n"},
	{"a\nb\n", "a\nb\r\n.\r\n"},
	{"a\r", "a\r\r\n.\r\n"},
	{"\n", "\r\n.\r\n"},
	{"\r\n", "\r\n.\r\n"},
	{".", "..\r\n.\r\n"},
	{".\r\n", "..\r\n.\r\n"},
	{"..a\r\n.b\r\n", "...a\r\n..b\r\n.\r\n"},
	{"a.b\r\n", "a.b\r\n.\r\n"},
	{"a\n.\nb\r\n", "a\n..\nb\r\n.\r\n"},
	{"a\n.\r\nb\r\n", "a\n..\r\nb\r\n.\r\n"},
	{"a\r\n.\nb\r\n", "a\r\n..\nb\r\n.\r\n"},
	{"a\r.\r\nb\r\n", "a\r..\r\nb\r\n.\r\n"},
	{"a\r.\rb\r\n", "a\r..\rb\r\n.\r\n"},
	{"a\r.\nb\r\n", "a\r..\nb\r\n.\r\n"},
	{"a\r.b\r\n", "a\r.b\r\n.\r\n"},
	{"a\r..\r\n", "a\r..\r\n.\r\n"},
	{"a\r.", "a\r..\r\n.\r\n"},
	{"x\x00y\xff\r\n", "x\x00y\xff\r\n.\r\n"},
	{"a\r\r\nb\r\n", "a\r\r\nb\r\n.\r\n"},
}

func send(in string, pieces func(rest int) int) string {
	var out bytes.Buffer
	w := New(&out)
	for len(in) > 0 {
		n := min(len(in), max(1, pieces(len(in))))
		io.WriteString(w, in[:n])
		in = in[n:]
	}
	w.Close()
	return out.String()
}

func whole(rest int) int { return rest }

func TestTextIsStuffedAndEnded(t *testing.T) {
	for _, c := range table {
		if got := send(c.in, whole); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
		if got := send(c.in, func(int) int { return 1 }); got != c.want {
			t.Errorf("%q byte by byte: %q, want %q", c.in, got, c.want)
		}
	}
}

// smuggled are the ends of a message that some listener somewhere takes for the end.
var smuggled = []string{"\n.\n", "\n.\r", "\r.\r", "\r.\n"}

// unstuff is a listener that follows RFC 5321, but reads a dot after any LF and the doubled dots after CR as we write
// them.
func unstuff(s string) string {
	var b strings.Builder
	prev := byte('\n')
	for i := 0; i < len(s); i++ {
		if s[i] == '.' && (prev == '\n' || prev == '\r' && i+2 < len(s) && s[i+1] == '.' && (s[i+2] == '\r' || s[i+2] == '\n')) {
			i++
			if i == len(s) {
				break
			}
		}
		b.WriteByte(s[i])
		prev = s[i]
	}
	return b.String()
}

func FuzzWriter(f *testing.F) {
	for _, c := range table {
		f.Add(c.in, uint8(1))
	}
	f.Add(strings.Repeat("\r\n.", blockSize/2), uint8(7))
	f.Add("x"+strings.Repeat("\r.\r", blockSize/3), uint8(250))
	f.Fuzz(func(t *testing.T, in string, step uint8) {
		if len(in) > 3*blockSize {
			return
		}
		got := send(in, whole)
		state := uint32(step)
		if pieces := send(in, func(int) int { state = state*1664525 + 1013904223; return int(state>>20) % (int(step) + 1) }); pieces != got {
			t.Fatalf("%q: the pieces in which the text comes change it: %q, %q", in, got, pieces)
		}
		text, ok := strings.CutSuffix("\r\n"+got, "\r\n.\r\n")
		if !ok {
			t.Fatalf("%q: no final dot in %q", in, got)
		}
		for _, s := range smuggled {
			if i := strings.Index(text, s); i >= 0 {
				t.Fatalf("%q: %q passes in %q", in, s, got)
			}
		}
		back := strings.TrimSuffix(unstuff(strings.TrimSuffix(got, ".\r\n")), "\r\n")
		// a dot behind CR at the very end was doubled for the CRLF that completes the line
		if want := strings.TrimSuffix(strings.TrimSuffix(in, "\n"), "\r"); back != want && back != in && back+"\r\n" != in && back+"\n" != in && !strings.Contains(in, "\r..") {
			t.Fatalf("%q: came back as %q", in, back)
		}
	})
}

type failing struct{ after int }

var errFull = errors.New("full")

func (w *failing) Write(p []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestErrorOfTheWriterBelowIsKept(t *testing.T) {
	w := New(&failing{after: 1})
	block := make([]byte, blockSize)
	var err error
	for range 3 {
		_, err = w.Write(block)
	}
	if !errors.Is(err, errFull) {
		t.Errorf("Write: %v", err)
	}
	if err := w.Close(); !errors.Is(err, errFull) {
		t.Errorf("Close: %v", err)
	}
}

func TestTheEndIsOneBlock(t *testing.T) {
	var n int
	w := New(writerFunc(func(p []byte) (int, error) { n++; return len(p), nil }))
	w.Write([]byte("Subject: s\r\n\r\nshort\r\n"))
	w.Close()
	if n != 1 {
		t.Errorf("%d writes for a short message", n)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func BenchmarkWriter(b *testing.B) {
	text := bytes.Repeat([]byte("Dear reader, this is a line of text. It ends here.\r\n"), 20000)
	w := New(io.Discard)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		w.Reset(io.Discard)
		for p := text; len(p) > 0; {
			n := min(len(p), 32<<10)
			w.Write(p[:n])
			p = p[n:]
		}
		w.Close()
	}
}
