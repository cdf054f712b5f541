package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"fetchmail/protocols/mailtest/real"
)

// secretRun is one run of the program with the password in some place.
type secretRun struct {
	options string // of the user
	files   map[string]string
	env     string
	fd      string // what can be read from descriptor 3
	via     bool   // the server is polled under another name
	status  int
	want    string // on standard error
	count   int    // how often passwordeval is called
}

// again prints another password at its second call; the calls are counted in the home directory.
const again = `echo x >>~/calls; if [ $(wc -l <~/calls) -gt 1 ]; then echo %s; else echo wrong; fi`

var secretRuns = map[string]secretRun{
	"rcfile":                         {options: `password secret`, status: 1},
	"rcfile, wrong":                  {options: `password wrong`, status: 3, want: "Authorization failure"},
	"passwordfile":                   {options: `passwordfile "~/pass"`, files: map[string]string{"pass": "secret\nanother line\n"}, status: 1},
	"passwordfile, absent":           {options: `passwordfile "~/pass"`, status: 3, want: "no such file"},
	"passwordfile, empty":            {options: `passwordfile "~/pass"`, files: map[string]string{"pass": "\n"}, status: 3, want: "first line is empty"},
	"passwordfd":                     {options: `passwordfd 3`, fd: "secret\nanother line\n", status: 1},
	"passwordfd, closed":             {options: `passwordfd 3`, status: 3, want: "passwordfd 3: "},
	"passwordeval":                   {options: `passwordeval "echo x >>~/calls; echo secret; echo another line"`, status: 1, count: 1},
	"passwordeval, refused once":     {options: `passwordeval "` + fmt.Sprintf(again, "secret") + `"`, status: 1, count: 2},
	"passwordeval, refused for good": {options: `passwordeval "` + fmt.Sprintf(again, "wronger") + `"`, status: 3, want: "Authorization failure", count: 2},
	"passwordeval, the same again":   {options: `passwordeval "echo x >>~/calls; echo wrong"`, status: 3, want: "Authorization failure", count: 2},
	"passwordeval, failing":          {options: `passwordeval "echo x >>~/calls; exit 7"`, status: 3, want: "passwordeval: exit status 7", count: 1},
	"credential":                     {files: map[string]string{"cred/alice@localhost": "secret\n"}, env: "CREDENTIALS_DIRECTORY=@HOME@/cred", status: 1},
	"credential of the server":       {files: map[string]string{"cred/localhost": "secret\n"}, env: "CREDENTIALS_DIRECTORY=@HOME@/cred", status: 1},
	"netrc":                          {files: map[string]string{".netrc": "machine localhost login alice password secret\n"}, status: 1},
	"netrc, name of the poll first":  {files: map[string]string{".netrc": "machine 127.0.0.1 login alice password wrong\nmachine pop login alice password secret\n"}, via: true, status: 1},
	"netrc, via name":                {files: map[string]string{".netrc": "machine 127.0.0.1 login alice password secret\n"}, via: true, status: 1},
	"netrc, another login":           {files: map[string]string{".netrc": "machine localhost login bob password secret2\n"}, status: 3, want: "can't find a password for alice@localhost."},
	"none, no terminal":              {status: 3, want: "can't find a password for alice@localhost."},
}

func TestEverySourceOfPasswordsInTheWholeProgram(t *testing.T) {
	d := real.StartDovecot(t, real.DovecotOptions{})
	for name, s := range secretRuns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, proto := range []string{"pop3", "imap"} {
				c := newClient(t, binary(t))
				for file, text := range s.files {
					if dir := filepath.Dir(file); dir != "." {
						if err := os.Mkdir(filepath.Join(c.home, dir), 0o700); err != nil {
							t.Fatal(err)
						}
						c.own(t, filepath.Join(c.home, dir))
					}
					c.write(t, file, text)
				}
				server := "poll localhost"
				if s.via {
					server = "poll pop via 127.0.0.1"
				}
				port := map[string]int{"pop3": d.POP3, "imap": d.IMAP}[proto]
				c.rc(t, fmt.Sprintf("%s proto %s port %d timeout 30\n user alice sslproto '' %s\n", server, proto, port,
					strings.ReplaceAll(strings.ReplaceAll(s.options, "~", c.home), `$`, `$`)))
				if s.env != "" {
					c.env = append(c.env, strings.ReplaceAll(s.env, "@HOME@", c.home))
				}
				cmd := c.command(t.Context(), "-c", "-vvv")
				if s.fd != "" {
					cmd.ExtraFiles = []*os.File{pipeWith(t, s.fd)}
				}
				cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Setsid = false, true // no terminal to ask on
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				_ = cmd.Run()
				text := out.String()
				if code := cmd.ProcessState.ExitCode(); code != s.status || !strings.Contains(text, s.want) {
					t.Errorf("%s: exit %d\n%s", proto, code, text)
				}
				for _, secret := range []string{"secret\n", `"secret"`, "wrong\n", "wronger", "another line"} {
					if strings.Contains(text, secret) {
						t.Errorf("%s: the output holds %q:\n%s", proto, secret, text)
					}
				}
				if n := strings.Count(c.read(t, "calls"), "x"); n != s.count {
					t.Errorf("%s: the command ran %d times", proto, n)
				}
			}
		})
	}
}

