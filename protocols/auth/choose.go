package auth

import (
	"fmt"
	"slices"
	"strings"
)

// Kind says how a way logs in.
type Kind int

const (
	// Password is the protocol's own command: USER and PASS, or LOGIN.
	Password Kind = iota
	// APOP is the command of RFC 1939, section 7.
	APOP
	// RPOP is USER and RPOP.
	RPOP
	// SASL is AUTH or AUTHENTICATE with Way.Mech.
	SASL
	// None sends nothing: the server knows us already (auth ssh, implicit, or a PREAUTH greeting).
	None
)

// Way is one way to log in.
type Way struct {
	Kind Kind
	Mech string // with SASL: the registered name
}

// Protocol is the dialect that Choose decides for.
type Protocol int

const (
	POP3 Protocol = iota
	IMAP
	// APOPOnly is "protocol apop" and RPOPOnly "protocol rpop": POP3 with that one command, whatever auth says.
	APOPOnly
	RPOPOnly
)

// Offer is what Choose decides upon.
type Offer struct {
	Protocol Protocol
	// Auth is the value of the option auth, in any case; "" is any.
	Auth string
	// Host is the server's name in messages.
	Host string
	// Mechs are the SASL mechanisms that the server offers: of the CAPA line SASL, of the capabilities AUTH=.
	Mechs []string
	// SASLIR: an initial response may be sent (IMAP: the capability; POP3: always true where AUTH exists).
	SASLIR bool
	// LoginDisabled: the IMAP capability.
	LoginDisabled bool
	// Secure: nobody listens: TLS, a plugin, or a server on this machine.
	Secure bool
	// Ticket tells whether the user has a Kerberos ticket; it is asked only where that matters. nil is no.
	Ticket func() bool
	// TLS: the connection itself is under TLS (mechanisms with channel binding).
	TLS bool
}

// Choice is what to try, in order, and what to say.
type Choice struct {
	Ways []Way
	// Notes are lines for standard error, without prefix, said before the first way is tried.
	Notes []string
	// RunOut are lines for standard error, without prefix, said when all ways were refused, or there was none.
	RunOut []string
	// Forced: the mechanism was fixed by the option auth.
	Forced bool
}

// AsksCapabilities tells whether the reference sends CAPA before a POP3 login without TLS in mind: it does not where
// the answer cannot change the way.
func AsksCapabilities(p Protocol, auth string) bool {
	if p != POP3 {
		return p == IMAP
	}
	return !slices.Contains([]string{"password", "ntlm", "msn", "ssh"}, canonical(auth))
}

// canonical is the value of auth in lower case, its aliases resolved.
func canonical(auth string) string {
	switch a := strings.ToLower(auth); a {
	case "", "any":
		return "any"
	case "implicit":
		return "ssh"
	case "kerberos_v5": // fetchmail 6.4 speaks a protocol of its own, which no server knows
		return "gssapi"
	case "xoauth2":
		return "oauthbearer"
	default:
		return a
	}
}

// NeedsPassword tells whether the value of auth asks for a password or a token: fetchmail(1), --auth: "Any value other
// than password, cram-md5, ntlm, msn or otp suppresses fetchmail's normal inquiry for a password".
func NeedsPassword(auth string) bool {
	switch canonical(auth) {
	case "ssh", "external", "gssapi", "kerberos", "kerberos_v4":
		return false
	}
	return true
}

// Choose decides how to log in: fetchmail(1), --auth.
func Choose(o Offer) Choice {
	auth := canonical(o.Auth)
	c := Choice{Forced: auth != "any"}
	switch {
	case o.Protocol == APOPOnly:
		c.Ways = []Way{{Kind: APOP}}
	case o.Protocol == RPOPOnly:
		c.Ways = []Way{{Kind: RPOP}}
	case auth == "any":
		c.any(o)
	default:
		c.forced(o, auth)
	}
	return c
}

// any takes, of what is offered, the safer mechanisms first and the password in clear at last. The order is the
// reference's; SASL PLAIN and LOGIN are not in it, because USER and LOGIN do the same.
func (c *Choice) any(o Offer) {
	order := []string{"NTLM", "CRAM-MD5"}
	if o.Protocol == IMAP {
		order = []string{"CRAM-MD5", "NTLM"}
		c.external(o)
	}
	if offers(o.Mechs, "GSSAPI") && o.Ticket != nil && o.Ticket() {
		c.sasl("GSSAPI")
	}
	for _, mech := range order {
		if offers(o.Mechs, mech) && Supported(mech) {
			c.sasl(mech)
		}
	}
	if o.Protocol == IMAP && o.LoginDisabled {
		c.runOut(o)
		return
	}
	c.Ways = append(c.Ways, Way{Kind: Password})
}

