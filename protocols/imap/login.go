package imap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
)

// login proves who we are, in the ways that auth.Choose finds fit.
func (g *guest) login(ctx context.Context) error {
	choice := auth.Choose(g.offer())
	for _, n := range choice.Notes {
		g.o.Warn(n)
	}
	fault := &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Forced: choice.Forced}
	var refused string
	for i, way := range choice.Ways {
		secret, err := g.secret(ctx, way)
		if err != nil {
			return g.noSecret(err)
		}
		err = g.try(way, secret)
		if err == nil {
			return nil
		}
		var no *auth.Refusal
		if !errors.As(err, &no) {
			return err
		}
		refused, fault.Op, fault.Reply, fault.Err = secret, no.Mech, no.Reply, no.Err
		fault.Detail = nil
		if line := no.Cause(); line != "" && i == len(choice.Ways)-1 {
			fault.Detail = []string{line}
		} else if line != "" {
			g.trace(wire.Note, "fetchmail: "+line) // what is to come may do better
		}
	}
	if refused != "" {
		if again, err := g.onceMore(ctx, choice.Ways[len(choice.Ways)-1], refused); again {
			return err
		}
	}
	fault.Detail = append(fault.Detail, choice.RunOut...)
	return fault
}

// onceMore tries the last way again if the source of the secret has another one by now.
func (g *guest) onceMore(ctx context.Context, way auth.Way, refused string) (tried bool, err error) {
	secret, ok, err := auth.Again(ctx, g.o.Secret, refused)
	if err != nil || !ok {
		return false, nil
	}
	err = g.try(way, secret)
	var no *auth.Refusal
	if errors.As(err, &no) {
		return true, &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Op: no.Mech, Reply: no.Reply, Err: no.Err}
	}
	return true, err
}

// offer tells the chooser what it must know of the server.
func (g *guest) offer() auth.Offer {
	return auth.Offer{Protocol: auth.IMAP, Auth: g.o.Auth, Host: g.o.Host, SASLIR: g.has("SASL-IR"),
		LoginDisabled: g.has("LOGINDISABLED"), Secure: g.conn.Private(), TLS: g.conn.TLSState() != nil, Ticket: auth.HasTicket,
		Mechs: g.mechanisms()}
}

// mechanisms are those that the server offers.
func (g *guest) mechanisms() (list []string) {
	for _, c := range g.caps {
		if mech, ok := strings.CutPrefix(c, "AUTH="); ok {
			list = append(list, mech)
		}
	}
	return list
}

func (g *guest) secret(ctx context.Context, way auth.Way) (string, error) {
	if way.Kind == auth.None || way.Kind == auth.SASL && !auth.NeedsSecret(way.Mech) {
		return "", nil
	}
	if g.o.Secret == nil {
		return "", auth.ErrNoSecret
	}
	return g.o.Secret.Get(ctx)
}

func (g *guest) noSecret(err error) error {
	f := &protocols.Fault{Kind: protocols.Auth, Phase: protocols.LoggingIn, Err: err}
	if errors.Is(err, auth.ErrNoSecret) {
		f.Detail = []string{fmt.Sprintf("can't find a password for %s@%s.", g.o.User, g.o.Host)}
	}
	return f
}

// try logs in one way. A server's no is an *auth.Refusal.
func (g *guest) try(way auth.Way, secret string) error {
	g.mask.Add(secret)
	switch way.Kind {
	case auth.None:
		return nil
	case auth.Password:
		return g.loginCommand(secret)
	}
	mech, err := auth.New(way.Mech, g.o.User, secret, g.server())
	if err != nil {
		return &protocols.Fault{Kind: protocols.Config, Phase: protocols.LoggingIn, Op: "AUTHENTICATE " + way.Mech, Err: err}
	}
	c := &channel{guest: g}
	err = auth.Exchange(mech, c)
	var no *auth.Refusal
	if way.Mech == "CRAM-MD5" && errors.As(err, &no) && (!c.challenged || no.Err != nil) {
		g.o.Warn("could not decode BASE64 challenge") // the reference takes any answer for a challenge
	}
	if errors.Is(err, auth.ErrUntrusted) {
		return &protocols.Fault{Kind: protocols.Protocol, Phase: protocols.LoggingIn, Op: "AUTHENTICATE " + way.Mech, Detail: []string{err.Error()}, Err: err}
	}
	return err
}

