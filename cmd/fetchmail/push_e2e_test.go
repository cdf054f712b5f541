package main_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// pushed is what the two programs must agree on in a run against a server that sends mail when it is asked to.
type pushed struct {
	code           int
	stdout, stderr string
	wire           [][]string // of each connection to the server
	listener       [][]string
}

func (p pushed) String() string {
	return fmt.Sprintf("exit %d\n%s%s\nto the server %q\nto the listener %q", p.code, p.stdout, p.stderr, p.wire, p.listener)
}

// passing are words that differ from run to run.
var passing = regexp.MustCompile(`fetchmail: [\w.-]+ querying|at \w{3} \w{3} .*?: poll|127\.0\.0\.1/\d+|(?m)^fetchmail: WARNING: Running as root.*\n|\(fetchmail-.*?\)|\w{3}, +\d+ \w{3} \d{4} .*`)

func passed(text string) string {
	return passing.ReplaceAllString(strings.ReplaceAll(text, "\r\n", "\n"), "~") // the reference shows carriage returns
}

// pushOnce runs a program with an rcfile, in which @PORT@ is the server's port and @SMTP@ that of a listener.
func pushOnce(t *testing.T, bin, rc string, args []string, script func(*mailtest.Push)) pushed {
	t.Helper()
	s := mailtest.NewPush()
	script(s)
	start(t, s)
	l := listener(t, mailtest.SMTPOptions{})
	c := newClient(t, bin)
	c.rc(t, strings.NewReplacer("@PORT@", s.Port(), "@SMTP@", "smtphost 127.0.0.1/"+l.Port()).Replace(rc))
	r := c.run(t, args...)
	await(t, "the server has heard everything", s.Over)
	for _, lines := range s.Commands() {
		for i := range lines { // the challenge is the same each time, so is the response
			if text, err := base64.StdEncoding.DecodeString(lines[i]); err == nil && len(text) > 0 {
				lines[i] = string(text)
			}
		}
	}
	return pushed{code: r.code, stdout: passed(r.stdout), stderr: passed(r.stderr), wire: s.Commands(), listener: l.Sessions()}
}

func on(pattern string, act mailtest.PushAct) func(*mailtest.Push) {
	return func(s *mailtest.Push) { s.On(pattern, act) }
}

func asUsual(*mailtest.Push) {}

func reply(pattern, line string) func(*mailtest.Push) { return on(pattern, mailtest.PushReply(line)) }

// dotted are messages as an ODMR host sends them.
func dotted(s *mailtest.Push) {
	s.Turn = mailtest.PushMail("user1@example.test", []byte("Subject: one\r\n\r\n.\r\n..two\r\nend\r\n"), []byte("Subject: 8 bits\r\n\r\ngr\xfc\xdfe \x01\r\n"))
}

const (
	etrnRC = "poll mylabel via localhost proto etrn port @PORT@ timeout 60 user u fetchdomains a.example, \"@b.example\"\n"
	odmrRC = "poll mylabel via localhost proto odmr port @PORT@ timeout 60 user alice password secret fetchdomains a.example, b.example @SMTP@\n"
)

