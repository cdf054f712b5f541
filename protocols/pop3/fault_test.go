package pop3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/pop3"
	"fetchmail/protocols/wire"
)

// fetchAndDelete polls as poll does and returns what came whole.
func fetchAndDelete(ctx context.Context, o pop3.Options) (whole map[string][]byte, removed []protocols.Item, err error) {
	whole = map[string][]byte{}
	s, err := pop3.Open(ctx, o)
	if err != nil {
		return whole, nil, err
	}
	defer s.Close()
	l, err := s.List(ctx)
	if err != nil {
		return whole, nil, err
	}
	for m, ferr := range s.Fetch(ctx, l.Items) {
		if m == nil {
			err = ferr
			break
		}
		if ferr != nil {
			continue
		}
		body, berr := io.ReadAll(m.Body)
		if berr != nil {
			err = berr
			continue
		}
		whole[m.Item.UID] = append(append([]byte(nil), m.Header...), body...)
		s.Delete(ctx, m.Item)
	}
	removed, cerr := s.Commit(ctx)
	return whole, removed, errors.Join(err, cerr)
}

// The connection is cut behind every single byte that the server sends.
func TestCutAtEveryByte(t *testing.T) {
	mail := [][]byte{mailtest.Letter(1), []byte("Subject: dots\r\n\r\n.\r\n..\r\n"), mailtest.Letter(3)}
	for _, caps := range [][]string{{"TOP", "UIDL"}, {"TOP", "UIDL", "PIPELINING"}} {
		t.Run(strings.Join(caps, " "), func(t *testing.T) {
			t.Parallel()
			for cut := int64(1); ; cut++ {
				s := mailtest.NewPOP3(mail...)
				s.Caps, s.CutAfter = caps, cut
				if err := s.Start(""); err != nil {
					t.Fatal(err)
				}
				whole, removed, err := fetchAndDelete(t.Context(), options(s))
				s.Close()
				left := map[string]bool{}
				for _, m := range s.Left("alice") {
					left[m.UID] = true
				}
				for i, raw := range mail {
					uid := fmt.Sprintf("uid-%d", i+1)
					if got, came := whole[uid]; came && !bytes.Equal(got, raw) || !came && !left[uid] {
						t.Fatalf("cut after %d: %s came %v as %q, left %v", cut, uid, came, got, left[uid])
					}
				}
				for _, it := range removed {
					if left[it.UID] {
						t.Fatalf("cut after %d: %s confirmed, but still there", cut, it.UID)
					}
				}
				if err == nil {
					if len(whole) != len(mail) || len(removed) != len(mail) || cut < 800 {
						t.Fatalf("cut after %d: no error, but %d messages came, %d were removed", cut, len(whole), len(removed))
					}
					return
				}
				if kindOf(err) == 0 {
					t.Fatalf("cut after %d: %v is no Fault", cut, err)
				}
			}
		})
	}
}

func TestThousandMessagesInFiftyRoundTrips(t *testing.T) {
	s := mailtest.NewPOP3(mailtest.Letters(1000)...)
	s.Caps = append(s.Caps, "PIPELINING")
	serve(t, s)
	// With a delay what the client sends while it reads counts as one turn, however slow the machine is.
	p := &mailtest.Proxy{Target: net.JoinHostPort(s.Host(), s.Port()), Delay: 40 * time.Millisecond}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	o := options(s)
	o.Host, o.Service = "127.0.0.1", fmt.Sprint(p.Addr().Port)
	whole, removed, err := fetchAndDelete(t.Context(), o)
	if err != nil || len(whole) != 1000 || len(removed) != 1000 {
		t.Fatalf("%d came, %d removed, %v", len(whole), len(removed), err)
	}
	t.Logf("%d round trips", p.Turns())
	if p.Turns() > 50 {
		t.Errorf("%d round trips", p.Turns())
	}
}

