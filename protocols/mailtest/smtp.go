package mailtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// SMTPOptions say how a scripted SMTP or LMTP listener behaves. The zero value is a friendly ESMTP server on a free
// TCP port of 127.0.0.1.
type SMTPOptions struct {
	Network string // "tcp" (default) or "unix"
	Addr    string // "127.0.0.1:0" by default; the path of the socket for "unix"
	LMTP    bool
	Banner  string // "220 sink.example.test ESMTP ready" by default
	// Extensions are the lines of the EHLO answer after the first; nil stands for PIPELINING, SIZE and 8BITMIME, an
	// empty slice for none.
	Extensions []string
	NoEHLO     bool // EHLO is answered with 502
	// Replies are used up one a command, by verb: "banner", "ehlo", "helo", "mail", "rcpt", "data", "dot", "rset", "quit",
	// "auth", "starttls". "" stands for the usual answer. A reply "drop" closes the connection, "reset" closes it with
	// RST, "hang" stops answering until Close, "then-drop 250 ok" answers and closes, "raw ..." is sent as it is.
	Replies map[string][]string
	// Answer, if set, is asked first: verb as above and the whole command line; "" stands for the usual answer.
	Answer func(verb, line string) string
	// DropInData, if positive, resets the connection after so many octets of text.
	DropInData int
	// Discard keeps no message text (Mail.Text stays empty, Mail.Octets counts).
	Discard bool
	// Delay is waited before each packet of answers (a round trip).
	Delay time.Duration
	// TLS offers STARTTLS; with Implicit the connection begins with the handshake.
	TLS      *tls.Config
	Implicit bool
	// Deliver, if set, is given each message that was accepted, by the goroutine of its connection.
	Deliver func(Mail)
}

// Mail is one message that a scripted listener has seen to its final dot.
type Mail struct {
	Hello    string   // argument of HELO, EHLO or LHLO
	From     string   // the line "MAIL FROM:<...> ..."
	To       []string // the RCPT lines that were accepted
	Text     []byte   // as sent, dots still stuffed, without the final dot line
	Octets   int      // of the text as sent
	Accepted bool     // the (LMTP: any) answer to the final dot was 2xx
}

// SMTP is a running scripted listener; it records all sessions.
type SMTP struct {
	opts     SMTPOptions
	listener net.Listener
	done     chan struct{}
	wg       sync.WaitGroup

	mu       sync.Mutex
	replies  map[string][]string
	sessions []*smtpSession
	mails    []Mail
}

type smtpSession struct {
	server *SMTP
	conn   net.Conn
	r      *bufio.Reader
	out    []byte
	lines  []string // guarded by server.mu
	hello  string
	from   string
	to     []string
}

var errSMTPEnd = errors.New("session ends")

// StartSMTP starts a listener; Close ends it.
func StartSMTP(o SMTPOptions) (*SMTP, error) {
	if o.Network == "" {
		o.Network = "tcp"
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Banner == "" {
		o.Banner = "220 sink.example.test ESMTP ready"
	}
	if o.Extensions == nil {
		o.Extensions = []string{"PIPELINING", "SIZE 10485760", "8BITMIME", "HELP"}
	}
	l, err := net.Listen(o.Network, o.Addr)
	if err != nil {
		return nil, err
	}
	s := &SMTP{opts: o, listener: l, done: make(chan struct{}), replies: make(map[string][]string)}
	for k, v := range o.Replies {
		s.replies[k] = append([]string(nil), v...)
	}
	s.wg.Add(1)
	go s.accept()
	return s, nil
}

// Addr is "127.0.0.1:port" or the path of the socket.
func (s *SMTP) Addr() string { return s.listener.Addr().String() }

// Port is the port number as text; "" for a UNIX socket.
func (s *SMTP) Port() string {
	_, port, _ := net.SplitHostPort(s.Addr())
	return port
}

// Close ends the listener and all its sessions.
func (s *SMTP) Close() {
	s.mu.Lock()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	for _, ss := range s.sessions {
		ss.conn.Close()
	}
	s.mu.Unlock()
	s.listener.Close()
	s.wg.Wait()
}

// Sessions are the command lines of every session so far, the text of a message as "<DATA>".
func (s *SMTP) Sessions() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]string
	for _, ss := range s.sessions {
		all = append(all, append([]string(nil), ss.lines...))
	}
	return all
}

