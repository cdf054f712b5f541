package plan

import (
	"testing"

	"fetchmail/rcfile"
)

// fetchmail(1), --sslproto, --sslcertck; what the manual leaves open was measured on the reference.
func TestWhenAPlainConnectionIsSecured(t *testing.T) {
	for _, tt := range []struct {
		name  string
		proto rcfile.Protocol
		user  rcfile.User
		want  int
	}{
		{"no word of the user", rcfile.IMAP, rcfile.User{SSLCertCk: true}, must},
		{"no sslcertck", rcfile.IMAP, rcfile.User{}, may},
		{"no sslcertck, but a fingerprint", rcfile.IMAP, rcfile.User{SSLFingerprint: "00:11"}, must},
		{"no sslcertck, but sslproto", rcfile.POP3, rcfile.User{SSLProto: "tls1.2", SSLProtoSet: true}, must},
		{"sslproto ''", rcfile.POP3, rcfile.User{SSLCertCk: true, SSLProtoSet: true, SSLFingerprint: "00"}, never},
		{"ssl: wrapped already", rcfile.IMAP, rcfile.User{SSL: true, SSLCertCk: true}, never},
		{"APOP sends no password", rcfile.APOP, rcfile.User{SSLCertCk: true}, never},
		{"sslmode wins", rcfile.APOP, rcfile.User{SSLMode: "starttls=must"}, must},
		{"sslmode starttls=may", rcfile.IMAP, rcfile.User{SSLMode: "starttls=may", SSLCertCk: true}, may},
		{"sslmode none", rcfile.IMAP, rcfile.User{SSLMode: "none", SSLCertCk: true}, never},
	} {
		a := &account{server: &rcfile.Server{Protocol: tt.proto}, user: &tt.user}
		if got := a.upgrade(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// Measured on the reference: of several users at a server the first one's messages alone tell the server's address.
func TestTheAddressStandsInReceivedOfTheFirstUserOnly(t *testing.T) {
	s := &rcfile.Server{DNS: true, Users: []*rcfile.User{{Remote: "a"}, {Remote: "b"}}}
	for i, u := range s.Users {
		a := &account{config: &rcfile.Config{}, server: s, user: u}
		if got := a.edit().PeerAddr; got != (i == 0) {
			t.Errorf("user %d: %v", i, got)
		}
	}
}
