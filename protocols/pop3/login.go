package pop3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	gopop3 "github.com/knadh/go-pop3"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
)

// errAgain says that a new connection is worth trying, without CAPA.
var errAgain = errors.New("a new connection is needed")

// Open connects, secures the connection and logs in. Every error is a *protocols.Fault.
//
// A server that refuses CAPA, or hangs up there, gets a new connection without it.
func Open(ctx context.Context, o Options) (*Session, error) {
	o.setDefaults()
	s, err := begin(ctx, o, true)
	if !errors.Is(err, errAgain) || ctx.Err() != nil {
		return s, err
	}
	if o.Trace != nil {
		o.warn("Repoll immediately on " + o.User + "@" + o.Host)
	}
	o.StartTLS = wire.Never
	return begin(ctx, o, false)
}

// begin opens a session, in which CAPA may be sent or not.
func begin(ctx context.Context, o Options, capa bool) (*Session, error) {
	s := &Session{o: o}
	err := s.connect(ctx)
	if err == nil {
		err = s.enterMailbox(ctx, capa)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// enterMailbox goes from the greeting to the transaction state.
func (s *Session) enterMailbox(ctx context.Context, capa bool) error {
	early := capa && (s.o.StartTLS != wire.Never || auth.AsksCapabilities(s.o.dialect(), s.o.Auth))
	if early {
		if err := s.capa(); err != nil {
			return s.withoutCapa(err)
		}
		if s.caps.stls && s.o.StartTLS == wire.Never && s.o.Dialer.TLS == nil {
			s.o.note(s.o.Host + ": WARNING: server offered STLS, but sslproto '' given.")
		}
	}
	if s.o.StartTLS == wire.Must || s.o.StartTLS == wire.May && s.caps.stls {
		if err := s.secure(ctx); err != nil {
			return err
		}
	}
	if err := s.login(ctx); err != nil {
		return err
	}
	if capa && !early {
		if err := s.capa(); err != nil && s.line.err != nil {
			return s.withoutCapa(err)
		}
	}
	return nil
}

// connect dials and reads the greeting.
func (s *Session) connect(ctx context.Context) error {
	conn, err := s.o.Dialer.Dial(ctx, s.o.Host, s.o.Service)
	if err != nil {
		return protocols.Undialed(err)
	}
	s.conn = conn
	s.line = &lineConn{Conn: conn, in: conn.Reader(), trace: s.o.Trace}
	if s.o.Trace != nil {
		s.line.refusal = s.o.warn
	}
	s.lib, err = gopop3.New(gopop3.Opt{Host: s.o.Host, Dialer: seam{s.line}}).NewConn()
	if err != nil {
		// For the reference the greeting is not part of the login, and has fewer words of its own.
		f := s.fault(protocols.Opening, "greeting")
		if s.line.err == nil && s.line.kind == refused {
			f.Kind = loginKind(s.line.lastLine())
		}
		return f
	}
	if strings.Contains(s.line.lastLine(), "Maillennium") && !s.o.FetchAll {
		s.o.say(`Warning: "Maillennium POP3" found, using RETR command instead of TOP.`)
		s.retr = true
	}
	s.retr = s.retr || s.o.FetchAll || s.o.ForceRETR || s.o.Keep && !s.o.UIDL
	s.greeting = s.line.lastLine()
	return nil
}

// capa asks for the capabilities: RFC 2449, section 5.
func (s *Session) capa() error {
	const op = "CAPA"
	s.caps = capabilities{}
	if _, err := s.command(protocols.LoggingIn, op); err != nil {
		return err
	}
	const maxCapabilities = 1000 // lines
	return s.lines(protocols.LoggingIn, op, maxCapabilities, func(line []byte) { s.caps.add(string(line)) })
}

// withoutCapa is the fault of a failed CAPA; errAgain is in it if a new connection may do better.
func (s *Session) withoutCapa(err error) error {
	f := protocols.AsFault(err)
	switch {
	case f.Kind == protocols.Timeout, s.o.StartTLS == wire.Must && s.line.err != nil:
		return f
	case s.o.StartTLS == wire.Must:
		f.Kind = protocols.Auth
		f.Detail = []string{"STLS is mandatory for this session, but server refused CAPA command.",
			"CAPA command support is, however, necessary for STLS."}
		return f
	}
	return fmt.Errorf("%w: %w", errAgain, f)
}

// secure asks for TLS: RFC 2595, section 4. What was known before is forgotten, and CAPA asked again. As in the
// reference its failure is one of the login.
func (s *Session) secure(ctx context.Context) error {
	const op = "STLS"
	if _, err := s.command(protocols.LoggingIn, op); err != nil {
		f := protocols.AsFault(err)
		locked := s.line.err == nil && s.line.kind == refused && loginKind(f.Reply) == protocols.Lock
		if locked && s.o.Trace == nil { // the reference shows such words wherever they come
			s.o.warn(strings.TrimPrefix(f.Reply, "-ERR "))
		}
		switch {
		case f.Kind == protocols.Timeout:
			return f
		case s.o.StartTLS == wire.May && s.line.err == nil && s.line.kind == refused: // a clear no; all else may be an attack
			s.o.note(s.conn.Host() + ": opportunistic upgrade to TLS failed, trying to continue.")
			return nil
		}
		f.Kind = protocols.Socket
		f.Detail = []string{s.conn.Host() + ": upgrade to TLS failed."}
		return f
	}
	if err := s.conn.StartTLS(ctx, s.o.TLS); err != nil {
		s.line.err = err
		f := s.fault(protocols.LoggingIn, op)
		f.Reply, f.Err = "", err
		var t *wire.TLSError
		if errors.As(err, &t) {
			f.Detail = t.UpgradeLines()
		} else {
			f.Detail = []string{s.conn.Host() + ": upgrade to TLS failed."}
		}
		return f // TLS that fails is no reason to send the password in clear
	}
	s.o.note(s.conn.Host() + ": upgrade to TLS succeeded.")
	if err := s.capa(); err != nil && s.line.err != nil {
		return err
	}
	return nil
}

// login tries the ways that auth has chosen, once more if the secret can be had anew.
func (s *Session) login(ctx context.Context) error {
	choice := auth.Choose(auth.Offer{
		Protocol: s.o.dialect(), Auth: s.o.Auth, Host: s.conn.Host(), Mechs: s.caps.mechanisms, SASLIR: true,
		Secure: s.conn.Private(), TLS: s.conn.TLSState() != nil, Ticket: auth.HasTicket,
	})
	for _, n := range choice.Notes {
		s.o.warn(n)
	}
	if len(choice.Ways) == 0 {
		return &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Detail: choice.RunOut, Forced: choice.Forced}
	}
	secret, err := s.secret(ctx, choice.Ways)
	if err != nil {
		return err
	}
	err = s.tryWays(choice.Ways, secret)
	if f := protocols.AsFault(err); err != nil && f.Kind == protocols.Auth && s.line.err == nil && secret != "" {
		if anew, ok, _ := auth.Again(ctx, s.o.Secret, secret); ok {
			err = s.tryWays(choice.Ways, anew)
		}
	}
	if err != nil {
		f := protocols.AsFault(err)
		f.Forced = choice.Forced
		if f.Kind == protocols.Auth {
			f.Detail = append(f.Detail, choice.RunOut...)
		}
		return f
	}
	return nil
}

// secret gets the password if one of the ways needs it.
func (s *Session) secret(ctx context.Context, ways []auth.Way) (string, error) {
	for _, w := range ways {
		if w.Kind == auth.None || w.Kind == auth.SASL && !auth.NeedsSecret(w.Mech) {
			continue
		}
		if s.o.Secret == nil {
			return "", &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Err: auth.ErrNoSecret}
		}
		text, err := s.o.Secret.Get(ctx)
		if err != nil {
			return "", &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Err: err}
		}
		return text, nil
	}
	return "", nil
}

