package imap

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"testing"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
	"fetchmail/protocols/wire"
)

func dovecotOptions(d *real.Dovecot, user string) Options {
	return Options{Dialer: &wire.Dialer{Timeout: 30 * time.Second}, Host: d.Host, Service: strconv.Itoa(d.IMAP), User: user,
		Secret: auth.Fixed(d.Users[user])}
}

func TestSuiteOnDovecot(t *testing.T) {
	users := map[string]string{}
	for i := range 100 {
		users[fmt.Sprintf("u%d", i)] = "secret"
	}
	d := real.StartDovecot(t, real.DovecotOptions{Users: users})
	next := 0
	for name, change := range map[string]func(*Options){
		"batches":            func(o *Options) {},
		"by header":          func(o *Options) { o.LargeMessage = 1 },
		"message by message": func(o *Options) { o.classicOnly, o.ExpungeSet = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			mailtest.TestSession(t, func(t *testing.T, mail ...[]byte) mailtest.Mailbox {
				user := fmt.Sprintf("u%d", next)
				next++
				for _, m := range mail {
					d.Put(t, user, "", real.Mail{Text: bytes.ReplaceAll(m, []byte("\r\n"), []byte("\n"))})
				}
				o := dovecotOptions(d, user)
				o.Keep = true
				change(&o)
				return mailtest.Mailbox{
					Open: func(ctx context.Context, _ func(string) bool) (protocols.Session, error) {
						s, err := Open(ctx, o)
						if err != nil {
							return nil, err
						}
						return s, s.Select(ctx, "", false)
					},
					Left: func() (left [][]byte) {
						for _, m := range d.Left(t, user, "") {
							left = append(left, bytes.ReplaceAll(m.Text, []byte("\n"), []byte("\r\n")))
						}
						return left
					},
				}
			})
		})
	}
}

func TestAHugeMessageTakesLittleMemory(t *testing.T) {
	const size = 15 + 76*1_380_000
	d := real.StartDovecot(t, real.DovecotOptions{})
	d.Put(t, "alice", "", real.Mail{Size: size, Write: func(w io.Writer) error {
		fmt.Fprint(w, "Subject: huge\n\n")
		line := append(bytes.Repeat([]byte("x"), 75), '\n')
		for n := 15; n < size; n += len(line) {
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
		return nil
	}})
	ctx := t.Context()
	s, err := Open(ctx, dovecotOptions(d, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := s.List(ctx)
	if err != nil || len(l.Items) != 1 {
		t.Fatal(l, err)
	}
	for m, err := range s.Fetch(ctx, l.Items) {
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, m.Body, make([]byte, 32<<10))
		runtime.ReadMemStats(&after)
		if err != nil || n+m.HeaderSize != l.Items[0].Size || n != m.BodySize {
			t.Errorf("%d octets of body, %v; announced %d in all, %d of body", n, err, l.Items[0].Size, m.BodySize)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
			t.Errorf("%d octets were allocated for a message of %d", got, n)
		}
	}
}

func BenchmarkFetchFromDovecot(b *testing.B) {
	const count = 2000
	d := real.StartDovecot(b, real.DovecotOptions{})
	text := append([]byte("Subject: x\nFrom: a@example.org\n\n"), bytes.Repeat([]byte("0123456789 0123456789 0123456789\n"), 120)...)
	for range count {
		d.Put(b, "alice", "", real.Mail{Text: text})
	}
	b.SetBytes(int64(count * len(text)))
	for b.Loop() {
		o := dovecotOptions(d, "alice")
		o.Keep, o.FetchAll = true, true
		s, err := Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		l, err := s.List(b.Context())
		if err != nil || l.Total != count {
			b.Fatal(l.Total, err)
		}
		for m, err := range s.Fetch(b.Context(), l.Items) {
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, m.Body); err != nil {
				b.Fatal(err)
			}
		}
		s.Close()
	}
}

func TestLoginsOnDovecot(t *testing.T) {
	mechs := []string{"plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "external"}
	open := real.StartDovecot(t, real.DovecotOptions{Mechanisms: mechs})
	strict := real.StartDovecot(t, real.DovecotOptions{RequireTLS: true})
	for _, c := range []struct {
		name   string
		d      *real.Dovecot
		change func(*Options, *wire.TLS)
		want   protocols.Kind // 0: it works
	}{
		{"CRAM-MD5", open, func(o *Options, _ *wire.TLS) {}, 0},
		{"CRAM-MD5, wrong password", open, func(o *Options, _ *wire.TLS) { o.Secret = auth.Fixed("nonsense") }, protocols.Auth},
		{"LOGIN", open, func(o *Options, _ *wire.TLS) { o.Auth = "password" }, 0},
		{"LOGIN, wrong password", open, func(o *Options, _ *wire.TLS) { o.Auth, o.Secret = "password", auth.Fixed("x") }, protocols.Auth},
		{"PLAIN", open, func(o *Options, _ *wire.TLS) { o.Auth = "plain" }, 0},
		{"SCRAM", open, func(o *Options, _ *wire.TLS) { o.Auth = "scram" }, 0},
		{"no TLS where it must be", strict, func(o *Options, _ *wire.TLS) {}, protocols.Auth},
		{"STARTTLS", strict, func(o *Options, p *wire.TLS) { o.StartTLS, o.TLS = wire.Must, p }, 0},
		{"STARTTLS if possible", strict, func(o *Options, p *wire.TLS) { o.StartTLS, o.TLS = wire.May, p }, 0},
		{"STARTTLS, unknown authority", strict, func(o *Options, p *wire.TLS) { p.CertFile = "/dev/null"; o.StartTLS, o.TLS = wire.Must, p }, protocols.Socket},
		{"TLS", strict, func(o *Options, p *wire.TLS) { o.Dialer.TLS, o.Service = p, strconv.Itoa(strict.IMAPS) }, 0},
		{"TLS, wrong name", strict, func(o *Options, p *wire.TLS) {
			p.ServerName, o.Dialer.TLS, o.Service = "other.example.org", p, strconv.Itoa(strict.IMAPS)
		}, protocols.Socket},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := dovecotOptions(c.d, "alice")
			c.change(&o, &wire.TLS{CheckCert: true, CertFile: c.d.CA})
			s, err := Open(t.Context(), o)
			if c.want != 0 {
				if f := protocols.AsFault(err); err == nil || f.Kind != c.want {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if l, err := s.List(t.Context()); err != nil || l.Total != 0 {
				t.Error(l, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What the reference showed of these on this server: header and body octets.
func TestSizesOfOddMessagesOnDovecot(t *testing.T) {
	d := real.StartDovecot(t, real.DovecotOptions{})
	for _, text := range []string{"Subject: x\n\nbody\n", "\nbody only\n", "Subject: x\n", "Subject: x\n\n", "body\nwithout header\n\nmore\n"} {
		d.Put(t, "alice", "", real.Mail{Text: []byte(text)})
	}
	sizes := map[bool]string{}
	for _, classic := range []bool{false, true} {
		o := dovecotOptions(d, "alice")
		o.Keep, o.FetchAll, o.classicOnly = true, true, classic
		s, l := opened(t, o)
		for m, err := range s.Fetch(t.Context(), l.Items) {
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(m.Body)
			if err != nil || int64(len(body)) != m.BodySize {
				t.Error(err, len(body), m.BodySize)
			}
			sizes[classic] += fmt.Sprintf("%d+%d ", m.HeaderSize, m.BodySize)
		}
		s.Close()
	}
	if sizes[false] != sizes[true] {
		t.Errorf("by batch %s, message by message %s", sizes[false], sizes[true])
	}
}
