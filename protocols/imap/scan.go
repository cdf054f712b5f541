package imap

import (
	"bytes"
	"strconv"

	"fetchmail/protocols/auth"
)

// word splits off the first word, which ends at a blank.
func word(b []byte) (w, rest []byte) {
	b = bytes.TrimLeft(b, " ")
	i := bytes.IndexByte(b, ' ')
	if i < 0 {
		return b, nil
	}
	return b[:i], b[i+1:]
}

// number32 reads a decimal number that fits into 32 bits (RFC 3501, section 9, number).
func number32(b []byte) (uint32, bool) {
	n, err := strconv.ParseUint(string(b), 10, 32)
	return uint32(n), err == nil && len(b) <= 10
}

// literal tells whether a line announces a literal at its end: "{n}", "{n+}", "~{n}"; head is what stands before it.
func literal(line []byte) (head []byte, n int64, ok bool) {
	if len(line) < 3 || line[len(line)-1] != '}' {
		return line, 0, false
	}
	i := bytes.LastIndexByte(line, '{')
	if i < 0 {
		return line, 0, false
	}
	digits := bytes.TrimSuffix(line[i+1:len(line)-1], []byte("+"))
	if len(digits) == 0 || len(digits) > 18 || digits[0] == '-' || digits[0] == '+' {
		return line, 0, false
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return line, 0, false
	}
	return bytes.TrimSuffix(line[:i], []byte("~")), n, true
}

// quoted reads a quoted string at the start of b; s is a new slice without quotes and escapes.
func quoted(b []byte) (s, rest []byte, ok bool) {
	s = []byte{}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '"':
			return s, b[i+1:], true
		case '\\':
			i++
			if i >= len(b) {
				return nil, nil, false
			}
		}
		s = append(s, b[i])
	}
	return nil, nil, false
}

// nesting follows parentheses and quotes through b, from a depth on. end is the index behind the parenthesis that
// brings the depth to 0, or -1 if b ends before.
func nesting(b []byte, depth int) (end, left int) {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			_, rest, ok := quoted(b[i:])
			if !ok {
				return -1, depth
			}
			i = len(b) - len(rest) - 1
		case '(':
			depth++
		case ')':
			if depth--; depth <= 0 {
				return i + 1, 0
			}
		}
	}
	return -1, depth
}

// statusCode splits the text of a status response: "[CODE args] text" (RFC 3501, section 7.1).
func statusCode(text []byte) (code, args, rest []byte) {
	if len(text) == 0 || text[0] != '[' {
		return nil, nil, text
	}
	end := bytes.IndexByte(text, ']')
	if end < 0 {
		return nil, nil, text
	}
	code, args = word(text[1:end])
	return bytes.ToUpper(code), args, bytes.TrimLeft(text[end+1:], " ")
}

// flagList reads a flag list and keeps what the library can read; "(" and ")" are not part of the result.
func flagList(b []byte) []byte {
	b = bytes.TrimSuffix(bytes.TrimPrefix(b, []byte("(")), []byte(")"))
	var out []byte
	for len(b) > 0 {
		var f []byte
		f, b = word(b)
		if !isFlag(f) {
			continue
		}
		if len(out) > 0 {
			out = append(out, ' ')
		}
		out = append(out, f...)
	}
	return out
}

func isFlag(f []byte) bool {
	name := bytes.TrimPrefix(f, []byte(`\`))
	return isAtom(name)
}

func isAtom(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte(`(){}[]%*"\`), c) >= 0 {
			return false
		}
	}
	return len(b) > 0
}

// shown is what a server says, for people. What mask hides is hidden first: it has its own bytes and length.
func shown(mask *auth.Mask, b []byte) string { return string(printable([]byte(mask.Hide(string(b))))) }

// printable makes text of a server fit for the library's and our own eyes: one line, printable ASCII, not over-long.
func printable(b []byte) []byte {
	const most = 400
	out := make([]byte, 0, min(len(b), most))
	for _, c := range b[:min(len(b), most)] {
		if c < ' ' || c > '~' {
			c = '?'
		}
		out = append(out, c)
	}
	return bytes.TrimSpace(out)
}
