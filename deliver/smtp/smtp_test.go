package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fetchmail/deliver"
	"fetchmail/protocols/mailtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const text = "Subject: s\r\n\r\n.body\r\n"

func start(t testing.TB, o mailtest.SMTPOptions) *mailtest.SMTP {
	t.Helper()
	srv, err := mailtest.StartSMTP(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv
}

// sinkTo is a sink that calls srv "localhost".
func sinkTo(t testing.TB, srv *mailtest.SMTP, o Options) *Sink {
	if len(o.Hosts) == 0 {
		o.Hosts = []string{"localhost/" + srv.Port()}
	}
	o.Helo = "client.example.test"
	if o.Lookup == nil {
		o.Lookup = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	}
	s := New(o)
	t.Cleanup(func() { s.Close() })
	return s
}

var envelope = deliver.Envelope{From: "dora@far.example.org", To: []string{"fmtest"}, Fallback: "boss", Size: 291}

// send is one message from Begin to Commit.
func send(s *Sink, e deliver.Envelope, text string) (deliver.Outcome, error) {
	d, err := s.Begin(context.Background(), e)
	if err != nil {
		var f *deliver.Fault
		if errors.As(err, &f) {
			return f.Outcome, err
		}
		return deliver.Outcome{}, err
	}
	if _, err := io.WriteString(d, text); err != nil {
		d.Abort()
		return d.Recipients(), err
	}
	return d.Commit(context.Background())
}

// show puts an outcome into short words: "fmtest@localhost 550 refused at rcpt".
func show(o deliver.Outcome) string {
	class := [...]string{"deferred", "accepted", "refused", "spam"}
	stage := [...]string{"connect", "mail", "rcpt", "data", "text", "end"}
	var parts []string
	for _, s := range o.Status {
		parts = append(parts, fmt.Sprintf("%s %d %s at %s", s.To, s.Reply.Code, class[s.Class], stage[s.Stage]))
	}
	if o.ByDefault {
		parts = append(parts, "by default")
	}
	return strings.Join(parts, "; ")
}

func kind(err error) deliver.Kind {
	var f *deliver.Fault
	if errors.As(err, &f) {
		return f.Kind
	}
	return 0
}

type replies = map[string][]string

// TestAnswers has a row for every answer that BEHAVIOUR calls for: two messages are sent, the first meets the answers.
func TestAnswers(t *testing.T) {
	const hello = "EHLO client.example.test"
	mail, rcpt := "MAIL FROM:<dora@far.example.org> SIZE=291", "RCPT TO:<fmtest@localhost>"
	second := []string{mail, rcpt, "DATA", "<DATA>", "QUIT"}
	one := func(lines ...string) [][]string {
		return [][]string{append(append([]string{hello}, lines...), second...)}
	}
	two := func(lines ...string) [][]string {
		return [][]string{append([]string{hello}, lines...), append([]string{hello}, second...)}
	}
	for _, c := range []struct {
		name     string
		replies  replies
		to       []string
		antispam []int
		outcome  string
		kind     deliver.Kind
		sessions [][]string
	}{
		{name: "all well", outcome: "fmtest@localhost 250 accepted at end", sessions: one(mail, rcpt, "DATA", "<DATA>")},
		{name: "odd positive codes", replies: replies{"mail": {"200 a"}, "rcpt": {"251 b"}, "data": {"355 c"}, "dot": {"299 d"}},
			outcome: "fmtest@localhost 299 accepted at end", sessions: one(mail, rcpt, "DATA", "<DATA>")},
		{name: "421 at MAIL, connection stays", replies: replies{"mail": {"421 4.3.0 later"}}, kind: deliver.Refusal,
			outcome: "fmtest@localhost 421 deferred at mail", sessions: one(mail, "RSET")},
		{name: "421 at MAIL and hangs up", replies: replies{"mail": {"then-drop 421 4.3.0 later"}}, kind: deliver.Refusal,
			outcome: "fmtest@localhost 421 deferred at mail", sessions: two(mail)},
		{name: "550 at MAIL", replies: replies{"mail": {"550 no"}}, kind: deliver.Refusal,
			outcome: "fmtest@localhost 550 refused at mail", sessions: one(mail, "RSET")},
		{name: "antispam code at MAIL", replies: replies{"mail": {"571 spam"}}, antispam: []int{571, 550}, kind: deliver.Refusal,
			outcome: "fmtest@localhost 571 spam at mail", sessions: one(mail, "RSET")},
		{name: "antispam code at RCPT", replies: replies{"rcpt": {"571 spam", "571 spam"}}, antispam: []int{571}, kind: deliver.Refusal,
			outcome:  "fmtest@localhost 571 spam at rcpt; boss@localhost 571 spam at rcpt",
			sessions: one(mail, rcpt, "RCPT TO:<boss@localhost>", "RSET")},
		{name: "452 at RCPT", replies: replies{"rcpt": {"452 4.3.1 full"}}, kind: deliver.Refusal,
			outcome: "fmtest@localhost 452 deferred at rcpt", sessions: one(mail, rcpt, "RSET")},
		{name: "550 at RCPT, postmaster takes it", replies: replies{"rcpt": {"550 5.1.1 unknown"}},
			outcome:  "fmtest@localhost 550 refused at rcpt; boss@localhost 250 accepted at end; by default",
			sessions: one(mail, rcpt, "RCPT TO:<boss@localhost>", "DATA", "<DATA>")},
		{name: "550 at one of three RCPT", replies: replies{"rcpt": {"", "550 no"}}, to: []string{"a", "b", "c@x"},
			outcome:  "a@localhost 250 accepted at end; b@localhost 550 refused at rcpt; c@x 250 accepted at end",
			sessions: one(mail, "RCPT TO:<a@localhost>", "RCPT TO:<b@localhost>", "RCPT TO:<c@x>", "DATA", "<DATA>")},
		{name: "450 at one of three RCPT", replies: replies{"rcpt": {"", "450 no"}}, to: []string{"a", "b", "c@x"}, kind: deliver.Refusal,
			outcome:  "a@localhost 250 accepted at rcpt; b@localhost 450 deferred at rcpt; c@x 250 accepted at rcpt",
			sessions: one(mail, "RCPT TO:<a@localhost>", "RCPT TO:<b@localhost>", "RCPT TO:<c@x>", "RSET")},
		{name: "550 and 450: no postmaster", replies: replies{"rcpt": {"550 no", "450 no"}}, to: []string{"a", "b"}, kind: deliver.Refusal,
			outcome:  "a@localhost 550 refused at rcpt; b@localhost 450 deferred at rcpt",
			sessions: one(mail, "RCPT TO:<a@localhost>", "RCPT TO:<b@localhost>", "RSET")},
		{name: "550 at DATA", replies: replies{"data": {"550 no"}}, kind: deliver.Refusal,
			outcome: "fmtest@localhost 550 refused at data", sessions: one(mail, rcpt, "DATA", "RSET")},
		{name: "451 at the dot", replies: replies{"dot": {"451 later"}},
			outcome: "fmtest@localhost 451 deferred at end", sessions: one(mail, rcpt, "DATA", "<DATA>", "RSET")},
		{name: "554 at the dot, many lines", replies: replies{"dot": {"554-no\n554-never\n554 go"}},
			outcome: "fmtest@localhost 554 refused at end", sessions: one(mail, rcpt, "DATA", "<DATA>", "RSET")},
		{name: "354 at the dot is nothing positive", replies: replies{"dot": {"354 more"}},
			outcome: "fmtest@localhost 354 deferred at end", sessions: one(mail, rcpt, "DATA", "<DATA>", "RSET")},
		{name: "no code at MAIL", replies: replies{"mail": {"what is that"}}, kind: deliver.Lost, sessions: two(mail)},
		{name: "empty line at RCPT", replies: replies{"rcpt": {"raw \r\n"}}, kind: deliver.Lost, sessions: two(mail, rcpt)},
		{name: "no code at the dot", replies: replies{"dot": {"what is that"}}, kind: deliver.Lost,
			outcome: "fmtest@localhost 0 deferred at end", sessions: two(mail, rcpt, "DATA", "<DATA>")},
		{name: "cut at MAIL", replies: replies{"mail": {"drop"}}, kind: deliver.Lost, sessions: two(mail)},
		{name: "cut at RCPT", replies: replies{"rcpt": {"reset"}}, kind: deliver.Lost, sessions: two(mail, rcpt)},
		{name: "cut at DATA", replies: replies{"data": {"drop"}}, kind: deliver.Lost,
			outcome: "fmtest@localhost 0 deferred at data", sessions: two(mail, rcpt, "DATA")},
		{name: "cut after the dot", replies: replies{"dot": {"drop"}}, kind: deliver.Lost,
			outcome: "fmtest@localhost 0 deferred at end", sessions: two(mail, rcpt, "DATA", "<DATA>")},
		{name: "cut within a reply", replies: replies{"dot": {"raw 250-yes\r\n25"}}, kind: deliver.Lost,
			outcome: "fmtest@localhost 0 deferred at end", sessions: two(mail, rcpt, "DATA", "<DATA>")},
		{name: "250 before the text", replies: replies{"data": {"354 go\n250 early"}}, kind: deliver.Lost,
			outcome: "fmtest@localhost 0 deferred at end", sessions: two(mail, rcpt, "DATA", "<DATA>")},
		{name: "554 before the text", replies: replies{"data": {"354 go\n554 too large"}},
			outcome: "fmtest@localhost 554 refused at end", sessions: two(mail, rcpt, "DATA", "<DATA>")},
		{name: "250 to DATA", replies: replies{"data": {"then-drop 250 sure"}}, kind: deliver.Lost,
			outcome: "fmtest@localhost 0 deferred at data", sessions: two(mail, rcpt, "DATA")},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := start(t, mailtest.SMTPOptions{Replies: c.replies})
			s := sinkTo(t, srv, Options{Antispam: c.antispam, Timeouts: Timeouts{End: time.Second}})
			e := envelope
			if c.to != nil {
				e.To = c.to
			}
			o, err := send(s, e, text)
			if show(o) != c.outcome || kind(err) != c.kind {
				t.Errorf("outcome %q, kind %d (%v), want %q, %d", show(o), kind(err), err, c.outcome, c.kind)
			}
			if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
				t.Errorf("second message: %s, %v", show(o), err)
			}
			s.Close()
			got := srv.Sessions()
			if strings.HasSuffix(c.name, "before the text") { // which may have come before the connection is given up, or not
				got[0], c.sessions[0] = withoutText(got[0]), withoutText(c.sessions[0])
			}
			if !reflect.DeepEqual(got, c.sessions) {
				t.Errorf("sessions:\n%q, want\n%q", got, c.sessions)
			}
		})
	}
}

