package main_test

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// stripper is a server, or somebody between, that offers STARTTLS or STLS and then does something else. It keeps what
// it is sent.
type stripper struct {
	mode string
	mu   sync.Mutex
	got  []string
}

// answers to STARTTLS and STLS, IMAP first; %s is the tag. The connection is closed behind those that end in a dot.
var stripperAnswers = map[string][2]string{
	"no":       {"%s NO not today\r\n", "-ERR not today\r\n"},
	"bad":      {"%s BAD what\r\n", "-ERR what\r\n"},
	"bye":      {"* BYE go away\r\n.", "."},
	"bye, no":  {"* BYE go away\r\n%s NO x\r\n.", "-ERR x\r\n."},
	"hang up":  {".", "."},
	"no TLS":   {"%s OK go\r\n", "+OK go\r\n"},
	"OK, end":  {"%s OK go\r\n.", "+OK go\r\n."},
	"injected": {"%s OK go\r\n* CAPABILITY IMAP4rev1\r\n", "+OK go\r\n+OK more\r\n"},
	"nonsense": {"what?\r\n.", "what?\r\n."},
}

func (s *stripper) serve(c net.Conn, proto string) {
	defer c.Close()
	i := map[string]int{"imap": 0, "pop3": 1}[proto]
	fmt.Fprint(c, []string{"* OK hi\r\n", "+OK hi\r\n"}[i])
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		s.mu.Lock()
		s.got = append(s.got, lines.Text())
		s.mu.Unlock()
		tag, command, _ := strings.Cut(" "+lines.Text(), " ")
		if i == 0 {
			tag, command, _ = strings.Cut(lines.Text(), " ")
		}
		switch word, _, _ := strings.Cut(command, " "); word {
		case "CAPABILITY":
			fmt.Fprintf(c, "* CAPABILITY IMAP4rev1 STARTTLS\r\n%s OK\r\n", tag)
		case "CAPA":
			fmt.Fprint(c, "+OK\r\nUSER\r\nSTLS\r\n.\r\n")
		case "STARTTLS", "STLS":
			answer, end := strings.CutSuffix(stripperAnswers[s.mode][i], ".")
			fmt.Fprint(c, strings.ReplaceAll(answer, "%s", tag))
			if end {
				return
			}
			if s.mode == "no TLS" {
				lines.Scan() // the beginning of a handshake
				fmt.Fprint(c, "this is not what you think\r\n")
				return
			}
		case "LOGIN", "EXAMINE":
			fmt.Fprintf(c, "* 0 EXISTS\r\n%s OK\r\n", tag)
		case "LOGOUT", "QUIT":
			fmt.Fprint(c, []string{"* BYE\r\n" + tag + " OK\r\n", "+OK\r\n"}[i])
			return
		default:
			fmt.Fprint(c, []string{tag + " OK\r\n", "+OK 0 0\r\n"}[i])
		}
	}
}

// Where TLS must be, nothing is sent without it. Where it may be, only a server that says no in plain words is spoken to
// without it; the reference sends the password in clear after each of these.
func TestTLSThatFailsIsNoReasonToLogInInClear(t *testing.T) {
	for _, proto := range []string{"pop3", "imap"} {
		for mode := range stripperAnswers {
			for option, must := range map[string]bool{"": true, "sslmode starttls=must": true, "no sslcertck sslproto tls1.2": true, "no sslcertck": false, "sslmode starttls=may": false} {
				t.Run(proto+"/"+mode+"/"+option, func(t *testing.T) {
					t.Parallel()
					s := &stripper{mode: mode}
					l, err := net.Listen("tcp", "127.0.0.1:0")
					if err != nil {
						t.Fatal(err)
					}
					defer l.Close()
					go func() {
						for {
							c, err := l.Accept()
							if err != nil {
								return
							}
							go s.serve(c, proto)
						}
					}()
					c := newClient(t, binary(t))
					c.rc(t, fmt.Sprintf("poll localhost proto %s port %d timeout 30\n user alice password secret %s\n", proto, l.Addr().(*net.TCPAddr).Port, option))
					r := c.run(t, "-c")
					want := 2
					if !must && (mode == "no" || mode == "bad") {
						want = 1
					}
					s.mu.Lock()
					defer s.mu.Unlock()
					if told := slices.ContainsFunc(s.got, func(l string) bool { return strings.Contains(l, "alice") || strings.Contains(l, "secret") }); r.code != want || told != (want == 1) {
						t.Errorf("the server was told who we are: %v: %q\n%s", told, s.got, r)
					}
				})
			}
		}
	}
}
