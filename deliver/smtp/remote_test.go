package smtp

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fetchmail/deliver"
	"fetchmail/deliver/sinktest"
	"fetchmail/protocols/mailtest"
)

// remote is a connection that seems to lead to another machine. It counts the writes.
type remote struct {
	net.Conn
	writes *[]string
}

func (remote) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }

func (r remote) Write(p []byte) (int, error) {
	if r.writes != nil {
		*r.writes = append(*r.writes, string(p))
	}
	return r.Conn.Write(p)
}

func dialRemote(writes *[]string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return remote{c, writes}, err
	}
}

func TestPipelining(t *testing.T) {
	mail, rcpt, boss := "MAIL FROM:<dora@far.example.org> SIZE=291\r\n", "RCPT TO:<fmtest@localhost>\r\n", "RCPT TO:<boss@localhost>\r\n"
	ab := "RCPT TO:<a@localhost>\r\nRCPT TO:<b@localhost>\r\n"
	body := "Subject: s\r\n\r\n..body\r\n.\r\n"
	for _, c := range []struct {
		name    string
		replies replies
		to      []string
		outcome string
		writes  []string
	}{
		{"all well", nil, nil, "fmtest@localhost 250 accepted at end", []string{mail + rcpt + "DATA\r\n", body}},
		{"two recipients", nil, []string{"a", "b"}, "a@localhost 250 accepted at end; b@localhost 250 accepted at end",
			[]string{mail + ab, "DATA\r\n", body}},
		{"one of two refused for now", replies{"rcpt": {"", "450 no"}}, []string{"a", "b"},
			"a@localhost 250 accepted at rcpt; b@localhost 450 deferred at rcpt", []string{mail + ab, "RSET\r\n"}},
		{"MAIL refused", replies{"mail": {"550 no"}, "rcpt": {"503 mail first"}, "data": {"503 mail first"}}, nil,
			"fmtest@localhost 550 refused at mail", []string{mail + rcpt + "DATA\r\n", "RSET\r\n"}},
		{"MAIL refused, two recipients", replies{"mail": {"550 no"}, "rcpt": {"503 mail first", "503 mail first"}}, []string{"a", "b"},
			"a@localhost 550 refused at mail; b@localhost 550 refused at mail", []string{mail + ab, "RSET\r\n"}},
		{"RCPT refused, DATA refused", replies{"rcpt": {"550 no"}}, nil,
			"fmtest@localhost 550 refused at rcpt; boss@localhost 250 accepted at end; by default",
			[]string{mail + rcpt + "DATA\r\n", boss, "DATA\r\n", body}},
		{"RCPT deferred, DATA refused", replies{"rcpt": {"450 no"}}, nil,
			"fmtest@localhost 450 deferred at rcpt", []string{mail + rcpt + "DATA\r\n", "RSET\r\n"}},
		{"RCPT deferred, DATA accepted all the same", replies{"rcpt": {"450 no"}, "data": {"354 go"}, "dot": {"554 no recipients"}}, nil,
			"fmtest@localhost 450 deferred at rcpt", []string{mail + rcpt + "DATA\r\n", ".\r\n", "RSET\r\n"}},
		{"DATA refused", replies{"data": {"451 not now"}}, nil,
			"fmtest@localhost 451 deferred at data", []string{mail + rcpt + "DATA\r\n", "RSET\r\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := start(t, mailtest.SMTPOptions{Replies: c.replies})
			var writes []string
			s := sinkTo(t, srv, Options{Dial: dialRemote(&writes)})
			e := envelope
			if c.to != nil {
				e.To = c.to
			}
			o, err := send(s, e, text)
			if show(o) != c.outcome {
				t.Errorf("%s (%v), want %s", show(o), err, c.outcome)
			}
			if !reflect.DeepEqual(writes[1:], c.writes) {
				t.Errorf("writes %q, want %q", writes[1:], c.writes)
			}
			if o, err := send(s, envelope, text); err != nil || !o.Delivered() || len(srv.Sessions()) != 1 {
				t.Errorf("second message: %s, %v, %q", show(o), err, srv.Sessions())
			}
		})
	}
}

// RFC 2920, section 3.1: after an accepted DATA without recipients an empty text is sent, which ends the transaction.
// The fallback needs one of its own then.
func TestPipelinedDataAcceptedBeforeFallback(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{Replies: replies{"rcpt": {"550 no"}, "data": {"354 go"}, "dot": {"554 no recipients"}}})
	o, err := send(sinkTo(t, srv, Options{Dial: dialRemote(nil)}), envelope, text)
	if err != nil || show(o) != "fmtest@localhost 550 refused at rcpt; boss@localhost 250 accepted at end; by default" {
		t.Errorf("%s, %v", show(o), err)
	}
	if got := strings.Join(srv.Sessions()[0], "|"); strings.Count(got, "MAIL FROM") != 2 {
		t.Errorf("%q", got)
	}
}

