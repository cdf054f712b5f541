package smtp

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"fetchmail/deliver"
)

// maxAddress is more than any listener takes (RFC 5321, section 4.5.3.1.3: 256 octets), but bounded.
const maxAddress = 900

// complete turns a recipient into what RCPT is given: fetchmail(1), --smtpaddress and --smtpname. A whole address stays
// what it is.
func (s *Sink) complete(h host, to string) string {
	if s.opts.Name != "" && !strings.Contains(to, "@") {
		return s.opts.Name
	}
	return s.at(h, to)
}

// at gives a local name its domain.
func (s *Sink) at(h host, to string) string {
	switch {
	case to == "" || strings.Contains(to, "@"):
		return to
	case s.opts.Address != "":
		return to + "@" + s.opts.Address
	}
	return to + "@" + h.domain()
}

// checkAddress tells why an address cannot be put between angle brackets: it comes from the header of a message and
// must not become a second command or a parameter. Angle brackets are legal in a quoted local part, but nobody needs
// them there and many a listener stumbles over them. What else is wrong with an address the listener may say.
func checkAddress(a string) error {
	if len(a) > maxAddress {
		return fmt.Errorf("an address of %d octets is too long", len(a))
	}
	if strings.ContainsAny(a, "\r\n\x00") {
		return fmt.Errorf("control character in address %q", a)
	}
	if strings.ContainsAny(a, "<>") {
		return fmt.Errorf("angle bracket in address %q", a)
	}
	return nil
}

// refuse is the verdict on a recipient that is not shown to the listener.
func refuse(to string, err error) deliver.Status {
	return deliver.Status{To: to, Class: deliver.Refused, Stage: deliver.AtRcpt, Reply: deliver.Reply{Text: err.Error()}}
}

// params are the parameters of MAIL, in the order of the reference.
func (ss *session) params(e deliver.Envelope) string {
	var p string
	if e.Body != "" && ss.offers("8BITMIME") {
		p += " BODY=" + e.Body
	}
	if e.Size > 0 && ss.offers("SIZE") {
		p += fmt.Sprintf(" SIZE=%d", e.Size)
	}
	if ss.offers("SMTPUTF8") && needsUTF8(e) { // RFC 6531, section 3.4
		p += " SMTPUTF8"
	}
	return p
}

func needsUTF8(e deliver.Envelope) bool {
	wide := false
	for _, a := range append([]string{e.From, e.Fallback}, e.To...) {
		if !utf8.ValidString(a) {
			return false
		}
		wide = wide || strings.IndexFunc(a, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0
	}
	return wide
}
