package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLine is how much of a text from outside is shown, in bytes.
const maxLine = 1000

// Clean makes text from a server or a message fit to be shown: control characters, invisible and direction-changing
// ones and broken UTF-8 are escaped, very long lines cut.
func Clean(s string) string {
	cut := ""
	if len(s) > maxLine {
		cut = fmt.Sprintf("... (%d octets)", len(s))
		s = s[:maxLine]
	}
	if plain(s) {
		return s + cut
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\t' || unicode.IsPrint(r):
			b.WriteString(s[:n])
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[n:]
	}
	return b.String() + cut
}

// plain tells that s is printable ASCII, which nearly everything is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}
