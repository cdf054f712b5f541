package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// runLimit ends a run of the program that hangs. It is far above what any run takes on a slow machine.
var runLimit = 3 * time.Minute

// buildDir holds the binary under test; it is removed after the last test.
var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fetchmail-build-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	if left := leftBehind(); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "processes that the tests have left behind:", left)
		code = 1
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// leftBehind ends the processes that still run the binary under test, and returns what they are. A daemon that nobody ends
// would stay for ever, and hold what it has inherited: a pipe that somebody reads to its end.
func leftBehind() (left []string) {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		left = nil
		late := time.Now().After(end)
		links, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, l := range links {
			if exe, err := os.Readlink(l); err != nil || exe != filepath.Join(buildDir, "fetchmail") {
				continue
			}
			cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(l), "cmdline"))
			left = append(left, filepath.Base(filepath.Dir(l))+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
			if late {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(l)))
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if len(left) == 0 || late {
			return left
		}
	}
}

// build makes the binary as `make build` does: without cgo and, unlike this test, without the race detector.
var build = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("FETCHMAIL_BIN"); bin != "" {
		return bin, nil // any other build, the reference among them
	}
	bin := filepath.Join(buildDir, "fetchmail")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, os.Chmod(buildDir, 0o755)
})

func binary(t testing.TB) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// client is an installation of a fetchmail: a binary with a home of its own and a user, who is not root.
type client struct {
	bin, home string
	user      string
	uid, gid  int
	env       []string // besides the usual
}

func newClient(t testing.TB, bin string) *client {
	t.Helper()
	c := &client{bin: bin, home: real.Dir(t)}
	c.user, c.uid, c.gid = real.Account(t)
	c.own(t, c.home)
	return c
}

// own gives a path to the user of the client.
func (c *client) own(t testing.TB, path string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	if err := os.Chown(path, c.uid, c.gid); err != nil {
		t.Fatal(err)
	}
}

// rc writes the .fetchmailrc.
func (c *client) rc(t testing.TB, text string) {
	t.Helper()
	c.write(t, ".fetchmailrc", text)
}

func (c *client) write(t testing.TB, name, text string) {
	t.Helper()
	path := filepath.Join(c.home, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c.own(t, path)
}

func (c *client) chmod(t testing.TB, name string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(filepath.Join(c.home, name), mode); err != nil {
		t.Fatal(err)
	}
}

// read returns a file of the home, "" if it is not there.
func (c *client) read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.home, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// result is what a run has shown.
type result struct {
	code           int // -1: ended by a signal
	stdout, stderr string
	took           time.Duration
	peak           int64 // of resident memory, octets
}

func (r result) String() string {
	return fmt.Sprintf("exit %d after %v, at most %.1f MB\nstdout: %s\nstderr: %s", r.code, r.took.Round(time.Millisecond),
		float64(r.peak)/1e6, cut(r.stdout), cut(r.stderr))
}

// cut keeps both ends of a long text.
func cut(s string) string {
	if len(s) <= 3000 {
		return s
	}
	return s[:1500] + "\n[...]\n" + s[len(s)-1500:]
}

func (c *client) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.bin, args...)
	cmd.Dir = c.home
	cmd.Env = []string{"HOME=" + c.home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "USER=" + c.user, "LOGNAME=" + c.user}
	cmd.Env = append(cmd.Env, c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(c.uid), Gid: uint32(c.gid)}
	}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs the program once and fails the test if it hangs.
func (c *client) run(t testing.TB, args ...string) result {
	t.Helper()
	r, err := c.runKilled(0, args...)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.stderr, "localhost:smtp") {
		t.Errorf("a bounce was meant for the mail system of this machine, which no test may touch: %s", r)
	}
	return r
}

// runKilled runs the program and sends SIGKILL after the time given, if it is not 0.
func (c *client) runKilled(after time.Duration, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	cmd := c.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	if after > 0 {
		timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
		defer timer.Stop()
	}
	stop := make(chan struct{})
	peak := make(chan int64)
	go func() { peak <- watchMemory(cmd.Process.Pid, stop) }()
	err := cmd.Wait()
	close(stop)
	r := result{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(begin), peak: <-peak}
	if ctx.Err() != nil {
		return r, fmt.Errorf("the program hangs: %s", r)
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		return r, err
	}
	return r, nil
}

var vmHWM = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// watchMemory returns the peak of a process' resident memory. The kernel keeps it (VmHWM), so that only a rise in the
// last milliseconds can be missed. It is not taken from wait4, where the peak of this process before exec counts too.
func watchMemory(pid int, stop chan struct{}) (peak int64) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	for {
		status, _ := os.ReadFile(path)
		if m := vmHWM.FindSubmatch(status); m != nil {
			if kb, err := strconv.ParseInt(string(m[1]), 10, 64); err == nil {
				peak = max(peak, kb*1024)
			}
		}
		select {
		case <-stop:
			return peak
		case <-time.After(3 * time.Millisecond):
		}
	}
}

// start starts a scripted server, which ends with the test.
func start(t testing.TB, s interface {
	Start(addr string) error
	Close()
}) {
	t.Helper()
	if err := s.Start(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
}

// listener starts a scripted SMTP listener, which ends with the test.
func listener(t testing.TB, o mailtest.SMTPOptions) *mailtest.SMTP {
	t.Helper()
	l, err := mailtest.StartSMTP(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

// place is where mail comes from and goes to in one test.
type place struct {
	*real.Dovecot
	*real.Postfix
	dir string
}

func newPlace(t testing.TB, d real.DovecotOptions, p real.PostfixOptions) *place {
	t.Helper()
	return &place{Dovecot: real.StartDovecot(t, d), Postfix: real.StartPostfix(t, p), dir: real.Dir(t)}
}

// fill replaces the marks @POP3@, @POP3S@, @IMAP@, @IMAPS@, @SMTP@, @LMTP@ (ports), @CA@ (certificate file) and @DIR@.
func (p *place) fill(text string) string {
	return strings.NewReplacer(
		"@POP3@", strconv.Itoa(p.POP3), "@POP3S@", strconv.Itoa(p.POP3S),
		"@IMAP@", strconv.Itoa(p.IMAP), "@IMAPS@", strconv.Itoa(p.IMAPS),
		"@SMTP@", strconv.Itoa(p.Postfix.SMTP), "@LMTP@", strconv.Itoa(p.LMTP), "@CA@", p.Dovecot.CA, "@DIR@", p.dir,
	).Replace(text)
}

// left counts the messages in alice's inbox.
func (p *place) left(t testing.TB) int {
	t.Helper()
	return p.Dovecot.Count(t, "alice", "")
}

// body returns what follows the header.
func body(text []byte) []byte {
	_, b, _ := bytes.Cut(text, []byte("\n\n"))
	return b
}
