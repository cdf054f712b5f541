package mda

import "strings"

// expand puts sender and recipients into a command for /bin/sh.
//
// As in the reference each is one argument in single quotes, single quotes within become "_", and recipients are joined
// with blanks. In single quotes nothing is special to the shell. But the manual's "Do NOT enclose %F or %T in quotes"
// is not always heeded, and a second pair of quotes opens what the first has closed. So wherever the place is not
// plainly outside of quotes, backquotes, $( and here-documents, every octet that a shell could take for more than
// itself becomes "_" first.
//
// An argument that begins with "-" could be taken for an option: such an address is given in the equivalent form with
// a quoted local part (RFC 5321, section 4.1.2).
func expand(command, from string, to []string) string {
	from = noOption(from)
	names := make([]string, len(to))
	for i, a := range to {
		names[i] = noOption(a)
	}
	var b strings.Builder
	var place shellPlace
	for i := 0; i < len(command); i++ {
		c := command[i]
		if c == '%' && i+1 < len(command) {
			switch command[i+1] {
			case 'F':
				b.WriteString(place.quote(from))
				i++
				continue
			case 'T', 's':
				b.WriteString(place.quote(strings.Join(names, " ")))
				i++
				continue
			}
		}
		place.step(c)
		b.WriteByte(c)
	}
	return b.String()
}

// noOption makes an address like -x@y into "-x"@y.
func noOption(address string) string {
	if !strings.HasPrefix(address, "-") {
		return address
	}
	local, domain, at := strings.Cut(address, "@")
	q := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	if at {
		q += "@" + domain
	}
	return q
}

// shellPlace follows the quoting of a shell command, cautiously.
type shellPlace struct {
	single, double, escaped bool
	odd                     bool // something nested was begun
	last                    byte
}

func (p *shellPlace) step(c byte) {
	switch {
	case p.escaped:
		p.escaped = false
	case p.single:
		p.single = c != '\''
	case c == '\\':
		p.escaped = true
	case c == '"':
		p.double = !p.double
	case c == '\'' && !p.double:
		p.single = true
	case c == '`', (c == '(' || c == '{' || c == '\'') && p.last == '$', c == '<' && p.last == '<', c == '#':
		p.odd = true
	}
	p.last = c
}

func (p *shellPlace) plain() bool { return !(p.single || p.double || p.escaped || p.odd) }

// quote makes s one argument.
func (p *shellPlace) quote(s string) string {
	s = strings.ReplaceAll(s, "'", "_")
	if !p.plain() {
		s = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%_-+=:,./", r) {
				return r
			}
			return '_'
		}, s)
	}
	return "'" + s + "'"
}
