package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"fetchmail/protocols/mailtest"
)

// startPOP3 starts a scripted server with mail for alice.
func startPOP3(t *testing.T, mail ...[]byte) *mailtest.POP3 {
	t.Helper()
	s := mailtest.NewPOP3(mail...)
	start(t, s)
	return s
}

// into is an entry that fetches from a scripted server into a Maildir.
func into(s *mailtest.POP3, label string) string {
	return fmt.Sprintf("poll %s via 127.0.0.1 proto pop3 port %s timeout 20\n user alice there with password secret is user1 here\n sslproto '' maildir \"~/Maildir\"\n",
		label, s.Port())
}

// outsider is somebody who asks a daemon in the background how it is.
type outsider struct {
	*client
	t    *testing.T
	good *mailtest.POP3
	text string // of the run control file
	pid  int    // of the daemon
}

// TestDaemonSeenFromOutside goes through --status, --healthcheck and metrics in the life of a daemon: none, alive, with an
// account in trouble, reloaded, killed, ended.
func TestDaemonSeenFromOutside(t *testing.T) {
	t.Parallel()
	c := outsider{client: newClient(t, binary(t)), t: t, good: startPOP3(t, mailtest.Letters(3)...)}
	c.text = "set daemon 3600\nset logfile \"" + filepath.Join(c.home, "log") + "\"\nset metrics \"unix:~/metrics\"\nset logformat json\n" + into(c.good, "goodbox")
	c.rc(t, c.text)
	c.write(t, "log", "")
	c.expect("--status", 8, "fetchmail: no daemon is running\n")
	c.expect("--status=json", 8, `"running": false`)
	c.expect("--healthcheck", 1, "fetchmail: no daemon is running\n")
	if c.read(t, ".fetchmail.status") != "" {
		t.Error("a status file without a daemon")
	}
	if r := c.run(t); r.code != 0 {
		t.Fatalf("start: %s", r)
	}
	t.Cleanup(func() { c.run(t, "--quit") })
	c.alive()
	c.inTrouble()
	c.brokenFiles()
	c.killed()
	c.ended()
	c.logged()
}

// expect asks once: the exit status must be code, and the answer must have the texts in it.
func (c *outsider) expect(question string, code int, texts ...string) result {
	c.t.Helper()
	r := c.run(c.t, strings.Fields(question)...)
	for _, s := range texts {
		if r.code != code || !strings.Contains(r.stdout+r.stderr, s) {
			c.t.Errorf("%s: want status %d and %q: %s", question, code, s, r)
		}
	}
	return r
}

// fetched waits until the status tells that n messages have come.
func (c *outsider) fetched(n int) {
	c.t.Helper()
	await(c.t, fmt.Sprintf("%d messages in the status", n), func() bool {
		s := c.told(c.t)
		return len(s.Accounts) > 0 && s.Accounts[0].Fetched == n && s.NextPoll != ""
	})
}

func (c *outsider) alive() {
	c.fetched(3)
	c.expect("--status", 0, "goodbox  alice  ok", "3        ", "polls every 3600 seconds, next poll in 59m")
	c.expect("--healthcheck", 0, "")
	if os.Getuid() == 0 {
		root := outsider{client: &client{bin: c.bin, home: c.t.TempDir(), user: "root"}, t: c.t}
		pidfile := "--pidfile " + filepath.Join(c.home, ".fetchmail.pid")
		root.expect(pidfile+" --status", 0, "goodbox  alice  ok")
		root.expect(pidfile+" --healthcheck", 0, "")
		root.expect(pidfile+" --quit", 8, "not owned by you")
	}
	if fi, err := os.Lstat(filepath.Join(c.home, ".fetchmail.status")); err != nil || fi.Mode() != 0o600 {
		c.t.Errorf("status file: %v, %v", fi, err)
	}
	metrics := scrape(c.t, filepath.Join(c.home, "metrics"))
	for _, want := range []string{`fetchmail_messages_fetched_total{account="goodbox"} 3`, `fetchmail_polls_total{account="goodbox",result="success"} 1`} {
		if !strings.Contains(metrics, want) {
			c.t.Errorf("%s is missing in %s", want, metrics)
		}
	}
	for name, text := range map[string]string{"metrics": metrics, "status file": c.read(c.t, ".fetchmail.status")} {
		if strings.Contains(text, "secret") || name == "metrics" && strings.Contains(text, "alice") {
			c.t.Errorf("%s tells too much: %s", name, text)
		}
	}
}

