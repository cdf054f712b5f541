package imap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
)

const (
	// maxLine is the longest response line in octets, literals not counted. SEARCH answers are that long.
	maxLine = 4 << 20
	// maxSkip is the largest literal that is read only to be thrown away.
	maxSkip = 1 << 30
	// maxNoise is how many octets of response lines, besides what was asked for, may come before the next answer to a
	// command.
	maxNoise = 32 << 20
	// maxResync is how many octets are thrown away to find the end of a message whose literal was announced too small.
	maxResync = 1 << 30
	// maxAlerts is how many texts of a session are passed on to people, who have them in their log.
	maxAlerts = 100
)

var (
	errLimit = errors.New("server exceeds the limits of the protocol")
	errShort = errors.New("message is longer than the server announced")
	errUID   = errors.New("server sent the message of another UID")
)

// byeError is a BYE that nobody asked for.
type byeError struct{ text string }

func (e *byeError) Error() string { return "server says BYE " + e.text }

// lines are the reference's about it, which turns the text into capitals.
func (e *byeError) lines() []string {
	return []string{"Received BYE response from IMAP server:  " + strings.ToUpper(e.text)}
}

// Unwrap makes it an end of the connection.
func (e *byeError) Unwrap() error { return io.ErrUnexpectedEOF }

// filter is the connection that the library works on: see the package comment.
//
// Read is called by the library's one reader goroutine; Write by whoever issues a command. Everything below mu may be
// used by both and by the session.
type filter struct {
	*wire.Conn
	br      *bufio.Reader
	trace   wire.Trace
	old     bool          // the server is an IMAP4 server (RFC 1730), not IMAP4rev1
	limit   time.Duration // inactivity limit outside of IDLE
	idle    time.Duration // inactivity limit within IDLE
	alert   func(text string)
	mask    *auth.Mask // what was sent at the login; nobody adds to it any more
	reading readState

	wmu  sync.Mutex
	wbuf []byte // a command that is not complete yet

	mu      sync.Mutex
	wake    *sync.Cond
	err     error // why nothing can be read any more
	closed  bool
	tags    int
	pending []command
	want    *want
	box     box
	news    chan struct{}    // has room for one; filled by EXISTS
	ends    map[uint32]error // how the bodies that were passed on ended, by UID or number
	mailbox string           // what SELECT is to name, quoted
	target  string           // what COPY and MOVE are to name, quoted
}

// readState belongs to the library's reader goroutine.
type readState struct {
	out  []byte   // repaired response, not yet handed to the library
	off  int      // what of it has been handed over
	lit  int64    // octets of a body that follow out
	open *fetched // FETCH response that goes on behind that body
	long []byte   // a line that does not fit into br
	seen int      // octets of lines since the last answer to a command
}

// command is one that the server has not answered yet.
type command struct {
	tag, lib string // on the wire, and to the library
	name     string // "UID FETCH"
	cont     bool   // a continuation request is in place
}

// want says which FETCH responses the library waits for. All others are kept from it.
type want struct {
	byUID   bool
	list    bool            // flags and sizes
	size    bool            // responses without a size are not the answer
	section string          // else bodies: "", "HEADER", "TEXT"
	left    map[uint32]bool // of these UIDs or numbers
	count   int             // flags and sizes that were passed on
}

func newFilter(c *wire.Conn, trace wire.Trace, limit time.Duration, tags int) *filter {
	f := &filter{Conn: c, br: c.Reader(), trace: trace, limit: limit, tags: tags, news: make(chan struct{}, 1), alert: func(string) {}}
	f.wake = sync.NewCond(&f.mu)
	f.box.reset()
	return f
}

// greet puts the greeting of an authenticated server before everything else.
func (f *filter) greet(caps []string) {
	f.reading.out = []byte("* PREAUTH [CAPABILITY " + strings.Join(caps, " ") + "] ready\r\n")
}

// Read gives the library what it can bear of the server's responses.
func (f *filter) Read(p []byte) (int, error) {
	r := &f.reading
	for {
		if r.off < len(r.out) {
			n := copy(p, r.out[r.off:])
			r.off += n
			return n, nil
		}
		if err := f.failure(); err != nil {
			return 0, err
		}
		if r.lit > 0 {
			return f.readBody(p)
		}
		r.out, r.off = r.out[:0], 0
		if err := f.next(); err != nil {
			f.fail(err)
		}
	}
}

func (f *filter) readBody(p []byte) (int, error) {
	r := &f.reading
	n, err := f.br.Read(p[:min(int64(len(p)), r.lit)])
	r.lit -= int64(n)
	if err != nil {
		f.fail(early(err))
		if n == 0 {
			return 0, f.failure()
		}
	}
	return n, nil
}

// early is the error of a connection that has ended before its time.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (f *filter) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// fail makes err the end of all reading.
func (f *filter) fail(err error) {
	f.mu.Lock()
	if f.err == nil {
		f.err = early(err)
	}
	f.mu.Unlock()
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// await blocks while the server owes nothing, so that the inactivity limit only runs while it does.
func (f *filter) await() error {
	if f.br.Buffered() > 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.pending) == 0 && !f.closed {
		f.wake.Wait()
	}
	if f.closed {
		return net.ErrClosed
	}
	return nil
}

