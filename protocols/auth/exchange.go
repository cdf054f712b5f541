package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
)

// Limits of an exchange. Kerberos tickets with many groups are the largest challenges in use, some 16 KB.
const (
	maxChallenge = 64 << 10 // base64 characters of one challenge
	maxRounds    = 20       // challenges of one exchange
)

// StepKind says what a server's line in an exchange is.
type StepKind int

const (
	Continue StepKind = iota // a challenge: "+ base64"
	Done                     // success: "+OK", tagged OK
	Refused                  // failure: "-ERR", tagged NO or BAD
)

// Step is a server's line in an exchange.
type Step struct {
	Kind StepKind
	// Text is the challenge as it came, base64 without the "+ ", or the text of the server's OK or NO.
	Text string
}

// Channel is how a protocol carries an exchange. The lines that go through it are secrets or as good as that: a trace
// shows them as "*".
type Channel interface {
	// InitialLimit is the longest initial response, in base64 characters, that can go with the opening command; a
	// negative number if none can (IMAP without SASL-IR).
	InitialLimit() int
	// Begin sends the opening command: AUTH or AUTHENTICATE. initial is nil, or base64 text or "=".
	Begin(mech string, initial *string) error
	// Respond sends a line: base64 text, which may be empty, or "*".
	Respond(line string) error
	// Receive reads the server's next line of the exchange.
	Receive() (Step, error)
}

// Refusal is a server's no to a login.
type Refusal struct {
	Mech  string
	Reply string // the server's text; may contain any byte
	Err   error  // what the mechanism knows about it (*tokenError), or what made us abort; may be nil
}

func (e *Refusal) Error() string {
	s := fmt.Sprintf("%s refused: %q", e.Mech, e.Reply)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Cause is a line about what kept us, not the server, from logging in: there is no ticket, or the server's words
// could not be accepted. It is "" where the server has refused us.
func (e *Refusal) Cause() string {
	var token *tokenError
	if e.Err == nil || errors.As(e.Err, &token) || e.Mech == "CRAM-MD5" { // for which the reference has its own line
		return ""
	}
	return e.Mech + ": " + strings.TrimPrefix(e.Err.Error(), e.Mech+": ")
}

// Unwrap returns the mechanism's error.
func (e *Refusal) Unwrap() error { return e.Err }

// prover is implemented by the mechanisms of this package.
type prover interface{ Proved() error }

// Exchange logs in with a mechanism. A server that says no gives a *Refusal, after which another way may be tried on
// the same connection; so does a server whose words the mechanism cannot accept, once it has agreed to the abort. Any
// other error is one of the channel or a break of the protocol (ErrUntrusted): the connection is of no use any more.
func Exchange(mech sasl.Client, ch Channel) error {
	name, initial, err := mech.Start()
	if err != nil {
		return &Refusal{Mech: name, Err: err}
	}
	late, ok := mech.(interface{ Late() bool })
	pending, err := begin(ch, name, initial, ok && late.Late())
	if err != nil {
		return err
	}
	for range maxRounds {
		step, err := ch.Receive()
		if err != nil {
			return err
		}
		switch step.Kind {
		case Refused:
			return &Refusal{Mech: name, Reply: step.Text, Err: proved(mech, true)}
		case Done:
			if err := proved(mech, false); err != nil || pending != nil {
				return untrusted(name, "success before the end of the exchange", err)
			}
			return nil
		}
		response, err := answer(mech, step.Text, &pending)
		if err != nil {
			return abort(ch, name, err)
		}
		if err := ch.Respond(base64.StdEncoding.EncodeToString(response)); err != nil {
			return err
		}
	}
	return abort(ch, name, errors.New("exchange has no end"))
}

// ErrUntrusted says that the server breaks the rules of a mechanism in a way that an impostor would.
var ErrUntrusted = errors.New("server must not be trusted")

// untrusted is such a break; cause may be nil.
func untrusted(mech, what string, cause error) error {
	if cause == nil {
		return fmt.Errorf("%s: %s: %w", mech, what, ErrUntrusted)
	}
	return fmt.Errorf("%s: %s: %w: %w", mech, what, ErrUntrusted, cause)
}

// begin opens the exchange and returns the initial response if it could not go with the command.
func begin(ch Channel, name string, initial []byte, late bool) (pending []byte, err error) {
	if initial == nil {
		return nil, ch.Begin(name, nil)
	}
	text := base64.StdEncoding.EncodeToString(initial)
	if text == "" {
		text = "="
	}
	if late || len(text) > ch.InitialLimit() {
		return initial, ch.Begin(name, nil)
	}
	return nil, ch.Begin(name, &text)
}

// answer gives the response to a challenge; the first one may only ask for the initial response.
func answer(mech sasl.Client, challenge string, pending *[]byte) ([]byte, error) {
	if first := *pending; first != nil {
		*pending = nil
		return first, nil
	}
	data, err := decodeChallenge(challenge)
	if err != nil {
		return nil, err
	}
	return mech.Next(data)
}

// decodeChallenge decodes base64 strictly; blanks at the end are passed over, and so is absent padding.
func decodeChallenge(text string) ([]byte, error) {
	if len(text) > maxChallenge {
		return nil, fmt.Errorf("challenge of %d characters, the limit is %d", len(text), maxChallenge)
	}
	text = strings.TrimRight(strings.TrimRight(text, " \r\n"), "=")
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("could not decode BASE64 challenge")
	}
	return data, nil
}

// proved asks the mechanism about the server. After a refusal only the mechanism's knowledge of the reason counts.
func proved(mech sasl.Client, refused bool) error {
	p, ok := mech.(prover)
	if !ok {
		return nil
	}
	err := p.Proved()
	var token *tokenError
	if refused && !errors.As(err, &token) {
		return nil
	}
	return err
}

// abort ends the exchange from our side: RFC 4422, section 3.5. The answer must be a refusal.
func abort(ch Channel, name string, cause error) error {
	if err := ch.Respond("*"); err != nil {
		return errors.Join(cause, err)
	}
	step, err := ch.Receive()
	if err != nil {
		return errors.Join(cause, err)
	}
	if step.Kind != Refused {
		return untrusted(name, "server goes on after the abort", cause)
	}
	return &Refusal{Mech: name, Reply: step.Text, Err: cause}
}
