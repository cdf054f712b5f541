package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// serve listens on loopback and hands every connection to h; it ends with the test.
func serve(t *testing.T, h func(net.Conn)) (host, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	host, port, _ = net.SplitHostPort(l.Addr().String())
	return host, port
}

func TestDialReadsAndWrites(t *testing.T) {
	host, port := serve(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "+OK hello\r\n")
		_, _ = io.Copy(c, io.LimitReader(c, 6))
	})
	var notes []string
	d := Dialer{Timeout: 10 * time.Second, Trace: func(dir Dir, text string) { notes = append(notes, string(dir)+text) }}
	c, err := d.Dial(context.Background(), host, port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if line, err := c.Reader().ReadString('\n'); line != "+OK hello\r\n" {
		t.Fatalf("greeting %q, %v", line, err)
	}
	if _, err := io.WriteString(c, "QUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c); string(rest) != "QUIT\r\n" || err != nil {
		t.Fatalf("rest %q, %v", rest, err)
	}
	if want := "*Trying to connect to 127.0.0.1/" + port + "...connected."; len(notes) != 1 || notes[0] != want {
		t.Errorf("notes %q, want %q", notes, want)
	}
	if c.PeerIP() != "127.0.0.1" || c.Host() != host || c.TLSState() != nil {
		t.Errorf("peer %q host %q tls %v", c.PeerIP(), c.Host(), c.TLSState())
	}
}

func TestRefusedConnectionGivesTheReferencesLines(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	_, err = (&Dialer{}).Dial(context.Background(), "127.0.0.1", port)
	var fail *DialError
	if !errors.As(err, &fail) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("error %#v", err)
	}
	want := "Connection errors for this poll:\n" +
		"name 0: connection to 127.0.0.1:" + port + " [127.0.0.1/" + port + "] failed: Connection refused.\n" +
		"POP3 connection to 127.0.0.1 failed: Connection refused"
	if got := strings.Join(fail.Lines("POP3"), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSilentServerTimesOut(t *testing.T) {
	onPipe(t, time.Minute, hold, func(t *testing.T, c *Conn) {
		for range 2 {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrTimeout) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("error %v", err)
			}
		}
	})
}

// names is a Resolver with fixed answers.
type names struct {
	addrs []netip.Addr
	err   error
}

func (n names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return n.addrs, n.err
}

func (n names) LookupPort(_ context.Context, _, service string) (int, error) {
	if service == "pop3" {
		return 110, nil
	}
	return 0, &net.DNSError{Err: "unknown port", Name: service, IsNotFound: true}
}

var twoFamilies = names{addrs: []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")}}

// pathTo is a DialContext that hands every address to a function.
func pathTo(h func(ctx context.Context, address string) error) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		if err := h(ctx, address); err != nil {
			return nil, err
		}
		ours, theirs := net.Pipe()
		_ = theirs.Close()
		return ours, nil
	}
}

// TestImapIsKnownWithoutEtcServices: Go knows the other names that are asked for without being set.
func TestImapIsKnownWithoutEtcServices(t *testing.T) {
	var dialed string
	d := Dialer{Resolver: twoFamilies, DialContext: pathTo(func(_ context.Context, address string) error {
		dialed = address
		return nil
	})}
	c, err := d.Dial(t.Context(), "h", "imap")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if dialed != "[2001:db8::1]:143" {
		t.Errorf("dialed %s", dialed)
	}
	if _, err := d.Dial(t.Context(), "h", "nonesuch"); err == nil {
		t.Error("a service that nobody knows was found")
	}
}

