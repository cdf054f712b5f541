// Package reftest runs the reference, fetchmail 6.4, over prepared messages, for tests that compare what it makes of
// them with what we make of them.
//
// The messages come from a POP3 server of its own on loopback and go into a BSMTP file, so that one session of a few
// seconds handles tens of thousands of them.
package reftest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Program is where the reference is installed.
const Program = "/usr/bin/fetchmail"

// Host is the name of the server that Run polls.
const Host = "localhost"

// Config says how the reference is to be called. Words are those of its rcfile.
type Config struct {
	Global string // statements at the top
	Server string // server options
	User   string // user options
	Locals string // local names, "joe" if empty
	MDA    bool   // hand messages to a command instead of the BSMTP file
}

// Message is what the reference has handed on.
type Message struct {
	From string // reverse path
	// Params are the parameters of MAIL FROM, "BODY=8BITMIME"
	Params string
	To     []string // forward paths; for an MDA what %T stands for
	Text   []byte   // header and body, for BSMTP with its dots stuffed
}

// Run polls a mailbox with these messages once. It skips the test if the reference is not there. Messages that the
// reference did not deliver, and those at which it crashed, are missing in the result; each message should bear a mark.
func Run(t testing.TB, c Config, msgs [][]byte) []Message {
	t.Helper()
	if _, err := os.Stat(Program); err != nil {
		t.Skip("the reference is not installed: " + Program)
	}
	var got []Message
	for len(msgs) > 0 {
		some, done := poll(t, c, msgs)
		got = append(got, some...)
		msgs = msgs[done:]
	}
	return got
}

// poll runs the reference once and tells how many messages it has got behind it.
func poll(t testing.TB, c Config, msgs [][]byte) ([]Message, int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	out, rc := filepath.Join(dir, "out"), filepath.Join(dir, "rc")
	if err := os.WriteFile(rc, []byte(c.rcfile(serve(t, msgs), out)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(Program, "-f", rc, "--pidfile", filepath.Join(dir, "pid"), "-i", filepath.Join(dir, "ids"), "--nosyslog")
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "HOME=" + dir, "FETCHMAILHOME=" + dir, "PATH=/usr/bin:/bin"}
	cmd.Dir = dir
	said, err := cmd.CombinedOutput()
	text, rerr := os.ReadFile(out)
	if rerr != nil {
		t.Fatalf("reference: %v\n%.2000s", err, said)
	}
	got := Split(text)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() < 0 { // killed by a signal, while it had a message in hand
		n := bytes.Count(said, []byte("reading message "))
		if n == 0 || bytes.HasSuffix(bytes.TrimSpace(said), []byte("flushed")) {
			n++
		}
		t.Logf("the reference has crashed at %.300q", msgs[min(n, len(msgs))-1])
		return got, min(n, len(msgs))
	}
	return got, len(msgs)
}

// rcfile is what the reference gets to read.
func (c Config) rcfile(port int, out string) string {
	if c.Locals == "" {
		c.Locals = "joe"
	}
	to := fmt.Sprintf("bsmtp %q", out)
	if c.MDA {
		to = fmt.Sprintf("mda \"printf 'MAIL FROM:<%%s>\\nRCPT TO:<%%s>\\nDATA\\n' %%F %%T >>%s; cat >>%s; printf '.\\n' >>%s\"", out, out, out)
	}
	return fmt.Sprintf("%s\npoll %s proto pop3 port %d auth password timeout 60 %s\n"+
		" user alice password secret is %s here fetchall %s sslproto ''\n %s\n", c.Global, Host, port, c.Server, c.Locals, c.User, to)
}

var start = regexp.MustCompile(`(?m)^MAIL FROM:<((?s:.*?))>( BODY=\w+)?\r?\n((?:RCPT TO:<.*>\r?\n)+)DATA\r?\n`)
var rcpt = regexp.MustCompile(`(?m)^RCPT TO:<(.*)>\r?\n`)

// Split reads a BSMTP file.
func Split(b []byte) []Message {
	var out []Message
	at := start.FindAllSubmatchIndex(b, -1)
	for i, m := range at {
		end := len(b)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		text := b[m[1]:end]
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte(".\n")), []byte(".\r\n"))
		r := Message{From: string(b[m[2]:m[3]]), Text: text}
		if m[4] >= 0 {
			r.Params = string(bytes.TrimSpace(b[m[4]:m[5]]))
		}
		for _, to := range rcpt.FindAllSubmatch(b[m[6]:m[7]], -1) {
			r.To = append(r.To, string(to[1]))
		}
		out = append(out, r)
	}
	return out
}

// serve starts a POP3 server for one session and returns its port.
func serve(t testing.TB, msgs [][]byte) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(5 * time.Minute))
			session(c, msgs)
			c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// session speaks the part of POP3 that the reference uses (RFC 1939).
func session(c net.Conn, msgs [][]byte) {
	r, w := bufio.NewReader(c), bufio.NewWriterSize(c, 64<<10)
	fmt.Fprint(w, "+OK ready\r\n")
	for {
		if w.Flush() != nil {
			return
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		n := 0
		if len(f) > 1 {
			n, _ = strconv.Atoi(f[1])
		}
		switch strings.ToUpper(f[0]) {
		case "STAT":
			fmt.Fprintf(w, "+OK %d 1000\r\n", len(msgs))
		case "LIST":
			list(w, msgs, n)
		case "RETR", "TOP":
			fmt.Fprint(w, "+OK\r\n")
			w.Write(stuffed(msgs[n-1]))
			fmt.Fprint(w, ".\r\n")
		case "USER", "PASS", "DELE", "NOOP", "RSET":
			fmt.Fprint(w, "+OK\r\n")
		case "QUIT":
			fmt.Fprint(w, "+OK\r\n")
			w.Flush()
			return
		default:
			fmt.Fprint(w, "-ERR\r\n")
		}
	}
}

func list(w *bufio.Writer, msgs [][]byte, n int) {
	if n > 0 {
		fmt.Fprintf(w, "+OK %d %d\r\n", n, len(msgs[n-1]))
		return
	}
	fmt.Fprint(w, "+OK\r\n")
	for i, m := range msgs {
		fmt.Fprintf(w, "%d %d\r\n", i+1, len(m))
	}
	fmt.Fprint(w, ".\r\n")
}

// stuffed is a message as POP3 sends it: dots doubled, the last line ended.
func stuffed(m []byte) []byte {
	var b []byte
	for len(m) > 0 {
		n := bytes.IndexByte(m, '\n') + 1
		if n == 0 {
			n = len(m)
		}
		if m[0] == '.' {
			b = append(b, '.')
		}
		b = append(b, m[:n]...)
		m = m[n:]
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, '\r', '\n')
	}
	return b
}

// Unstuffed takes the additional dots out of Message.Text.
func Unstuffed(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\n."), []byte("\n"))
	return bytes.TrimPrefix(b, []byte("."))
}
