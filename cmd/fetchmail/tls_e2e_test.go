package main_test

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols/mailtest/real"
)

// tlsRuns are the settings of TLS, tried with TLS from the start and with STLS and STARTTLS on a real Dovecot. @CA@ is
// its authority's certificate, @HASHED@ a folder with it as `openssl rehash` makes it, @MD5@, @SHA1@ and @SHA256@ are
// fingerprints of its own one.
var tlsRuns = []struct {
	name    string
	options string
	env     string
	server  string // "", "expired", "other" (for another host) or "old" (TLS 1.0 and newer)
	status  int    // 1: there is no mail
	want    string // on standard error
}{
	{"authority from a file", "sslcertfile @CA@", "", "", 1, ""},
	{"authority from a hashed folder", "sslcertpath @HASHED@", "", "", 1, ""},
	{"authority from SSL_CERT_FILE", "", "SSL_CERT_FILE=@CA@", "", 1, ""},
	{"authority from SSL_CERT_DIR", "", "SSL_CERT_DIR=@HASHED@", "", 1, ""},
	{"authority of the system beside others", "sslcertpath /nonexistent", "SSL_CERT_FILE=@CA@ FETCHMAIL_INCLUDE_DEFAULT_X509_CA_CERTS=1", "", 1, ""},
	{"authority of the system, others named", "sslcertpath /nonexistent", "SSL_CERT_FILE=@CA@ FETCHMAIL_INCLUDE_DEFAULT_X509_CA_CERTS=", "", 2, "unable to get local issuer certificate"},
	{"authority not known", "", "", "", 2, "unable to get local issuer certificate"},
	{"authority not known, not checked", "no sslcertck sslproto auto", "", "", 1, "Warning: the connection is insecure, continuing anyways."},
	{"authority that cannot be read", "sslcertfile /nonexistent", "", "", 2, "Cannot load verify locations"},
	{"common name", "sslcertfile @CA@ sslcommonname mail.example.test", "", "", 1, ""},
	{"common name that is not there", "sslcertfile @CA@ sslcommonname other.example.test", "", "", 2, "other.example.test"},
	{"fingerprint, MD5", "sslcertfile @CA@ sslfingerprint \"@MD5@\"", "", "", 1, ""},
	{"fingerprint, SHA-1", "sslcertfile @CA@ sslfingerprint \"@SHA1@\"", "", "", 1, ""},
	{"fingerprint, SHA-256", "sslcertfile @CA@ sslfingerprint \"@SHA256@\"", "", "", 1, ""},
	{"fingerprint of another", "sslcertfile @CA@ sslfingerprint \"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\"", "", "", 2, "fingerprints do not match!"},
	{"fingerprint of another, not checked", "no sslcertck sslfingerprint \"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\"", "", "", 2, "fingerprints do not match!"},
	{"fingerprint without authority", "sslfingerprint \"@SHA256@\"", "", "", 2, "unable to get local issuer certificate"},
	{"sslproto auto", "sslcertfile @CA@ sslproto \"auto\"", "", "", 1, ""},
	{"sslproto tls1.2", "sslcertfile @CA@ sslproto tls1.2", "", "", 1, ""},
	{"sslproto tls1.2+", "sslcertfile @CA@ sslproto tls1.2+", "", "", 1, ""},
	{"sslproto tls1.3", "sslcertfile @CA@ sslproto tls1.3", "", "", 1, ""},
	{"sslproto tls1.3+", "sslcertfile @CA@ sslproto tls1.3+", "", "", 1, ""},
	{"sslproto tls1+", "sslcertfile @CA@ sslproto tls1+", "", "", 1, ""},
	{"sslproto tls1.1+", "sslcertfile @CA@ sslproto tls1.1+", "", "", 1, ""},
	{"sslproto ssl3+", "sslcertfile @CA@ sslproto ssl3+", "", "", 1, ""},
	{"sslproto ssl23", "sslcertfile @CA@ sslproto ssl23", "", "", 1, ""},
	{"sslproto ssl2", "sslcertfile @CA@ sslproto ssl2", "", "", 1, "Invalid SSL protocol 'ssl2' specified, using default autoselect (auto)."},
	{"sslproto ssl3", "sslcertfile @CA@ sslproto ssl3", "", "", 5, "sslproto ssl3: this protocol is broken and not supported; use"},
	{"sslproto tls1, refused", "sslcertfile @CA@ sslproto tls1", "", "", 2, "allows one version only, sslproto \"auto\" more"},
	{"sslproto tls1.1, refused", "sslcertfile @CA@ sslproto tls1.1", "", "", 2, "allows one version only, sslproto \"auto\" more"},
	{"sslproto tls1, old server", "sslcertfile @CA@ sslproto tls1", "", "old", 1, ""},
	{"sslproto tls1.1, old server", "sslcertfile @CA@ sslproto tls1.1", "", "old", 1, ""},
	{"expired", "sslcertfile @CA@", "", "expired", 2, "certificate has expired"},
	{"expired, not checked", "no sslcertck sslproto auto sslcertfile @CA@", "", "expired", 1, "Warning: the connection is insecure"},
	{"for another host", "sslcertfile @CA@", "", "other", 2, "hostname mismatch"},
	{"for another host, not checked", "no sslcertck sslproto auto sslcertfile @CA@", "", "other", 1, "Warning: the connection is insecure"},
}