// A listener that answers each command with many words and reads no further while nobody listens: what goes out together
// must not fill the network with answers (RFC 2920, section 3.1).
func TestManyRecipientsDoNotBlock(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan int, 1)
	go func() { got <- chatty(l) }()
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, smallBuffer)
				syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, smallBuffer)
			})
		}}
		c, err := d.DialContext(ctx, network, l.Addr().String())
		return remote{c, nil}, err
	}
	s := New(Options{Dial: dial, Timeouts: Timeouts{Mail: 5 * time.Second, Rcpt: 20 * time.Second}})
	e := deliver.Envelope{From: "a@b.example"}
	for i := range 300 {
		e.To = append(e.To, fmt.Sprintf("user%d@%s.example", i, strings.Repeat("x", 800)))
	}
	o, err := send(s, e, text)
	s.Close()
	if n := <-got; err != nil || !o.Delivered() || n != len(e.To) {
		t.Errorf("%d of %d recipients, %v", n, len(e.To), err)
	}
}

// Refusals in recipients that go out in several groups belong to those who were refused, and to no other message.
func TestRefusalsInSeveralGroups(t *testing.T) {
	e := deliver.Envelope{From: "a@b.example", Fallback: "boss"}
	for i := range 20 {
		e.To = append(e.To, fmt.Sprintf("user%d@%s.example", i, strings.Repeat("x", 700)))
	}
	twelfth := strings.Split(strings.Repeat("|", 11)+"450 no", "|")
	for _, c := range []struct {
		name      string
		replies   replies
		sessions  int
		delivered bool
		stage     deliver.Stage // of all that were refused
		refused   int           // or deferred
	}{
		{"MAIL refused", replies{"mail": {"550 no"}, "rcpt": slices.Repeat([]string{"503 mail first"}, 5)}, 1, false, deliver.AtMail, 20},
		{"all refused", replies{"rcpt": slices.Repeat([]string{"550 no"}, 20)}, 1, true, deliver.AtRcpt, 20},
		{"some refused", replies{"rcpt": slices.Repeat([]string{"550 no", ""}, 10)}, 1, true, deliver.AtRcpt, 10},
		{"one deferred", replies{"rcpt": twelfth}, 1, false, deliver.AtRcpt, 1},
		{"cut off", replies{"rcpt": append(slices.Clone(twelfth[:11]), "drop")}, 2, false, deliver.AtRcpt, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := start(t, mailtest.SMTPOptions{Replies: c.replies})
			var writes []string
			s := sinkTo(t, srv, Options{Dial: dialRemote(&writes)})
			o, err := send(s, e, text)
			n := 0
			for i, st := range o.Status {
				if st.Class == deliver.Accepted {
					continue
				}
				if n++; st.Stage != c.stage || st.To != e.To[i] {
					t.Errorf("%d: %v", i, st)
				}
			}
			if o.Delivered() != c.delivered || n != c.refused {
				t.Errorf("%d refused, %v", n, err)
			}
			if c.stage == deliver.AtMail && len(writes) != 3 { // EHLO, MAIL and the first group, RSET
				t.Errorf("written: %.50q", writes)
			}
			for _, w := range writes {
				if strings.Count(w, "RCPT") > 0 && len(w) > maxGroup+maxAddress {
					t.Errorf("%d octets in one go", len(w))
				}
			}
			if o, err := send(s, envelope, text); err != nil || !o.Delivered() || len(srv.Sessions()) != c.sessions {
				t.Errorf("second message: %s, %v, %d sessions", show(o), err, len(srv.Sessions()))
			}
		})
	}
}

// smallBuffer is what the network holds in each direction, more or less.
const smallBuffer = 16 << 10

// chatty is a listener that says much of each recipient. It returns how many there were.
func chatty(l net.Listener) (recipients int) {
	c, err := l.Accept()
	if err != nil {
		return 0
	}
	defer c.Close()
	c.(*net.TCPConn).SetReadBuffer(smallBuffer)
	c.(*net.TCPConn).SetWriteBuffer(smallBuffer)
	io.WriteString(c, "220 ready\r\n")
	for r := bufio.NewScanner(c); r.Scan(); {
		answer := "250 ok\r\n"
		switch verb, _, _ := strings.Cut(r.Text(), " "); verb {
		case "EHLO":
			answer = "250-here\r\n250 PIPELINING\r\n"
		case "RCPT":
			recipients++
			answer = "250 " + r.Text() + "\r\n"
		case "DATA":
			answer = "354 go\r\n"
		case "Subject:", "", "..body":
			continue
		case "QUIT":
			return recipients
		}
		if _, err := io.WriteString(c, answer); err != nil {
			break
		}
	}
	return recipients
}

