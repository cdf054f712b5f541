package wire

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// tlsServer is the server's side of TLS on c; the handshake comes with the first use.
func tlsServer(c net.Conn, config *tls.Config) *tls.Conn { return tls.Server(c, config) }

// secured dials a TLS server, and returns the connection or the error.
func secured(t *testing.T, config *tls.Config, policy *TLS) (*Conn, error) {
	t.Helper()
	_, port := secureServer(t, config)
	c, err := (&Dialer{Timeout: 10 * time.Second, TLS: policy}).Dial(t.Context(), "localhost", port)
	if c != nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

func TestCertificates(t *testing.T) {
	const name = "mail.example.test"
	ca := mailtest.NewCA(t, "Test CA")
	file := ca.File(t)
	certs := mailtest.ServerCerts(t, ca, name)
	good := []string{"good", "good, RSA", "organization", "intermediate", "CN only", "CN wildcard", "wildcard", "IP address", "no CN", "no CN, organization"}
	failing := map[string]string{ // the check that fails
		"intermediate missing": "issuer", "CN only, other": "name", "CN right, SAN other": "name", "wildcard for all": "name",
		"wildcard too deep": "name", "wildcard too high": "name", "other host": "name", "no CN, other host": "name",
		"NUL in name": "name", "NUL in CN only": "name", "NUL in SAN": "name", "expired": "dates", "not yet valid": "dates",
		"expired, other host": "name", "for clients": "purpose", "unknown CA": "issuer", "unknown CA of same name": "issuer",
		"unknown CA, expired, other host": "issuer", "unknown CA, intermediate": "issuer", "self-signed": "anchor",
		"self-signed, other host": "anchor", "unknown root sent": "anchor", "unknown root sent, other host": "anchor",
	}
	if len(certs) != len(good)+len(failing) {
		t.Errorf("%d certificates, %d are judged here", len(certs), len(good)+len(failing))
	}
	for kind, cert := range certs {
		_, err := secured(t, cert.Config(), &TLS{ServerName: name, CheckCert: true, CertFile: file})
		if slices.Contains(good, kind) {
			if err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			continue
		}
		check, known := failing[kind]
		var refused *CertError
		if !known || !errors.As(err, &refused) || refused.Check != check {
			t.Errorf("%s: %v, want the check %q", kind, err, check)
			continue
		}
		sum := sha256.Sum256(refused2leaf(cert, refused).Raw)
		for _, fact := range []string{colons(sum[:]), refused.Remedy, refused.Issuer, refused.NotAfter.UTC().Format(time.RFC3339)} {
			if fact == "" || !strings.Contains(err.Error(), fact) {
				t.Errorf("%s: the error does not tell %q: %v", kind, fact, err)
			}
		}
	}
}

// Whoever asks for the wrong name has to be told the right ones.
func TestAnErrorAboutACertificateTellsTheNamesThatItIsFor(t *testing.T) {
	many := strings.Fields("a b c d e f g h i j")
	for _, c := range []struct {
		e    CertError
		want string
	}{
		{CertError{Subject: "/CN=old", Issuer: "/CN=CA"}, "it is for /CN=old, issued by /CN=CA, "},
		{CertError{Subject: "/CN=a.example", Names: []string{"a.example", "*.b.example", "192.0.2.1"}}, "it is for a.example, *.b.example, 192.0.2.1, issued by nobody, "},
		{CertError{Names: many}, "it is for a, b, c, d, e, f, g, h and 2 more, "},
		{CertError{}, "it is for nobody, "},
	} {
		if got := c.e.Error(); !strings.Contains(got, c.want) {
			t.Errorf("%q lacks %q", got, c.want)
		}
	}
}

// refused2leaf is the certificate of a chain that a refusal is about.
func refused2leaf(cert *mailtest.Certificate, refused *CertError) *x509.Certificate {
	for _, der := range cert.TLS.Certificate {
		if c, err := x509.ParseCertificate(der); err == nil && oneline(c.Subject) == refused.Subject {
			return c
		}
	}
	return cert.Leaf
}

func TestIPAddressesAndCommonNameOption(t *testing.T) {
	ca := mailtest.NewCA(t, "Test CA")
	file := ca.File(t)
	cert := ca.Issue(t, mailtest.CertSpec{CommonName: "a", Names: []string{"mail.example.test"}, IPs: []net.IP{net.IPv6loopback, net.IPv4(127, 0, 0, 1)}})
	for _, c := range []struct {
		server, common string
		ok             bool
	}{
		{"127.0.0.1", "", true}, {"::1", "", true}, {"[::1]", "", true}, {"127.0.0.2", "", false}, {"::2", "", false},
		{"wrong.example", "mail.example.test", true}, {"mail.example.test", "wrong.example", false},
		{"MAIL.Example.TEST", "", true}, {"a", "", false},
	} {
		_, err := secured(t, cert.Config(), &TLS{ServerName: c.server, CommonName: c.common, CheckCert: true, CertFile: file})
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestFingerprints(t *testing.T) {
	cert := mailtest.SelfSigned(t, mailtest.CertSpec{CommonName: "localhost"})
	file := filepath.Join(t.TempDir(), "trusted.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Leaf.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	other := mailtest.NewCA(t, "Other").File(t)
	raw := cert.Leaf.Raw
	m, s, l := md5.Sum(raw), sha1.Sum(raw), sha256.Sum256(raw)
	for _, sum := range [][]byte{m[:], s[:], l[:]} {
		for _, print := range []string{colons(sum), strings.ToLower(colons(sum)), hex.EncodeToString(sum), strings.ReplaceAll(colons(sum), ":", " ")} {
			for _, c := range []struct {
				file      string
				check, ok bool
			}{{file, true, true}, {other, false, true}, {other, true, false}} { // a pin does not replace sslcertck
				_, err := secured(t, cert.Config(), &TLS{CheckCert: c.check, CertFile: c.file, Fingerprint: print})
				if (err == nil) != c.ok {
					t.Errorf("%s %+v: %v", print, c, err)
				}
			}
		}
		wrong := colons(append([]byte{sum[0] ^ 1}, sum[1:]...))
		for _, check := range []bool{true, false} {
			_, err := secured(t, cert.Config(), &TLS{CheckCert: check, CertFile: file, Fingerprint: wrong, Label: "label"})
			var fail *TLSError
			if !errors.As(err, &fail) || fail.Lines[0] != "label fingerprints do not match!" {
				t.Errorf("a wrong fingerprint: %v", err)
			}
		}
	}
	for _, print := range []string{"", "zz", "AA:BB", strings.Repeat("0", 33), "::"} {
		if print != "" && fingerprintMatches(raw, print) {
			t.Errorf("%q matches", print)
		}
	}
}

func TestProtocolVersions(t *testing.T) {
	cert := mailtest.SelfSigned(t, mailtest.CertSpec{CommonName: "localhost", RSABits: 2048})
	all := []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}
	for proto, want := range map[string]string{ // which servers of one version only can be spoken with
		"": "nnyy", "auto": "nnyy", "Auto": "nnyy", "SSL23": "nnyy", "ssl2": "nnyy", "nonsense": "nnyy",
		"ssl3+": "yyyy", "TLS1": "ynnn", "tls1+": "yyyy", "tls1.1": "nynn", "tls1.1+": "nyyy",
		"tls1.2": "nnyn", "TLS1.2+": "nnyy", "tls1.3": "nnny", "tls1.3+": "nnny",
	} {
		for i, v := range all {
			config := cert.Config()
			config.MinVersion, config.MaxVersion = v, v
			var shakes atomic.Int32
			config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { shakes.Add(1); return nil, nil }
			c, err := secured(t, config, &TLS{Proto: proto})
			if (err == nil) != (want[i] == 'y') {
				t.Errorf("sslproto %q against %s: %v", proto, tls.VersionName(v), err)
			}
			way := map[bool]string{true: `sslproto "tls1+" allows`, false: `sslproto "auto" more`}[strings.Contains(want, "nnyy")]
			if err != nil && (want == "nnyy" || strings.Count(want, "y") == 1 && v < tls.VersionTLS13 && !strings.HasSuffix(proto, "+")) && !strings.Contains(err.Error(), way) {
				t.Errorf("sslproto %q against %s shows no way round: %v", proto, tls.VersionName(v), err)
			}
			if err == nil && c.TLSState().Version != v {
				t.Errorf("sslproto %q: version %x", proto, c.TLSState().Version)
			}
			if shakes.Load() != 1 {
				t.Errorf("sslproto %q against %s: %d handshakes", proto, tls.VersionName(v), shakes.Load())
			}
		}
	}
}

func TestSSL3IsRefusedWithAWayOut(t *testing.T) {
	policy := &TLS{Proto: "SSL3"}
	_, err := (&Dialer{TLS: policy}).Dial(t.Context(), "localhost", "1")
	if err == nil || !strings.Contains(err.Error(), `"auto"`) {
		t.Errorf("error %v", err)
	}
}

func TestInvalidProtocolIsToldAsTheReference(t *testing.T) {
	cert := mailtest.SelfSigned(t, mailtest.CertSpec{CommonName: "localhost"})
	for _, c := range []struct {
		proto string
		set   bool
		want  string
	}{{"", false, ""}, {"", true, "Invalid SSL protocol '' specified, using default autoselect (auto)."},
		{"SSL2", true, "Invalid SSL protocol 'SSL2' specified, using default autoselect (auto)."}, {"auto", true, ""}} {
		var first string
		policy := &TLS{Proto: c.proto, ProtoSet: c.set, Warn: func(line string) {
			if first == "" {
				first = line
			}
		}}
		policy.Fingerprint = fingerprint(cert) // no other warnings
		if _, err := secured(t, cert.Config(), policy); err != nil || first != c.want {
			t.Errorf("%+v: %v, warned %q", c, err, first)
		}
	}
}

func fingerprint(cert *mailtest.Certificate) string {
	sum := sha256.Sum256(cert.Leaf.Raw)
	return hex.EncodeToString(sum[:])
}

func TestOldServersWithRSAKeyExchangeAreServed(t *testing.T) {
	config := mailtest.SelfSigned(t, mailtest.CertSpec{CommonName: "localhost", RSABits: 2048}).Config()
	config.MaxVersion = tls.VersionTLS12
	config.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	var notes []string
	_, err := secured(t, config, &TLS{Trace: func(_ Dir, s string) { notes = append(notes, s) }})
	want := "fetchmail: SSL/TLS: using protocol TLSv1.2, cipher AES128-GCM-SHA256, 128/128 secret/processed bits"
	if err != nil || notes[len(notes)-1] != want {
		t.Errorf("%v, %q", err, notes)
	}
}

func TestSuiteNamesAreThoseOfOpenSSL(t *testing.T) {
	for id, want := range map[uint16]string{
		tls.TLS_AES_256_GCM_SHA384: "TLS_AES_256_GCM_SHA384 256", tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384 256",
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305 256", tls.TLS_RSA_WITH_AES_128_CBC_SHA: "AES128-SHA 128",
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA 128", tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA: "DES-CBC3-SHA 168",
	} {
		if got := fmt.Sprint(suiteName(id), " ", keyBits(id)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCertificateFolderNeedsNoHashes(t *testing.T) {
	ca := mailtest.NewCA(t, "Test CA")
	cert := ca.Issue(t, mailtest.CertSpec{Names: []string{"localhost"}})
	folder := t.TempDir()
	text, _ := os.ReadFile(ca.File(t))
	for name, content := range map[string]string{"README": "no certificate", "broken.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n", "my-ca.crt": string(text)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := exec.Command("mkfifo", filepath.Join(folder, "pipe")).Run(); err != nil {
		t.Fatal(err)
	}
	_ = os.Symlink(folder, filepath.Join(folder, "loop"))
	if _, err := secured(t, cert.Config(), &TLS{CheckCert: true, CertPath: folder}); err != nil {
		t.Error(err)
	}
	if _, err := secured(t, cert.Config(), &TLS{CheckCert: true, CertPath: folder, CertFile: mailtest.NewCA(t, "x").File(t)}); err != nil {
		t.Errorf("file and folder: %v", err)
	}
	if err := os.Remove(filepath.Join(folder, "my-ca.crt")); err != nil {
		t.Fatal(err)
	}
	if _, err := secured(t, cert.Config(), &TLS{CheckCert: true, CertPath: folder}); err == nil {
		t.Error("a certificate that was taken away is still trusted")
	}
}

// A daemon lives longer than the certificates of a folder, which is often one of links.
func TestACertificateThatChangesBehindALinkInAFolderIsNoticed(t *testing.T) {
	ca := mailtest.NewCA(t, "Test CA")
	cert := ca.Issue(t, mailtest.CertSpec{Names: []string{"localhost"}})
	folder, file := t.TempDir(), mailtest.NewCA(t, "Another CA").File(t)
	if err := os.Symlink(file, filepath.Join(folder, "link.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := secured(t, cert.Config(), &TLS{CheckCert: true, CertPath: folder}); err == nil {
		t.Fatal("another authority is trusted")
	}
	text, err := os.ReadFile(ca.File(t))
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secured(t, cert.Config(), &TLS{CheckCert: true, CertPath: folder}); err != nil {
		t.Errorf("the new certificate is not trusted: %v", err)
	}
}

func TestCertificateFileThatCannotBeReadStopsTheHandshake(t *testing.T) {
	cert := mailtest.SelfSigned(t, mailtest.CertSpec{CommonName: "localhost"})
	absent := filepath.Join(t.TempDir(), "absent")
	_, err := secured(t, cert.Config(), &TLS{CertFile: absent})
	var fail *TLSError
	if !errors.As(err, &fail) || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("error %v", err)
	}
	want := []string{fmt.Sprintf("Cannot load verify locations (file=%q, dir=\"(null)\"), error 0:", absent), "localhost: SSL connection failed."}
	if !slices.Equal(fail.Lines, want) {
		t.Errorf("lines %q, want %q", fail.Lines, want)
	}
}

// The variables are read once in a process: a new one tells.
func TestEnvironmentNamesTheDefaultCertificates(t *testing.T) {
	const variable = "WIRE_TEST_PORT"
	if port := os.Getenv(variable); port != "" {
		c, err := (&Dialer{Timeout: 10 * time.Second, TLS: &TLS{CheckCert: true}}).Dial(t.Context(), "localhost", port)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		return
	}
	ca := mailtest.NewCA(t, "Test CA")
	file := ca.File(t)
	_, port := secureServer(t, ca.Issue(t, mailtest.CertSpec{Names: []string{"localhost"}}).Config())
	for _, c := range []struct {
		env string
		ok  bool
	}{{"SSL_CERT_FILE=" + file, true}, {"SSL_CERT_DIR=" + filepath.Dir(file), true}, {"SSL_CERT_FILE=/dev/null", false}} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), variable+"="+port, c.env)
		if out, err := cmd.CombinedOutput(); (err == nil) != c.ok {
			t.Errorf("%s: %v\n%s", c.env, err, out)
		}
	}
}

// asking is a server that wants a certificate of ours.
func asking(t *testing.T, ca *mailtest.CA) *tls.Config {
	config := mailtest.SelfSigned(t, mailtest.CertSpec{CommonName: "localhost"}).Config()
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = x509.NewCertPool()
	config.ClientCAs.AddCert(ca.Cert)
	return config
}

// accepted tells whether the server has taken our certificate: with TLS 1.3 the first read shows it.
func accepted(t *testing.T, config *tls.Config, policy *TLS) bool {
	t.Helper()
	c, err := secured(t, config, policy)
	if err != nil {
		return false
	}
	_, err = c.Read(make([]byte, 3))
	return err == nil
}

func TestClientCertificates(t *testing.T) {
	ca := mailtest.NewCA(t, "Client CA")
	client := ca.Issue(t, mailtest.CertSpec{CommonName: "alice", Client: true})
	cert, key := client.Files(t)
	config := asking(t, ca)
	certText, _ := os.ReadFile(cert)
	keyText, _ := os.ReadFile(key)
	both := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(both, append(keyText, certText...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*TLS{{ClientCert: cert, ClientKey: key}, {ClientCert: both}, {ClientKey: both}, {ClientCert: both, ClientKey: both}} {
		if !accepted(t, config, p) {
			t.Errorf("%s, %s: refused", p.ClientCert, p.ClientKey)
		}
	}
	_, otherKey := ca.Issue(t, mailtest.CertSpec{CommonName: "bob", Client: true}).Files(t)
	for _, p := range []*TLS{{ClientCert: cert, ClientKey: otherKey}, {ClientCert: "/absent", ClientKey: key}, {ClientCert: cert, ClientKey: "/absent"}, {}} {
		var warned []string
		p.Warn = func(line string) { warned = append(warned, line) }
		if accepted(t, config, p) {
			t.Errorf("%s, %s: accepted", p.ClientCert, p.ClientKey)
		}
		if p.ClientCert != "" && !strings.Contains(strings.Join(warned, "\n"), "sslcert") && !strings.Contains(strings.Join(warned, "\n"), "sslkey") {
			t.Errorf("%s, %s: no word about it: %q", p.ClientCert, p.ClientKey, warned)
		}
	}
}

func TestEncryptedKeysOfOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		real.Missing(t, "openssl is not installed (Debian package openssl)")
	}
	ca := mailtest.NewCA(t, "Client CA")
	cert, key := ca.Issue(t, mailtest.CertSpec{CommonName: "alice", Client: true}).Files(t)
	config := asking(t, ca)
	for _, how := range []string{"pkcs8 -topk8", "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA1", "pkcs8 -topk8 -v2 aes-192-cbc -v2prf hmacWithSHA512",
		"pkcs8 -topk8 -v2 des3", "ec -aes256"} {
		locked := filepath.Join(t.TempDir(), "locked.pem")
		args := append(strings.Fields(how), "-in", key, "-out", locked, "-passout", "pass:word")
		if out, err := exec.Command(openssl, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", how, err, out)
		}
		for password, ok := range map[string]bool{"word": true, "wrong": false, "": false} {
			policy := &TLS{ClientCert: cert, ClientKey: locked, KeyPassword: func(context.Context) (string, error) { return password, nil }}
			if password == "" {
				policy.KeyPassword = nil
			}
			if accepted(t, config, policy) != ok {
				t.Errorf("%s, password %q: accepted is %v", how, password, !ok)
			}
		}
	}
}

func TestServerWithoutTLSGivesATLSError(t *testing.T) {
	host, port := serve(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "+OK plain\r\n")
		_ = c.(*net.TCPConn).CloseWrite()
		hold(c)
	})
	_, err := (&Dialer{Timeout: 10 * time.Second, TLS: &TLS{}}).Dial(t.Context(), host, port)
	var fail *TLSError
	if !errors.As(err, &fail) || !slices.Equal(fail.Lines, []string{"127.0.0.1: SSL connection failed."}) {
		t.Fatalf("error %v", err)
	}
	if got := fail.UpgradeLines(); !slices.Equal(got, []string{"127.0.0.1: upgrade to TLS failed."}) {
		t.Errorf("lines of an upgrade %q", got)
	}
}

// sealedKey is an encrypted key with one iteration only.
func sealedKey(t testing.TB) []byte {
	t.Helper()
	must := func(v any) asn1.RawValue {
		der, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: der}
	}
	aes := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	kdf := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12},
		Parameters: must(struct {
			Salt       []byte
			Iterations int
		}{[]byte("salt"), 1})}
	cipher := pkix.AlgorithmIdentifier{Algorithm: aes, Parameters: must(make([]byte, 16))}
	box := encryptedKey{Data: make([]byte, 32), Algorithm: pkix.AlgorithmIdentifier{
		Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, Parameters: must(pbes2{kdf, cipher})}}
	return must(box).FullBytes
}

func TestSealedKeyIsUnderstoodUpToItsPassword(t *testing.T) {
	if _, err := decryptPKCS8(sealedKey(t), "word"); !errors.Is(err, errKeyPassword) {
		t.Errorf("error %v", err)
	}
}

func FuzzEncryptedKey(f *testing.F) {
	f.Add([]byte{0x30, 0x00}, "word")
	f.Add(sealedKey(f), "word")
	f.Fuzz(func(t *testing.T, der []byte, password string) {
		if len(der) > 4096 {
			return
		}
		plain, err := decryptPKCS8(der, password)
		if err == nil && len(plain) >= len(der) {
			t.Errorf("%d bytes became %d", len(der), len(plain))
		}
	})
}

func FuzzFingerprint(f *testing.F) {
	f.Add("AA:BB")
	f.Fuzz(func(t *testing.T, print string) {
		if fingerprintMatches([]byte("certificate"), print) && len(print) < 32 {
			t.Errorf("%q matches", print)
		}
	})
}