// inTrouble has another account whose login is refused, and metrics somewhere else.
func (c *outsider) inTrouble() {
	bad := startPOP3(c.t)
	bad.On("PASS", mailtest.POP3Reply("-ERR no\x1b[2J"))
	c.text = strings.Replace(c.text, "unix:~/metrics", "unix:~/elsewhere users", 1) + into(bad, "badbox")
	c.rc(c.t, c.text)
	c.good.Put("alice", mailtest.POP3Mail{Raw: mailtest.Letter(7)})
	c.pid = c.told(c.t).PID
	syscall.Kill(c.pid, syscall.SIGUSR1)
	c.fetched(4) // counters are kept
	r := c.expect("--status", 1, "badbox   alice  authfail", "alice at badbox: ", "Authorization failure on alice@127.0.0.1")
	if strings.Contains(r.stdout, "\x1b") {
		c.t.Errorf("control characters: %q", r.stdout)
	}
	c.expect("--healthcheck", 0, "") // does not depend on servers
	c.expectMetric("after the reload", `fetchmail_consecutive_failures{account="alice@badbox"} 1`)
	if _, err := os.Lstat(filepath.Join(c.home, "metrics")); err == nil {
		c.t.Error("the old socket is still there")
	}
}

func (c *outsider) expectMetric(when, metric string) {
	c.t.Helper()
	if text := scrape(c.t, filepath.Join(c.home, "elsewhere")); !strings.Contains(text, metric) {
		c.t.Errorf("metrics %s: %s", when, text)
	}
}

// brokenFiles are a status file that somebody has spoiled, and a mistake in the run control file.
func (c *outsider) brokenFiles() {
	late := regexp.MustCompile(`"next_poll":"[^"]*"`).ReplaceAllString(c.read(c.t, ".fetchmail.status"), `"next_poll":"2001-01-02T03:04:05Z"`)
	late = regexp.MustCompile(`"version":"[^"]*"`).ReplaceAllString(late, `"version":"1\u001b[2J"`)
	c.write(c.t, ".fetchmail.status", late)
	if r := c.expect("--status", 1, "polls every 3600 seconds, next poll overdue for "); strings.ContainsRune(r.stdout, 0x1b) {
		c.t.Errorf("control characters: %q", r.stdout)
	}
	c.expect("--healthcheck", 1, "the next poll is overdue for ")
	c.write(c.t, ".fetchmail.status", "{")
	c.expect("--status", 6, "cannot read the status of the daemon at ")
	c.expect("--healthcheck", 1, "cannot read the status of the daemon at ")
	c.rc(c.t, "poll localhost protokoll imap\n")
	syscall.Kill(c.pid, syscall.SIGUSR1)
	await(c.t, "a record that the rcfile is broken", func() bool { return strings.Contains(c.read(c.t, "log"), "the old configuration stays in force") })
	c.expectMetric("after a broken change", "fetchmail_accounts 2")
	c.rc(c.t, c.text)
	await(c.t, "the status file is whole again", func() bool { s := c.told(c.t); return s.Running && len(s.Accounts) == 2 })
}

func (c *outsider) killed() {
	syscall.Kill(c.pid, syscall.SIGKILL)
	await(c.t, "the daemon is dead", func() bool {
		return strings.Contains(c.run(c.t, "--status").stderr, fmt.Sprintf("the daemon at %d has died", c.pid))
	})
	c.expect("--status", 8, "goodbox")
	c.expect("--healthcheck", 1, "has died")
	if c.read(c.t, ".fetchmail.pid") == "" {
		c.t.Error("asking has removed the pidfile")
	}
	if r := c.run(c.t); r.code != 0 {
		c.t.Fatalf("start after the crash: %s", r)
	}
	await(c.t, "the new daemon", func() bool { s := c.told(c.t); return s.PID != c.pid && s.NextPoll != "" })
	c.expectMetric("after the crash", "fetchmail_accounts 2")
}

func (c *outsider) ended() {
	c.run(c.t, "--quit")
	c.write(c.t, ".fetchmail.pid", "99999999\n")
	c.expect("--status", 8, "was left by a process that has died")
	if err := os.Remove(filepath.Join(c.home, ".fetchmail.pid")); err != nil {
		c.t.Errorf("asking has removed the pidfile: %v", err)
	}
	c.expect("--status", 8, "no daemon is running")
	for _, name := range []string{".fetchmail.status", ".fetchmail.status.new", "elsewhere"} {
		if _, err := os.Lstat(filepath.Join(c.home, name)); err == nil {
			c.t.Errorf("%s is left behind", name)
		}
	}
}

