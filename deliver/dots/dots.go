// Package dots writes the text of a message as DATA of SMTP, LMTP and BSMTP wants it: leading dots doubled, the last
// line completed, a line of one dot at the end (RFC 5321, section 4.5.2).
//
// All other bytes pass as they are, also NUL, bare LF and bare CR. Then a message must not be able to end early for a
// listener that takes other things than CRLF for a line end (SMTP smuggling):
//
//   - a dot after any LF is doubled, not only after CRLF: LF.LF and LF.CRLF never pass
//   - a dot after a bare CR is doubled if CR or LF follows: CR.CR and CR.LF never pass. A listener that follows RFC 5321
//     sees one more dot then; the reference would send the attack as it is
//   - the text always ends in CRLF: one is added if there is no final line end, and a final bare LF becomes CRLF. The
//     reference sends LF.CRLF under stripcr, for which a strict listener waits for ever.
package dots

import (
	"bytes"
	"io"
)

// blockSize is the size of the writes in octets.
const blockSize = 64 << 10

// Writer is given the text of one message. It only ever looks for dots, so it costs little more than copying.
type Writer struct {
	w    io.Writer
	buf  []byte // not yet sent; written when full
	prev byte   // the byte before the next one; LF at the start
	held bool   // a dot behind a bare CR waits for the byte that follows
	err  error
}

// New makes a writer that sends blocks of blockSize octets to w.
func New(w io.Writer) *Writer {
	b := &Writer{buf: make([]byte, 0, blockSize)}
	b.Reset(w)
	return b
}

// Reset starts another message and keeps the buffer.
func (b *Writer) Reset(w io.Writer) {
	*b = Writer{w: w, buf: b.buf[:0], prev: '\n'}
}

// Write takes a part of the text. An error is final and comes from the writer below.
func (b *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && b.err == nil {
		if b.held {
			b.release(p[0] == '\r' || p[0] == '\n')
		}
		i := b.dot(p)
		if i < 0 {
			b.put(p)
			break
		}
		b.put(p[:i])
		p = p[i+1:]
		if b.prev == '\n' {
			b.put(twoDots)
		} else {
			b.held = true
		}
	}
	if b.err != nil {
		return 0, b.err
	}
	return n, nil
}

// dot finds the first dot in p that follows CR or LF; -1 if there is none.
func (b *Writer) dot(p []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(p[at:], '.')
		if i < 0 {
			return -1
		}
		at += i
		prev := b.prev
		if at > 0 {
			prev = p[at-1]
		}
		if prev == '\n' || prev == '\r' {
			return at
		}
		at++
	}
}

var twoDots = []byte("..")

// release writes the held dot, twice if what follows makes it a line of its own.
func (b *Writer) release(alone bool) {
	b.held = false
	if alone {
		b.put(twoDots)
	} else {
		b.put(twoDots[:1])
	}
}

func (b *Writer) put(p []byte) {
	if len(p) == 0 {
		return
	}
	b.prev = p[len(p)-1]
	for b.err == nil && len(p) > 0 {
		if len(b.buf) == cap(b.buf) {
			b.flush()
		}
		n := copy(b.buf[len(b.buf):cap(b.buf)], p)
		b.buf = b.buf[:len(b.buf)+n]
		p = p[n:]
	}
}

// flush sends what has gathered but for the last two bytes, which end may have to change.
func (b *Writer) flush() {
	n := len(b.buf) - 2
	_, b.err = b.w.Write(b.buf[:n])
	b.buf = append(b.buf[:0], b.buf[n:]...)
}

// Spill sends what has gathered of a message that is given up. It leaves the text without its end.
func (b *Writer) Spill() error {
	if b.err == nil && len(b.buf) > 0 {
		_, b.err = b.w.Write(b.buf)
		b.buf = b.buf[:0]
	}
	return b.err
}

// Close completes the last line with CRLF, adds the final dot and sends everything in one block. It does not close
// what is below.
func (b *Writer) Close() error {
	if b.err != nil {
		return b.err
	}
	if b.held {
		b.release(true)
	}
	text := b.buf
	switch {
	case len(text) == 0 || bytes.HasSuffix(text, []byte("\r\n")):
	case b.prev == '\n':
		text = append(text[:len(text)-1], "\r\n"...)
	default:
		text = append(text, "\r\n"...)
	}
	_, b.err = b.w.Write(append(text, ".\r\n"...))
	return b.err
}