// Mails are the messages seen so far, refused ones too.
func (s *SMTP) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

func (s *SMTP) accept() {
	defer s.wg.Done()
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		ss := &smtpSession{server: s, conn: c}
		s.mu.Lock()
		select {
		case <-s.done:
			c.Close()
		default:
		}
		s.sessions = append(s.sessions, ss)
		s.mu.Unlock()
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			defer func() { ss.conn.Close() }()
			ss.serve()
		}()
	}
}

func (ss *smtpSession) record(line string) {
	ss.server.mu.Lock()
	ss.lines = append(ss.lines, line)
	ss.server.mu.Unlock()
}

func (ss *smtpSession) serve() {
	o := &ss.server.opts
	if o.Implicit && ss.secure() != nil {
		return
	}
	ss.r = bufio.NewReaderSize(ss.conn, 64<<10)
	if _, err := ss.say("banner", "", o.Banner); err != nil {
		return
	}
	for {
		if ss.flush() != nil {
			return
		}
		line, err := ss.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		ss.record(line)
		if ss.command(line) != nil {
			ss.flush()
			return
		}
	}
}

func (ss *smtpSession) secure() error {
	c := tls.Server(ss.conn, ss.server.opts.TLS)
	if err := c.Handshake(); err != nil {
		return err
	}
	ss.server.mu.Lock()
	ss.conn = c
	ss.server.mu.Unlock()
	ss.r = bufio.NewReaderSize(c, 64<<10)
	return nil
}

func (ss *smtpSession) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToLower(verb)
	switch verb {
	case "ehlo", "lhlo":
		return ss.ehlo(verb, line, arg)
	case "helo":
		ss.hello = arg
		_, err := ss.say(verb, line, "250 sink.example.test")
		return err
	case "mail":
		ss.from, ss.to = line, nil
		_, err := ss.say(verb, line, "250 2.1.0 Ok")
		return err
	case "rcpt":
		ok, err := ss.say(verb, line, "250 2.1.5 Ok")
		if ok {
			ss.to = append(ss.to, line)
		}
		return err
	case "data":
		return ss.data(line)
	case "rset":
		ss.from, ss.to = "", nil
		_, err := ss.say(verb, line, "250 2.0.0 Ok")
		return err
	case "quit":
		if _, err := ss.say(verb, line, "221 2.0.0 Bye"); err != nil {
			return err
		}
		return errSMTPEnd
	case "auth":
		_, err := ss.say(verb, line, "235 2.7.0 welcome")
		return err
	case "starttls":
		if ok, err := ss.say(verb, line, "220 2.0.0 go ahead"); err != nil || !ok {
			return err
		}
		if err := ss.flush(); err != nil {
			return err
		}
		return ss.secure()
	}
	_, err := ss.say(verb, line, "502 5.5.2 command not recognized")
	return err
}

func (ss *smtpSession) ehlo(verb, line, arg string) error {
	o := &ss.server.opts
	if o.NoEHLO || (verb == "lhlo") != o.LMTP {
		_, err := ss.say("ehlo", line, "502 5.5.1 unrecognized")
		return err
	}
	ss.hello = arg
	lines := append([]string{"sink.example.test"}, o.Extensions...)
	if _, secure := ss.conn.(*tls.Conn); o.TLS != nil && !secure {
		lines = append(lines, "STARTTLS")
	}
	_, err := ss.say("ehlo", line, strings.Join(multiline("250", lines), "\r\n"))
	return err
}

