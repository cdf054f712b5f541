package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"fetchmail/protocols/mailtest"
)

// servers are the three mail servers of the demo.
type servers struct {
	pop3    *mailtest.POP3
	imap    *mailtest.IMAP
	smtp    *mailtest.SMTP
	caFile  string // the certificate of imap
	closers []func()
}

func startServers(home string, mails []letter) (*servers, error) {
	s := &servers{pop3: mailtest.NewPOP3(), imap: mailtest.NewIMAP(), caFile: filepath.Join(home, "ca.pem")}
	cert, err := certificate(s.caFile)
	if err != nil {
		return nil, err
	}
	s.pop3.Users = map[string]string{"ada": "analytical", "meier": "werkzeug"}
	s.imap.Users = map[string]string{"hedy": "frequency"}
	s.imap.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	for _, m := range mails {
		switch m.box {
		case "pop3":
			s.pop3.Put("ada", mailtest.POP3Mail{Raw: m.wire()})
		case "imap":
			s.imap.Put("hedy", "INBOX", mailtest.IMAPMail{Raw: m.wire()})
		case "smtp":
			s.pop3.Put("meier", mailtest.POP3Mail{Raw: m.wire()})
		}
	}
	if err := s.pop3.Start(""); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.pop3.Close)
	if err := s.imap.Start(""); err != nil {
		s.close()
		return nil, err
	}
	s.closers = append(s.closers, s.imap.Close)
	if s.smtp, err = mailtest.StartSMTP(mailtest.SMTPOptions{}); err != nil {
		s.close()
		return nil, err
	}
	s.closers = append(s.closers, s.smtp.Close)
	return s, nil
}

// left counts the messages that are still on the servers.
func (s *servers) left() int {
	return len(s.pop3.Left("ada")) + len(s.pop3.Left("meier")) + len(s.imap.Left("hedy", "INBOX"))
}

func (s *servers) close() {
	for _, c := range s.closers {
		c()
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
