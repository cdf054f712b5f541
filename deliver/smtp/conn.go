package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"fetchmail/deliver"
	"fetchmail/deliver/dots"
)

// Limits on what a listener may answer. RFC 5321, section 4.5.3.1.5 allows 512 octets a line.
const (
	maxReplyLine  = 4 << 10
	maxReplyLines = 128
)

// A connection that was not used for the time idle is looked at before it is used again; farewell is how long we wait
// for an explanation of a listener that has hung up.
var (
	idle     = 10 * time.Second
	farewell = time.Second
)

// A listener on this machine that needs farAway for each of the first fewTurns answers is a tunnel to another.
const (
	farAway  = 10 * time.Millisecond
	fewTurns = 4
)

var (
	errReplyTooLong = errors.New("answer of the listener is too long")
	errReplyCode    = errors.New("answer of the listener has no code")
	errClosed       = errors.New("listener closed the connection")
	errMore         = errors.New("listener gave more answers than there are recipients")
	errEarly        = errors.New("listener accepted the message before its end")
)

// conn is the connection below the library: it owns deadlines, limits, trace and pipelining and keeps the answers as
// they were sent. The library sees one-line answers only.
type conn struct {
	net.Conn
	r     *bufio.Reader
	trace func(dir byte, line string)
	limit time.Duration // for the next answer or block
	used  time.Time     // when we last wrote
	asked bool          // an answer is waited for
	turns turns
	hide  *strings.Replacer // credentials, which a listener may repeat; nil before a login

	feed    []byte          // for the library to read
	replies []deliver.Reply // of the listener since the last take
	ahead   []byte          // is on the wire already; the library is going to write it
	next    []byte          // goes out with the next command
	params  string          // for the next MAIL
	text    *dots.Writer    // the message being sent
	writer  *dots.Writer    // kept from message to message
	err     error           // reading or writing has failed: for ever
}

func newConn(c net.Conn, trace func(byte, string), limit time.Duration) *conn {
	if trace == nil {
		trace = func(byte, string) {}
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, maxReplyLine), trace: trace, limit: limit}
}

// The library's deadlines are ignored: every wait has its own, set by wait.

func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// wait says how long the next answers and writes may take.
func (c *conn) wait(d time.Duration) *conn {
	c.limit = d
	return c
}

func (c *conn) fail(err error) error {
	if c.err == nil {
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = fmt.Errorf("no answer from the listener within %v", c.limit)
		case errors.Is(err, io.EOF):
			err = errClosed
		}
		c.err = err
	}
	return c.err
}

// send writes p, one block on the wire.
func (c *conn) send(p []byte) error {
	if c.err != nil {
		return c.err
	}
	c.Conn.SetWriteDeadline(time.Now().Add(c.limit))
	if _, err := c.Conn.Write(p); err != nil {
		return c.fail(errors.Join(err, c.lastWords()))
	}
	c.used, c.asked = time.Now(), true
	return nil
}

// turns tells how long round trips take.
type turns struct {
	count   int
	fastest time.Duration
}

func (t *turns) add(d time.Duration) {
	if t.count == 0 || d < t.fastest {
		t.fastest = d
	}
	t.count++
}

// far tells whether round trips are worth saving: not even the fastest of several was fast.
func (t *turns) far() bool { return t.count >= fewTurns && t.fastest >= farAway }

// lastWords is what a listener that has hung up may have said before; nil if it was nothing.
func (c *conn) lastWords() error {
	limit := c.limit
	defer c.wait(limit)
	r, err := c.wait(farewell).reply()
	c.err = nil
	if err != nil {
		return nil
	}
	return &answerError{"the text", r}
}

// stale tells whether the connection is of no use any more: the listener has said something unasked ("421 timeout"), so
// that answers would be taken for those to other commands, or has hung up while we were idle for long.
func (c *conn) stale() bool {
	if c.r.Buffered() > 0 {
		return true
	}
	return time.Since(c.used) >= idle && !c.silent()
}

// silent tells whether nothing waits to be read, neither words nor the end; as far as that can be seen without reading.
func (c *conn) silent() bool {
	_, err := c.peek()
	return err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
}

// more tells whether words wait to be read.
func (c *conn) more() bool {
	n, _ := c.peek()
	return n > 0
}

// peek looks at the next octet. Nothing at all looks like silence where that cannot be done.
func (c *conn) peek() (n int, err error) {
	if c.r.Buffered() > 0 {
		return 1, nil
	}
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return 0, syscall.EAGAIN
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peekErr error
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, peekErr = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	if err != nil {
		return 0, err
	}
	return n, peekErr
}

// line reads one line of an answer without its end.
func (c *conn) line() (string, error) {
	l, err := c.r.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull:
		return "", c.fail(errReplyTooLong)
	case err != nil:
		return "", c.fail(err)
	}
	if c.asked {
		c.turns.add(time.Since(c.used))
		c.asked = false
	}
	return strings.TrimRight(string(l), "\r\n"), nil
}

