package esmtp_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/esmtp"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/wire"
)

// place is a server and what a session with it needs.
type place struct {
	*mailtest.Push
	o     esmtp.Options
	trace []string
}

func newPlace(t *testing.T, change func(*mailtest.Push)) *place {
	t.Helper()
	p := &place{Push: mailtest.NewPush()}
	if change != nil {
		change(p.Push)
	}
	if err := p.Start(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.o = esmtp.Options{Dialer: &wire.Dialer{Timeout: 20 * time.Second}, Host: "127.0.0.1", Service: p.Port(), Label: "there",
		Helo: "client.example.test", Protocol: "ODMR",
		Trace: func(proto string, d wire.Dir, text string) { p.trace = append(p.trace, proto+string(d)+" "+text) }}
	return p
}

func kindOf(err error) protocols.Kind {
	var f *protocols.Fault
	if !errors.As(err, &f) {
		return 0
	}
	return f.Kind
}

func TestTheTraceNamesThePhases(t *testing.T) {
	p := newPlace(t, nil)
	s, err := esmtp.Open(t.Context(), p.o)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Command("ETRN a"); err != nil || r.Code != 250 {
		t.Errorf("%v, %v", r, err)
	}
	if err := s.Quit(); err != nil {
		t.Error(err)
	}
	want := []string{"SMTP< 220 push.example.test ESMTP", "SMTP> EHLO client.example.test", "SMTP< 250-push.example.test", "SMTP< 250-ETRN",
		"SMTP< 250-AUTH CRAM-MD5", "SMTP< 250 ATRN", "ODMR> ETRN a", "ODMR< 250 2.0.0 queuing started", "ODMR> QUIT", "SMTP< 221 2.0.0 bye"}
	if !slices.Equal(p.trace, want) {
		t.Errorf("%q", p.trace)
	}
	if !s.Offers("ATRN") || s.Offers("STARTTLS") || !slices.Equal(s.Params("AUTH"), []string{"CRAM-MD5"}) {
		t.Error("the answer to EHLO was not understood")
	}
}

func TestFaultsBeforeTheFirstCommand(t *testing.T) {
	for _, tt := range []struct {
		name, on string
		act      mailtest.PushAct
		want     protocols.Kind
		quit     bool // QUIT is said
	}{
		{"a greeting of 421", "GREETING", mailtest.PushReply("421 go away"), protocols.Protocol, true},
		{"a greeting of 554", "GREETING", mailtest.PushReply("554 no"), protocols.Protocol, true},
		{"a greeting of 250", "GREETING", mailtest.PushReply("250 ok"), protocols.Protocol, true},
		{"no SMTP", "GREETING", mailtest.PushReply("SSH-2.0-x"), protocols.Protocol, true},
		{"no greeting", "GREETING", mailtest.PushDrop, protocols.Socket, false},
		{"a silent server", "GREETING", mailtest.PushHang, protocols.Timeout, false},
		{"a greeting that drips", "GREETING", mailtest.PushDrip(80 * time.Millisecond), protocols.Timeout, false},
		{"EHLO refused", "EHLO", mailtest.PushReply("502 no"), protocols.Protocol, true},
		{"EHLO answered by 421", "EHLO", mailtest.PushReply("421 no"), protocols.Protocol, true},
		{"lost at EHLO", "EHLO", mailtest.PushDrop, protocols.Socket, false},
		{"an endless reply", "EHLO", mailtest.PushFlood("", "250-X\r\n"), protocols.Protocol, false},
		{"an endless line", "EHLO", mailtest.PushFlood("250-", "x"), protocols.Protocol, false},
		{"codes that differ", "EHLO", mailtest.PushReply("250-a", "550 b"), protocols.Protocol, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, nil)
			if tt.want == protocols.Timeout {
				p.o.Dialer.Timeout = 300 * time.Millisecond
			}
			p.On(tt.on, tt.act)
			s, err := esmtp.Open(t.Context(), p.o)
			if s != nil || kindOf(err) != tt.want {
				t.Errorf("%v, want kind %v", err, tt.want)
			}
			if got := slices.Contains(p.trace, "ODMR> QUIT"); got != tt.quit {
				t.Errorf("QUIT said: %v, %q", got, p.trace)
			}
		})
	}
}