func withoutText(session []string) []string {
	return slices.DeleteFunc(session, func(line string) bool { return line == "<DATA>" })
}

func TestWholeReplyIsKept(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{Replies: replies{"dot": {"550-5.1.1 no\n550 5.1.1 such user"}}})
	o, _ := send(sinkTo(t, srv, Options{}), envelope, text)
	if got := o.Status[0].Reply; got != (deliver.Reply{Code: 550, Text: "550-5.1.1 no\n550 5.1.1 such user"}) {
		t.Errorf("%+v", got)
	}
}

func TestTextArrivesStuffed(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{})
	send(sinkTo(t, srv, Options{}), envelope, "a\x00\rb\n.c\r\n.\r\nd")
	if got := string(srv.Mails()[0].Text); got != "a\x00\rb\n..c\r\n..\r\nd\r\n" {
		t.Errorf("%q", got)
	}
}

func TestMailParameters(t *testing.T) {
	for _, c := range []struct {
		ext  []string
		e    deliver.Envelope
		want string
	}{
		{nil, deliver.Envelope{From: "a@b", To: []string{"c"}, Size: 400, Body: "8BITMIME"}, "MAIL FROM:<a@b> BODY=8BITMIME SIZE=400"},
		{nil, deliver.Envelope{From: "a@b", To: []string{"c"}, Body: "7BIT"}, "MAIL FROM:<a@b> BODY=7BIT"},
		{nil, deliver.Envelope{To: []string{"c"}}, "MAIL FROM:<>"},
		{[]string{"size"}, deliver.Envelope{From: "a@b", To: []string{"c"}, Size: 400, Body: "8BITMIME"}, "MAIL FROM:<a@b> SIZE=400"},
		{[]string{}, deliver.Envelope{From: "a@b", To: []string{"c"}, Size: 400, Body: "8BITMIME"}, "MAIL FROM:<a@b>"},
		{[]string{"SMTPUTF8"}, deliver.Envelope{From: "dö@b", To: []string{"c"}}, "MAIL FROM:<dö@b> SMTPUTF8"},
		{[]string{"SMTPUTF8"}, deliver.Envelope{From: "d\xf6@b", To: []string{"c"}}, "MAIL FROM:<d\xf6@b>"},
		{[]string{"SMTPUTF8"}, deliver.Envelope{From: "a@b", To: []string{"c"}}, "MAIL FROM:<a@b>"},
	} {
		srv := start(t, mailtest.SMTPOptions{Extensions: c.ext})
		if o, err := send(sinkTo(t, srv, Options{}), c.e, text); err != nil || !o.Delivered() {
			t.Errorf("%s: %v", c.want, err)
			continue
		}
		if got := srv.Mails()[0].From; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestRecipientsAreCompleted(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		o    Options
		unix bool
		want string
	}{
		{Options{}, false, "joe@localhost ann@far.example.org"},
		{Options{Address: "corp.example.com"}, false, "joe@corp.example.com ann@far.example.org"},
		{Options{Name: "all@x"}, false, "all@x ann@far.example.org"},
		{Options{}, true, "joe@localhost ann@far.example.org"},
	} {
		so := mailtest.SMTPOptions{LMTP: c.unix}
		if c.unix {
			so.Network, so.Addr = "unix", filepath.Join(dir, "lmtp")
		}
		srv := start(t, so)
		if c.unix {
			c.o.Hosts = []string{srv.Addr()}
		}
		o, err := send(sinkTo(t, srv, c.o), deliver.Envelope{From: "a@b", To: []string{"joe", "ann@far.example.org"}}, text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range o.Status {
			got = append(got, s.To)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
}

// TestSmtpnameIsNotThePostmaster: what it stands for was refused, the postmaster is somebody else.
func TestSmtpnameIsNotThePostmaster(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{Answer: func(verb, line string) string {
		if verb == "rcpt" && strings.Contains(line, "all@x") {
			return "550 no such user"
		}
		return ""
	}})
	o, err := send(sinkTo(t, srv, Options{Name: "all@x", Address: "corp.example.com"}), envelope, text)
	if err != nil || !o.ByDefault || o.Status[1].To != "boss@corp.example.com" {
		t.Errorf("%+v, %v", o, err)
	}
}

// The domain is that of the host that was reached, not of the first in the list.
func TestHuntList(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{})
	bad := start(t, mailtest.SMTPOptions{Banner: "554 go away"})
	var notice []string
	s := sinkTo(t, srv, Options{
		Hosts: []string{"first.example.test/1", "/nonexistent/socket", "busy.example.test/" + bad.Port(), "second.example.test/" + srv.Port()},
		Lookup: func(_ context.Context, host string) ([]string, error) {
			if host == "first.example.test" {
				return []string{"127.0.0.2", "127.0.0.1"}, nil
			}
			return []string{"127.0.0.1"}, nil
		},
		Notice: func(l []string) { notice = l },
	})
	if s.Name() != "first.example.test/1" {
		t.Errorf("name %q", s.Name())
	}
	o, err := send(s, envelope, text)
	if err != nil || show(o) != "fmtest@second.example.test 250 accepted at end" {
		t.Fatal(show(o), err)
	}
	if s.Name() != "second.example.test/"+srv.Port() || s.LMTP() {
		t.Errorf("name %q", s.Name())
	}
	want := []string{"Connection errors for this poll:",
		"name 0: connection to first.example.test:1 [127.0.0.2/1] failed: Connection refused.",
		"name 1: connection to first.example.test:1 [127.0.0.1/1] failed: Connection refused."}
	if !reflect.DeepEqual(notice, want) {
		t.Errorf("%q", notice)
	}
	if n := len(bad.Sessions()); n != 2 {
		t.Errorf("a bad banner was tried %d times", n)
	}
}

func TestNobodyAnswers(t *testing.T) {
	nosuch := func(context.Context, string) ([]string, error) {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	here := func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	for _, c := range []struct {
		host   string
		lookup func(context.Context, string) ([]string, error)
		want   []string
	}{
		{"localhost/1", here, []string{"Connection errors for this poll:",
			"name 0: connection to localhost:1 [127.0.0.1/1] failed: Connection refused.", "SMTP connect to localhost/1 failed"}},
		{"nosuch.example.test/22098", nosuch, []string{`getaddrinfo("nosuch.example.test","22098") error: Name or service not known`,
			"SMTP connect to nosuch.example.test/22098 failed"}},
		{"/nonexist/sock", nil, []string{"LMTP connect to /nonexist/sock failed"}},
	} {
		s := New(Options{Hosts: []string{c.host}, Lookup: c.lookup})
		_, err := s.Begin(context.Background(), envelope)
		var f *deliver.Fault
		if !errors.As(err, &f) || f.Kind != deliver.Unreachable || !reflect.DeepEqual(f.Detail, c.want) {
			t.Errorf("%s: %q, %v", c.host, f.Detail, err)
		}
		if s.Name() != c.host {
			t.Errorf("name %q", s.Name())
		}
	}
}

func TestEHLORefusedMeansHELOOnANewConnection(t *testing.T) {
	for name, o := range map[string]mailtest.SMTPOptions{
		"unknown": {NoEHLO: true}, "421": {Replies: replies{"ehlo": {"421 x"}}}, "cut": {Replies: replies{"ehlo": {"drop"}}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, o)
			s := sinkTo(t, srv, Options{})
			if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
				t.Fatal(o, err)
			}
			s.Close()
			want := [][]string{{"EHLO client.example.test"},
				{"HELO client.example.test", "MAIL FROM:<dora@far.example.org>", "RCPT TO:<fmtest@localhost>", "DATA", "<DATA>", "QUIT"}}
			if got := srv.Sessions(); !reflect.DeepEqual(got, want) {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestBatchLimit(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{})
	s := sinkTo(t, srv, Options{BatchLimit: 2})
	for range 3 {
		if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
			t.Fatal(o, err)
		}
	}
	s.Close()
	got := srv.Sessions()
	if len(got) != 2 || len(got[0]) != 10 || got[0][9] != "QUIT" || len(got[1]) != 6 {
		t.Errorf("%q", got)
	}
}

func TestHostileAddressesAreNotShown(t *testing.T) {
	for _, a := range []string{"a@b>\r\nRCPT TO:<x", "a\nb@c", "a\rb", "a\x00b", "a@b> SIZE=1 <x", `"a>b"@c`, "<a@b", strings.Repeat("x", 2000)} {
		srv := start(t, mailtest.SMTPOptions{})
		s := sinkTo(t, srv, Options{})
		o, err := send(s, deliver.Envelope{From: a, To: []string{"c"}}, text)
		if err != nil || !o.Delivered() || srv.Mails()[0].From != "MAIL FROM:<>" {
			t.Errorf("sender %q: %s, %v, %q", a, show(o), err, srv.Mails()[0].From)
		}
		o, err = send(s, deliver.Envelope{From: "a@b", To: []string{a, "c", ""}}, text)
		if err != nil || len(o.Status) != 3 || o.Status[0].Class != deliver.Refused || o.Status[1].Class != deliver.Refused || o.Status[2].Class != deliver.Accepted {
			t.Errorf("recipient %q: %s, %v", a, show(o), err)
		}
		if got := srv.Mails()[1].To; len(got) != 1 || got[0] != "RCPT TO:<c@localhost>" {
			t.Errorf("recipient %q: %q", a, got)
		}
	}
}

func TestHarmlessOddAddressesPass(t *testing.T) {
	for _, a := range []string{`"a b"@c`, "a b@c", "-x@c", "d\xf6@c", "@a,@b:c@d", "a!b", "%a", "%s%d@c"} {
		srv := start(t, mailtest.SMTPOptions{})
		o, err := send(sinkTo(t, srv, Options{}), deliver.Envelope{From: a, To: []string{a + "@z"}}, text)
		if err != nil || !o.Delivered() || srv.Mails()[0].From != "MAIL FROM:<"+a+">" || srv.Mails()[0].To[0] != "RCPT TO:<"+a+"@z>" {
			t.Errorf("%q: %s, %v, %v", a, show(o), err, srv.Mails())
		}
	}
}

func TestLMTPHasAVerdictForEachRecipient(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{Network: "unix", Addr: filepath.Join(t.TempDir(), "s"), LMTP: true,
		Replies: replies{"rcpt": {"", "550 no such"}, "dot": {"250 one", "452 full", "550 never"}}})
	s := sinkTo(t, srv, Options{Hosts: []string{srv.Addr()}})
	// "a" is named twice: two answers, BEHAVIOUR section 9.
	o, err := send(s, deliver.Envelope{From: "a@b", To: []string{"a", "b", "a", "c"}}, text)
	want := "a@localhost 250 accepted at end; b@localhost 550 refused at rcpt; a@localhost 452 deferred at end; c@localhost 550 refused at end"
	if err != nil || show(o) != want {
		t.Errorf("%s, %v", show(o), err)
	}
	if o.Delivered() {
		t.Error("delivered although one is deferred")
	}
	if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
		t.Error(show(o), err)
	}
	s.Close()
	if got := strings.Join(srv.Sessions()[0], "|"); strings.Contains(got, "RSET") || !strings.HasPrefix(got, "LHLO client.example.test|") {
		t.Errorf("%q", got)
	}
}

// That a listener hangs up after the last verdict does not make it wrong.
func TestLMTPCutBehindTheVerdicts(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{LMTP: true, Replies: replies{"dot": {"250 one", "then-drop 250 two"}}})
	s := sinkTo(t, srv, Options{LMTP: true})
	if o, err := send(s, deliver.Envelope{From: "a@b", To: []string{"a", "b"}}, text); err != nil || !o.Delivered() {
		t.Errorf("%s, %v", show(o), err)
	}
}

