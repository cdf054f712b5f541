package plan

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"fetchmail/daemon/report"
	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/imap"
	"fetchmail/protocols/pop3"
	"fetchmail/protocols/wire"
	"fetchmail/rcfile"
)

// open logs in to the server.
func (a *account) open(ctx context.Context, p rcfile.Protocol, rep *report.Reporter) (protocols.Session, error) {
	s, u := a.server, a.user
	if p != rcfile.IMAP && len(u.Folders) > 0 {
		return nil, &protocols.Fault{Kind: protocols.Config, Err: errors.New("Option --folder is not supported with POP3")}
	}
	show := trace[wire.Dir](rep, dialect(p))
	dial, policy, err := a.dialer(rep, show)
	if err != nil {
		return nil, err
	}
	pass, err := a.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer pass()
	if p == rcfile.IMAP {
		var known func(string) func(string) bool
		if s.UIDL {
			known = func(folder string) func(string) bool { return a.record(p, folder).Known }
		}
		return imap.Open(ctx, imap.Options{
			Dialer: dial, Host: s.Host(), Service: a.service("imap", "imaps"), User: u.Remote, Secret: a.secret,
			Auth: string(s.Auth), StartTLS: a.upgrade(), TLS: policy,
			Keep: u.Keep, FetchAll: u.FetchAll, Known: known, Expunge: u.Expunge, ExpungeSet: u.ExpungeSet,
			FetchSizeLimit: u.FetchSizeLimit, MoveTo: u.MoveTo, ForceIdle: u.ForceIdle,
			IdleTimeout: time.Duration(s.IdleTimeout) * time.Second, Trace: show, Warn: rep.Warn, Alert: rep.Alert,
		})
	}
	_, force := os.LookupEnv("FETCHMAIL_POP3_FORCE_RETR") // even if it is empty
	return pop3.Open(ctx, pop3.Options{
		Dialer: dial, Host: s.Host(), Service: a.service("pop3", "pop3s"), User: u.Remote, Secret: a.secret,
		Auth: string(s.Auth), Protocol: string(p), StartTLS: a.upgrade(), TLS: policy,
		Known: a.record(p, "").Known, Keep: u.Keep, FetchAll: u.FetchAll, UIDL: s.UIDL, Say: rep.Say,
		ForceRETR: force, Trace: show, Warn: rep.Warn,
	})
}

// dialer makes what connects to the server, and the policy for TLS, then or later.
func (a *account) dialer(rep *report.Reporter, show wire.Trace) (*wire.Dialer, *wire.TLS, error) {
	policy := a.tls(rep, show)
	if err := policy.Validate(); err != nil {
		return nil, nil, &protocols.Fault{Kind: protocols.Config, Err: err}
	}
	s := a.server
	d := &wire.Dialer{Timeout: time.Duration(s.Timeout) * time.Second, Plugin: s.Plugin, Label: s.Name, Proxy: proxy(), Trace: show}
	if a.wrapped() {
		d.TLS = policy
	}
	return d, policy, nil
}

// enter waits until a resident task may log in: of many that come at once, a host bears a few. It returns what ends that.
func (a *account) enter(ctx context.Context) (leave func(), err error) {
	if !a.task.Resident {
		return func() {}, nil
	}
	gate := a.task.gate
	select {
	case gate <- struct{}{}:
		return func() { <-gate }, nil
	case <-ctx.Done():
		return nil, &protocols.Fault{Kind: protocols.Socket, Phase: protocols.Connecting, Err: context.Cause(ctx)}
	}
}

// proxy is the SOCKS5 proxy that the environment names, in either case, as other programs have it.
func proxy() string {
	for _, name := range []string{"ALL_PROXY", "all_proxy"} {
		if p := os.Getenv(name); strings.HasPrefix(p, "socks5") {
			return p
		}
	}
	return ""
}

// keyPassword asks people for the password of an encrypted client key.
func (a *account) keyPassword() func(context.Context) (string, error) {
	return auth.Prompt("key " + a.user.SSLKey).Get
}

// service is the port or name that was asked for, or the protocol's own.
func (a *account) service(plain, secure string) string {
	switch {
	case a.server.Service != "":
		return a.server.Service
	case a.wrapped():
		return secure
	}
	return plain
}

// wrapped tells whether TLS begins with the connection.
func (a *account) wrapped() bool {
	switch a.user.SSLMode {
	case "":
		return a.user.SSL
	case "wrapped":
		return true
	}
	return false
}

// upgrade decides about STLS and STARTTLS: fetchmail(1), --ssl, --sslproto, --sslcertck. Without any word of the user it
// must be, but never with APOP; "sslproto ”" forbids it; without sslcertck and sslproto it is used where it is offered.
func (a *account) upgrade() wire.Upgrade {
	u := a.user
	switch u.SSLMode {
	case "none":
		return wire.Never
	case "starttls=may":
		return wire.May
	case "starttls=must":
		return wire.Must
	}
	switch {
	case a.wrapped(), a.server.Protocol == rcfile.APOP, u.SSLProtoSet && u.SSLProto == "":
		return wire.Never
	case u.SSLProtoSet || u.SSLCertCk || u.SSLFingerprint != "":
		return wire.Must
	}
	return wire.May
}

// tls is what the user wants of TLS.
func (a *account) tls(rep *report.Reporter, show wire.Trace) *wire.TLS {
	u := a.user
	return &wire.TLS{
		ServerName: a.server.Host(), Label: a.server.Name, CheckCert: u.SSLCertCk, CertFile: a.file(u.SSLCertFile), CertPath: a.file(u.SSLCertPath),
		ClientCert: a.file(u.SSLCert), ClientKey: a.file(u.SSLKey), CommonName: u.SSLCommonName,
		Fingerprint: strings.TrimSpace(u.SSLFingerprint), Proto: u.SSLProto, ProtoSet: u.SSLProtoSet, Warn: rep.Warn, Trace: show,
		IncludeDefault: os.Getenv("FETCHMAIL_INCLUDE_DEFAULT_X509_CA_CERTS") != "", KeyPassword: a.keyPassword(),
	}
}

// file is path for names that may be left out.
func (a *account) file(name string) string {
	if name == "" {
		return ""
	}
	return a.path(name)
}
