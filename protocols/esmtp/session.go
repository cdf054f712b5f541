package esmtp

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
)

// Options are what a session needs.
type Options struct {
	Dialer   *wire.Dialer
	Host     string
	Service  string // port number or name of /etc/services
	Label    string // what the server is called in messages: the poll name
	Helo     string // our name
	StartTLS wire.Upgrade
	TLS      *wire.TLS
	// Trace takes the lines that -v shows, with the name of the protocol; nil is off.
	Trace func(protocol string, d wire.Dir, text string)
	// Protocol is what the trace calls commands after the greeting: "ETRN", "ODMR".
	Protocol string
}

// smtp is the name of the protocol for the phase that all sessions have in common, as in the reference's traces.
const smtp = "SMTP"

// Session is an ESMTP session after EHLO. It is used by one goroutine.
type Session struct {
	o       Options
	conn    *wire.Conn
	mask    auth.Mask
	offered map[string]string // keyword in upper case, parameters
	last    Reply
	broken  bool // reading or writing has failed
}

// Open goes as far as the answer to EHLO. Its error is a *protocols.Fault.
func Open(ctx context.Context, o Options) (*Session, error) {
	conn, err := o.Dialer.Dial(ctx, o.Host, o.Service)
	if err != nil {
		return nil, protocols.Undialed(err)
	}
	s := &Session{o: o, conn: conn}
	if err := s.begin(ctx); err != nil {
		s.Leave()
		return nil, err
	}
	return s, nil
}

func (s *Session) begin(ctx context.Context) error {
	r, err := s.receive(smtp, "greeting")
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return s.Refused("greeting", s.o.Label+": the server refuses to talk: "+r.Raw())
	}
	if err := s.ehlo(); err != nil {
		return err
	}
	return s.secure(ctx)
}

func (s *Session) ehlo() error {
	s.offered = map[string]string{}
	r, err := s.exchange(smtp, smtp, "EHLO "+s.o.Helo, "EHLO "+s.o.Helo)
	switch {
	case err != nil:
		return err
	case r.Code != 250:
		return s.Refused("EHLO", s.o.Label+"'s SMTP listener does not support ESMTP")
	}
	for _, l := range r.Lines[1:] {
		word, params, _ := strings.Cut(l, " ")
		// An old form of AUTH has "=" in place of the blank.
		if old, mechs, ok := strings.Cut(word, "="); ok && strings.EqualFold(old, "AUTH") {
			word, params = old, strings.TrimSpace(mechs+" "+params)
		}
		s.offered[strings.ToUpper(word)] = params
	}
	return nil
}

// secure changes to TLS. What goes wrong ends the session: nothing is ever sent in clear that was to be protected.
func (s *Session) secure(ctx context.Context) error {
	const op = "STARTTLS"
	switch {
	case s.o.StartTLS == wire.Never || s.conn.TLSState() != nil:
		return nil
	case !s.Offers(op) && s.o.StartTLS == wire.May:
		return nil
	case !s.Offers(op):
		return &protocols.Fault{Kind: protocols.Socket, Phase: protocols.Securing, Op: op, Err: errors.New("not offered"),
			Detail: []string{s.o.Label + ": upgrade to TLS failed: the server does not offer STARTTLS."}}
	}
	r, err := s.exchange(smtp, smtp, op, op)
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return &protocols.Fault{Kind: protocols.Socket, Phase: protocols.Securing, Op: op, Reply: r.Raw(), Err: errors.New("refused"),
			Detail: []string{s.o.Label + ": upgrade to TLS failed: " + r.Raw()}}
	}
	if err := s.conn.StartTLS(ctx, s.o.TLS); err != nil {
		s.broken = true
		f := &protocols.Fault{Kind: protocols.Socket, Phase: protocols.Securing, Op: op, Err: err}
		var t *wire.TLSError
		if errors.As(err, &t) {
			f.Detail = t.Lines
		} else {
			f.Detail = []string{s.o.Label + ": upgrade to TLS failed: " + err.Error()}
		}
		return f
	}
	return s.ehlo()
}

// Offers tells whether the answer to EHLO has a keyword.
func (s *Session) Offers(keyword string) bool { _, ok := s.offered[keyword]; return ok }

// Params are the words behind a keyword of the answer to EHLO.
func (s *Session) Params(keyword string) []string { return strings.Fields(s.offered[keyword]) }