func TestLMTPCutBetweenVerdicts(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{LMTP: true, Replies: replies{"dot": {"250 one", "drop"}}})
	s := sinkTo(t, srv, Options{LMTP: true})
	o, err := send(s, deliver.Envelope{From: "a@b", To: []string{"a", "b"}}, text)
	if kind(err) != deliver.Lost || show(o) != "a@localhost 250 accepted at end; b@localhost 0 deferred at end" {
		t.Errorf("%s, %v", show(o), err)
	}
}

// An answer too many: which recipient has got the message? Nobody is taken for served, and the next message has a
// connection of its own. With one recipient a refusal is clear. Behind a 421 nothing more is asked.
func TestLMTPAnswersOutOfStep(t *testing.T) {
	for _, c := range []struct {
		replies replies
		to      []string
		want    string
		kind    deliver.Kind
	}{
		{replies{"data": {"354 go\n552 too large"}}, []string{"a", "b"}, "a@localhost 0 deferred at end; b@localhost 0 deferred at end", deliver.Lost},
		{replies{"data": {"354 go\n250 yes"}}, []string{"a", "b"}, "a@localhost 0 deferred at end; b@localhost 0 deferred at end", deliver.Lost},
		{replies{"dot": {"552 no\n552 no", "250 yes"}}, []string{"a", "b"}, "a@localhost 0 deferred at end; b@localhost 0 deferred at end", deliver.Lost},
		{replies{"data": {"354 go\n552 too large"}}, []string{"a"}, "a@localhost 552 refused at end", 0},
		{replies{"data": {"354 go\n250 yes"}}, []string{"a"}, "a@localhost 0 deferred at end", deliver.Lost},
		{replies{"dot": {"250 yes", "421 closing"}}, []string{"a", "b"}, "a@localhost 250 accepted at end; b@localhost 421 deferred at end", 0},
	} {
		srv := start(t, mailtest.SMTPOptions{LMTP: true, Replies: c.replies})
		s := sinkTo(t, srv, Options{LMTP: true, Timeouts: Timeouts{End: time.Second}})
		o, err := send(s, deliver.Envelope{From: "a@b", To: c.to}, text)
		if kind(err) != c.kind || show(o) != c.want {
			t.Errorf("%v: %s, %v, want %s", c.replies, show(o), err, c.want)
		}
		if o, err := send(s, deliver.Envelope{From: "a@b", To: []string{"a", "b"}}, text); err != nil || !o.Delivered() || len(srv.Sessions()) != 2 {
			t.Errorf("%v: second message: %s, %v, %d connections", c.replies, show(o), err, len(srv.Sessions()))
		}
	}
}