func (c *Choice) sasl(mech string) { c.Ways = append(c.Ways, Way{Kind: SASL, Mech: mech}) }

// external is EXTERNAL on IMAP, for which the reference wants the extension SASL-IR.
func (c *Choice) external(o Offer) {
	switch {
	case !offers(o.Mechs, "EXTERNAL"):
	case o.SASLIR:
		c.sasl("EXTERNAL")
	default:
		c.Notes = append(c.Notes, "server did not advertise SASL-IR extension but fetchmail's implementation requires it for AUTHENTICATE EXTERNAL")
	}
}

func (c *Choice) runOut(o Offer) {
	if o.Protocol == IMAP {
		c.RunOut = append(c.RunOut, o.Host+": we've run out of authentication methods and cannot log in.")
		return
	}
	c.RunOut = append(c.RunOut, "We've run out of allowed authenticators and cannot continue.")
}

// forced is a mechanism that the option auth names.
func (c *Choice) forced(o Offer, auth string) {
	switch auth {
	case "password":
		if o.Protocol == IMAP && o.LoginDisabled {
			c.Notes = append(c.Notes, o.Host+": --auth password requested but server forbids it (LOGINDISABLED).")
			return
		}
		c.Ways = []Way{{Kind: Password}}
	case "ssh":
		c.Ways = []Way{{Kind: None}}
	case "cram-md5":
		c.sasl("CRAM-MD5") // also if it is not offered, as the reference
	case "ntlm", "msn":
		c.ntlm(o, strings.ToUpper(auth))
	case "external":
		c.forcedExternal(o)
	case "oauthbearer":
		c.oauth(o)
	case "apop":
		if o.Protocol == IMAP {
			c.Notes = append(c.Notes, o.Host+": --auth apop requested but IMAP does not have it.")
			return
		}
		c.Ways = []Way{{Kind: APOP}}
	case "scram":
		c.scram(o)
	default:
		c.named(o, strings.ToUpper(auth))
	}
}

// ntlm is sent unasked on POP3, as the reference does; MSN is there only.
func (c *Choice) ntlm(o Offer, mech string) {
	if o.Protocol == POP3 || mech == "NTLM" && offers(o.Mechs, mech) {
		c.sasl(mech)
		return
	}
	c.runOut(o)
}

func (c *Choice) forcedExternal(o Offer) {
	if o.Protocol == POP3 {
		// Not in the reference: RFC 5034 allows it, and an empty SASL line gives no way.
		c.named(o, "EXTERNAL")
		return
	}
	if !offers(o.Mechs, "EXTERNAL") {
		c.Notes = append(c.Notes, o.Host+": --auth external requested but server does not advertise it.")
		return
	}
	c.external(o)
}

// oauth takes OAUTHBEARER, then XOAUTH2, each only if offered: RFC 7628, section 1, forbids both in clear.
func (c *Choice) oauth(o Offer) {
	if !o.Secure {
		c.Notes = append(c.Notes, o.Host+": an OAuth 2.0 token is not sent without TLS.")
		return
	}
	for _, mech := range []string{"OAUTHBEARER", "XOAUTH2"} {
		if offers(o.Mechs, mech) {
			c.sasl(mech)
		}
	}
	if len(c.Ways) == 0 {
		c.Notes = append(c.Notes, o.Host+": server offers neither OAUTHBEARER nor XOAUTH2.")
		c.runOut(o)
	}
}

// scram takes the best of the family that is offered. With -PLUS offered the plain form is left out: a man in the
// middle must not be able to talk us out of the channel binding.
func (c *Choice) scram(o Offer) {
	for _, mech := range []string{"SCRAM-SHA-256", "SCRAM-SHA-1"} {
		switch {
		case o.TLS && offers(o.Mechs, mech+"-PLUS"):
			c.sasl(mech + "-PLUS")
			return
		case offers(o.Mechs, mech):
			c.sasl(mech)
			return
		}
	}
	c.runOut(o)
}

// named is a mechanism by its registered name. PLAIN and LOGIN are tried unasked: not all servers list them.
func (c *Choice) named(o Offer, mech string) {
	offered := offers(o.Mechs, mech)
	switch {
	case !Supported(mech):
		if offered {
			c.Notes = append(c.Notes, fmt.Sprintf("%s: --auth %s requested but it is not supported.", o.Host, strings.ToLower(mech)))
		}
		c.runOut(o)
	case offered || mech == "PLAIN" || mech == "LOGIN":
		c.sasl(mech)
	default:
		c.runOut(o)
	}
}
