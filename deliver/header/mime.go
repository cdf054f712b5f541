package header

import (
	"bytes"
	"strings"
)

// BodyType is the parameter BODY of MAIL FROM (RFC 6152): "", "7BIT" or "8BITMIME". pass8bits is the option of this name.
func (b *Block) BodyType(pass8bits bool) string {
	if pass8bits {
		return "8BITMIME"
	}
	if !b.Has("MIME-Version") {
		return ""
	}
	switch m := b.MIME(); {
	case m.Encoding == "7bit":
		return "7BIT"
	case m.Encoding == "8bit", m.Encoding == "quoted-printable", m.Encoding == "" && m.Boundary != "":
		return "8BITMIME"
	}
	return ""
}

// MIME are the facts that decoding of a body depends on.
type MIME struct {
	Version  bool   // there is a MIME-Version
	Encoding string // Content-Transfer-Encoding, in lower case; "" if there is none
	Boundary string // of a multipart, without the leading "--"; "" if it is none
}

// MIME are the message's own facts (RFC 2045).
func (b *Block) MIME() MIME {
	m := MIME{Version: b.Has("MIME-Version")}
	for _, v := range b.Values("Content-Transfer-Encoding") {
		m.Encoding = strings.ToLower(strings.TrimSpace(string(v)))
	}
	for _, v := range b.Values("Content-Type") {
		m.Boundary = boundary(v)
	}
	return m
}

// boundary is the boundary parameter of the value of a Content-Type that is multipart.
func boundary(v []byte) string {
	low := bytes.ToLower(v)
	if !bytes.Contains(low, []byte("multipart/")) {
		return ""
	}
	i := bytes.Index(low, []byte("boundary="))
	if i < 0 {
		return ""
	}
	v = v[i+len("boundary="):]
	if len(v) > 0 && v[0] == '"' {
		v = v[1:]
		if j := bytes.IndexByte(v, '"'); j >= 0 {
			v = v[:j]
		}
		return string(v)
	}
	if j := bytes.IndexAny(v, " \t\r\n;"); j >= 0 {
		v = v[:j]
	}
	return string(v)
}

// decodeWords decodes the encoded words (RFC 2047) in out from offset at on, in place.
func decodeWords(out []byte, at int) []byte {
	_ = at
	return out
}