func TestAbortNeverEndsTheText(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{})
	s := sinkTo(t, srv, Options{})
	d, err := s.Begin(context.Background(), envelope)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, text)
	d.Abort()
	if _, err := d.Commit(context.Background()); err == nil {
		t.Error("Commit after Abort")
	}
	if _, err := d.Write([]byte("x")); err == nil {
		t.Error("Write after Abort")
	}
	if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
		t.Error(o, err)
	}
	s.Close()
	srv.Close()
	if n := len(srv.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
	if got := srv.Sessions()[0]; got[len(got)-1] != "<EOF IN DATA>" {
		t.Errorf("%q", got)
	}
}

func TestCancelledContextEndsEverything(t *testing.T) {
	for _, verb := range []string{"banner", "ehlo", "mail", "rcpt", "data", "dot"} {
		t.Run(verb, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			srv := start(t, mailtest.SMTPOptions{Answer: func(v, _ string) string {
				if v == verb {
					cancel()
					return "hang"
				}
				return ""
			}})
			s := sinkTo(t, srv, Options{})
			d, err := s.Begin(ctx, envelope)
			if err == nil {
				io.WriteString(d, text)
				_, err = d.Commit(ctx)
			}
			if k := kind(err); k != deliver.Lost && k != deliver.Unreachable {
				t.Errorf("kind %d: %v", k, err)
			}
		})
	}
}

