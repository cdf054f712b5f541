package main_test

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// socks is a SOCKS5 proxy (RFC 1928) that brings everybody to one address, whatever they ask for.
type socks struct {
	net.Listener
	to    string
	mu    sync.Mutex
	asked []string
}

func startSOCKS(t *testing.T, to string) *socks {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &socks{Listener: l, to: to}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

func (s *socks) serve(c net.Conn) {
	defer c.Close()
	take := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(c, b)
		return b
	}
	take(int(take(2)[1]))
	_, _ = c.Write([]byte{5, 0})
	if take(4)[3] != 3 { // a name
		return
	}
	name, port := string(take(int(take(1)[0]))), take(2)
	s.mu.Lock()
	s.asked = append(s.asked, fmt.Sprintf("%s:%d", name, int(port[0])<<8|int(port[1])))
	s.mu.Unlock()
	server, err := net.Dial("tcp", s.to)
	if err != nil {
		return
	}
	defer server.Close()
	_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go func() { _, _ = io.Copy(server, c) }()
	_, _ = io.Copy(c, server)
}

// The name goes to the proxy, which looks it up, and must be in the certificate.
func TestAllProxyIsTheWayToTheServer(t *testing.T) {
	d := real.StartDovecot(t, real.DovecotOptions{})
	for _, env := range []string{"ALL_PROXY=socks5://", "all_proxy=socks5h://"} {
		for host, status := range map[string]int{"mail.example.test": 1, "other.example.test": 2} {
			s := startSOCKS(t, d.Addr(d.IMAPS))
			c := newClient(t, binary(t))
			c.env = []string{env + s.Addr().String()}
			c.rc(t, fmt.Sprintf("poll label via %s proto imap port 4993 no dns auth password timeout 30\n user alice password secret ssl sslcertfile %s\n", host, d.CA))
			r := c.run(t, "-c", "-v")
			s.mu.Lock()
			if r.code != status || strings.Join(s.asked, " ") != host+":4993" {
				t.Errorf("%s: the proxy was asked for %q: %s", env, s.asked, r)
			}
			s.mu.Unlock()
			if status == 2 && !strings.Contains(r.stderr, "hostname mismatch") {
				t.Errorf("%s", r)
			}
		}
	}
}

// The plugin is run without a shell, %h and %p are arguments of their own, and TLS goes through it.
func TestPluginIsTheWayToTheServer(t *testing.T) {
	d := real.StartDovecot(t, real.DovecotOptions{})
	for _, way := range []struct {
		proto, option string
		port          int
	}{
		{"pop3", "sslproto ''", d.POP3}, {"pop3", "sslcertfile " + d.CA, d.POP3}, {"imap", "ssl sslcertfile " + d.CA, d.IMAPS},
	} {
		c := newClient(t, binary(t))
		c.write(t, "relay", "#!/bin/bash\necho \"$# $1 $2 $3\" >>~/args\nexec 3<>/dev/tcp/$1/$2\ncat <&3 &\ncat >&3\n")
		c.chmod(t, "relay", 0o700)
		c.rc(t, fmt.Sprintf("poll localhost proto %s port %d plugin \"%s/relay %%h %%p $HOME;x\" auth password timeout 30\n user alice password secret %s\n", way.proto, way.port, c.home, way.option))
		if r := c.run(t, "-c", "-v"); r.code != 1 {
			t.Errorf("%v: %s", way, r)
		}
		if got, want := c.read(t, "args"), fmt.Sprintf("3 localhost %d $HOME;x\n", way.port); got != want {
			t.Errorf("arguments %q, want %q", got, want)
		}
	}
}

// fetchmail(1), ENVIRONMENT: "if this environment variable is defined at all (even if empty)".
func TestTheEnvironmentForcesRETR(t *testing.T) {
	t.Parallel() // the reference waits after each poll
	for _, bin := range []string{real.Reference(t), binary(t)} {
		for env, want := range map[string]string{"": "TOP 1 99999999", "FETCHMAIL_POP3_FORCE_RETR=": "RETR 1", "FETCHMAIL_POP3_FORCE_RETR=1": "RETR 1"} {
			s := mailtest.NewPOP3(mailtest.Letters(1)...)
			start(t, s)
			c := newClient(t, bin)
			if env != "" {
				c.env = append(c.env, env)
			}
			c.rc(t, fmt.Sprintf("poll localhost proto pop3 port %s timeout 30 user alice there with password secret is user1 here sslproto '' mda \"cat >/dev/null\"\n", s.Port()))
			if r := c.run(t, "-v"); r.code != 0 || !strings.Contains(r.stdout, "POP3> "+want+"\n") {
				t.Errorf("%s, %q: no %s: %s", bin, env, want, r)
			}
		}
	}
}

// What no server speaks any more is refused before anybody is contacted.
func TestProtocolsOfThePastAreRefused(t *testing.T) {
	for _, proto := range []string{"pop2", "kpop"} {
		c := newClient(t, binary(t))
		c.rc(t, "poll localhost proto "+proto+" user alice password secret\n")
		if r := c.run(t); r.code != 5 || !strings.Contains(r.stderr, "protocol "+strings.ToUpper(proto)+" is not supported: no server speaks it any more") {
			t.Errorf("%s", r)
		}
	}
}

// TestProtocolAuto finds the protocol of a server by itself, whichever it is.
func TestProtocolAuto(t *testing.T) {
	p := newPlace(t, real.DovecotOptions{}, real.PostfixOptions{})
	for _, port := range []string{"@POP3@", "@IMAP@"} {
		p.Dovecot.Empty(t, "alice", "")
		p.Dovecot.Put(t, "alice", "", real.Texts(letters...)...)
		c := newClient(t, binary(t))
		c.rc(t, p.fill("poll localhost port "+port+"\n user alice there with password secret is user1 here\n sslproto '' maildir \"~/Maildir\"\n"))
		if r := c.run(t); r.code != 0 || r.stderr != "" || p.left(t) != 0 {
			t.Errorf("%s: %d left, %s", port, p.left(t), r)
		}
		if n := len(real.ReadMaildir(t, filepath.Join(c.home, "Maildir"))); n != len(letters) {
			t.Errorf("%s: %d messages arrived", port, n)
		}
	}
}

// RFC 3501, section 7.1: what an ALERT says must be shown. The reference shows it with -v only, and so do we to programs.
func TestAlertsOfTheServerReachPeople(t *testing.T) {
	t.Parallel()
	server := mailtest.NewIMAP()
	server.On("SELECT", func(c *mailtest.IMAPConn) error {
		if err := c.Say("* OK [ALERT] the disk is full"); err != nil {
			return err
		}
		return mailtest.IMAPUsual(c)
	})
	if err := server.Start(""); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c := newClient(t, binary(t))
	rc := "poll 127.0.0.1 proto imap port " + server.Port() + " user alice password secret sslproto ''\n"
	c.rc(t, rc)
	if r := c.run(t); strings.Contains(r.stdout+r.stderr, "disk") {
		t.Error(r)
	}
	c.rc(t, "set logfile \""+filepath.Join(c.home, "log")+"\"\n"+rc)
	c.write(t, "log", "")
	if c.run(t); !strings.Contains(c.read(t, "log"), "fetchmail: the server says: the disk is full\n") {
		t.Errorf("%q", c.read(t, "log"))
	}
}