// A server that reads nothing before its answer is taken, and a client that takes its time, must not wait for each
// other. The messages are larger than all socket buffers together.
func TestSlowReaderAndStubbornServerDoNotDeadlock(t *testing.T) {
	var mail [][]byte
	for i := range 30 {
		mail = append(mail, append(mailtest.Letter(i), bytes.Repeat([]byte("0123456789012345678901234567890123456789\r\n"), 20_000)...))
	}
	s := mailtest.NewPOP3(mail...)
	s.Caps = append(s.Caps, "PIPELINING")
	serve(t, s)
	o := options(s)
	o.WindowOctets = 1 << 30
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	session, err := pop3.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	l, err := session.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range session.Fetch(ctx, l.Items) {
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
		if n, err := io.Copy(io.Discard, m.Body); err != nil || n < 800_000 {
			t.Fatal(n, err)
		}
		session.Delete(ctx, m.Item)
	}
	if removed, err := session.Commit(ctx); err != nil || len(removed) != len(mail) {
		t.Fatal(len(removed), err)
	}
}

// A hostile server costs neither memory nor time.
func TestHostileServer(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, c := range []struct {
		name, command string
		act           mailtest.POP3Act
		kind          protocols.Kind
	}{
		{"endless greeting", "GREETING", mailtest.POP3Flood("+OK ", long), protocols.Protocol},
		{"endless capabilities", "CAPA", mailtest.POP3Flood("+OK\r\n", "X-CAPABILITY\r\n"), 0}, // a new connection without CAPA
		{"endless capability", "CAPA", mailtest.POP3Flood("+OK\r\n", long), 0},
		{"endless answer to PASS", "PASS", mailtest.POP3Flood("+OK", long), protocols.Protocol},
		{"endless list of UIDs", "UIDL", mailtest.POP3Flood("+OK\r\n", "1 abc\r\n"), protocols.Server},
		{"endless UID", "UIDL", mailtest.POP3Flood("+OK\r\n1 ", long), protocols.Server},
		{"endless list of sizes", "LIST", mailtest.POP3Flood("+OK\r\n", "1 10\r\n"), protocols.Protocol},
		{"endless size", "LIST", mailtest.POP3Flood("+OK\r\n1 ", "1"), protocols.Protocol},
		{"endless header", "TOP", mailtest.POP3Flood("+OK\r\n", "X-Header: "+long+"\r\n"), protocols.Unavailable},
		{"endless header line", "TOP", mailtest.POP3Flood("+OK\r\nX-Header: ", long), protocols.Unavailable},
		{"binary greeting", "GREETING", mailtest.POP3Raw("\x16\x03\x01\x00\r\n"), protocols.Protocol},
		{"huge STAT", "STAT", mailtest.POP3Reply("+OK 99999999999999999999 1"), protocols.Protocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mailtest.NewPOP3(mailtest.Letters(20)...)
			s.On(c.command, c.act)
			serve(t, s)
			o := options(s)
			o.MaxHeader = 64 << 10
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			kind, err := firstKind(ctx, o)
			runtime.ReadMemStats(&after)
			if kind != c.kind {
				t.Errorf("kind %v: %v", kind, err)
			}
			// The scripted server's own buffers are in the figure.
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 64<<20 {
				t.Errorf("heap grew by %d MB", grown>>20)
			}
		})
	}
}

// firstKind is the kind of the first fault in a poll.
func firstKind(ctx context.Context, o pop3.Options) (protocols.Kind, error) {
	s, err := pop3.Open(ctx, o)
	if err != nil {
		return kindOf(err), err
	}
	l, err := s.List(ctx)
	if err == nil {
		for m, ferr := range s.Fetch(ctx, l.Items) {
			if err = ferr; err != nil || m != nil {
				break
			}
		}
	}
	s.Conn().Close() // the rest would have no end
	s.Close()
	return kindOf(err), err
}

