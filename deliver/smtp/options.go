package smtp

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Timeouts are how long we wait for the listener. RFC 5321, section 4.5.3.2 gives the minima, which are the defaults.
type Timeouts struct {
	Connect  time.Duration // TCP connection, one address
	Greeting time.Duration // 220, and the answers to EHLO, AUTH, STARTTLS, RSET
	Mail     time.Duration
	Rcpt     time.Duration
	Data     time.Duration // 354
	Block    time.Duration // one block of the text
	End      time.Duration // after the final dot, for each LMTP recipient
	Quit     time.Duration // nothing depends on this answer
}

var defaultTimeouts = Timeouts{
	Connect:  60 * time.Second,
	Greeting: 5 * time.Minute,
	Mail:     5 * time.Minute,
	Rcpt:     5 * time.Minute,
	Data:     2 * time.Minute,
	Block:    3 * time.Minute,
	End:      10 * time.Minute,
	Quit:     10 * time.Second,
}

// or fills in what is not set.
func (t Timeouts) or(d Timeouts) Timeouts {
	for _, p := range []struct {
		set *time.Duration
		to  time.Duration
	}{
		{&t.Connect, d.Connect}, {&t.Greeting, d.Greeting}, {&t.Mail, d.Mail}, {&t.Rcpt, d.Rcpt},
		{&t.Data, d.Data}, {&t.Block, d.Block}, {&t.End, d.End}, {&t.Quit, d.Quit},
	} {
		if *p.set <= 0 {
			*p.set = p.to
		}
	}
	return t
}

// AtLeast raises all waits for answers to d: fetchmail(1), --timeout, can lengthen but not shorten them.
func (t Timeouts) AtLeast(d time.Duration) Timeouts {
	t = t.or(defaultTimeouts)
	for _, p := range []*time.Duration{&t.Greeting, &t.Mail, &t.Rcpt, &t.Data, &t.Block, &t.End} {
		*p = max(*p, d)
	}
	return t
}

// Options say where the listener is and how to talk to it.
type Options struct {
	// Hosts is the hunt list, fetchmail(1), --smtphost: "host", "host/port", "host/service", "/path/of/lmtp/socket", the
	// former three also with "/tls", "/starttls" or "/notls" at the end. Empty stands for "localhost".
	Hosts []string
	// LMTP: talk LMTP (RFC 2033) also over TCP.
	LMTP bool
	// HELO: greet with HELO and never with EHLO.
	HELO bool
	// Helo is the name to greet with: our FQDN.
	Helo string
	// Address is put behind recipients without '@' (smtpaddress); "" takes the host that was reached.
	Address string
	// Name replaces every recipient that is a local name, without a domain (smtpname).
	Name string
	// Antispam are the codes that mean Spam in answer to MAIL.
	Antispam []int
	// BatchLimit is the number of messages a connection; 0 is without limit.
	BatchLimit int
	// User and Password log in where the listener offers AUTH (esmtpname, esmtppassword); "" does not.
	User, Password string
	// TLS gives the configuration for a host with "/tls" or "/starttls"; without it such a host cannot be reached.
	TLS func(host string) *tls.Config
	// Lookup finds the addresses of a host; nil is the system's resolver.
	Lookup func(ctx context.Context, host string) ([]string, error)
	// Dial connects to "tcp" address:port or "unix" path; nil is the system's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Connect, if set, replaces Lookup and Dial for TCP hosts (plugout).
	Connect func(ctx context.Context, host, port string) (net.Conn, error)
	// Timeouts that are not set have the values of RFC 5321.
	Timeouts Timeouts
	// Trace is told every line, without line end: '>' is ours, '<' the listener's, '*' about connections. The text of
	// messages is left out (its end is ". (EOM)") and credentials are "*". Lines of the listener may contain any byte.
	Trace func(dir byte, line string)
	// Notice is told of hosts in the hunt list that did not answer while a later one did.
	Notice func(lines []string)
}