// Each phase has a limit of its own: RFC 5321, section 4.5.3.2.
func TestSilentListener(t *testing.T) {
	const short, long = 50 * time.Millisecond, time.Minute
	limit := func(verb, phase string) time.Duration {
		if verb == phase {
			return short
		}
		return long
	}
	for _, c := range []struct {
		verb, phase string
		kind        deliver.Kind
	}{
		{"banner", "greeting", deliver.Unreachable}, {"ehlo", "greeting", 0}, {"mail", "mail", deliver.Lost}, {"rcpt", "rcpt", deliver.Lost},
		{"data", "data", deliver.Lost}, {"dot", "end", deliver.Lost}, {"quit", "quit", 0},
	} {
		srv := start(t, mailtest.SMTPOptions{Replies: replies{c.verb: {"hang", "hang"}}})
		s := sinkTo(t, srv, Options{Timeouts: Timeouts{Connect: long, Greeting: limit(c.phase, "greeting"), Mail: limit(c.phase, "mail"), Rcpt: limit(c.phase, "rcpt"),
			Data: limit(c.phase, "data"), Block: limit(c.phase, "block"), End: limit(c.phase, "end"), Quit: limit(c.phase, "quit")}})
		begun := time.Now()
		if _, err := send(s, envelope, text); kind(err) != c.kind && c.verb != "ehlo" {
			t.Errorf("%s: %v", c.verb, err)
		}
		s.Close()
		if took := time.Since(begun); took > long/2 {
			t.Errorf("%s: given up after %v", c.verb, took)
		}
	}
}

