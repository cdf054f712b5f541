package real

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// DovecotOptions say how a Dovecot differs from the plain one: users alice (password secret) and bob (secret2),
// mechanisms PLAIN and LOGIN, passwords in clear allowed, TLS offered.
type DovecotOptions struct {
	Users map[string]string // name -> password; nil: alice and bob
	// Mechanisms are Dovecot's names: plain, login, cram-md5, digest-md5, scram-sha-1, scram-sha-256, otp, external,
	// oauthbearer, xoauth2, ntlm ... nil: plain and login.
	Mechanisms []string
	NoTLS      bool // STLS and STARTTLS are not offered, POP3S and IMAPS not there
	RequireTLS bool // no password in clear: LOGINDISABLED; Dovecot.Host is then 127.0.0.2
	KDC        *KDC // whose services the mechanism gssapi stands for
	ClientCert bool // clients are asked for a certificate; auth external takes the user from its common name
	// Certificate changes what stands in the server's certificate; nil leaves it as Names says.
	Certificate func(*x509.Certificate)
	Settings    string // further lines of dovecot.conf; the last value counts
}

// Dovecot is a running Dovecot. Its ports listen on Host.
type Dovecot struct {
	Certs
	// Host is 127.0.0.1, or 127.0.0.2 with RequireTLS: Dovecot takes clients with its own address as secured.
	Host                           string
	POP3, POP3S, IMAP, IMAPS, LMTP int
	LMTPSocket                     string // path of a UNIX socket
	Users                          map[string]string

	dir   string
	owner owner
	proc  *process
	token []byte // key of OAuth 2 tokens
}

//go:embed dovecot.conf
var dovecotConf string

var dovecotTemplate = template.Must(template.New("dovecot.conf").Parse(dovecotConf))

// StartDovecot starts a Dovecot that is stopped at the end of the test. It returns when all ports answer.
func StartDovecot(t testing.TB, o DovecotOptions) *Dovecot {
	t.Helper()
	bin := program(t, "dovecot", "dovecot-core")
	dovecotVersion(t, bin)
	for name, pkg := range map[string]string{"imap": "dovecot-imapd", "pop3": "dovecot-pop3d", "lmtp": "dovecot-lmtpd"} {
		if _, err := os.Stat("/usr/lib/dovecot/" + name); err != nil {
			Missing(t, "Dovecot has no %s (Debian package %s)", strings.ToUpper(name), pkg)
		}
	}
	if o.KDC != nil {
		if _, err := os.Stat("/usr/lib/dovecot/modules/auth/libmech_gssapi.so"); err != nil {
			Missing(t, "Dovecot has no GSSAPI (Debian package dovecot-gssapi)")
		}
	}
	if o.Users == nil {
		o.Users = map[string]string{"alice": "secret", "bob": "secret2"}
	}
	if o.Mechanisms == nil {
		o.Mechanisms = []string{"plain", "login"}
	}
	d := &Dovecot{Host: "127.0.0.1", Users: maps.Clone(o.Users), dir: Dir(t), owner: mailOwner(t), token: []byte(strings.Repeat("k3y!", 8))}
	if o.RequireTLS {
		d.Host = "127.0.0.2"
	}
	d.Certs = *newCerts(t, d.dir, o.Certificate)
	d.LMTPSocket = filepath.Join(d.dir, "run", "lmtp")
	d.writeFiles(t)
	if slices.Contains(o.Mechanisms, "otp") {
		d.writeOTP(t)
	}
	if slices.Contains(o.Mechanisms, "ntlm") {
		d.buildNTLM(t)
	}
	var err error
	for range startTries {
		if err = d.start(t, bin, o); err == nil {
			t.Cleanup(d.stop)
			return d
		}
	}
	t.Fatalf("Dovecot does not start: %v\n%s", err, d.Log())
	return nil
}

var versionLine = regexp.MustCompile(`^2\.3\.`)

