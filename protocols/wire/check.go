package wire

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
)

// check examines the certificate of one connection and keeps the lines that the reference would print.
type check struct {
	policy *TLS
	host   string
	roots  *x509.CertPool
	lines  []string
}

// verify is tls.Config.VerifyConnection.
func (c *check) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errNoCertificate
	}
	leaf := state.PeerCertificates[0]
	name := c.policy.name(c.host)
	c.describe(leaf)
	nameOK := hostMatches(leaf, name)
	if !nameOK {
		c.lines = append(c.lines, fmt.Sprintf("Server CommonName mismatch: %s != %s", leaf.Subject.CommonName, name))
	}
	if want := c.policy.Fingerprint; want != "" && !fingerprintMatches(leaf.Raw, want) {
		c.lines = append(c.lines, c.host+" fingerprints do not match!")
		return certError(leaf, "fingerprint", want, errors.New("fingerprint does not match"),
			"if the server has got a new certificate, put the SHA-256 given here into sslfingerprint")
	}
	refusal := c.chain(state.PeerCertificates)
	if refusal == nil && !nameOK {
		c.lines = append(c.lines, "Server certificate verification error: hostname mismatch")
		refusal = certError(leaf, "name", name, fmt.Errorf("certificate is not for %s", name),
			"if this is the right server, poll it under a name of its certificate or set sslcommonname to one")
	}
	if refusal == nil {
		return nil
	}
	if c.policy.CheckCert {
		return refusal
	}
	c.policy.warn(c.lines...)
	return nil
}

// chain looks for a way from the leaf to a trusted certificate.
func (c *check) chain(certs []*x509.Certificate) error {
	leaf := certs[0]
	between := x509.NewCertPool()
	for _, cert := range certs[1:] {
		between.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: c.roots, Intermediates: between, CurrentTime: c.policy.now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err == nil {
		return nil
	}
	what, text, remedy := c.explain(certs, err)
	c.lines = append(c.lines, "Server certificate verification error: "+text)
	if text == missingIssuer {
		c.lines = append(c.lines, "Broken certification chain at: "+oneline(last(certs).Issuer), hintIntermediate, hintRoot)
	}
	return certError(leaf, what, "", err, remedy)
}

// Texts of OpenSSL, which the reference prints.
const (
	missingIssuer    = "unable to get local issuer certificate"
	hintIntermediate = "This could mean that the server did not provide the intermediate CA's certificate(s), which is nothing fetchmail could do anything about.  For details, please see the README.SSL-SERVER document that ships with fetchmail."
	hintRoot         = "This could mean that the root CA's signing certificate is not in the trusted CA certificate location, or that c_rehash needs to be run on the certificate directory. For details, please see the documentation of --sslcertpath and --sslcertfile in the manual page. See README.SSL for details."
)

// explain says which check failed, in OpenSSL's words, and what can be done about it.
func (c *check) explain(certs []*x509.Certificate, err error) (what, text, remedy string) {
	var invalid x509.CertificateInvalidError
	now := c.policy.now()
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if now.Before(invalid.Cert.NotBefore) {
			return "dates", "certificate is not yet valid", "check this machine's clock"
		}
		return "dates", "certificate has expired", "the server's operator must renew the certificate"
	case len(certs) == 1 && selfSigned(certs[0]):
		return "chain", "self-signed certificate", "if this is the right server, put its certificate into a file and name it with sslcertfile"
	case selfSigned(last(certs)):
		return "chain", "self-signed certificate in certificate chain", "if this authority is to be trusted, name its certificate with sslcertfile or sslcertpath"
	case errors.As(err, &x509.UnknownAuthorityError{}):
		return "chain", missingIssuer, "name the certificate of the authority with sslcertfile or sslcertpath; or the server does not send its intermediate certificates"
	}
	return "chain", err.Error(), ""
}

