package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// socksServer plays a SOCKS5 proxy that asks for user and password "u" and "p" if auth is set, refuses where code is
// not 0, and otherwise answers as the mail server itself, telling where it was asked to connect to.
func socksServer(t *testing.T, auth bool, code byte) (host, port string) {
	return serve(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		take := func(n int) []byte {
			b := make([]byte, n)
			_, _ = io.ReadFull(r, b)
			return b
		}
		take(int(take(2)[1]))
		if auth {
			_, _ = c.Write([]byte{5, 2})
			user := take(int(take(2)[1]))
			password := take(int(take(1)[0]))
			if string(user) != "u" || string(password) != "p" {
				_, _ = c.Write([]byte{1, 1})
				return
			}
			_, _ = c.Write([]byte{1, 0})
		} else {
			_, _ = c.Write([]byte{5, 0})
		}
		var target string
		switch take(4)[3] {
		case 1:
			target = net.IP(take(4)).String()
		case 3:
			target = string(take(int(take(1)[0])))
		case 4:
			target = net.IP(take(16)).String()
		}
		p := take(2)
		_, _ = c.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0})
		if code == 0 {
			_, _ = fmt.Fprintf(c, "+OK %s %d\r\n", target, int(p[0])<<8|int(p[1]))
		}
	})
}

func TestProxyIsAskedForNameAndPort(t *testing.T) {
	_, open := socksServer(t, false, 0)
	_, closed := socksServer(t, true, 0)
	for _, c := range []struct{ proxy, host, want string }{
		{"socks5://127.0.0.1:" + open, "mail.example.test", "+OK mail.example.test 110\r\n"},
		{"127.0.0.1:" + open, "[2001:db8::1]", "+OK 2001:db8::1 110\r\n"},
		{"socks5h://u:p@127.0.0.1:" + closed, "192.0.2.1", "+OK 192.0.2.1 110\r\n"},
	} {
		conn, err := (&Dialer{Timeout: 10 * time.Second, Proxy: c.proxy, Resolver: names{}}).Dial(t.Context(), c.host, "pop3")
		if err != nil {
			t.Errorf("%s: %v", c.proxy, err)
			continue
		}
		if line, err := conn.Reader().ReadString('\n'); line != c.want {
			t.Errorf("%s: %q, %v", c.proxy, line, err)
		}
		if conn.PeerIP() != "" || conn.Private() {
			t.Errorf("%s: the proxy passes for the server", c.proxy)
		}
		_ = conn.Close()
	}
}

func TestProxyThatFails(t *testing.T) {
	_, refusing := socksServer(t, false, 5)
	_, closed := socksServer(t, true, 0)
	_, silent := serve(t, hold)
	for _, proxy := range []string{"127.0.0.1:" + refusing, "socks5://u:wrongword@127.0.0.1:" + closed, "127.0.0.1:1", "http://127.0.0.1:1",
		"socks5://", "socks5://u:wrongword@[::1", "127.0.0.1:" + silent} {
		_, err := (&Dialer{Timeout: 200 * time.Millisecond, Proxy: proxy}).Dial(t.Context(), "mail.example.test", "110")
		var fail *DialError
		if !errors.As(err, &fail) || strings.Contains(fmt.Sprintf("%+v %v", fail, fail.Lines("POP3")), "wrongword") {
			t.Errorf("%s: %v", proxy, err)
		}
	}
}

func TestThisMachineIsReachedWithoutTheProxy(t *testing.T) {
	_, port := serve(t, func(c net.Conn) { _, _ = io.WriteString(c, "+OK\r\n") })
	for _, host := range []string{"localhost", "127.0.0.1"} {
		c, err := (&Dialer{Timeout: 10 * time.Second, Proxy: "127.0.0.1:1"}).Dial(t.Context(), host, port)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
}