// next reads one line and puts what the library is to see of it into out.
func (f *filter) next() error {
	if f.reading.open != nil {
		line, err := f.line()
		if err != nil {
			return err
		}
		return f.behindLiteral(line)
	}
	if err := f.await(); err != nil {
		return err
	}
	line, err := f.line()
	if err != nil {
		return err
	}
	f.show(line)
	if f.reading.seen += len(line) + 2; f.reading.seen > maxNoise {
		return fmt.Errorf("%w: no answer within %d octets", errLimit, maxNoise)
	}
	switch {
	case len(line) == 0:
		return nil
	case line[0] == '*':
		return f.untagged(line[1:])
	case line[0] == '+':
		f.continuation()
		return nil
	}
	f.tagged(line)
	return nil
}

// line reads a line and takes off its end. It is valid until the next call.
func (f *filter) line() ([]byte, error) {
	r := &f.reading
	r.long = r.long[:0]
	for {
		part, err := f.br.ReadSlice('\n')
		if err == nil && len(r.long) == 0 {
			return bytes.TrimRight(part, "\r\n"), nil
		}
		r.long = append(r.long, part...)
		if len(r.long) > maxLine {
			return nil, fmt.Errorf("%w: a line of more than %d octets", errLimit, maxLine)
		}
		if err == nil {
			line := bytes.TrimRight(r.long, "\r\n")
			if cap(r.long) > 64<<10 && len(r.long) < 64<<10 {
				r.long = nil
			}
			return line, nil
		}
		if err != bufio.ErrBufferFull {
			if len(r.long) > 0 {
				err = early(err)
			}
			return nil, err
		}
	}
}

// show traces a line of the server. The text of messages is not shown.
func (f *filter) show(line []byte) {
	if f.trace == nil {
		return
	}
	const most = 1000
	upper := bytes.ToUpper(line[:min(len(line), most)])
	if i := bytes.Index(upper, []byte("BODY[")); i >= 0 || bytes.Contains(upper, []byte(" RFC822")) {
		if q := bytes.IndexByte(upper[max(i, 0):], '"'); q >= 0 {
			line = append(line[:max(i, 0)+q:max(i, 0)+q], "..."...)
		}
	}
	if len(line) > most {
		line = append(line[:most:most], "..."...)
	}
	f.trace(wire.Received, f.mask.Hide(string(line)))
}

// text is what a server says, for people.
func (f *filter) text(b []byte) string { return shown(f.mask, b) }

// skip throws a literal away.
func (f *filter) skip(n int64) error {
	if n > maxSkip {
		return fmt.Errorf("%w: an unwanted literal of %d octets", errLimit, n)
	}
	_, err := io.CopyN(io.Discard, f.br, n)
	return early(err)
}

// Write takes a command of the library, gives it our tag and the reference's form, and sends it.
func (f *filter) Write(p []byte) (int, error) {
	f.wmu.Lock()
	defer f.wmu.Unlock()
	f.wbuf = append(f.wbuf, p...)
	for {
		i := bytes.IndexByte(f.wbuf, '\n')
		if i < 0 {
			return len(p), nil
		}
		line := strings.TrimRight(string(f.wbuf[:i]), "\r\n")
		f.wbuf = f.wbuf[i+1:]
		if len(f.wbuf) == 0 {
			f.wbuf = nil
		}
		if err := f.send(line); err != nil {
			return 0, err
		}
	}
}

// send sends one command line of the library. The caller holds wmu.
func (f *filter) send(line string) error {
	if line == "DONE" {
		return f.put(line)
	}
	lib, text, _ := strings.Cut(line, " ")
	f.mu.Lock()
	if err := f.ended(); err != nil { // the library's reader is gone or going, and would not complete the command
		f.mu.Unlock()
		return err
	}
	text = f.translate(text)
	tag := f.newTag("")
	f.pending = append(f.pending, command{tag: tag, lib: lib, name: commandName(text), cont: text == "IDLE"})
	f.mu.Unlock()
	err := f.put(tag + " " + text)
	f.wake.Broadcast()
	return err
}

// ended tells why nothing can be read any more. The caller holds mu.
func (f *filter) ended() error {
	if f.err == nil && f.closed {
		return net.ErrClosed
	}
	return f.err
}

// newTag makes the tag of the next command. The caller holds mu.
func (f *filter) newTag(suffix string) string {
	f.tags++
	return fmt.Sprintf("A%04d%s", f.tags, suffix)
}

// put writes a line. The caller holds wmu.
func (f *filter) put(line string) error {
	if strings.ContainsAny(line, "\r\n\x00") {
		return errors.New("command with a line end or NUL in it")
	}
	if f.trace != nil {
		f.trace(wire.Sent, line)
	}
	_, err := f.Conn.Write([]byte(line + "\r\n"))
	if errors.Is(err, wire.ErrTimeout) {
		f.fail(err)
		return err
	}
	// The library would close the connection at any other error. What the server has sent before it went is worth
	// reading, and then reading fails too.
	return nil
}

// Close closes the connection and wakes up who waits for the server.
func (f *filter) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.wake.Broadcast()
	return f.Conn.Close()
}

// expect says which FETCH responses the next commands ask for; nil is none.
func (f *filter) expect(w *want) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.want = w
	if w != nil {
		f.ends = map[uint32]error{}
	}
}

// verdict tells how a body ended: whether the server closed its response, and what was wrong with it.
func (f *filter) verdict(key uint32) (err error, ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err, ended = f.ends[key]
	return err, ended
}

// tooLate ends a connection on which the server does not answer in time.
func (f *filter) tooLate() {
	f.fail(&wire.TimeoutError{Limit: f.limit})
	f.Close()
}
