package header

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrBad is wrapped by the error of Parse when a line is neither a field nor the continuation of one. What becomes of
// such a message is the option bad-header.
var ErrBad = errors.New("incorrect header line found")

// Block is the header of one message.
type Block struct {
	raw    []byte
	fields []field
	end    int  // offset behind the last header line, where the empty line begins
	blank  bool // there was an empty line
}

// field is one header field, or a line that is none (name 0 octets long). Offsets into Block.raw.
type field struct {
	start, nameEnd, value, end int
}

// Parse reads a header as it was received: lines that end in CRLF or LF, with the empty line at its end if there was
// one. The Block is valid even if err, which wraps ErrBad, is not nil. Parse keeps raw and never changes it.
func Parse(raw []byte) (*Block, error) {
	b := &Block{raw: raw}
	var err error
	for pos := 0; pos < len(raw); {
		next := lineEnd(raw, pos)
		line := raw[pos:next]
		if isBlank(line) {
			b.blank = true
			break
		}
		switch {
		case (line[0] == ' ' || line[0] == '\t') && len(b.fields) > 0:
			b.fields[len(b.fields)-1].end = next
		case pos == 0 && isFromLine(line):
		default:
			f, ok := parseField(raw, pos, next)
			if !ok && err == nil {
				err = fmt.Errorf("%w: line %d", ErrBad, 1+bytes.Count(raw[:pos], []byte{'\n'}))
			}
			b.fields = append(b.fields, f)
		}
		pos = next
		b.end = next
	}
	return b, err
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

// isFromLine recognises what mailbox files put in front of a message.
func isFromLine(line []byte) bool {
	return bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))
}

func parseField(raw []byte, pos, next int) (field, bool) {
	f := field{start: pos, nameEnd: pos, value: pos, end: next}
	colon := bytes.IndexByte(raw[pos:next], ':')
	if colon <= 0 {
		return f, false
	}
	name := bytes.TrimRight(raw[pos:pos+colon], " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return f, false
		}
	}
	if len(name) == 0 {
		return f, false
	}
	f.nameEnd = pos + len(name)
	f.value = pos + colon + 1
	return f, true
}

func (b *Block) name(f field) []byte  { return b.raw[f.start:f.nameEnd] }
func (b *Block) value(f field) []byte { return b.raw[f.value:f.end] }

func (b *Block) is(f field, name string) bool {
	return f.nameEnd-f.start == len(name) && bytes.EqualFold(b.name(f), []byte(name))
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

// Has tells whether there is a field called name.
func (b *Block) Has(name string) bool {
	for _, f := range b.fields {
		if b.is(f, name) {
			return true
		}
	}
	return false
}
