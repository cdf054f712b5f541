package real

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// talk sends lines and returns all that came back until the server closed or said the word of the last line.
func talk(t *testing.T, c net.Conn, lines ...string) string {
	t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	var got bytes.Buffer
	r := bufio.NewReader(c)
	line := func() {
		s, err := r.ReadString('\n')
		got.WriteString(s)
		if err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
	}
	line()
	for _, l := range lines {
		fmt.Fprintf(c, "%s\r\n", l)
	}
	got.ReadFrom(r)
	return got.String()
}

func dial(t *testing.T, network, addr string, tc *tls.Config) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(network, addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if tc != nil {
		return tls.Client(c, tc)
	}
	return c
}

func trust(t *testing.T, c *Certs) *tls.Config {
	t.Helper()
	b, err := os.ReadFile(c.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	return &tls.Config{ServerName: "localhost", RootCAs: pool}
}

func TestDovecotServesWhatWasPut(t *testing.T) {
	d := StartDovecot(t, DovecotOptions{})
	d.Put(t, "alice", "", Texts([]byte("Subject: one\n\nfirst\n"), []byte("Subject: two\n\nsecond\n"))...)
	d.Put(t, "alice", "work", Mail{Text: []byte("Subject: three\n\nx\n"), Flags: "FS"})

	pop := talk(t, dial(t, "tcp", d.Addr(d.POP3S), trust(t, &d.Certs)), "USER alice", "PASS secret", "LIST", "RETR 1", "DELE 1", "QUIT")
	for _, want := range []string{"1 23\r\n2 24\r\n.", "first\r\n.", "+OK Logging out, messages deleted."} {
		if !strings.Contains(pop, want) {
			t.Errorf("POP3 without %q:\n%s", want, pop)
		}
	}
	imap := talk(t, dial(t, "tcp", d.Addr(d.IMAPS), trust(t, &d.Certs)), "a LOGIN alice secret", "b SELECT work", "c FETCH 1 FLAGS", "d LOGOUT")
	if want := `* 1 FETCH (FLAGS (\Flagged \Seen`; !strings.Contains(imap, want) {
		t.Errorf("IMAP without %q:\n%s", want, imap)
	}
	left := d.Left(t, "alice", "")
	if len(left) != 1 || string(left[0].Text) != "Subject: two\n\nsecond\n" {
		t.Errorf("left %+v", left)
	}
	if work := d.Left(t, "alice", "work"); len(work) != 1 || work[0].Flags != "FS" {
		t.Errorf("work: %+v", work)
	}
}

func TestDovecotDeliversOverLMTP(t *testing.T) {
	d := StartDovecot(t, DovecotOptions{})
	for _, c := range []net.Conn{dial(t, "tcp", d.Addr(d.LMTP), nil), dial(t, "unix", d.LMTPSocket, nil)} {
		got := talk(t, c, "LHLO x", "MAIL FROM:<a@b.test>", "RCPT TO:<bob>", "DATA", "Subject: l\r\n\r\nx\r\n.", "QUIT")
		if !strings.Contains(got, "250 2.0.0 <bob>") {
			t.Errorf("LMTP:\n%s", got)
		}
	}
	if n := d.Count(t, "bob", ""); n != 2 {
		t.Errorf("%d messages arrived, want 2\n%s", n, d.Log())
	}
}

func TestDovecotMechanisms(t *testing.T) {
	d := StartDovecot(t, DovecotOptions{ClientCert: true,
		Mechanisms: strings.Fields("plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 external oauthbearer xoauth2")})
	got := talk(t, dial(t, "tcp", d.Addr(d.IMAP), nil), "a CAPABILITY", "b LOGOUT")
	for _, m := range strings.Fields("PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256 EXTERNAL OAUTHBEARER XOAUTH2") {
		if !strings.Contains(got, "AUTH="+m) {
			t.Errorf("%s is not offered: %s", m, got)
		}
	}
	bearer := func(token string) string {
		return base64.StdEncoding.EncodeToString([]byte("n,a=alice,\x01auth=Bearer " + token + "\x01\x01"))
	}
	got = talk(t, dial(t, "tcp", d.Addr(d.IMAP), nil), "a AUTHENTICATE OAUTHBEARER "+bearer(d.Token(t, "alice", time.Hour)), "b LOGOUT")
	if !strings.Contains(got, "a OK") {
		t.Errorf("a good token: %s\n%s", got, d.Log())
	}
	got = talk(t, dial(t, "tcp", d.Addr(d.IMAP), nil), "a AUTHENTICATE OAUTHBEARER "+bearer(d.Token(t, "alice", -time.Minute)), "", "b LOGOUT")
	if strings.Contains(got, "a OK") {
		t.Errorf("a token that has run out: %s", got)
	}
	cert, key := d.Client(t, "alice")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	tc := trust(t, &d.Certs)
	tc.Certificates = []tls.Certificate{pair}
	got = talk(t, dial(t, "tcp", d.Addr(d.IMAPS), tc), "a AUTHENTICATE EXTERNAL =", "b LOGOUT")
	if !strings.Contains(got, "a OK") {
		t.Errorf("external: %s\n%s", got, d.Log())
	}
}

func TestDovecotTLSPolicy(t *testing.T) {
	for _, c := range []struct {
		o         DovecotOptions
		have, not string
	}{
		{DovecotOptions{}, "STARTTLS", "LOGINDISABLED"},
		{DovecotOptions{NoTLS: true}, "IMAP4rev1", "STARTTLS"},
		{DovecotOptions{RequireTLS: true}, "LOGINDISABLED", "AUTH=PLAIN"},
	} {
		d := StartDovecot(t, c.o)
		got := talk(t, dial(t, "tcp", d.Addr(d.IMAP), nil), "a CAPABILITY", "b LOGOUT")
		if !strings.Contains(got, c.have) || strings.Contains(got, c.not) {
			t.Errorf("%+v: want %s and not %s: %s", c.o, c.have, c.not, got)
		}
	}
}

func TestPutIsFast(t *testing.T) {
	d := StartDovecot(t, DovecotOptions{})
	mails := make([]Mail, 2000)
	for i := range mails {
		mails[i].Text = fmt.Appendf(nil, "Subject: %d\n\n%s", i, strings.Repeat("a line of text\n", 100))
	}
	begin := time.Now()
	d.Put(t, "alice", "", mails...)
	t.Logf("2,000 messages put in %v", time.Since(begin))
	got := talk(t, dial(t, "tcp", d.Addr(d.POP3), nil), "USER alice", "PASS secret", "STAT", "QUIT")
	if !strings.Contains(got, "+OK 2000 ") {
		t.Errorf("%s", got)
	}
	t.Logf("with STAT: %v", time.Since(begin))
}
