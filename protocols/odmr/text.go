package odmr

import "bytes"

// text follows the text of a message (RFC 5321, section 4.5.2) to its end, a dot between two CRLF.
type text struct {
	before, last byte // the two bytes before the next one
	held         held
}

// held is what waits for the byte that follows.
type held byte

const (
	nothing held = iota
	dot          // at the start of a line, for whoever takes a bare CR or LF for a line end
	lineDot      // behind CRLF
	dotCR        // CRLF . CR
)

func newText() text { return text{before: '\r', last: '\n'} }

// pass appends p to out, up to the end of the text, and returns what follows it. A dot that is a line of its own in the
// eyes of some is doubled, unless it is the end.
func (t *text) pass(out, p []byte) (passed, rest []byte, ended bool) {
	for len(p) > 0 {
		if t.held == nothing {
			i := bytes.IndexByte(p, '.')
			if i < 0 {
				return t.put(out, p), nil, false
			}
			out = t.put(out, p[:i])
			p = p[i+1:]
			switch {
			case t.before == '\r' && t.last == '\n':
				t.held = lineDot
			case t.last == '\r' || t.last == '\n':
				t.held = dot
			default:
				out = t.put(out, one)
			}
			continue
		}
		c, h := p[0], t.held
		t.held = nothing
		switch {
		case h == dotCR && c == '\n':
			return append(out, ".\r\n"...), p[1:], true
		case h == dotCR:
			out = t.put(append(out, '.'), oneCR)
		case h == lineDot && c == '\r':
			t.held, p = dotCR, p[1:]
		case c == '\r' || c == '\n':
			out = t.put(append(out, '.'), one)
		default:
			out = t.put(out, one)
		}
	}
	return out, nil, false
}

var one, oneCR = []byte("."), []byte(".\r")

func (t *text) put(out, p []byte) []byte {
	if n := len(p); n > 1 {
		t.before, t.last = p[n-2], p[n-1]
	} else if n == 1 {
		t.before, t.last = t.last, p[0]
	}
	return append(out, p...)
}
