package plan

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"fetchmail/daemon/poll"
	"fetchmail/daemon/report"
	"fetchmail/deliver"
	"fetchmail/deliver/smtp"
	"fetchmail/protocols"
	"fetchmail/protocols/esmtp"
	"fetchmail/protocols/etrn"
	"fetchmail/protocols/odmr"
	"fetchmail/protocols/wire"
	"fetchmail/rcfile"
)

// odmrPort is the port of ODMR (RFC 2645, section 2); few systems have it in /etc/services.
const odmrPort = "366"

// pushes tells whether the server sends mail by itself when it is asked to.
func (a *account) pushes() bool {
	return a.server.Protocol == rcfile.ETRN || a.server.Protocol == rcfile.ODMR
}

// push asks the server to send its mail.
func (a *account) push(ctx context.Context, stop <-chan struct{}, rep *report.Reporter, obs poll.Observer) poll.Result {
	s, u := a.server, a.user
	p := &poll.Push{
		Account: a.mailbox(), Resolve: a.resolve(), Protocol: string(s.Protocol), Timeout: s.Timeout,
		Before: hook("pre", u.PreConnect, a.Detached), After: hook("post", u.PostConnect, a.Detached), Observer: obs,
		Sink: func() string { return "" },
	}
	if err := a.unsupported(); err != nil { // before the preconnect command, as in the reference
		p.Resolve, p.Before = nil, func(context.Context) error { return err }
		return p.Run(ctx, stop)
	}
	if s.Protocol == rcfile.ETRN {
		p.Ask = func(ctx context.Context, stop <-chan struct{}) (int, error) { return 0, a.etrn(ctx, stop, rep) }
		return p.Run(ctx, stop)
	}
	sink := smtp.New(a.listener(s.Host(), rep))
	p.Sink = sink.Name
	p.Ask = func(ctx context.Context, stop <-chan struct{}) (int, error) { return a.odmr(ctx, stop, rep, sink) }
	return p.Run(ctx, stop)
}

// unsupported finds an option that makes no sense without a mailbox; order and form are the reference's.
func (a *account) unsupported() error {
	u := a.user
	for _, o := range []struct {
		name     string
		given    bool
		prefixed bool // with the program's name
	}{
		{"keep", u.Keep, false}, {"flush", u.Flush, false}, {"folder", len(u.Folders) > 0, false}, {"check", a.Check, false},
		{"all", u.FetchAll, true}, {"limit", u.Limit > 0, true},
	} {
		if o.given {
			text := "Option --" + o.name + " is not supported with " + string(a.server.Protocol)
			f := &protocols.Fault{Kind: protocols.Config, Err: errors.New(text)}
			if o.prefixed {
				f.Detail = []string{text}
			}
			return f
		}
	}
	return nil
}

// client are the options for both protocols.
func (a *account) client(rep *report.Reporter, service string) (esmtp.Options, error) {
	s := a.server
	o := esmtp.Options{Host: s.Host(), Service: service, Label: s.Name, Helo: a.HostName, Protocol: string(s.Protocol),
		StartTLS: a.pushUpgrade()}
	if rep.Verbose > 0 {
		o.Trace = func(protocol string, d wire.Dir, text string) { rep.Trace(protocol, byte(d), text) }
	}
	var err error
	o.Dialer, o.TLS, err = a.dialer(rep, trace[wire.Dir](rep, o.Protocol))
	return o, err
}

// pushUpgrade decides about STARTTLS with ETRN and ODMR. The reference never uses it there, so that the defaults of other
// protocols would break what works; but whoever asks for TLS gets it, or an error.
func (a *account) pushUpgrade() wire.Upgrade {
	u := a.user
	if u.SSLMode == "" && (u.SSLProto == "" || strings.EqualFold(u.SSLProto, "auto")) && u.SSLFingerprint == "" {
		return wire.Never
	}
	return a.upgrade()
}

func (a *account) etrn(ctx context.Context, stop <-chan struct{}, rep *report.Reporter) error {
	client, err := a.client(rep, a.service("smtp", "smtps"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-stop:
			cancel(poll.ErrStopped)
		case <-ended:
		}
	}()
	return etrn.Request(ctx, etrn.Options{Options: client, Domains: a.user.FetchDomains, Say: rep.Progress})
}

func (a *account) odmr(ctx context.Context, stop <-chan struct{}, rep *report.Reporter, sink *smtp.Sink) (int, error) {
	client, err := a.client(rep, a.service(odmrPort, odmrPort))
	if err != nil {
		return 0, err
	}
	n, err := odmr.Run(ctx, stop, odmr.Options{
		Options: client, User: a.user.Remote, Secret: a.secret, Auth: string(a.server.Auth),
		Domains: a.user.FetchDomains, Timeout: time.Duration(a.server.Timeout) * time.Second,
		Listener: func(ctx context.Context) (net.Conn, error) { return sink.Connect(ctx) },
		Say:      rep.Progress, Remark: rep.Remark,
	})
	var gone *odmr.ListenerError
	if errors.As(err, &gone) {
		err = &deliver.Fault{Kind: deliver.Lost, Detail: []string{gone.Error()}, Err: gone}
	}
	return n, err
}
