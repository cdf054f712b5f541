package mailtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var serial atomic.Int64

// CA is a certificate authority in memory.
type CA struct {
	Cert *x509.Certificate
	key  crypto.Signer
	// chain are the certificates between the root and this authority, this one first; empty for a root.
	chain [][]byte
}

// NewCA makes a root authority that is valid for an hour each way from now.
func NewCA(t testing.TB, name string) *CA {
	t.Helper()
	ca := &CA{key: newKey(t, 0)}
	ca.Cert = sign(t, authority(name), nil, ca.key)
	return ca
}

// NewExpiredCA makes a root authority whose time has run out.
func NewExpiredCA(t testing.TB, name string) *CA {
	t.Helper()
	ca := &CA{key: newKey(t, 0)}
	template := authority(name)
	template.NotBefore, template.NotAfter = template.NotBefore.Add(-time.Hour), template.NotBefore
	ca.Cert = sign(t, template, nil, ca.key)
	return ca
}

// Intermediate makes an authority below this one, of an organization if org is not "".
func (ca *CA) Intermediate(t testing.TB, name, org string) *CA {
	t.Helper()
	below := &CA{key: newKey(t, 0)}
	template := authority(name)
	if org != "" {
		template.Subject.Organization = []string{org}
	}
	below.Cert = sign(t, template, ca, below.key)
	below.chain = append([][]byte{below.Cert.Raw}, ca.chain...)
	return below
}

// CrossSigned issues a certificate of this root that also sends, at its end, the root's name and key as certified by
// another authority: what servers send for the sake of clients that do not trust the root yet.
func (ca *CA) CrossSigned(t testing.TB, by *CA, spec CertSpec) *Certificate {
	t.Helper()
	c := ca.Issue(t, spec)
	template := authority(ca.Cert.Subject.CommonName)
	template.NotBefore, template.NotAfter = by.Cert.NotBefore, by.Cert.NotAfter
	c.TLS.Certificate = append(c.TLS.Certificate, sign(t, template, by, ca.key).Raw)
	return c
}

// File writes the authority's certificate to a PEM file and returns its name.
func (ca *CA) File(t testing.TB) string {
	t.Helper()
	return writePEM(t, "ca.pem", "CERTIFICATE", ca.Cert.Raw)
}

// CertSpec says what a certificate is like; the zero value of each field is the harmless one.
type CertSpec struct {
	CommonName string
	Org        string
	Names      []string // subject alternative names; none: the extension is absent
	IPs        []net.IP
	NotBefore  time.Time // an hour ago if zero
	NotAfter   time.Time // in an hour if zero
	RSABits    int       // an ECDSA key on P-256 if 0
	Client     bool      // for clients instead of servers
	// AloneInChain leaves out the intermediate certificates that the server should send.
	AloneInChain bool
}

// Certificate is a certificate with its key.
type Certificate struct {
	TLS  tls.Certificate
	Leaf *x509.Certificate
}

// Issue makes a certificate signed by this authority.
func (ca *CA) Issue(t testing.TB, spec CertSpec) *Certificate {
	t.Helper()
	c := issue(t, spec, ca)
	if !spec.AloneInChain {
		c.TLS.Certificate = append(c.TLS.Certificate, ca.chain...)
	}
	return c
}

// SelfSigned makes a certificate signed by its own key.
func SelfSigned(t testing.TB, spec CertSpec) *Certificate {
	t.Helper()
	return issue(t, spec, nil)
}

// Files writes certificate and key to PEM files and returns their names.
func (c *Certificate) Files(t testing.TB) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.TLS.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "cert.pem", "CERTIFICATE", c.TLS.Certificate...), writePEM(t, "key.pem", "PRIVATE KEY", der)
}

// Config is a server's configuration with this certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c.TLS}}
}

