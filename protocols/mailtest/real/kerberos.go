package real

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// KDC is a running key distribution centre of Kerberos 5 with a realm of its own, in which every service of localhost
// and every user has a key.
type KDC struct {
	Config string // path of the krb5.conf for clients
	Keytab string // path of the keytab of the services imap and pop on localhost

	dir     string
	profile string
	proc    *process
}

// realm is the realm of every KDC.
const realm = "EXAMPLE.TEST"

const krb5Conf = `[libdefaults]
 default_realm = EXAMPLE.TEST
 dns_lookup_realm = false
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 EXAMPLE.TEST = {
  kdc = 127.0.0.1:%d
 }
[domain_realm]
 localhost = EXAMPLE.TEST
`

const kdcConf = `[kdcdefaults]
 kdc_listen = 127.0.0.1:%[2]d
 kdc_tcp_listen = 127.0.0.1:%[2]d
[realms]
 EXAMPLE.TEST = {
  database_name = %[1]s/principal
  key_stash_file = %[1]s/stash
  max_life = 24h
 }
[logging]
 kdc = FILE:%[1]s/kdc.log
`

// StartKDC starts a KDC that is stopped at the end of the test, with users and their passwords.
func StartKDC(t testing.TB, users map[string]string) *KDC {
	t.Helper()
	k := &KDC{dir: Dir(t)}
	k.Config, k.profile, k.Keytab = k.file("krb5.conf"), k.file("kdc.conf"), k.file("keytab")
	bin := program(t, "krb5kdc", "krb5-kdc")
	var err error
	for range startTries {
		port := FreePorts(t, 1)[0]
		k.write(t, k.Config, fmt.Sprintf(krb5Conf, port))
		k.write(t, k.profile, fmt.Sprintf(kdcConf, k.dir, port))
		if _, err = os.Stat(k.file("principal")); err != nil {
			k.fill(t, users)
		}
		cmd := exec.Command(bin, "-n", "-P", k.file("pid"))
		cmd.Env = k.env()
		if k.proc, err = start(cmd); err != nil {
			continue
		}
		err = k.proc.ready(func() error {
			c, err := net.DialTimeout("tcp", addr(port), time.Second)
			if err == nil {
				c.Close()
			}
			return err
		})
		if err == nil {
			t.Cleanup(k.proc.stop)
			return k
		}
		k.proc.stop()
	}
	t.Fatalf("the KDC does not start: %v\n%s", err, logOf(k.file("kdc.log")))
	return nil
}

func (k *KDC) file(name string) string { return filepath.Join(k.dir, name) }

func (k *KDC) write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (k *KDC) env() []string {
	return append(os.Environ(), "KRB5_CONFIG="+k.Config, "KRB5_KDC_PROFILE="+k.profile, "LC_ALL=C")
}

// run runs a program of Kerberos with text on its standard input.
func (k *KDC) run(t testing.TB, debianPackage, text, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(program(t, name, debianPackage), args...)
	cmd.Env, cmd.Stdin = k.env(), strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// fill makes the realm.
func (k *KDC) fill(t testing.TB, users map[string]string) {
	t.Helper()
	k.run(t, "krb5-kdc", "", "kdb5_util", "create", "-s", "-P", "master", "-r", realm)
	var b strings.Builder
	for name, password := range users {
		fmt.Fprintf(&b, "addprinc -pw %s %s\nktadd -norandkey -k %s %s\n", password, name, k.file(name+".keytab"), name)
	}
	fmt.Fprintf(&b, "addprinc -randkey imap/localhost\naddprinc -randkey pop/localhost\nktadd -k %s imap/localhost pop/localhost\n", k.Keytab)
	k.run(t, "krb5-admin-server", b.String(), "kadmin.local", "-r", realm)
	if err := os.Chmod(k.Keytab, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Ticket gets a ticket for a user as kinit does, for the time given, and returns the path of the credential cache, which
// belongs to the account that Account names.
func (k *KDC) Ticket(t testing.TB, user, password string, life time.Duration) string {
	t.Helper()
	cache := filepath.Join(k.dir, fmt.Sprintf("cc-%s-%d", user, time.Now().UnixNano()))
	k.run(t, "krb5-user", password+"\n", "kinit", "-l", fmt.Sprint(int(life.Seconds())), "-c", "FILE:"+cache, user)
	k.own(t, cache)
	return cache
}

// ClientKeytab returns the path of a user's keytab, which belongs to the account that Account names.
func (k *KDC) ClientKeytab(t testing.TB, user string) string {
	t.Helper()
	k.own(t, k.file(user+".keytab"))
	return k.file(user + ".keytab")
}

func (k *KDC) own(t testing.TB, path string) {
	t.Helper()
	if err := mailOwner(t).own(path); err != nil {
		t.Fatal(err)
	}
}
