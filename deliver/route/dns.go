package route

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
)

// Resolver is the part of DNS that routing needs. A net.DNSError other than "not found" makes Route fail; any other error
// counts as "no such host". Names have no final dot.
type Resolver interface {
	// MX returns the names of the mail exchangers of a host.
	MX(ctx context.Context, host string) ([]string, error)
	// Addrs returns the IP addresses of a host as text.
	Addrs(ctx context.Context, host string) ([]string, error)
}

// Canonicaler is implemented by a Resolver that can tell canonical names (net.Resolver.LookupCNAME). With it, a host is
// the server also if its canonical name is the server's.
type Canonicaler interface {
	CNAME(ctx context.Context, host string) (string, error)
}

// maxAsked limits how many hosts a message can make us ask for, and maxKnown how many answers are kept.
const (
	maxAsked = 64
	maxKnown = 4096
)

// isServer tells whether the options name host, which is in lower case, as the server.
func (r *Router) isServer(host string) bool {
	return slices.ContainsFunc(r.rules.Names, func(n string) bool { return strings.EqualFold(n, host) }) ||
		slices.ContainsFunc(r.rules.Aka, func(d string) bool { return inDomain(host, d) })
}

// serves tells whether host, which is in lower case, is the server, also by DNS. Hosts come from strangers: what cannot
// be a host name is not asked for.
func (r *Router) serves(ctx context.Context, host string) (bool, error) {
	if r.isServer(host) {
		return true, nil
	}
	host = strings.TrimSuffix(host, ".")
	address := r.rules.CheckAlias && net.ParseIP(host) != nil // there is nobody to ask for it, but for the server
	if !r.rules.DNS || r.resolver == nil || !hostName(host) && !address {
		return false, nil
	}
	if yes, ok := r.known[host]; ok {
		return yes, nil
	}
	if r.asked++; r.asked > maxAsked {
		return false, nil
	}
	yes, err := r.isServer(host), error(nil) // without the dot
	switch {
	case yes:
	case address:
		yes, err = r.sameAddress(ctx, host)
	default:
		yes, err = r.ask(ctx, host)
	}
	if err == nil {
		if len(r.known) >= maxKnown {
			clear(r.known)
		}
		r.known[host] = yes
	}
	return yes, err
}

// ask tells by DNS whether host is another name of the server: by its canonical name, by its mail exchanger or, with
// checkalias, by an address that both have.
func (r *Router) ask(ctx context.Context, host string) (bool, error) {
	if c, ok := r.resolver.(Canonicaler); ok {
		name, err := c.CNAME(ctx, host)
		if err = temporary(err); err != nil {
			return false, err
		}
		if name != "" && r.isServer(plain(name)) {
			return true, nil
		}
	}
	if r.rules.CheckAlias {
		same, err := r.sameAddress(ctx, host)
		if same || err != nil {
			return same, err
		}
	}
	mx, err := r.resolver.MX(ctx, host)
	if err != nil {
		return false, temporary(err)
	}
	for _, m := range mx {
		if r.isServer(plain(m)) {
			return true, nil
		}
	}
	for _, m := range mx[:min(len(mx), maxAsked)] { // an exchanger may be the server under another name
		if same, err := r.sameAddress(ctx, plain(m)); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// sameAddress tells whether host and the server have an address in common.
func (r *Router) sameAddress(ctx context.Context, host string) (bool, error) {
	theirs, err := r.resolver.Addrs(ctx, host)
	if err != nil {
		return false, temporary(err)
	}
	for _, n := range r.rules.Names {
		ours, err := r.resolver.Addrs(ctx, n)
		if err = temporary(err); err != nil {
			return false, err
		}
		if slices.ContainsFunc(theirs, func(a string) bool { return slices.Contains(ours, a) }) {
			return true, nil
		}
	}
	return false, nil
}

// temporary returns err if asking again later may help, otherwise nil.
func temporary(err error) error {
	var d *net.DNSError
	if errors.As(err, &d) && !d.IsNotFound {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// hostName tells whether DNS can be asked for a name: letters, digits, hyphens and underscores between dots (RFC 1123,
// section 2.1), no address.
func hostName(s string) bool {
	if len(s) == 0 || len(s) > 253 || net.ParseIP(s) != nil {
		return false
	}
	label := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-' && label > 0:
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0
}
