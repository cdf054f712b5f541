package reftest

import (
	"fmt"
	"math/rand"
	"regexp"
	"strings"
)

// routes are pieces of lists of recipients at the server "localhost".
var routes = []string{"a@localhost", "b@localhost", "c@localhost", "q@localhost", "a", "b", "d@dom.example", "e@x.dom.example", "x@y.example",
	"a@aka.example", "b@z.aka.example", "a@far.example", ", ", ", ", ",", "<", ">", "(c)", `"n" `, "friends:", ";", "PRE-a@localhost",
	"pre-b@localhost", " ", "\r\n ", "@", "a!b", `"a"@localhost`, "A@LOCALHOST", "<a@localhost>", "<@r:b@localhost>"}

var routedFields = []string{"To", "To", "Cc", "Bcc", "Apparently-To", "Resent-To", "Resent-Cc", "X-Envelope-To", "X-Envelope-To", "Delivered-To",
	"Received", "Received", "From", "Subject"}

// Routed is a message with odd recipients; its number stands in X-Mark.
func Routed(r *rand.Rand, n int) []byte {
	var b strings.Builder
	for k := 1 + r.Intn(4); k > 0; k-- {
		name := pick(r, routedFields)
		b.WriteString(name + ": ")
		if name == "Received" {
			b.WriteString("from x by " + []string{"localhost", "LOCALHOST", "far.example", "z.aka.example", "localhost;"}[r.Intn(5)] + " " +
				[]string{"", "id 1 ", "(x) ", "\r\n\t"}[r.Intn(4)] + []string{"for ", "for ", "For ", "for\r\n "}[r.Intn(4)])
		}
		for i := r.Intn(5); i > 0; i-- {
			b.WriteString(pick(r, routes))
		}
		b.WriteString([]string{"\r\n", "; Sun\r\n"}[r.Intn(2)])
	}
	fmt.Fprintf(&b, "X-Mark: %d\r\n\r\ntext\r\n", n)
	return []byte(b.String())
}

var stale = regexp.MustCompile(`(?m)^Received: [^\n]*(\n[ \t][^\n]*)*for[ \t\r\n]*\n[^ \t]`)

// Stale tells that a message has a Received line with nothing behind "for": the reference sends it where the message
// before it went.
func Stale(msg []byte) bool { return stale.Match(msg) }
