package smtp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"fetchmail/deliver"
)

// Sink is an SMTP or LMTP listener.
type Sink struct {
	opts    Options
	hosts   []host
	reached host // where the last attempt to connect went
	session *session
}

var _ deliver.Sink = (*Sink)(nil)

// New makes a sink; nothing is connected yet.
func New(o Options) *Sink {
	o.Timeouts = o.Timeouts.or(defaultTimeouts)
	if len(o.Hosts) == 0 {
		o.Hosts = []string{"localhost"}
	}
	if o.Helo == "" {
		o.Helo = "localhost"
	}
	s := &Sink{opts: o}
	for _, h := range o.Hosts {
		s.hosts = append(s.hosts, parseHost(h))
	}
	s.reached = s.hosts[0]
	return s
}

// Name is the entry of the hunt list that was tried last: "localhost/25".
func (s *Sink) Name() string { return s.reached.entry }

// LMTP tells whether the sink speaks LMTP to the host of Name.
func (s *Sink) LMTP() bool { return s.lmtp(s.reached) }

// Close says QUIT.
func (s *Sink) Close() error {
	ss := s.session
	s.session = nil
	if ss == nil {
		return nil
	}
	ss.conn.wait(s.opts.Timeouts.Quit).command("QUIT", "QUIT")
	return ss.conn.Close()
}

// Drop gives up the connection without a word.
func (s *Sink) Drop() {
	if s.session != nil {
		s.session.conn.Close()
		s.session = nil
	}
}

// Connect connects to the first host of the hunt list that answers, under TLS where the entry says so. The caller hears
// its greeting and talks to it; what STARTTLS takes has been said before. The error is a *deliver.Fault. The connection
// is the caller's; the end of ctx does not close it.
func (s *Sink) Connect(ctx context.Context) (net.Conn, error) {
	c, fault := hunt(ctx, s, s.secured)
	if fault != nil {
		return nil, fault
	}
	return c, nil
}

// secured is a connection that will be somebody else's, under TLS where the entry says so.
func (s *Sink) secured(ctx context.Context, h host) (net.Conn, []string, error) {
	nc, lines, err := s.connect(ctx, h)
	if err != nil || h.tls != tlsStart {
		return nc, lines, err
	}
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	ss, banner, err := s.meet(ctx, nc, h, "EHLO")
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	ss.conn.Conn.SetDeadline(time.Time{})
	text := strings.ReplaceAll(banner.Text, "\n", "\r\n") + "\r\n"
	return replayed{ss.conn.Conn.(*tls.Conn), io.MultiReader(strings.NewReader(text), ss.conn.r)}, nil, nil
}

// replayed is a connection on which something that was read is to be read again.
type replayed struct {
	*tls.Conn
	all io.Reader
}

func (r replayed) Read(p []byte) (int, error) { return r.all.Read(p) }

// Begin connects if need be and gets as far as the answer to DATA. If nobody is left to deliver to, the *Fault is a
// Refusal with the verdict on each recipient and the connection is ready for the next message.
func (s *Sink) Begin(ctx context.Context, e deliver.Envelope) (deliver.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, &deliver.Fault{Kind: deliver.Lost, Err: err}
	}
	if checkAddress(e.From) != nil {
		e.From = ""
	}
	if s.session != nil && s.session.conn.stale() {
		s.Drop()
	}
	if s.session == nil {
		ss, fault := s.open(ctx)
		if fault != nil {
			return nil, fault
		}
		s.session = ss
	}
	s.session.messages++
	t := &transaction{sink: s, session: s.session, conn: s.session.conn, limits: s.opts.Timeouts}
	t.stop = context.AfterFunc(ctx, func() { t.conn.Conn.Close() })
	if fault := t.begin(e); fault != nil {
		t.stop()
		if fault.Kind == deliver.Lost && ctx.Err() != nil {
			fault.Err = ctx.Err()
		}
		return nil, fault
	}
	return t, nil
}

// class says what an answer means, see "Verdict" in doc.go.
func (s *Sink) class(r deliver.Reply) deliver.Class {
	switch {
	case r.Code >= 200 && r.Code < 300:
		return deliver.Accepted
	case slices.Contains(s.opts.Antispam, r.Code): // fetchmail(1), --antispam, speaks of MAIL; the reference looks at all
		return deliver.Spam
	case r.Code >= 500 && r.Code < 600:
		return deliver.Refused
	}
	return deliver.Deferred
}
