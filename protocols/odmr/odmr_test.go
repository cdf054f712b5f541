package odmr_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/esmtp"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/odmr"
	"fetchmail/protocols/wire"
)

// place is an ODMR host, a listener, and what a poll needs.
type place struct {
	*mailtest.Push
	listener *mailtest.SMTP
	o        odmr.Options
	said     []string
}

func newPlace(t *testing.T, l mailtest.SMTPOptions) *place {
	t.Helper()
	p := &place{Push: mailtest.NewPush()}
	if err := p.Start(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	var err error
	if p.listener, err = mailtest.StartSMTP(l); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.listener.Close)
	p.o = odmr.Options{
		Options: esmtp.Options{Dialer: &wire.Dialer{Timeout: 20 * time.Second}, Host: "127.0.0.1", Service: p.Port(), Label: "there",
			Helo: "client.example.test", Protocol: "ODMR"},
		User: "alice", Secret: auth.Fixed("secret"), Domains: []string{"a.example", "b.example"}, Timeout: 20 * time.Second,
		Listener: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", p.listener.Addr())
		},
		Say: func(text string) { p.said = append(p.said, text) }, Remark: func(text string) { p.said = append(p.said, "! "+text) },
	}
	return p
}

func kindOf(err error) protocols.Kind {
	var f *protocols.Fault
	if !errors.As(err, &f) {
		return 0
	}
	return f.Kind
}

// letters have dots, 8 bits, NUL, bare line ends and a long line in them.
var letters = [][]byte{
	[]byte("Subject: dots\r\n\r\n.\r\n..\r\n.one\r\nend.\r\n"),
	[]byte("Subject: 8 bits \xff\x80\r\n\r\n\x00\x01gr\xfc\xdfe\r\n" + strings.Repeat("long ", 10000) + "\r\nbare\rCR bare\nLF\r\n"),
	[]byte("Subject: no body\r\n\r\n"),
}

func unstuffed(text []byte) []byte {
	return bytes.ReplaceAll(append([]byte("\r\n"), text...), []byte("\r\n.."), []byte("\r\n."))[2:]
}

func TestMailComesThroughUnchanged(t *testing.T) {
	p := newPlace(t, mailtest.SMTPOptions{})
	p.Turn = mailtest.PushMail("user1@example.test", letters...)
	n, err := odmr.Run(t.Context(), nil, p.o)
	if err != nil || n != len(letters) {
		t.Fatalf("%d, %v", n, err)
	}
	mails := p.listener.Mails()
	if len(mails) != len(letters) {
		t.Fatalf("%d messages", len(mails))
	}
	for i, m := range mails {
		if !bytes.Equal(unstuffed(m.Text), letters[i]) || m.From != "MAIL FROM:<dora@far.example.org>" || m.Hello != "push.example.test" {
			t.Errorf("message %d: %.80q from %q", i, m.Text, m.From)
		}
	}
	const text = "receiving message data"
	if want := []string{"Turnaround now...", text, text, text, "Polling 127.0.0.1"}; !slices.Equal(p.said, want) {
		t.Errorf("said %q", p.said)
	}
	if got := p.Commands()[0]; got[0] != "EHLO client.example.test" || got[1] != "AUTH CRAM-MD5" || got[3] != "ATRN a.example,b.example" {
		t.Errorf("%q", got)
	}
}

// RFC 2645, section 5.2.1. The words are the reference's.
func TestRepliesToATRN(t *testing.T) {
	for _, tt := range []struct {
		reply, detail, said string
		kind                protocols.Kind
		told                bool
	}{
		{"453 none", "", "! You have no mail.", 0, false},
		{"450 no", "", "ATRN request refused.", protocols.Protocol, false},
		{"451 later", "Unable to process ATRN request now", "", protocols.Busy, true},
		{"502 what", "Command not implemented", "", protocols.Protocol, false},
		{"530 who", "Authentication required.", "", protocols.Auth, true},
		{"550 no", `Unknown ODMR error "550 no"`, "", protocols.Protocol, false},
		{"421 no", `Unknown ODMR error "421 no"`, "", protocols.Protocol, false},
		{"251 no", `Unknown ODMR error "251 no"`, "", protocols.Protocol, false},
		{"354 no", `Unknown ODMR error "354 no"`, "", protocols.Protocol, false},
		{"what", `there: not a reply of SMTP: "what"`, "", protocols.Protocol, false},
	} {
		p := newPlace(t, mailtest.SMTPOptions{})
		p.On("ATRN", mailtest.PushReply(tt.reply))
		_, err := odmr.Run(t.Context(), nil, p.o)
		var f *protocols.Fault
		if tt.kind == 0 != (err == nil) || err != nil && (!errors.As(err, &f) || f.Kind != tt.kind || strings.Join(f.Detail, "|") != tt.detail || f.Told != tt.told) {
			t.Errorf("%s: %v %+v", tt.reply, err, f)
		}
		if strings.Join(p.said, "|") != tt.said || len(p.listener.Sessions()) != 0 {
			t.Errorf("%s: said %q, %d connections to the listener", tt.reply, p.said, len(p.listener.Sessions()))
		}
	}
}

