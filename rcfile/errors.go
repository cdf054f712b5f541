package rcfile

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Error is one error in a run control file.
type Error struct {
	File    string
	Line    int    // as fetchmail counts, which leaves out line ends within quoted strings
	Message string // "syntax error"
	Near    string // the token at fault; "end of input"

	TrueLine int    // counted from 1
	Column   int    // in characters, counted from 1
	Source   string // that line, passwords masked
	Width    int    // length of the mark in characters
	Hint     string // the remedy, if it can be told

	behind bool // fetchmail would have stopped before this one
	bare   bool // fetchmail does not tell the place of this one
}

// Error is the line that fetchmail 6.4 prints.
func (e *Error) Error() string {
	if e.bare {
		return "fetchmail: " + e.Message
	}
	return fmt.Sprintf("fetchmail:%s:%d: %s at %s", e.File, e.Line, e.Message, e.Near)
}

// Explain writes the place, the source line, a mark under the spot and the hint.
func (e *Error) Explain(w io.Writer) {
	fmt.Fprintf(w, "  line %d, column %d:\n", e.TrueLine, e.Column)
	fmt.Fprintf(w, "    %s\n    %s%s\n", e.Source, indent(e.Source, e.Column-1), strings.Repeat("^", max(e.Width, 1)))
	if e.Hint != "" {
		fmt.Fprintf(w, "  hint: %s\n", e.Hint)
	}
}

// indent moves the mark under column n: tabs stay tabs, whatever their width.
func indent(line string, n int) string {
	var b strings.Builder
	for _, r := range line {
		if n--; n < 0 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Errors are all errors of a file in their order; it is never empty when returned.
type Errors []*Error

// Error is what fetchmail 6.4 prints: it stops at the first syntax error.
func (e Errors) Error() string {
	var lines []string
	for _, err := range e {
		if !err.behind {
			lines = append(lines, err.Error())
		}
	}
	return strings.Join(lines, "\n")
}

// Explain writes every error with its place, source line, mark and hint.
func (e Errors) Explain(w io.Writer) {
	for _, err := range e {
		fmt.Fprintln(w, err.Error())
		err.Explain(w)
	}
}

// explanation describes the place of a token to a reader.
func (p *parsing) explanation(at token, message, hint string) *Error {
	e := &Error{File: p.file.Name, Line: at.line, Message: message, Near: "end of input", Hint: hint, Width: 1}
	if e.Message == "" {
		e.Message = "syntax error"
	}
	if at.kind != tokEOF {
		raw, _, _ := strings.Cut(p.scan.src[at.start:at.end], "\x00")
		e.Near = withoutControls(raw)
		first, _, _ := strings.Cut(raw, "\n")
		e.Width = utf8.RuneCountInString(first)
	}
	start := strings.LastIndexByte(p.scan.src[:at.start], '\n') + 1
	end := len(p.scan.src)
	if i := strings.IndexByte(p.scan.src[at.start:], '\n'); i >= 0 {
		end = at.start + i
	}
	e.TrueLine = 1 + strings.Count(p.scan.src[:start], "\n")
	e.Column = 1 + utf8.RuneCountInString(p.scan.src[start:at.start])
	e.Source = p.masked(start, end)
	return e
}

// masked is a part of the source without the passwords in it.
func (p *parsing) masked(start, end int) string {
	line := []byte(p.scan.src[start:end])
	for _, s := range secrets(p.scan.src, end) {
		for i := max(s[0], start); i < min(s[1], end); i++ {
			line[i-start] = '*'
		}
	}
	return printable(strings.TrimRight(string(line), "\r"))
}

// withoutControls replaces control characters, except white space, and leaves all other bytes as they are, whatever
// their encoding.
func withoutControls(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' && (c < '\t' || c > '\r') || c == 0x7f {
			b[i] = '?'
		}
	}
	return string(b)
}

// printable replaces what could change a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// secrets finds where passwords stand in the source up to end. What touches a password belongs to it, because an
// unquoted one that has a comma or an equals sign in it is what makes many an error.
func secrets(src string, end int) (spans [][2]int) {
	s := newScanner(src)
	secret := false
	for t := s.next(); t.kind != tokEOF && t.start < end; t = s.next() {
		if secret {
			stop := t.end
			for stop < len(src) && strings.IndexByte(" \t\r\n", src[stop]) < 0 {
				stop++
			}
			if t.kind != tokQuoted && (src[t.start] == '"' || src[t.start] == '\'') {
				if i := strings.IndexByte(src[t.start:], '\n'); i >= 0 {
					stop = t.start + i
				} else {
					stop = len(src)
				}
			}
			spans = append(spans, [2]int{t.start, stop})
		}
		secret = t.means != nil && t.means.option != nil && t.means.option.secret || t.kind == tokWord && t.means == nil && looksSecret(t.value)
	}
	return spans
}

// looksSecret tells whether a word may be meant to be one that a password follows.
func looksSecret(word string) bool {
	word = strings.ToLower(word)
	return strings.HasPrefix(word, "pass") || editDistance(word, "password") < 3 || editDistance(word, "esmtppassword") < 3
}

// nearest proposes the candidate that a misspelled word is likely to mean, or else says otherwise.
func nearest(word string, candidates []string, otherwise string) string {
	if c := closest(word, candidates); c != "" {
		return "did you mean \"" + c + "\"?"
	}
	return otherwise
}

// closest is the candidate that a misspelled word is likely to mean; "" if there is none.
func closest(word string, candidates []string) string {
	best, distance := "", min(2, max(1, len(word)/2))
	for _, c := range candidates {
		if d := editDistance(word, c); d <= distance && d < len(c) {
			best, distance = c, d
		}
	}
	return best
}

// editDistance is the number of inserted, deleted and replaced bytes between two words (Levenshtein), cut at 3.
func editDistance(a, b string) int {
	if d := len(a) - len(b); d > 2 || d < -2 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