// logged looks at what all of that has left in the log.
func (c *outsider) logged() {
	log := c.read(c.t, "log")
	for line := range strings.Lines(log) {
		if rec := map[string]any{}; json.Unmarshal([]byte(line), &rec) != nil || rec["msg"] == "" || rec["event"] == nil {
			c.t.Errorf("no record: %s", line)
		}
	}
	for _, want := range []string{`"msg":"starting fetchmail `, `"msg":"restarting fetchmail (`, `"msg":"terminated with signal 15"`, `"result":"AUTHFAIL"`, `"flushed":true`} {
		if !strings.Contains(log, want) {
			c.t.Errorf("the log has no %s: %s", want, cut(log))
		}
	}
}

// TestWatchedFolderSeenFromOutside is about accounts with idle: the folder is told, and that it is connected is part of
// being healthy.
func TestWatchedFolderSeenFromOutside(t *testing.T) {
	t.Parallel()
	s := mailtest.NewIMAP()
	s.Caps = []string{"IMAP4rev1", "IDLE", "UIDPLUS"}
	s.Folder("alice", "lists")
	start(t, s)
	c := newClient(t, binary(t))
	c.rc(t, fmt.Sprintf("set daemon 3600\npoll box via 127.0.0.1 proto imap port %s timeout 20\n user alice there with password secret is user1 here\n"+
		" sslproto '' idle maildir \"~/Maildir\" folder lists\n", s.Port()))
	if r := c.run(t); r.code != 0 {
		t.Fatalf("start: %s", r)
	}
	t.Cleanup(func() { c.run(t, "--quit") })
	idling := regexp.MustCompile(`(?m)^box +alice \(lists\) +idling `)
	await(t, "the folder is watched", func() bool { return idling.MatchString(c.run(t, "--status").stdout) })
	s.Put("alice", "lists", mailtest.IMAPMail{Raw: mailtest.Letter(1)})
	await(t, "a message in it", func() bool {
		told := c.told(t)
		return len(told.Accounts) == 1 && told.Accounts[0].Fetched == 1
	})
	if r := c.run(t, "--healthcheck"); r.code != 0 {
		t.Error(r)
	}
}

// told is what --status=json says.
type told struct {
	Running  bool
	PID      int
	NextPoll string `json:"next_poll"`
	Accounts []struct {
		Account, User string
		Fetched       int
	}
}

func (c *client) told(t *testing.T) (s told) {
	t.Helper()
	r := c.run(t, "--status=json")
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	return s
}

// scrape asks for the metrics at a socket.
func scrape(t *testing.T, socket string) string {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.DialTimeout("unix", socket, 20*time.Second)
	}}
	resp, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get("http://localhost/metrics")
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// TestUnsafeMetricsAreRefused is about addresses that others can reach.
func TestUnsafeMetricsAreRefused(t *testing.T) {
	c := newClient(t, binary(t))
	c.rc(t, "set metrics \"0.0.0.0:9110\"\npoll x proto pop3 user a there with password b is user1 here\n")
	if r := c.run(t); r.code != 5 || !strings.Contains(r.stderr, "can be reached from other machines") {
		t.Error(r)
	}
	if r := c.run(t, "--configcheck"); r.code != 5 || !strings.Contains(r.stdout, "can be reached from other machines") {
		t.Error(r)
	}
}

// stamps are what differs between two runs.
var stamps = regexp.MustCompile(`at \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}|localhost:\d+|<[^>]*@localhost>|/\d+`)

// dotsShown is the progress that a line shows, which a record has no use for.
var dotsShown = regexp.MustCompile(` #[*.]*`)

