package auth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// maxIterations bounds the work that a server can make us do: some seconds of one processor at most. OWASP's advice
// for SCRAM-SHA-1 was 1,300,000 at its highest. The least is 4096: RFC 7677, section 4, and the library's own limit.
const maxIterations = 2_000_000

func scramSHA1(user, secret string, s Server) (sasl.Client, error) {
	return newSCRAM("SCRAM-SHA-1", scram.SHA1, user, secret, s)
}

func scramSHA256(user, secret string, s Server) (sasl.Client, error) {
	return newSCRAM("SCRAM-SHA-256", scram.SHA256, user, secret, s)
}

func scramSHA1Plus(user, secret string, s Server) (sasl.Client, error) {
	return newSCRAM("SCRAM-SHA-1-PLUS", scram.SHA1, user, secret, s)
}

func scramSHA256Plus(user, secret string, s Server) (sasl.Client, error) {
	return newSCRAM("SCRAM-SHA-256-PLUS", scram.SHA256, user, secret, s)
}

// newSCRAM makes the client of RFC 5802; with channel binding if the name ends in -PLUS.
func newSCRAM(mech string, hash scram.HashGeneratorFcn, user, secret string, s Server) (sasl.Client, error) {
	if err := noNUL(user, secret); err != nil {
		return nil, err
	}
	c, err := hash.NewClient(user, secret, "")
	if err != nil {
		return nil, fmt.Errorf("%s: user name or password cannot be prepared (RFC 4013)", mech)
	}
	conv := c.NewConversation()
	switch {
	case strings.HasSuffix(mech, "-PLUS"):
		binding, err := channelBinding(s.TLS)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", mech, err)
		}
		conv = c.NewConversationWithChannelBinding(binding)
	case s.TLS != nil && !offers(s.Offered, mech+"-PLUS"):
		// RFC 5802, section 6: so the server can tell whether somebody between has kept its offer of -PLUS from us.
		conv = c.NewConversationAdvertisingChannelBinding()
	}
	return &client{mech: mech,
		initial: func() ([]byte, error) {
			first, err := conv.Step("")
			return []byte(first), err
		},
		next: func(challenge []byte) ([]byte, error) {
			if err := checkIterations(string(challenge)); err != nil {
				return nil, fmt.Errorf("%s: %w", mech, err)
			}
			answer, err := conv.Step(string(challenge))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", mech, err)
			}
			return []byte(answer), nil
		},
		proved: func() error {
			if !conv.Valid() {
				return fmt.Errorf("%s: server said OK without proving that it knows the password", mech)
			}
			return nil
		},
	}, nil
}

// channelBinding takes tls-exporter with TLS 1.3 and tls-server-end-point with TLS 1.2: RFC 9266, section 4.2.
func channelBinding(state *tls.ConnectionState) (scram.ChannelBinding, error) {
	if state == nil {
		return scram.ChannelBinding{}, errors.New("channel binding needs TLS")
	}
	if state.Version >= tls.VersionTLS13 {
		return scram.NewTLSExporterBinding(state)
	}
	return scram.NewTLSServerEndpointBinding(state)
}

// checkIterations looks at the iteration count of a server-first-message before the library does the work.
func checkIterations(message string) error {
	for field := range strings.SplitSeq(message, ",") {
		digits, ok := strings.CutPrefix(field, "i=")
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(digits); err != nil || n > maxIterations {
			return fmt.Errorf("server asks for %.20q iterations, the limit is %d", digits, maxIterations)
		}
	}
	return nil
}
