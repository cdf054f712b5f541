package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
)

const (
	hostileMemory = 40_000_000       // octets that a hostile server may make the program use
	hostileTime   = 40 * time.Second // for a run with a time-out of 2 s, on a slow machine
)

// peer is what a scripted server does with a connection; rd reads the client's lines.
type peer func(c net.Conn, rd *bufio.Reader)

// serve accepts connections for the time of the test, one goroutine each.
func serve(t *testing.T, p peer) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(2 * hostileTime))
				p(c, bufio.NewReader(c))
			})
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

// says sends text at once and keeps the connection open until the client goes.
func says(text string) peer {
	return func(c net.Conn, rd *bufio.Reader) {
		io.WriteString(c, text)
		io.Copy(io.Discard, rd)
	}
}

// floods sends first and then text for ever.
func floods(first, text string) peer {
	block := []byte(strings.Repeat(text, 1+(1<<16)/len(text)))
	return func(c net.Conn, rd *bufio.Reader) {
		go io.Copy(io.Discard, rd)
		if _, err := io.WriteString(c, first); err != nil {
			return
		}
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}
}

// drips sends text one octet each half second, again and again.
func drips(first, text string) peer {
	return func(c net.Conn, rd *bufio.Reader) {
		go io.Copy(io.Discard, rd)
		io.WriteString(c, first)
		for i := 0; ; i++ {
			if _, err := io.WriteString(c, text[i%len(text):i%len(text)+1]); err != nil {
				return
			}
			time.Sleep(500 * time.Millisecond)
		}
	}
}

// pop3 answers each command by its verb: the answers given here, and the usual ones of a mailbox with one message.
func pop3(answers map[string]string) peer {
	usual := map[string]string{"CAPA": "+OK\r\nTOP\r\nUIDL\r\nUSER\r\n.\r\n", "USER": "+OK\r\n", "PASS": "+OK\r\n", "STAT": "+OK 1 100\r\n",
		"UIDL": "+OK\r\n1 a\r\n.\r\n", "LIST": "+OK\r\n1 100\r\n.\r\n", "LIST 1": "+OK 1 100\r\n", "UIDL 1": "+OK 1 a\r\n", "QUIT": "+OK\r\n", "DELE": "+OK\r\n",
		"RETR": "+OK\r\nSubject: x\r\n\r\nx\r\n.\r\n", "TOP": "+OK\r\nSubject: x\r\n\r\nx\r\n.\r\n", "NOOP": "+OK\r\n"}
	return func(c net.Conn, rd *bufio.Reader) {
		io.WriteString(c, "+OK ready\r\n")
		for {
			line, err := rd.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.ToUpper(strings.TrimSpace(line))
			verb, _, _ := strings.Cut(line, " ")
			for _, text := range []string{answers[line], answers[verb], usual[line], usual[verb], "-ERR what\r\n"} {
				if text != "" {
					io.WriteString(c, text)
					break
				}
			}
		}
	}
}

// imap answers each command by its verb; %T is the tag. Other commands get an OK.
func imap(answers map[string]string) peer {
	usual := map[string]string{"CAPABILITY": "* CAPABILITY IMAP4rev1\r\n%T OK\r\n", "SELECT": "* 1 EXISTS\r\n* OK [UIDVALIDITY 1]\r\n%T OK [READ-WRITE]\r\n",
		"SEARCH": "* SEARCH 1\r\n%T OK\r\n", "LOGOUT": "* BYE\r\n%T OK\r\n",
		"FETCH": "* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 100)\r\n%T OK\r\n"}
	return func(c net.Conn, rd *bufio.Reader) {
		io.WriteString(c, "* OK ready\r\n")
		for {
			line, err := rd.ReadString('\n')
			if err != nil {
				return
			}
			f := strings.Fields(strings.ToUpper(line))
			if len(f) < 2 {
				return
			}
			verb := f[1]
			if verb == "UID" && len(f) > 2 {
				verb = f[2]
			}
			for _, text := range []string{answers[verb], usual[verb], "%T OK\r\n"} {
				if text != "" {
					io.WriteString(c, strings.ReplaceAll(text, "%T", f[0]))
					break
				}
			}
		}
	}
}

const long = 3_000_000 // octets of things that ought to be short

// shortLines is a message whose header is just not too large.
var shortLines = "+OK\r\n" + strings.Repeat("X:\n", (8<<20)/3-1) + "\r\n.\r\n"

