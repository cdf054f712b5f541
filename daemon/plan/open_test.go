package plan

import (
	"testing"

	"fetchmail/protocols/wire"
	"fetchmail/rcfile"
)

// fetchmail(1), --sslproto, --sslcertck; what the manual leaves open was measured on the reference.
func TestWhenAPlainConnectionIsSecured(t *testing.T) {
	for _, tt := range []struct {
		name  string
		proto rcfile.Protocol
		user  rcfile.User
		want  wire.Upgrade
	}{
		{"no word of the user", rcfile.IMAP, rcfile.User{SSLCertCk: true}, wire.Must},
		{"no sslcertck", rcfile.IMAP, rcfile.User{}, wire.May},
		{"no sslcertck, but a fingerprint", rcfile.IMAP, rcfile.User{SSLFingerprint: "00:11"}, wire.Must},
		{"no sslcertck, but sslproto", rcfile.POP3, rcfile.User{SSLProto: "tls1.2", SSLProtoSet: true}, wire.Must},
		{"sslproto ''", rcfile.POP3, rcfile.User{SSLCertCk: true, SSLProtoSet: true, SSLFingerprint: "00"}, wire.Never},
		{"ssl: wrapped already", rcfile.IMAP, rcfile.User{SSL: true, SSLCertCk: true}, wire.Never},
		{"APOP sends no password", rcfile.APOP, rcfile.User{SSLCertCk: true}, wire.Never},
		{"sslmode wins", rcfile.APOP, rcfile.User{SSLMode: "starttls=must"}, wire.Must},
		{"sslmode starttls=may", rcfile.IMAP, rcfile.User{SSLMode: "starttls=may", SSLCertCk: true}, wire.May},
		{"sslmode none", rcfile.IMAP, rcfile.User{SSLMode: "none", SSLCertCk: true}, wire.Never},
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