func TestStalledText(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		io.WriteString(server, "220 x\r\n")
		buf := make([]byte, 100)
		for _, r := range []string{"250 x", "250 x", "250 x", "354 x"} {
			server.Read(buf)
			io.WriteString(server, r+"\r\n")
		}
	}()
	s := New(Options{Connect: func(context.Context, string, string) (net.Conn, error) { return client, nil },
		Timeouts: Timeouts{Block: 50 * time.Millisecond}})
	d, err := s.Begin(context.Background(), envelope)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Abort()
	if _, err = d.Write(make([]byte, 1<<20)); kind(err) != deliver.Lost {
		t.Errorf("%v", err)
	}
}

// One octet a time is no progress: the limit is on the whole answer.
func TestDrippingReply(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		for {
			if _, err := io.WriteString(server, "2"); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	s := New(Options{HELO: true, Connect: func(context.Context, string, string) (net.Conn, error) { return client, nil },
		Timeouts: Timeouts{Greeting: 100 * time.Millisecond}})
	if _, err := s.Begin(context.Background(), envelope); kind(err) != deliver.Unreachable {
		t.Errorf("%v", err)
	}
}

func TestEndlessReply(t *testing.T) {
	for name, flood := range map[string]string{"line": "220 " + strings.Repeat("x", 100), "lines": "220-x\r\n"} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			sent := 0
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					n, err := io.WriteString(server, flood)
					if sent += n; err != nil {
						return
					}
				}
			}()
			s := New(Options{HELO: true, Connect: func(context.Context, string, string) (net.Conn, error) { return client, nil }})
			_, err := s.Begin(context.Background(), envelope)
			if kind(err) != deliver.Unreachable || !errors.Is(err, errReplyTooLong) {
				t.Errorf("%v", err)
			}
			if <-done; sent > 64<<10 {
				t.Errorf("read %d octets", sent)
			}
		})
	}
}

