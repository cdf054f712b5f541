package pop3

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func newTestText(r io.Reader, size int) *text {
	return &text{in: bufio.NewReaderSize(r, size), broken: func(err error) error { return err }}
}

// plainText is text line by line, without any regard to speed: what is left of in behind the end is rest.
func plainText(in []byte) (out, rest []byte, err error) {
	first := true
	bareLF := false
	for len(in) > 0 {
		i := bytes.IndexByte(in, '\n')
		if i < 0 {
			break
		}
		line := in[:i+1]
		if string(line) == ".\r\n" || string(line) == ".\n" && (first || bareLF) {
			return out, in[i+1:], nil
		}
		if first {
			first, bareLF = false, !bytes.HasSuffix(line, []byte("\r\n"))
		}
		if line[0] == '.' && string(line) != ".\n" {
			line = line[1:]
		}
		out = append(out, line...)
		in = in[i+1:]
	}
	return out, nil, io.ErrUnexpectedEOF
}

var textSeeds = []string{
	".\r\n", ".\n", "..\r\n.\r\n", "a\r\n.\r\nrest", "a\n.\nrest", "a\r\nb\n.\nc\r\n.\r\n", ".x\r\n..\r\r\n.\r\n", "a\r\n.\rb\r\n.\r\n",
	"A: b\r\n\r\n..dot\r\n...\r\nx.\r\n.\r\n", "a\r\n..", ".", ".\r", "a\r\n.\r", "\n.\n", "\r\n.\r\n", "\r\n.\n.\r\n", "a\r", "..\n.\n", ".a\n.\n",
}

// Whatever the boundaries of the reads are, the bytes are the same, and what follows stays in the buffer.
func FuzzText(f *testing.F) {
	for _, s := range textSeeds {
		f.Add([]byte(s), 1)
	}
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		want, rest, wantErr := plainText(in)
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(in), "bytes": iotest.OneByteReader(bytes.NewReader(in)), "halves": iotest.HalfReader(bytes.NewReader(in)),
		} {
			x := newTestText(r, 16)
			var got bytes.Buffer
			var err error
			if step%2 == 0 {
				_, err = io.Copy(&got, x)
			} else {
				_, err = io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{x}, make([]byte, 1+(step%7+7)%7))
			}
			if wantErr != nil {
				if !errors.Is(err, wantErr) || !bytes.HasPrefix(got.Bytes(), want) {
					t.Fatalf("%s: %q, %v; want %q, %v", name, got.Bytes(), err, want, wantErr)
				}
				continue
			}
			if err != nil || !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("%s: %q, %v; want %q", name, got.Bytes(), err, want)
			}
			if left, _ := io.ReadAll(x.in); !bytes.Equal(left, rest) {
				t.Fatalf("%s: left %q, want %q", name, left, rest)
			}
		}
	})
}

func TestHeaderEndsAtTheEmptyLine(t *testing.T) {
	for _, c := range []struct{ in, head, body string }{
		{"A: b\r\n\r\nbody\r\n.\r\n", "A: b\r\n\r\n", "body\r\n"},
		{"A: b\r\n\r\n..\r\n.\r\n", "A: b\r\n\r\n", ".\r\n"},
		{"A: b\n\nbody\n.\n", "A: b\n\n", "body\n"},
		{"\r\nbody\r\n.\r\n", "\r\n", "body\r\n"},
		{"A: b\r\n.\r\n", "A: b\r\n", ""},
		{".\r\n", "", ""},
		{"A: b\r\n \r\nx\r\n\r\n.\r\n", "A: b\r\n \r\nx\r\n\r\n", ""},
		{"A: b\r\n\r\n\r\n\r\n.\r\n", "A: b\r\n\r\n", "\r\n\r\n"},
		{"A: b\r\n\r\r\n\r\n.\r\n", "A: b\r\n\r\r\n\r\n", ""},
		{"A: b\r\n\r\n", "A: b\r\n\r\n", ""},
	} {
		for _, one := range []bool{false, true} {
			r := io.Reader(strings.NewReader(c.in))
			if one {
				r = iotest.OneByteReader(r)
			}
			x := newTestText(r, 16)
			head, err := x.header(nil, 1000)
			if err != nil || string(head) != c.head {
				t.Errorf("%q: header %q, %v", c.in, head, err)
			}
			if body, err := io.ReadAll(x); string(body) != c.body || err != nil && strings.HasSuffix(c.in, ".\r\n") {
				t.Errorf("%q: body %q, %v", c.in, body, err)
			}
		}
	}
}

func TestLongHeaderIsGivenUpAndSkipped(t *testing.T) {
	x := newTestText(strings.NewReader(strings.Repeat("X: y\r\n", 100)+"\r\nbody\r\n.\r\n+OK"), 16)
	if head, err := x.header(nil, 100); err != errLongHeader || len(head) > 100 {
		t.Fatalf("%d bytes, %v", len(head), err)
	}
	if err := x.skip(); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(x.in); string(rest) != "+OK" {
		t.Errorf("rest %q", rest)
	}
}

type failingWriter struct{ room int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if len(p) > w.room {
		n := w.room
		w.room = 0
		return n, io.ErrShortWrite
	}
	w.room -= len(p)
	return len(p), nil
}

func TestFailedWriteLosesNothing(t *testing.T) {
	in := "abc\r\n..def\r\nghi\r\n.\r\n"
	want, _, _ := plainText([]byte(in))
	for room := range len(want) {
		x := newTestText(strings.NewReader(in), 16)
		w := &failingWriter{room}
		n, err := x.WriteTo(w)
		if err != io.ErrShortWrite || n != int64(room) {
			t.Fatalf("room %d: %d, %v", room, n, err)
		}
		if rest, err := io.ReadAll(x); err != nil || string(rest) != string(want[room:]) {
			t.Fatalf("room %d: rest %q, %v", room, rest, err)
		}
	}
}
