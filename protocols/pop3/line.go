package pop3

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"strings"

	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
)

// maxLine is the longest line of a status answer or a listing, in bytes with its line end. RFC 2449, section 4, says
// 512; servers put web addresses into their answers.
const maxLine = 8 << 10

// maxCommand is the longest command, in bytes with its line end: what go-pop3 writes at once.
const maxCommand = 4 << 10

// maxChallenge is the longest line of a SASL exchange, in bytes with its line end.
const maxChallenge = 66 << 10

var (
	errLongLine  = errors.New("server sent a line that is too long")
	errBadByte   = errors.New("CR, LF or NUL within a command")
	errOutOfTurn = errors.New("server sent data that was not asked for")
	errNoAnswer  = errors.New("neither +OK nor -ERR")
)

// status is what an answer begins with.
type status int

const (
	garbage status = iota // neither +OK nor -ERR
	granted               // +OK
	refused               // -ERR
)

// lineConn is the connection that go-pop3 works on. Read hands out one line at a time: go-pop3's buffer is empty
// whenever one of its methods returns, and what follows in the stream (message text, TLS, the answers to commands
// that were sent ahead) can be read past the library.
type lineConn struct {
	net.Conn // *wire.Conn or, in tests, anything
	in       *bufio.Reader
	trace    wire.Trace
	mask     auth.Mask         // what was sent and must not be shown
	refusal  func(text string) // takes the text of each -ERR; may be nil

	show string // traced in place of the next command, if not ""
	held bool   // commands are collected in out
	out  []byte
	last []byte // the last status line, without line end
	kind status // of last
	rest []byte // of the line that Read is handing out
	buf  []byte
	err  error // the first error of reading or writing; final
}

// readLine returns the next line without its line end; it is valid until the next call.
func (c *lineConn) readLine() ([]byte, error) { return c.readLong(maxLine) }

// readLong is readLine with another limit.
func (c *lineConn) readLong(limit int) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	c.buf = c.buf[:0]
	for {
		part, err := c.in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			c.err = err
			return nil, err
		}
		if len(c.buf)+len(part) > limit {
			c.err = errLongLine
			return nil, c.err
		}
		c.buf = append(c.buf, part...)
		if err == nil {
			return trimEnd(c.buf), nil
		}
	}
}

// trimEnd cuts LF or CRLF off.
func trimEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// Read gives go-pop3 one status line, in the form that it understands.
func (c *lineConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		line, err := c.readLine()
		if err != nil {
			return 0, err
		}
		c.received(line)
		c.last = append(c.last[:0], line...)
		var text []byte
		c.kind, text = parseStatus(c.last)
		switch c.kind {
		case granted:
			c.rest = append(append(append(c.rest[:0], "+OK "...), text...), "\r\n"...)
		case refused:
			if c.refusal != nil && len(text) > 0 {
				c.refusal(c.mask.Hide(string(text)))
			}
			c.rest = append(append(append(c.rest[:0], "-ERR "...), text...), "\r\n"...)
		default: // go-pop3 takes an empty line for success
			c.rest = append(c.rest[:0], "-ERR not a POP3 answer\r\n"...)
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// parseStatus tells what an answer begins with and returns what follows, without blanks in front. The indicator is
// all letters that follow the sign, as in the reference: "+OK[x]" is granted, "+OKx" is garbage.
func parseStatus(line []byte) (status, []byte) {
	if len(line) == 0 {
		return garbage, nil
	}
	end := 1
	for end < len(line) && isLetter(line[end]) {
		end++
	}
	text := bytes.TrimLeft(line[end:], " \t")
	switch {
	case string(line[:end]) == "+OK":
		return granted, text
	case bytes.HasPrefix(line, []byte("-")) && (end == 1 || bytes.HasPrefix(line, []byte("-ERR"))):
		return refused, text
	}
	return garbage, text
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// Write takes the one command line that go-pop3 writes. It refuses what is not exactly one line: there must be no
// way to a second command through a name or a password.
func (c *lineConn) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	line, ok := bytes.CutSuffix(p, []byte("\r\n"))
	if !ok || bytes.ContainsAny(line, "\r\n\x00") {
		return 0, errBadByte
	}
	if c.show != "" {
		c.mask.AddLine(string(line), c.show) // the log has answers without a trace, too
	}
	if c.trace != nil {
		if c.show == "" {
			c.show = string(line)
		}
		c.trace(wire.Sent, c.show)
	}
	c.show = ""
	if c.held {
		c.out = append(c.out, p...)
		return len(p), nil
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		c.err = err
	}
	return n, err
}

// flush sends the commands that were collected.
func (c *lineConn) flush() error {
	c.held = false
	if c.err != nil || len(c.out) == 0 {
		return c.err
	}
	_, err := c.Conn.Write(c.out)
	c.out = c.out[:0]
	if err != nil {
		c.err = err
	}
	return err
}

// lastLine is the last status line as the server sent it, without line end and without what must not be shown.
func (c *lineConn) lastLine() string { return c.mask.Hide(string(c.last)) }

func (c *lineConn) received(line []byte) {
	if c.trace != nil {
		c.trace(wire.Received, c.mask.Hide(string(line)))
	}
}

// checkWord refuses what must not stand in a command.
func checkWord(words ...string) error {
	n := 0
	for _, w := range words {
		if strings.ContainsAny(w, "\r\n\x00") {
			return errBadByte
		}
		n += len(w) + 1
	}
	if n > maxCommand-2 {
		return errors.New("command of more than 4096 octets")
	}
	return nil
}