// reply reads one answer. After one without a code nobody knows any more which answer belongs to which command: the
// connection is given up. RFC 5321, section 4.2.1.
func (c *conn) reply() (deliver.Reply, error) {
	if c.err != nil {
		return deliver.Reply{}, c.err
	}
	c.Conn.SetReadDeadline(time.Now().Add(c.limit))
	var lines []string
	for {
		l, err := c.line()
		if err != nil {
			return deliver.Reply{Text: strings.Join(lines, "\n")}, err
		}
		code, more := parseReply(l)
		if c.hide != nil {
			l = c.hide.Replace(l)
		}
		c.trace('<', l)
		lines = append(lines, l)
		switch {
		case code == 0:
			return deliver.Reply{Text: strings.Join(lines, "\n")}, c.fail(errReplyCode)
		case !more:
			return deliver.Reply{Code: code, Text: strings.Join(lines, "\n")}, nil
		}
		if len(lines) == maxReplyLines {
			return deliver.Reply{}, c.fail(errReplyTooLong)
		}
	}
}

// parseReply takes the code of a line and whether more lines follow; 0 if there is none.
func parseReply(l string) (code int, more bool) {
	if len(l) < 3 || l[0] < '1' || l[0] > '5' || !digit(l[1]) || !digit(l[2]) || len(l) > 3 && l[3] != ' ' && l[3] != '-' {
		return 0, false
	}
	return int(l[0]-'0')*100 + int(l[1]-'0')*10 + int(l[2]-'0'), len(l) > 3 && l[3] == '-'
}

func digit(b byte) bool { return b >= '0' && b <= '9' }

// command talks to the listener before the library does. shown is what the trace shows instead of cmd.
func (c *conn) command(cmd, shown string) (deliver.Reply, error) {
	c.trace('>', shown)
	if err := c.send([]byte(cmd + "\r\n")); err != nil {
		return deliver.Reply{}, err
	}
	return c.reply()
}

// Read gives the library its answers, reduced to one line with the codes that it expects.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.feed) == 0 {
		r, err := c.reply()
		if err != nil {
			return 0, err
		}
		c.replies = append(c.replies, r)
		code := r.Code
		switch {
		case code >= 200 && code < 300:
			code = 250
		case code >= 300 && code < 400:
			code = 354
		}
		c.feed = fmt.Appendf(c.feed, "%d .\r\n", code)
	}
	n := copy(p, c.feed)
	c.feed = c.feed[n:]
	return n, nil
}

// take returns the answers since the last take.
func (c *conn) take() []deliver.Reply {
	r := c.replies
	c.replies = nil
	return r
}

// last is the latest answer since the last take; the zero Reply if there was none.
func (c *conn) last() deliver.Reply {
	r := c.take()
	if len(r) == 0 {
		return deliver.Reply{}
	}
	return r[len(r)-1]
}

// predict announces the commands that the library is going to write after the next one: they go out with it
// (RFC 2920).
func (c *conn) predict(cmd string) {
	c.next = append(append(c.next, cmd...), "\r\n"...)
}

// Write takes a command of the library.
func (c *conn) Write(p []byte) (int, error) {
	if len(c.ahead) > 0 {
		rest, ok := bytes.CutPrefix(c.ahead, p)
		if !ok {
			return 0, c.fail(fmt.Errorf("pipelining went wrong at %q", p))
		}
		c.ahead = rest
		return len(p), nil
	}
	if c.text != nil { // CRLF . CRLF: our own writer knows better where the text ended
		text := c.text
		c.text = nil
		c.trace('>', ". (EOM)")
		if err := text.Close(); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	cmd := p
	if bytes.HasPrefix(p, []byte("MAIL ")) && c.params != "" {
		cmd = append(append([]byte(nil), bytes.TrimSuffix(p, []byte("\r\n"))...), c.params+"\r\n"...)
		c.params = ""
	}
	if len(c.next) > 0 {
		cmd = append(append([]byte(nil), cmd...), c.next...)
		c.ahead, c.next = append(c.ahead, c.next...), nil
	}
	for l := range bytes.SplitSeq(bytes.TrimSuffix(cmd, []byte("\r\n")), []byte("\r\n")) {
		c.trace('>', string(l))
	}
	if err := c.send(cmd); err != nil {
		return 0, err
	}
	return len(p), nil
}

// blocks lets the text go past Write.
type blocks struct{ c *conn }

func (b blocks) Write(p []byte) (int, error) {
	if err := b.c.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// begin starts the text of a message.
func (c *conn) begin() *dots.Writer {
	if c.writer == nil {
		c.writer = dots.New(blocks{c})
	}
	c.writer.Reset(blocks{c})
	c.text = c.writer
	return c.text
}
