package rcfile

import (
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/participle/v2/lexer"
)

// The kinds of token of fetchmail(1), "Run Control Syntax". Noise words and punctuation yield none.
const (
	tokEOF     = lexer.EOF
	tokKeyword = lexer.TokenType(-2 - iota) // a word of the grammar, where it is not taken as a name
	tokWord                                 // an unquoted string
	tokQuoted                               // a quoted string
	tokNumber                               // decimal digits, perhaps with a minus
	tokEqual                                // "=", between the two halves of a mapping
)

// symbols are the names of the kinds in the tags of the grammar.
var symbols = map[string]lexer.TokenType{
	"EOF": tokEOF, "Keyword": tokKeyword, "Word": tokWord, "Quoted": tokQuoted, "Number": tokNumber, "Equal": tokEqual,
}

// grammarWords are the keywords that are no option.
var grammarWords = []string{"poll", "skip", "server", "set", "defaults", "no", "here", "there"}

var noiseWords = []string{"and", "with", "has", "wants", "options"}

// meaning is what an unquoted word means where it is not taken as a name.
type meaning struct {
	word   string
	what   uint8
	behind string  // the keyword that is joined to a "no"
	option *Option // the option that the keyword names, as a rule
	naming bool    // what follows is a name whatever it looks like
	value  bool    // what follows is a string
}

// The meanings of words.
const (
	plain      uint8 = iota // a string, perhaps an option of later releases or ours
	reserved                // a keyword of fetchmail 6.4
	joinedToNo              // "no" and a keyword
	noise
)

// meanings are the words that are not plain. Words of later releases and ours are plain strings, which the grammar
// recognizes where no string can stand; they are listed for the sake of their option.
var meanings = sync.OnceValue(func() map[string]*meaning {
	m := map[string]*meaning{}
	reserve := func(words ...string) {
		for _, word := range words {
			if m[word] == nil {
				m[word] = &meaning{word: word, what: reserved}
			}
		}
	}
	for _, word := range noiseWords {
		m[word] = &meaning{word: word, what: noise}
	}
	reserve(grammarWords...)
	for _, o := range Options() {
		for _, word := range o.Words {
			if o.New {
				m[word] = &meaning{word: word, what: plain, option: o}
				continue
			}
			reserve(word)
			m[word].describe(o)
			if o.joined {
				m["no"+word] = &meaning{word: "no" + word, what: joinedToNo, behind: word}
			}
		}
		if !o.New {
			reserve(o.reservedChoices()...)
		}
	}
	for _, word := range []string{"poll", "skip", "server"} {
		m[word].value = true
	}
	return m
})

// describe notes what the keyword of an option asks of the token behind it.
func (m *meaning) describe(o *Option) {
	m.option = o
	m.naming = o.Name == "username" || o.Name == "password" || o.Name == "is"
	m.value = o.Kind == Text || o.Kind == Path || o.Kind == Strings || o.Kind == Skip || o.Kind == Service
}

// reservedChoices are the values that fetchmail 6.4 has as keywords.
func (o *Option) reservedChoices() []string {
	switch o.Name {
	case "protocol":
		words := slices.Clone(o.Choices)
		for _, word := range o.Choices {
			words = append(words, strings.ToUpper(word))
		}
		return words
	case "auth":
		return o.Choices[:len(o.Choices)-newAuthTypes]
	}
	return o.Choices
}

// token is one token of a run control file.
type token struct {
	kind       lexer.TokenType
	value      string // the keyword, the number, or the string without quotes and escapes
	start, end int    // where it stands in the source
	line       int    // number of its last line as the reference counts, which leaves out line ends within quotes
	means      *meaning
}

// scanner cuts a run control file into tokens. The longest match wins, as in fetchmail's own scanner: `"a"b` is one
// unquoted string, quotes included, and so is `5k`. After user, password, is, to and "=" the next token is a name
// whatever it looks like (naming).
type scanner struct {
	src    string
	pos    int
	line   int
	naming bool
	value  bool // the last token was an option that takes a string
	choice bool // the last token was auth: password behind it is no option
	second token
	queued bool
	words  map[string]*meaning
}

func newScanner(src string) *scanner {
	return &scanner{src: src, line: 1, words: meanings()}
}

// next returns the next token; at the end of the source, and ever after, an EOF token.
func (s *scanner) next() token {
	if s.queued {
		s.queued = false
		return s.second
	}
	for {
		s.skipBlanks()
		if s.pos >= len(s.src) {
			return token{kind: tokEOF, start: s.pos, end: s.pos, line: s.line}
		}
		if t, ok := s.scan(); ok {
			return t
		}
	}
}

// skipBlanks passes over white space, ignored punctuation, comments and joined lines.
func (s *scanner) skipBlanks() {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == ' ' || c == '\t' || c == '\r' || c == ',' || c == ';' || c == ':':
			s.pos++
		case c == '\n':
			s.pos++
			s.line++
		case c == '\\' && s.pos+1 < len(s.src) && s.src[s.pos+1] == '\n':
			s.pos += 2
			s.line++
		case c == '#' && s.skipComment():
		default:
			return
		}
	}
}