func dovecotVersion(t testing.TB, bin string) {
	t.Helper()
	out, err := exec.Command(bin, "--version").Output()
	if err != nil {
		t.Fatalf("%s --version: %v", bin, err)
	}
	if !versionLine.Match(out) {
		Missing(t, "%s is version %s; these tests need Dovecot 2.3 (Debian 12)", bin, bytes.TrimSpace(out))
	}
}

// writeFiles writes what does not depend on ports: password file, token key, folders.
func (d *Dovecot) writeFiles(t testing.TB) {
	t.Helper()
	var passwd strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d.Users)) {
		fmt.Fprintf(&passwd, "%s:{PLAIN}%s\n", name, d.Users[name])
	}
	for path, text := range map[string]string{
		"passwd":                     passwd.String(),
		"keys/default/HS256/default": base64.StdEncoding.EncodeToString(d.token),
		"oauth2.conf": fmt.Sprintf("introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix=%s/keys/\n"+
			"username_attribute = sub\n", d.dir),
	} {
		p := filepath.Join(d.dir, path)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.owner.mkdir(filepath.Join(d.dir, "mail")); err != nil {
		t.Fatal(err)
	}
}

// writeOTP makes the database for the mechanism otp, which Dovecot writes to: a password of OTP is good once.
func (d *Dovecot) writeOTP(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/usr/lib/dovecot/modules/auth/libdriver_sqlite.so"); err != nil {
		Missing(t, "Dovecot has no SQLite (Debian package dovecot-sqlite)")
	}
	dir := filepath.Join(d.dir, "otp")
	db := filepath.Join(dir, "db")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	sql := "CREATE TABLE users (username TEXT, password TEXT);\n"
	for name, password := range d.Users {
		out, err := exec.Command(program(t, "doveadm", "dovecot-core"), "-c", "/dev/null", "pw", "-s", "OTP", "-p", password, "-u", name).Output()
		if err != nil {
			t.Fatal("doveadm pw: ", err)
		}
		sql += fmt.Sprintf("INSERT INTO users VALUES ('%s', '%s');\n", name, bytes.TrimSpace(out))
	}
	cmd := exec.Command(program(t, "sqlite3", "sqlite3"), db)
	cmd.Stdin = strings.NewReader(sql)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sqlite3: %v\n%s", err, out)
	}
	conf := fmt.Sprintf("driver = sqlite\nconnect = %s\npassword_query = SELECT password FROM users WHERE username = '%%u'\n"+
		"update_query = UPDATE users SET password = '%%w' WHERE username = '%%u'\n", db)
	if err := os.WriteFile(filepath.Join(d.dir, "otp.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o777, db: 0o666} { // Dovecot's process for this has its own account
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
}

//go:embed testdata/ntlm_auth.c
var ntlmAuth string

// buildNTLM makes the program that Dovecot asks about NTLM, which it does not speak itself.
func (d *Dovecot) buildNTLM(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/etc/gss/mech.d/mech.ntlmssp.conf"); err != nil {
		Missing(t, "there is no NTLM for GSSAPI (Debian package gss-ntlmssp)")
	}
	var users strings.Builder
	for name, password := range d.Users {
		fmt.Fprintf(&users, "EXAMPLE:%s:%s\n", name, password)
	}
	path := filepath.Join(d.dir, "ntlm")
	if err := os.WriteFile(path, []byte(users.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t, "gcc", "gcc"), "-x", "c", fmt.Sprintf("-DUSERS=%q", path), "-o", filepath.Join(d.dir, "ntlm_auth"), "-", "-l:libgssapi_krb5.so.2")
	cmd.Stdin = strings.NewReader(ntlmAuth)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
}

