package ledger

import "strings"

// blank is what ends a UID and may stand before a line.
const blank = " \t"

// line is one line of the file.
type line struct {
	raw     string // with its line end, if it has one
	account string // user@host as written, "" in a line that is dropped
	uid     string
	claimed bool // belongs to a registered account
}

// parseLine reads one line, with or without its line end.
func parseLine(raw string) line {
	l := line{raw: raw}
	s := strings.TrimLeft(strings.TrimSuffix(raw, "\n"), blank)
	at := strings.IndexByte(s, '@')
	if at < 0 || strings.IndexByte(s, 0) >= 0 {
		return l
	}
	n := strings.IndexByte(s[at:], ' ')
	if n < 0 {
		return l
	}
	l.account, l.uid = s[:at+n], cutUID(s[at+n:])
	return l
}

// cutUID takes the UID from what follows the account.
func cutUID(s string) string {
	s = strings.TrimLeft(s, " ")
	if n := strings.IndexAny(s, blank); n >= 0 {
		s = s[:n]
	}
	return s
}

// parseFile splits data into lines and reads each.
func parseFile(data string) []line {
	lines := make([]line, 0, strings.Count(data, "\n")+1)
	for raw := range strings.Lines(data) {
		lines = append(lines, parseLine(raw))
	}
	return lines
}

// accountName is how an account is written in the file.
func accountName(user, host, folder string) string {
	if confusing(user) {
		user = escape(user)
	}
	host = escapeBytes(host, "@")
	if folder == "" {
		return user + "@" + host
	}
	return user + "@" + host + "/" + escapeBytes(folder, "@%;")
}

// confusing tells whether the reference would not find its own lines for this user, or read another account from them.
func confusing(user string) bool {
	at := strings.IndexByte(user, '@')
	return user == "" || strings.IndexByte(blank, user[0]) >= 0 || strings.ContainsAny(user, "\n\x00") ||
		at >= 0 && strings.IndexByte(user[at:], ' ') >= 0
}

// escape writes s without blanks, line ends, other control bytes and '%'.
func escape(s string) string { return escapeBytes(s, "%") }

// escapeBytes writes control bytes, blanks and the bytes of special as %XX.
func escapeBytes(s, special string) string {
	const hex = "0123456789ABCDEF"
	n := 0
	for i := range len(s) {
		if mustEscape(s[i], special) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; mustEscape(c, special) {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func mustEscape(c byte, special string) bool {
	return c <= ' ' || c == 0x7f || strings.IndexByte(special, c) >= 0
}

// unescape is the inverse of escape; ok is false if s is not the result of escape.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, s == escape(s)
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		b = append(b, unhex(s[i+1])<<4|unhex(s[i+2])&15)
		i += 2
	}
	// One spelling only: what escape would not have written is damage.
	return string(b), escape(string(b)) == s
}

func unhex(c byte) byte {
	if c >= 'A' {
		return c - 'A' + 10
	}
	return c - '0'
}

// uidText is how a UID is written in the file: as it is, apart from bytes that the format cannot hold.
func uidText(uid string) string { return escapeBytes(uid, "") }

// fold makes account names comparable: user and host without regard to letter case (ASCII, as the reference in the C
// locale), the folder, which follows the first '/' behind the last '@', as it is.
func fold(account string) string {
	end := len(account)
	at := strings.LastIndexByte(account, '@')
	if n := strings.IndexByte(account[at+1:], '/'); n >= 0 {
		end = at + 1 + n
	}
	return lowerASCII(account[:end]) + account[end:]
}

func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
