package header

import (
	"bytes"
	"strings"
)

// Addresses are the bare addresses in the value of an address field, in order. Comments and display names are left out.
// What is found is what the reference finds, which is generous: a group's name stays with its first member, and words
// that stand apart are joined.
func Addresses(value []byte) []string {
	var out []string
	s := scanner{in: value}
	for {
		a, ok := s.next()
		if !ok {
			return out
		}
		if a != "" {
			out = append(out, a)
		}
	}
}

// first is the first address in the value of a field. ok is false if there is nothing in it; <> is an address, "".
func first(value []byte) (addr string, ok bool) {
	s := scanner{in: value}
	return s.next()
}

// scanner cuts the value of an address field into addresses.
type scanner struct {
	in  []byte
	pos int
	buf []byte
	cut bool // a backslash stands where the field ends: nothing before it counts
}

// next reads up to the comma that ends an address, or to the end of the field.
func (s *scanner) next() (string, bool) {
	s.buf = s.buf[:0]
	begun := false // a comma ends nothing yet
	for ; s.pos < len(s.in) && !s.atEnd(); s.pos++ {
		switch c := s.in[s.pos]; {
		case c == ',':
			if begun {
				s.pos++
				return string(s.buf), true
			}
		case c == '(':
			s.comment()
		case c == '<':
			s.buf = s.buf[:0]
			s.pos++
			if s.angle() {
				return string(s.buf), true // what follows belongs to the next one
			}
			return s.rest()
		case c == '"':
			s.quoted()
		case c == '\\':
			s.escaped()
		case !isSpace(c):
			s.buf = append(s.buf, c)
			begun = true
		}
	}
	s.pos = len(s.in)
	return s.rest()
}

// rest is what the end of the field has left of an address.
func (s *scanner) rest() (string, bool) {
	return string(bytes.TrimRight(s.buf, " \t\r\n\v\f")), len(s.buf) > 0 && !s.cut
}

// atEnd tells that the field ends here: a line end that no folded line follows.
func (s *scanner) atEnd() bool {
	if s.in[s.pos] != '\n' {
		return false
	}
	rest := s.in[s.pos+1:]
	return len(rest) == 0 || rest[0] != ' ' && rest[0] != '\t'
}

// escaped takes a backslash and what follows.
func (s *scanner) escaped() {
	s.buf = append(s.buf, '\\')
	if s.pos+1 < len(s.in) {
		s.pos++
		if s.atEnd() {
			s.cut = true
			s.pos--
			return
		}
		s.buf = append(s.buf, s.in[s.pos])
	}
}

// comment stops at the parenthesis that closes the one at pos.
func (s *scanner) comment() {
	for depth := 0; s.pos < len(s.in) && !s.atEnd(); s.pos++ {
		switch s.in[s.pos] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return
			}
		}
	}
	s.pos--
}

// quoted takes a quoted string and stops at the quote that closes it.
func (s *scanner) quoted() {
	s.buf = append(s.buf, '"')
	for s.pos++; s.pos < len(s.in) && !s.atEnd(); s.pos++ {
		switch c := s.in[s.pos]; c {
		case '\\':
			s.escaped()
		case '"':
			s.buf = append(s.buf, c)
			return
		default:
			s.buf = append(s.buf, c)
		}
	}
	s.pos--
}

// angle takes what is between < and >, blanks included, and tells whether there was a >. It stops behind it.
func (s *scanner) angle() bool {
	for ; s.pos < len(s.in) && !s.atEnd(); s.pos++ {
		switch c := s.in[s.pos]; c {
		case '<':
			s.buf = s.buf[:0]
		case '>':
			s.pos++
			return true
		case '"':
			s.quoted()
		case '\\':
			s.escaped()
		default:
			s.buf = append(s.buf, c)
		}
	}
	s.pos = len(s.in)
	return false
}

// safe tells that an address can stand in a command. A folded address cannot: its line end would be the command's.
func safe(addr string) bool { return !strings.ContainsAny(addr, "\r\n\x00") }