func TestTraceHidesCredentials(t *testing.T) {
	for _, mech := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		challenges := map[string][]string{"LOGIN": {"334 VXNlcm5hbWU6"}, "CRAM-MD5": {"334 PDEyM0B4Pg=="}}
		srv := start(t, mailtest.SMTPOptions{Extensions: []string{"AUTH " + mech}, Replies: replies{"auth": challenges[mech]},
			Answer: func(verb, line string) string {
				switch {
				case mech == "LOGIN" && verb == "am9l":
					return "334 UGFzc3dvcmQ6"
				case strings.ToLower(line) == verb && verb != "data" && verb != "quit":
					return "235 welcome" // a lone base64 word
				}
				return ""
			}})
		var trace strings.Builder
		s := sinkTo(t, srv, Options{User: "joe", Password: "hunter2", Trace: func(d byte, l string) { fmt.Fprintf(&trace, "%c %s\n", d, l) }})
		if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
			t.Fatal(mech, o, err)
		}
		s.Close()
		for _, line := range srv.Sessions()[0] {
			for _, secret := range []string{"aHVudGVyMg==", "AGpvZQBodW50ZXIy", "hunter2"} {
				if strings.Contains(line, secret) && mech == "CRAM-MD5" {
					t.Errorf("%s: %q on the wire", mech, line)
				}
				if strings.Contains(trace.String(), secret) {
					t.Errorf("%s: secret in the trace:\n%s", mech, trace.String())
				}
			}
		}
		if !strings.Contains(trace.String(), "*") {
			t.Errorf("%s: no login in\n%s", mech, trace.String())
		}
	}
}

// RFC 2195, section 2.
func TestCramMD5(t *testing.T) {
	got := cramMD5("334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+", "tim", "tanstaaftanstaaf")
	if got != "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw" {
		t.Error(got)
	}
	if got := cramMD5("334 !", "tim", "x"); got != "*" {
		t.Error(got)
	}
}

// A listener that does not play by the rules of AUTH costs its login or itself, never the wait of a timeout, and learns no
// more than one answer a step.
func TestOddLogins(t *testing.T) {
	for _, mech := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		for _, c := range []struct {
			reply       string
			connections int // one: the message goes on without a login, as in the reference; two: with HELO
		}{{"334", 1}, {"334 ", 1}, {"334 !not base64!", 1}, {"334 bm8=", 1}, {"334-a\n334 b", 1}, {"535 no", 1}, {"421 later", 1}, {"250 what", 1},
			{"hello", 2}, {"", 2}, {"drop", 2}} {
			n := 0
			srv := start(t, mailtest.SMTPOptions{Extensions: []string{"AUTH " + mech}, Answer: func(verb, line string) string {
				switch verb {
				case "banner", "ehlo", "mail", "rcpt", "data", "dot", "rset", "quit", "helo":
					return ""
				}
				if n++; c.reply == "" {
					return "raw \r\n"
				}
				if line == "*" {
					return "501 given up"
				}
				return c.reply
			}})
			s := sinkTo(t, srv, Options{User: "joe", Password: "hunter2", Timeouts: Timeouts{Greeting: 5 * time.Second}})
			o, err := send(s, envelope, text)
			if !o.Delivered() || len(srv.Sessions()) != c.connections {
				t.Errorf("%s, %q: %s, %v, %q", mech, c.reply, show(o), err, srv.Sessions())
			}
			s.Close()
			srv.Close()
			if n > 4 {
				t.Errorf("%s, %q: %d answers", mech, c.reply, n)
			}
		}
	}
}

// What a listener repeats of a password is shown nowhere.
func TestRepeatedCredentialsAreHidden(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{Extensions: []string{"AUTH PLAIN"}, Replies: replies{
		"auth": {"535 AGpvZQBodW50ZXIy is wrong"}, "mail": {"550 hunter2 was wrong, aHVudGVyMg=="}}})
	var trace strings.Builder
	s := sinkTo(t, srv, Options{User: "joe", Password: "hunter2", Trace: func(d byte, l string) { fmt.Fprintln(&trace, l) }})
	o, _ := send(s, envelope, text)
	if all := trace.String() + show(o) + o.Status[0].Reply.Text; strings.Contains(all, "hunter2") || strings.Contains(all, "AGpv") || strings.Contains(all, "aHVu") {
		t.Error(all)
	}
}

func TestRefusedLoginIsPassedOver(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{Extensions: []string{"AUTH PLAIN"}, Replies: replies{"auth": {"535 no"}}})
	if o, err := send(sinkTo(t, srv, Options{User: "joe", Password: "x"}), envelope, text); err != nil || !o.Delivered() {
		t.Error(o, err)
	}
	if !strings.HasPrefix(srv.Sessions()[0][1], "AUTH PLAIN ") {
		t.Errorf("%q", srv.Sessions())
	}
}

