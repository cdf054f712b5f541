package main_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// plug connects its standard input and output to a port.
const plug = `import os, socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while True:
        b = s.recv(65536)
        if not b: os._exit(0)
        while b: b = b[os.write(1, b):]
threading.Thread(target=back).start()
while True:
    b = os.read(0, 65536)
    if not b: break
    s.sendall(b)
s.shutdown(socket.SHUT_WR)
`

// challenge is that of RFC 2195, section 2.
const challenge = "334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"

// listens answers every step of a login; the rest is as usual.
func listens(verb, line string) string {
	switch verb {
	case "auth":
		if f := strings.Fields(line); len(f) == 2 {
			return challenge
		}
		return ""
	case "ehlo", "lhlo", "helo", "mail", "rcpt", "data", "dot", "rset", "quit", "banner", "starttls":
		return ""
	case "am9l": // "joe", the first answer of LOGIN
		return "334 UGFzc3dvcmQ6"
	}
	return "235 welcome"
}

// TestListenersHearTheSame compares what the two programs say to a listener under each option that shapes it.
func TestListenersHearTheSame(t *testing.T) {
	p := &place{Dovecot: real.StartDovecot(t, real.DovecotOptions{})}
	reference := real.Reference(t)
	for _, c := range []struct {
		name, server, user string
		o                  mailtest.SMTPOptions
		sessions           int
	}{
		{"plain", "", "smtphost localhost/@@", mailtest.SMTPOptions{}, 1},
		{"nothing offered", "", "smtphost localhost/@@", mailtest.SMTPOptions{Extensions: []string{}}, 1},
		{"HELO only", "", "smtphost localhost/@@", mailtest.SMTPOptions{NoEHLO: true}, 2},
		{"pass8bits", "", "smtphost localhost/@@ pass8bits", mailtest.SMTPOptions{}, 1},
		{"smtpaddress", "", `smtphost localhost/@@ smtpaddress "corp.example.com"`, mailtest.SMTPOptions{}, 1},
		{"smtpname", "", `smtphost localhost/@@ smtpname "all@corp.example.com"`, mailtest.SMTPOptions{}, 1},
		{"hunt list", "", "smtphost localhost/1, 127.0.0.1/@@", mailtest.SMTPOptions{}, 1},
		{"batchlimit", "", "smtphost localhost/@@ batchlimit 3", mailtest.SMTPOptions{}, 2},
		{"AUTH PLAIN", `esmtpname "joe" esmtppassword "pw"`, "smtphost localhost/@@", mailtest.SMTPOptions{Extensions: []string{"AUTH PLAIN LOGIN"}}, 1},
		{"AUTH LOGIN", `esmtpname "joe" esmtppassword "pw"`, "smtphost localhost/@@", mailtest.SMTPOptions{Extensions: []string{"AUTH LOGIN"}, Answer: listens}, 1},
		{"AUTH CRAM-MD5", `esmtpname "joe" esmtppassword "pw"`, "smtphost localhost/@@",
			mailtest.SMTPOptions{Extensions: []string{"AUTH PLAIN CRAM-MD5"}, Answer: listens}, 1},
		{"AUTH refused", `esmtpname "joe" esmtppassword "pw"`, "smtphost localhost/@@",
			mailtest.SMTPOptions{Extensions: []string{"AUTH PLAIN"}, Replies: map[string][]string{"auth": {"535 no"}}}, 1},
		{"AUTH not offered", `esmtpname "joe" esmtppassword "pw"`, "smtphost localhost/@@", mailtest.SMTPOptions{}, 1},
		{"plugout", `plugout "python3 @DIR@/plug.py %h %p"`, "smtphost localhost/@@", mailtest.SMTPOptions{}, 1},
		{"LMTP", "", "lmtp smtphost localhost/@@", mailtest.SMTPOptions{LMTP: true}, 1},
		{"LMTP socket", "", "smtphost @@", mailtest.SMTPOptions{LMTP: true, Network: "unix"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var heard [2][][]string
			for i, bin := range []string{reference, binary(t)} {
				if c.o.Network == "unix" {
					c.o.Addr = filepath.Join(real.Dir(t), "s")
				}
				l := listener(t, c.o)
				at := l.Port()
				if at == "" {
					at = l.Addr()
					os.Chmod(at, 0o777)
				}
				p.Dovecot.Empty(t, "alice", "")
				p.Dovecot.Put(t, "alice", "", real.Texts(letters...)...)
				client := newClient(t, bin)
				client.write(t, "plug.py", plug)
				rc := fmt.Sprintf("poll localhost proto imap port %d %s\n user alice there with password secret is user1 here sslproto '' %s\n", p.IMAP, c.server, c.user)
				client.rc(t, strings.NewReplacer("@@", at, "@DIR@", client.home).Replace(rc))
				if r := client.run(t); r.code != 0 || p.left(t) != 0 {
					t.Errorf("%s: %d left: %s", bin, p.left(t), r)
				}
				heard[i] = l.Sessions()
			}
			if len(heard[1]) != c.sessions || !reflect.DeepEqual(heard[0], heard[1]) {
				t.Errorf("the reference (-) and ours (+):\n%s", diff(show(heard[0]), show(heard[1])))
			}
		})
	}
}

func show(sessions [][]string) string {
	var b strings.Builder
	for _, s := range sessions {
		b.WriteString(strings.Join(s, "\n") + "\n----\n")
	}
	return b.String()
}

