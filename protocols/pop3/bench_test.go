package pop3_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/pop3"
)

// large is a message of about n bytes.
func large(n int) []byte {
	line := []byte(".0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n")
	return append(mailtest.Letter(1), bytes.Repeat(line, n/len(line))...)
}

func TestMemoryIsFlatForAHundredMegabytes(t *testing.T) {
	raw := large(100 << 20)
	s := serve(t, mailtest.NewPOP3(raw))
	session, l := opened(t, options(s))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for m, err := range session.Fetch(t.Context(), l.Items) {
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, m.Body); err != nil || n+int64(len(m.Header)) != int64(len(raw)) {
			t.Fatalf("%d octets, %v", n, err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d KB were allocated", grown>>10)
	}
}

func BenchmarkLargeBody(b *testing.B) {
	raw := large(25 << 20)
	s := serve(b, mailtest.NewPOP3(raw))
	session, l := opened(b, options(s))
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		for m, err := range session.Fetch(b.Context(), l.Items) {
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, m.Body); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkMessages fetches and deletes 1,000 messages; an operation is one message.
func BenchmarkMessages(b *testing.B) {
	const count = 1000
	for _, c := range []struct {
		name   string
		window int
		delay  time.Duration // one way
	}{{"pipelined", 0, 0}, {"one by one", 1, 0}, {"pipelined, 40 ms", 0, 20 * time.Millisecond}} {
		b.Run(c.name, func(b *testing.B) {
			mail := mailtest.Letters(count)
			b.ReportAllocs()
			for n := 0; n < b.N; n += count {
				b.StopTimer()
				s := mailtest.NewPOP3(mail...)
				s.Caps = append(s.Caps, "PIPELINING")
				serve(b, s)
				p := &mailtest.Proxy{Target: net.JoinHostPort(s.Host(), s.Port()), Delay: c.delay}
				o := options(s)
				o.Window = c.window
				if c.delay > 0 {
					if err := p.Start(); err != nil {
						b.Fatal(err)
					}
					o.Service = fmt.Sprint(p.Addr().Port)
				}
				b.StartTimer()
				if err := discardAll(b, o); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if c.delay > 0 {
					p.Close()
				}
				b.StartTimer()
			}
		})
	}
}

func discardAll(b *testing.B, o pop3.Options) error {
	session, err := pop3.Open(b.Context(), o)
	if err != nil {
		return err
	}
	defer session.Close()
	l, err := session.List(b.Context())
	if err != nil {
		return err
	}
	for m, err := range session.Fetch(b.Context(), l.Items) {
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, m.Body); err != nil {
			return err
		}
		session.Delete(b.Context(), m.Item)
	}
	_, err = session.Commit(b.Context())
	return err
}