// pushes are runs that both programs must do alike.
var pushes = []struct {
	name, rc string
	script   func(*mailtest.Push)
	args     []string
}{
	{"etrn 250", etrnRC, asUsual, nil},
	{"etrn 250 in two lines", etrnRC, reply("ETRN", "250-a\r\n250 b"), nil},
	{"etrn without fetchdomains", "poll localhost proto etrn port @PORT@ user u", asUsual, nil},
	{"etrn without a user", "poll localhost proto etrn port @PORT@", asUsual, nil},
	{"etrn 251", strings.Replace(etrnRC, ", \"@b.example\"", "", 1), reply("ETRN", "251 none"), nil},
	{"etrn 252", etrnRC, reply("ETRN", "252 some"), nil},
	{"etrn 253", etrnRC, reply("ETRN", "253 17 messages"), nil},
	{"etrn 458", etrnRC, reply("ETRN", "458 no"), nil},
	{"etrn 459", etrnRC, reply("ETRN", "459 no: why"), nil},
	{"etrn 500", etrnRC, reply("ETRN", "500 no"), nil},
	{"etrn 501", etrnRC, reply("ETRN", "501 no"), nil},
	{"etrn 421", etrnRC, reply("ETRN", "421 no"), nil},
	{"etrn 502", etrnRC, reply("ETRN", "502 no"), nil},
	{"etrn 550", etrnRC, reply("ETRN", "550 no"), nil},
	{"etrn 354", etrnRC, reply("ETRN", "354 no"), nil},
	{"etrn lost", etrnRC, on("ETRN", mailtest.PushDrop), nil},
	{"etrn silent", strings.Replace(etrnRC, "timeout 60", "timeout 1", 1), on("ETRN", mailtest.PushHang), nil},
	{"etrn refused for the second domain", etrnRC, reply("ETRN @b", "458 no"), nil},
	{"etrn not offered", etrnRC, func(s *mailtest.Push) { s.Extensions = []string{"SIZE"} }, nil},
	{"etrn verbose", etrnRC, asUsual, []string{"-v"}},
	{"etrn verbose 458", etrnRC, reply("ETRN", "458 no"), []string{"-v"}},
	{"etrn silent option", etrnRC, asUsual, []string{"-s"}},
	{"etrn silent option 458", etrnRC, reply("ETRN", "458 no"), []string{"-s"}},
	{"etrn keep and folder", etrnRC + " keep folder x", asUsual, nil},
	{"etrn flush", etrnRC + " flush fetchall", asUsual, nil},
	{"etrn fetchall", etrnRC + " fetchall limit 5", asUsual, nil},
	{"etrn limit", etrnRC + " limit 5", asUsual, nil},
	{"etrn folder", etrnRC + " folder x", asUsual, nil},
	{"etrn check", etrnRC + " limit 5", asUsual, []string{"-c"}},
	{"etrn hooks", etrnRC + " preconnect \"echo before\" postconnect \"echo behind; exit 3\"", asUsual, nil},
	{"etrn a failing preconnect", etrnRC + " preconnect \"exit 3\"", asUsual, nil},
	{"etrn STARTTLS is not used unasked", etrnRC, func(s *mailtest.Push) { s.Extensions = append(s.Extensions, "STARTTLS") }, nil},
	{"etrn lost at QUIT", etrnRC, on("QUIT", mailtest.PushDrop), nil},
	{"etrn two users", etrnRC + " user v fetchdomains c.example", asUsual, nil},
	{"etrn nobody there", "poll localhost via 127.0.0.1 proto etrn port 1 user u", asUsual, nil},

	{"odmr", odmrRC, dotted, nil},
	{"odmr verbose", odmrRC, dotted, []string{"-v"}},
	{"odmr silent option", odmrRC, dotted, []string{"-s"}},
	{"odmr without fetchdomains", "poll localhost proto odmr port @PORT@ user alice password secret @SMTP@", dotted, nil},
	{"odmr without a password", "poll localhost proto odmr port @PORT@ user alice @SMTP@", dotted, nil},
	{"odmr 450", odmrRC, reply("ATRN", "450 no"), nil},
	{"odmr 453", odmrRC, reply("ATRN", "453 none"), nil},
	{"odmr 453 silent option", odmrRC, reply("ATRN", "453 none"), []string{"-s"}},
	{"odmr 502", odmrRC, reply("ATRN", "502 no"), nil},
	{"odmr 503", odmrRC, reply("ATRN", "503 no"), nil},
	{"odmr 530", odmrRC, reply("ATRN", "530 no"), nil},
	{"odmr 550", odmrRC, reply("ATRN", "550 no"), nil},
	{"odmr 421", odmrRC, reply("ATRN", "421 no"), nil},
	{"odmr 251", odmrRC, reply("ATRN", "251 no"), nil},
	{"odmr lost at ATRN", odmrRC, on("ATRN", mailtest.PushDrop), nil},
	{"odmr silent at ATRN", strings.Replace(odmrRC, "timeout 60", "timeout 1", 1), on("ATRN", mailtest.PushHang), nil},
	{"odmr not offered", odmrRC, func(s *mailtest.Push) { s.Extensions = []string{"AUTH CRAM-MD5"} }, nil},
	{"odmr nothing about AUTH", odmrRC, func(s *mailtest.Push) { s.Extensions = []string{"ATRN"} }, nil},
	{"odmr lost at AUTH", odmrRC, on("AUTH", mailtest.PushDrop), nil},
	{"odmr keep", odmrRC + " keep", asUsual, nil},
	{"odmr check", odmrRC, asUsual, []string{"-c"}},
}

