package pop3_test

import (
	"encoding/base64"
	"strings"
	"testing"
)

// secretFree fails if a trace holds a secret, also in base64.
func secretFree(t *testing.T, lines []string, secrets ...string) {
	t.Helper()
	for _, l := range lines {
		for _, s := range secrets {
			for shift := range 3 { // every alignment of base64
				enc := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + s))
				enc = enc[(shift*8+5)/6 : len(enc)-4]
				if strings.Contains(l, s) || len(enc) > 3 && strings.Contains(l, enc) {
					t.Errorf("secret in the trace: %q", l)
				}
			}
		}
	}
}

// contains tells whether a line begins with prefix.
func contains(lines []string, prefix string) bool {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			return true
		}
	}
	return false
}
