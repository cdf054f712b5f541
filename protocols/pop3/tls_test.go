package pop3_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"fetchmail/protocols"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/pop3"
	"fetchmail/protocols/wire"
)

// secured is a server that offers STLS, options that trust it, and the policy.
func secured(t *testing.T, policy wire.Upgrade) (*mailtest.POP3, pop3.Options) {
	ca := mailtest.NewCA(t, "test CA")
	s := mailtest.NewPOP3(mailtest.Letters(2)...)
	s.TLS = ca.Issue(t, mailtest.CertSpec{CommonName: "127.0.0.1", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}).Config()
	serve(t, s)
	o := options(s)
	o.StartTLS, o.TLS = policy, &wire.TLS{CheckCert: true, CertFile: ca.File(t)}
	return s, o
}

// RFC 2595, section 4: what was learned before TLS is forgotten.
func TestCapabilitiesFromBeforeTLSAreForgotten(t *testing.T) {
	s, o := secured(t, wire.Must)
	s.Once("CAPA", mailtest.POP3Reply("+OK", "STLS", "PIPELINING", "SASL CRAM-MD5", "."))
	if _, _, err := fetchAndDelete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	got := s.Commands()[0]
	want := []string{"CAPA", "STLS", "CAPA", "USER alice", "PASS secret", "STAT"}
	if !slices.Equal(got[:len(want)], want) {
		t.Errorf("commands %q", got)
	}
}

func TestNoCredentialsLeaveWithoutTLSWhenItMustBe(t *testing.T) {
	for _, c := range []struct {
		name string
		act  mailtest.POP3Act
	}{
		{"refused", mailtest.POP3Reply("-ERR no")}, {"nonsense", mailtest.POP3Reply("what")}, {"lost", mailtest.POP3Drop},
		{"plain after agreement", mailtest.POP3Then(mailtest.POP3Raw("+OK\r\n"), mailtest.POP3Raw(strings.Repeat("+OK\r\n", 20)))},
		{"nothing but +OK", mailtest.POP3Reply("+OK")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, o := secured(t, wire.Must)
			o.Dialer = &wire.Dialer{Timeout: 500e6}
			s.On("STLS", c.act)
			_, err := pop3.Open(t.Context(), o)
			var f *protocols.Fault
			if !errors.As(err, &f) || f.Kind != protocols.Socket && f.Kind != protocols.Timeout {
				t.Errorf("%v", err)
			}
			for _, session := range s.Commands() {
				for _, l := range session {
					if l != "CAPA" && l != "STLS" && l != "QUIT" && !strings.HasPrefix(l, "\x16\x03") && strings.Contains(l, "alice") {
						t.Errorf("server got %q", l)
					}
				}
			}
		})
	}
}

func TestInjectedBytesEndTheSessionUnderEveryPolicy(t *testing.T) {
	for _, policy := range []wire.Upgrade{wire.May, wire.Must} {
		s, o := secured(t, policy)
		s.On("STLS", mailtest.POP3Raw("+OK\r\n+OK injected\r\n"))
		if _, err := pop3.Open(t.Context(), o); !errors.Is(err, wire.ErrInjected) || kindOf(err) != protocols.Socket {
			t.Errorf("%v", err)
		}
		if n := len(s.Commands()); n != 1 {
			t.Errorf("%d connections", n)
		}
	}
}

// An optional upgrade that fails by the certificate must not end in a password in clear.
func TestRefusedCertificateIsNoReasonForClearText(t *testing.T) {
	s, o := secured(t, wire.May)
	for name, policy := range map[string]*wire.TLS{
		"fingerprint": {Fingerprint: strings.Repeat("00:", 31) + "00"}, "chain": {CheckCert: true},
		"name": {CheckCert: true, CertFile: o.TLS.CertFile, CommonName: "elsewhere.example.net"},
	} {
		o.TLS = policy
		_, err := pop3.Open(t.Context(), o)
		var f *protocols.Fault
		if !errors.As(err, &f) || f.Kind != protocols.Socket || len(f.Detail) == 0 || !strings.HasSuffix(f.Detail[len(f.Detail)-1], ": upgrade to TLS failed.") {
			t.Errorf("%s: %v %+v", name, err, f)
		}
	}
	for _, session := range s.Commands() {
		if slices.Contains(session, "USER alice") {
			t.Errorf("commands %q", session)
		}
	}
}

func TestPipeliningUnderTLS(t *testing.T) {
	s, o := secured(t, wire.Must)
	s.Caps = append(s.Caps, "PIPELINING")
	for _, raw := range mailtest.Letters(300) {
		s.Put("alice", mailtest.POP3Mail{Raw: raw})
	}
	whole, removed, err := fetchAndDelete(t.Context(), o)
	if err != nil || len(whole) != 302 || len(removed) != 302 || len(s.Left("alice")) != 0 {
		t.Errorf("%d came, %d removed, %d left, %v", len(whole), len(removed), len(s.Left("alice")), err)
	}
}
