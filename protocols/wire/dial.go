package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Resolver finds addresses and ports; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupPort(ctx context.Context, network, service string) (int, error)
}

// headStart is what an address gets before the next one is tried beside it (RFC 8305, section 5).
const headStart = 250 * time.Millisecond

// maxAddresses is how many addresses of a name are tried: an answer of DNS has room for thousands, and each may be silent.
const maxAddresses = 32

// Dialer opens connections to mail servers.
type Dialer struct {
	// Timeout is the inactivity limit: for the connection to each address, for the TLS handshake and for every later
	// read and write. 0 is none.
	Timeout time.Duration
	// Plugin is a command that gives the connection instead of TCP, on its standard input and output: fetchmail(1),
	// --plugin. %h and %p in it are the host and the service.
	Plugin string
	// Label is what the server is called in messages: the poll name. It is the host if "".
	Label string
	// TLS wraps the connection at once; nil is plain, StartTLS may follow.
	TLS   *TLS
	Trace Trace
	// Proxy is a SOCKS5 proxy, socks5://[user:password@]host[:port], for all hosts but this one; "" is none.
	Proxy string
	// Resolver is net.DefaultResolver if nil.
	Resolver Resolver
	// DialContext connects to one address, as net.Dialer.DialContext, which it is if nil.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Attempt is the failure to reach one address.
type Attempt struct {
	IP, Port string
	Err      error
}

// Reason is the text of strerror(3) for the failure: "Connection refused".
func (a Attempt) Reason() string { return strerror(a.Err) }

// DialError says why no connection came about.
type DialError struct {
	Host, Service, Label string
	Attempts             []Attempt // addresses that were tried, in their order
	Err                  error     // name look-up, unknown service, plugin; nil if addresses were tried
}

func (e *DialError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("cannot connect to %s:%s: %v", e.Host, e.Service, e.Err)
	}
	return fmt.Sprintf("connection to %s:%s failed: %s", e.Host, e.Service, e.Reason())
}

// Reason is the text of strerror(3) for the last attempt.
func (e *DialError) Reason() string {
	if len(e.Attempts) == 0 {
		return strerror(e.Err)
	}
	return e.Attempts[len(e.Attempts)-1].Reason()
}

// Lines are the reference's words on standard error; the first of them is printed behind the program's name, the others
// are not. Proto is the protocol's name: "POP3".
func (e *DialError) Lines(proto string) []string {
	label := e.Label
	if label == "" {
		label = e.Host
	}
	var lookup *net.DNSError
	switch {
	case errors.As(e.Err, &lookup):
		// That the second line has the text of error number 0 is the reference's.
		return []string{fmt.Sprintf("getaddrinfo(%q,%q) error: %s", e.Host, e.Service, lookupText(lookup)),
			fmt.Sprintf("%s connection to %s failed: Success", proto, label)}
	case len(e.Attempts) == 0:
		return []string{fmt.Sprintf("%s connection to %s failed: %v", proto, label, e.Err)}
	}
	lines := []string{"Connection errors for this poll:"}
	for i, a := range e.Attempts {
		lines = append(lines, fmt.Sprintf("name %d: connection to %s:%s [%s/%s] failed: %s.", i, e.Host, e.Service, a.IP, a.Port, a.Reason()))
	}
	return append(lines, fmt.Sprintf("%s connection to %s failed: %s", proto, label, e.Reason()))
}

// lookupText is the text of gai_strerror(3).
func lookupText(e *net.DNSError) string {
	if e.IsNotFound {
		return "Name or service not known"
	}
	return "Temporary failure in name resolution"
}

// Unwrap returns the errors of the look-up and of all attempts.
func (e *DialError) Unwrap() []error {
	var all []error
	if e.Err != nil {
		all = append(all, e.Err)
	}
	for _, a := range e.Attempts {
		all = append(all, a.Err)
	}
	return all
}

// strerror is the text of the C library for the error number in err ("Connection refused"), or err's own text.
func strerror(err error) string {
	if err == nil {
		return "Success"
	}
	if errors.Is(err, ErrTimeout) {
		err = syscall.ETIMEDOUT
	}
	var no syscall.Errno
	if !errors.As(err, &no) {
		return err.Error()
	}
	text := no.Error() // Go has the same texts in lower case
	return strings.ToUpper(text[:1]) + text[1:]
}

// Dial connects to a host, a name or an IP address with or without brackets, at a service, a port number or a name
// of /etc/services. The context ends the connection for its whole life: when it is done, every call that is blocked
// and every later one returns an error that wraps context.Cause(ctx).
//
// A failure to connect is a *DialError, a failure of TLS a *TLSError.
func (d *Dialer) Dial(ctx context.Context, host, service string) (*Conn, error) {
	if d.TLS != nil {
		if err := d.TLS.Validate(); err != nil {
			return nil, err
		}
	}
	c, err := d.open(ctx, host, service)
	if err != nil {
		return nil, err
	}
	if d.TLS != nil {
		if err := c.StartTLS(ctx, d.TLS); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	return c, nil
}

func (d *Dialer) open(ctx context.Context, host, service string) (*Conn, error) {
	if d.Plugin != "" {
		p, err := startPlugin(d.Plugin, host, service)
		if err != nil {
			return nil, &DialError{Host: host, Service: service, Label: d.Label, Err: err}
		}
		c := NewConn(ctx, p.conn, host, d.Timeout)
		c.plugin = p
		return c, nil
	}
	if d.Proxy != "" && !local(host) {
		raw, err := d.throughProxy(ctx, host, service)
		if err != nil {
			return nil, err
		}
		c := NewConn(ctx, raw, host, d.Timeout)
		c.proxied = true
		return c, nil
	}
	addrs, port, err := d.resolve(ctx, host, service)
	if err != nil {
		return nil, &DialError{Host: host, Service: service, Label: d.Label, Err: canceled(ctx, err)}
	}
	raw, attempts := d.race(ctx, addrs, port)
	if raw == nil {
		return nil, &DialError{Host: host, Service: service, Label: d.Label, Attempts: attempts, Err: canceled(ctx, nil)}
	}
	return NewConn(ctx, raw, host, d.Timeout), nil
}

// canceled is the end of the context, or err if it has not ended.
func canceled(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &CanceledError{Cause: context.Cause(ctx)}
	}
	return err
}