func TestETRNAndODMREqualTheReference(t *testing.T) {
	for _, tt := range pushes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			reference := real.Reference(t)
			ours := pushOnce(t, binary(t), tt.rc, tt.args, tt.script)
			theirs := pushOnce(t, reference, tt.rc, tt.args, tt.script)
			for _, p := range []pushed{ours, theirs} { // ours polls several users side by side
				slices.SortFunc(p.wire, slices.Compare)
			}
			theirs.stdout = saslLines.ReplaceAllString(theirs.stdout, "$1*")
			if a, b := theirs.String(), ours.String(); a != b {
				t.Errorf("the reference (-) and ours (+):\n%s", diff(a, b))
			}
		})
	}
}

// saslLines are those of which we show "*".
var saslLines = regexp.MustCompile(`(?m)^(fetchmail: ODMR(?:< 334 |> ))[A-Za-z0-9+/=]{20,}$`)

// Where the reference lets internal numbers escape, gives up too early or calls a broken session a success.
func TestETRNAndODMRDifferFromTheReferenceOnPurpose(t *testing.T) {
	quick := strings.Replace(odmrRC, "timeout 60", "timeout 1", 1)
	for _, tt := range []struct {
		name, rc string
		script   func(*mailtest.Push)
		code     int
		err      string // in standard error
	}{
		{"a refused greeting (128)", etrnRC, reply("GREETING", "421 come back later"), 4, "mylabel: the server refuses to talk: 421 come back later"},
		{"no EHLO (128)", etrnRC, reply("EHLO", "502 what"), 4, "mylabel's SMTP listener does not support ESMTP"},
		{"lost at EHLO (129)", etrnRC, on("EHLO", mailtest.PushDrop), 2, "socket error while fetching from u@mylabel"},
		{"silent before the greeting (4)", strings.Replace(etrnRC, "timeout 60", "timeout 1", 1), on("GREETING", mailtest.PushHang), 2, "socket error"},
		{"a refused QUIT (128)", etrnRC, reply("QUIT", "500 what"), 4, ""},
		{"a refused password (128)", strings.Replace(odmrRC, "secret", "wrong", 1), asUsual, 3, "AUTH CRAM-MD5 refused: 535"},
		{"a mailbox in use (8)", odmrRC, reply("ATRN", "451 later"), 14, "Unable to process ATRN request now"},
		{"the host breaks off (0)", odmrRC, func(s *mailtest.Push) { s.Turn = mailtest.PushDrop }, 2, "socket error while fetching from alice@mylabel"},
		{"the host is silent (for ever)", quick, func(s *mailtest.Push) { s.Turn = mailtest.PushHang }, 2, "socket error while fetching from alice@mylabel"},
		{"nobody listens (2)", strings.Replace(odmrRC, "@SMTP@", "smtphost 127.0.0.1/1", 1), asUsual, 10, "delivering to SMTP host ~"},
		{"TLS was asked for (ignored)", etrnRC + " sslproto tls1.2+", asUsual, 2, "does not offer STARTTLS"},
		{"a domain with a blank (sent)", "poll x via localhost proto etrn port @PORT@ user u fetchdomains \"a b\"", asUsual, 5, `fetchdomains: "a b" is not a domain`},
		{"maildir", "poll x via localhost proto etrn port @PORT@ user u maildir \"~/M\"", asUsual, 5, "maildir and mbox cannot be used"},
		{"lmtp", odmrRC + " lmtp", asUsual, 5, "lmtp cannot be used"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := pushOnce(t, binary(t), tt.rc, nil, tt.script); got.code != tt.code || !strings.Contains(got.stderr, tt.err) {
				t.Errorf("want exit %d, %q:\n%s", tt.code, tt.err, got)
			}
		})
	}
	none := pushOnce(t, binary(t), etrnRC, nil, reply("ETRN", "251 none"))
	if want := []string{"ETRN a.example", "ETRN @b.example", "QUIT"}; none.code != 0 || !slices.Equal(none.wire[0][1:], want) {
		t.Errorf("after a 251 the next domain is asked for: %s", none)
	}
}

