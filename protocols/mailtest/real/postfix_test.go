package real

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

func TestPostfixDelivers(t *testing.T) {
	p := StartPostfix(t, PostfixOptions{TLS: true})
	c, err := smtp.Dial(p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(trust(t, &p.Certs)); err != nil {
		t.Error(err)
	}
	text := "Subject: x\n\n.dot\n\xe4 " + strings.Repeat("long ", 1000) + "\n"
	begin := time.Now()
	const n = 50
	for range n {
		send(t, c, "user1@localhost", text)
	}
	c.Quit()
	mails := p.Mail(t, "user1")
	t.Logf("%d messages in %v", n, time.Since(begin))
	if len(mails) != n {
		t.Fatalf("%d messages, want %d\n%s", len(mails), n, p.Log())
	}
	for _, m := range mails {
		if !bytes.HasSuffix(m.Text, []byte(text[len("Subject: x\n"):])) {
			t.Errorf("got %q", m.Text)
		}
	}
	p.Empty(t, "user1")
	if left := p.Mail(t, "user1"); len(left) != 0 {
		t.Errorf("%d messages in an empty mailbox", len(left))
	}
}

func send(t *testing.T, c *smtp.Client, to, text string) {
	t.Helper()
	if err := errors.Join(c.Mail("a@b.test"), c.Rcpt(to)); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPostfixRules(t *testing.T) {
	p := StartPostfix(t, PostfixOptions{Rules: []Rule{
		{AtMail, "^mail@", "450 4.7.1 not now"},
		{AtRcpt, "^bob@", "550 5.7.1 not him"},
		{AtData, "^data@", "554 5.7.1 no data"},
		{AtEnd, "^end@", "552 5.3.4 too much"},
	}})
	for _, c := range []struct {
		from, to, want string
	}{
		{"mail@b.test", "user1@localhost", "MAIL 450 4.7.1 <mail@b.test>: Sender address rejected: not now"},
		{"a@b.test", "bob@localhost", "RCPT 550 5.7.1 <bob@localhost>: Recipient address rejected: not him"},
		{"a@b.test", "nobody@localhost", "RCPT 550 5.1.1 <nobody@localhost>: Recipient address rejected: User unknown in virtual mailbox table"},
		{"data@b.test", "user1@localhost", "DATA 554 5.7.1 <data@b.test>: Sender address rejected: no data"},
		{"end@b.test", "user1@localhost", "END 552 5.3.4 <end@b.test>: Sender address rejected: too much"},
		{"a@b.test", "user1@localhost", "END ok"},
	} {
		if got := transaction(t, p, c.from, c.to); got != c.want {
			t.Errorf("%s to %s: %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

// transaction returns the stage at which a transaction ended and how.
func transaction(t *testing.T, p *Postfix, from, to string) string {
	t.Helper()
	c, err := smtp.Dial(p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	says := func(stage string, err error) string {
		if e, ok := err.(*textproto.Error); ok {
			return fmt.Sprintf("%s %d %s", stage, e.Code, e.Msg)
		}
		return fmt.Sprint(stage, " ", err)
	}
	if err := c.Mail(from); err != nil {
		return says("MAIL", err)
	}
	if err := c.Rcpt(to); err != nil {
		return says("RCPT", err)
	}
	w, err := c.Data()
	if err != nil {
		return says("DATA", err)
	}
	fmt.Fprint(w, "Subject: x\r\n\r\nx\r\n")
	if err := w.Close(); err != nil {
		return says("END", err)
	}
	return "END ok"
}

func TestServersStopWithTheTest(t *testing.T) {
	var d *Dovecot
	t.Run("inner", func(t *testing.T) { d = StartDovecot(t, DovecotOptions{}) })
	if c, err := tls.Dial("tcp", d.Addr(d.POP3S), nil); err == nil {
		c.Close()
		t.Error("Dovecot still answers after the end of its test")
	}
}