func TestEveryPhaseHasADeadline(t *testing.T) {
	for _, c := range []struct {
		command string
		phase   protocols.Phase
	}{
		{"GREETING", protocols.Opening}, {"CAPA", protocols.LoggingIn}, {"USER", protocols.LoggingIn}, {"PASS", protocols.LoggingIn},
		{"STAT", protocols.Opening}, {"LAST", protocols.Opening}, {"UIDL", protocols.Opening}, {"LIST", protocols.Fetching},
		{"TOP", protocols.Fetching}, {"DELE", protocols.Fetching}, {"QUIT", protocols.Finishing},
	} {
		t.Run(c.command, func(t *testing.T) {
			s := mailtest.NewPOP3(mailtest.Letters(2)...)
			s.On(c.command, mailtest.POP3Hang)
			onPipe(t, s, time.Minute, func(t *testing.T, o pop3.Options) {
				_, removed, err := fetchAndDelete(t.Context(), o)
				var f *protocols.Fault
				if !errors.As(err, &f) || f.Kind != protocols.Timeout || f.Phase != c.phase || !errors.Is(err, wire.ErrTimeout) || len(removed) != 0 {
					t.Errorf("%v (%+v), removed %v", err, f, removed)
				}
			})
			if left := s.Left("alice"); len(left) != 2 {
				t.Errorf("%d messages left", len(left))
			}
		})
	}
}

func TestDripWithinTheTextIsNoProgress(t *testing.T) {
	s := mailtest.NewPOP3(mailtest.Letters(1)...)
	s.On("TOP", mailtest.POP3Drip(60*time.Second))
	onPipe(t, s, 150*time.Second, func(t *testing.T, o pop3.Options) {
		start := time.Now()
		if _, _, err := fetchAndDelete(t.Context(), o); kindOf(err) != protocols.Timeout || time.Since(start) < 200*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestCommandsCannotBeInjected(t *testing.T) {
	for _, c := range []struct{ user, password string }{
		{"alice\r\nDELE 1", "secret"}, {"alice", "secret\r\nDELE 1"}, {"alice\nX", "secret"}, {"alice", "sec\x00ret"}, {"alice", strings.Repeat("x", 5000)},
	} {
		s := serve(t, mailtest.NewPOP3(mailtest.Letters(1)...))
		o := options(s)
		o.User, o.Secret = c.user, secretOf(c.password)
		if _, err := pop3.Open(t.Context(), o); kindOf(err) != protocols.Config {
			t.Errorf("%q: %v", c, err)
		}
		for _, l := range s.Commands()[0] {
			if l != "CAPA" && l != "QUIT" {
				t.Errorf("%q: server got %q", c, l)
			}
		}
	}
}

func TestTraceHoldsNoSecret(t *testing.T) {
	for _, mechs := range []string{"", "CRAM-MD5", "PLAIN", "LOGIN"} {
		s := mailtest.NewPOP3(mailtest.Letters(2)...)
		s.Caps = append(s.Caps, "SASL "+mechs)
		s.Stamp = "<1896.697170952@mail.example.test>"
		serve(t, s)
		for _, a := range []string{"any", "apop", "plain", "login"} {
			o := options(s)
			o.Auth = a
			var lines []string
			o.Trace = func(d wire.Dir, text string) { lines = append(lines, string(d)+text) }
			_, _, _ = fetchAndDelete(t.Context(), o)
			secretFree(t, lines, "secret")
			for _, l := range lines {
				if strings.Contains(l, "this is all") {
					t.Errorf("message text in the trace: %q", l)
				}
			}
			if !contains(lines, "<+OK POP3 ready") || !contains(lines, ">CAPA") {
				t.Errorf("trace is not complete: %q", lines)
			}
		}
	}
}

// A server that claims a million messages and names none costs what the numbers alone need.
func TestAClaimedMillionOfMessagesCostsLittle(t *testing.T) {
	s := mailtest.NewPOP3(mailtest.Letters(1)...)
	s.On("STAT", mailtest.POP3Reply("+OK 1000000 100000000"))
	serve(t, s)
	session, err := pop3.Open(t.Context(), options(s))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	l, err := session.List(t.Context())
	runtime.ReadMemStats(&after)
	if err != nil || len(l.Items) != 1_000_000 || !l.Items[1].Seen {
		t.Fatal(len(l.Items), err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
		t.Errorf("%d MB were allocated", got>>20)
	}
}
