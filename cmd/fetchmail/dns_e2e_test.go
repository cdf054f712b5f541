package main_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/dns/dnsmessage"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// insideDNS, in the environment, tells the test that it runs in the namespace that it has made for itself.
const insideDNS = "FETCHMAIL_TEST_INSIDE_DNS"

// TestMultidropWithDNSAsTheReference runs the reference and ours where a DNS server of our own is all the DNS there is:
// in a network and mount namespace with a loopback interface and an /etc/resolv.conf of its own.
func TestMultidropWithDNSAsTheReference(t *testing.T) {
	t.Parallel()
	if os.Getenv(insideDNS) != "" {
		insideNamespace(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root for namespaces")
	}
	reference, bin := real.Reference(t), binary(t)
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), insideDNS+"="+reference, "FETCHMAIL_BIN="+bin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		real.Missing(t, "no namespaces here: %v", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The server is mail.srv.example, also called pop.srv.example; its mailbox holds a message to a user at each host.
var dnsHosts = []string{"mail.srv.example", "MAIL.srv.Example", "pop.srv.example", "alias.example", "chain.example", "mx.example", "mxalias.example",
	"mxfar.example", "mxip.example", "same.example", "far.example", "none.example", "nodata.example", "servfail.example", "refused.example",
	"silent.example", "garbage.example", "loop.example", "dangling.example", "nullmx.example", "manymx.example", "long.example",
	strings.Repeat("l", 63) + ".example", strings.Repeat("l", 64) + ".example", strings.Repeat("long.", 60) + "example", "und_er.example",
	"-x.example", "x y.example", "x..example", "[127.0.0.1]", "127.0.0.1", "mail.srv.example.", "mail", "xn--bcher-kva.example", "a/b.example"}

// insideNamespace is the test itself.
func insideNamespace(t *testing.T) {
	dns := startDNS(t)
	enterDNS(t)
	reference, bin := os.Getenv(insideDNS), binary(t)
	msgs := make([][]byte, len(dnsHosts))
	for i, h := range dnsHosts {
		msgs[i] = fmt.Appendf(nil, "To: a@%s\r\nX-Number: %d\r\n\r\ntext\r\n", h, i)
	}
	src := oddSource{name: "scripted", proto: "POP3", fill: func(t *testing.T, msgs [][]byte) string {
		s := mailtest.NewPOP3(msgs...)
		start(t, s)
		return s.Port()
	}}
	for n, c := range []struct {
		server, locals string
		quiet          bool // no host of a header may be asked for
	}{
		{server: "poll mail.srv.example dns", locals: "a b"},
		{server: "poll pop.srv.example dns", locals: "a b"},
		{server: "poll label via pop.srv.example dns checkalias", locals: "a b"},
		{server: "poll mail.srv.example dns aka mx.example", locals: "a=joe *"},
		{server: "poll mail.srv.example no dns", locals: "a b", quiet: true},
		{server: "poll mail.srv.example dns", locals: "a", quiet: true},
	} {
		t.Run(c.server+" is "+c.locals, func(t *testing.T) {
			run := &oddRun{reference: reference, src: src, sink: "bsmtp", rc: fmt.Sprintf("set postmaster boss\n%s proto POP3 port @PORT@ no envelope timeout 60\n"+
				" user alice there with password secret is %s here fetchall sslproto ''\n @SINK@\n", c.server, c.locals)}
			dns.silent(n > 0) // waiting for it once is enough
			theirs := run.all(t, reference, msgs)
			dns.forget()
			began := time.Now()
			ours := run.all(t, bin, msgs)
			t.Logf("ours took %v", time.Since(began))
			for i, h := range dnsHosts {
				want := dnsOnPurpose(theirs[i], ours[i], h)
				if want != ours[i] {
					t.Errorf("%s%s", h, want.differs(ours[i]))
				}
			}
			checkQuestions(t, dns.forget(), c.quiet)
		})
	}
}

// dnsOnPurpose is what we make of a message to a host where doc/differences.md says so.
func dnsOnPurpose(theirs, ours arrival, host string) arrival {
	theirs.status = strings.Replace(theirs.status, ")\n not flushed", ") not flushed", 1) // a line on standard error in between
	kept, toBoss := strings.HasSuffix(theirs.status, "not flushed\n"), strings.Contains(ours.rest, "boss@")
	switch {
	case kept && toBoss && (len(host) > 63 || strings.Contains(host, "..")): // no name at all
		return ours
	case host == "garbage.example" && !kept && strings.HasSuffix(ours.status, "not flushed\n"):
		return ours
	}
	return theirs
}

// checkQuestions looks at what our program has asked DNS for: the names of the server, and hosts out of headers only
// where the option dns promises it, and only if they can be names.
func checkQuestions(t *testing.T, asked []string, quiet bool) {
	t.Helper()
	for _, name := range asked {
		name = strings.TrimSuffix(name, ".")
		if name == "mail.srv.example" || name == "pop.srv.example" {
			continue
		}
		if quiet {
			t.Errorf("asked for %s", name)
		}
		if strings.ContainsAny(name, " /[]") || len(name) > 253 {
			t.Errorf("asked for %q, which is no name", name)
		}
	}
	if len(asked) > 40*len(dnsHosts) {
		t.Errorf("%d questions", len(asked))
	}
}

// enterDNS makes the loopback interface work and 127.0.0.1 the resolver of this namespace.
func enterDNS(t *testing.T) {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for path, text := range map[string]string{
		"/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
		"/etc/hosts":       "127.0.0.1 localhost\n127.0.0.1 " + name + "\n",
	} {
		from := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(from, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount(from, path, "", syscall.MS_BIND, ""); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
}

// loopbackUp is "ip link set lo up": netdevice(7).
func loopbackUp() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	req := struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(req.name[:], "lo")
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&req))); e != 0 {
		return e
	}
	return nil
}