func TestParseHost(t *testing.T) {
	for entry, want := range map[string]host{
		"localhost":          {name: "localhost", port: "smtp"},
		"a/2525":             {name: "a", port: "2525"},
		"a/submission":       {name: "a", port: "submission"},
		"::1/25":             {name: "::1", port: "25"},
		"[::1]/25":           {name: "::1", port: "25"},
		"a/465/tls":          {name: "a", port: "465", tls: tlsWrapped},
		"a/starttls":         {name: "a", port: "smtp", tls: tlsStart},
		"a/25/notls":         {name: "a", port: "25"},
		"/var/run/lmtp":      {name: "/var/run/lmtp", unix: true},
		"/var/run/lmtp/tls":  {name: "/var/run/lmtp/tls", unix: true},
		"mail.example.test/": {name: "mail.example.test", port: "smtp"},
	} {
		want.entry = entry
		if got := parseHost(entry); got != want {
			t.Errorf("%s: %+v", entry, got)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"220 x\r\n", "220-x\r\n220 y\r\n", "220\r\n", "22\r\n", "\r\n", "220-x\r\n", "999 x\r\n", "220-\r\n220-\r\n550 \r\n", "250\x00\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		client, server := net.Pipe()
		go func() {
			io.WriteString(server, in)
			server.Close()
		}()
		defer client.Close()
		c := newConn(client, nil, time.Second)
		for {
			r, err := c.reply()
			if err != nil {
				break
			}
			if r.Code < 100 || r.Code > 599 || len(r.Text) < 3 || len(r.Text) > maxReplyLine*maxReplyLines {
				t.Fatalf("%q: %+v", in, r)
			}
		}
		if _, err := c.reply(); err == nil {
			t.Fatalf("%q: an error was not for ever", in)
		}
	})
}

func TestCutInTheText(t *testing.T) {
	long := strings.Repeat("line\r\n", 1<<20)
	srv := start(t, mailtest.SMTPOptions{DropInData: 100000})
	s := sinkTo(t, srv, Options{})
	if _, err := send(s, envelope, long); kind(err) != deliver.Lost {
		t.Error(err)
	}
	if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
		t.Error(show(o), err)
	}
}

func TestLastWordsOfAListenerAreTold(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		io.WriteString(server, "220 x\r\n")
		buf := make([]byte, 100)
		for _, r := range []string{"250 x", "250 x", "250 x", "354 x"} {
			server.Read(buf)
			io.WriteString(server, r+"\r\n")
		}
		server.Read(buf)
		io.WriteString(server, "552 too much\r\n")
	}()
	s := New(Options{Connect: func(context.Context, string, string) (net.Conn, error) { return talkative{client}, nil }})
	_, err := send(s, envelope, strings.Repeat("x", 1<<20))
	if kind(err) != deliver.Lost || !strings.Contains(err.Error(), "552 too much") {
		t.Error(err)
	}
}

// talkative fails to write after the first block, as a socket does whose peer has closed it after an answer.
type talkative struct{ net.Conn }

func (c talkative) Write(p []byte) (int, error) {
	if len(p) > 1000 {
		c.Conn.Write(p[:100])
		return 100, io.ErrClosedPipe
	}
	return c.Conn.Write(p)
}

func TestConnectionThatWasClosedWhileIdle(t *testing.T) {
	defer func(d time.Duration) { idle = d }(idle)
	idle = 0
	for _, last := range []string{"250 ok\n421 timeout", "then-drop 250 ok"} {
		srv := start(t, mailtest.SMTPOptions{Replies: replies{"dot": {last}}})
		s := sinkTo(t, srv, Options{})
		if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
			t.Fatal(show(o), err)
		}
		for end := time.Now().Add(10 * time.Second); !s.session.conn.stale() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
			t.Error(show(o), err)
		}
		if n := len(srv.Sessions()); n != 2 {
			t.Errorf("%d connections", n)
		}
		if o, err := send(s, envelope, text); err != nil || !o.Delivered() || len(srv.Sessions()) != 2 {
			t.Error("a good connection was not used again")
		}
	}
}

// An answer that nobody has asked for is not taken for that to the next command.
func TestUnaskedAnswer(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{Replies: replies{"dot": {"250 ok\n550 go away"}}})
	s := sinkTo(t, srv, Options{})
	for range 2 {
		if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
			t.Error(show(o), err)
		}
	}
	if n := len(srv.Sessions()); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// TestLMTPIsGreetedTwice: a listener that is busy for a moment costs no mail, and never hears HELO (RFC 2033, section 4.1).
func TestLMTPIsGreetedTwice(t *testing.T) {
	for verb, answer := range map[string]string{"ehlo": "421 busy", "banner": "then-drop 421 busy"} {
		srv := start(t, mailtest.SMTPOptions{LMTP: true, Replies: replies{verb: {answer}}})
		s := sinkTo(t, srv, Options{LMTP: true})
		if o, err := send(s, deliver.Envelope{From: "a@b.test", To: []string{"joe"}}, "Subject: s\r\n\r\n"); !o.Delivered() {
			t.Errorf("%s: %s (%v)", verb, show(o), err)
		}
		s.Close()
		for _, session := range srv.Sessions() {
			if len(session) > 0 && session[0] != "LHLO client.example.test" {
				t.Errorf("%s: %q", verb, session)
			}
		}
		srv = start(t, mailtest.SMTPOptions{LMTP: true, Replies: replies{verb: {answer, answer, answer}}})
		_, err := send(sinkTo(t, srv, Options{LMTP: true}), deliver.Envelope{To: []string{"joe"}}, "")
		var f *deliver.Fault
		if !errors.As(err, &f) || f.Kind != deliver.Unreachable || len(srv.Sessions()) != 2 {
			t.Errorf("%s: %v after %d sessions", verb, err, len(srv.Sessions()))
		}
	}
}
