package wire

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// secureServer does the handshake with everybody who comes and closes.
func secureServer(t *testing.T, config *tls.Config) (host, port string) {
	return serve(t, func(c net.Conn) {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		s := tls.Server(c, config)
		if s.Handshake() == nil {
			_, _ = s.Write([]byte("+OK\r\n"))
			_ = s.CloseWrite()
			_, _ = s.Read(make([]byte, 1)) // until the client has read it
		}
	})
}

// referenceLines are what fetchmail 6.4 writes to standard error about the server at a port.
func referenceLines(t *testing.T, program, port, options string) []string {
	t.Helper()
	_, stderr := runReference(t, program, port, options)
	var lines []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimPrefix(strings.TrimRight(line, "\n"), "fetchmail: ")
		for _, other := range []string{"WARNING: Running as root", "socket error while fetching", "Repoll immediately",
			"Authorization failure", "For help, see", "Loaded OpenSSL", "OpenSSL reported", "Socket or TLS error"} {
			if strings.HasPrefix(line, other) {
				line = ""
			}
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	// A server that breaks off is asked a second time.
	if half := len(lines) / 2; slices.Equal(lines[:half], lines[half:]) {
		lines = lines[:half]
	}
	return lines
}

// runReference runs fetchmail 6.4 with -v or other arguments against the server at a port.
func runReference(t *testing.T, program, port, options string, args ...string) (stdout, stderr string) {
	t.Helper()
	home := t.TempDir()
	rc := filepath.Join(home, "rc")
	text := fmt.Sprintf("poll localhost proto pop3 timeout 10 port %s no dns user u password p is root here ssl %s\n", port, options)
	if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(args, "-N", "-f", rc, "--pidfile", filepath.Join(home, "pid"))...)
	cmd.Env = append(os.Environ(), "HOME="+home, "LC_ALL=C", "FETCHMAIL_DISABLE_CBC_IV_COUNTERMEASURE=")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String()
}

// ourLines are what is said about the same server, and whether the connection was made.
func ourLines(t *testing.T, port string, policy *TLS) (lines []string, ok bool) {
	t.Helper()
	policy.Warn = func(line string) { lines = append(lines, line) }
	c, err := (&Dialer{Timeout: 10 * time.Second, TLS: policy}).Dial(t.Context(), "localhost", port)
	if err == nil {
		_ = c.Close()
		return lines, true
	}
	var fail *TLSError
	if !errors.As(err, &fail) {
		t.Fatalf("error %v", err)
	}
	return append(lines, fail.Lines...), false
}

func TestCertificateLinesAreTheReferences(t *testing.T) {
	program := real.Reference(t)
	const name = "mail.example.test"
	ca := mailtest.NewCA(t, "Test CA")
	file := ca.File(t)
	certs := mailtest.ServerCerts(t, ca, name)
	kinds := make([]string, 0, len(certs))
	for kind := range certs {
		kinds = append(kinds, kind)
	}
	sort.Strings(kinds)
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			_, port := secureServer(t, certs[kind].Config())
			for _, check := range []bool{true, false} {
				option := fmt.Sprintf("sslcertck sslcertfile '%s' sslcommonname '%s'", file, name)
				if !check {
					option = "no " + option
				}
				want := referenceLines(t, program, port, option)
				// Certificates without a common name are in order (RFC 9525) and in use; the reference knows none such.
				if strings.HasPrefix(kind, "no CN") && slices.Contains(want, "Server name not specified in certificate!") {
					want = nil
				}
				got, _ := ourLines(t, port, &TLS{CheckCert: check, CertFile: file, CommonName: name})
				if !slices.Equal(got, want) {
					t.Errorf("sslcertck %v: got\n\t%s\nwant\n\t%s", check, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
				}
			}
		})
	}
}

