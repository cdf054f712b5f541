package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// TLS is the policy for one server: what is offered, and what a certificate must be like.
type TLS struct {
	// ServerName is told to the server (SNI) and must be in the certificate; the dialed host if "".
	ServerName string
	// Label is what the server is called in messages about fingerprints: the poll name. It is the host if "".
	Label string
	// CheckCert makes a doubtful certificate an error (sslcertck); otherwise it is a warning.
	CheckCert bool
	// CertFile is a PEM file of trusted certificates (sslcertfile), CertPath a folder of such files (sslcertpath).
	// If both are "" it is the system's, or what SSL_CERT_FILE and SSL_CERT_DIR name.
	CertFile, CertPath string
	// IncludeDefault adds the system's set to CertFile and CertPath (FETCHMAIL_INCLUDE_DEFAULT_X509_CA_CERTS).
	IncludeDefault bool
	// ClientCert and ClientKey are PEM files for the server's question who we are (sslcert, sslkey). Files that cannot be
	// used give a warning, and the server decides.
	ClientCert, ClientKey string
	// KeyPassword gives the password of an encrypted ClientKey; it may be nil.
	KeyPassword func(ctx context.Context) (string, error)
	// CommonName must be in the certificate in place of the server's name (sslcommonname).
	CommonName string
	// Fingerprint is the digest of the server's certificate: MD5, SHA-1 or SHA-256 in hexadecimal, with or without
	// colons, in any case (sslfingerprint). It is checked besides the certificate chain, not in its place.
	Fingerprint string
	// Proto is the value of sslproto. ProtoSet tells that it was given, even if it is "".
	Proto    string
	ProtoSet bool
	// Warn takes lines for standard error, without prefix and line end. It may be nil.
	Warn func(line string)
	// Trace takes the lines of -v about certificate and cipher.
	Trace Trace
	// Now is time.Now if nil.
	Now func() time.Time
}

// Upgrade says whether a plain connection is brought under TLS by STARTTLS or STLS.
type Upgrade int

const (
	// Never leaves the connection as it is.
	Never Upgrade = iota
	// May uses TLS if the server offers it, and goes on in clear if it refuses.
	May
	// Must sends nothing in clear that is worth protecting.
	Must
)

// TLSError says why a TLS connection was not made.
type TLSError struct {
	// Lines are for standard error, in the reference's words, without prefix and line end.
	Lines []string
	// Err is the cause; a *CertError if it was the certificate.
	Err error
}