// SECURITY: nothing becomes a second command.
func TestNoSecondCommandInALine(t *testing.T) {
	p := newPlace(t, nil)
	s, err := esmtp.Open(t.Context(), p.o)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"ETRN a\r\nATRN b", "ETRN a\nb", "ETRN a\rb", "ETRN \x00"} {
		if _, err := s.Command(bad); kindOf(err) != protocols.Config {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := s.Quit(); err != nil {
		t.Error(err)
	}
	if got := p.Commands()[0]; !slices.Equal(got, []string{"EHLO client.example.test", "QUIT"}) {
		t.Errorf("%q", got)
	}
}

func TestWordsOutOfTurnEndTheSession(t *testing.T) {
	p := newPlace(t, nil)
	p.On("ETRN", mailtest.PushRaw("250 ok\r\n250 more\r\n"))
	s, err := esmtp.Open(t.Context(), p.o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Command("ETRN a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Command("ETRN b"); kindOf(err) != protocols.Protocol {
		t.Errorf("%v", err)
	}
}

func withTLS(t *testing.T) (change func(*mailtest.Push), policy *wire.TLS) {
	ca := mailtest.NewCA(t, "Test CA")
	return func(s *mailtest.Push) {
		s.TLS = ca.Issue(t, mailtest.CertSpec{CommonName: "localhost", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}).Config()
	}, &wire.TLS{CheckCert: true, CertFile: ca.File(t)}
}

// SECURITY: what was offered before TLS is forgotten.
func TestSTARTTLS(t *testing.T) {
	change, policy := withTLS(t)
	for _, upgrade := range []wire.Upgrade{wire.Never, wire.May, wire.Must} {
		p := newPlace(t, func(s *mailtest.Push) { change(s); s.Secured = []string{"AUTH PLAIN"} })
		p.o.StartTLS, p.o.TLS = upgrade, policy
		s, err := esmtp.Open(t.Context(), p.o)
		if err != nil {
			t.Fatal(err)
		}
		secure := upgrade != wire.Never
		if s.Offers("ATRN") == secure || slices.Contains(s.Params("AUTH"), "PLAIN") != secure || (s.Conn().TLSState() != nil) != secure {
			t.Errorf("policy %d: offers %v, TLS %v", upgrade, s.Params("AUTH"), s.Conn().TLSState() != nil)
		}
		if err := s.Quit(); err != nil {
			t.Error(err)
		}
	}
}

// SECURITY: STARTTLS absent, refused, injected into, or with a wrong certificate.
func TestNothingIsSaidInClearThatWasToBeProtected(t *testing.T) {
	change, policy := withTLS(t)
	other := *policy
	other.CertFile = mailtest.NewCA(t, "Another CA").File(t)
	for _, tt := range []struct {
		name   string
		change func(*mailtest.Push)
		act    mailtest.PushAct
		policy *wire.TLS
		want   error
	}{
		{"not offered", nil, nil, policy, nil},
		{"refused for now", change, mailtest.PushReply("454 not now"), policy, nil},
		{"refused", change, mailtest.PushReply("501 no"), policy, nil},
		{"lost", change, mailtest.PushDrop, policy, nil},
		{"bytes behind the agreement", change, mailtest.PushRaw("220 go\r\n250 ATRN\r\n"), policy, wire.ErrInjected},
		{"unknown authority", change, nil, &other, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, tt.change)
			p.o.StartTLS, p.o.TLS = wire.Must, tt.policy
			if tt.act != nil {
				p.On("STARTTLS", tt.act)
			}
			s, err := esmtp.Open(t.Context(), p.o)
			if s != nil || kindOf(err) != protocols.Socket || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v", err)
			}
			for _, l := range p.Commands()[0] {
				if l != "EHLO client.example.test" && l != "STARTTLS" && l != "QUIT" {
					t.Errorf("the server got %q", l)
				}
			}
		})
	}
}

