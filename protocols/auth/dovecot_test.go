package auth

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols/mailtest/real"
)

// talker is a Channel over IMAP, no more than the tests here need.
type talker struct {
	net.Conn
	r       *bufio.Reader
	initial bool // an initial response is sent
	n       int
}

func dialIMAP(t *testing.T, d *real.Dovecot, port int, config *tls.Config, initial bool) *talker {
	t.Helper()
	c, err := net.DialTimeout("tcp", d.Addr(port), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if config != nil {
		c = tls.Client(c, config)
	}
	t.Cleanup(func() { _ = c.Close() })
	k := &talker{Conn: c, r: bufio.NewReader(c), initial: initial}
	if _, err := k.r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *talker) InitialLimit() int {
	if k.initial {
		return 8000
	}
	return -1
}

func (k *talker) Begin(mech string, initial *string) error {
	k.n++
	line := fmt.Sprintf("a%d AUTHENTICATE %s", k.n, mech)
	if initial != nil {
		line += " " + *initial
	}
	return k.Respond(line)
}

func (k *talker) Respond(line string) error {
	_, err := fmt.Fprintf(k, "%s\r\n", line)
	return err
}

func (k *talker) Receive() (Step, error) {
	for {
		line, err := k.r.ReadString('\n')
		if err != nil {
			return Step{}, err
		}
		line = strings.TrimRight(line, "\r\n")
		if text, ok := strings.CutPrefix(line, "+"); ok {
			return Step{Kind: Continue, Text: strings.TrimPrefix(text, " ")}, nil
		}
		if text, ok := strings.CutPrefix(line, fmt.Sprintf("a%d ", k.n)); ok {
			if strings.HasPrefix(text, "OK") {
				return Step{Kind: Done, Text: text}, nil
			}
			return Step{Kind: Refused, Text: text}, nil
		}
	}
}

func TestEveryMechanismLogsInToDovecot(t *testing.T) {
	d := real.StartDovecot(t, real.DovecotOptions{ClientCert: true,
		Settings: "auth_failure_delay = 0\n", Mechanisms: strings.Fields("plain login cram-md5 scram-sha-1 scram-sha-256 external oauthbearer xoauth2 ntlm")})
	ca, err := os.ReadFile(d.CA)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: d.Host}
	config.RootCAs.AppendCertsFromPEM(ca)
	cert, key := d.Client(t, "alice")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, mech := range strings.Fields("PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 EXTERNAL OAUTHBEARER XOAUTH2 NTLM") {
		t.Run(mech, func(t *testing.T) {
			t.Parallel() // Dovecot lets a refused client wait
			config := config.Clone()
			good, bad := "secret", "wrong"
			switch mech {
			case "OAUTHBEARER", "XOAUTH2":
				good, bad = d.Token(t, "alice", time.Hour), d.Token(t, "alice", -time.Hour)
			case "EXTERNAL": // only here: with a certificate Dovecot knows the user, and LOGIN goes another way
				config.Certificates = []tls.Certificate{pair}
			}
			for _, initial := range []bool{true, false} {
				k := dialIMAP(t, d, d.IMAPS, config, initial)
				var no *Refusal
				if err := login1(mech, bad, k); mech != "EXTERNAL" && !errors.As(err, &no) {
					t.Errorf("a wrong secret: %v", err)
				} else if mech == "EXTERNAL" {
					k = dialIMAP(t, d, d.IMAPS, config, initial)
				}
				if err := login1(mech, good, k); err != nil {
					t.Errorf("initial response %v, after a refusal on the same connection: %v\n%s", initial, err, d.Log())
				}
			}
		})
	}
}

func login1(mech, secret string, ch *talker) error {
	c, err := New(mech, "alice", secret, Server{Host: "localhost", Port: 993})
	if err != nil {
		return err
	}
	return Exchange(c, ch)
}
