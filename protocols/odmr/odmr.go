package odmr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/esmtp"
)

// Options are what a poll needs.
type Options struct {
	esmtp.Options
	User    string
	Secret  auth.Secret
	Auth    string   // the option auth; "" is any
	Domains []string // at least one
	Timeout time.Duration
	// Listener connects to our SMTP server. Its error is passed on as it is.
	Listener func(ctx context.Context) (net.Conn, error)
	// Say takes lines about what happens; Remark those for standard error that are no faults.
	Say, Remark func(text string)
}

// ListenerError is a listener that has hung up, or could not be written to, before the host was done.
type ListenerError struct{ Err error }

func (e *ListenerError) Error() string { return "listener gave up the connection: " + e.Err.Error() }

func (e *ListenerError) Unwrap() error { return e.Err }

// ErrStopped ends a poll that was asked to stop.
var ErrStopped = errors.New("stopped")

// Run fetches what waits and returns how many messages the listener has accepted. When stop is closed, a message in hand
// is finished first. The error is a *protocols.Fault, a *ListenerError, that of Options.Listener, or ErrStopped.
func Run(ctx context.Context, stop <-chan struct{}, o Options) (messages int, err error) {
	s, err := esmtp.Open(ctx, o.Options)
	if err != nil {
		return 0, err
	}
	turned, err := turn(ctx, s, o)
	switch {
	case err != nil:
		s.Leave()
		return 0, err
	case !turned:
		return 0, s.Quit()
	}
	defer s.Conn().Close()
	o.Say("Turnaround now...")
	listener, err := o.Listener(ctx)
	if err != nil {
		return 0, err
	}
	r := newRelay(s.Conn(), listener, o)
	err = r.run(ctx, stop)
	messages = r.messages()
	if err != nil {
		return messages, err
	}
	o.Say("Polling " + o.Host)
	return messages, nil
}

// turn logs in and asks for the turn; false is a host that has no mail.
func turn(ctx context.Context, s *esmtp.Session, o Options) (bool, error) {
	if !s.Offers("ATRN") {
		return false, s.Refused("EHLO", o.Label+"'s SMTP listener does not support ATRN")
	}
	if err := login(ctx, s, o); err != nil {
		return false, err
	}
	r, err := s.Command("ATRN " + strings.Join(o.Domains, ","))
	if err != nil {
		return false, err
	}
	switch r.Code {
	case 250:
		return true, nil
	case 453:
		o.Remark("You have no mail.")
		return false, nil
	}
	return false, refusal(s, r, o)
}

// refusal is what a reply means that is not the turn: RFC 2645, section 5.2.1, in the words of the reference.
func refusal(s *esmtp.Session, r esmtp.Reply, o Options) error {
	told := func(kind protocols.Kind, why string) error {
		f := s.Refused("ATRN", why)
		f.Kind, f.Told = kind, true
		return f
	}
	switch r.Code {
	case 450:
		o.Say("ATRN request refused.")
		f := s.Refused("ATRN", "")
		f.Detail = nil
		return f
	case 451:
		return told(protocols.Busy, "Unable to process ATRN request now")
	case 502:
		return s.Refused("ATRN", "Command not implemented")
	case 530:
		return told(protocols.Auth, "Authentication required.")
	}
	return s.Refused("ATRN", fmt.Sprintf("Unknown ODMR error \"%s\"", r.Raw()))
}
