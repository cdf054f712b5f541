package mailtest

import (
	"bufio"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ZeroSize in POP3Mail.Size and IMAPMail.Size is an announced size of 0.
const ZeroSize = -1 << 62

func announced(size int64, raw []byte) int64 {
	switch size {
	case 0:
		return int64(len(raw))
	case ZeroSize:
		return 0
	}
	return size
}

// Scripted is what the scripted servers with mailboxes have in common: a listener, its connections, and the log of
// what was sent on them. The exported fields are set before Start; the methods may be called at any time by any goroutine.
type Scripted struct {
	// TLS makes STARTTLS (STLS) possible; with Wrapped TLS comes first.
	TLS     *tls.Config
	Wrapped bool
	// CutAfter ends every connection after so many bytes were sent on it; 0 never.
	CutAfter int64

	mu       sync.Mutex
	listener net.Listener
	sessions [][]string
	links    map[*link]bool
	done     chan struct{}
	wg       sync.WaitGroup
}

// Commands returns the command lines of every connection so far, passwords included, IMAP literals replaced by "<text>".
func (s *Scripted) Commands() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([][]string, len(s.sessions))
	for i := range s.sessions {
		out[i] = slices.Clone(s.sessions[i])
	}
	return out
}

// Over tells whether every connection so far has ended: a client that has gone may have said more than was read yet.
func (s *Scripted) Over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links) == 0
}

// Host is the address that the server listens on.
func (s *Scripted) Host() string { return s.listener.Addr().(*net.TCPAddr).IP.String() }

// Port is the port number as text.
func (s *Scripted) Port() string { return strconv.Itoa(s.listener.Addr().(*net.TCPAddr).Port) }

// Close ends the server and every connection and waits for them.
func (s *Scripted) Close() {
	s.mu.Lock()
	if s.done == nil { // nothing was ever served
		s.mu.Unlock()
		return
	}
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	if s.listener != nil {
		s.listener.Close()
	}
	for l := range s.links {
		l.raw.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// listen gives every connection to addr, "" is a free port of 127.0.0.1, to serve.
func (s *Scripted) listen(addr string, serve func(net.Conn)) error {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.listener, s.done, s.links = l, make(chan struct{}), map[*link]bool{}
	s.wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serve(nc)
		}
	})
	return nil
}

// attach runs a session on a connection; no listener is needed.
func (s *Scripted) attach(nc net.Conn, session func(*link)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links == nil {
		s.links, s.done = map[*link]bool{}, make(chan struct{})
	}
	l := &link{server: s, raw: nc, number: len(s.sessions)}
	s.sessions = append(s.sessions, nil)
	select {
	case <-s.done:
		nc.Close()
		return
	default:
	}
	s.links[l] = true
	s.wg.Go(func() {
		defer nc.Close()
		session(l)
		s.mu.Lock()
		delete(s.links, l)
		s.mu.Unlock()
	})
}

// link is what the connections to scripted servers have in common.
type link struct {
	server  *Scripted
	raw     net.Conn
	in      *bufio.Reader
	out     *cutWriter
	number  int // of its log
	secured bool
}

// errBye ends a session.
var errBye = errors.New("end of session")

// converse answers the greeting and then every command that read finds, until one of them ends the session. flush sends
// what is buffered when the client waits.
func (l *link) converse(answer, flush, read func() error) {
	l.use(l.raw)
	if l.server.Wrapped && l.handshake() != nil {
		return
	}
	for {
		err := answer()
		if err == nil && l.in.Buffered() == 0 {
			err = flush()
		}
		if err != nil {
			l.out.Flush()
			return
		}
		if read() != nil {
			return
		}
	}
}

// converseLines is converse where a command is a line; it is put into line before it is answered.
func (l *link) converseLines(line *string, answer func() error) {
	*line = "GREETING"
	l.converse(answer, func() error { return l.out.Flush() }, func() (err error) {
		if *line, err = l.readLine(); err == nil {
			l.log(*line)
		}
		return err
	})
}

func (l *link) use(conn io.ReadWriter) {
	left := l.server.CutAfter
	l.in = bufio.NewReader(conn)
	l.out = &cutWriter{to: conn, buf: bufio.NewWriterSize(conn, 32<<10), left: left, cut: left > 0}
}

func (l *link) handshake() error {
	t := tls.Server(l.raw, l.server.TLS)
	if err := t.Handshake(); err != nil {
		return err
	}
	l.secured = true
	l.use(t)
	return nil
}

// upgrade agrees to TLS with a line and begins it.
func (l *link) upgrade(agree string) error {
	if err := l.Say(agree); err != nil {
		return err
	}
	if err := l.out.Flush(); err != nil {
		return err
	}
	return l.handshake()
}

// log keeps a line for Commands.
func (l *link) log(line string) {
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	l.server.sessions[l.number] = append(l.server.sessions[l.number], line)
}

