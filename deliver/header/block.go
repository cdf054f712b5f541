package header

import (
	"bytes"
	"fmt"
)

// BadLine is the error of Parse when a line is neither a field nor the continuation of one: the first such line, as it
// was received. What becomes of such a message is the option bad-header.
type BadLine string

func (l BadLine) Error() string { return fmt.Sprintf("incorrect header line found: %q", string(l)) }

// Block is the header of one message.
type Block struct {
	raw    []byte // as received
	text   []byte // the same without NUL octets, and with a line end
	fields []field
	rest   int // offset in raw of what is text, because a line that seems blank has ended the header; 0 if nothing is
}

// mostFields bounds memory: of a header with more fields the rest is one that has no name, and passes as it is.
const mostFields = 1 << 16

// field is one header field with its folded lines. A line that is no field has a name of 0 octets. Offsets into text.
type field struct {
	start, nameEnd, value, end int
}

// Parse reads a header as it was received: lines that end in CRLF or LF, with the empty line at its end if there was
// one. The Block is valid even if err, a BadLine, is not nil. Parse keeps raw and never changes it.
//
// NUL octets are taken out, as the reference does. A line that is empty but for NULs and carriage returns ends the
// header as well; what follows it in raw is text.
func Parse(raw []byte) (*Block, error) {
	b := &Block{raw: raw}
	if n := len(raw); n > 0 && raw[n-1] != '\n' {
		raw = append(raw[:n:n], '\r', '\n')
	}
	b.text = raw
	clean := bytes.IndexByte(raw, 0) < 0
	if !clean {
		b.text = make([]byte, 0, len(raw))
	}
	var err error
	for pos := 0; pos < len(raw); {
		next := lineEnd(raw, pos)
		line := raw[pos:next]
		if isBlank(line) {
			break
		}
		if seemsBlank(line) {
			b.rest = min(next, len(b.raw)) // raw may have got its last line end here
			break
		}
		at := pos
		if !clean {
			at = len(b.text)
			b.text = appendWithout(b.text, line, 0)
		}
		if !b.add(at, at+len(line)-bytes.Count(line, []byte{0}), isFold(line)) && err == nil {
			err = BadLine(bytes.TrimRight(line, "\r\n"))
		}
		pos = next
	}
	return b, err
}

// add notes the line of text between two offsets, which may go on with the field before, and tells whether it can stand
// in a header.
func (b *Block) add(pos, end int, fold bool) bool {
	line := b.text[pos:end]
	colon := bytes.IndexByte(line, ':')
	fair := colon >= 0 || len(line) > 0 && isSpace(line[0])
	n := len(b.fields)
	if n > 0 && (fold || n > mostFields) {
		b.fields[n-1].end = end
		return fair || fold
	}
	f := field{start: pos, nameEnd: pos, value: pos, end: end}
	if colon >= 0 && n < mostFields {
		f.nameEnd, f.value = pos+colon, pos+colon+1
	}
	b.fields = append(b.fields, f)
	return fair
}

// lineEnd is the offset behind the line that begins at pos.
func lineEnd(raw []byte, pos int) int {
	if i := bytes.IndexByte(raw[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(raw)
}

func isBlank(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

// seemsBlank tells that there is nothing in a line but what is not seen.
func seemsBlank(line []byte) bool {
	return len(bytes.Trim(line, "\x00\r\n")) == 0
}

func isFold(line []byte) bool { return len(line) > 0 && (line[0] == ' ' || line[0] == '\t') }

func appendWithout(out, in []byte, c byte) []byte {
	for {
		i := bytes.IndexByte(in, c)
		if i < 0 {
			return append(out, in...)
		}
		out = append(out, in[:i]...)
		in = in[i+1:]
	}
}

func (b *Block) name(f field) []byte  { return b.text[f.start:f.nameEnd] }
func (b *Block) value(f field) []byte { return b.text[f.value:f.end] }
func (b *Block) lines(f field) []byte { return b.text[f.start:f.end] }

// is compares names; one with a blank before its colon is another name.
func (b *Block) is(f field, name string) bool {
	return f.nameEnd-f.start == len(name) && bytes.EqualFold(b.name(f), []byte(name))
}

// Rest is what of the bytes given to Parse is text: what follows a line that only seems empty.
func (b *Block) Rest() []byte {
	if b.rest == 0 {
		return nil
	}
	return b.raw[b.rest:]
}

// Raw is the header as it was given to Parse.
func (b *Block) Raw() []byte { return b.raw }

// Values are the values of all fields called name (in any case), in their order, with folding and line ends as they
// are. They must not be changed.
func (b *Block) Values(name string) [][]byte {
	var vs [][]byte
	for _, f := range b.fields {
		if b.is(f, name) {
			vs = append(vs, b.value(f))
		}
	}
	return vs
}

// last is the last field called name.
func (b *Block) last(name string) (field, bool) {
	for i := len(b.fields) - 1; i >= 0; i-- {
		if b.is(b.fields[i], name) {
			return b.fields[i], true
		}
	}
	return field{}, false
}

// Has tells whether there is a field called name.
func (b *Block) Has(name string) bool {
	_, ok := b.last(name)
	return ok
}