func TestSecondAddressIsTriedBesideASilentFirst(t *testing.T) {
	var notes []string
	d := Dialer{Resolver: twoFamilies, Trace: func(_ Dir, s string) { notes = append(notes, s) }}
	d.DialContext = pathTo(func(ctx context.Context, address string) error {
		if strings.HasPrefix(address, "[") {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	start := time.Now()
	c, err := d.Dial(t.Context(), "h", "pop3")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if took := time.Since(start); took < headStart || took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if want := "Trying to connect to 192.0.2.1/110...connected."; notes[0] != want {
		t.Errorf("notes %q", notes)
	}
}

func TestSecondAddressIsTriedAtOnceAfterARefusal(t *testing.T) {
	d := Dialer{Resolver: twoFamilies, DialContext: pathTo(func(_ context.Context, address string) error {
		if strings.HasPrefix(address, "[") {
			return syscall.ECONNREFUSED
		}
		return nil
	})}
	c, err := d.Dial(t.Context(), "h", "110")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestAllAddressesRefusedAreToldInOrder(t *testing.T) {
	d := Dialer{Label: "label", Resolver: twoFamilies, DialContext: pathTo(func(_ context.Context, address string) error {
		if strings.HasPrefix(address, "[") {
			time.Sleep(20 * time.Millisecond)
			return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
		}
		return syscall.ECONNREFUSED
	})}
	_, err := d.Dial(t.Context(), "h", "pop3")
	var fail *DialError
	if !errors.As(err, &fail) || !errors.Is(err, syscall.ENETUNREACH) {
		t.Fatalf("error %v", err)
	}
	want := []string{"Connection errors for this poll:",
		"name 0: connection to h:pop3 [2001:db8::1/110] failed: Network is unreachable.",
		"name 1: connection to h:pop3 [192.0.2.1/110] failed: Connection refused.",
		"IMAP connection to label failed: Connection refused"}
	if got := fail.Lines("IMAP"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestANameOfThousandsOfAddressesIsNotTriedForHours(t *testing.T) {
	many := names{}
	for i := range 3000 {
		many.addrs = append(many.addrs, netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}))
	}
	var tried atomic.Int32
	d := Dialer{Resolver: many, DialContext: pathTo(func(context.Context, string) error { tried.Add(1); return syscall.ECONNREFUSED })}
	_, err := d.Dial(t.Context(), "h", "110")
	var fail *DialError
	if !errors.As(err, &fail) || len(fail.Attempts) != maxAddresses || tried.Load() != maxAddresses {
		t.Errorf("%d tried: %.200v", tried.Load(), err)
	}
}

// fullListener is a port on which nobody accepts connections and whose queue is full: the next one waits.
func fullListener(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { _ = syscall.Close(fd) })
		err = errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	at, _ := syscall.Getsockname(fd)
	port := strconv.Itoa(at.(*syscall.SockaddrInet4).Port)
	for range 3 {
		if c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, 20*time.Millisecond); err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
	}
	return port
}

func TestConnectTimeoutIsATimeout(t *testing.T) {
	port := fullListener(t)
	for name, d := range map[string]Dialer{
		"the system's dialer": {},
		"one that waits for the end of the context": {
			DialContext: pathTo(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })},
	} {
		d.Timeout = 5 * time.Millisecond
		for range 10 { // whose clock strikes first is a matter of luck
			_, err := d.Dial(t.Context(), "127.0.0.1", port)
			var fail *DialError
			if !errors.Is(err, ErrTimeout) || !errors.As(err, &fail) || fail.Reason() != "Connection timed out" {
				t.Errorf("%s: error %v", name, err)
			}
		}
	}
}

func TestLookUpFailures(t *testing.T) {
	unknown := &net.DNSError{Err: "no such host", Name: "h", IsNotFound: true}
	for _, c := range []struct {
		resolver names
		service  string
		want     string
	}{
		{names{err: unknown}, "pop3", `getaddrinfo("h","pop3") error: Name or service not known`},
		{names{}, "995", `getaddrinfo("h","995") error: Name or service not known`},
		{names{err: &net.DNSError{IsTimeout: true}}, "995", `getaddrinfo("h","995") error: Temporary failure in name resolution`},
		{twoFamilies, "nosuch", `getaddrinfo("h","nosuch") error: Name or service not known`},
		{twoFamilies, "0", "POP3 connection to label failed: port 0 is not between 1 and 65535"},
		{twoFamilies, "65536", "POP3 connection to label failed: port 65536 is not between 1 and 65535"},
		{twoFamilies, "-1", "POP3 connection to label failed: port -1 is not between 1 and 65535"},
	} {
		_, err := (&Dialer{Resolver: c.resolver, Label: "label"}).Dial(t.Context(), "h", c.service)
		var fail *DialError
		if !errors.As(err, &fail) || fail.Lines("POP3")[0] != c.want {
			t.Errorf("%s: %v", c.service, err)
			continue
		}
		if len(fail.Lines("POP3")) == 2 && fail.Lines("POP3")[1] != "POP3 connection to label failed: Success" {
			t.Errorf("lines %q", fail.Lines("POP3"))
		}
	}
}

func TestIPv6LiteralsWithAndWithoutBrackets(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"::1", "[::1]"} {
		c, err := (&Dialer{Timeout: 10 * time.Second}).Dial(t.Context(), host, port)
		if err != nil {
			t.Fatal(err)
		}
		if c.PeerIP() != "::1" || !c.Private() {
			t.Errorf("%s: peer %q", host, c.PeerIP())
		}
		_ = c.Close()
	}
}

func TestPluginIsTheConnection(t *testing.T) {
	d := Dialer{Plugin: "  cat ", Timeout: 10 * time.Second}
	c, err := d.Dial(t.Context(), "h", "pop3")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "hello\n")
	if line, err := c.Reader().ReadString('\n'); line != "hello\n" || c.PeerIP() != "" || !c.Private() {
		t.Errorf("%q, %v, peer %q", line, err, c.PeerIP())
	}
}

func TestPluginGetsHostAndServiceAsArguments(t *testing.T) {
	for _, c := range []struct{ plugin, want string }{
		{"echo %h %p", "mail;x 995\n"}, {"echo a%h %p%% $HOME ;", "a%h %p%% $HOME ;\n"}, {"printf %s-%s %h %p", "mail;x-995"},
	} {
		conn, err := (&Dialer{Plugin: c.plugin, Timeout: 10 * time.Second}).Dial(t.Context(), "mail;x", "995")
		if err != nil {
			t.Fatal(err)
		}
		if out, err := io.ReadAll(conn); string(out) != c.want || err != nil {
			t.Errorf("%s: %q, %v", c.plugin, out, err)
		}
		_ = conn.Close()
	}
}

func TestPluginThatCannotRun(t *testing.T) {
	for plugin, host := range map[string]string{"/nonexistent/program %h": "h", "echo %h": "-oProxyCommand=x", " ": "h"} {
		_, err := (&Dialer{Plugin: plugin}).Dial(t.Context(), host, "1")
		var fail *DialError
		if !errors.As(err, &fail) {
			t.Errorf("%q: %v", plugin, err)
		}
	}
}

func TestPluginThatDoesNotEndIsEnded(t *testing.T) {
	grace := pluginGrace
	pluginGrace = 50 * time.Millisecond
	defer func() { pluginGrace = grace }()
	script := filepath.Join(t.TempDir(), "stubborn")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 1 >/dev/null 2>&1; done\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := (&Dialer{Plugin: script, Timeout: 10 * time.Second}).Dial(t.Context(), "h", "1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reader().ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if c.plugin.cmd.ProcessState == nil {
		t.Error("the plugin still runs")
	}
}
