package rcfile

import (
	"strings"
	"testing"
)

// tokens writes the tokens of a text: keywords bare, strings in angle brackets, numbers with a "#".
func tokens(src string) string {
	s := newScanner(src)
	var list []string
	for t := s.next(); t.kind != tokEOF; t = s.next() {
		switch t.kind {
		case tokWord:
			list = append(list, "<"+t.value+">")
		case tokQuoted:
			list = append(list, "\""+t.value+"\"")
		case tokNumber:
			list = append(list, "#"+t.value)
		default:
			list = append(list, t.value)
		}
	}
	return strings.Join(list, " ")
}

func TestTokens(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"", ""},
		{"poll x proto pop3", "poll <x> proto pop3"},
		{"poll x with options keep and flush", "poll <x> keep flush"},
		{"poll:x,;user u", "poll <x> user <u>"},
		{"# all\npoll x # rest\nkeep", "poll <x> keep"},
		{"keep#x", "<keep#x>"},
		{"5 -5 5k -", "#5 #-5 <5k> <->"},
		{"user keep keep", "user <keep> keep"},
		{"pass 12 12", "pass <12> #12"},
		{"is with with", "is <with>"},
		{"is a = keep b", "is <a> = <keep> <b>"},
		{"auth password user u", "auth password user <u>"},
		{"nokeep noport no keep", "no keep <noport> no keep"},
		{`"a b" 'c"d'`, `"a b" "c"d"`},
		{`"a"b "a" b`, `<"a"b> "a" <b>`},
		{`"open`, `<"open>`},
		{"\"a\nb\"", "\"a\nb\""},
		{"\"a\\\nb\"", `"ab"`},
		{"poll \\\n x", "poll <x>"},
		{"a=b", "<a> = <b>"},
		{"maildir search", "<maildir> <search>"},
		{"via # no value", "via <#> no <value>"},
		{"keep # no newline", "keep"},
	} {
		if got := tokens(c.src); got != c.want {
			t.Errorf("%q: %s, want %s", c.src, got, c.want)
		}
	}
}

func TestEscapes(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{`plain`, "plain"},
		{`\n\t\b\r`, "\n\t\b\r"},
		{`\65\066`, "A6"}, // decimal, octal
		{`\0101`, "\b1"},
		{`\x41\x4Az`, "AJz"},
		{`\x1234`, "\x1234"},
		{`\1234`, "{4"},
		{`\256x`, ""}, // a zero byte ends the string
		{`\xzz`, ""},
		{`a\0b`, "a"},
		{`\\\"\q`, `\"q`},
		{"a\\\nb", "ab"},
		{`a\`, "a"},
		{`\233`, "\xe9"},
		{"a\x00b", "a"},
		{"\\x\x10", ""},
	} {
		if got := unescape(c.raw); got != c.want {
			t.Errorf("%q: %q, want %q", c.raw, got, c.want)
		}
	}
}

func TestLinesAreCountedAsTheReferenceDoes(t *testing.T) {
	for _, c := range []struct {
		src  string
		line int
	}{
		{"x", 1}, {"\nx", 2}, {"#\nx", 2}, {"\\\nx", 2}, {"\r\n\r\nx", 3}, {"\"a\nb\"\nx", 2},
	} {
		s := newScanner(c.src)
		var last token
		for tok := s.next(); tok.kind != tokEOF; tok = s.next() {
			last = tok
		}
		if last.line != c.line {
			t.Errorf("%q: x is in line %d, want %d", c.src, last.line, c.line)
		}
	}
}
