package wire

import (
	"bytes"
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
	"slices"
	"strings"
	"time"
)

// check examines the certificate of one connection and keeps the lines that the reference would print. The order of
// the tests, and that the first one that fails is the last under sslcertck, is the one of OpenSSL, which the reference
// works with.
type check struct {
	policy *TLS
	host   string
	roots  *x509.CertPool
	lines  []string
	first  *CertError // the first doubt
}

// verify is tls.Config.VerifyConnection.
func (c *check) verify(state tls.ConnectionState) error {
	certs := state.PeerCertificates
	if len(certs) == 0 {
		return errNoCertificate
	}
	c.describe(certs[0])
	chain, dated := c.chain(certs)
	if chain == nil || chain.depth == 0 || !c.policy.CheckCert {
		if err := c.identity(certs[0]); err != nil {
			return err
		}
	}
	if c.policy.Fingerprint != "" && !c.policy.CheckCert {
		return nil // fetchmail(1), --sslfingerprint: the certificate is the right one, nothing more is asked
	}
	for _, d := range c.doubts(certs, dated, chain) {
		c.lines = append(c.lines, d.lines...)
		if c.first == nil {
			c.first = d.err
		}
		if c.policy.CheckCert {
			return d.err
		}
	}
	if c.first != nil {
		c.policy.warn(c.lines...)
	}
	return nil
}

// identity makes the reference's own tests of the server's certificate. What it returns is fatal in any case.
func (c *check) identity(leaf *x509.Certificate) error {
	cn := leaf.Subject.CommonName
	if what := nulIn(leaf); what != "" {
		c.lines = append(c.lines, fmt.Sprintf("Bad certificate: Subject %s contains NUL, aborting!", what))
		return certError(leaf, "name", "", errors.New("name contains a NUL byte"), "somebody tries to deceive you")
	}
	name := c.policy.name(c.host)
	if c.policy.CheckCert && cn != "" && !hostMatches(leaf, name) && !onlyCN(leaf, name) {
		c.lines = append(c.lines, fmt.Sprintf("Server CommonName mismatch: %s != %s", cn, name))
	}
	if want := c.policy.Fingerprint; want != "" && !fingerprintMatches(leaf.Raw, want) {
		c.lines = append(c.lines, c.policy.label(c.host)+" fingerprints do not match!")
		return certError(leaf, "fingerprint", want, errors.New("fingerprint does not match"),
			"if the server has got a new certificate, put the SHA-256 given here into sslfingerprint")
	}
	return nil
}

// nulIn says which name has a NUL byte: what stands before it would be all that a program in C sees.
func nulIn(leaf *x509.Certificate) string {
	hasNUL := func(s string) bool { return strings.ContainsRune(s, 0) }
	switch {
	case hasNUL(leaf.Subject.CommonName):
		return "CommonName"
	case slices.ContainsFunc(leaf.DNSNames, hasNUL):
		return "Alternative Name"
	}
	return ""
}

// doubt is one reason not to trust a certificate.
type doubt struct {
	depth int // of the certificate that it is about: 0 is the server's
	lines []string
	err   *CertError
}

func newDoubt(cert *x509.Certificate, what, text string, err error, remedy string) *doubt {
	if err == nil {
		err = errors.New(text)
	}
	return &doubt{lines: []string{"Server certificate verification error: " + text}, err: certError(cert, what, "", err, remedy)}
}

// doubts are all reasons, in order; chain and dated are what c.chain has found.
func (c *check) doubts(certs, dated []*x509.Certificate, chain *doubt) []*doubt {
	leaf := certs[0]
	var all []*doubt
	if chain != nil {
		all = append(all, chain)
	}
	if name := c.policy.name(c.host); !hostMatches(leaf, name) {
		d := newDoubt(leaf, "name", "hostname mismatch", fmt.Errorf("certificate is not for %s", name),
			"if this is the right server, poll it under a name of its certificate or set sslcommonname to one")
		d.err.Expected = name
		all = append(all, d)
	}
	if chain != nil && chain.err.Check == "issuer" && len(certs) == 1 {
		all = append(all, newDoubt(leaf, "issuer", "unable to verify the first certificate", nil, chain.err.Remedy))
	}
	now := c.policy.now()
	for i := len(dated) - 1; i >= 0; i-- {
		switch cert := dated[i]; {
		case now.Before(cert.NotBefore):
			all = append(all, newDoubt(cert, "dates", "certificate is not yet valid", nil, "check this machine's clock"))
		case now.After(cert.NotAfter):
			all = append(all, newDoubt(cert, "dates", "certificate has expired", nil, "the server's operator must renew the certificate"))
		}
	}
	return all
}