func TestExpiredRootIsNotTrusted(t *testing.T) {
	program := real.Reference(t)
	const name = "mail.example.test"
	ca := mailtest.NewExpiredCA(t, "Old CA")
	spec := mailtest.CertSpec{CommonName: name, Names: []string{name}}
	for kind, cert := range map[string]*mailtest.Certificate{"root": ca.Issue(t, spec), "intermediate": ca.Intermediate(t, "Below", "").Issue(t, spec)} {
		_, port := secureServer(t, cert.Config())
		for _, check := range []bool{true, false} {
			option := fmt.Sprintf("sslcertck sslcertfile '%s' sslcommonname '%s'", ca.File(t), name)
			if !check {
				option = "no " + option
			}
			want := referenceLines(t, program, port, option)
			got, ok := ourLines(t, port, &TLS{CheckCert: check, CertFile: ca.File(t), CommonName: name})
			if ok == check || !slices.Equal(got, want) {
				t.Errorf("%s, sslcertck %v: connected %v, got\n\t%s\nwant\n\t%s", kind, check, ok, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
			}
		}
	}
}

// Servers go on to send a certificate that once led clients to a root which they trust by now.
func TestExpiredCertificateBesideTheWayDoesNotMatter(t *testing.T) {
	program := real.Reference(t)
	const name = "mail.example.test"
	ca := mailtest.NewCA(t, "Root")
	cert := ca.CrossSigned(t, mailtest.NewExpiredCA(t, "Old Root"), mailtest.CertSpec{CommonName: name, Names: []string{name}})
	_, port := secureServer(t, cert.Config())
	want := referenceLines(t, program, port, fmt.Sprintf("sslcertck sslcertfile '%s' sslcommonname '%s'", ca.File(t), name))
	got, ok := ourLines(t, port, &TLS{CheckCert: true, CertFile: ca.File(t), CommonName: name})
	if !ok || !slices.Equal(got, want) {
		t.Errorf("connected %v, got\n\t%s\nwant\n\t%s", ok, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestFingerprintLinesAreTheReferences(t *testing.T) {
	program := real.Reference(t)
	ca := mailtest.NewCA(t, "Test CA")
	good := ca.Issue(t, mailtest.CertSpec{CommonName: "localhost", Names: []string{"localhost"}})
	_, port := secureServer(t, good.Config())
	sum := md5.Sum(good.Leaf.Raw)
	right := colons(sum[:])
	for _, c := range []struct {
		trusted bool
		print   string
	}{{true, right}, {true, strings.ToLower(right)}, {false, right}, {true, "AA" + right[2:]}, {false, "AA" + right[2:]}, {true, "AA:BB"}} {
		for _, check := range []bool{true, false} {
			policy := &TLS{CheckCert: check, Fingerprint: c.print}
			option := fmt.Sprintf("sslcertck sslfingerprint '%s'", c.print)
			if !check {
				option = "no " + option
			}
			policy.CertFile = mailtest.NewCA(t, "Other CA").File(t)
			if c.trusted {
				policy.CertFile = ca.File(t)
			}
			want := referenceLines(t, program, port, option+fmt.Sprintf(" sslcertfile '%s'", policy.CertFile))
			if got, _ := ourLines(t, port, policy); !slices.Equal(got, want) {
				t.Errorf("%+v, sslcertck %v: got\n\t%s\nwant\n\t%s", c, check, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
			}
		}
	}
}

func TestDescriptionsOfCertificatesAreTheReferences(t *testing.T) {
	program := real.Reference(t)
	const name = "mail.example.test"
	ca := mailtest.NewCA(t, "Test CA")
	file := ca.File(t)
	certs := mailtest.ServerCerts(t, ca, name)
	for _, kind := range []string{"good", "good, RSA", "organization", "IP address", "CN only", "intermediate"} {
		for _, proto := range []string{"TLS1.2", "TLS1.3"} {
			_, port := secureServer(t, certs[kind].Config())
			stdout, _ := runReference(t, program, port, fmt.Sprintf("sslcertfile '%s' sslcommonname '%s' sslproto '%s'", file, name, proto), "-v")
			_, want, _ := strings.Cut(stdout, "connected.\n")
			if first, others, _ := strings.Cut(want, "\n"); strings.Contains(first, "Loaded OpenSSL") {
				want = others
			}
			want, rest, _ := strings.Cut(want, "SSL/TLS: using protocol ")
			suite, _, _ := strings.Cut(rest, "\n")
			var got strings.Builder
			policy := &TLS{CheckCert: true, CertFile: file, CommonName: name, Proto: proto, Trace: func(_ Dir, s string) { got.WriteString(s + "\n") }}
			ourLines(t, port, policy)
			if text := want + "SSL/TLS: using protocol " + suite + "\n"; got.String() != text {
				t.Errorf("%s, %s: got\n%s\nwant\n%s", kind, proto, got.String(), text)
			}
		}
	}
}
