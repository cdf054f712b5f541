package imap

import (
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a server and ends it with the test.
func start(t testing.TB, s *mailtest.IMAP) *mailtest.IMAP {
	t.Helper()
	if err := s.Start(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// options are those of an everyday session with a scripted server.
func options(s *mailtest.IMAP) Options {
	return Options{Dialer: &wire.Dialer{Timeout: 10 * time.Second}, Host: s.Host(), Service: s.Port(), User: "alice",
		Secret: auth.Fixed("secret")}
}

// onPipe tests a session with a server at the other end of a pipe, on a clock of their own: no load of the machine makes a
// pause longer than it says.
func onPipe(t *testing.T, s *mailtest.IMAP, limit time.Duration, test func(*testing.T, Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(s.Close)
		dial := func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			s.Serve(theirs)
			return ours, nil
		}
		test(t, Options{Dialer: &wire.Dialer{Timeout: limit, DialContext: dial}, Host: "127.0.0.1", Service: "143", User: "alice", Secret: auth.Fixed("secret")})
	})
}

// scripted makes mailboxes on a scripted server for the conformance suite.
func scripted(change func(*mailtest.IMAP, *Options)) mailtest.Maker {
	return func(t *testing.T, mail ...[]byte) mailtest.Mailbox {
		s := mailtest.NewIMAP(mail...)
		var o Options
		if change != nil {
			change(s, &o)
		}
		start(t, s)
		base := options(s)
		o.Dialer, o.Host, o.Service, o.User, o.Secret = base.Dialer, base.Host, base.Service, base.User, base.Secret
		on := func(n int, f func(*mailtest.IMAPMail)) { s.Change("alice", "INBOX", n, f) }
		return mailtest.Mailbox{
			Open: func(ctx context.Context, known func(string) bool) (protocols.Session, error) {
				o := o
				o.Keep = true // what an earlier session has marked is not to be removed
				session, err := Open(ctx, o)
				if err != nil {
					return nil, err
				}
				return session, session.Select(ctx, "", false)
			},
			Left: func() (left [][]byte) {
				for _, m := range s.Left("alice", "INBOX") {
					left = append(left, m.Raw)
				}
				return left
			},
			Refuse: func(n int) { on(n, func(m *mailtest.IMAPMail) { m.Refused = true }) },
			Cut:    func(n int) { on(n, func(m *mailtest.IMAPMail) { m.Half = mailtest.IMAPDrop }) },
			Hang:   func(n int) { on(n, func(m *mailtest.IMAPMail) { m.Half = mailtest.IMAPHang }) },
		}
	}
}

func without(caps []string, drop ...string) []string {
	return slices.DeleteFunc(slices.Clone(caps), func(c string) bool { return slices.Contains(drop, c) })
}

func TestSuite(t *testing.T) {
	for name, change := range map[string]func(*mailtest.IMAP, *Options){
		"batches":               nil,
		"late UIDs":             func(s *mailtest.IMAP, o *Options) { s.UIDLate = true },
		"missing UIDs":          func(s *mailtest.IMAP, o *Options) { s.UIDMissing = true },
		"every message by head": func(s *mailtest.IMAP, o *Options) { o.LargeMessage = 1 },
		"message by message": func(s *mailtest.IMAP, o *Options) {
			s.Caps = without(s.Caps, "UIDPLUS")
			o.ExpungeSet = true
		},
		"IMAP4 of RFC 1730": func(s *mailtest.IMAP, o *Options) {
			s.Caps = []string{"IMAP4"}
			o.ExpungeSet = true
		},
	} {
		t.Run(name, func(t *testing.T) { mailtest.TestSession(t, scripted(change)) })
	}
}
