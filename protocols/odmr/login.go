package odmr

import (
	"context"
	"errors"
	"slices"
	"strings"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/esmtp"
)

// login proves who we are, in the first way that the host accepts.
func login(ctx context.Context, s *esmtp.Session, o Options) error {
	mechs, err := choose(o.Auth, s.Params("AUTH"), s.Conn().Private())
	if err != nil {
		return &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Op: "AUTH", Err: err, Detail: []string{o.Label + ": " + err.Error()}}
	}
	if len(mechs) == 0 {
		return nil
	}
	var no *auth.Refusal
	var secret string
	for _, mech := range mechs {
		if auth.NeedsSecret(mech) {
			if secret, err = o.Secret.Get(ctx); err != nil {
				return &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Err: err}
			}
		}
		if err = try(s, o, mech, secret); !errors.As(err, &no) {
			return err
		}
	}
	last := mechs[len(mechs)-1]
	if auth.NeedsSecret(last) && !temporary(no) {
		if again, ok, aerr := auth.Again(ctx, o.Secret, secret); aerr == nil && ok {
			if err = try(s, o, last, again); !errors.As(err, &no) {
				return err
			}
		}
	}
	return refused(no)
}

func try(s *esmtp.Session, o Options, mech, secret string) error {
	client, err := auth.New(mech, o.User, secret, auth.Server{Host: o.Host, Service: "smtp", TLS: s.Conn().TLSState(), Offered: s.Params("AUTH")})
	if err != nil {
		return &protocols.Fault{Kind: protocols.Config, Phase: protocols.LoggingIn, Op: "AUTH " + mech, Err: err}
	}
	return s.Login(client, secret)
}

// temporary tells that the host may say yes later: 4yz.
func temporary(no *auth.Refusal) bool { return strings.HasPrefix(no.Reply, "4") }

func refused(no *auth.Refusal) error {
	f := &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Op: "AUTH " + no.Mech, Err: no.Err}
	if temporary(no) {
		f.Kind = protocols.Busy
	}
	if no.Err != nil {
		f.Detail = []string{no.Err.Error()}
	} else {
		f.Detail = []string{"AUTH " + no.Mech + " refused: " + no.Reply}
	}
	return f
}

var (
	errNone    = errors.New("the server offers no way to log in that can be used; with TLS (option ssl, or sslmode) there may be more")
	errUnknown = errors.New("this value of auth cannot be used with ODMR")
	errInClear = errors.New("the password is not sent in clear; use ssl, or sslmode starttls=must")
)

// choose lists the mechanisms to try. CRAM-MD5 is what RFC 2645, section 5.1, asks for; like the reference we try it
// also where nothing is said about mechanisms. private: nobody can listen.
func choose(option string, offered []string, private bool) ([]string, error) {
	has := func(mech string) bool {
		return slices.ContainsFunc(offered, func(s string) bool { return strings.EqualFold(s, mech) })
	}
	pick := func(mechs ...string) ([]string, error) {
		mechs = slices.DeleteFunc(mechs, func(m string) bool { return !has(m) })
		if len(mechs) == 0 {
			return nil, errNone
		}
		return mechs[:1], nil
	}
	switch option = strings.ToLower(option); option {
	case "", "any", "password":
		switch {
		case len(offered) == 0:
			return []string{"CRAM-MD5"}, nil
		case private:
			return pick("CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN")
		}
		return pick("CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-1")
	case "ssh", "implicit":
		return nil, nil // the plugin has seen to it
	case "scram":
		return pick("SCRAM-SHA-256", "SCRAM-SHA-1")
	case "oauthbearer", "xoauth2":
		if !private {
			return nil, errInClear
		}
		return pick("OAUTHBEARER", "XOAUTH2")
	case "kerberos", "kerberos_v5":
		option = "gssapi"
	case "plain", "login":
		if !private {
			return nil, errInClear
		}
	}
	mech := strings.ToUpper(option)
	if !auth.Supported(mech) || mech == "MSN" {
		return nil, errUnknown
	}
	return []string{mech}, nil
}
