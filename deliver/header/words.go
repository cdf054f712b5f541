package header

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
)

// DecodeWords decodes the encoded words (RFC 2047) of all fields, names included, as the option mimedecode asks for.
// Nothing is done about character sets: the octets come out as they were encoded. It has to be called before anything
// else is asked of the Block, for the reference looks at decoded fields only.
func (b *Block) DecodeWords() {
	if !bytes.Contains(b.text, []byte("=?")) {
		return
	}
	text := make([]byte, 0, len(b.text))
	for i, f := range b.fields {
		start := len(text)
		text = AppendWords(text, b.lines(f))
		g := field{start: start, nameEnd: start, value: start, end: len(text)}
		if colon := bytes.IndexByte(text[start:], ':'); colon >= 0 && i < mostFields {
			g.nameEnd, g.value = start+colon, start+colon+1
		}
		b.fields[i] = g
	}
	b.text = text
}

// AppendWords appends in to out with its encoded words decoded. Words may stand anywhere and be damaged: what begins
// like one and is none loses its "=?". White space between words is dropped.
func AppendWords(out, in []byte) []byte {
	afterWord := false
	for {
		i := bytes.Index(in, []byte("=?"))
		if i < 0 {
			return append(out, in...)
		}
		if !afterWord || len(trimSpace(in[:i])) > 0 {
			out = append(out, in[:i]...)
		}
		in = in[i+2:]
		enc, text, rest, ok := cutWord(in)
		if afterWord = ok; ok {
			out, in = decodeWord(out, enc, text), rest
		}
	}
}

// cutWord takes apart what follows "=?": charset, "?", one letter, "?", text, "?=". The end of the field may stand for
// the last of these.
func cutWord(in []byte) (enc byte, text, rest []byte, ok bool) {
	i := bytes.IndexByte(in, '?')
	if i < 0 || len(in) < i+3 || in[i+2] != '?' {
		return 0, nil, nil, false
	}
	enc, text = in[i+1], in[i+3:]
	text, rest, ok = bytes.Cut(text, []byte("?="))
	if !ok { // the line end is not the word's
		n := len(bytes.TrimRight(text, "\r\n"))
		text, rest = text[:n], text[n:]
	}
	return enc, text, rest, true
}

func decodeWord(out []byte, enc byte, text []byte) []byte {
	switch enc {
	case 'q', 'Q':
		return decodeQ(out, text)
	case 'b', 'B':
		if i := bytes.IndexByte(text, '\r'); i >= 0 {
			text = text[:i]
		}
		return decodeB(out, text)
	}
	return append(out, text...)
}

// decodeB is the encoding B of RFC 2047, section 4.1. It ends with the first padding, whatever follows; one that is damaged
// before that stands for nothing.
func decodeB(out, text []byte) []byte {
	begin := len(out)
	for ; len(text) > 0; text = text[4:] {
		if len(text) < 4 {
			return out[:begin]
		}
		group := [4]byte(text)
		padded := group[2] == '=' || group[3] == '='
		if group[2] == '=' {
			group[3] = '='
		}
		plain, err := base64.StdEncoding.AppendDecode(out, group[:])
		if err != nil {
			return out[:begin]
		}
		if out = plain; padded {
			break
		}
	}
	return out
}

// decodeQ is the encoding Q of RFC 2047, section 4.2. Damaged escapes stay as they are.
func decodeQ(out, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '_':
			out = append(out, ' ')
		case c == '=' && i+2 < len(text):
			var octet [1]byte
			if _, err := hex.Decode(octet[:], text[i+1:i+3]); err == nil {
				c = octet[0]
				i += 2
			}
			out = append(out, c)
		default:
			out = append(out, c)
		}
	}
	return out
}
