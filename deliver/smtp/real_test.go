package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"fetchmail/deliver"
	"fetchmail/protocols/mailtest/real"
)

func TestPostfix(t *testing.T) {
	p := real.StartPostfix(t, real.PostfixOptions{Rules: []real.Rule{
		{At: real.AtMail, Match: "^mail@", Reply: "571 5.7.1 spam"},
		{At: real.AtRcpt, Match: "^bob@", Reply: "450 4.7.1 not now"},
		{At: real.AtData, Match: "^data@", Reply: "554 5.7.1 no data"},
		{At: real.AtEnd, Match: "^end@", Reply: "552 5.3.4 too much"},
	}})
	_, port, _ := net.SplitHostPort(p.Addr())
	for _, remoteListener := range []bool{false, true} {
		o := Options{Hosts: []string{"127.0.0.1/" + port}, Helo: "client.example.test", Address: "localhost", Antispam: []int{571}}
		if remoteListener {
			o.Dial = dialRemote(nil)
		}
		s := New(o)
		for _, c := range []struct {
			from string
			to   []string
			want string
		}{
			{"a@b.test", []string{"user1"}, "user1@localhost 250 accepted at end"},
			{"", []string{"user1", "user2@localhost"}, "user1@localhost 250 accepted at end; user2@localhost 250 accepted at end"},
			{"mail@b.test", []string{"user1"}, "user1@localhost 571 spam at mail"},
			{"a@b.test", []string{"bob"}, "bob@localhost 450 deferred at rcpt"},
			{"a@b.test", []string{"user1", "bob"}, "user1@localhost 250 accepted at rcpt; bob@localhost 450 deferred at rcpt"},
			{"a@b.test", []string{"nobody"}, "nobody@localhost 550 refused at rcpt; postmaster@localhost 250 accepted at end; by default"},
			{"a@b.test", []string{"nobody", "user2"}, "nobody@localhost 550 refused at rcpt; user2@localhost 250 accepted at end"},
			{"data@b.test", []string{"user1"}, "user1@localhost 554 refused at data"},
			{"end@b.test", []string{"user1"}, "user1@localhost 552 refused at end"},
			{"a b@c.test", []string{"user1"}, "user1@localhost 501 refused at mail"},
			{"a@b.test", []string{"user1"}, "user1@localhost 250 accepted at end"},
		} {
			o, err := send(s, deliver.Envelope{From: c.from, To: c.to, Fallback: "postmaster", Size: 100, Body: "8BITMIME"}, text)
			if show(o) != c.want {
				t.Errorf("%q to %q: %s (%v), want %s", c.from, c.to, show(o), err, c.want)
			}
		}
		s.Close()
	}
	if n := len(p.Mail(t, "user1")); n != 6 {
		t.Errorf("user1 has %d messages", n)
	}
}

// What a strict listener stores is what was given, for texts that need neither a line end nor a guard against smuggling.
func TestPostfixStoresTheText(t *testing.T) {
	p := real.StartPostfix(t, real.PostfixOptions{Settings: "message_size_limit = 0\n"})
	_, port, _ := net.SplitHostPort(p.Addr())
	s := New(Options{Hosts: []string{"127.0.0.1/" + port}, Address: "localhost"})
	defer s.Close()
	body := ".\r\n..\r\n.x\r\n\xe4\xff\r\n" + strings.Repeat("a line\r\n", 20000) + ".\r\n"
	for range 3 {
		if o, err := send(s, deliver.Envelope{From: "a@b.test", To: []string{"user1"}}, "Subject: s\r\n\r\n"+body); err != nil || !o.Delivered() {
			t.Fatal(show(o), err)
		}
	}
	mails := p.Mail(t, "user1")
	if len(mails) != 3 {
		t.Errorf("%d messages", len(mails))
	}
	for _, m := range mails {
		if _, got, _ := bytes.Cut(m.Text, []byte("\n\n")); string(got) != strings.ReplaceAll(body, "\r\n", "\n") {
			t.Errorf("%d octets of body arrived, want %d", len(got), len(body))
		}
	}
}

func TestPostfixSTARTTLS(t *testing.T) {
	p := real.StartPostfix(t, real.PostfixOptions{TLS: true})
	pem, err := os.ReadFile(p.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	_, port, _ := net.SplitHostPort(p.Addr())
	s := New(Options{Hosts: []string{"localhost/" + port + "/starttls"}, Dial: dialRemote(nil),
		Lookup: func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil },
		TLS:    func(host string) *tls.Config { return &tls.Config{ServerName: host, RootCAs: pool} }})
	defer s.Close()
	if o, err := send(s, deliver.Envelope{From: "a@b.test", To: []string{"user1"}}, text); err != nil || !o.Delivered() {
		t.Error(show(o), err)
	}
}

// quota makes a mailbox of Dovecot full after one message.
const quota = `auth_username_format = %Ln
mail_plugins = quota
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:messages=1
}
`

