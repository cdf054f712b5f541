package text

import (
	"bytes"
	"io"
)

// Decode says what is to be decoded in a body (option mimedecode): quoted-printable text, RFC 2045 section 6.7, becomes
// what it stands for. The zero value passes everything on.
type Decode struct {
	Quoted   bool   // the body itself is text in quoted-printable
	Boundary string // the body is a multipart: its text parts in quoted-printable are decoded. Lines that begin with
	// "--" and this are delimiters.
	// Words appends a line of a part's header to out with its encoded words decoded; nil leaves them as they are.
	Words func(out, line []byte) []byte
}

// Nothing tells that NewWriter would change nothing.
func (d Decode) Nothing() bool { return !d.Quoted && d.Boundary == "" }

// NewWriter returns a filter that passes a body on to w. Parts of a multipart are told apart line by line; a part whose
// header is text in quoted-printable is said to be 8bit and decoded up to the next boundary. Damaged escapes stay as they
// are. Close passes on what is held back; it does not close w.
func (d Decode) NewWriter(w io.Writer) io.WriteCloser {
	return &decoder{w: w, opt: d, delimiter: []byte("--" + d.Boundary), quoted: d.Quoted}
}

// maxHeld is how much of a line of a part's header is looked at, octets.
const maxHeld = 4096

// decoder is a filter that holds back no more than the beginning of a line and an unfinished escape.
type decoder struct {
	w         io.Writer
	opt       Decode
	delimiter []byte

	out    []byte // what can be passed on
	held   []byte // the beginning of the line at hand, as long as it is not known what it is
	inLine bool   // held was let go: the line at hand is passed on as it comes
	escape []byte // an escape at the end of the last piece

	header bool // in the header of a part
	text   bool // the part's Content-Type is text
	qp     bool // its Content-Transfer-Encoding is quoted-printable
	quoted bool // what follows is decoded
}

func (d *decoder) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), blockSize)
		d.take(rest[:n])
		rest = rest[n:]
		if err := d.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (d *decoder) flush() error {
	_, err := d.w.Write(d.out)
	d.out = d.out[:0]
	return err
}

// Close passes on a last line without end and an unfinished escape, unless that is a soft line break.
func (d *decoder) Close() error {
	d.letGo()
	if len(d.escape) > 1 && d.escape[1] != '\r' {
		d.out = append(d.out, d.escape...)
	}
	d.escape = d.escape[:0]
	return d.flush()
}

// take deals with the next octets, line by line.
func (d *decoder) take(p []byte) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n') + 1
		whole := n > 0
		if !whole {
			n = len(p)
		}
		d.piece(p[:n], whole)
		p = p[n:]
	}
}

// piece deals with the next octets of the line at hand, which ends with them if whole.
func (d *decoder) piece(p []byte, whole bool) {
	if d.inLine || d.opt.Boundary == "" { // nothing to find out
		d.emit(p)
		d.inLine = !whole
		return
	}
	d.held = append(d.held, p...)
	switch {
	case bytes.HasPrefix(d.held, d.delimiter):
		if !d.header { // the reference forgets a part's header only at its end
			d.header, d.text, d.qp, d.quoted = true, false, false, false
		}
		d.letGo()
	case whole && d.header:
		d.headerLine(d.held)
	case whole, !d.header && !bytes.HasPrefix(d.delimiter, d.held), len(d.held) > maxHeld:
		d.letGo()
	default:
		return // to be told later
	}
	d.held = d.held[:0]
	d.inLine = !whole
}

// letGo passes on what is held of a line that is nothing special.
func (d *decoder) letGo() {
	d.emit(d.held)
	d.held = d.held[:0]
}

func isEmpty(l []byte) bool { return len(l) == 1 || len(l) == 2 && l[0] == '\r' }

// headerLine passes on a line of a part's header. The reference says 8bit only if the type came before.
func (d *decoder) headerLine(l []byte) {
	if isEmpty(l) {
		d.header = false
		d.out = append(d.out, l...)
		d.quoted = d.text && d.qp
		return
	}
	start := len(d.out)
	if d.opt.Words != nil {
		d.out = d.opt.Words(d.out, l)
		l = d.out[start:]
	} else {
		d.out = append(d.out, l...)
		l = d.out[start:]
	}
	if v, ok := valueOf(l, "Content-Type:"); ok {
		d.text = len(v) >= 5 && bytes.EqualFold(v[:5], []byte("text/"))
	}
	if v, ok := valueOf(l, "Content-Transfer-Encoding:"); ok {
		d.qp = isQuotedPrintable(v)
		if d.qp && d.text {
			as8bit(l)
		}
	}
}

// valueOf is the value of a header line with this name and colon.
func valueOf(l []byte, name string) ([]byte, bool) {
	if len(l) < len(name) || !bytes.EqualFold(l[:len(name)], []byte(name)) {
		return nil, false
	}
	return bytes.TrimSpace(l[len(name):]), true
}

func isQuotedPrintable(v []byte) bool {
	if i := bytes.IndexByte(v, '('); i > 0 {
		v = bytes.TrimSpace(v[:i])
	}
	return bytes.EqualFold(v, []byte("quoted-printable"))
}

// as8bit writes over a Content-Transfer-Encoding, whose length stays what it was.
func as8bit(l []byte) {
	for i := copy(l, "Content-Transfer-Encoding: 8bit"); i < len(l) && l[i] != '\r' && l[i] != '\n'; i++ {
		if l[i] != '\t' {
			l[i] = ' '
		}
	}
}

// emit passes on octets of the text, decoded if the part asks for it.
func (d *decoder) emit(p []byte) {
	if !d.quoted {
		d.out = append(d.out, p...)
		return
	}
	for len(p) > 0 && len(d.escape) > 0 {
		d.escape = append(d.escape, p[0])
		p = p[1:]
		d.unescape()
	}
	for {
		i := bytes.IndexByte(p, '=')
		if i < 0 {
			d.out = append(d.out, p...)
			return
		}
		d.out = append(d.out, p[:i]...)
		p = p[i:]
		for len(p) > 0 {
			d.escape = append(d.escape, p[0])
			p = p[1:]
			if d.unescape(); len(d.escape) == 0 {
				break
			}
		}
		if len(p) == 0 {
			return
		}
	}
}

// unescape looks at what has been collected behind an equals sign: "=XX" is an octet, "=" at the end of a line joins it
// with the next, anything else is not an escape.
func (d *decoder) unescape() {
	e := d.escape
	switch {
	case len(e) == 1:
		return
	case e[1] == '\n':
	case len(e) == 2 && (e[1] == '\r' || hex(e[1]) < 16):
		return
	case len(e) == 3 && e[1] == '\r' && e[2] == '\n':
	case len(e) == 3 && e[1] == '\r': // a bare carriage return goes the same way
		d.escape = append(e[:0], e[2])
		d.giveUp()
		return
	case len(e) == 3 && hex(e[1]) < 16 && hex(e[2]) < 16:
		d.out = append(d.out, hex(e[1])<<4|hex(e[2]))
	default:
		d.giveUp()
		return
	}
	d.escape = e[:0]
}

// giveUp passes on what was no escape; its last octet may begin one.
func (d *decoder) giveUp() {
	e := d.escape
	if n := len(e) - 1; e[n] == '=' {
		d.out = append(d.out, e[:n]...)
		d.escape = append(e[:0], '=')
		return
	}
	d.out = append(d.out, e...)
	d.escape = e[:0]
}

// hex is the value of a hexadecimal digit, 16 for any other octet.
func hex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
