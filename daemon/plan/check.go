package plan

import (
	"errors"
	"fmt"
	"strings"

	"fetchmail/rcfile"
)

// Check tells for --configcheck what New would refuse; nothing is opened. The error has a line for each account.
func Check(c *rcfile.Config) error {
	var errs []error
	for _, s := range c.Servers {
		if !s.Active {
			continue
		}
		for _, u := range s.Users {
			a := &account{config: c, server: s, user: u}
			errs = append(errs, a.check())
		}
	}
	return errors.Join(errs...)
}

// check refuses what cannot be done, before anybody is contacted. An option is never silently without effect,
// except where the reference ignores it too.
func (a *account) check() error {
	s, u := a.server, a.user
	switch s.Protocol {
	case rcfile.Auto, rcfile.POP3, rcfile.APOP, rcfile.RPOP, rcfile.SDPS, rcfile.IMAP:
	case rcfile.POP2, rcfile.KPOP:
		return a.refuse("protocol " + string(s.Protocol) + " is not supported: no server speaks it any more")
	case rcfile.ETRN, rcfile.ODMR:
		return a.checkPush()
	}
	if s.Auth == rcfile.AuthKerberosV4 {
		return a.refuse("auth " + string(s.Auth) + " is not supported: Kerberos 4 is broken and no server speaks it any more; Kerberos 5 is auth gssapi")
	}
	if u.MoveTo != "" && s.Protocol != rcfile.IMAP && s.Protocol != rcfile.Auto {
		return a.refuse("option moveto needs protocol IMAP")
	}
	if u.OnReject == "deadletter" && u.DeadLetter == "" {
		return a.refuse("onreject deadletter needs the name of a folder")
	}
	return nil
}

// checkPush is check for ETRN and ODMR. Most options have no meaning there, as in the reference.
func (a *account) checkPush() error {
	s, u := a.server, a.user
	for _, d := range u.FetchDomains {
		if d == "" || len(d) > maxDomain || strings.ContainsFunc(d, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return a.refuse(fmt.Sprintf("fetchdomains: %q is not a domain", d))
		}
	}
	switch {
	case u.Maildir != "" || u.Mbox != "":
		return a.refuse("the server sends mail to an SMTP listener with protocol " + string(s.Protocol) + ": maildir and mbox cannot be used")
	case s.Protocol == rcfile.ODMR && u.LMTP:
		return a.refuse("the server speaks SMTP with the listener with protocol ODMR: lmtp cannot be used")
	}
	return nil
}

// maxDomain is the length of a domain in octets: RFC 5321, section 4.5.3.1.2.
const maxDomain = 255

func (a *account) refuse(why string) error { return &Error{a.server.Name, why} }

// ignored are the options that change nothing here, and why. Every other one is read by this package or by the command.
var ignored = map[string]string{
	"Properties": "for extension scripts",
	"Principal":  "for Kerberos 4, which is refused",
	"FastUIDL":   "the whole listing costs one round trip",
	"Skip":       "Active says it",
	"Via":        "Host says it",
}
