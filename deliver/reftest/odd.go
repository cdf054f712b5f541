package reftest

import (
	"bytes"
	"fmt"
	"math/rand"
	"strings"
)

// Odd is a message of any kind: plain, with odd addresses, with odd MIME, bent, cut or blown up. Most are small; one in
// a hundred has a line of 100 KB, one in a thousand a line of a megabyte. The same source gives the same messages.
func Odd(r *rand.Rand) []byte {
	var m []byte
	switch k := r.Intn(20); {
	case k < 5:
		m = Hostile(r, r.Intn(100))
	case k < 10:
		m = HostileMIME(r, r.Intn(100))
	case k < 18:
		m = addressed(r)
	case k < 19:
		m = noise(r)
	default:
		m = huge(r)
	}
	for r.Intn(3) == 0 {
		m = bends[r.Intn(len(bends))](r, m)
	}
	if len(m) > 0 && m[0] == '.' { // Dovecot does not double a dot there with POP3
		m[0] = 'X'
	}
	return m
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.Intn(len(from))] }

// addressFields are the fields that tell sender or recipients or are rewritten.
var addressFields = []string{"From", "From", "From", "To", "To", "Cc", "Bcc", "Reply-To", "Sender", "Return-Path", "Resent-From",
	"Resent-To", "Resent-Cc", "Resent-Bcc", "Resent-Sender", "Resent-Reply-To", "Apparently-From", "Apparently-To", "Errors-To",
	"Return-Receipt-To", "Disposition-Notification-To", "Delivered-To", "X-Envelope-To", "X-Original-To"}