// skipComment passes over a comment. One that the file ends in before its newline is a comment too, unless a string
// must come here: then it is that string, as `password #1` always was.
func (s *scanner) skipComment() bool {
	end := strings.IndexByte(s.src[s.pos:], '\n')
	switch {
	case end >= 0:
		s.pos += end + 1
		s.line++
	case s.naming || s.value:
		return false
	default:
		s.pos = len(s.src)
	}
	return true
}

// scan reads one token, or a noise word, which is none.
func (s *scanner) scan() (token, bool) {
	start := s.pos
	if s.src[start] == '=' {
		s.pos++
		s.naming, s.value = true, false
		return token{kind: tokEqual, value: "=", start: start, end: s.pos, line: s.line}, true
	}
	word := wordLength(s.src[start:])
	quoted := quotedLength(s.src[start:])
	t := token{start: start, line: s.line}
	switch {
	case quoted >= word:
		s.pos += quoted
		t.kind, t.value = tokQuoted, unescape(s.src[start+1:s.pos-1])
	case s.naming:
		s.pos += word
		t.kind, t.value = tokWord, unescape(s.src[start:s.pos])
	default:
		s.pos += word
		if noise := s.classify(&t, s.src[start:s.pos]); noise {
			return t, false
		}
	}
	if t.end == 0 {
		t.end = s.pos
	}
	choice := s.choice
	s.naming, s.value, s.choice = false, false, false
	if t.kind == tokKeyword && !choice {
		s.naming, s.value = t.means.naming, t.means.value
		s.choice = t.means.option != nil && t.means.option.Name == "auth"
	}
	return t, true
}

// classify finds out what an unquoted word is, and tells whether it is noise.
func (s *scanner) classify(t *token, raw string) (isNoise bool) {
	m := s.words[raw]
	switch {
	case m == nil && isNumber(raw):
		t.kind, t.value = tokNumber, raw
		return false
	case m == nil || m.what == plain:
		t.kind, t.value, t.means = tokWord, unescape(raw), m
		return false
	case m.what == joinedToNo:
		t.kind, t.value, t.means = tokKeyword, "no", s.words["no"]
		t.end = t.start + 2
		s.second = token{kind: tokKeyword, value: m.behind, means: s.words[m.behind], start: t.end, end: s.pos, line: t.line}
		s.queued = true
		return false
	}
	t.kind, t.value, t.means = tokKeyword, m.word, m
	return m.what == noise
}

// wordLength is the length of the unquoted string at the start of b.
func wordLength(b string) int {
	for i := range len(b) {
		switch b[i] {
		case '=', ';', ':', ',', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return len(b)
}

// quotedLength is the length of the quoted string at the start of b with its quotes; 0 if there is none. It ends at
// the next quote of its kind: a backslash does not protect one.
func quotedLength(b string) int {
	if b[0] != '"' && b[0] != '\'' {
		return 0
	}
	end := strings.IndexByte(b[1:], b[0])
	if end < 0 {
		return 0
	}
	return end + 2
}

func isNumber(b string) bool {
	if b[0] == '-' {
		b = b[1:]
	}
	for i := range len(b) {
		if b[i] < '0' || b[i] > '9' {
			return false
		}
	}
	return len(b) > 0
}

// unescape replaces the eight escapes of fetchmail(1), "Run Control Syntax". As there, a zero byte ends the string.
func unescape(b string) string {
	special := strings.IndexByte(b, '\\')
	if zero := strings.IndexByte(b, 0); special < 0 || zero >= 0 && zero < special {
		special = zero
	}
	if special < 0 {
		return b
	}
	out := append(make([]byte, 0, len(b)), b[:special]...)
	for i := special; i < len(b); {
		c := b[i]
		i++
		if c == '\\' {
			if i == len(b) {
				break
			}
			var skip bool
			if c, i, skip = escape(b, i); skip {
				continue
			}
		}
		if c == 0 {
			break
		}
		out = append(out, c)
	}
	return string(out)
}

// escape decodes what stands behind a backslash at b[i] and returns the byte, the place behind it, and whether it
// stands for nothing at all.
func escape(b string, i int) (c byte, next int, skip bool) {
	switch c = b[i]; {
	case c == '\n':
		return 0, i + 1, true
	case c == 'n':
		return '\n', i + 1, false
	case c == 't':
		return '\t', i + 1, false
	case c == 'b':
		return '\b', i + 1, false
	case c == 'r':
		return '\r', i + 1, false
	case c == '0':
		return digits(b, i, 8, 3)
	case c >= '1' && c <= '9':
		return digits(b, i, 10, 3)
	case c == 'x':
		return digits(b, i+1, 16, 2)
	}
	return c, i + 1, false
}

// digits reads up to n digits; the value is cut to a byte.
func digits(b string, i, base, n int) (byte, int, bool) {
	v := 0
	for ; n > 0 && i < len(b); n-- {
		d := digit(b[i])
		if d >= base {
			break
		}
		v = v*base + d
		i++
	}
	return byte(v), i, false
}

// digit is the value of a hexadecimal digit, 16 for what is none.
func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return 16
}
