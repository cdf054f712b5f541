package mbox

import (
	"bufio"
	"bytes"
	"io"
)

const fromWord = "From "

var quoteMark = []byte(">")

// quoter puts ">" before lines that begin with any number of ">" and "From " (mboxrd), and ends a message with an
// empty line.
type quoter struct {
	w       *bufio.Writer
	start   bool // the line so far is ">" only, or empty
	matched int  // so many octets of "From " were seen and are held back
	prev    byte
}

func newQuoter() *quoter { return &quoter{w: bufio.NewWriterSize(nil, 64<<10)} }

func (q *quoter) reset(w io.Writer) {
	q.w.Reset(w)
	q.start, q.matched, q.prev = true, 0, '\n'
}

// raw writes s as it is.
func (q *quoter) raw(s string) error {
	_, err := q.w.WriteString(s)
	return err
}

// Write never tells less than all, or an error.
func (q *quoter) Write(p []byte) (int, error) {
	all := len(p)
	for len(p) > 0 {
		if q.start {
			p = q.lineStart(p)
			continue
		}
		i := bytes.IndexByte(p, '\n') + 1
		if i == 0 {
			i = len(p)
		}
		q.put(p[:i])
		q.start = p[i-1] == '\n'
		p = p[i:]
	}
	if _, err := q.w.Write(nil); err != nil { // a bufio.Writer keeps its first error
		return 0, err
	}
	return all, nil
}

// lineStart takes one octet while it is open whether the line must be quoted.
func (q *quoter) lineStart(p []byte) []byte {
	switch c := p[0]; {
	case c == fromWord[q.matched]:
		if q.matched++; q.matched == len(fromWord) {
			q.put(quoteMark)
			q.release()
		}
		return p[1:]
	case c == '>' && q.matched == 0:
		q.put(p[:1])
		return p[1:]
	}
	q.release()
	return p
}

// release writes what was held back: the rest of the line is not looked at.
func (q *quoter) release() {
	held := fromWord[:q.matched]
	q.matched, q.start = 0, false
	if held != "" {
		q.raw(held)
		q.prev = held[len(held)-1]
	}
}

func (q *quoter) put(p []byte) {
	q.w.Write(p)
	q.prev = p[len(p)-1]
}

// end completes the last line and adds the empty one.
func (q *quoter) end() error {
	q.release()
	if q.prev != '\n' {
		q.raw("\n")
	}
	q.raw("\n")
	return q.w.Flush()
}
