package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"
)

// socksPort is where SOCKS proxies listen (IANA).
const socksPort = "1080"

// socks is a SOCKS5 proxy.
type socks struct {
	host, port string
	auth       func() *proxy.Auth // a function, so that no print shows the password
}

// parseProxy reads socks5://[user:password@]host[:port]; socks5h is the same here, and no scheme means socks5. Errors do
// not repeat the text, which may hold a password.
func parseProxy(text string) (socks, error) {
	if !strings.Contains(text, "://") {
		text = "socks5://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return socks{}, errors.New("the proxy is not of the form socks5://host:port")
	}
	if u.Scheme != "socks5" && u.Scheme != "socks5h" {
		return socks{}, fmt.Errorf("a proxy of kind %q is not supported, only socks5", u.Scheme)
	}
	s := socks{host: u.Hostname(), port: u.Port(), auth: func() *proxy.Auth { return nil }}
	if s.port == "" {
		s.port = socksPort
	}
	if user := u.User; user != nil {
		s.auth = func() *proxy.Auth {
			password, _ := user.Password()
			return &proxy.Auth{User: user.Username(), Password: password}
		}
	}
	return s, nil
}

// local tells whether a host is this machine, to which no proxy is needed.
func local(host string) bool {
	a, err := netip.ParseAddr(Unbracket(host))
	return err == nil && a.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// throughProxy connects by the Proxy; the proxy looks the name up.
func (d *Dialer) throughProxy(ctx context.Context, host, service string) (net.Conn, error) {
	fail := &DialError{Host: host, Service: service, Label: d.Label}
	s, err := parseProxy(d.Proxy)
	if err != nil {
		fail.Err = err
		return nil, fail
	}
	port, err := lookupPort(ctx, d.resolver(), service)
	if err != nil {
		fail.Err = canceled(ctx, err)
		return nil, fail
	}
	conn, err := d.connectBy(ctx, s, net.JoinHostPort(Unbracket(host), port))
	if err != nil {
		d.Trace.note(fmt.Sprintf("Trying to connect to %s/%s...connection failed.", s.host, s.port))
		fail.Attempts = []Attempt{{IP: s.host, Port: s.port, Err: canceled(ctx, err)}}
		return nil, fail
	}
	d.Trace.note(fmt.Sprintf("Trying to connect to %s/%s...connected.", s.host, s.port))
	return conn, nil
}

func (d *Dialer) connectBy(ctx context.Context, s socks, address string) (net.Conn, error) {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	forward := contextDialer(new(net.Dialer).DialContext)
	if d.DialContext != nil {
		forward = d.DialContext
	}
	way, err := proxy.SOCKS5("tcp", net.JoinHostPort(s.host, s.port), s.auth(), forward)
	if err != nil {
		return nil, err
	}
	conn, err := way.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
	return conn, canceledCause(ctx, err)
}

// contextDialer makes the interfaces of package proxy of a function.
type contextDialer func(ctx context.Context, network, address string) (net.Conn, error)

// Dial connects without a context.
func (c contextDialer) Dial(network, address string) (net.Conn, error) {
	return c(context.Background(), network, address)
}

// DialContext connects.
func (c contextDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return c(ctx, network, address)
}
