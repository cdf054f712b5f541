package auth

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	krb "github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Kerberos as MIT's library has it for its users: krb5.conf(5) in KRB5_CONFIG or /etc, the tickets of kinit(1) in
// KRB5CCNAME or what the configuration or the system has in its place, and, where there is no ticket, a keytab of the
// user in KRB5_CLIENT_KTNAME, with which one is got.

// Limits of Kerberos' files and of the look-up of names.
const (
	maxKerberosFile  = 4 << 20 // bytes
	maxKerberosFiles = 100     // that include each other
	kerberosDNSTime  = 5 * time.Second
)

// Encryption types for which GSS-API has the tokens of RFC 4121: AES of RFC 3962 and RFC 8009.
var kerberosETypes = []int32{18, 17, 20, 19}

const defaultClientKeytab = "/etc/krb5/user/%{euid}/client.keytab"

// errNoTicket says that the user has no Kerberos ticket, and no keytab to get one with.
var errNoTicket = errors.New("no Kerberos ticket")

// HasTicket tells whether the user can log in with Kerberos; it asks nobody.
func HasTicket() bool {
	k, err := newKerberos()
	if err == nil {
		k.Destroy()
	}
	return err == nil
}

// safely turns a panic of the library about damaged data into an error.
func safely(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: damaged: %v", what, p)
		}
	}()
	return f()
}

// newKerberos makes a client with the user's tickets. Without any it is errNoTicket.
func newKerberos() (c *krb.Client, err error) {
	err = safely("Kerberos", func() error {
		text, err := kerberosText(kerberosFiles())
		if err != nil {
			return err
		}
		conf, err := kerberosConfig(text)
		if err != nil {
			return err
		}
		if c, err = fromCache(cacheName(text), conf); err == nil {
			return nil
		}
		var other error
		if c, other = fromKeytab(conf); errors.Is(other, os.ErrNotExist) {
			return fmt.Errorf("%w: %w; kinit gets one", errNoTicket, err)
		}
		return other
	})
	return c, err
}

// kerberosFiles are the files of the configuration.
func kerberosFiles() []string {
	if s := os.Getenv("KRB5_CONFIG"); s != "" {
		return filepath.SplitList(s)
	}
	return []string{"/etc/krb5.conf"}
}

// kerberosText reads the configuration with what it includes. Files that are not there are passed over.
func kerberosText(names []string) (string, error) {
	var b strings.Builder
	for read := 0; len(names) > 0; read++ {
		if read == maxKerberosFiles {
			return "", errors.New("krb5.conf includes too many files")
		}
		f, err := os.Open(names[0])
		names = names[1:]
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return "", err
		}
		lines := bufio.NewScanner(io.LimitReader(f, maxKerberosFile))
		for lines.Scan() {
			names = append(names, included(lines.Text())...)
			b.WriteString(lines.Text() + "\n")
		}
		f.Close()
		if err := lines.Err(); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

var (
	includeLine = regexp.MustCompile(`^\s*(include|includedir)\s+(\S+)\s*$`)
	includeName = regexp.MustCompile(`^[A-Za-z0-9_-]+$|^[^.].*\.conf$`)
)

// included are the files that a line of krb5.conf(5) asks for.
func included(line string) (names []string) {
	m := includeLine.FindStringSubmatch(line)
	switch {
	case m == nil:
	case m[1] == "include":
		names = []string{m[2]}
	default:
		entries, _ := os.ReadDir(m[2])
		for _, e := range entries {
			if includeName.MatchString(e.Name()) {
				names = append(names, filepath.Join(m[2], e.Name()))
			}
		}
	}
	return names
}

// kerberosConfig reads the text. What the library does not know it passes over.
func kerberosConfig(text string) (*config.Config, error) {
	conf, err := config.NewFromString(text)
	if unsupported := (config.UnsupportedDirective{}); err != nil && !errors.As(err, &unsupported) {
		return nil, fmt.Errorf("krb5.conf: %w", err)
	}
	d := &conf.LibDefaults
	d.DefaultTGSEnctypeIDs = kerberosETypes
	d.DefaultTktEnctypeIDs = kerberosETypes
	d.PermittedEnctypeIDs = append(kerberosETypes[:len(kerberosETypes):len(kerberosETypes)], d.PermittedEnctypeIDs...)
	if !strings.Contains(text, "dns_lookup_kdc") {
		d.DNSLookupKDC = true
	}
	if !strings.Contains(text, "default_client_keytab_name") {
		d.DefaultClientKeytabName = defaultClientKeytab
	}
	return conf, nil
}

var cacheLine = regexp.MustCompile(`(?m)^\s*default_ccache_name\s*=\s*(\S+)`)

// cacheName is where the tickets are.
func cacheName(text string) string {
	if s := os.Getenv("KRB5CCNAME"); s != "" {
		return s
	}
	if m := cacheLine.FindStringSubmatch(text); m != nil {
		return expand(m[1])
	}
	return expand("FILE:/tmp/krb5cc_%{uid}")
}

// expand fills in the parameters of krb5.conf(5).
func expand(name string) string {
	uid, euid := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Geteuid())
	return strings.NewReplacer("%{uid}", uid, "%{USERID}", uid, "%{euid}", euid, "%{TEMP}", os.TempDir(), "%{null}", "").Replace(name)
}

