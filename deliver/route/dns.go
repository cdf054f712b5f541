package route

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
)

// ask tells by DNS whether host is another name of the server: its mail exchanger is the server or, with checkalias,
// it has an address in common with it.
func (r *Router) ask(ctx context.Context, host string) (bool, error) {
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
		if r.isServer(strings.TrimSuffix(m, ".")) {
			return true, nil
		}
	}
	return false, nil
}

func (r *Router) sameAddress(ctx context.Context, host string) (bool, error) {
	theirs, err := r.resolver.Addrs(ctx, host)
	if err != nil {
		return false, temporary(err)
	}
	for _, n := range r.rules.Names {
		ours, err := r.resolver.Addrs(ctx, n)
		if err := temporary(err); err != nil {
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
	if errors.As(err, &d) && (d.IsTemporary || d.IsTimeout) && !d.IsNotFound {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
