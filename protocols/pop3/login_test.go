package pop3_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/pop3"
	"fetchmail/protocols/wire"
)

// changing is a secret that is another one after Forget.
type changing struct{ texts []string }

func (c *changing) Get(context.Context) (string, error) { return c.texts[0], nil }
func (c *changing) Forget() {
	if len(c.texts) > 1 {
		c.texts = c.texts[1:]
	}
}

func TestARefusedSecretIsAskedAnewOnce(t *testing.T) {
	s := serve(t, mailtest.NewPOP3())
	o := options(s)
	o.Secret = &changing{[]string{"stale", "secret"}}
	session, err := pop3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
	o.Secret = &changing{[]string{"stale", "also wrong", "secret"}}
	if _, err := pop3.Open(t.Context(), o); kindOf(err) != protocols.Auth {
		t.Errorf("%v", err)
	}
	o.Secret = &changing{[]string{"wrong"}}
	if _, err := pop3.Open(t.Context(), o); kindOf(err) != protocols.Auth {
		t.Errorf("%v", err)
	}
	last := s.Commands()[2]
	if n := len(slices.DeleteFunc(slices.Clone(last), func(l string) bool { return !strings.HasPrefix(l, "PASS") })); n != 1 {
		t.Errorf("the same password was tried %d times", n)
	}
}

func TestSecretThatCannotBeHad(t *testing.T) {
	s := serve(t, mailtest.NewPOP3())
	o := options(s)
	o.Secret = auth.File("/nonexistent/password")
	if _, err := pop3.Open(t.Context(), o); kindOf(err) != protocols.Auth {
		t.Errorf("%v", err)
	}
	o.Secret = nil
	if _, err := pop3.Open(t.Context(), o); !errors.Is(err, auth.ErrNoSecret) {
		t.Errorf("%v", err)
	}
}

func TestNothingListens(t *testing.T) {
	s := mailtest.NewPOP3()
	if err := s.Start(""); err != nil {
		t.Fatal(err)
	}
	o := options(s)
	s.Close()
	_, err := pop3.Open(t.Context(), o)
	var dial *wire.DialError
	if kindOf(err) != protocols.Socket || !errors.As(err, &dial) || protocols.AsFault(err).Phase != protocols.Connecting {
		t.Errorf("%v", err)
	}
}

func TestRPOPAndSSH(t *testing.T) {
	s := serve(t, mailtest.NewPOP3())
	o := options(s)
	o.Protocol = "RPOP"
	session, err := pop3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
	if !slices.Contains(s.Commands()[0], "RPOP secret") {
		t.Errorf("commands %q", s.Commands()[0])
	}
	o = options(s)
	o.Auth, o.Secret = "ssh", nil
	if session, err = pop3.Open(t.Context(), o); err != nil { // the server, too, must know us already
		t.Fatal(err)
	}
	defer session.Close()
	if _, err := session.List(t.Context()); kindOf(err) != protocols.Protocol {
		t.Errorf("%v", err)
	}
}

// The context of Open ends a login that hangs.
func TestOpenEndsWithItsContext(t *testing.T) {
	for _, command := range []string{"GREETING", "CAPA", "PASS"} {
		s := mailtest.NewPOP3()
		s.On(command, mailtest.POP3Hang)
		serve(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := pop3.Open(ctx, options(s)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", command, err)
		}
		cancel()
	}
}

// Messages that cannot be told apart for certain are deleted only after they were fetched.
func TestDoubtfulMessagesAreNotDeletedUnfetched(t *testing.T) {
	s := mailtest.NewPOP3(mailtest.Letters(4)...)
	s.On("UIDL", mailtest.POP3Reply("+OK", "1 a", "2 a", "4 d", "."))
	serve(t, s)
	o := options(s)
	o.UIDL, o.Known = true, func(uid string) bool { return uid == "a" || uid == "d" }
	session, l := opened(t, o)
	for m, err := range session.Fetch(t.Context(), l.Items[:1]) {
		if err != nil || m.Close() != nil {
			t.Fatal(err)
		}
	}
	for _, it := range l.Items {
		if !it.Seen {
			t.Errorf("message %d is new", it.Num)
		}
		session.Delete(t.Context(), it)
	}
	removed, err := session.Commit(t.Context())
	if err != nil || len(removed) != 2 || removed[0].Num != 1 || removed[1].Num != 4 {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if left := s.Left("alice"); len(left) != 2 || left[0].UID != "uid-2" || left[1].UID != "uid-3" {
		t.Errorf("left %+v", left)
	}
}

// Large numbers of deletions without any message in between stay within the bounds of the pipeline.
func TestManyDeletions(t *testing.T) {
	s := mailtest.NewPOP3(mailtest.Letters(5000)...)
	s.Caps = append(s.Caps, "PIPELINING")
	serve(t, s)
	session, l := opened(t, options(s))
	for _, it := range l.Items {
		session.Delete(t.Context(), it)
	}
	if removed, err := session.Commit(t.Context()); err != nil || len(removed) != 5000 || len(s.Left("alice")) != 0 {
		t.Errorf("%d removed, %v, %d left", len(removed), err, len(s.Left("alice")))
	}
}

// Few new ones among many old ones: their sizes come in one round trip, and not those of all.
func TestSizesOfTheNewOnesOnly(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		s := mailtest.NewPOP3(mailtest.Letters(200)...)
		if pipelining {
			s.Caps = append(s.Caps, "PIPELINING")
		}
		serve(t, s)
		o := options(s)
		o.UIDL, o.Known = true, func(uid string) bool { return uid < "uid-8" }
		session, l := opened(t, o)
		session.Close()
		for _, it := range l.Items {
			if !it.Seen && it.Size != int64(len(mailtest.Letter(it.Num))) {
				t.Errorf("message %d: size %d", it.Num, it.Size)
			}
		}
		if all := slices.Contains(s.Commands()[0], "LIST"); all == pipelining {
			t.Errorf("pipelining %v: commands %q", pipelining, s.Commands()[0])
		}
	}
}