func (e *TLSError) Error() string { return "TLS: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *TLSError) Unwrap() error { return e.Err }

// TLSLines are Lines.
func (e *TLSError) TLSLines() []string { return e.Lines }

// UpgradeLines are Lines with the summary that the reference has for STLS and STARTTLS.
func (e *TLSError) UpgradeLines() []string {
	lines := slices.Clone(e.Lines)
	if n := len(lines); n > 0 {
		lines[n-1] = strings.TrimSuffix(lines[n-1], connectionFailed) + ": upgrade to TLS failed."
	}
	return lines
}

// connectionFailed is the end of the last line about a failure.
const connectionFailed = ": SSL connection failed."

// Validate tells whether the values can be used at all; it reads no file.
func (t *TLS) Validate() error {
	_, _, err := parseProto(t.Proto)
	return err
}

func (t *TLS) warn(lines ...string) {
	for _, l := range lines {
		if t.Warn != nil {
			t.Warn(l)
		}
	}
}

func (t *TLS) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

// name is what the certificate must be for.
func (t *TLS) name(host string) string {
	switch {
	case t.CommonName != "":
		return t.CommonName
	case t.ServerName != "":
		return Unbracket(t.ServerName)
	}
	return Unbracket(host)
}

func (t *TLS) label(host string) string {
	if t.Label != "" {
		return t.Label
	}
	return host
}

// failed makes a TLSError; the last line is the reference's summary.
func (t *TLS) failed(host string, err error, lines ...string) error {
	return &TLSError{Lines: append(lines, t.name(host)+connectionFailed), Err: err}
}

// handshake makes a TLS client of raw. A failure is a *TLSError.
func (t *TLS) handshake(ctx context.Context, raw net.Conn, host string) (*tls.Conn, error) {
	config, check, err := t.config(ctx, host)
	if err != nil {
		return nil, t.failed(host, err, failureLine(err))
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		if ctx.Err() != nil {
			err = &CanceledError{Cause: context.Cause(ctx)}
		}
		return nil, t.failed(host, t.outdated(err), check.lines...)
	}
	state := conn.ConnectionState()
	bits := keyBits(state.CipherSuite)
	t.Trace.note(fmt.Sprintf("fetchmail: SSL/TLS: using protocol %s, cipher %s, %d/%d secret/processed bits",
		versionName(state.Version), suiteName(state.CipherSuite), bits, bits))
	if len(check.lines) > 0 {
		t.warn("Warning: the connection is insecure, continuing anyways. (Better use --sslcertck!)")
	}
	return conn, nil
}

// outdated adds to an error about versions of TLS how to get along with the server.
func (t *TLS) outdated(err error) error {
	var alert tls.AlertError
	const protocolVersion = 70  // RFC 8446, section 6
	if errors.Is(err, io.EOF) { // many servers do not say more
		err = fmt.Errorf("the server hangs up in the handshake, as some do that do not speak the version of TLS: %w", err)
	}
	versions := errors.Is(err, io.EOF) || errors.As(err, &alert) && alert == protocolVersion || strings.Contains(err.Error(), "protocol version")
	if v, _, perr := parseProto(t.Proto); !versions || perr != nil {
		return err
	} else if v.max != 0 {
		return fmt.Errorf("%w; sslproto %s allows one version only, sslproto \"auto\" more", err, t.Proto)
	} else if v.min >= tls.VersionTLS12 {
		return fmt.Errorf("%w; if the server is too old for TLS 1.2 and cannot be replaced, sslproto \"tls1+\" allows what it speaks", err)
	}
	return err
}

// config makes the configuration for one handshake and the check that it will call.
func (t *TLS) config(ctx context.Context, host string) (*tls.Config, *check, error) {
	v, known, err := parseProto(t.Proto)
	if err != nil {
		return nil, nil, err
	}
	if !known || t.ProtoSet && t.Proto == "" {
		t.warn(fmt.Sprintf("Invalid SSL protocol '%s' specified, using default autoselect (auto).", t.Proto))
	}
	roots, err := trusted.load(trustPlace{t.CertFile, t.CertPath, t.IncludeDefault})
	if err != nil {
		return nil, nil, err
	}
	sni := t.ServerName
	if sni == "" {
		sni = host
	}
	c := &check{policy: t, host: host, roots: roots}
	config := &tls.Config{
		ServerName: Unbracket(sni), MinVersion: v.min, MaxVersion: v.max, CipherSuites: v.suites(),
		// The policy is not that of crypto/tls (sslcommonname, sslfingerprint, certificates with a common name only,
		// no sslcertck): VerifyConnection does all of it, on every handshake.
		InsecureSkipVerify: true,
		VerifyConnection:   c.verify,
	}
	if config.GetClientCertificate, err = t.clientCertificate(ctx); err != nil {
		t.warn(err.Error())
	}
	return config, c, nil
}

// CertError says what is wrong with a server's certificate, and what can be done about it.
type CertError struct {
	Check     string // the check that failed: "issuer", "anchor", "purpose", "chain", "name", "dates", "fingerprint"
	Expected  string // the name or the fingerprint that was asked for
	Subject   string
	Names     []string // of the certificate
	Issuer    string
	NotBefore time.Time
	NotAfter  time.Time
	SHA256    string // upper case, with colons
	Remedy    string
	Err       error
}

func (e *CertError) Error() string {
	s := fmt.Sprintf("certificate refused (%s): %v; it is for %s, issued by %s, valid from %s to %s, SHA-256 %s",
		e.Check, e.Err, e.holder(), cmp.Or(e.Issuer, "nobody"), e.NotBefore.UTC().Format(time.RFC3339), e.NotAfter.UTC().Format(time.RFC3339), e.SHA256)
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

// namesTold is how many names of a certificate an error tells.
const namesTold = 8

// holder says whose certificate it is: the names that count, which stand in the subject only of old ones.
func (e *CertError) holder() string {
	if len(e.Names) == 0 {
		return cmp.Or(e.Subject, "nobody")
	}
	s := strings.Join(e.Names[:min(len(e.Names), namesTold)], ", ")
	if more := len(e.Names) - namesTold; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// Unwrap returns the cause.
func (e *CertError) Unwrap() error { return e.Err }

var errNoCertificate = errors.New("server has sent no certificate")
