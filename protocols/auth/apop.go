package auth

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"strings"
)

// Reasons why a greeting cannot be used for APOP, in the reference's words.
var (
	ErrNoTimestamp      = errors.New("Required APOP timestamp not found in greeting")
	ErrTimestampSyntax  = errors.New("Timestamp syntax error in greeting")
	ErrInvalidTimestamp = errors.New("Invalid APOP timestamp.")
)

// maxTimestamp is more than any server sends: RFC 1939 limits the whole greeting to 512 octets.
const maxTimestamp = 512

// Timestamp finds the timestamp of a POP3 greeting, with its angle brackets. It must be a msg-id of RFC 822 in ASCII:
// with anything else a man in the middle can find out the password from a number of logins (CVE-2007-1558).
func Timestamp(greeting string) (string, error) {
	start := strings.IndexByte(greeting, '<')
	if start < 0 {
		return "", ErrNoTimestamp
	}
	stamp := greeting[start:]
	end := strings.IndexByte(stamp, '>')
	if end < 2 || end >= maxTimestamp {
		return "", ErrTimestampSyntax
	}
	if !messageID(stamp[1:end]) {
		return "", ErrInvalidTimestamp
	}
	return stamp[:end+1], nil
}

// Digest is what APOP sends behind the user name: RFC 1939, section 7.
func Digest(timestamp, secret string) string {
	sum := md5.Sum([]byte(timestamp + secret))
	return hex.EncodeToString(sum[:])
}

// messageID tells whether s is addr-spec of RFC 822: local-part "@" domain. Comments and blanks are not allowed.
func messageID(s string) bool {
	rest, ok := words(s, false)
	if !ok || !strings.HasPrefix(rest, "@") {
		return false
	}
	rest, ok = words(rest[1:], true)
	return ok && rest == ""
}

// words consumes word *("." word), or sub-domains, which may be domain literals but not quoted strings.
func words(s string, domain bool) (rest string, ok bool) {
	for {
		n := atomLen(s)
		switch {
		case n > 0:
		case domain:
			n = enclosedLen(s, '[', ']')
		default:
			n = enclosedLen(s, '"', '"')
		}
		if n == 0 {
			return s, false
		}
		if s = s[n:]; !strings.HasPrefix(s, ".") {
			return s, true
		}
		s = s[1:]
	}
}

// atomLen is the length of the atom at the start of s.
func atomLen(s string) int {
	n := 0
	for n < len(s) && s[n] > ' ' && s[n] < 0x7f && !strings.ContainsRune(`()<>@,;:\".[]`, rune(s[n])) {
		n++
	}
	return n
}

// enclosedLen is the length of the quoted string or domain literal at the start of s, 0 if there is none.
func enclosedLen(s string, open, end byte) int {
	if s == "" || s[0] != open {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == end:
			return i + 1
		case c == '\\':
			i++
		case c < ' ' || c >= 0x7f || c == open:
			return 0
		}
	}
	return 0
}