// hostile are servers that no run may be harmed by. None of them gets a message delivered that it has not sent whole.
var hostile = []struct {
	name, proto string
	peer        peer
	whole       bool // it does send a whole message, which may be delivered
	large       bool // one with a header of 8 MB, which is held, changed and sent
}{
	{name: "says nothing", proto: "POP3", peer: says("")},
	{name: "closes at once", proto: "POP3", peer: func(net.Conn, *bufio.Reader) {}},
	{name: "speaks HTTP", proto: "POP3", peer: says("HTTP/1.0 400 Bad Request\r\n\r\n")},
	{name: "an endless greeting", proto: "POP3", peer: floods("+OK ", "x")},
	{name: "endless lines before the greeting", proto: "POP3", peer: floods("", "\r\n")},
	{name: "a dripping greeting", proto: "POP3", peer: drips("+OK ", "x")},
	{name: "NULs", proto: "POP3", peer: floods("+OK\r\n", "\x00")},
	{name: "an endless CAPA", proto: "POP3", peer: floods("+OK\r\n+OK\r\n", "SASL PLAIN\r\n")},
	{name: "an endless UIDL", proto: "POP3", peer: pop3(map[string]string{"UIDL": "+OK\r\n" + strings.Repeat("1 a\r\n", long/5)})},
	{name: "a long UID", proto: "POP3", peer: pop3(map[string]string{"UIDL": "+OK\r\n1 " + strings.Repeat("a", long) + "\r\n.\r\n", "UIDL 1": "+OK 1 " + strings.Repeat("a", long) + "\r\n"}), whole: true},
	{name: "a count of 2^63", proto: "POP3", peer: pop3(map[string]string{"STAT": "+OK 9223372036854775808 9223372036854775808\r\n"})},
	{name: "a large count", proto: "POP3", peer: pop3(map[string]string{"STAT": "+OK 2147483647 1\r\n"})},
	{name: "a negative count", proto: "POP3", peer: pop3(map[string]string{"STAT": "+OK -1 -1\r\n"})},
	{name: "a size of 2^64", proto: "POP3", peer: pop3(map[string]string{"LIST": "+OK\r\n1 18446744073709551616\r\n.\r\n", "LIST 1": "+OK 1 18446744073709551616\r\n"}), whole: true},
	{name: "a message that breaks off", proto: "POP3", peer: pop3(map[string]string{"RETR": "+OK\r\nSubject: x\r\n\r\nx\r\n", "TOP": "+OK\r\nSubject: x\r\n\r\nx\r\n"})},
	{name: "a header without an end", proto: "POP3", peer: pop3(map[string]string{"RETR": "+OK\r\n" + strings.Repeat("X: y\r\n", long), "TOP": "+OK\r\n" + strings.Repeat("X: y\r\n", long)})},
	{name: "a header of short lines", proto: "POP3", peer: pop3(map[string]string{"RETR": shortLines, "TOP": shortLines}), whole: true, large: true},
	{name: "a header of short addresses", proto: "POP3", peer: pop3(map[string]string{"RETR": shortAddresses, "TOP": shortAddresses}), whole: true, large: true},
	{name: "a header line without an end", proto: "POP3", peer: pop3(map[string]string{"RETR": "+OK\r\nX: " + strings.Repeat("y", long), "TOP": "+OK\r\nX: " + strings.Repeat("y", long)})},
	{name: "escape sequences in an error", proto: "POP3", peer: pop3(map[string]string{"PASS": "-ERR \x1b]0;owned\x07\x1b[2J\r\n"})},

	{name: "says nothing", proto: "IMAP", peer: says("")},
	{name: "closes at once", proto: "IMAP", peer: func(net.Conn, *bufio.Reader) {}},
	{name: "an endless greeting", proto: "IMAP", peer: floods("* OK ", "x")},
	{name: "a dripping greeting", proto: "IMAP", peer: drips("* OK ", "x")},
	{name: "a flood of untagged replies", proto: "IMAP", peer: floods("* OK ready\r\n", "* 1 EXISTS\r\n")},
	{name: "endless continuations", proto: "IMAP", peer: floods("* OK ready\r\n", "+ go on\r\n")},
	{name: "endless capabilities", proto: "IMAP", peer: imap(map[string]string{"CAPABILITY": "* CAPABILITY IMAP4rev1" + strings.Repeat(" X", long/2) + "\r\n%T OK\r\n"})},
	{name: "a literal of 4 GiB", proto: "IMAP", peer: imap(map[string]string{"FETCH": "* 1 FETCH (UID 1 RFC822.SIZE 100 FLAGS () BODY[] {4294967296}\r\nx"})},
	{name: "a literal of 2^64", proto: "IMAP", peer: imap(map[string]string{"FETCH": "* 1 FETCH (UID 1 BODY[HEADER] {18446744073709551616}\r\nx"})},
	{name: "a literal in the greeting", proto: "IMAP", peer: says("* OK [CAPABILITY {2000000000}\r\n")},
	{name: "a tower of parentheses", proto: "IMAP", peer: imap(map[string]string{"FETCH": "* 1 FETCH (BODYSTRUCTURE " + strings.Repeat("(", long) + "\r\n%T OK\r\n"})},
	{name: "2^32 messages", proto: "IMAP", peer: imap(map[string]string{"SELECT": "* 4294967295 EXISTS\r\n%T OK [READ-WRITE]\r\n"})},
	{name: "a negative count", proto: "IMAP", peer: imap(map[string]string{"SELECT": "* -1 EXISTS\r\n%T OK [READ-WRITE]\r\n"})},
	{name: "BYE to everything", proto: "IMAP", peer: imap(map[string]string{"CAPABILITY": "* BYE\r\n", "LOGIN": "* BYE no\r\n", "SELECT": "* BYE\r\n"})},
	{name: "a size that lies", proto: "IMAP", peer: imap(map[string]string{"FETCH": "* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 1000000000000)\r\n%T OK\r\n"})},
	{name: "escape sequences in an error", proto: "IMAP", peer: imap(map[string]string{"LOGIN": "%T NO \x1b]0;owned\x07\x1b[2J\r\n"})},
}

