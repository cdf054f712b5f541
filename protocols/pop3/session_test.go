package pop3_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/pop3"
	"fetchmail/protocols/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server that ends with the test.
func serve(t testing.TB, s *mailtest.POP3) *mailtest.POP3 {
	t.Helper()
	if err := s.Start(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// options are those for a scripted server.
func options(s *mailtest.POP3) pop3.Options {
	return pop3.Options{Dialer: &wire.Dialer{Timeout: 20 * time.Second}, Host: s.Host(), Service: s.Port(), User: "alice", Secret: auth.Fixed("secret")}
}

// opened opens a session that ends with the test, and lists the mailbox.
func opened(t testing.TB, o pop3.Options) (*pop3.Session, protocols.Listing) {
	t.Helper()
	session, err := pop3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	l, err := session.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return session, l
}

// onPipe tests a session with a server at the other end of a pipe, on a clock of their own: no load of the machine makes a
// pause longer than it says.
func onPipe(t *testing.T, s *mailtest.POP3, limit time.Duration, test func(*testing.T, pop3.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defer s.Close()
		dial := func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			s.Serve(theirs)
			return ours, nil
		}
		test(t, pop3.Options{Dialer: &wire.Dialer{Timeout: limit, DialContext: dial}, Host: "127.0.0.1", Service: "110", User: "alice", Secret: auth.Fixed("secret")})
	})
}

func mailbox(t *testing.T, s *mailtest.POP3) mailtest.Mailbox {
	return mailtest.Mailbox{
		Open: func(ctx context.Context, known func(string) bool) (protocols.Session, error) {
			o := options(s)
			o.Known = known
			session, err := pop3.Open(ctx, o)
			if err != nil {
				return nil, err
			}
			return session, nil
		},
		Left: func() (left [][]byte) {
			for _, m := range s.Left("alice") {
				left = append(left, m.Raw)
			}
			return left
		},
		Refuse: func(n int) { s.On(command("(TOP|RETR)", n), mailtest.POP3Reply("-ERR no such message")) },
		Cut:    func(n int) { s.On(command("(TOP|RETR)", n), mailtest.POP3After(500, mailtest.POP3Drop)) },
		Hang:   func(n int) { s.On(command("(TOP|RETR)", n), mailtest.POP3After(500, mailtest.POP3Hang)) },
	}
}

// command is a pattern for a command about message n.
func command(verb string, n int) string { return fmt.Sprintf(`%s %d\b`, verb, n) }

func TestSessionContract(t *testing.T) {
	for _, c := range []struct {
		name string
		caps []string
	}{
		{"one by one", []string{"TOP", "UIDL"}},
		{"pipelined", []string{"TOP", "UIDL", "PIPELINING"}},
		{"without CAPA", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			mailtest.TestSession(t, func(t *testing.T, mail ...[]byte) mailtest.Mailbox {
				s := mailtest.NewPOP3(mail...)
				s.Caps = c.caps
				return mailbox(t, serve(t, s))
			})
		})
	}
}

func secretOf(text string) auth.Secret { return auth.Fixed(text) }
