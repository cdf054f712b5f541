package esmtp

import (
	"errors"

	"github.com/emersion/go-sasl"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
)

// Login proves who we are with a SASL mechanism: RFC 4954. A server that says no, or whose words the mechanism cannot
// accept, gives an *auth.Refusal, after which another mechanism may be tried; any other error is a *protocols.Fault. The
// secret is what the mechanism works with, "" if nothing; where a server repeats it, it is not shown.
func (s *Session) Login(mech sasl.Client, secret string) error {
	s.mask.Add(secret)
	ch := &channel{s: s, replies: s.o.Protocol}
	err := auth.Exchange(mech, ch)
	var (
		no *auth.Refusal
		f  *protocols.Fault
	)
	switch {
	case err == nil || errors.As(err, &no):
		return err
	case errors.As(err, &f):
		return f
	}
	f = s.fault("AUTH", err, protocols.Protocol)
	f.Phase = protocols.LoggingIn
	return f
}

// channel carries a SASL exchange. It implements auth.Channel.
type channel struct {
	s       *Session
	replies string // what the trace calls replies: the protocol, and behind our response SMTP, as in the reference
}

// maxInitial is what fits into a command line of 512 octets: RFC 4954, section 4.
const maxInitial = 450

func (c *channel) InitialLimit() int { return maxInitial }

// Begin sends AUTH.
func (c *channel) Begin(mech string, initial *string) error {
	line := "AUTH " + mech
	shown := line
	if initial != nil {
		line, shown = line+" "+*initial, shown+" *"
	}
	return c.s.send(c.s.o.Protocol, line, shown)
}

// Respond sends a response.
func (c *channel) Respond(text string) error {
	c.replies = smtp
	return c.s.send(c.s.o.Protocol, text, "*")
}

// Receive reads a challenge or the result.
func (c *channel) Receive() (auth.Step, error) {
	r, err := c.s.receive(c.replies, "AUTH")
	switch {
	case err != nil:
		return auth.Step{}, err
	case r.Code == 334:
		return auth.Step{Kind: auth.Continue, Text: r.Text()}, nil
	case r.Code == 235:
		return auth.Step{Kind: auth.Done, Text: r.Raw()}, nil
	case r.Code >= 400:
		return auth.Step{Kind: auth.Refused, Text: c.s.mask.Hide(r.Raw())}, nil
	}
	return auth.Step{}, c.s.fault("AUTH", errNoAnswer, protocols.Protocol)
}

var errNoAnswer = errors.New("neither a challenge nor a verdict")