// TestLogAsJSON runs the same poll in both forms of the log, with the dialogue: each line is msg of a record on the same
// stream, everything is JSON, and the password is in neither.
func TestLogAsJSON(t *testing.T) {
	lines := func(args ...string) (out, errOut []string, raw string) {
		s := startPOP3(t, mailtest.Letters(2)...)
		c := newClient(t, binary(t))
		c.rc(t, into(s, "box"))
		r := c.run(t, args...)
		if r.code != 0 {
			t.Fatal(r)
		}
		split := func(text string) []string {
			text = strings.ReplaceAll(stamps.ReplaceAllString(text, "?"), s.Port(), "PORT")
			return strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, c.home, "HOME"), "\n"), "\n")
		}
		return split(r.stdout), split(r.stderr), r.stdout + r.stderr
	}
	out, errOut, raw := lines("-vvv")
	jout, jerr, jraw := lines("-vvv", "--logformat", "json")
	for _, text := range []string{raw, jraw} {
		if strings.Contains(text, "secret") || !strings.Contains(text, "PASS *") {
			t.Errorf("the password is not hidden: %s", cut(text))
		}
	}
	for _, tt := range []struct{ classic, records []string }{{out, jout}, {errOut, jerr}} {
		if len(tt.classic) == 1 && tt.classic[0] == "" {
			continue
		}
		var msgs []string
		for _, line := range tt.records {
			var rec struct{ Time, Level, Msg, Event string }
			if err := json.Unmarshal([]byte(line), &rec); err != nil || rec.Time == "" || rec.Level == "" || rec.Event == "" {
				t.Errorf("%v: %s", err, line)
			}
			msgs = append(msgs, rec.Msg)
		}
		for _, line := range tt.classic {
			want := dotsShown.ReplaceAllString(strings.TrimPrefix(line, "fetchmail: "), "")
			if !strings.Contains(want, " querying ") && !slices.ContainsFunc(msgs, func(m string) bool { return m == want }) {
				t.Errorf("no record says %q", want)
			}
		}
	}
	if !bytes.Contains([]byte(jraw), []byte(`"event":"message","account":"box","user":"alice","host":"127.0.0.1","number":2,"total":2,`)) {
		t.Errorf("no record of a message: %s", cut(jraw))
	}
}

// TestBarOnATerminal reads a message of a slow server on a terminal: there is a bar, in colors if they are wanted, it
// heeds the width of the window, and what stays on the screen is what is written without a terminal.
func TestBarOnATerminal(t *testing.T) {
	t.Parallel()
	const blocks = 12
	text := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 500)
	header := "From: a@example.org\r\nTo: b@example.org\r\nSubject: long\r\n\r\n"
	mail := []byte(header + strings.Repeat(text, blocks))
	slowly := func(conn *mailtest.POP3Conn) error {
		err := conn.Say("+OK", header[:len(header)-2])
		for range blocks {
			if err == nil {
				time.Sleep(100 * time.Millisecond)
				err = conn.Say(text[:len(text)-2])
			}
		}
		if err == nil {
			err = conn.Say(".")
		}
		return err
	}
	for _, tt := range []struct {
		name  string
		args  []string
		env   []string
		width uint16
		bar   bool
		color bool
	}{
		{"plain", nil, []string{"TERM=xterm"}, 120, true, true},
		{"without colors", nil, []string{"TERM=xterm", "NO_COLOR=1"}, 90, true, false},
		{"with the dialogue", []string{"-v"}, []string{"TERM=xterm"}, 200, true, true},
		{"dumb", nil, []string{"TERM=dumb"}, 120, false, false},
		{"narrow", nil, []string{"TERM=xterm"}, 30, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startPOP3(t, mail)
			s.On("RETR|TOP", slowly)
			c := newClient(t, binary(t))
			c.rc(t, into(s, "box"))
			ctx, cancel := context.WithTimeout(t.Context(), runLimit)
			defer cancel()
			cmd := c.command(ctx, tt.args...)
			cmd.Env = append(cmd.Env, tt.env...)
			cmd.SysProcAttr.Setpgid = false // the terminal makes it the leader of a session
			term, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: tt.width})
			if err != nil {
				t.Fatal(err)
			}
			defer term.Close()
			shown, _ := io.ReadAll(term) // ends with an error when the program does
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v: %q", err, shown)
			}
			got := string(shown)
			if strings.Contains(got, " of 432.1 kB") != tt.bar || strings.Contains(got, "\x1b[32m") != tt.color || strings.Contains(got, "\x1b") != tt.bar {
				t.Errorf("bar %v, color %v: %q", tt.bar, tt.color, got)
			}
			want := fmt.Sprintf("1 message for alice at box (%d octets).\r\nreading message alice@127.0.0.1:1 of 1 (%d octets) flushed\r\n", len(mail), len(mail))
			if tt.args != nil { // the dialogue stands between
				_, want, _ = strings.Cut(want, "\n")
				got = got[max(strings.Index(got, "reading message"), 0):]
				got, _, _ = strings.Cut(got, "fetchmail: POP3> DELE")
			}
			if got := stays(got); got != want {
				t.Errorf("what stays on the screen is %q, want %q", got, want)
			}
		})
	}
}

// stays is what is left on the screen of lines that are drawn again and again: each drawing begins with CR and ends with
// an erasure.
func stays(shown string) string {
	lines := strings.Split(shown, "\r\n")
	for i, l := range lines {
		lines[i] = strings.ReplaceAll(l[strings.LastIndexByte(l, '\r')+1:], "\x1b[K", "")
	}
	return strings.Join(lines, "\r\n")
}
