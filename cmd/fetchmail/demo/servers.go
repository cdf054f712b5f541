package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"fetchmail/protocols/mailtest"
)

// servers are the three mail servers of the demo.
type servers struct {
	pop3   *mailtest.POP3
	smtp   *mailtest.SMTP
	imap   *imapserver.Server
	inbox  *imapmemserver.User // hedy's mailboxes
	listen net.Listener        // of imap
	caFile string
}

func startServers(home string, mails []letter) (s *servers, err error) {
	s = &servers{pop3: mailtest.NewPOP3(), caFile: filepath.Join(home, "ca.pem")}
	s.pop3.Users = map[string]string{"ada": "analytical", "meier": "werkzeug"}
	for _, m := range mails {
		switch m.box {
		case "pop3":
			s.pop3.Put("ada", mailtest.POP3Mail{Raw: m.wire()})
		case "smtp":
			s.pop3.Put("meier", mailtest.POP3Mail{Raw: m.wire()})
		}
	}
	if err := s.pop3.Start(""); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.smtp, err = mailtest.StartSMTP(mailtest.SMTPOptions{}); err != nil {
		return nil, err
	}
	return s, s.startIMAP(mails)
}

func (s *servers) startIMAP(mails []letter) error {
	cert, err := certificate(s.caFile)
	if err != nil {
		return err
	}
	s.inbox = imapmemserver.NewUser("hedy", "frequency")
	if err := s.inbox.Create("INBOX", nil); err != nil {
		return err
	}
	for _, m := range mails {
		if m.box != "imap" {
			continue
		}
		if _, err := s.inbox.Append("INBOX", literal{bytes.NewReader(m.wire())}, &goimap.AppendOptions{}); err != nil {
			return err
		}
	}
	memory := imapmemserver.New()
	memory.AddUser(s.inbox)
	s.imap = imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return memory.NewSession(), nil, nil
		},
		Caps:      goimap.CapSet{goimap.CapIMAP4rev1: {}, goimap.CapUIDPlus: {}},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		Logger:    log.New(io.Discard, "", 0),
	})
	if s.listen, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	go s.imap.Serve(s.listen) // ends with close
	return nil
}

// literal is a message that is appended to an IMAP mailbox.
type literal struct{ *bytes.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

func (s *servers) pop3Port() string { return s.pop3.Port() }
func (s *servers) smtpPort() string { return s.smtp.Port() }
func (s *servers) imapPort() string { return strconv.Itoa(s.listen.Addr().(*net.TCPAddr).Port) }

// left counts the messages that are still on the servers.
func (s *servers) left() (int, error) {
	n := len(s.pop3.Left("ada")) + len(s.pop3.Left("meier"))
	status, err := s.inbox.Status("INBOX", &goimap.StatusOptions{NumMessages: true})
	if err != nil {
		return 0, err
	}
	return n + int(*status.NumMessages), nil
}

func (s *servers) close() {
	s.pop3.Close()
	if s.smtp != nil {
		s.smtp.Close()
	}
	if s.imap != nil {
		s.imap.Close()
	}
}

// certificate makes a certificate for 127.0.0.1 that signs itself and writes it to a file.
func certificate(file string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, os.WriteFile(file, text, 0o600)
}