func TestLogins(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*place)
		kind    protocols.Kind
		command string // the one that logs in, or "" if there must be none
	}{
		{"nothing is said about mechanisms", func(p *place) { p.Extensions = []string{"ATRN"} }, 0, "AUTH CRAM-MD5"},
		{"an old form of the keyword", func(p *place) { p.Extensions = []string{"ATRN", "AUTH=CRAM-MD5"} }, 0, "AUTH CRAM-MD5"},
		{"PLAIN where nobody listens", func(p *place) { p.Extensions = []string{"ATRN", "AUTH PLAIN"} }, 0, "AUTH PLAIN AGFsaWNlAHNlY3JldA=="},
		{"nothing that we know", func(p *place) { p.Extensions = []string{"ATRN", "AUTH X-OWN"} }, protocols.Auth, ""},
		{"no ATRN", func(p *place) { p.Extensions = []string{"AUTH CRAM-MD5"} }, protocols.Protocol, ""},
		{"a plugin has logged in", func(p *place) { p.o.Auth = "ssh" }, 0, ""},
		{"a wrong password", func(p *place) { p.o.Secret = auth.Fixed("wrong") }, protocols.Auth, "AUTH CRAM-MD5"},
		{"not now", func(p *place) { p.On("AUTH", mailtest.PushReply("454 later")) }, protocols.Busy, "AUTH CRAM-MD5"},
		{"a user with a line end", func(p *place) { p.o.User = "alice\r\nATRN" }, protocols.Config, ""},
	} {
		p := newPlace(t, mailtest.SMTPOptions{})
		tt.change(p)
		if _, err := odmr.Run(t.Context(), nil, p.o); kindOf(err) != tt.kind || tt.kind == 0 != (err == nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
		commands := p.Commands()[0]
		i := slices.IndexFunc(commands, func(l string) bool { return strings.HasPrefix(l, "AUTH") })
		if i < 0 != (tt.command == "") || i >= 0 && commands[i] != tt.command {
			t.Errorf("%s: %q", tt.name, commands)
		}
		if tt.kind != 0 && slices.ContainsFunc(commands, func(l string) bool { return strings.HasPrefix(l, "ATRN") }) {
			t.Errorf("%s: %q", tt.name, commands)
		}
	}
}

// fresh is a secret that is another one when it is asked again.
type fresh struct{ asked, forgotten int }

func (f *fresh) Get(context.Context) (string, error) {
	f.asked++
	if f.forgotten > 0 {
		return "secret", nil
	}
	return "stale", nil
}
func (f *fresh) Forget() { f.forgotten++ }

func TestARefusedPasswordIsAskedForAgainOnce(t *testing.T) {
	p := newPlace(t, mailtest.SMTPOptions{})
	f := &fresh{}
	p.o.Secret = f
	if _, err := odmr.Run(t.Context(), nil, p.o); err != nil || f.forgotten != 1 {
		t.Errorf("%v %+v", err, f)
	}
}

// cutter is a turn of which every byte up to a point arrives.
func cutter(at int) mailtest.PushAct {
	return func(c *mailtest.PushConn) error {
		left := at
		for _, l := range []string{"EHLO a\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>\r\n", "DATA\r\n", "Subject: x\r\n\r\nbody\r\n.\r\n", "QUIT\r\n"} {
			if _, err := c.Answer(); err != nil {
				return err
			}
			if err := c.Send(l[:min(left, len(l))]); err != nil || left < len(l) {
				return errors.Join(err, io.EOF)
			}
			left -= len(l)
		}
		return nil
	}
}