// tryWays returns nil after the first way that the server accepts. Only a plain refusal leads to the next one.
func (s *Session) tryWays(ways []auth.Way, secret string) error {
	s.line.mask.Add(secret)
	var last error
	for i, w := range ways {
		if last = s.tryWay(w, secret); last == nil {
			return nil
		}
		if f := protocols.AsFault(last); i < len(ways)-1 {
			for _, line := range f.Detail {
				s.o.note(line) // what is to come may do better
			}
		}
		if s.line.err != nil || protocols.AsFault(last).Kind != protocols.Auth {
			return last
		}
	}
	return last
}

func (s *Session) tryWay(w auth.Way, secret string) error {
	switch w.Kind {
	case auth.None:
		return nil
	case auth.APOP:
		stamp, err := auth.Timestamp(s.greeting)
		if err != nil {
			return &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Op: "APOP", Detail: []string{err.Error()}, Err: err}
		}
		return s.credential("APOP "+s.o.User+" *", "APOP "+s.o.User+" "+auth.Digest(stamp, secret))
	case auth.SASL:
		return s.sasl(w.Mech, secret)
	}
	if err := checkWord(s.o.User, secret); err != nil {
		return &protocols.Fault{Kind: protocols.Config, Phase: protocols.LoggingIn, Err: err}
	}
	if err := s.loginStep("USER "+s.o.User, func() error { return s.lib.User(s.o.User) }); err != nil {
		return err
	}
	if w.Kind == auth.RPOP {
		return s.credential("RPOP *", "RPOP "+secret)
	}
	s.line.show = "PASS *"
	return s.loginStep("PASS *", func() error { return s.lib.Pass(secret) })
}