// Conn is the connection. Reader of it holds what the server has sent and nobody has read.
func (s *Session) Conn() *wire.Conn { return s.conn }

// Command sends a line and returns the reply, whatever its code. The error is a *protocols.Fault of a session that has
// come to its end.
func (s *Session) Command(line string) (Reply, error) {
	return s.exchange(s.o.Protocol, s.o.Protocol, line, line)
}

// exchange sends a line, of which the trace shows another one, and reads the reply.
func (s *Session) exchange(sent, received, line, shown string) (Reply, error) {
	op, _, _ := strings.Cut(shown, " ")
	if err := s.send(sent, line, shown); err != nil {
		return Reply{}, err
	}
	return s.receive(received, op)
}

var (
	errBadByte = errors.New("CR, LF or NUL within a command")
	errEarly   = errors.New("server speaks before it was asked")
)

func (s *Session) send(protocol, line, shown string) error {
	op, _, _ := strings.Cut(shown, " ")
	if strings.ContainsAny(line, "\r\n\x00") {
		return &protocols.Fault{Kind: protocols.Config, Phase: protocols.Opening, Op: op, Err: errBadByte}
	}
	if s.conn.Reader().Buffered() > 0 {
		s.broken = true
		return s.fault(op, errEarly, protocols.Protocol)
	}
	s.mask.AddLine(line, shown)
	s.trace(protocol, wire.Sent, shown)
	if _, err := io.WriteString(s.conn, line+"\r\n"); err != nil {
		return s.fault(op, err, protocols.Socket)
	}
	return nil
}

// receive reads a reply. What is in a challenge is not shown.
func (s *Session) receive(protocol, op string) (Reply, error) {
	r, err := readReply(s.conn.Reader(), func(line string) string {
		if len(line) > 3 && line[:3] == "334" {
			line = "334 *"
		}
		line = s.mask.Hide(line)
		s.trace(protocol, wire.Received, line)
		return line
	})
	s.last = r
	s.broken = s.broken || errors.Is(err, errEndless)
	switch {
	case errors.Is(err, errSyntax):
		return r, s.fault(op, err, protocols.Protocol)
	case err != nil:
		return r, s.fault(op, err, protocols.Socket)
	}
	return r, nil
}

func (s *Session) trace(protocol string, d wire.Dir, text string) {
	if s.o.Trace != nil {
		s.o.Trace(protocol, d, text)
	}
}

// fault is trouble with the connection.
func (s *Session) fault(op string, err error, kind protocols.Kind) *protocols.Fault {
	s.broken = s.broken || kind == protocols.Socket
	if errors.Is(err, wire.ErrTimeout) {
		kind = protocols.Timeout
	} else if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	f := &protocols.Fault{Kind: kind, Phase: protocols.Opening, Op: op, Reply: s.mask.Hide(s.last.Raw()), Err: err}
	if kind == protocols.Protocol {
		f.Detail = []string{s.o.Label + ": " + strings.ReplaceAll(s.mask.Hide(err.Error()), "\n", ": ")}
	}
	return f
}

// Refused is the fault of a server whose last reply is a no that ends the session; detail says it for people, and is
// all that the reference says.
func (s *Session) Refused(op, detail string) *protocols.Fault {
	return &protocols.Fault{Kind: protocols.Protocol, Phase: protocols.Opening, Op: op, Detail: []string{s.mask.Hide(detail)}}
}

// Quit ends the session in order. The error, a *protocols.Fault, says that the server did not agree.
func (s *Session) Quit() error {
	r, err := s.exchange(s.o.Protocol, smtp, "QUIT", "QUIT")
	s.conn.Close()
	if err == nil && r.Code/100 == 2 {
		return nil
	}
	return &protocols.Fault{Kind: protocols.Protocol, Phase: protocols.Finishing, Op: "QUIT", Reply: s.mask.Hide(r.Raw()), Err: err}
}

// farewell bounds the wait for the answer to a QUIT on which nothing depends.
const farewell = 5 * time.Second

// Leave ends the session, politely if the connection still serves; what goes wrong does not matter any more.
func (s *Session) Leave() {
	if !s.broken {
		s.conn.SetTimeout(farewell)
		_, _ = s.exchange(s.o.Protocol, smtp, "QUIT", "QUIT")
	}
	s.conn.Close()
}
