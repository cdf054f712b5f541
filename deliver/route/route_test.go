package route

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fetchmail/deliver/header"
)

// users reads "a b=bob *" as the rcfile does.
func users(s string) (ms []Mapping, wild bool) {
	for _, w := range strings.Fields(s) {
		if w == "*" {
			wild = true
			continue
		}
		l, r, ok := strings.Cut(w, "=")
		if !ok {
			r = l
		}
		ms = append(ms, Mapping{l, r})
	}
	return ms, wild
}

func route(t *testing.T, r Rules, to, head string, dns Resolver) (Result, error) {
	t.Helper()
	r.Users, r.Wildcard = users(to)
	if r.Names == nil {
		r.Names = []string{"mail.example.test"}
	}
	r.Postmaster = "boss"
	b, _ := header.Parse([]byte(head + "\r\n\r\n"))
	return New(r, dns).Route(context.Background(), b, "")
}

const at = "@mail.example.test"

// TestRecipients holds what fetchmail 6.4.37 was seen to do; "" stands for the postmaster with a warning.
func TestRecipients(t *testing.T) {
	rcv := "Received: from x (y [192.0.2.1]) "
	by := rcv + "by mail.example.test "
	for _, c := range []struct {
		rules Rules
		to    string // "a b=bob c" if empty
		head  string
		want  string
	}{
		{head: "To: a" + at, want: "a"},
		{head: "To: A" + at, want: "a"},
		{head: "To: b@MAIL.EXAMPLE.TEST", want: "bob"},
		{head: "To: a, b", want: "a bob"},
		{head: "To: a", rules: Rules{NoRewrite: true}},
		{head: "To: a" + at + ", a" + at, want: "a a"},
		{head: "To: d" + at},
		{head: "To: a@other.example"},
		{head: "Bcc: a" + at + "\r\nCc: b" + at + "\r\nTo: c" + at, want: "a bob c"},
		{head: "Apparently-To: a" + at + "\r\nTo: b" + at, want: "a bob"},
		{head: "Reply-To: a" + at},
		{head: "To: b" + at + "\r\nResent-Bcc: a" + at, want: "a"},
		{head: "To: a" + at + "\r\nResent-To:"},
		{head: "To: b" + at + "\r\nResent-From: q@z", want: "bob"},
		{head: "To: friends: a" + at + ", b" + at + ", c" + at + ";", want: "bob"},
		{head: "To: <@x,@y:a" + at + ">"},
		{head: "To: <a" + at, want: "a"},
		{head: "To: \"a\"" + at},
		{head: "To : a" + at},
		{head: "To: a@[127.0.0.1]"},
		{head: "To: a@x@mail.example.test"},
		{head: "Subject: none"},

		{to: "a b=bob *", head: "To: Q" + at + ", b" + at, want: "Q bob"},
		{to: "a b=bob *", head: "To: q@y.z"},
		{to: "*", head: "To: q" + at, want: "q"},
		{to: "x@y.z=joe a", head: "To: X@Y.z", want: "joe"},
		{to: "x@y.z=joe a", head: "To: x" + at},
		{to: "x@y.z=joe a", rules: Rules{LocalDomains: []string{"y.z"}}, head: "To: x@y.z, q@y.z", want: "joe q@y.z"},
		{to: "a=joe@d.e b", head: "To: a" + at, want: "joe@d.e"},

		{rules: Rules{Aka: []string{"foo.org"}}, head: "To: a@foo.org, b@X.foo.org, c@xfoo.org", want: "a bob"},
		{rules: Rules{LocalDomains: []string{"dom.org"}}, head: "To: Q@DOM.org, q@x.dom.org, q@xdom.org, a" + at, want: "Q@DOM.org q@x.dom.org a"},
		{rules: Rules{Names: []string{"alias.example", "canon.example"}}, head: "To: a@alias.example, b@canon.example", want: "a bob"},

		{rules: Rules{Envelope: "X-Envelope-To"}, head: "x-envelope-to: <a" + at + ">\r\nTo: b" + at, want: "a"},
		{rules: Rules{Envelope: "X-Envelope-To:"}, head: "X-Envelope-To : a" + at, want: "a"},
		{rules: Rules{Envelope: "X-Envelope-To"}, head: "X-Envelope-To-Foo: a" + at, want: "a"},
		{rules: Rules{Envelope: "X-Envelope-To"}, head: "X-Envelope-To: d" + at + "\r\nTo: b" + at},
		{rules: Rules{Envelope: "X-Envelope-To"}, head: "X-Envelope-To: a\r\nTo: b" + at},
		{rules: Rules{Envelope: "X-Envelope-To"}, head: "X-Envelope-To:\r\nTo: b" + at},
		{rules: Rules{Envelope: "X-Envelope-To"}, head: "X-Envelope-To: a" + at + ", b" + at, want: "a bob"},
		{rules: Rules{Envelope: "X-Envelope-To"}, head: "X-Envelope-To: a" + at + "\r\nX-Envelope-To: b" + at, want: "a"},
		{rules: Rules{Envelope: "X-Envelope-To", Skip: 1}, head: "X-Envelope-To: a" + at + "\r\nX-Envelope-To: b" + at, want: "bob"},
		{rules: Rules{Envelope: "X-Envelope-To", Skip: 1}, head: "X-Envelope-To: a" + at + "\r\nTo: b" + at, want: "bob"},
		{rules: Rules{Envelope: "X-Envelope-To"}, head: "To: b" + at, want: "bob"},
		{rules: Rules{Envelope: "To"}, head: "To: a" + at + "\r\nCc: b" + at, want: "a bob"},
		{rules: Rules{Envelope: "Delivered-To", QVirtual: "pre-"}, head: "Delivered-To: <PRE-a" + at + ">", want: "a"},
		{rules: Rules{Envelope: "Delivered-To", QVirtual: "pre-"}, head: "Delivered-To: pre-pre-a" + at},
		{rules: Rules{Envelope: "Delivered-To", QVirtual: "pre-"}, head: "To: pre-a" + at, want: "a"},

		{head: by + "for <a" + at + ">; d\r\nTo: c" + at, want: "a"},
		{rules: Rules{NoEnvelope: true}, head: by + "for <a" + at + ">; d\r\nTo: c" + at, want: "c"},
		{head: by + "for a" + at + "; d", want: "a"},
		{head: by + "for a; d\r\nTo: b" + at, want: "bob"},
		{head: by + "for <q@y.z>; d\r\nTo: b" + at},
		{head: rcv + "by other.example for <a" + at + ">\r\nTo: b" + at, want: "bob"},
		{head: by + "(Postfix) with ESMTP id 1\r\n\tfor <a" + at + ">; d", want: "a"},
		{head: by + "; d\r\n" + by + "for <b" + at + ">\r\nTo: c" + at, want: "bob"},
		{head: rcv + "by foo by mail.example.test for <a" + at + ">\r\nTo: c" + at, want: "c"},
		{head: by + "by foo for <a" + at + ">\r\nTo: c" + at, want: "a"},
		{head: rcv + "By mail.example.test For <a" + at + ">\r\nTo: c" + at, want: "c"},
		{head: rcv + "for <a" + at + "> by mail.example.test\r\nTo: c" + at, want: "c"},
		{head: by + "for <a" + at + "\r\nTo: c" + at, want: "c"},
		{head: by + "(for <b" + at + ">) for <a" + at + ">\r\nTo: c" + at, want: "a"},
		{head: by + "for (c) <a" + at + ">\r\nTo: c" + at, want: "c"},
		{head: by + "for <a>; for <a" + at + ">\r\nTo: c" + at, want: "a"},
		{head: by + "for\r\n <@r:a" + at + ">\r\nTo: c" + at, want: "a"},
		{head: by + "for <<a" + at + ">>\r\nTo: c" + at, want: "a"},
		{head: by + "for a" + at + ",b" + at + "\r\nTo: c" + at, want: "a bob"},
		{head: by + "for <@>\r\nTo: c" + at, want: "c"},
		{head: "Received:by mail.example.test for <a" + at + ">\r\nTo: c" + at, want: "c"},
		{rules: Rules{Envelope: "Received", Skip: 1}, head: by + "for <a" + at + ">\r\n" + by + "for <b" + at + ">", want: "bob"},
	} {
		to := c.to
		if to == "" {
			to = "a b=bob c"
		}
		got, err := route(t, c.rules, to, c.head, nil)
		if err != nil {
			t.Errorf("%q: %v", c.head, err)
			continue
		}
		want := strings.Fields(c.want)
		if c.want == "" {
			want = []string{"boss"}
		}
		if !slices.Equal(got.Recipients, want) || (got.Warning != "") != (c.want == "") || got.Mode != header.Multi {
			t.Errorf("%+v %q\n%q: got %+v, want %q", c.rules, to, c.head, got, want)
		}
	}
}