// pipeWith is a pipe from which text can be read.
func pipeWith(t *testing.T, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return r
}

func TestThePasswordIsAskedOnTheTerminalAndNotShown(t *testing.T) {
	d := real.StartDovecot(t, real.DovecotOptions{})
	for typed, status := range map[string]int{"secret": 1, "misspelt": 3} {
		t.Run(typed, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, binary(t))
			c.rc(t, fmt.Sprintf("poll localhost proto pop3 port %d timeout 30\n user alice sslproto ''\n", d.POP3))
			said, code := c.onTerminal(t, "Enter password for alice@localhost: ", typed)
			if code != status || strings.Contains(said, typed) {
				t.Errorf("exit %d: %s", code, said)
			}
		})
	}
}

func TestThePasswordOfAnEncryptedKeyIsAskedOnTheTerminal(t *testing.T) {
	d := real.StartDovecot(t, real.DovecotOptions{ClientCert: true, Mechanisms: []string{"plain", "external"}})
	cert, key := d.Client(t, "alice")
	for typed, status := range map[string]int{"open sesame": 1, "open barley": 3} {
		t.Run(typed, func(t *testing.T) {
			c := newClient(t, binary(t))
			sealed := filepath.Join(c.home, "sealed.key")
			out, err := exec.Command("openssl", "pkcs8", "-topk8", "-in", key, "-out", sealed, "-passout", "pass:open sesame").CombinedOutput()
			if err != nil {
				t.Fatalf("openssl: %v %s", err, out)
			}
			c.own(t, sealed)
			c.rc(t, fmt.Sprintf("poll localhost proto imap port %d auth external timeout 30\n user alice ssl sslcertfile %s sslcert %s sslkey %s\n", d.IMAPS, d.CA, cert, sealed))
			said, code := c.onTerminal(t, "Enter password for key "+sealed+": ", typed)
			if code != status || strings.Contains(said, typed) {
				t.Errorf("exit %d: %s", code, said)
			}
		})
	}
}

// onTerminal runs the program on a terminal of its own, types an answer to a question, and returns what is to be seen
// there.
func (c *client) onTerminal(t *testing.T, question, typed string) (said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	cmd := c.command(ctx, "-c", "-v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Credential: cmd.SysProcAttr.Credential}
	tty, err := pty.StartWithAttrs(cmd, nil, cmd.SysProcAttr)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	buf := make([]byte, 4096)
	for asked := false; err == nil; { // EIO: it has ended
		var n int
		n, err = tty.Read(buf)
		said += string(buf[:n])
		if !asked && strings.Contains(said, question) {
			asked = true
			waitForSilence(t, tty)
			_, _ = io.WriteString(tty, typed+"\n")
		}
	}
	_ = cmd.Wait()
	return said, cmd.ProcessState.ExitCode()
}

// waitForSilence waits until the terminal does not echo.
func waitForSilence(t *testing.T, tty *os.File) {
	t.Helper()
	for end := time.Now().Add(runLimit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err != nil || state.Lflag&unix.ECHO == 0 {
			return
		}
	}
	t.Error("the terminal echoes passwords")
}

// A command that gets a password is taken from the file of the owner only, never from the command line, where everybody
// sees it.
func TestPasswordCommandsComeFromTheFileOfTheOwner(t *testing.T) {
	c := newClient(t, binary(t))
	rc := "poll localhost proto pop3 port 1\n user alice sslproto '' passwordeval \"touch " + c.home + "/ran; echo x\"\n"
	c.rc(t, rc)
	if r := c.run(t, "--passwordeval", "echo x"); r.code != 5 || !strings.Contains(r.stderr, "passwordeval") {
		t.Errorf("on the command line: %s", r)
	}
	c.chmod(t, ".fetchmailrc", 0o640)
	if r := c.run(t); r.code != 6 {
		t.Errorf("readable by others: %s", r)
	}
	c.chmod(t, ".fetchmailrc", 0o600)
	if os.Getuid() == 0 {
		if err := os.Chown(filepath.Join(c.home, ".fetchmailrc"), 4242, -1); err != nil {
			t.Fatal(err)
		}
		if r := c.run(t); r.code == 0 || r.code == 2 {
			t.Errorf("of another user: %s", r)
		}
	}
	if _, err := os.Stat(filepath.Join(c.home, "ran")); err == nil {
		t.Error("the command ran")
	}
}
