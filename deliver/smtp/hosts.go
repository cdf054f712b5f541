package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"fetchmail/deliver"
)

type tlsMode int

const (
	tlsNone tlsMode = iota
	tlsStart
	tlsWrapped
)

// host is one entry of the hunt list.
type host struct {
	entry string // as written
	name  string // host name, or path of a socket
	port  string // number or service name
	unix  bool
	tls   tlsMode
}

func parseHost(entry string) host {
	h := host{entry: entry}
	if strings.HasPrefix(entry, "/") {
		h.name, h.unix = entry, true
		return h
	}
	for suffix, mode := range map[string]tlsMode{"/tls": tlsWrapped, "/starttls": tlsStart, "/notls": tlsNone} {
		if rest, ok := strings.CutSuffix(entry, suffix); ok {
			entry, h.tls = rest, mode
			break
		}
	}
	h.name, h.port, _ = strings.Cut(entry, "/")
	h.name = strings.TrimSuffix(strings.TrimPrefix(h.name, "["), "]")
	if h.port == "" {
		h.port = "smtp"
	}
	return h
}

// domain completes recipients: fetchmail(1), --smtpaddress.
func (h host) domain() string {
	if h.unix {
		return "localhost"
	}
	return h.name
}

// reason is an error in the words of strerror(3) and gai_strerror(3).
func reason(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return "Name or service not known"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "Connection timed out"
	}
	return deliver.Strerror(err)
}

// hunt is what try has made of the first host of the hunt list with which it goes well. Lines of the hosts before are for
// Options.Notice.
func hunt[T any](ctx context.Context, s *Sink, try func(context.Context, host) (T, []string, error)) (T, *deliver.Fault) {
	var detail []string
	var err error
	for _, h := range s.hosts {
		s.reached = h
		var got T
		var lines []string
		got, lines, err = try(ctx, h)
		detail = append(detail, lines...)
		if err == nil {
			if len(detail) > 0 && s.opts.Notice != nil {
				s.opts.Notice(detail)
			}
			return got, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	var none T
	return none, &deliver.Fault{Kind: deliver.Unreachable, Detail: detail, Err: fmt.Errorf("SMTP host %s: %w", s.reached.entry, err)}
}

// connect is dial, under TLS where the entry says so.
func (s *Sink) connect(ctx context.Context, h host) (net.Conn, []string, error) {
	c, lines, err := s.dial(ctx, h)
	if err != nil || h.tls != tlsWrapped {
		return c, lines, err
	}
	tc, err := s.handshake(ctx, c, h)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return tc, nil, nil
}

// dial connects to one entry of the hunt list. The lines tell why it did not answer, see deliver.Fault.Detail; a later
// address that answers makes them void.
func (s *Sink) dial(ctx context.Context, h host) (net.Conn, []string, error) {
	if h.unix {
		c, err := s.dialOne(ctx, "unix", h.name)
		return c, nil, err
	}
	if s.opts.Connect != nil {
		c, err := s.opts.Connect(ctx, h.name, h.port)
		return c, nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", h.port)
	if err != nil {
		return nil, []string{fmt.Sprintf("getaddrinfo(\"%s\",\"%s\") error: Servname not supported for ai_socktype", h.name, h.port)}, err
	}
	lookup := s.opts.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupHost
	}
	addrs, err := lookup(ctx, h.name)
	if err != nil {
		return nil, []string{fmt.Sprintf("getaddrinfo(\"%s\",\"%s\") error: %s", h.name, h.port, reason(err))}, err
	}
	lines := []string{"Connection errors for this poll:"}
	err = fmt.Errorf("%s has no address", h.name)
	for i, a := range addrs {
		var c net.Conn
		c, err = s.dialOne(ctx, "tcp", net.JoinHostPort(a, fmt.Sprint(port)))
		if err == nil {
			s.tell("Trying to connect to %s/%d...connected.", a, port)
			return c, nil, nil
		}
		s.tell("Trying to connect to %s/%d...connection failed.", a, port)
		lines = append(lines, fmt.Sprintf("name %d: connection to %s:%s [%s/%d] failed: %s.", i, h.name, h.port, a, port, reason(err)))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, lines, err
}

func (s *Sink) dialOne(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeouts.Connect)
	defer cancel()
	if s.opts.Dial != nil {
		return s.opts.Dial(ctx, network, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// tell traces what is neither ours nor the listener's.
func (s *Sink) tell(format string, args ...any) {
	if s.opts.Trace != nil {
		s.opts.Trace('*', fmt.Sprintf(format, args...))
	}
}