// dnsZone answers for all names; CNAMEs are followed as a recursive server does.
var dnsZone = map[string][]string{
	"mail.srv.example": {"A 127.0.0.1"},
	"pop.srv.example":  {"CNAME mail.srv.example"},
	"alias.example":    {"CNAME mail.srv.example"},
	"chain.example":    {"CNAME alias.example"},
	"mx.example":       {"MX far.example", "MX mail.srv.example"},
	"mxalias.example":  {"MX pop.srv.example"},
	"mxfar.example":    {"MX far.example"},
	"mxip.example":     {"MX same.example"},
	"same.example":     {"A 127.0.0.1"},
	"far.example":      {"A 127.0.0.9"},
	"nodata.example":   {},
	"loop.example":     {"CNAME pool.example"},
	"pool.example":     {"CNAME loop.example"},
	"dangling.example": {"CNAME none.example"},
	"nullmx.example":   {"MX ."},
	"und_er.example":   {"MX mail.srv.example"},
	"long.example":     {"CNAME " + strings.Repeat(strings.Repeat("x", 60)+".", 4) + "example"},
}

func init() {
	for i := range 300 {
		dnsZone["manymx.example"] = append(dnsZone["manymx.example"], fmt.Sprintf("MX mx%d.far.example", i))
	}
}

// dnsServer is a DNS server on 127.0.0.1:53.
type dnsServer struct {
	mu    sync.Mutex
	asked map[string]bool
	// answered: silent.example fails at once.
	answered bool
}

// forget returns the names that were asked for since the last call.
func (d *dnsServer) forget() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := slices.Sorted(maps.Keys(d.asked))
	d.asked = map[string]bool{}
	return names
}

func (d *dnsServer) silent(answered bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answered = answered
}

func startDNS(t *testing.T) *dnsServer {
	t.Helper()
	if err := loopbackUp(); err != nil {
		t.Fatal(err)
	}
	d := &dnsServer{asked: map[string]bool{}}
	udp, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close(); tcp.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			if a := d.answer(buf[:n], 512); a != nil {
				udp.WriteTo(a, from)
			}
		}
	}()
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go d.stream(c)
		}
	}()
	return d
}

// stream answers questions over TCP: RFC 1035, section 4.2.2.
func (d *dnsServer) stream(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		a := d.answer(q, 65535)
		c.Write(append([]byte{byte(len(a) >> 8), byte(len(a))}, a...))
	}
}

// answer is the reply to a question; nil is silence. One that is longer than limit is truncated.
func (d *dnsServer) answer(query []byte, limit int) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	host := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	d.mu.Lock()
	d.asked[host] = true
	answered := d.answered
	d.mu.Unlock()
	m.Header = dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true, RecursionDesired: m.RecursionDesired, Authoritative: true}
	m.Additionals, m.Authorities = nil, nil
	switch host {
	case "silent.example":
		if !answered {
			return nil
		}
		m.RCode = dnsmessage.RCodeServerFailure
	case "servfail.example":
		m.RCode = dnsmessage.RCodeServerFailure
	case "refused.example":
		m.RCode = dnsmessage.RCodeRefused
	default:
		var known bool
		if m.Answers, known = records(host, q); !known {
			m.RCode = dnsmessage.RCodeNameError
		}
	}
	a, err := m.Pack()
	if err != nil {
		return nil
	}
	if host == "garbage.example" && !answered {
		return append(a[:12], "\x3fgarbage\xff\xff\xff"...)
	}
	if len(a) > limit {
		m.Truncated, m.Answers = true, nil
		a, _ = m.Pack()
	}
	return a
}

// records are the answers for a name, through at most eight aliases, and whether it is known.
func records(host string, q dnsmessage.Question) (rs []dnsmessage.Resource, known bool) {
	for range 8 {
		list, ok := dnsZone[host]
		if !ok {
			return rs, false
		}
		next := ""
		for _, r := range list {
			kind, value, _ := strings.Cut(r, " ")
			head := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(host + "."), Class: dnsmessage.ClassINET, TTL: 1}
			var body dnsmessage.ResourceBody
			switch {
			case kind == "CNAME":
				next = value
				body = &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(value + ".")}
			case kind == "MX" && q.Type == dnsmessage.TypeMX:
				body = &dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName(strings.TrimSuffix(value, ".") + ".")}
			case kind == "A" && q.Type == dnsmessage.TypeA:
				body = &dnsmessage.AResource{A: [4]byte(net.ParseIP(value).To4())}
			default:
				continue
			}
			rs = append(rs, dnsmessage.Resource{Header: head, Body: body})
		}
		if next == "" || q.Type == dnsmessage.TypeCNAME {
			return rs, true
		}
		host = next
	}
	return rs, true
}