// A host that follows RFC 2645, and Postfix as the listener, in clear and under STARTTLS.
func TestODMRIntoPostfix(t *testing.T) {
	p := real.StartPostfix(t, real.PostfixOptions{TLS: true})
	s := mailtest.NewPush()
	start(t, s)
	var texts [][]byte
	for _, l := range letters {
		texts = append(texts, bytes.ReplaceAll(l, []byte("\n"), []byte("\r\n")))
	}
	s.Turn = mailtest.PushMail("user1@example.test", texts...)
	for _, c := range []struct {
		host, suffix  string
		code, deliver int
	}{{"127.0.0.1", "", 0, 1}, {"localhost", "/starttls", 0, 2}, {"127.0.0.2", "/starttls", 10, 2}} {
		client := newClient(t, binary(t))
		client.env = []string{"SSL_CERT_FILE=" + p.CA}
		client.rc(t, fmt.Sprintf("poll localhost proto odmr port %s user alice password secret fetchdomains example.test smtphost %s/%d%s\n",
			s.Port(), c.host, p.SMTP, c.suffix))
		if r := client.run(t); r.code != c.code {
			t.Fatalf("%s%s: %s", c.host, c.suffix, r)
		}
		mails := p.Mail(t, "user1")
		if len(mails) != c.deliver*len(letters) {
			t.Fatalf("%s%s: %d messages are there\n%s", c.host, c.suffix, len(mails), p.Log())
		}
		for _, l := range letters {
			n := 0
			for _, m := range mails {
				if bytes.Equal(body(m.Text), body(l)) {
					n++
				}
			}
			if n != c.deliver {
				t.Errorf("%s%s: the text of %.60q is there %d times as it was", c.host, c.suffix, l, n)
			}
		}
	}
	if !strings.Contains(p.Log(), "starttls=1") {
		t.Errorf("no TLS:\n%s", p.Log())
	}
}