func TestSingleDrop(t *testing.T) {
	for _, c := range []struct{ to, want string }{{"joe", "joe"}, {"a=joe", "a"}, {"joe@d.e", "joe@d.e"}, {"", "boss"}} {
		got, err := route(t, Rules{Envelope: "X-Envelope-To"}, c.to, "X-Envelope-To: other"+at, nil)
		if err != nil || !slices.Equal(got.Recipients, []string{c.want}) || got.Mode != header.Single || got.Warning != "" {
			t.Errorf("%q: %+v, %v", c.to, got, err)
		}
	}
}

func TestNoPostmasterMeansNoRecipient(t *testing.T) {
	b, _ := header.Parse([]byte("To: x@y\r\n\r\n"))
	ms, _ := users("a b")
	got, err := New(Rules{Users: ms}, nil).Route(context.Background(), b, "")
	if err != nil || len(got.Recipients) != 0 || got.Warning == "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// What cannot stand in a command is nobody's address.
func TestUnusableRecipients(t *testing.T) {
	for _, head := range []string{`To: "<a>"` + at, `To: "a>b"` + at, `To: "a<b"` + at} {
		if got, err := route(t, Rules{}, "*", head, nil); err != nil || !slices.Equal(got.Recipients, []string{"boss"}) {
			t.Errorf("%s: %+v, %v", head, got, err)
		}
	}
}

// Somebody who names the whole world keeps neither us nor the listener busy.
func TestTooManyRecipients(t *testing.T) {
	for n, want := range map[int]int{mostRecipients: mostRecipients, mostRecipients + 1: 1, 100_000: 1} {
		head := "To: x" + at + strings.Repeat(",\r\n x"+at, n-1)
		got, err := route(t, Rules{}, "*", head, nil)
		if err != nil || len(got.Recipients) != want || (got.Warning != "") != (want == 1) || want == 1 && got.Recipients[0] != "boss" {
			t.Errorf("%d recipients: to %d, %q, %v", n, len(got.Recipients), got.Warning, err)
		}
		b, _ := header.Parse([]byte(head + "\r\n\r\n"))
		r := New(Rules{Wildcard: true, Names: []string{"mail.example.test"}}, nil)
		if _, err := r.Route(context.Background(), b, ""); (err != nil) != (want == 1) {
			t.Errorf("%d recipients, no postmaster: %v", n, err)
		}
	}
}

func TestEnvelopedIsTold(t *testing.T) {
	for head, want := range map[string]bool{"X-Envelope-To: a" + at: true, "To: a" + at: false} {
		if got, _ := route(t, Rules{Envelope: "X-Envelope-To"}, "a b", head, nil); got.Enveloped != want {
			t.Errorf("%q: %+v", head, got)
		}
	}
}

// zone is a Resolver for tests.
type zone struct {
	mx, addrs map[string][]string
	cname     map[string]string
	err       error
	asked     []string
}

func (z *zone) look(m map[string][]string, host string) ([]string, error) {
	z.asked = append(z.asked, host)
	if z.err != nil {
		return nil, z.err
	}
	if v, ok := m[host]; ok {
		return v, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (z *zone) MX(_ context.Context, host string) ([]string, error)    { return z.look(z.mx, host) }
func (z *zone) Addrs(_ context.Context, host string) ([]string, error) { return z.look(z.addrs, host) }
func (z *zone) CNAME(_ context.Context, host string) (string, error)   { return z.cname[host], z.err }

func TestDNS(t *testing.T) {
	z := func() *zone {
		return &zone{
			mx: map[string][]string{"mx.example": {"other.example", "MAIL.example.test."}, "ip.example": {"twin.example"},
				"no.example": {"far.example"}},
			addrs: map[string][]string{"mail.example.test": {"192.0.2.1", "2001:db8::1"}, "twin.example": {"2001:db8::1"},
				"far.example": {"192.0.2.9"}, "same.example": {"192.0.2.1"}},
			cname: map[string]string{"alias.example": "Mail.example.test."},
		}
	}
	for _, c := range []struct {
		rules Rules
		host  string
		want  bool
	}{
		{Rules{DNS: true}, "mx.example", true},
		{Rules{DNS: true}, "ip.example", true},
		{Rules{DNS: true}, "no.example", false},
		{Rules{DNS: true}, "alias.example", true},
		{Rules{DNS: true}, "same.example", false},
		{Rules{DNS: true, CheckAlias: true}, "same.example", true},
		{Rules{DNS: true, CheckAlias: true}, "nowhere.example", false},
		{Rules{CheckAlias: true}, "mx.example", false},
		{Rules{}, "alias.example", false},
	} {
		got, err := route(t, c.rules, "a b", "To: a@"+c.host, z())
		if err != nil || (got.Warning == "") != c.want {
			t.Errorf("%+v %s: %+v, %v", c.rules, c.host, got, err)
		}
		got, err = route(t, c.rules, "a b", "Received: by "+c.host+" for <b"+at+">\r\nTo: a"+at, z())
		if err != nil || slices.Equal(got.Recipients, []string{"b"}) != c.want {
			t.Errorf("%+v Received by %s: %+v, %v", c.rules, c.host, got, err)
		}
	}
}

func TestATemporaryFailureOfDNSIsNoAnswer(t *testing.T) {
	z := &zone{err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}}
	if _, err := route(t, Rules{DNS: true}, "a b", "To: a@x.example", z); err == nil {
		t.Error("the message was routed")
	}
	if got, err := route(t, Rules{DNS: true}, "a b", "To: a"+at, z); err != nil || got.Warning != "" {
		t.Errorf("DNS was needed for the server's own name: %+v, %v", got, err)
	}
}

func TestDNSIsAskedLittle(t *testing.T) {
	z := &zone{}
	r := New(Rules{Users: []Mapping{{"a", "a"}, {"b", "b"}}, Names: []string{"mail.example.test"}, DNS: true, Postmaster: "boss"}, z)
	b, _ := header.Parse([]byte("To: a@x.example, b@x.example, c@X.example, d@bad_;host, e@192.0.2.1, f@-x, g@, h@" +
		strings.Repeat("l", 64) + ".example\r\n\r\n"))
	for range 2 {
		if _, err := r.Route(context.Background(), b, ""); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"x.example"}; !slices.Equal(z.asked, want) {
		t.Errorf("asked for %q, want %q", z.asked, want)
	}
	var many strings.Builder
	for i := range 1000 {
		many.WriteString("To: a@x" + strings.Repeat("y", i%50) + string(rune('a'+i%26)) + ".example\r\n")
	}
	b, _ = header.Parse([]byte(many.String() + "\r\n"))
	z.asked = nil
	if _, err := r.Route(context.Background(), b, ""); err != nil || len(z.asked) > maxAsked {
		t.Errorf("asked %d times, %v", len(z.asked), err)
	}
	many.Reset()
	for i := range 1000 {
		fmt.Fprintf(&many, "To: a@10.0.%d.%d\r\n", i/250, i%250)
	}
	b, _ = header.Parse([]byte(many.String() + "\r\n"))
	r.rules.CheckAlias, z.asked = true, nil
	if _, err := r.Route(context.Background(), b, ""); err != nil || len(z.asked) > 2*maxAsked {
		t.Errorf("asked for addresses %d times, %v", len(z.asked), err)
	}
}

func FuzzRoute(f *testing.F) {
	f.Add([]byte("To: a, b@mail.example.test\r\nReceived: from x by mail.example.test for <a@mail.example.test>; d\r\n\r\n"), "X-Envelope-To", "pre-")
	f.Fuzz(func(t *testing.T, head []byte, env, q string) {
		b, _ := header.Parse(head)
		ms, _ := users("a b=bob x@y=z")
		r := New(Rules{Users: ms, Wildcard: true, Names: []string{"mail.example.test"}, LocalDomains: []string{"l"}, Envelope: env,
			QVirtual: q, DNS: true, CheckAlias: true, Postmaster: "boss"}, &zone{})
		got, err := r.Route(context.Background(), b, "")
		if err != nil || len(got.Recipients) == 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, to := range got.Recipients {
			if to == "" || strings.ContainsAny(to, "\r\n\x00") {
				t.Errorf("recipient %q", to)
			}
		}
	})
}

// The SDPS server's word counts, whatever the header says.
func TestARecipientThatTheServerTellsCounts(t *testing.T) {
	b, err := header.Parse([]byte("To: other@mail.example.test\r\nX-Envelope-To: third@mail.example.test\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	users := []Mapping{{"joe", "joe"}, {"other", "other"}, {"third", "third"}}
	for told, want := range map[string]Result{
		"joe@mail.example.test":     {Recipients: []string{"joe"}, Mode: header.Multi, Enveloped: true},
		"joe@far.example.org":       {Recipients: []string{"root"}, Mode: header.Multi, Enveloped: true, Warning: "recipient address joe@far.example.org didn't match any local name"},
		"joe":                       {Recipients: []string{"root"}, Mode: header.Multi, Enveloped: true, Warning: noMatch},
		"":                          {Recipients: []string{"third"}, Mode: header.Multi, Enveloped: true},
		"whoever@mail.example.test": {Recipients: []string{"root"}, Mode: header.Multi, Enveloped: true, Warning: noMatch},
	} {
		r := New(Rules{Users: users, Names: []string{"mail.example.test"}, Envelope: "X-Envelope-To", Postmaster: "root"}, nil)
		got, err := r.Route(context.Background(), b, told)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v, want %+v", told, got, err, want)
		}
		if single, _ := New(Rules{Users: users[:1]}, nil).Route(context.Background(), b, told); single.Recipients[0] != "joe" {
			t.Errorf("%q, one user: %+v", told, single)
		}
	}
}