// TestTLSTowardsTheListener is about the marks /tls, /starttls and /notls of ours: with them the listener must be who it
// says, or gets nothing.
func TestTLSTowardsTheListener(t *testing.T) {
	p := newPlace(t, real.DovecotOptions{}, real.PostfixOptions{TLS: true})
	cert, err := tls.LoadX509KeyPair(p.Postfix.Server, p.Postfix.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := listener(t, mailtest.SMTPOptions{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Implicit: true})
	for _, c := range []struct {
		host, trusted string
		ok            bool
	}{
		{fmt.Sprintf("localhost/%d/starttls", p.Postfix.SMTP), p.Postfix.CA, true},
		{fmt.Sprintf("localhost/%d/starttls", p.Postfix.SMTP), p.Dovecot.CA, false},
		{fmt.Sprintf("127.0.0.2/%s/tls", wrapped.Port()), p.Postfix.CA, false},
		{fmt.Sprintf("localhost/%s/tls", wrapped.Port()), p.Postfix.CA, true},
		{fmt.Sprintf("localhost/%s/tls", wrapped.Port()), p.Dovecot.CA, false},
		{fmt.Sprintf("localhost/%d/notls", p.Postfix.SMTP), p.Dovecot.CA, true},
	} {
		p.Dovecot.Empty(t, "alice", "")
		p.Dovecot.Put(t, "alice", "", real.Texts(letters...)...)
		client := newClient(t, binary(t))
		client.env = []string{"SSL_CERT_FILE=" + c.trusted}
		client.rc(t, p.fill("poll localhost proto imap port @IMAP@\n user alice there with password secret is user1 here sslproto '' smtphost "+c.host+"\n"))
		r := client.run(t)
		code, left := 0, 0
		if !c.ok {
			code, left = 10, len(letters)
		}
		if r.code != code || p.left(t) != left {
			t.Errorf("%s, %v: %d left: %s", c.host, c.ok, p.left(t), r)
		}
	}
	if n := len(wrapped.Mails()); n != len(letters) {
		t.Errorf("%d messages came through wrapped TLS", n)
	}
	if n := len(p.Postfix.Mail(t, "user1")); n != 2*len(letters) {
		t.Errorf("%d messages came to Postfix", n)
	}
}

// TestLoginAtARealListener has a Postfix that takes nothing without a login, which Dovecot checks.
func TestLoginAtARealListener(t *testing.T) {
	sasl := real.FreePorts(t, 1)[0]
	p := newPlace(t, real.DovecotOptions{Mechanisms: []string{"plain", "login", "cram-md5"},
		Settings: fmt.Sprintf("service auth {\n  inet_listener sasl {\n    address = 127.0.0.1\n    port = %d\n  }\n}\n", sasl)},
		real.PostfixOptions{Settings: fmt.Sprintf("smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:%s\n"+
			"smtpd_sasl_security_options = noanonymous\nsmtpd_sender_restrictions = permit_sasl_authenticated, reject\n", net.JoinHostPort("127.0.0.1", fmt.Sprint(sasl)))})
	p.Dovecot.Put(t, "alice", "", real.Texts([]byte("Return-Path: <>\nSubject: s\n\nx\n"))...)
	for _, c := range []struct {
		password string
		left     int
		words    string
	}{
		{"wrong", 1, "554 5.7.1"},
		{"secret", 0, " flushed"},
	} {
		client := newClient(t, binary(t))
		client.rc(t, p.fill(`poll localhost proto imap port @IMAP@ esmtpname "alice" esmtppassword "`+c.password+"\"\n user alice there with password secret is user1 here sslproto '' smtphost localhost/@SMTP@\n"))
		r := client.run(t, "-v")
		if p.left(t) != c.left || !strings.Contains(r.stdout+r.stderr, c.words) || !strings.Contains(r.stdout, "SMTP> AUTH CRAM-MD5") {
			t.Errorf("%s: %d left: %s", c.password, p.left(t), r)
		}
	}
	if n := len(p.Postfix.Mail(t, "user1")); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestConnectionLostAfterTheText: a listener that has got a message and not said so may have it or not. It stays, and
// comes once more.
func TestConnectionLostAfterTheText(t *testing.T) {
	p := &place{Dovecot: real.StartDovecot(t, real.DovecotOptions{})}
	for _, proto := range []string{"pop3", "imap"} {
		l := listener(t, mailtest.SMTPOptions{Replies: map[string][]string{"dot": {"drop", "reset", ""}}})
		p.Dovecot.Empty(t, "alice", "")
		p.Dovecot.Put(t, "alice", "", real.Texts(letters[0])...)
		client := newClient(t, binary(t))
		client.rc(t, fmt.Sprintf("poll localhost proto %s port %d\n user alice there with password secret is user1 here sslproto '' smtphost localhost/%s\n",
			proto, map[string]int{"pop3": p.POP3, "imap": p.IMAP}[proto], l.Port()))
		for i, left := range []int{1, 1, 0} {
			if r := client.run(t); p.left(t) != left || (left == 1) != strings.Contains(r.stdout, "not flushed") {
				t.Errorf("%s, run %d: %d left: %s", proto, i, p.left(t), r)
			}
		}
		if n := len(l.Mails()); n != 3 {
			t.Errorf("%s: the listener has seen %d messages", proto, n)
		}
	}
}