const session = len("EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n")

// A connection that is cut after any byte delivers the whole message or none of it, and is never called a success.
func TestCutAtEveryByte(t *testing.T) {
	const end = session - len("QUIT\r\n")
	for at := range session + 1 {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, mailtest.SMTPOptions{})
			p.Turn = cutter(at)
			n, err := odmr.Run(t.Context(), nil, p.o)
			if (err == nil) != (at == session) || err != nil && kindOf(err) != protocols.Socket {
				t.Errorf("cut at %d of %d: %v", at, session, err)
			}
			got := 0
			for _, m := range p.listener.Mails() {
				if m.Accepted {
					got++
				}
				if string(m.Text) != "Subject: x\r\n\r\nbody\r\n" {
					t.Errorf("cut at %d: %q", at, m.Text)
				}
			}
			if want := 0; at < end && got != want || at >= end && (got != 1 || n != 1) {
				t.Errorf("cut at %d: %d messages, %d counted", at, got, n)
			}
		})
	}
}

func TestAListenerThatGivesUp(t *testing.T) {
	for name, o := range map[string]mailtest.SMTPOptions{
		"refuses to talk":  {Replies: map[string][]string{"banner": {"then-drop 554 no"}}},
		"hangs up":         {Replies: map[string][]string{"mail": {"drop"}}},
		"resets":           {Replies: map[string][]string{"rcpt": {"reset"}}},
		"is busy":          {Replies: map[string][]string{"mail": {"then-drop 421 busy"}}},
		"dies in the text": {DropInData: 100},
		"dies at the end":  {Replies: map[string][]string{"dot": {"drop"}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, o)
			mail := mailtest.PushMail("c@d", letters[1])
			p.Turn = func(c *mailtest.PushConn) error {
				_ = mail(c)
				return mailtest.PushHang(c) // the listener goes first, also where it has said why
			}
			n, err := odmr.Run(t.Context(), nil, p.o)
			var gone *odmr.ListenerError
			if !errors.As(err, &gone) || n != 0 {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
	p := newPlace(t, mailtest.SMTPOptions{})
	cause := errors.New("nobody there")
	p.o.Listener = func(context.Context) (net.Conn, error) { return nil, cause }
	if _, err := odmr.Run(t.Context(), nil, p.o); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

// A message that the listener refuses is the host's business, and the rest comes.
func TestARefusedMessageIsNoFault(t *testing.T) {
	p := newPlace(t, mailtest.SMTPOptions{Replies: map[string][]string{"dot": {"452 later", ""}}})
	p.Turn = func(c *mailtest.PushConn) error {
		for _, l := range []string{"EHLO a", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "one\r\n.", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "two\r\n.", "QUIT"} {
			if _, err := c.Answer(); err != nil {
				return err
			}
			if err := c.Send(l + "\r\n"); err != nil {
				return err
			}
		}
		return nil
	}
	if n, err := odmr.Run(t.Context(), nil, p.o); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
}

// SECURITY: silence and drip on both sides.
func TestNobodyWaitsForEver(t *testing.T) {
	drip := func(c *mailtest.PushConn) error {
		if err := c.Converse("EHLO a", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA"); err != nil {
			return err
		}
		for {
			if err := c.Send("x"); err != nil {
				return err
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	for name, tt := range map[string]struct {
		turn   mailtest.PushAct
		listen mailtest.SMTPOptions
	}{
		"the host is silent":     {mailtest.PushHang, mailtest.SMTPOptions{}},
		"the host drips":         {drip, mailtest.SMTPOptions{}},
		"the listener is silent": {nil, mailtest.SMTPOptions{Replies: map[string][]string{"banner": {"hang"}}}},
		"silent in the middle":   {mailtest.PushMail("c@d", letters[0]), mailtest.SMTPOptions{Replies: map[string][]string{"rcpt": {"hang"}}}},
		"silent at QUIT":         {nil, mailtest.SMTPOptions{Replies: map[string][]string{"quit": {"hang"}}}},
		"the listener reads not": {func(c *mailtest.PushConn) error { return c.Send(strings.Repeat("NOOP\r\n", 100)) }, mailtest.SMTPOptions{Replies: map[string][]string{"banner": {"hang"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, tt.listen)
			p.Turn = tt.turn
			if p.Turn == nil {
				p.Turn = func(c *mailtest.PushConn) error { return c.Converse("EHLO a", "QUIT") }
			}
			p.o.Timeout = 400 * time.Millisecond
			begin := time.Now()
			_, err := odmr.Run(t.Context(), nil, p.o)
			if k := kindOf(err); k != protocols.Timeout && k != protocols.Socket || time.Since(begin) > 15*time.Second {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
		})
	}
}

func TestTheContextEndsARelay(t *testing.T) {
	p := newPlace(t, mailtest.SMTPOptions{Replies: map[string][]string{"rcpt": {"hang"}}})
	p.Turn = mailtest.PushMail("c@d", letters[0])
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
	if _, err := odmr.Run(ctx, nil, p.o); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

// A poll that is to stop finishes the message in hand and begins no other.
func TestStop(t *testing.T) {
	p := newPlace(t, mailtest.SMTPOptions{})
	stop := make(chan struct{})
	p.Turn = func(c *mailtest.PushConn) error {
		if err := c.Converse("EHLO a", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA"); err != nil {
			return err
		}
		close(stop)
		time.Sleep(50 * time.Millisecond)
		if err := c.Send("one\r\n.\r\n"); err != nil {
			return err
		}
		if line, err := c.Answer(); err != nil || !strings.HasPrefix(line, "250") {
			t.Errorf("the verdict: %q, %v", line, err)
		}
		if _, err := c.Answer(); err == nil {
			t.Error("the session goes on")
		}
		return nil
	}
	n, err := odmr.Run(t.Context(), stop, p.o)
	if !errors.Is(err, odmr.ErrStopped) || n != 1 || len(p.listener.Mails()) != 1 {
		t.Errorf("%d, %v, %d messages", n, err, len(p.listener.Mails()))
	}
	p = newPlace(t, mailtest.SMTPOptions{})
	p.Turn = mailtest.PushHang
	idle := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() { close(idle) })
	if _, err := odmr.Run(t.Context(), idle, p.o); !errors.Is(err, odmr.ErrStopped) {
		t.Errorf("with nothing in hand: %v", err)
	}
}

// SECURITY: SMTP smuggling through us.
func TestNothingIsSmuggled(t *testing.T) {
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n"} {
		p := newPlace(t, mailtest.SMTPOptions{})
		p.Turn = func(c *mailtest.PushConn) error {
			return c.Converse("EHLO a", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "one"+end+"MAIL FROM:<evil@b>\r\n.", "QUIT")
		}
		if n, err := odmr.Run(t.Context(), nil, p.o); err != nil || n != 1 {
			t.Errorf("%q: %d, %v", end, n, err)
		}
		for _, m := range p.listener.Mails() {
			if bytes.Contains(m.Text, []byte(end)) || !bytes.Contains(m.Text, []byte("evil")) {
				t.Errorf("%q came through: %q", end, m.Text)
			}
		}
	}
}

func BenchmarkRelay(b *testing.B) {
	text := bytes.Repeat([]byte(strings.Repeat("x", 76)+"\r\n"), 1<<20/78)
	host := mailtest.NewPush()
	host.Turn = mailtest.PushMail("c@d", slices.Repeat([][]byte{text}, 20)...)
	listener, err := mailtest.StartSMTP(mailtest.SMTPOptions{Discard: true})
	if err := errors.Join(err, host.Start("")); err != nil {
		b.Fatal(err)
	}
	defer host.Close()
	defer listener.Close()
	o := odmr.Options{Options: esmtp.Options{Dialer: &wire.Dialer{Timeout: time.Minute}, Host: "127.0.0.1", Service: host.Port(), Helo: "x", Protocol: "ODMR"},
		User: "alice", Secret: auth.Fixed("secret"), Domains: []string{"a"}, Timeout: time.Minute, Say: func(string) {}, Remark: func(string) {},
		Listener: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", listener.Addr())
		}}
	b.SetBytes(20 * int64(len(text)))
	for b.Loop() {
		if n, err := odmr.Run(b.Context(), nil, o); err != nil || n != 20 {
			b.Fatal(n, err)
		}
	}
}