// ServerCerts are certificates of servers that call themselves host: the good ones, and those with one thing wrong.
// All are issued by ca or below it, save those whose name says otherwise. The keys name what is special.
func ServerCerts(t testing.TB, ca *CA, host string) map[string]*Certificate {
	t.Helper()
	now := time.Now()
	between := ca.Intermediate(t, "Test Intermediate", "Example Trust, Inc.")
	_, domain, _ := strings.Cut(host, ".")
	top := domain[strings.LastIndexByte(domain, '.')+1:]
	names := []string{host}
	return map[string]*Certificate{
		"good":                            ca.Issue(t, CertSpec{CommonName: host, Names: names}),
		"good, RSA":                       ca.Issue(t, CertSpec{CommonName: host, Names: names, RSABits: 2048}),
		"organization":                    between.Issue(t, CertSpec{CommonName: host, Org: "Example, Inc.", Names: names}),
		"intermediate":                    between.Issue(t, CertSpec{CommonName: host, Names: names}),
		"intermediate missing":            between.Issue(t, CertSpec{CommonName: host, Names: names, AloneInChain: true}),
		"CN only":                         ca.Issue(t, CertSpec{CommonName: host}),
		"CN only, other":                  ca.Issue(t, CertSpec{CommonName: "other.example.net"}),
		"CN right, SAN other":             ca.Issue(t, CertSpec{CommonName: host, Names: []string{"other.example.net"}}),
		"CN wildcard":                     ca.Issue(t, CertSpec{CommonName: "*." + domain}),
		"no CN":                           ca.Issue(t, CertSpec{Names: names}),
		"no CN, organization":             ca.Issue(t, CertSpec{Org: "x", Names: names}),
		"no CN, other host":               ca.Issue(t, CertSpec{Org: "x", Names: []string{"other.example.net"}}),
		"NUL in SAN":                      ca.Issue(t, CertSpec{CommonName: "evil.example", Names: []string{host + "\x00.evil.example"}}),
		"unknown CA, expired, other host": NewCA(t, "Unknown CA").Issue(t, CertSpec{CommonName: "other.example.net", Names: []string{"other.example.net"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour)}),
		"unknown CA, intermediate":        NewCA(t, "Unknown CA").Intermediate(t, "Unknown Intermediate", "").Issue(t, CertSpec{CommonName: host, Names: names}),
		"self-signed, other host":         SelfSigned(t, CertSpec{CommonName: "other.example.net"}),
		"unknown root sent, other host":   withRoot(t, CertSpec{CommonName: "other.example.net"}),
		"wildcard":                        ca.Issue(t, CertSpec{CommonName: "x", Names: []string{"*." + domain}}),
		"wildcard for all":                ca.Issue(t, CertSpec{CommonName: "x", Names: []string{"*"}}),
		"wildcard too deep":               ca.Issue(t, CertSpec{CommonName: "x", Names: []string{"*.a." + domain}}),
		"wildcard too high":               ca.Issue(t, CertSpec{CommonName: "x", Names: []string{"*." + top}}),
		"other host":                      ca.Issue(t, CertSpec{CommonName: "other.example.net", Names: []string{"other.example.net"}}),
		"NUL in name":                     ca.Issue(t, CertSpec{CommonName: host + "\x00.evil.example", Names: []string{"evil.example"}}),
		"NUL in CN only":                  ca.Issue(t, CertSpec{CommonName: host + "\x00.evil.example"}),
		"IP address":                      ca.Issue(t, CertSpec{CommonName: "x", Names: names, IPs: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}),
		"expired":                         ca.Issue(t, CertSpec{CommonName: host, Names: names, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour)}),
		"not yet valid":                   ca.Issue(t, CertSpec{CommonName: host, Names: names, NotBefore: now.Add(24 * time.Hour), NotAfter: now.Add(48 * time.Hour)}),
		"expired, other host":             ca.Issue(t, CertSpec{CommonName: "other.example.net", Names: []string{"other.example.net"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour)}),
		"for clients":                     ca.Issue(t, CertSpec{CommonName: host, Names: names, Client: true}),
		"unknown CA":                      NewCA(t, "Unknown CA").Issue(t, CertSpec{CommonName: host, Names: names}),
		"unknown CA of same name":         NewCA(t, ca.Cert.Subject.CommonName).Issue(t, CertSpec{CommonName: host, Names: names}),
		"self-signed":                     SelfSigned(t, CertSpec{CommonName: host, Names: names}),
		"unknown root sent":               withRoot(t, CertSpec{CommonName: host, Names: names}),
	}
}

// withRoot is a certificate of an unknown authority whose own certificate is sent along.
func withRoot(t testing.TB, spec CertSpec) *Certificate {
	ca := NewCA(t, "Unknown Root")
	c := ca.Issue(t, spec)
	c.TLS.Certificate = append(c.TLS.Certificate, ca.Cert.Raw)
	return c
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:  x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func issue(t testing.TB, spec CertSpec, by *CA) *Certificate {
	t.Helper()
	usage := x509.ExtKeyUsageServerAuth
	if spec.Client {
		usage = x509.ExtKeyUsageClientAuth
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: spec.CommonName}, DNSNames: spec.Names, IPAddresses: spec.IPs,
		NotBefore: spec.NotBefore, NotAfter: spec.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{usage}, BasicConstraintsValid: true,
	}
	if spec.Org != "" {
		template.Subject.Organization = []string{spec.Org}
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	key := newKey(t, spec.RSABits)
	leaf := sign(t, template, by, key)
	return &Certificate{Leaf: leaf, TLS: tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}}
}

// sign makes the certificate of a template; without an authority it signs itself.
func sign(t testing.TB, template *x509.Certificate, by *CA, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(serial.Add(1))
	parent, signer := template, key
	if by != nil {
		parent, signer = by.Cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newKey(t testing.TB, rsaBits int) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if rsaBits > 0 {
		key, err = rsa.GenerateKey(rand.Reader, rsaBits)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t testing.TB, name, kind string, ders ...[]byte) string {
	t.Helper()
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
