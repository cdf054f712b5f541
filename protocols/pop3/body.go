package pop3

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
)

var errLongHeader = errors.New("header block is larger than the limit")

// text reads the text of a multi-line answer up to the line with the single dot, and takes away the dot that stands
// in front of a line (RFC 1939, section 3). All other bytes stay as they are, in constant memory.
//
// A line begins behind every LF, also behind one without CR: that is what the reference does, and what servers expect
// that pass on such lines. One exception: a dot with nothing but LF behind it ends only a text whose first line has
// no CR either. Within proper lines it stands in somebody's message, and the server did not take it for a line.
type text struct {
	in     *bufio.Reader
	broken func(error) error // makes the error that is returned when the connection breaks
	inLine bool              // the next byte is not the first of a line
	styled bool              // the end of the first line was seen
	bareLF bool              // it was LF only
	lastCR bool              // the last run ended with CR
	taken  int               // bytes of the buffer that the last call of next has handed out
	err    error             // final; io.EOF behind the end
}

// next returns a run of the text, which is valid until the next call, and io.EOF behind the end.
func (t *text) next() ([]byte, error) {
	if t.taken > 0 {
		t.in.Discard(t.taken)
		t.taken = 0
	}
	if t.err == nil && !t.inLine {
		t.lineStart()
	}
	if t.err != nil {
		return nil, t.err
	}
	if _, err := t.in.Peek(1); err != nil {
		return nil, t.fail(err)
	}
	run, _ := t.in.Peek(t.in.Buffered())
	if i := bytes.Index(run, []byte("\n.")); i >= 0 {
		run = run[:i+1]
	}
	t.inLine = run[len(run)-1] != '\n'
	t.taken = len(run)
	if !t.styled {
		t.style(run)
	}
	return run, nil
}

// style notes how the first line ends.
func (t *text) style(run []byte) {
	if i := bytes.IndexByte(run, '\n'); i >= 0 {
		t.styled = true
		t.bareLF = !(i > 0 && run[i-1] == '\r' || i == 0 && t.lastCR)
	}
	t.lastCR = run[len(run)-1] == '\r'
}

// lineStart looks at the first bytes of a line: it notes the end of the text, and skips a dot.
func (t *text) lineStart() {
	b, err := t.in.Peek(1)
	if err != nil {
		t.fail(err)
		return
	}
	if b[0] != '.' {
		return
	}
	if b, err = t.in.Peek(2); err == nil && b[1] == '\r' {
		b, err = t.in.Peek(3)
	}
	switch {
	case err != nil:
		t.fail(err)
	case b[1] == '\n' && (t.bareLF || !t.styled), len(b) == 3 && b[2] == '\n':
		t.in.Discard(len(b))
		t.err = io.EOF
	default:
		if b[1] != '\n' {
			t.in.Discard(1)
		}
		t.inLine = true
	}
}

func (t *text) fail(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	t.err = t.broken(err)
	return t.err
}

// giveBack keeps all but the first n bytes of the last run for the next call of next.
func (t *text) giveBack(run []byte, n int) {
	if n < len(run) {
		t.taken, t.inLine = n, true // true also at the start of a line: it has no dot there
	}
}

// Read implements io.Reader.
func (t *text) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	run, err := t.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, run)
	t.giveBack(run, n)
	return n, nil
}

// WriteTo implements io.WriterTo, without a copy between the buffer of the connection and w.
func (t *text) WriteTo(w io.Writer) (total int64, err error) {
	for {
		run, err := t.next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(run)
		total += int64(n)
		if err != nil {
			t.giveBack(run, n)
			return total, err
		}
	}
}

// skip reads to the end.
func (t *text) skip() error {
	for {
		if _, err := t.next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// header appends to head what comes up to and with the empty line, or to the end of the text. Behind limit bytes it
// gives up with errLongHeader; skip can then go on.
func (t *text) header(head []byte, limit int) ([]byte, error) {
	start := len(head) // of the current line
	for {
		run, err := t.next()
		if err == io.EOF {
			return head, nil
		}
		if err != nil {
			return head, err
		}
		for used := 0; used < len(run); {
			end := len(run)
			if i := bytes.IndexByte(run[used:], '\n'); i >= 0 {
				end = used + i + 1
			}
			if len(head)+end-used > limit {
				return head, errLongHeader
			}
			if n := end - used; len(head)+n > cap(head) {
				head = slices.Grow(head, max(n, len(head))) // by append it would leave four times its size behind
			}
			head = append(head, run[used:end]...)
			used = end
			if head[len(head)-1] != '\n' {
				continue
			}
			if len(trimEnd(head[start:])) == 0 {
				t.giveBack(run, used)
				return head, nil
			}
			start = len(head)
		}
	}
}