const secret = `s3"cret!`

// SECURITY: secrets in traces and errors, exchanges without end.
func TestLogin(t *testing.T) {
	long := strings.Repeat("QUJD", 5000)
	for _, tt := range []struct {
		name string
		act  mailtest.PushAct
		ok   bool
		kind protocols.Kind // 0: a refusal
	}{
		{"granted", nil, true, 0},
		{"refused", mailtest.PushReply("535 wrong"), false, 0},
		{"refused after the response", mailtest.PushChallenge("PHhAeT4=", "535 wrong"), false, 0},
		{"refused with what we said", func(c *mailtest.PushConn) error { return c.Say("535 " + c.Line + " secret " + secret) }, false, 0},
		{"an empty challenge", mailtest.PushChallenge("", "501 cancelled"), false, 0},
		{"not base64", mailtest.PushChallenge("!!!", "501 cancelled"), false, 0},
		{"success at once", mailtest.PushReply("235 ok"), true, 0}, // CRAM-MD5 proves nothing of the server
		{"another positive code", mailtest.PushReply("250 ok"), false, protocols.Protocol},
		{"nonsense", mailtest.PushReply("what"), false, protocols.Protocol},
		{"lost", mailtest.PushDrop, false, protocols.Socket},
		{"a long challenge", mailtest.PushChallenge(long, "235 ok"), false, protocols.Protocol},
		{"challenges without end", mailtest.PushFlood("", "334 PHhAeT4=\r\n"), false, protocols.Protocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, func(s *mailtest.Push) { s.Password = secret })
			if tt.act != nil {
				p.On("AUTH", tt.act)
			}
			s, err := esmtp.Open(t.Context(), p.o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Leave()
			err = s.Login(mechanism(t, "CRAM-MD5"), secret)
			var no *auth.Refusal
			if tt.ok != (err == nil) || tt.kind != kindOf(err) || !tt.ok && tt.kind == 0 && !errors.As(err, &no) {
				t.Errorf("%v", err)
			}
			for _, l := range p.trace {
				if strings.HasPrefix(l, "ODMR> ") && strings.Contains(l, "YWxpY2") {
					t.Errorf("the trace shows %q", l)
				}
			}
		})
	}
	for _, code := range []string{"535", "nonsense:"} {
		p := newPlace(t, func(s *mailtest.Push) { s.Password = secret })
		p.On("AUTH", func(c *mailtest.PushConn) error {
			return c.Say(code + " I do not know " + strings.Fields(c.Line)[2] + " " + secret)
		})
		s, err := esmtp.Open(t.Context(), p.o)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Login(mechanism(t, "PLAIN"), secret)
		s.Leave()
		all := strings.Join(append(p.trace, protocols.AsFault(err).Detail...), "\n") + err.Error()
		if strings.Contains(all, "AGFsaWNl") || strings.Contains(all, "s3") || !strings.Contains(all, "AUTH PLAIN *\n") {
			t.Errorf("%s", all)
		}
	}
}

func mechanism(t *testing.T, name string) sasl.Client {
	t.Helper()
	m, err := auth.New(name, "alice", secret, auth.Server{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheContextEndsASession(t *testing.T) {
	p := newPlace(t, nil)
	p.On("EHLO", mailtest.PushHang)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	if _, err := esmtp.Open(ctx, p.o); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	p := newPlace(t, nil)
	p.o.Service = port
	_, err = esmtp.Open(t.Context(), p.o)
	var dial *wire.DialError
	if kindOf(err) != protocols.Socket || !errors.As(err, &dial) {
		t.Errorf("%v", err)
	}
}