func (d *Dovecot) start(t testing.TB, bin string, o DovecotOptions) error {
	ports := FreePorts(t, 5)
	d.POP3, d.POP3S, d.IMAP, d.IMAPS, d.LMTP = ports[0], ports[1], ports[2], ports[3], ports[4]
	mechanism := func(names ...string) bool {
		return slices.ContainsFunc(o.Mechanisms, func(m string) bool { return slices.Contains(names, strings.ToLower(m)) })
	}
	var conf strings.Builder
	err := dovecotTemplate.Execute(&conf, map[string]any{
		"Dir": d.dir, "D": d, "O": o, "Owner": d.owner.name, "Group": d.owner.group, "UID": d.owner.uid, "GID": d.owner.gid,
		"Root": os.Getuid() == 0, "Mechanisms": strings.Join(o.Mechanisms, " "),
		"OAuth": mechanism("oauthbearer", "xoauth2"), "External": mechanism("external"), "OTP": mechanism("otp"), "NTLM": mechanism("ntlm"),
	})
	if err != nil {
		return err
	}
	path := filepath.Join(d.dir, "dovecot.conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		return err
	}
	if d.proc, err = start(exec.Command(bin, "-F", "-c", path)); err != nil {
		return err
	}
	err = d.proc.ready(greets("tcp", d.Addr(d.POP3), "+OK"), greets("tcp", d.Addr(d.IMAP), "* OK"),
		greets("tcp", d.Addr(d.LMTP), "220"), greets("unix", d.LMTPSocket, "220"))
	if err != nil {
		d.proc.stop()
	}
	return err
}

// Addr returns host:port.
func (d *Dovecot) Addr(port int) string { return net.JoinHostPort(d.Host, strconv.Itoa(port)) }

func (d *Dovecot) stop() { d.proc.stop() }

// Stop ends Dovecot before the test does; connections are cut.
func (d *Dovecot) Stop() { d.proc.stop() }

// Signal sends a signal to all processes of the server: SIGSTOP makes one that keeps its connections and says nothing.
func (d *Dovecot) Signal(sig syscall.Signal) { syscall.Kill(-d.proc.cmd.Process.Pid, sig) }

// Log returns what Dovecot has logged.
func (d *Dovecot) Log() string {
	s := logOf(filepath.Join(d.dir, "log"))
	if d.proc != nil {
		select {
		case <-d.proc.done:
			s += d.proc.out.String()
		default: // the process may be writing there
		}
	}
	return s
}

// Maildir returns the path of a user's folder; "" and INBOX are the inbox. Levels of folders are separated by dots.
func (d *Dovecot) Maildir(user, folder string) string {
	dir := filepath.Join(d.dir, "mail", user, "Maildir")
	if folder != "" && !strings.EqualFold(folder, "INBOX") {
		dir = filepath.Join(dir, "."+folder)
	}
	return dir
}

// Put stores messages in a user's folder ("" is the inbox), which is made if it is not there. 2,000 messages take
// about a tenth of a second.
func (d *Dovecot) Put(t testing.TB, user, folder string, mails ...Mail) {
	t.Helper()
	if err := put(d.Maildir(user, folder), d.owner, mails); err != nil {
		t.Fatal(err)
	}
}

// Left lists the messages in a user's folder with their flags and texts, in mailbox order.
func (d *Dovecot) Left(t testing.TB, user, folder string) []Mail {
	t.Helper()
	return ReadMaildir(t, d.Maildir(user, folder))
}

// Count returns the number of messages in a user's folder, and is cheaper than Left.
func (d *Dovecot) Count(t testing.TB, user, folder string) int {
	t.Helper()
	mails, err := left(d.Maildir(user, folder))
	if err != nil {
		t.Fatal(err)
	}
	return len(mails)
}

// Empty removes a user's folder with all that Dovecot knows of it.
func (d *Dovecot) Empty(t testing.TB, user, folder string) {
	t.Helper()
	removeAll(t, d.Maildir(user, folder))
}

// Token makes an OAuth 2 access token (RFC 9068, HS256) that Dovecot accepts for the user with the mechanisms
// oauthbearer and xoauth2 for the given time; a negative time gives a token that has run out.
func (d *Dovecot) Token(t testing.TB, user string, valid time.Duration) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	now := time.Now()
	signed := part(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." +
		part(map[string]any{"sub": user, "iat": now.Add(-time.Hour).Unix(), "nbf": now.Add(-time.Hour).Unix(), "exp": now.Add(valid).Unix()})
	mac := hmac.New(sha256.New, d.token)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
