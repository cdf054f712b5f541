// Package etrn asks a mail server to begin to deliver what waits for us in its queue: the ETRN command, RFC 1985.
//
// Nothing is fetched here: the mail comes over connections of its own, which the server opens to our listener whenever
// it likes. So there is nothing that could be lost, and nothing to be deleted.
//
// A domain of which the server says that nothing waits (251) does not end the session: those after it are asked for,
// too. Any other refusal does.
package etrn

import (
	"context"
	"fmt"

	"fetchmail/protocols"
	"fetchmail/protocols/esmtp"
)

// Options are what a request needs.
type Options struct {
	esmtp.Options
	// Domains are asked for one by one: domains, "@domain" for all below one, "#queue" (RFC 1985, section 5).
	Domains []string
	// Say takes lines about what happens.
	Say func(text string)
}

// Request asks for every domain. Its error is a *protocols.Fault.
func Request(ctx context.Context, o Options) error {
	s, err := esmtp.Open(ctx, o.Options)
	if err != nil {
		return err
	}
	if err := ask(s, o); err != nil {
		s.Leave()
		return err
	}
	return s.Quit()
}

func ask(s *esmtp.Session, o Options) error {
	if !s.Offers("ETRN") {
		return s.Refused("EHLO", o.Label+"'s SMTP listener does not support ETRN")
	}
	coming := false
	for _, d := range o.Domains {
		r, err := s.Command("ETRN " + d)
		if err != nil {
			return err
		}
		started, text := progress(r.Code, d)
		if text == "" {
			return refusal(s, r, d)
		}
		o.Say(text)
		coming = coming || started
	}
	if coming {
		o.Say("Polling " + o.Host)
	}
	return nil
}

// progress is what a positive reply means, in the words of the reference; "" if it is none: RFC 1985, section 5.3.
func progress(code int, domain string) (started bool, text string) {
	switch code {
	case 250:
		return true, fmt.Sprintf("Queuing for %s started", domain)
	case 251:
		return false, fmt.Sprintf("No messages waiting for %s", domain)
	case 252, 253:
		return true, fmt.Sprintf("Pending messages for %s started", domain)
	}
	return false, ""
}

// refusal is what another reply means.
func refusal(s *esmtp.Session, r esmtp.Reply, domain string) error {
	var why string
	switch r.Code {
	case 458:
		why = "Unable to queue messages for node " + domain
	case 459:
		f := s.Refused("ETRN", fmt.Sprintf("Node %s not allowed: %s", domain, r.Raw()))
		f.Kind, f.Told = protocols.Auth, true
		return f
	case 500:
		why = "ETRN syntax error"
	case 501:
		why = "ETRN syntax error in parameters"
	default:
		why = fmt.Sprintf("Unknown ETRN error %d", r.Code)
	}
	return s.Refused("ETRN", why)
}
