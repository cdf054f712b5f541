package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
)

// client is a mechanism made of closures, so that no print of it shows a secret.
type client struct {
	mech    string
	initial func() ([]byte, error)       // nil: the server speaks first
	next    func([]byte) ([]byte, error) // answers a challenge
	proved  func() error                 // called after the server's OK; nil: nothing to prove
	late    bool                         // the initial response never goes with the command
}

// Start begins the exchange: see sasl.Client.
func (c *client) Start() (string, []byte, error) {
	if c.initial == nil {
		return c.mech, nil, nil
	}
	ir, err := c.initial()
	return c.mech, ir, err
}

// Next answers a challenge: see sasl.Client.
func (c *client) Next(challenge []byte) ([]byte, error) {
	if c.next == nil {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	return c.next(challenge)
}

// Proved tells, once the server has said OK, whether it has proved what the mechanism demands.
func (c *client) Proved() error {
	if c.proved == nil {
		return nil
	}
	return c.proved()
}

// Late tells that the initial response must wait for the server's first challenge, whatever that says.
func (c *client) Late() bool { return c.late }

// Server is what some mechanisms must know of the server.
type Server struct {
	Host string
	Port int
	// Service is the registered name of the protocol: "imap" or "pop" (GSSAPI).
	Service string
	// TLS is the state of the connection; nil if it is plain.
	TLS *tls.ConnectionState
	// Offered are the mechanisms that the server offers.
	Offered []string
}

// mechanisms makes the clients; the keys are the registered names.
var mechanisms = map[string]func(user, secret string, s Server) (sasl.Client, error){
	"PLAIN":              plain,
	"LOGIN":              login,
	"CRAM-MD5":           cramMD5,
	"EXTERNAL":           external,
	"GSSAPI":             gssapiMech,
	"OAUTHBEARER":        oauthBearer,
	"XOAUTH2":            xoauth2,
	"NTLM":               ntlm,
	"MSN":                msn,
	"OTP":                otp,
	"SCRAM-SHA-1":        scramSHA1,
	"SCRAM-SHA-256":      scramSHA256,
	"SCRAM-SHA-1-PLUS":   scramSHA1Plus,
	"SCRAM-SHA-256-PLUS": scramSHA256Plus,
}

// New makes a client for a mechanism. The secret is the password, or the token of OAUTHBEARER and XOAUTH2; EXTERNAL
// and GSSAPI have none. A user or secret that the mechanism cannot carry (NUL, control characters) is an error.
func New(mech, user, secret string, s Server) (sasl.Client, error) {
	build, ok := mechanisms[strings.ToUpper(mech)]
	if !ok {
		return nil, fmt.Errorf("mechanism %s is not supported", mech)
	}
	return build(user, secret, s)
}

// Supported tells whether New knows the mechanism.
func Supported(mech string) bool {
	_, ok := mechanisms[strings.ToUpper(mech)]
	return ok
}

// NeedsSecret tells whether the mechanism works with a password or token.
func NeedsSecret(mech string) bool {
	return !strings.EqualFold(mech, "EXTERNAL") && !strings.EqualFold(mech, "GSSAPI")
}

func noControl(what, s string) error {
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return fmt.Errorf("%s contains a control character", what)
	}
	return nil
}

func noNUL(user, secret string) error {
	if strings.ContainsRune(user, 0) || strings.ContainsRune(secret, 0) {
		return errors.New("user name or password contains a NUL byte")
	}
	return nil
}

func plain(user, secret string, _ Server) (sasl.Client, error) {
	if err := noNUL(user, secret); err != nil {
		return nil, err
	}
	return &client{mech: "PLAIN", initial: func() ([]byte, error) {
		return []byte("\x00" + user + "\x00" + secret), nil
	}}, nil
}

// login answers the first question with the user and the second with the password: the prompts are not standardized.
// But a server that knows the user already, from a certificate, may ask for the password at once.
func login(user, secret string, _ Server) (sasl.Client, error) {
	if err := noNUL(user, secret); err != nil {
		return nil, err
	}
	answers := []string{user, secret}
	next := 0
	return &client{mech: "LOGIN", next: func(prompt []byte) ([]byte, error) {
		if next == 0 && bytes.HasPrefix(bytes.ToLower(prompt), []byte("password")) {
			next = 1
		}
		if next >= len(answers) {
			return nil, sasl.ErrUnexpectedServerChallenge
		}
		next++
		return []byte(answers[next-1]), nil
	}}, nil
}

// cramMD5 answers one challenge, once: RFC 2195.
func cramMD5(user, secret string, _ Server) (sasl.Client, error) {
	if err := noControl("user name", user); err != nil {
		return nil, err
	}
	done := false
	return &client{mech: "CRAM-MD5", next: func(challenge []byte) ([]byte, error) {
		if done {
			return nil, sasl.ErrUnexpectedServerChallenge
		}
		done = true
		if len(challenge) == 0 {
			return nil, errors.New("CRAM-MD5: empty challenge")
		}
		mac := hmac.New(md5.New, []byte(secret))
		mac.Write(challenge)
		return []byte(user + " " + hex.EncodeToString(mac.Sum(nil))), nil
	}}, nil
}

// external names the user that the certificate is to log in; RFC 4422, appendix A.
func external(user, _ string, _ Server) (sasl.Client, error) {
	if err := noNUL(user, ""); err != nil {
		return nil, err
	}
	return &client{mech: "EXTERNAL", initial: func() ([]byte, error) { return []byte(user), nil }}, nil
}

// tokenError says that the server did not accept an OAuth 2.0 token. details is what it gave as reason, cut to
// maxOAuthDetails bytes and without the token; it may contain any byte.
type tokenError struct {
	details string
}

func (e *tokenError) Error() string { return fmt.Sprintf("token refused: %q", e.details) }

const maxOAuthDetails = 512

// tokenClient is a client that sends everything at once and gets a reason if that is refused. The reason must be
// answered with what the mechanism prescribes; then the server says no.
func tokenClient(mech, initial, token, answer string) sasl.Client {
	var refused error
	return &client{mech: mech,
		initial: func() ([]byte, error) { return []byte(initial), nil },
		next: func(challenge []byte) ([]byte, error) {
			if refused != nil {
				return nil, refused
			}
			var m Mask
			m.Add(token)
			details := m.Hide(string(challenge))
			refused = &tokenError{details: details[:min(len(details), maxOAuthDetails)]}
			return []byte(answer), nil
		},
		proved: func() error { return refused },
	}
}

func oauthBearer(user, token string, s Server) (sasl.Client, error) {
	if err := errors.Join(noControl("user name", user), noControl("token", token), noControl("host", s.Host)); err != nil {
		return nil, err
	}
	// RFC 5801, section 4: the user stands in the GS2 header with , and = escaped.
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user)
	text := "n,a=" + name + ",\x01"
	if s.Host != "" {
		text += "host=" + s.Host + "\x01"
	}
	if s.Port > 0 {
		text += fmt.Sprintf("port=%d\x01", s.Port)
	}
	return tokenClient("OAUTHBEARER", text+"auth=Bearer "+token+"\x01\x01", token, "\x01"), nil
}

func xoauth2(user, token string, _ Server) (sasl.Client, error) {
	if err := errors.Join(noControl("user name", user), noControl("token", token)); err != nil {
		return nil, err
	}
	return tokenClient("XOAUTH2", "user="+user+"\x01auth=Bearer "+token+"\x01\x01", token, ""), nil
}

// offers tells whether a list of mechanisms has a name, in any case.
func offers(list []string, mech string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, mech) })
}