// shortAddresses is one of local addresses, each of which gets the name of the server.
var shortAddresses = "+OK\r\nTo: a" + strings.Repeat(",a", (8<<20)/2-9) + "\r\n\r\n.\r\n"

func TestHostileServersDoNoHarm(t *testing.T) {
	bin := binary(t)
	for _, h := range hostile {
		t.Run(h.proto+"/"+h.name, func(t *testing.T) {
			t.Parallel()
			sink := listener(t, mailtest.SMTPOptions{})
			c := newClient(t, bin)
			c.rc(t, fmt.Sprintf("poll 127.0.0.1 proto %s port %d timeout 2\n user alice there with password secret is user1 here\n"+
				" sslproto '' smtphost 127.0.0.1/%s\n", h.proto, serve(t, h.peer), sink.Port()))
			r := c.run(t)
			limit := int64(hostileMemory)
			if h.large {
				limit *= 2
			}
			unharmed(t, r, limit)
			if h.whole {
				return
			}
			if r.code == 0 {
				t.Errorf("the run was a success: %s", r)
			}
			for _, m := range sink.Mails() {
				t.Errorf("something was delivered: %.200q", m.Text)
			}
		})
	}
}

// unharmed checks that the program ended by itself, in time and in little memory, and printed nothing harmful.
func unharmed(t *testing.T, r result, memory int64) {
	t.Helper()
	output := []byte(r.stdout + r.stderr)
	switch {
	case r.code < 0 || bytes.Contains(output, []byte("goroutine ")) || bytes.Contains(output, []byte("panic")):
		t.Errorf("crashed: %s", r)
	case r.took > hostileTime:
		t.Errorf("hung: %s", r)
	case r.peak > memory:
		t.Errorf("bloated: %s", r)
	case len(output) > 100_000:
		t.Errorf("%d octets of output: %s", len(output), r)
	case bytes.ContainsAny(output, "\x1b\x07\x00"):
		t.Errorf("control characters of the server were printed: %q", output)
	case bytes.Contains(output, []byte("secret")):
		t.Errorf("the password was printed: %s", r)
	}
}

// A server that lets us in without the proof that SCRAM asks of it may be anybody.
func TestServerWithoutItsProofIsNamed(t *testing.T) {
	t.Parallel()
	for proto, p := range map[string]peer{
		"pop3": pop3(map[string]string{"CAPA": "+OK\r\nSASL SCRAM-SHA-256\r\n.\r\n", "AUTH": "+OK\r\n"}),
		"imap": imap(map[string]string{"CAPABILITY": "* CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256\r\n%T OK\r\n"}),
	} {
		c := newClient(t, binary(t))
		c.rc(t, fmt.Sprintf("poll 127.0.0.1 proto %s port %d timeout 20 auth scram user alice there with password secret is user1 here sslproto '' maildir \"~/Maildir\"\n",
			proto, serve(t, p)))
		if r := c.run(t); r.code != 4 || !strings.Contains(r.stderr, "success before the end of the exchange: server must not be trusted") {
			t.Errorf("%s: %s", proto, r)
		}
	}
}