func (d *Dialer) resolver() Resolver {
	if d.Resolver != nil {
		return d.Resolver
	}
	return net.DefaultResolver
}

// limited is ctx with the time limit of a phase.
func (d *Dialer) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.Timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, d.Timeout, &TimeoutError{Limit: d.Timeout})
}

// resolve finds the addresses of a host, in the order of RFC 6724, and the number of a port.
func (d *Dialer) resolve(ctx context.Context, host, service string) ([]netip.Addr, string, error) {
	r := d.resolver()
	ctx, cancel := d.limited(ctx)
	defer cancel()
	port, err := lookupPort(ctx, r, service)
	if err != nil {
		return nil, "", err
	}
	if a, err := netip.ParseAddr(Unbracket(host)); err == nil {
		return []netip.Addr{a}, port, nil
	}
	addrs, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, "", canceledCause(ctx, err)
	}
	if len(addrs) == 0 {
		return nil, "", &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	return addrs[:min(len(addrs), maxAddresses)], port, nil
}

// canceledCause prefers the time limit of a phase to the error that it has led to. Package net may give up at the
// deadline of the context an instant before the context itself does.
func canceledCause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
	var limit *TimeoutError
	if cause := context.Cause(ctx); errors.As(cause, &limit) {
		return limit
	}
	return err
}

// imapPort is that of IMAP without TLS (RFC 9051, section 2.1): the one default of ours that a machine without
// /etc/services, as containers are, does not know by its name.
const imapPort = "143"

func lookupPort(ctx context.Context, r Resolver, service string) (string, error) {
	if n, err := strconv.Atoi(service); err == nil {
		if n < 1 || n > 65535 {
			return "", fmt.Errorf("port %d is not between 1 and 65535", n)
		}
		return strconv.Itoa(n), nil
	}
	n, err := r.LookupPort(ctx, "tcp", service)
	switch {
	case err == nil:
		return strconv.Itoa(n), nil
	case ctx.Err() == nil && service == "imap":
		return imapPort, nil
	}
	return "", canceledCause(ctx, err)
}

// Unbracket takes the brackets off an IPv6 address: "[::1]" becomes "::1".
func Unbracket(host string) string {
	if s, ok := strings.CutPrefix(host, "["); ok {
		if s, ok := strings.CutSuffix(s, "]"); ok {
			return s
		}
	}
	return host
}

// race tries the addresses in order, each a little after the one before it or as soon as that one has failed, and
// returns the first connection. Without one it returns all failures, in the order of the addresses.
func (d *Dialer) race(ctx context.Context, addrs []netip.Addr, port string) (net.Conn, []Attempt) {
	type result struct {
		i    int
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result)
	attempts := make([]Attempt, len(addrs))
	timer := time.NewTimer(0)
	defer timer.Stop()
	var winner net.Conn
	for started, running := 0, 0; started < len(addrs) && winner == nil || running > 0; {
		next := timer.C
		if started == len(addrs) || winner != nil {
			next = nil
		}
		select {
		case <-next:
			i := started
			started++
			running++
			attempts[i] = Attempt{IP: addrs[i].Unmap().String(), Port: port}
			go func() {
				conn, err := d.connect(ctx, net.JoinHostPort(addrs[i].String(), port))
				results <- result{i, conn, err}
			}()
			timer.Reset(headStart)
		case r := <-results:
			running--
			winner = d.judge(attempts, r.i, r.conn, r.err, winner)
			if winner != nil {
				cancel() // the others return at once
			} else {
				timer.Reset(0)
			}
		}
	}
	if winner != nil {
		return winner, nil
	}
	return nil, attempts
}

// judge notes the result of one attempt and returns the connection that is used.
func (d *Dialer) judge(attempts []Attempt, i int, conn net.Conn, err error, winner net.Conn) net.Conn {
	a := &attempts[i]
	switch {
	case winner != nil:
		if conn != nil {
			_ = conn.Close()
		}
		return winner
	case err != nil:
		a.Err = err
		d.Trace.note(fmt.Sprintf("Trying to connect to %s/%s...connection failed.", a.IP, a.Port))
		return nil
	}
	d.Trace.note(fmt.Sprintf("Trying to connect to %s/%s...connected.", a.IP, a.Port))
	return conn
}

func (d *Dialer) connect(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	dial := d.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	return conn, canceledCause(ctx, err)
}