func TestDovecotLMTP(t *testing.T) {
	for _, how := range []string{"socket", "tcp", "remote"} {
		d := real.StartDovecot(t, real.DovecotOptions{Settings: quota})
		o := Options{Hosts: []string{d.LMTPSocket}}
		if how != "socket" {
			o = Options{Hosts: []string{d.Host + "/" + strconv.Itoa(d.LMTP)}, LMTP: true, Address: "localhost"}
		}
		if how == "remote" {
			o.Dial = dialRemote(nil)
		}
		s := New(o)
		for _, c := range []struct {
			to   []string
			want string
		}{
			{[]string{"alice"}, "alice@localhost 250 accepted at end"},
			{[]string{"alice", "bob", "carol@x.test"}, "alice@localhost 552 refused at end; bob@localhost 250 accepted at end; carol@x.test 250 accepted at end"},
			{[]string{"dave", "dave"}, "dave@localhost 250 accepted at end; dave@localhost 250 accepted at end"},
			{[]string{"a b"}, "a b@localhost 501 refused at rcpt; erin@localhost 250 accepted at end; by default"},
		} {
			o, err := send(s, deliver.Envelope{From: "a@b.test", To: c.to, Fallback: "erin"}, text)
			if show(o) != c.want {
				t.Errorf("%s: %s (%v), want %s", how, show(o), err, c.want)
			}
		}
		s.Close()
		if n := d.Count(t, "bob", ""); n != 1 {
			t.Errorf("%s: bob has %d messages", how, n)
		}
	}
}

// The receiver must not deliver what was aborted, at any size.
func TestAbortAgainstRealListeners(t *testing.T) {
	p := real.StartPostfix(t, real.PostfixOptions{})
	d := real.StartDovecot(t, real.DovecotOptions{Settings: quota})
	_, port, _ := net.SplitHostPort(p.Addr())
	for _, o := range []Options{{Hosts: []string{"127.0.0.1/" + port}, Address: "localhost"}, {Hosts: []string{d.LMTPSocket}}} {
		s := New(o)
		for _, n := range []int{0, 100, 1 << 20} {
			w, err := s.Begin(context.Background(), deliver.Envelope{From: "a@b.test", To: []string{"bob"}})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(w, "Subject: half\r\n\r\n%s\r\n", strings.Repeat("x", n))
			w.Abort()
		}
		s.Close()
	}
	if n, m := len(p.Mail(t, "bob")), d.Count(t, "bob", ""); n+m > 0 {
		t.Errorf("%d and %d aborted messages were delivered", n, m)
	}
}

func TestExim(t *testing.T) {
	e := real.StartExim(t)
	for _, remoteListener := range []bool{false, true} {
		o := Options{Hosts: []string{"127.0.0.1/" + strconv.Itoa(e.SMTP)}, Helo: "client.example.test", Address: "localhost", Antispam: []int{550}}
		if remoteListener {
			o.Dial = dialRemote(nil)
		}
		var sent []string
		o.Trace = func(dir byte, line string) {
			if dir == '>' {
				sent = append(sent, line)
			}
		}
		s := New(o)
		for _, c := range []struct {
			from string
			to   []string
			size int64
			want string
		}{
			{"a@b.test", []string{"user1"}, 100, "user1@localhost 250 accepted at end"},
			{"x@spam.example.org", []string{"user1"}, 100, "user1@localhost 550 spam at mail"},
			{"a@b.test", []string{"later"}, 100, "later@localhost 451 deferred at rcpt"},
			{"a@b.test", []string{"nobody"}, 100, "nobody@localhost 550 spam at rcpt; postmaster@localhost 250 accepted at end; by default"},
			{"a@b.test", []string{"nobody", "user2"}, 100, "nobody@localhost 550 spam at rcpt; user2@localhost 250 accepted at end"},
			{"a@b.test", []string{"user1"}, 2 << 20, "user1@localhost 552 refused at mail"},
			{"", []string{"user1", "user2"}, 0, "user1@localhost 250 accepted at end; user2@localhost 250 accepted at end"},
			{"jürgen@b.test", []string{"user2"}, 100, "user2@localhost 250 accepted at end"},
		} {
			o, err := send(s, deliver.Envelope{From: c.from, To: c.to, Fallback: "postmaster", Size: c.size, Body: "8BITMIME"}, "Subject: s\r\n\r\n.\r\n\xe4\r\n")
			if show(o) != c.want {
				t.Errorf("%q to %q: %s (%v), want %s", c.from, c.to, show(o), err, c.want)
			}
		}
		s.Close()
		if all := strings.Join(sent, "\n"); !strings.Contains(all, "MAIL FROM:<a@b.test> BODY=8BITMIME SIZE=100\n") ||
			!strings.Contains(all, "MAIL FROM:<jürgen@b.test> BODY=8BITMIME SIZE=100 SMTPUTF8\n") {
			t.Error(all)
		}
	}
	mails := e.Mail(t, "user2")
	if len(mails) != 6 {
		t.Errorf("user2 has %d messages", len(mails))
	}
	for _, m := range mails {
		if !bytes.HasSuffix(m.Text, []byte("Subject: s\n\n.\n\xe4\n")) {
			t.Errorf("%q", m.Text)
		}
	}
}