func TestNoPipeliningOnLoopback(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{})
	var writes []string
	s := sinkTo(t, srv, Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return counting{c, &writes}, err
	}})
	send(s, envelope, text)
	if len(writes) != 5 { // EHLO, MAIL, RCPT, DATA, the text with its dot
		t.Errorf("%q", writes)
	}
}

// A tunnel ends on this machine, but its answers come from far away.
func TestPipeliningThroughATunnel(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{})
	proxy := &mailtest.Proxy{Target: srv.Addr(), Delay: farAway}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	s := sinkTo(t, srv, Options{Hosts: []string{"localhost/" + strconv.Itoa(proxy.Addr().Port)}})
	var turns []int
	for range 3 {
		before := proxy.Turns()
		if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
			t.Fatal(show(o), err)
		}
		turns = append(turns, proxy.Turns()-before)
	}
	if turns[0] < 4 || turns[1] != 2 || turns[2] != 2 {
		t.Errorf("round trips for each message: %d", turns)
	}
}

type counting struct {
	net.Conn
	writes *[]string
}

func (c counting) Write(p []byte) (int, error) {
	*c.writes = append(*c.writes, string(p))
	return c.Conn.Write(p)
}

// certificate makes a certificate for name and a pool that trusts it.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLS(t *testing.T) {
	cert, pool := certificate(t, "localhost")
	conf := func(host string) *tls.Config { return &tls.Config{ServerName: host, RootCAs: pool} }
	for _, c := range []struct {
		suffix   string
		implicit bool
		offered  bool
		host     string
		ok       bool
		session  string
	}{
		{"/tls", true, true, "localhost", true, "EHLO MAIL RCPT DATA <DATA> QUIT"},
		{"/starttls", false, true, "localhost", true, "EHLO STARTTLS EHLO MAIL RCPT DATA <DATA> QUIT"},
		{"/starttls", false, false, "localhost", false, "EHLO"},
		{"/starttls", false, true, "other.example.test", false, "EHLO STARTTLS"},
		{"/notls", false, true, "localhost", true, "EHLO MAIL RCPT DATA <DATA> QUIT"},
	} {
		so := mailtest.SMTPOptions{Implicit: c.implicit}
		if c.offered {
			so.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		}
		srv := start(t, so)
		s := sinkTo(t, srv, Options{Hosts: []string{c.host + "/" + srv.Port() + c.suffix}, TLS: conf})
		o, err := send(s, envelope, text)
		if (err == nil && o.Delivered()) != c.ok || !c.ok && kind(err) != deliver.Unreachable {
			t.Errorf("%+v: %s, %v", c, show(o), err)
		}
		s.Close()
		var verbs []string
		for _, l := range srv.Sessions()[0] {
			v, _, _ := strings.Cut(l, " ")
			verbs = append(verbs, v)
		}
		if got := strings.Join(verbs, " "); got != c.session {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// What a listener has said before the handshake is not believed after it.
func TestAnswerInjectedBeforeTLS(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{Extensions: []string{"STARTTLS"},
		Replies: replies{"starttls": {"raw 220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n", "raw 220 go\r\n250 evil\r\n"}}})
	s := sinkTo(t, srv, Options{Hosts: []string{"localhost/" + srv.Port() + "/starttls"},
		TLS: func(string) *tls.Config { return &tls.Config{InsecureSkipVerify: true} }})
	_, err := s.Begin(context.Background(), envelope)
	if kind(err) != deliver.Unreachable || !strings.Contains(err.Error(), "before the TLS handshake") {
		t.Error(err)
	}
}

// What a listener has offered in clear does not count under TLS.
func TestOffersFromBeforeTLSAreForgotten(t *testing.T) {
	cert, pool := certificate(t, "localhost")
	srv := start(t, mailtest.SMTPOptions{TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
		Replies: replies{"ehlo": {"250-here\n250-STARTTLS\n250-SIZE 1000\n250 AUTH PLAIN", "250 here"}}})
	s := sinkTo(t, srv, Options{Hosts: []string{"localhost/" + srv.Port() + "/starttls"}, User: "me", Password: "secret",
		TLS: func(host string) *tls.Config { return &tls.Config{ServerName: host, RootCAs: pool} }})
	if o, err := send(s, envelope, text); err != nil || !o.Delivered() {
		t.Error(show(o), err)
	}
	if got := strings.Join(srv.Sessions()[0], "|"); strings.Contains(got, "AUTH") || strings.Contains(got, "SIZE=") {
		t.Errorf("%q", got)
	}
}

// RFC 2033, section 4.2: how LMTP goes on behind a DATA that was accepted without a recipient nobody can know.
func TestLMTPDataAcceptedWithoutRecipient(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{LMTP: true, Replies: replies{"rcpt": {"450 no"}, "data": {"354 go"}}})
	s := sinkTo(t, srv, Options{LMTP: true, Dial: dialRemote(nil)})
	o, _ := send(s, envelope, text)
	if show(o) != "fmtest@localhost 450 deferred at rcpt" || len(srv.Mails()) != 0 {
		t.Errorf("%s, %d messages", show(o), len(srv.Mails()))
	}
	if o, err := send(s, envelope, text); err != nil || !o.Delivered() || len(srv.Sessions()) != 2 {
		t.Errorf("second message: %s, %v, %q", show(o), err, srv.Sessions())
	}
}