// addressed is a message whose fields hold addresses in all forms of RFC 5322 and older ones.
func addressed(r *rand.Rand) []byte {
	var b bytes.Buffer
	for n := 1 + r.Intn(6); n > 0; n-- {
		fmt.Fprintf(&b, "%s:%s%s\r\n", pick(r, addressFields), pick(r, []string{" ", " ", "", "\t", "\r\n ", "  "}), addresses(r))
	}
	fmt.Fprintf(&b, "Subject: %s\r\n\r\n", pick(r, []string{"x", "", "=?utf-8?q?=C3=BC?=", "Received: x"}))
	for n := r.Intn(4); n > 0; n-- {
		b.WriteString(pick(r, texts))
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func addresses(r *rand.Rand) string {
	var b strings.Builder
	for n := r.Intn(5); ; n-- {
		b.WriteString(mailbox(r))
		if n <= 0 {
			break
		}
		b.WriteString(pick(r, []string{", ", ", ", ", ", ",", " ,", ",\r\n ", ",\r\n\t", ",,", ", ,", "; ", ",(c)"}))
	}
	return b.String()
}

var displays = []string{"", "", "Joe", "Joe Doe", `"Joe, Doe"`, `"Joe \"J\" Doe"`, `"a\\b"`, "=?utf-8?q?J=C3=B6?=", "=?iso-8859-1?B?4fw=?=", "J\xf6",
	"J\xc3\xb6", "Joe (x)", "(x) Joe", "Joe\r\n Doe", "Doe, Joe", "Joe:", `"<x>"`, `"(" `, `")"`, "J. Doe", "'Joe'", `Joe "D" Doe`, "@", "joe@work"}

var locals = []string{"joe", "joe", "sue", "a.b", `"j d"`, `"j@d"`, `"j,d"`, `"j\"d"`, "-x", "j'd", "j%h", "uu!cp", "j+x", "J\xf6", "j$(id)d", "a`b`",
	"j;d", "j|d", "j\\ d", "", strings.Repeat("l", 70)}

var hosts = []string{"", "", "", "@h.example", "@h.example", "@H.Example", "@localhost", "@[127.0.0.1]", "@ h . example", "@(c)h.example", "@h.example.",
	"@", "@@h.example", "@h@i.example", "@xn--bcher-kva.example", "@b\xc3\xbccher.example", "@" + strings.Repeat("h", 300)}

func mailbox(r *rand.Rand) string {
	local := pick(r, locals)
	if r.Intn(20) == 0 {
		local = strings.Repeat("l", 1+r.Intn(1200))
	}
	addr := local + pick(r, hosts)
	switch r.Intn(12) {
	case 0, 1, 2:
		return addr
	case 3, 4, 5:
		return pick(r, displays) + pick(r, []string{" ", "", "\r\n "}) + "<" + addr + ">"
	case 6:
		return addr + pick(r, []string{" (Joe)", "(Joe, Doe)", " (a (b) c)", " (", " )", ` (a\)b)`, " (J\r\n D)"})
	case 7:
		return pick(r, displays) + " <@r1,@r2:" + addr + ">"
	case 8:
		return pick(r, []string{"friends:", "my friends: ", `"f, g":`, "f(c):"}) + addr + pick(r, []string{"", ", " + pick(r, locals), ", b@c.example"}) +
			pick(r, []string{";", ";", "", " ;"})
	case 9:
		return pick(r, []string{"<>", "undisclosed-recipients:;", "(nobody)", "<(c)>", "< " + addr + " >", "<" + addr, addr + ">", "<<" + addr + ">>"})
	case 10:
		return pick(r, displays) + addr
	}
	var b strings.Builder
	for n := r.Intn(6); n > 0; n-- {
		b.WriteString(pick(r, atoms))
	}
	return b.String()
}

const octets = "abc:::  \r\n\n\n\r\r\n\x00\x7f\xff.,;@<>()\"\\=?-"

// noise is hardly a message.
func noise(r *rand.Rand) []byte {
	b := make([]byte, r.Intn(400))
	for i := range b {
		b[i] = octets[r.Intn(len(octets))]
	}
	return b
}

// huge is a message with much of something.
func huge(r *rand.Rand) []byte {
	n := 2000
	if r.Intn(5) == 0 {
		n = 100_000
	}
	if r.Intn(50) == 0 {
		n = 1_000_000
	}
	head := "From: joe\r\nTo: sue\r\n"
	switch r.Intn(7) {
	case 0:
		return []byte(head + "\r\n" + strings.Repeat("x", n) + "\r\n")
	case 1:
		return []byte(head + "X: " + strings.Repeat("x", n) + "\r\n\r\nx\r\n")
	case 2:
		return []byte(head + "Cc: " + strings.Repeat("a, ", n/10) + "b\r\n\r\nx\r\n")
	case 3:
		return []byte(head + "X:" + strings.Repeat(" y\r\n", n/10) + "\r\nx\r\n")
	case 4:
		return []byte(head + "\r\n" + strings.Repeat(".\r\n", n/10))
	case 5:
		return []byte(strings.Repeat("Received: x\r\n", min(n/10, 5000)) + head + "\r\n" + strings.Repeat("\r\n", n/10))
	}
	return []byte(head + "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
		strings.Repeat("=3D=\r\n", n/10))
}

// bends change a message.
var bends = []func(*rand.Rand, []byte) []byte{
	func(r *rand.Rand, m []byte) []byte { return bytes.ReplaceAll(m, []byte("\r\n"), []byte("\n")) },
	func(r *rand.Rand, m []byte) []byte { return m[:r.Intn(len(m)+1)] },
	func(r *rand.Rand, m []byte) []byte { return bytes.TrimRight(m, "\r\n") },
	func(r *rand.Rand, m []byte) []byte { // no blank line
		head, _, _ := bytes.Cut(m, []byte("\r\n\r\n"))
		return append(bytes.Clone(head), "\r\n"...)
	},
	func(r *rand.Rand, m []byte) []byte { return append([]byte("\r\n"), m...) },
	func(r *rand.Rand, m []byte) []byte {
		return append([]byte(pick(r, []string{"From joe Mon Jan  1 00:00:00 2020\r\n", ">From joe\r\n", "From:\r\n", "Status: RO\r\n", "X-Mozilla-Status: 0001\r\n",
			"Status: \r\n", "Delivered-To: joe\r\n\tx\r\n", "Return-Path: <>\r\n", "Return-Path: joe\r\n"})), m...)
	},
	func(r *rand.Rand, m []byte) []byte { return scatter(r, m, "\x00") },
	func(r *rand.Rand, m []byte) []byte { return scatter(r, m, "\r") },
	func(r *rand.Rand, m []byte) []byte { return scatter(r, m, "\n") },
	func(r *rand.Rand, m []byte) []byte { return scatter(r, m, "\n.\n") },
	func(r *rand.Rand, m []byte) []byte { return scatter(r, m, "\xfc") },
	func(r *rand.Rand, m []byte) []byte { return scatter(r, m, "\r\n ") },
}

// scatter puts what into a few places.
func scatter(r *rand.Rand, m []byte, what string) []byte {
	for n := 1 + r.Intn(3); n > 0; n-- {
		i := r.Intn(len(m) + 1)
		m = append(m[:i:i], append([]byte(what), m[i:]...)...)
	}
	return m
}
