package header

// Addresses are the bare addresses in the value of an address field, in order. Comments and display names are left
// out. It is generous: what is not an address by RFC 5322 may still be found.
func Addresses(value []byte) []string {
	var out []string
	for s := (scanner{in: value}); s.next(); {
		if s.addr != "" {
			out = append(out, s.addr)
		}
	}
	return out
}

// scanner cuts the value of an address field into addresses.
type scanner struct {
	in   []byte
	pos  int
	addr string // the address found
	end  int    // offset in in behind its last octet
}

// next finds the next address; addr is "" for an empty one (RFC 5321 null sender, an empty group).
func (s *scanner) next() bool {
	if s.pos >= len(s.in) {
		return false
	}
	var buf []byte
	angle, closed := false, false
	s.end = -1
	for s.pos < len(s.in) {
		c := s.in[s.pos]
		switch {
		case c == '(':
			s.pos = skipComment(s.in, s.pos)
			continue
		case c == '"':
			q := skipQuoted(s.in, s.pos)
			if !closed {
				buf = append(buf, s.in[s.pos:q]...)
				s.end = q
			}
			s.pos = q
			continue
		case c == '<':
			buf, angle = buf[:0], true
			s.end = s.pos + 1
		case c == '>' && angle:
			closed = true
		case (c == ',' || c == ';') && (!angle || closed):
			s.pos++
			s.addr = string(buf)
			return true
		case c == ':' && !angle && !closed:
			buf = buf[:0]
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0:
		case !closed:
			buf = append(buf, c)
			s.end = s.pos + 1
		}
		s.pos++
	}
	s.addr = string(buf)
	return true
}

// skipComment is the offset behind the comment that begins at pos.
func skipComment(in []byte, pos int) int {
	depth := 0
	for ; pos < len(in); pos++ {
		switch in[pos] {
		case '\\':
			pos++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return pos + 1
			}
		}
	}
	return len(in)
}

// skipQuoted is the offset behind the quoted string that begins at pos.
func skipQuoted(in []byte, pos int) int {
	for pos++; pos < len(in); pos++ {
		switch in[pos] {
		case '\\':
			pos++
		case '"':
			return pos + 1
		}
	}
	return len(in)
}