// details are the words about a certificate that was refused: what was seen, and what can be done.
var details = []string{"certificate refused (", "issued by /CN=mailtest CA", "valid from ", "SHA-256 ", "; "}

func TestEverySettingOfTLSOnDovecot(t *testing.T) {
	servers := map[string]*real.Dovecot{
		"": real.StartDovecot(t, real.DovecotOptions{}),
		"expired": real.StartDovecot(t, real.DovecotOptions{Certificate: func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-50*time.Minute), time.Now().Add(-10*time.Minute)
		}}),
		"other": real.StartDovecot(t, real.DovecotOptions{Certificate: func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames, c.IPAddresses = "other.example.test", []string{"other.example.test"}, nil
		}}),
		"old": real.StartDovecot(t, real.DovecotOptions{Settings: "ssl_min_protocol = TLSv1\nssl_cipher_list = ALL:@SECLEVEL=0\n"}),
	}
	for _, r := range tlsRuns {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			d := servers[r.server]
			fill := tlsWords(t, d)
			for _, way := range []string{"POP3S", "POP3", "IMAPS", "IMAP"} {
				proto, wrapped := strings.CutSuffix(way, "S")
				port := map[string]int{"POP3": d.POP3, "POP3S": d.POP3S, "IMAP": d.IMAP, "IMAPS": d.IMAPS}[way]
				mode, failed := "", ": upgrade to TLS failed."
				if wrapped {
					mode, failed = "ssl", ": SSL connection failed."
				}
				c := newClient(t, binary(t))
				c.env = append(c.env, strings.Fields(fill.Replace(r.env))...)
				c.rc(t, fill.Replace(fmt.Sprintf("poll localhost proto %s port %d auth password timeout 30\n user alice password secret %s %s\n",
					proto, port, mode, strings.ReplaceAll(r.options, "sslproto auto", `sslproto "auto"`))))
				got := c.run(t, "-c", "-v")
				if got.code != r.status || !strings.Contains(got.stderr, r.want) || r.status == 2 && !strings.Contains(got.stderr, failed) {
					t.Errorf("%s: %s", way, got)
				}
				if secured := strings.Contains(got.stdout, "SSL/TLS: using protocol"); secured != (r.status == 1) {
					t.Errorf("%s: under TLS: %v: %s", way, secured, got)
				}
				if r.status > 1 && (strings.Contains(got.stdout, "PASS") || strings.Contains(got.stdout, "LOGIN \"")) {
					t.Errorf("%s: somebody logs in: %s", way, got)
				}
				for _, w := range details {
					if r.status == 2 && !strings.Contains(r.want, "version") && !strings.Contains(r.want, "locations") && !strings.Contains(got.stderr, w) {
						t.Errorf("%s: no %q in %s", way, w, got)
					}
				}
			}
		})
	}
}

// tlsWords fills in the marks of tlsRuns.
func tlsWords(t *testing.T, d *real.Dovecot) *strings.Replacer {
	t.Helper()
	dir := filepath.Join(real.Dir(t), "hashed")
	text, err := os.ReadFile(d.CA)
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "ca.pem"), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("openssl", "rehash", dir).CombinedOutput(); err != nil {
		t.Fatalf("openssl rehash: %v %s", err, out)
	}
	if text, err = os.ReadFile(d.Server); err != nil {
		t.Fatal(err)
	}
	cert, _ := pem.Decode(text)
	m, s1, s2 := md5.Sum(cert.Bytes), sha1.Sum(cert.Bytes), sha256.Sum256(cert.Bytes)
	colons := func(sum []byte) string { return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":") }
	return strings.NewReplacer("@CA@", d.CA, "@HASHED@", dir, "@MD5@", colons(m[:]), "@SHA1@", strings.ToLower(colons(s1[:])), "@SHA256@", colons(s2[:]))
}