// Texts of OpenSSL and of the reference.
const (
	missingIssuer    = "unable to get local issuer certificate"
	hintIntermediate = "This could mean that the server did not provide the intermediate CA's certificate(s), which is nothing fetchmail could do anything about.  For details, please see the README.SSL-SERVER document that ships with fetchmail."
	hintRoot         = "This could mean that the root CA's signing certificate is not in the trusted CA certificate location, or that c_rehash needs to be run on the certificate directory. For details, please see the documentation of --sslcertpath and --sslcertfile in the manual page. See README.SSL for details."
)

// chain looks for a way from the server's certificate to a trusted one. Dates are doubts of their own: it is tried at a
// time when the server's certificate was valid if it is not so now. dated are the certificates whose dates may be at
// fault, the server's first: none if there is a way on which all are valid, whatever else the server has sent.
func (c *check) chain(certs []*x509.Certificate) (found *doubt, dated []*x509.Certificate) {
	err := c.path(certs, c.policy.now())
	if err == nil {
		return nil, nil
	}
	dated = certs
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		if !slices.ContainsFunc(certs, invalid.Cert.Equal) { // a trusted one, which the server need not send
			return nil, append(slices.Clone(certs), invalid.Cert)
		}
		err = c.path(certs, certs[0].NotAfter)
	}
	if err == nil || errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return nil, dated
	}
	return pathDoubt(certs, err), dated
}

// pathDoubt says why there is no way to a trusted certificate, dates apart.
func pathDoubt(certs []*x509.Certificate, err error) *doubt {
	var invalid x509.CertificateInvalidError
	top := len(certs) - 1
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return newDoubt(certs[0], "purpose", "unsuitable certificate purpose", err, "the server's operator must get a certificate for servers")
	case selfIssued(certs[top]):
		return anchorDoubt(certs, top, err)
	case errors.As(err, &x509.UnknownAuthorityError{}):
		d := newDoubt(certs[top], "issuer", missingIssuer, err,
			"name the certificate of the authority with sslcertfile or sslcertpath; or the server does not send its intermediate certificates")
		d.lines = append(d.lines, "Broken certification chain at: "+oneline(certs[top].Issuer), hintIntermediate, hintRoot)
		d.depth = top
		return d
	}
	return newDoubt(certs[0], "chain", err.Error(), err, "")
}

func anchorDoubt(certs []*x509.Certificate, top int, err error) *doubt {
	text, remedy := "self-signed certificate in certificate chain", "if this authority is to be trusted, name its certificate with sslcertfile or sslcertpath"
	if top == 0 {
		text, remedy = "self-signed certificate", "if this is the right server, put its certificate into a file and name it with sslcertfile"
	}
	d := newDoubt(certs[top], "anchor", text, err, remedy)
	d.lines = append(d.lines, "Missing trust anchor certificate: "+oneline(certs[top].Issuer), hintRoot)
	d.depth = top
	return d
}

func (c *check) path(certs []*x509.Certificate, at time.Time) error {
	between := x509.NewCertPool()
	for _, cert := range certs[1:] {
		between.AddCert(cert)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: c.roots, Intermediates: between, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
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
	if leaf.Issuer.CommonName != "" {
		note("Issuer CommonName: %s", leaf.Issuer.CommonName)
	} else {
		note("Unknown Issuer CommonName")
	}
	if leaf.Subject.CommonName != "" {
		note("Subject CommonName: %s", leaf.Subject.CommonName)
	} else {
		note("Unknown Server CommonName")
	}
	for _, n := range leaf.DNSNames {
		note("Subject Alternative Name: %s", n)
	}
	sum := md5.Sum(leaf.Raw)
	note("%s key fingerprint: %s", c.policy.label(c.host), colons(sum[:]))
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

func selfIssued(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawSubject, cert.RawIssuer)
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

// hostMatches tells whether a certificate is for name: RFC 9525 by its subject alternative names. A certificate that
// has none at all is known by its common name, as the reference does; wildcards are allowed there, too.
func hostMatches(cert *x509.Certificate, name string) bool {
	if hasAltNames(cert) {
		return cert.VerifyHostname(bracketIP(name)) == nil
	}
	return onlyCN(cert, name)
}

// onlyCN compares a name with the common name alone.
func onlyCN(cert *x509.Certificate, name string) bool {
	if net.ParseIP(name) != nil {
		return cert.Subject.CommonName == name
	}
	// VerifyHostname looks at names only where the extension is.
	stand := x509.Certificate{DNSNames: []string{cert.Subject.CommonName}, Extensions: []pkix.Extension{altNameExtension}}
	return stand.VerifyHostname(name) == nil
}