func (ss *smtpSession) data(line string) error {
	usual := "354 go ahead"
	if len(ss.to) == 0 {
		usual = "554 5.5.1 no valid recipients"
	}
	if ok, err := ss.say("data", line, usual); err != nil || !ok {
		return err
	}
	if err := ss.flush(); err != nil {
		return err
	}
	m := Mail{Hello: ss.hello, From: ss.from, To: ss.to}
	if err := ss.text(&m); err != nil {
		ss.record("<EOF IN DATA>")
		return err
	}
	ss.record("<DATA>")
	answers := 1
	if ss.server.opts.LMTP {
		answers = len(ss.to)
	}
	var err error
	for i := 0; i < answers && err == nil; i++ {
		var ok bool
		rcpt := ""
		if i < len(ss.to) {
			rcpt = ss.to[i]
		}
		ok, err = ss.say("dot", rcpt, "250 2.0.0 Ok: queued")
		m.Accepted = m.Accepted || ok
	}
	ss.from, ss.to = "", nil
	ss.server.mu.Lock()
	ss.server.mails = append(ss.server.mails, m)
	ss.server.mu.Unlock()
	if m.Accepted && ss.server.opts.Deliver != nil {
		ss.server.opts.Deliver(m)
	}
	return err
}

// text reads up to the final dot, which must stand between two CRLF.
func (ss *smtpSession) text(m *Mail) error {
	o := &ss.server.opts
	start, crlf := true, true // of the current piece: at the start of a line; the line before ended in CRLF
	for {
		piece, err := ss.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return io.ErrUnexpectedEOF
		}
		if start && crlf && string(piece) == ".\r\n" {
			return nil
		}
		m.Octets += len(piece)
		if !o.Discard {
			m.Text = append(m.Text, piece...)
		}
		if o.DropInData > 0 && m.Octets >= o.DropInData {
			ss.reset()
			return errSMTPEnd
		}
		start = err == nil
		crlf = start && bytes.HasSuffix(piece, []byte("\r\n"))
	}
}

// say answers verb with the next reply of the script or the usual one and tells whether it was positive.
func (ss *smtpSession) say(verb, line, usual string) (bool, error) {
	reply := ss.server.next(verb, line)
	if reply == "" {
		reply = usual
	}
	switch kind, rest, _ := strings.Cut(reply, " "); kind {
	case "drop":
		return false, errSMTPEnd
	case "reset":
		ss.reset()
		return false, errSMTPEnd
	case "hang":
		ss.flush()
		<-ss.server.done
		return false, errSMTPEnd
	case "then-drop":
		ss.out = append(ss.out, rest+"\r\n"...)
		return false, errSMTPEnd
	case "raw":
		ss.out = append(ss.out, rest...)
		return false, nil
	}
	ss.out = append(ss.out, strings.ReplaceAll(strings.ReplaceAll(reply, "\r\n", "\n"), "\n", "\r\n")+"\r\n"...)
	return reply[0] == '2' || reply[0] == '3', nil
}

func (s *SMTP) next(verb, line string) string {
	if s.opts.Answer != nil {
		if r := s.opts.Answer(verb, line); r != "" {
			return r
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.replies[verb]
	if len(q) == 0 {
		return ""
	}
	s.replies[verb] = q[1:]
	return q[0]
}

// flush sends what was answered, unless more commands of the same packet wait.
func (ss *smtpSession) flush() error {
	if len(ss.out) == 0 || ss.r != nil && ss.r.Buffered() > 0 && bytes.IndexByte(peek(ss.r), '\n') >= 0 {
		return nil
	}
	if d := ss.server.opts.Delay; d > 0 {
		time.Sleep(d)
	}
	_, err := ss.conn.Write(ss.out)
	ss.out = ss.out[:0]
	return err
}

func peek(r *bufio.Reader) []byte {
	b, _ := r.Peek(r.Buffered())
	return b
}

func (ss *smtpSession) reset() {
	if t, ok := ss.conn.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	ss.conn.Close()
}