// describe tells a trace what the certificate says.
func (c *check) describe(leaf *x509.Certificate) {
	note := func(format string, args ...any) { c.policy.Trace.note("fetchmail: " + fmt.Sprintf(format, args...)) }
	note("Server certificate:")
	if len(leaf.Issuer.Organization) > 0 {
		note("Issuer Organization: %s", leaf.Issuer.Organization[0])
	} else {
		note("Unknown Organization")
	}
	note("Issuer CommonName: %s", leaf.Issuer.CommonName)
	note("Subject CommonName: %s", leaf.Subject.CommonName)
	for _, n := range leaf.DNSNames {
		note("Subject Alternative Name: %s", n)
	}
	sum := md5.Sum(leaf.Raw)
	note("%s key fingerprint: %s", c.host, colons(sum[:]))
}

// fingerprintMatches compares a fingerprint with the digest of its length.
func fingerprintMatches(raw []byte, want string) bool {
	digits := strings.NewReplacer(":", "", " ", "").Replace(want)
	sum, err := hex.DecodeString(digits)
	if err != nil {
		return false
	}
	switch len(sum) {
	case md5.Size:
		return [md5.Size]byte(sum) == md5.Sum(raw)
	case sha1.Size:
		return [sha1.Size]byte(sum) == sha1.Sum(raw)
	case sha256.Size:
		return [sha256.Size]byte(sum) == sha256.Sum256(raw)
	}
	return false
}

func certError(leaf *x509.Certificate, what, expected string, err error, remedy string) *CertError {
	sum := sha256.Sum256(leaf.Raw)
	names := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return &CertError{Check: what, Expected: expected, Subject: oneline(leaf.Subject), Names: names, Issuer: oneline(leaf.Issuer),
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, SHA256: colons(sum[:]), Remedy: remedy, Err: err}
}

func last(certs []*x509.Certificate) *x509.Certificate { return certs[len(certs)-1] }

func selfSigned(cert *x509.Certificate) bool {
	return string(cert.RawSubject) == string(cert.RawIssuer)
}

func colons(sum []byte) string {
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// shortNames are the names of OpenSSL for the parts of a distinguished name.
var shortNames = map[string]string{"2.5.4.3": "CN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.17": "postalCode",
	"1.2.840.113549.1.9.1": "emailAddress", "0.9.2342.19200300.100.1.25": "DC"}

// oneline writes a distinguished name as OpenSSL's X509_NAME_oneline does: /C=DE/O=Example/CN=mail.
func oneline(n pkix.Name) string {
	var b strings.Builder
	for _, a := range n.Names {
		key := a.Type.String()
		if short, ok := shortNames[key]; ok {
			key = short
		}
		fmt.Fprintf(&b, "/%s=%v", key, a.Value)
	}
	return b.String()
}

var altNameExtension = pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}}

func hasAltNames(cert *x509.Certificate) bool {
	for _, e := range cert.Extensions {
		if e.Id.Equal(altNameExtension.Id) {
			return true
		}
	}
	return false
}

func bracketIP(name string) string {
	if net.ParseIP(name) != nil {
		return "[" + name + "]"
	}
	return name
}

// suiteName is OpenSSL's name of a cipher suite.
func suiteName(id uint16) string {
	name := tls.CipherSuiteName(id)
	if strings.HasPrefix(name, "TLS_AES") || strings.HasPrefix(name, "TLS_CHACHA") {
		return name
	}
	name = strings.TrimPrefix(name, "TLS_")
	name = strings.Replace(name, "RSA_WITH_AES", "AES", 1)
	if strings.HasPrefix(name, "ECDHE_") {
		name = strings.Replace("ECDHE_RSA_WITH_", "_WITH_", "_", 1) + strings.TrimPrefix(name, "ECDHE_RSA_WITH_")
	}
	return strings.ReplaceAll(name, "_", "-")
}

func secretBits(id uint16) string {
	bits := "128"
	if strings.Contains(tls.CipherSuiteName(id), "256") && !strings.Contains(tls.CipherSuiteName(id), "AES_128") {
		bits = "256"
	}
	return bits + "/" + bits + " secret/processed bits"
}
