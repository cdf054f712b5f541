package real

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Names are the names in a server's certificate, besides 127.0.0.1, 127.0.0.2 and ::1.
var Names = []string{"localhost", "mail.example.test"}

// Certs are files with a private certification authority and a server certificate of it.
type Certs struct {
	CA, Server, ServerKey string // paths of PEM files
	ca                    *x509.Certificate
	caKey                 *ecdsa.PrivateKey
	dir                   string
	serial                int64
}

// newCerts makes them; change may have its say about the server's.
func newCerts(t testing.TB, dir string, change func(*x509.Certificate)) *Certs {
	t.Helper()
	c := &Certs{dir: dir, serial: 1}
	c.caKey = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mailtest CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, c.caKey.Public(), c.caKey)
	if err != nil {
		t.Fatal(err)
	}
	if c.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	c.CA = c.write(t, "ca.pem", "CERTIFICATE", der)
	server := &x509.Certificate{
		Subject: pkix.Name{CommonName: Names[0]}, DNSNames: Names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(server)
	}
	c.Server, c.ServerKey = c.issue(t, "server", server)
	return c
}

// Client makes a client certificate for the user and returns the paths of certificate and key.
func (c *Certs) Client(t testing.TB, user string) (cert, key string) {
	t.Helper()
	return c.issue(t, "client-"+user, &x509.Certificate{
		Subject:     pkix.Name{CommonName: user},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (c *Certs) issue(t testing.TB, name string, template *x509.Certificate) (cert, key string) {
	t.Helper()
	c.serial++
	template.SerialNumber = big.NewInt(c.serial)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = c.ca.NotBefore, c.ca.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	k := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, c.ca, k.Public(), c.caKey)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return c.write(t, name+".pem", "CERTIFICATE", der), c.write(t, name+".key", "PRIVATE KEY", kder)
}

func (c *Certs) write(t testing.TB, name, kind string, der []byte) string {
	t.Helper()
	p := filepath.Join(c.dir, name)
	if err := os.WriteFile(p, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
