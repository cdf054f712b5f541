package text

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	for _, c := range []struct {
		name string
		l    Lines
		in   string
		want string
	}{
		{"as it is", Lines{}, "a\r\nb\nc\rd\r\r\n\x00", "a\r\nb\nc\rd\r\r\n\x00\r\n"},
		{"nothing", Lines{}, "", ""},
		{"stripcr takes every carriage return", Lines{StripCR: true}, "a\r\nb\nc\rd\r\r\ne", "a\nb\ncd\ne\n"},
		{"stripcr, only a carriage return", Lines{StripCR: true}, "\r", "\n"},
		{"forcecr", Lines{ForceCR: true}, "a\r\nb\nc\rd\r\r\n\n\ne", "a\r\nb\r\nc\rd\r\r\n\r\n\r\ne\r\n"},
		{"stripcr wins", Lines{StripCR: true, ForceCR: true}, "a\r\nb\n", "a\nb\n"},
		{"a last carriage return is no line end", Lines{}, "a\r", "a\r\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			everySplit(t, c.l.NewWriter, c.in, c.want)
		})
	}
}

const typical = "pre=41\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=\r\nb=3D=41=\n.x\r\n" +
	"=4 =g= \r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n=41\r\n--b--\r\n=41\r\n"

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name string
		d    Decode
		in   string
		want string
	}{
		{"nothing to do", Decode{}, "a=41=\r\nb", "a=41=\r\nb"},
		{"escapes and soft line breaks", Decode{Quoted: true}, "a=41=3d=\r\nb=\nc \r\n=2Ed=0D=0A=00e\r\n", "aA=bc \r\n.d\r\n\x00e\r\n"},
		{"damaged escapes stay", Decode{Quoted: true}, "=zz=4=4g== =\r==41", "=zz=4=4g== =A"},
		{"end in an escape", Decode{Quoted: true}, "a=4", "a=4"},
		{"end in half a soft line break", Decode{Quoted: true}, "a=", "a"},
		{"end in a soft line break", Decode{Quoted: true}, "a=\r\n", "a"},
		{"parts", Decode{Boundary: "b"}, typical, strings.Replace(strings.Replace(typical,
			"Encoding: quoted-printable", "Encoding: 8bit            ", 1), "a=\r\nb=3D=41=\n.x", "ab=A.x", 1)},
		{"type after encoding", Decode{Boundary: "b\r\n"}, "--b\r\nContent-Transfer-Encoding: quoted-printable\r\ncontent-type: TEXT/x\r\n\r\n=41",
			"--b\r\nContent-Transfer-Encoding: quoted-printable\r\ncontent-type: TEXT/x\r\n\r\nA"},
		{"a long line in a part's header", Decode{Boundary: "b"}, "--b\r\n" + strings.Repeat("x", 3*maxHeld) + "\r\nContent-Type: text/x\r\n\r\n",
			"--b\r\n" + strings.Repeat("x", 3*maxHeld) + "\r\nContent-Type: text/x\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			everySplit(t, c.d.NewWriter, c.in, c.want)
		})
	}
}

// everySplit feeds in to a filter in pieces of several sizes and asks for the same output each time.
func everySplit(t *testing.T, filter func(io.Writer) io.WriteCloser, in, want string) {
	t.Helper()
	for _, size := range []int{1, 2, 3, 5, 7, 64, len(in) + 1} {
		var out bytes.Buffer
		w := filter(&out)
		for rest := []byte(in); len(rest) > 0; {
			n := min(size, len(rest))
			if m, err := w.Write(rest[:n]); m != n || err != nil {
				t.Fatalf("Write of %d octets: %d, %v", n, m, err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("in pieces of %d: got %.200q, want %.200q", size, out.String(), want)
		}
	}
}

func TestErrorsOfTheReceiverComeBack(t *testing.T) {
	full := errors.New("full")
	for _, f := range []func(io.Writer) io.WriteCloser{Lines{}.NewWriter, Lines{StripCR: true}.NewWriter, Decode{Quoted: true}.NewWriter} {
		w := f(failing{full})
		_, err := w.Write([]byte("text"))
		if err == nil {
			err = w.Close()
		}
		if !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestNoAllocationPerLine(t *testing.T) {
	in := bytes.Repeat([]byte("a line of =3D text with an end\r\n"), 1000)
	for name, f := range map[string]func(io.Writer) io.WriteCloser{"lines": Lines{ForceCR: true}.NewWriter,
		"stripcr": Lines{StripCR: true}.NewWriter, "quoted": Decode{Quoted: true}.NewWriter, "parts": Decode{Boundary: "x"}.NewWriter} {
		w := f(io.Discard)
		w.Write(in)
		if n := testing.AllocsPerRun(10, func() { w.Write(in) }); n > 0 {
			t.Errorf("%s: %v allocations for 1000 lines", name, n)
		}
	}
}

func FuzzFilters(f *testing.F) {
	f.Add([]byte(typical), 3, true, "b")
	f.Add([]byte("a=\r\n=4\r=\n"), 1, false, "")
	f.Fuzz(func(t *testing.T, in []byte, size int, strip bool, boundary string) {
		if size < 1 || size > 1<<10 {
			return
		}
		filter := func(w io.Writer) io.WriteCloser {
			return Decode{Quoted: boundary == "", Boundary: boundary}.NewWriter(Lines{StripCR: strip, ForceCR: !strip}.NewWriter(w))
		}
		var whole, parts bytes.Buffer
		w := filter(&whole)
		w.Write(in)
		w.Close()
		w = filter(&parts)
		for rest := in; len(rest) > 0; {
			n := min(size, len(rest))
			w.Write(rest[:n])
			rest = rest[n:]
		}
		w.Close()
		if !bytes.Equal(whole.Bytes(), parts.Bytes()) {
			t.Errorf("whole %q, in pieces of %d %q", whole.Bytes(), size, parts.Bytes())
		}
		if strip && bytes.IndexByte(whole.Bytes(), '\r') >= 0 {
			t.Error("a carriage return is left")
		}
	})
}

func BenchmarkLines(b *testing.B) {
	in := bytes.Repeat([]byte("a line of text, as long as they often are, and then its end comes\r\n"), 10000)
	for name, l := range map[string]Lines{"as it is": {}, "stripcr": {StripCR: true}, "forcecr": {ForceCR: true}} {
		b.Run(name, func(b *testing.B) {
			w := l.NewWriter(io.Discard)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				w.Write(in)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	in := bytes.Repeat([]byte("a line of text with =E4=F6=FC, as they often are, and its end comes=\r\n"), 10000)
	for name, d := range map[string]Decode{"quoted": {Quoted: true}, "parts": {Boundary: "x"}} {
		b.Run(name, func(b *testing.B) {
			w := d.NewWriter(io.Discard)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				w.Write(in)
			}
		})
	}
}
