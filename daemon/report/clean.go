package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLine is how much of a text from outside is shown, in bytes.
const maxLine = 1000

// Clean makes text from a server or a message fit to be shown: control characters, invisible and direction-changing
// ones and broken UTF-8 are escaped, very long lines cut.
func Clean(s string) string { return clean(s, maxLine) }

func clean(s string, limit int) string {
	cut := ""
	if len(s) > limit {
		cut = fmt.Sprintf("... (%d octets)", len(s))
		s = s[:limit]
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

// Size is a number of octets for people: 1.2 MB.
func Size(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f := float64(n)
	for _, unit := range []string{"kB", "MB", "GB"} {
		if f /= 1000; f < 999.95 {
			return fmt.Sprintf("%.1f %s", f, unit)
		}
	}
	return fmt.Sprintf("%.1f TB", f/1000)
}
