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
