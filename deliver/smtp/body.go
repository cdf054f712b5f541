package smtp

import (
	"bytes"
	"io"
)

// blockSize is the size of our writes while a message is sent.
const blockSize = 64 << 10

// stuffer writes the text of a message as DATA wants it, see "The text" in doc.go. It only ever looks for dots: all
// other bytes pass as they are.
type stuffer struct {
	w    io.Writer
	buf  []byte // not yet sent; written when full
	prev byte   // the byte before the next one; LF at the start
	held bool   // a dot behind a bare CR waits for the byte that follows
	err  error
}

// newStuffer uses the capacity of buf, which must be more than a few octets.
func newStuffer(w io.Writer, buf []byte) *stuffer {
	return &stuffer{w: w, buf: buf[:0], prev: '\n'}
}

// Write takes a part of the text.
func (b *stuffer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && b.err == nil {
		if b.held {
			b.release(p[0] == '\r' || p[0] == '\n')
		}
		i := bytes.IndexByte(p, '.')
		if i < 0 {
			b.put(p)
			break
		}
		b.put(p[:i])
		p = p[i+1:]
		switch b.prev {
		case '\n':
			b.put(twoDots)
		case '\r':
			b.held = true
		default:
			b.put(twoDots[:1])
		}
	}
	if b.err != nil {
		return 0, b.err
	}
	return n, nil
}

var twoDots = []byte("..")

// release writes the held dot, twice if what follows makes it a line of its own.
func (b *stuffer) release(alone bool) {
	b.held = false
	if alone {
		b.put(twoDots)
	} else {
		b.put(twoDots[:1])
	}
}

func (b *stuffer) put(p []byte) {
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
func (b *stuffer) flush() {
	n := len(b.buf) - 2
	_, b.err = b.w.Write(b.buf[:n])
	b.buf = append(b.buf[:0], b.buf[n:]...)
}

// end completes the last line with CRLF, adds the final dot and sends everything in one block.
func (b *stuffer) end() error {
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
