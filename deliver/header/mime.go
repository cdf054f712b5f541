package header

import (
	"bytes"
	"slices"
	"strings"
)

// MIME tells what the option mimedecode finds to decode in the body. The zero value is nothing.
type MIME struct {
	Quoted   bool   // the body is text in quoted-printable
	Boundary string // what the "--" of a delimiter of a multipart/mixed goes on with; the parts tell for themselves
}

// MIME are the facts that decoding of the body depends on (RFC 2045).
func (b *Block) MIME() MIME {
	if !b.mime10() {
		return MIME{}
	}
	kind, boundary := b.contentType()
	_, enc := b.encoding()
	return MIME{Quoted: kind == "text" && enc == "quoted-printable", Boundary: boundary}
}

// BodyType is the parameter BODY of MAIL FROM (RFC 6152): "", "7BIT" or "8BITMIME". pass8bits is the option of this name.
func (b *Block) BodyType(pass8bits bool) string {
	if pass8bits {
		return "8BITMIME"
	}
	if !b.mime10() {
		return ""
	}
	if _, boundary := b.contentType(); boundary != "" {
		return "8BITMIME"
	}
	switch _, enc := b.encoding(); enc {
	case "7bit":
		return "7BIT"
	case "8bit", "quoted-printable":
		return "8BITMIME"
	}
	return ""
}

// mimeNames are the fields that tell how a body is made up.
var mimeNames = []string{"MIME-Version", "Content-Type", "Content-Transfer-Encoding"}

// mimeField is the index of the field that counts of those with a name out of mimeNames, -1 if there is none. Only the
// first three of all these fields are looked at, and the last of one name among them counts.
func (b *Block) mimeField(name string) int {
	at, seen := -1, 0
	for i, f := range b.fields {
		if !slices.ContainsFunc(mimeNames, func(n string) bool { return b.is(f, n) }) {
			continue
		}
		if b.is(f, name) {
			at = i
		}
		if seen++; seen == len(mimeNames) {
			break
		}
	}
	return at
}

// mime10 tells that the MIME-Version is 1.0.
func (b *Block) mime10() bool {
	i := b.mimeField("MIME-Version")
	if i < 0 {
		return false
	}
	v, _ := first(b.value(b.fields[i]))
	return v == "1.0"
}

// encoding is the Content-Transfer-Encoding: the index of its field, -1 if there is none, and its value in lower case.
// Comments are no part of it.
func (b *Block) encoding() (int, string) {
	i := b.mimeField("Content-Transfer-Encoding")
	if i < 0 {
		return i, ""
	}
	v, _ := first(b.value(b.fields[i]))
	return i, strings.ToLower(v)
}

// contentType is the kind of body: "text", or "" with the boundary of a multipart/mixed. Other kinds of multipart are
// let alone, because their parts may be signed.
func (b *Block) contentType() (kind, boundary string) {
	i := b.mimeField("Content-Type")
	if i < 0 {
		return "", ""
	}
	raw := b.value(b.fields[i])
	v := trimSpace(raw)
	switch {
	case hasPrefixFold(v, "multipart/mixed"):
		if bytes.IndexByte(raw[:len(raw)-len(v)], '\n') >= 0 { // the reference looks no further than the first line
			return "", ""
		}
		return "", boundaryOf(v)
	case hasPrefixFold(v, "text/"):
		return "text", ""
	}
	return "", ""
}

func trimSpace(v []byte) []byte { return bytes.TrimLeft(v, " \t\r\n\v\f") }

func hasPrefixFold(v []byte, prefix string) bool {
	return len(v) >= len(prefix) && bytes.EqualFold(v[:len(prefix)], []byte(prefix))
}

// boundaryOf is the parameter boundary of a Content-Type. The reference takes one without quotes up to the next
// semicolon or the end of the field, carriage return included, and lines that begin with "--" and that as delimiters.
func boundaryOf(v []byte) string {
	for {
		i := bytes.IndexByte(v, ';')
		if i < 0 {
			return ""
		}
		v = trimSpace(v[i+1:])
		if !hasPrefixFold(v, "boundary") {
			continue
		}
		p := trimSpace(v[len("boundary"):])
		if len(p) == 0 || p[0] != '=' {
			continue
		}
		return parameter(trimSpace(p[1:]))
	}
}

// parameter is the value of a parameter at the beginning of v.
func parameter(v []byte) string {
	if len(v) > 0 && v[0] == '"' {
		in, _, ok := bytes.Cut(v[1:], []byte{'"'})
		if !ok {
			return ""
		}
		return string(in)
	}
	in, _, more := bytes.Cut(v, []byte{';'})
	if !more {
		in = bytes.TrimSuffix(in, []byte{'\n'})
	}
	return string(in)
}

// as8bit writes over a Content-Transfer-Encoding, whose length stays what it was.
func as8bit(lines []byte) {
	for i := copy(lines, "Content-Transfer-Encoding: 8bit"); i < len(lines) && lines[i] != '\r' && lines[i] != '\n'; i++ {
		if !isSpace(lines[i]) {
			lines[i] = ' '
		}
	}
}