func (g *guest) server() auth.Server {
	s := auth.Server{Host: g.conn.Host(), Service: "imap", TLS: g.conn.TLSState(), Offered: g.mechanisms()}
	s.Port, _ = strconv.Atoi(g.o.Service)
	if _, port, err := net.SplitHostPort(g.conn.RemoteAddr().String()); err == nil {
		s.Port, _ = strconv.Atoi(port)
	}
	return s
}

// loginCommand is LOGIN (RFC 3501, section 6.2.3). Words are quoted as the reference does; those with a line end go as
// literals, and NUL cannot be sent at all.
func (g *guest) loginCommand(secret string) error {
	for _, w := range []string{g.o.User, secret} {
		if strings.Contains(w, "\x00") {
			return &protocols.Fault{Kind: protocols.Config, Phase: protocols.LoggingIn, Op: "LOGIN",
				Err: errors.New("user name or password holds a NUL")}
		}
	}
	if safe(g.o.User) && safe(secret) {
		tag, err := g.begin("LOGIN "+quote(g.o.User)+" "+quote(secret), "LOGIN "+quote(g.o.User)+" *")
		if err != nil {
			return err
		}
		return g.loggedIn(g.finish(tag))
	}
	return g.loginLiterals(secret)
}

// loginLiterals sends both words as synchronizing literals (RFC 3501, section 4.3).
func (g *guest) loginLiterals(secret string) error {
	tag, err := g.begin(fmt.Sprintf("LOGIN {%d}", len(g.o.User)), "LOGIN *")
	if err != nil {
		return err
	}
	for _, line := range []string{fmt.Sprintf("%s {%d}", g.o.User, len(secret)), secret} {
		a, goOn, err := g.step(tag, true)
		if err != nil || goOn == nil {
			return g.loggedIn(a, err)
		}
		if err := g.put(line, "*"); err != nil {
			return err
		}
	}
	return g.loggedIn(g.finish(tag))
}

func (g *guest) loggedIn(a answer, err error) error {
	switch {
	case err != nil:
		return err
	case a.status == "BAD": // the reference makes a difference
		return &protocols.Fault{Kind: protocols.Server, Phase: protocols.LoggingIn, Op: "LOGIN", Reply: a.text,
			Detail: []string{fmt.Sprintf("Unknown login or authentication error on %s@%s", g.o.User, g.o.Host)}}
	case !a.ok():
		return &auth.Refusal{Mech: "LOGIN", Reply: a.text}
	}
	return nil
}

// channel carries a SASL exchange (RFC 3501, section 6.2.2; RFC 4959).
type channel struct {
	*guest
	tag        string
	challenged bool
}

// InitialLimit is the longest initial response that can go with AUTHENTICATE.
func (c *channel) InitialLimit() int {
	if !c.has("SASL-IR") {
		return -1
	}
	return maxGuestLine / 2
}

// Begin sends AUTHENTICATE.
func (c *channel) Begin(mech string, initial *string) (err error) {
	text, shown := "AUTHENTICATE "+mech, "AUTHENTICATE "+mech
	if initial != nil {
		text, shown = text+" "+*initial, shown+" *"
	}
	c.tag, err = c.begin(text, shown)
	return err
}

// Respond sends a line of the exchange.
func (c *channel) Respond(line string) error { return c.put(line, "*") }

// Receive reads up to the next challenge, or the server's verdict.
func (c *channel) Receive() (auth.Step, error) {
	a, challenge, err := c.step(c.tag, true)
	switch {
	case err != nil:
		return auth.Step{}, err
	case challenge != nil:
		c.challenged = true
		return auth.Step{Kind: auth.Continue, Text: *challenge}, nil
	case a.ok():
		return auth.Step{Kind: auth.Done, Text: a.text}, nil
	}
	return auth.Step{Kind: auth.Refused, Text: a.text}, nil
}

// welcome goes from the greeting to the authenticated state.
func (g *guest) welcome(ctx context.Context) error {
	g.phase = protocols.Connecting
	if err := g.greeting(); err != nil {
		return err
	}
	g.phase = protocols.LoggingIn
	if g.caps == nil || g.strange {
		if err := g.capability(); err != nil {
			return err
		}
	}
	if err := g.secure(ctx); err != nil {
		return err
	}
	if g.preauth {
		return nil
	}
	return g.login(ctx)
}

// leave says goodbye after the server has refused us.
func (g *guest) leave() {
	if !g.mute {
		g.conn.SetTimeout(byeTime)
		_, _ = g.command("LOGOUT")
	}
}
