package pop3_test

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
	"fetchmail/protocols/pop3"
	"fetchmail/protocols/wire"
)

func dovecotOptions(d *real.Dovecot) pop3.Options {
	return pop3.Options{Dialer: &wire.Dialer{Timeout: 30 * time.Second}, Host: d.Host, Service: strconv.Itoa(d.POP3),
		User: "alice", Secret: auth.Fixed("secret")}
}

// dovecotMailbox is alice's inbox with these messages in it.
func dovecotMailbox(t *testing.T, d *real.Dovecot, o pop3.Options, mail ...[]byte) mailtest.Mailbox {
	d.Empty(t, "alice", "")
	var texts [][]byte
	for _, m := range mail {
		texts = append(texts, bytes.ReplaceAll(m, []byte("\r\n"), []byte("\n")))
	}
	d.Put(t, "alice", "", real.Texts(texts...)...)
	return mailtest.Mailbox{
		Open: func(ctx context.Context, known func(string) bool) (protocols.Session, error) {
			o.Known, o.UIDL = known, true
			session, err := pop3.Open(ctx, o)
			if err != nil {
				return nil, err
			}
			return session, nil
		},
		Left: func() (left [][]byte) {
			for _, m := range d.Left(t, "alice", "") {
				left = append(left, bytes.ReplaceAll(m.Text, []byte("\n"), []byte("\r\n")))
			}
			return left
		},
	}
}

func TestSessionContractOnDovecot(t *testing.T) {
	d := real.StartDovecot(t, real.DovecotOptions{})
	for _, c := range []struct {
		name string
		set  func(*pop3.Options)
	}{
		{"plain", func(*pop3.Options) {}},
		{"one by one", func(o *pop3.Options) { o.Window = 1 }},
		{"STLS", func(o *pop3.Options) {
			o.StartTLS, o.TLS = wire.Must, &wire.TLS{CheckCert: true, CertFile: d.CA}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mailtest.TestSession(t, func(t *testing.T, mail ...[]byte) mailtest.Mailbox {
				o := dovecotOptions(d)
				c.set(&o)
				return dovecotMailbox(t, d, o, mail...)
			})
		})
	}
}

func TestWrappedTLSOnDovecot(t *testing.T) {
	d := real.StartDovecot(t, real.DovecotOptions{})
	d.Put(t, "alice", "", real.Texts([]byte("Subject: x\n\nbody\n"))...)
	o := dovecotOptions(d)
	o.Service = strconv.Itoa(d.POP3S)
	o.Dialer.TLS = &wire.TLS{CheckCert: true, CertFile: d.CA}
	s, err := pop3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if l, err := s.List(t.Context()); err != nil || l.Total != 1 || s.Conn().TLSState() == nil {
		t.Errorf("%+v, %v", l, err)
	}
	o.Dialer.TLS = &wire.TLS{CheckCert: true}
	if _, err = pop3.Open(t.Context(), o); kindOf(err) != protocols.Socket || len(protocols.AsFault(err).Detail) == 0 {
		t.Errorf("unknown CA: %v", err)
	}
}

// kindOf is the kind of a Fault, 0 if err is none.
func kindOf(err error) protocols.Kind {
	var f *protocols.Fault
	if errors.As(err, &f) {
		return f.Kind
	}
	return 0
}

func TestMechanismsOnDovecot(t *testing.T) {
	d := real.StartDovecot(t, real.DovecotOptions{
		Mechanisms: []string{"plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "oauthbearer", "xoauth2"}})
	for _, c := range []struct {
		auth string
		sent string
	}{
		{"any", "AUTH CRAM-MD5"}, {"password", "PASS *"}, {"cram-md5", "AUTH CRAM-MD5"}, {"scram", "AUTH SCRAM-SHA-256"},
		{"plain", "AUTH PLAIN *"}, {"login", "AUTH LOGIN"}, {"scram-sha-1", "AUTH SCRAM-SHA-1"}, {"oauthbearer", "AUTH OAUTHBEARER"},
	} {
		t.Run(c.auth, func(t *testing.T) {
			t.Parallel() // Dovecot makes those wait who do not know the password
			o := dovecotOptions(d)
			o.Auth = c.auth
			if c.auth == "oauthbearer" {
				o.Secret = auth.Fixed(d.Token(t, "alice", time.Hour))
			}
			var lines []string
			o.Trace = func(dir wire.Dir, text string) { lines = append(lines, string(dir)+" "+text) }
			s, err := pop3.Open(t.Context(), o)
			if err != nil {
				t.Fatalf("%v\n%q", err, lines)
			}
			s.Close()
			secretFree(t, lines, "secret")
			if !contains(lines, "> "+c.sent) {
				t.Errorf("no %q in %q", c.sent, lines)
			}
			o.Secret = auth.Fixed("wrong")
			if _, err := pop3.Open(t.Context(), o); kindOf(err) != protocols.Auth {
				t.Errorf("wrong password: %v", err)
			}
		})
	}
}

// BenchmarkDovecot fetches and deletes 2,000 messages of 4 KB; an operation is one message.
func BenchmarkDovecot(b *testing.B) {
	d := real.StartDovecot(b, real.DovecotOptions{})
	text := append(bytes.ReplaceAll(mailtest.Letter(1), []byte("\r\n"), []byte("\n")), bytes.Repeat([]byte("0123456789012345678901234567890123456789\n"), 90)...)
	texts := make([][]byte, 2000)
	for i := range texts {
		texts[i] = text
	}
	for n := 0; n < b.N; n += len(texts) {
		b.StopTimer()
		d.Empty(b, "alice", "")
		d.Put(b, "alice", "", real.Texts(texts...)...)
		b.StartTimer()
		if err := discardAll(b, dovecotOptions(d)); err != nil {
			b.Fatal(err)
		}
	}
	if n := d.Count(b, "alice", ""); n != 0 {
		b.Errorf("%d messages left", n)
	}
}