func (l *link) readLine() (string, error) {
	line, err := l.in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// Say sends lines, each with CRLF.
func (l *link) Say(lines ...string) error {
	for _, text := range lines {
		if _, err := io.WriteString(l.out, text+"\r\n"); err != nil {
			return err
		}
	}
	return nil
}

// multiline makes a reply of SMTP of several lines.
func multiline(code string, texts []string) []string {
	lines := make([]string, len(texts))
	for i, text := range texts {
		sep := "-"
		if i == len(texts)-1 {
			sep = " "
		}
		lines[i] = code + sep + text
	}
	return lines
}

// challenge sends a SASL challenge and returns the line that answers it, still in base64.
func (l *link) challenge(text []byte) (string, error) {
	if err := l.Say("+ " + base64.StdEncoding.EncodeToString(text)); err != nil {
		return "", err
	}
	if err := l.out.Flush(); err != nil {
		return "", err
	}
	return l.readLine()
}

// cramChallenge is what CRAM-MD5 asks (RFC 2195, section 2).
const cramChallenge = "<1896.697170952@mail.example.test>"

// cramProves tells whether a digest is the right answer to cramChallenge.
func cramProves(password, digest string) bool {
	mac := hmac.New(md5.New, []byte(password))
	io.WriteString(mac, cramChallenge)
	return hex.EncodeToString(mac.Sum(nil)) == digest
}

// cutWriter buffers what is sent, and can cut it off.
type cutWriter struct {
	to   io.Writer
	buf  *bufio.Writer
	left int64 // bytes that may still be sent, if cut
	cut  bool
	then func() error // what happens at the cut
	slow time.Duration
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if w.slow > 0 {
		return w.drip(p)
	}
	if !w.cut || int64(len(p)) <= w.left {
		w.left -= int64(len(p))
		return w.buf.Write(p)
	}
	w.buf.Write(p[:w.left])
	w.left = 0
	w.buf.Flush()
	if w.then != nil {
		if err := w.then(); err != nil {
			return 0, err
		}
	}
	return 0, errBye
}

func (w *cutWriter) drip(p []byte) (int, error) {
	for i := range p {
		if _, err := w.to.Write(p[i : i+1]); err != nil {
			return i, err
		}
		time.Sleep(w.slow)
	}
	return len(p), nil
}

func (w *cutWriter) Flush() error { return w.buf.Flush() }

// scriptedConn is *POP3Conn or *IMAPConn.
type scriptedConn interface {
	base() *link
	usual() error
}

func (l *link) base() *link { return l }

// hooks are the acts that stand in for usual answers.
type hooks[C scriptedConn] struct {
	guard sync.Mutex
	list  []*hook[C]
}

type hook[C scriptedConn] struct {
	pattern *regexp.Regexp
	acts    []func(C) error
	once    bool
}

// On replaces the answer to every command that matches pattern (anchored at its start, letter case ignored, without
// IMAP tag); the greeting is the command "GREETING". Later calls win over earlier ones.
func (h *hooks[C]) On(pattern string, act func(C) error) { h.add(pattern, false, act) }

// Once uses each act for one matching command, in order; then the usual answer comes back.
func (h *hooks[C]) Once(pattern string, acts ...func(C) error) { h.add(pattern, true, acts...) }

func (h *hooks[C]) add(pattern string, once bool, acts ...func(C) error) {
	first := &hook[C]{pattern: regexp.MustCompile("(?i)^(?:" + pattern + ")"), acts: acts, once: once}
	h.guard.Lock()
	defer h.guard.Unlock()
	h.list = append([]*hook[C]{first}, h.list...)
}

func (h *hooks[C]) act(line string) func(C) error {
	h.guard.Lock()
	defer h.guard.Unlock()
	for _, k := range h.list {
		if len(k.acts) == 0 || !k.pattern.MatchString(line) {
			continue
		}
		act := k.acts[0]
		if k.once {
			k.acts = k.acts[1:]
		}
		return act
	}
	return usual
}

// What follows are the acts that need to know nothing of the protocol.

func usual[C scriptedConn](c C) error { return c.usual() }

func hang(l *link) error {
	l.out.Flush()
	io.Copy(io.Discard, l.in)
	return errBye
}

func then[C scriptedConn](acts []func(C) error) func(C) error {
	return func(c C) error {
		for _, a := range acts {
			if err := a(c); err != nil {
				return err
			}
		}
		return nil
	}
}

func after[C scriptedConn](n int64, act func(C) error) func(C) error {
	return func(c C) error {
		out := c.base().out
		old := *out
		out.cut, out.left, out.then = true, n, func() error {
			*out = old
			return act(c)
		}
		if err := c.usual(); err != nil {
			return err
		}
		*out = old
		return nil
	}
}

func drip[C scriptedConn](pause time.Duration) func(C) error {
	return func(c C) error {
		l := c.base()
		if err := l.out.Flush(); err != nil {
			return err
		}
		l.out.slow = pause
		defer func() { l.out.slow = 0 }()
		return c.usual()
	}
}

func flood[C scriptedConn](first, text string) func(C) error {
	return func(c C) error {
		out := c.base().out
		io.WriteString(out, first)
		block := strings.Repeat(text, 1+32<<10/len(text))
		for {
			if _, err := io.WriteString(out, block); err != nil {
				return err
			}
		}
	}
}
