package imap

import (
	"sort"
	"strings"
)

// commandName is the first word of a command, the first two if it is UID.
func commandName(text string) string {
	name, rest, _ := strings.Cut(text, " ")
	if name == "UID" {
		second, _, _ := strings.Cut(rest, " ")
		return name + " " + second
	}
	return name
}

// fetchOrder is the order of FETCH items on the wire; the library's is random.
var fetchOrder = map[string]int{"UID": 1, "FLAGS": 2, "RFC822.SIZE": 3}

// translate puts a command of the library into the form in which the reference sends it, so that traces are the
// same and servers see what they have been seeing: SELECT "INBOX" and folder names as the user gave them (the library
// writes SELECT INBOX and would encode names a second time), FETCH items in a fixed order and without parentheses if it
// is one, the items of RFC 1730 for servers without IMAP4rev1. The caller holds mu.
func (f *filter) translate(text string) string {
	name := commandName(text)
	switch strings.TrimPrefix(name, "UID ") {
	case "SELECT", "EXAMINE":
		return name + " " + f.mailbox
	case "COPY", "MOVE":
		set, _, _ := strings.Cut(text[len(name)+1:], " ")
		return name + " " + set + " " + f.target
	case "FETCH":
		return f.translateFetch(name, text[len(name)+1:])
	}
	return text
}

func (f *filter) translateFetch(name, args string) string {
	set, list, _ := strings.Cut(args, " ")
	items := strings.Fields(strings.Trim(list, "()"))
	sort.SliceStable(items, func(i, j int) bool { return rank(items[i]) < rank(items[j]) })
	if name == "FETCH" {
		for i, it := range items {
			switch {
			case it == "BODY.PEEK[HEADER]":
				items[i] = "RFC822.HEADER"
			case it == "BODY.PEEK[TEXT]" && f.old:
				items[i] = "RFC822.TEXT.PEEK"
			}
		}
	}
	if len(items) == 1 {
		return name + " " + set + " " + items[0]
	}
	return name + " " + set + " (" + strings.Join(items, " ") + ")"
}

func rank(item string) int {
	if n, ok := fetchOrder[item]; ok {
		return n
	}
	return len(fetchOrder) + 1
}

// quote makes a quoted string (RFC 3501, section 4.3). Octets above 0x7f are left as they are, as the reference does:
// every server in use takes them. The text must not hold CR, LF or NUL: see safe.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// safe tells whether a text can be sent as a quoted string.
func safe(s string) bool { return !strings.ContainsAny(s, "\r\n\x00") }