// credential sends a command that is shown as show.
func (s *Session) credential(show, command string) error {
	if err := checkWord(command); err != nil {
		return &protocols.Fault{Kind: protocols.Config, Phase: protocols.LoggingIn, Err: err}
	}
	s.line.show = show
	return s.loginStep(show, func() error {
		_, err := s.lib.Cmd(command, false)
		return err
	})
}

// loginStep does one step of a login and gives a refusal its kind.
func (s *Session) loginStep(op string, step func() error) error {
	if err := s.inTurn(protocols.LoggingIn, op); err != nil {
		return err
	}
	if step() == nil {
		return nil
	}
	f := s.fault(protocols.LoggingIn, op)
	if s.line.err == nil && s.line.kind == refused {
		f.Kind = loginKind(f.Reply)
	}
	return f
}

// loginKind tells from a refusal whether the mailbox is locked, the server busy, or the login wrong. The words and
// their letter case are the reference's; [IN-USE] and [LOGIN-DELAY] are from RFC 2449, section 8.1.
func loginKind(reply string) protocols.Kind {
	for _, w := range []string{"lock", "Lock", "LOCK", "[IN-USE]", "[LOGIN-DELAY]", "wait"} {
		if strings.Contains(reply, w) {
			return protocols.Lock
		}
	}
	if strings.Contains(reply, "ervice") && strings.Contains(reply, "unavailable") {
		return protocols.Busy
	}
	return protocols.Auth
}

// sasl logs in with a SASL mechanism: RFC 5034.
func (s *Session) sasl(mech, secret string) error {
	client, err := auth.New(mech, s.o.User, secret, auth.Server{Host: s.o.Host, Service: "pop", TLS: s.conn.TLSState(), Offered: s.caps.mechanisms})
	if err != nil {
		return &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Op: "AUTH " + mech, Err: err}
	}
	op := "AUTH " + mech
	if err := s.inTurn(protocols.LoggingIn, op); err != nil {
		return err
	}
	ch := &channel{s: s}
	err = auth.Exchange(client, ch)
	var no *auth.Refusal
	switch {
	case err == nil:
		return nil
	case s.line.err != nil:
		return s.fault(protocols.LoggingIn, op)
	case errors.As(err, &no):
		f := &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Op: op, Reply: s.line.lastLine(), Err: no.Err}
		if line := no.Cause(); line != "" {
			f.Detail = []string{line}
		}
		if !ch.begun {
			f.Reply = ""
		} else if ch.challenges > 0 {
			f.Kind = loginKind(f.Reply)
		} else if mech == "CRAM-MD5" {
			s.o.warn("could not decode BASE64 challenge") // as the reference says it
		}
		return f
	}
	s.line.err = err
	return &protocols.Fault{Kind: protocols.Protocol, Phase: protocols.LoggingIn, Op: op, Reply: s.line.lastLine(), Detail: []string{err.Error()}, Err: err}
}

// channel carries a SASL exchange past go-pop3, which knows no continuation. It implements auth.Channel.
type channel struct {
	s          *Session
	begun      bool
	challenges int
}

// InitialLimit is what fits into a command line of 255 octets: RFC 5034, section 4.
func (c *channel) InitialLimit() int { return 200 }

// Begin sends AUTH.
func (c *channel) Begin(mech string, initial *string) error {
	c.begun = true
	line := "AUTH " + mech
	c.s.line.show = line
	if initial != nil {
		line += " " + *initial
		c.s.line.show += " *"
	}
	return c.write(line)
}

// Respond sends a response.
func (c *channel) Respond(text string) error {
	c.s.line.show = "*"
	return c.write(text)
}

// write sends a line of any length: tokens are long.
func (c *channel) write(text string) error {
	_, err := io.WriteString(c.s.line, text+"\r\n")
	return err
}

// Receive reads a challenge or the result.
func (c *channel) Receive() (auth.Step, error) {
	line, err := c.s.line.readLong(maxChallenge)
	if err != nil {
		return auth.Step{}, err
	}
	c.s.line.last = append(c.s.line.last[:0], line[:min(len(line), maxLine)]...)
	if string(line) == "+" || bytes.HasPrefix(line, []byte("+ ")) {
		c.challenges++
		c.s.line.kind = garbage
		c.s.line.received([]byte("+ *"))
		return auth.Step{Kind: auth.Continue, Text: string(bytes.TrimLeft(line[1:], " "))}, nil
	}
	var text []byte
	c.s.line.kind, text = parseStatus(line)
	c.s.line.received(c.s.line.last)
	switch c.s.line.kind {
	case granted:
		return auth.Step{Kind: auth.Done, Text: string(text)}, nil
	case refused:
		return auth.Step{Kind: auth.Refused, Text: string(text)}, nil
	}
	return auth.Step{}, errNoAnswer
}
