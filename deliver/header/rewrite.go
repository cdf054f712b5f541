package header

// rewrittenFields are the fields whose local addresses are completed (fetchmail(1), "--norewrite", names fewer).
var rewrittenFields = []string{"From", "To", "Reply-To", "Cc", "Bcc", "Sender", "Apparently-From", "Apparently-To",
	"Resent-From", "Resent-To", "Resent-Cc", "Resent-Bcc", "Resent-Sender", "Return-Path"}

func (b *Block) rewritten(f field) bool {
	for _, name := range rewrittenFields {
		if b.is(f, name) {
			return true
		}
	}
	return false
}

// completer walks over the value of an address field and notes where a local address lacks its host.
//
// It is not a parser of RFC 5322 but the reference's way of looking at such a field, found out by comparing the two over
// every string of up to five octets of syntax: filters and replies depend on what it leaves alone just as much as on
// what it changes. The rules that surprise: the octet behind a comma only ends the last address, whatever it is; in
// comments nothing is looked at, not even backslashes; once an address has its host, neither quotes nor angle brackets
// count until the next comma; an angle address with a host keeps the bracket open.
type completer struct {
	in    []byte
	marks []int // offsets at which "@host" has to be inserted, ascending

	mode   mode
	depth  int  // of comments; negative if more were closed than opened
	bare   bool // a word that may be a local address was seen
	host   bool // the address has its host, or has been given one
	seen   byte // the last octet that was not white space
	last   int  // offset behind it, commas excepted
	before int  // offset behind the address in front of its first comment; -1 if there is none
}

type mode int

const (
	inText mode = iota
	inQuotes
	inAngle
)

// marks are the offsets in value at which a host is missing. value ends with a line end.
func marks(value []byte) []int {
	c := completer{in: value, seen: ':', before: -1}
	for i := 0; i < len(value); i++ {
		if c.mode == inQuotes {
			i = c.quoted(i)
			continue
		}
		switch value[i] {
		case '(':
			c.depth++
		case ')':
			c.depth--
		}
		if !isSpace(value[i]) {
			c.seen = value[i]
		}
		switch {
		case c.depth != 0:
		case c.mode == inAngle:
			c.angle(i)
		default:
			c.text(i)
		}
	}
	return c.marks
}

// quoted deals with an octet of a quoted string and returns the offset of the last octet it has used.
func (c *completer) quoted(i int) int {
	if c.afterComma(i) {
		c.reset()
	}
	c.seen, c.last = c.in[i], i+1
	switch c.in[i] {
	case '"':
		c.mode = inText
	case '\\':
		c.last = i + 1
		return i + 1
	}
	return i
}

// angle deals with an octet between < and >. The null address <> is left alone, for it suppresses bounces.
func (c *completer) angle(i int) {
	switch b := c.in[i]; {
	case b == '>' && c.in[i-1] != '<' && !c.host:
		c.marks = append(c.marks, i)
		c.host, c.mode, c.last = true, inText, i+1
	case c.afterComma(i):
		c.reset()
	case b == '@' || b == '!':
		c.host = true
	}
}

// text deals with an octet outside of comments, quotes and angle brackets.
func (c *completer) text(i int) {
	b := c.in[i]
	if !isSpace(b) && b != ',' {
		c.last = i + 1
	}
	if c.bare && !c.host && c.seen != ';' {
		c.complete(i)
	}
	switch {
	case b == '<' && !c.host:
		c.mode = inAngle
	case b == '"' && !c.host:
		c.mode = inQuotes
		if c.afterComma(i) {
			c.reset()
		}
	case c.afterComma(i):
		c.reset()
	case b == '@' || b == '!':
		c.host = true
	case !isSpace(b):
		c.bare = true
	}
}

// complete gives a bare address its host if it ends at offset i, or remembers where it belongs if a comment follows.
func (c *completer) complete(i int) {
	switch b := c.in[i]; {
	case b == ',' || b == '\n' && !c.folded(i):
		at := c.last
		if c.before >= 0 {
			at = c.before
		}
		c.marks = append(c.marks, at)
		c.host, c.before = true, -1
	case i+1 < len(c.in) && c.in[i+1] == '(' && b != '"' && c.seen != ')':
		c.before = c.last
	}
}

func (c *completer) folded(i int) bool {
	return i+1 < len(c.in) && (c.in[i+1] == ' ' || c.in[i+1] == '\t')
}

func (c *completer) afterComma(i int) bool { return i > 0 && c.in[i-1] == ',' }

func (c *completer) reset() { c.bare, c.host, c.before = false, false, -1 }

func isSpace(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' }

// rewrite completes the local addresses in the value of an address field, which ends with a line end, and appends it
// to out.
func rewrite(out, value []byte, host string) []byte {
	done := 0
	for _, m := range marks(value) {
		out = append(out, value[done:m]...)
		out = append(out, '@')
		out = append(out, host...)
		done = m
	}
	return append(out, value[done:]...)
}

// Recipients are the values of the fields that name recipients, in the order of the header, as they are after
// rewriting: of Resent-To, Resent-Cc and Resent-Bcc if there is any of them, otherwise of To, Cc, Bcc and
// Apparently-To.
func (b *Block) Recipients(rewriting bool, host string) [][]byte {
	var first, again [][]byte
	for _, f := range b.fields {
		switch resent, ok := b.recipient(f); {
		case resent:
			again = append(again, b.rewrite(f, rewriting, host))
		case ok:
			first = append(first, b.rewrite(f, rewriting, host))
		}
	}
	if len(again) > 0 {
		return again
	}
	return first
}

// BeginningWith are the values of all fields whose name begins with prefix, in any case, other than those that
// Recipients looks at.
func (b *Block) BeginningWith(prefix string) [][]byte {
	var vs [][]byte
	for _, f := range b.fields {
		if f.value > f.start && hasPrefixFold(b.name(f), prefix) {
			if _, ok := b.recipient(f); ok {
				continue
			}
			vs = append(vs, b.value(f))
		}
	}
	return vs
}

// recipient tells whether a field names recipients, and whether those of a message that was sent again.
func (b *Block) recipient(f field) (again, ok bool) {
	for _, name := range []string{"Resent-To", "Resent-Cc", "Resent-Bcc"} {
		if b.is(f, name) {
			return true, true
		}
	}
	for _, name := range []string{"To", "Cc", "Bcc", "Apparently-To"} {
		if b.is(f, name) {
			return false, true
		}
	}
	return false, false
}