// cacheFile is the file of a credential cache.
func cacheFile(name string) (string, error) {
	kind, path, typed := strings.Cut(name, ":")
	switch {
	case !typed:
		return name, nil
	case kind == "FILE":
		return path, nil
	case kind == "DIR" && strings.HasPrefix(path, ":"):
		return path[1:], nil
	case kind == "DIR":
		text, err := readOwn(filepath.Join(path, "primary"))
		if errors.Is(err, os.ErrNotExist) {
			text, err = []byte("tkt"), nil
		}
		return filepath.Join(path, filepath.Base(strings.TrimSpace(string(text)))), err
	}
	return "", fmt.Errorf("tickets in %s cannot be read; keep them in a file (KRB5CCNAME=FILE:/path)", kind)
}

// readOwn reads a file if it is ours or root's: a folder for all, as /tmp, may hold the gifts of others. It never blocks
// on a FIFO.
func readOwn(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || !ok || st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s is not a file of this user", name)
	}
	return io.ReadAll(io.LimitReader(f, maxKerberosFile))
}

// fromCache takes the ticket-granting ticket of a credential cache that has not run out.
func fromCache(name string, conf *config.Config) (*krb.Client, error) {
	file, err := cacheFile(name)
	if err != nil {
		return nil, err
	}
	text, err := readOwn(file)
	if err != nil {
		return nil, err
	}
	cache, err := parseCache(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	realm := cache.DefaultPrincipal.Realm
	tgt, ok := cache.GetEntry(types.PrincipalName{NameString: []string{"krbtgt", realm}})
	switch {
	case !ok:
		return nil, fmt.Errorf("%s holds no ticket-granting ticket", file)
	case !tgt.EndTime.After(time.Now()):
		return nil, fmt.Errorf("the ticket in %s ran out at %s", file, tgt.EndTime.Format(time.RFC3339))
	}
	return krb.NewFromCCache(cache, conf, krb.DisablePAFXFAST(true))
}

// fromKeytab takes the first principal of the user's keytab. Without the file the error is os.ErrNotExist.
func fromKeytab(conf *config.Config) (*krb.Client, error) {
	name := os.Getenv("KRB5_CLIENT_KTNAME")
	if name == "" {
		name = expand(conf.LibDefaults.DefaultClientKeytabName)
	}
	name = strings.TrimPrefix(name, "FILE:")
	text, err := readOwn(name)
	if err != nil {
		return nil, err
	}
	table := keytab.New()
	if err := safely(name, func() error { return table.Unmarshal(text) }); err != nil {
		return nil, err
	}
	if len(table.Entries) == 0 {
		return nil, fmt.Errorf("keytab %s is empty", name)
	}
	p := table.Entries[0].Principal
	return krb.NewWithKeytab(strings.Join(p.Components, "/"), p.Realm, table, conf, krb.DisablePAFXFAST(true)), nil
}

// servicePrincipal is the name of a service on a host: RFC 4752, section 3. The host goes by the name that the resolver
// has for it, as krb5.conf(5) wants it.
func servicePrincipal(service, host string, conf *config.Config) string {
	ctx, cancel := context.WithTimeout(context.Background(), kerberosDNSTime)
	defer cancel()
	host = strings.Trim(host, "[]")
	if conf.LibDefaults.DNSCanonicalizeHostname {
		addr := host
		if net.ParseIP(host) == nil {
			if name, err := net.DefaultResolver.LookupCNAME(ctx, host); err == nil {
				host = name
			}
			if list, err := net.DefaultResolver.LookupHost(ctx, host); err == nil && len(list) > 0 {
				addr = list[0]
			}
		}
		if names, err := net.DefaultResolver.LookupAddr(ctx, addr); err == nil && len(names) > 0 && conf.LibDefaults.RDNS {
			host = names[0]
		}
	}
	return service + "/" + strings.ToLower(strings.TrimSuffix(host, "."))
}