// Postfix has mail for a domain whose listener was away; it comes after ETRN (postconf(5), fast_flush_domains).
func TestETRNAtPostfix(t *testing.T) {
	port := strconv.Itoa(real.FreePorts(t, 1)[0])
	p := real.StartPostfix(t, real.PostfixOptions{Settings: "relay_domains = away.example\nfast_flush_domains = away.example\n" +
		"relay_transport = smtp:[127.0.0.1]:" + port + "\nqueue_run_delay = 1h\nminimal_backoff_time = 1h\nsmtp_host_lookup = native\n"})
	sender := mailtest.NewPush() // is as good as any client of SMTP for a message
	sender.Turn = mailtest.PushMail("joe@away.example", []byte("Subject: waiting\r\n\r\n.dot\r\n"))
	start(t, sender)
	c := newClient(t, binary(t))
	c.rc(t, fmt.Sprintf("poll localhost proto odmr port %s user alice password secret smtphost 127.0.0.1/%d\n", sender.Port(), p.SMTP))
	if r := c.run(t); r.code != 0 {
		t.Fatal(r)
	}
	await(t, "Postfix defers the message", func() bool { return p.Deferred(t) })
	l := listener(t, mailtest.SMTPOptions{Addr: "127.0.0.1:" + port})
	c.rc(t, fmt.Sprintf("poll localhost proto etrn port %d user u fetchdomains away.example\n", p.SMTP))
	r := c.run(t)
	if r.code != 0 || r.stdout != "fetchmail: Queuing for away.example started\nfetchmail: Polling localhost\n" {
		t.Errorf("%s", r)
	}
	p.Settle(t, time.Minute)
	if m := l.Mails(); len(m) != 1 || !bytes.HasSuffix(m[0].Text, []byte("\r\n\r\n..dot\r\n")) || m[0].To[0] != "RCPT TO:<joe@away.example>" && !strings.HasPrefix(m[0].To[0], "RCPT TO:<joe@away.example> ") {
		t.Errorf("%d messages %+v\n%s", len(m), m, p.Log())
	}
	c.rc(t, fmt.Sprintf("poll localhost proto etrn port %d user u fetchdomains elsewhere.example\n", p.SMTP))
	if r := c.run(t); r.code != 3 || !strings.Contains(r.stderr, "Node elsewhere.example not allowed: 459") {
		t.Errorf("a domain that is not ours there: %s", r)
	}
}

// SECURITY: what is asked for is had, or nothing is said. Postfix is a real peer for STARTTLS.
func TestETRNAndODMRUnderTLS(t *testing.T) {
	p := real.StartPostfix(t, real.PostfixOptions{TLS: true})
	ca := mailtest.NewCA(t, "Test CA")
	cert := ca.Issue(t, mailtest.CertSpec{CommonName: "localhost", Names: []string{"localhost"}})
	trust, err := os.ReadFile(ca.File(t))
	if err != nil {
		t.Fatal(err)
	}
	postfix, err := os.ReadFile(p.CA)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		wrapped bool
		options string
		trust   []byte
		code    int
	}{
		{"etrn, STARTTLS", false, "sslmode starttls=must", postfix, 3},
		{"etrn, STARTTLS by sslproto", false, "sslproto tls1.2+", postfix, 3},
		{"etrn, STARTTLS, not trusted", false, "sslmode starttls=must", trust, 2},
		{"odmr, ssl", true, "ssl", trust, 0},
		{"odmr, ssl, not trusted", true, "ssl", postfix, 2},
		{"odmr, STARTTLS", false, "sslmode starttls=must", trust, 0},
		{"odmr, STARTTLS where it is offered", false, "sslmode starttls=may", trust, 0},
		{"odmr, STARTTLS, not trusted", false, "sslmode starttls=may", postfix, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := mailtest.NewPush()
			s.TLS, s.Wrapped, s.Secured = cert.Config(), tt.wrapped, []string{"AUTH PLAIN", "ATRN"}
			start(t, s)
			l := listener(t, mailtest.SMTPOptions{})
			port := s.Port()
			proto, _, _ := strings.Cut(tt.name, ",")
			if proto == "etrn" {
				port = strconv.Itoa(p.SMTP)
			}
			c := newClient(t, binary(t))
			c.write(t, "ca.pem", string(tt.trust))
			c.rc(t, fmt.Sprintf("poll localhost proto %s port %s user alice password secret fetchdomains a.example smtphost 127.0.0.1/%s sslcertfile %s %s\n",
				proto, port, l.Port(), filepath.Join(c.home, "ca.pem"), tt.options))
			r := c.run(t, "-v")
			if r.code != tt.code { // Postfix has nothing for that domain: 459
				t.Errorf("want exit %d: %s", tt.code, r)
			}
			if secure := tt.code != 2; strings.Contains(r.stdout, "TRN a.example") != secure || proto == "odmr" && strings.Contains(r.stdout, "AUTH PLAIN *") != secure {
				t.Errorf("%s", r)
			}
		})
	}
}
