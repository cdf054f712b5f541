package auth

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func TestSecretsThatServersRepeatAreHidden(t *testing.T) {
	token := base64.StdEncoding.EncodeToString([]byte("user=alice\x01auth=Bearer t0ken\x01\x01"))
	for _, tt := range []struct{ sent, shown, received, want string }{
		{"PASS s3cret", "PASS *", `-ERR "PASS s3cret" is wrong`, `-ERR "PASS *" is wrong`},
		{`A1 LOGIN "alice" "s3 cret"`, `A1 LOGIN "alice" *`, `A1 BAD what is LOGIN "alice" "s3 cret"?`, `A1 BAD what is LOGIN "alice" "*"?`},
		{"AUTH XOAUTH2 " + token, "AUTH XOAUTH2 *", "-ERR bad " + token, "-ERR bad *"},
		{token, "*", "-ERR bad user=alice\x01auth=Bearer t0ken\x01\x01", "-ERR bad *"},
		{"STAT", "STAT", "+OK 1 200", "+OK 1 200"},
		{"PASS x", "PASS *", "-ERR no mailbox", "-ERR no mailbox"}, // too short to be told from words
	} {
		var m Mask
		m.AddLine(tt.sent, tt.shown)
		if got := m.Hide(tt.received); got != tt.want {
			t.Errorf("after %q: %q, want %q", tt.sent, got, tt.want)
		}
		if s := fmt.Sprintf("%v %+v %#v %s", &m, &m, &m, &m); strings.Contains(s, "s3") {
			t.Errorf("printed: %s", s)
		}
	}
}

func TestTokenInTheReasonOfItsRefusalIsHidden(t *testing.T) {
	for _, mech := range []string{"XOAUTH2", "OAUTHBEARER"} {
		c, err := New(mech, "alice", "t0k3n-t0k3n", Server{})
		if err != nil {
			t.Fatal(err)
		}
		c.Next([]byte("t0k3n-t0k3n" + strings.Repeat("x", 10*maxOAuthDetails)))
		if err := c.(prover).Proved(); err == nil || strings.Contains(err.Error(), "t0k3n") || len(err.Error()) > 2*maxOAuthDetails {
			t.Errorf("%s: %v", mech, err)
		}
	}
}