// A large message is never held: what is allocated does not grow with it.
func TestLargeMessageNeedsNoMemory(t *testing.T) {
	srv := start(t, mailtest.SMTPOptions{Discard: true})
	s := sinkTo(t, srv, Options{})
	size := sinktest.LargeMessage(t, s)
	if got := srv.Mails()[0].Octets; got < size {
		t.Errorf("%d octets arrived of %d", got, size)
	}
}

func BenchmarkMessages(b *testing.B) {
	for _, c := range []struct {
		name string
		o    Options
		d    time.Duration
	}{{"local", Options{}, 0}, {"remote", Options{Dial: dialRemote(nil)}, 0}, {"remote-10ms", Options{Dial: dialRemote(nil)}, 10 * time.Millisecond}} {
		b.Run(c.name, func(b *testing.B) {
			srv := start(b, mailtest.SMTPOptions{Discard: true, Delay: c.d})
			s := sinkTo(b, srv, c.o)
			msg := strings.Repeat("Dear reader, this is a line of text. It ends here.\r\n", 80)
			b.ReportAllocs()
			for b.Loop() {
				if o, err := send(s, envelope, msg); err != nil || !o.Delivered() {
					b.Fatal(o, err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

func BenchmarkLargeMessage(b *testing.B) {
	srv := start(b, mailtest.SMTPOptions{Discard: true})
	s := sinkTo(b, srv, Options{})
	chunk := []byte(strings.Repeat("Dear reader, this is a line of text. It ends here.\r\n", 600))
	const size = 25 << 20
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		d, err := s.Begin(context.Background(), envelope)
		if err != nil {
			b.Fatal(err)
		}
		for n := 0; n < size; n += len(chunk) {
			d.Write(chunk)
		}
		if _, err := d.Commit(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func Example() {
	srv, err := mailtest.StartSMTP(mailtest.SMTPOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer srv.Close()
	sink := New(Options{Hosts: []string{"127.0.0.1/" + srv.Port()}, Helo: "client.example.test", Address: "localhost"})
	defer sink.Close()
	d, err := sink.Begin(context.Background(), deliver.Envelope{From: "dora@far.example.org", To: []string{"joe"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	io.WriteString(d, "Subject: hello\r\n\r\nDear Joe\r\n")
	outcome, err := d.Commit(context.Background())
	fmt.Println(outcome.Status[0].To, outcome.Status[0].Reply.Text, err)
	// Output: joe@localhost 250 2.0.0 Ok: queued <nil>
}

// TestGivenUpInTheHandshake holds that the end of ctx may come while a listener is silent in its TLS handshake, and that
// nothing is left of a connection whose handshake has failed.
func TestGivenUpInTheHandshake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conf := func(string) *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
	host := strings.Replace(l.Addr().String(), ":", "/", 1) + "/tls"
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := New(Options{Hosts: []string{host}, TLS: conf}).Begin(ctx, deliver.Envelope{To: []string{"joe"}})
			failed <- err
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-failed; kind(err) != deliver.Unreachable {
			t.Errorf("Begin: %v", err)
		}
		c.Close()
	}
	failed := make(chan error, 1)
	go func() {
		_, err := New(Options{Hosts: []string{host}, TLS: conf}).Connect(t.Context())
		failed <- err
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("220 no TLS\r\n"))
	if err := <-failed; kind(err) != deliver.Unreachable {
		t.Errorf("Connect: %v", err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open")
	}
}
