package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain lets the test program be the detached process.
func TestMain(m *testing.M) {
	d, err := IsDetached()
	switch {
	case err != nil:
		fmt.Println(err)
		os.Exit(1)
	case d != nil:
		detached(d)
	}
	goleak.VerifyTestMain(m)
}

// detached does what its argument says and tells in a file what it has seen.
func detached(d *Detached) {
	sid, _ := unix.Getsid(0)
	_, inherits := os.LookupEnv(detachedEnv)
	out, err := os.Stdout.Stat()
	given, _ := strconv.Atoi(os.Args[3])
	_, closed := unix.FcntlInt(uintptr(given), unix.F_GETFD, 0)
	report := fmt.Sprintf("secrets %q leader %v env %v stdout %v %v, given %v\n", d.Secrets, sid == os.Getpid(), inherits, out.Mode().Type(), err, closed)
	os.WriteFile(os.Args[2], []byte(report), 0o600)
	switch os.Args[1] {
	case "ready":
		d.Ready()
		d.Ready() // says nothing any more
		fmt.Println("in the background")
		os.Exit(0)
	case "fail":
		d.Fail(5, "no mailservers\nhave been specified.")
		os.Exit(5)
	case "exit":
		os.Exit(9)
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}

func start(t *testing.T, what string, log *os.File) (seen string, pid int, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "seen")
	secrets := bytes.Repeat([]byte("s3cret "), 20000) // more than a pipe holds
	given, err := unix.FcntlInt(0, unix.F_DUPFD, 200) // as a shell does it for its commands
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(given)
	pid, err = Detaching{Args: []string{"fetchmail", what, file, strconv.Itoa(given)}, Secrets: secrets, Log: log}.Start()
	b, _ := os.ReadFile(file)
	return strings.ReplaceAll(string(b), strings.Repeat("s3cret ", 20000), "ALL"), pid, err
}

func TestDetachWaitsUntilTheOtherIsReady(t *testing.T) {
	seen, pid, err := start(t, "ready", nil)
	if err != nil || pid <= 0 || seen != "secrets \"ALL\" leader true env false stdout Dc--------- <nil>, given bad file descriptor\n" {
		t.Errorf("%q, pid %d, %v", seen, pid, err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if _, _, err := start(t, "ready", log); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if b, _ := os.ReadFile(log.Name()); string(b) == "in the background\n" {
			break
		} else if time.Now().After(end) {
			t.Fatalf("log %q", b)
		}
	}
}

func TestDetachHandsOnWhatKeptTheOtherFromBeingReady(t *testing.T) {
	for what, want := range map[string]StartError{
		"fail": {5, "no mailservers\nhave been specified."},
		"exit": {9, "the background process has ended: exit status 9"},
		"die":  {internalError, "the background process has ended before it was ready: signal: killed"},
	} {
		var e *StartError
		if _, _, err := start(t, what, nil); !errors.As(err, &e) || *e != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := (Detaching{Path: "/does/not/exist"}).Start(); err == nil {
		t.Error("started nothing")
	}
}

func TestTheMarkOfAnotherProcessIsNotBelieved(t *testing.T) {
	t.Setenv(detachedEnv, "1 1")
	if d, err := IsDetached(); d != nil || err != nil {
		t.Errorf("%v %v", d, err)
	}
}

func TestLogIsAppendedToAndFollowsRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if _, err := OpenLog(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	os.WriteFile(path, []byte("before\n"), 0o600)
	l, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	content := func(path, want string) {
		t.Helper()
		if b, err := os.ReadFile(path); string(b) != want {
			t.Errorf("%s: %q, want %q (%v)", filepath.Base(path), b, want, err)
		}
	}
	say := func(s string) {
		t.Helper()
		l.looked = time.Time{} // as if a second had gone by
		if _, err := io.WriteString(l, s); err != nil {
			t.Error(err)
		}
	}
	say("one\n")
	os.Rename(path, path+".1")
	say("two\n") // there is no new one yet
	os.WriteFile(path, nil, 0o600)
	say("three\n")
	os.Rename(path, path+".2")
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	io.WriteString(l, "four\n")
	content(path+".1", "before\none\ntwo\n")
	content(path+".2", "three\n")
	content(path, "four\n")
	if fi, _ := os.Stat(path); fi.Mode() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
}

func TestLogfileMayBeADeviceButNotTheLinkOfAnother(t *testing.T) {
	l, err := OpenLog("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	l.looked = time.Time{}
	if _, err := io.WriteString(l, "x\n"); err != nil {
		t.Error(err)
	}
	l.Close()
	link := filepath.Join(t.TempDir(), "log")
	os.Symlink("/dev/null", link)
	if l, err := OpenLog(link); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
	if os.Geteuid() == 0 {
		os.Lchown(link, 1, 1)
		if _, err := OpenLog(link); err == nil {
			t.Error("followed the link of another user")
		}
	}
}

func TestLogUnderWritersAndRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	os.WriteFile(path, nil, 0o600)
	l, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				io.WriteString(l, "a line\n")
			}
		})
	}
	for i := range 10 {
		os.Rename(path, fmt.Sprint(path, i))
		if err := l.Reopen(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	l.Close()
	all, _ := filepath.Glob(path + "*")
	n := 0
	for _, f := range all {
		b, _ := os.ReadFile(f)
		n += bytes.Count(b, []byte("a line\n"))
	}
	if n != 800 {
		t.Errorf("%d lines of 800", n)
	}
}

func TestLinesAreWholeAndWithoutPrefix(t *testing.T) {
	var got []string
	w := Lines("fetchmail: ", func(s string) error { got = append(got, s); return nil })
	for _, s := range []string{"fetchmail: starting\nreading ", "message ", "1 flushed\n\n  ", "\nfetchmail: x\nopen"} {
		io.WriteString(w, s)
	}
	if want := []string{"starting", "reading message 1 flushed", "x"}; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q", got)
	}
}

// listen is a datagram socket of the file system, as /dev/log and $NOTIFY_SOCKET are.
func listen(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") // short: a socket's path has at most 107 octets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "log")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	return c, path
}

func receive(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestSyslogHasTheRightFacilityPrioritiesAndName(t *testing.T) {
	c, path := listen(t)
	s, err := OpenSyslog("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	const mail = 2 << 3 // RFC 5424, section 6.2.1
	for _, tt := range []struct {
		w        io.Writer
		priority int
	}{{s.Out, 6}, {s.Err, 3}} {
		io.WriteString(tt.w, "fetchmail: awakened by signal 10\n")
		want := regexp.MustCompile(`^<` + strconv.Itoa(mail|tt.priority) + `>.* fetchmail\[` + strconv.Itoa(os.Getpid()) + `\]: awakened by signal 10\n$`)
		if got := receive(t, c); !want.MatchString(got) {
			t.Errorf("%q", got)
		}
	}
}

func TestSystemdHears(t *testing.T) {
	c, path := listen(t)
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	var n Notify
	n.Ready()
	n.Status("polling\nnow")
	n.Stopping()
	for _, want := range []string{"READY=1", "STATUS=polling now", "STOPPING=1"} {
		if got := receive(t, c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	n.Reloading()
	if got := receive(t, c); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("%q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	beats := 0
	wg.Go(func() { n.Watchdog(ctx, func(time.Duration) bool { beats++; return beats != 2 }) })
	for range 3 {
		if got := receive(t, c); got != "WATCHDOG=1" {
			t.Errorf("%q", got)
		}
	}
	cancel()
	wg.Wait()
	if beats < 4 {
		t.Errorf("%d beats: one of them was to be left out", beats)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	n.Ready()
	n.Watchdog(t.Context(), func(time.Duration) bool { return true })
}

func TestSignalsBecomeChannelValues(t *testing.T) {
	s := Listen(true)
	defer s.Stop()
	for _, tt := range []struct {
		c   <-chan os.Signal
		sig syscall.Signal
	}{{s.Wake, syscall.SIGUSR1}, {s.Wake, syscall.SIGHUP}, {s.Quit, syscall.SIGTERM}, {s.Quit, syscall.SIGINT}, {s.Quit, syscall.SIGQUIT},
		{s.Quit, syscall.SIGALRM}, {s.Reopen, syscall.SIGUSR2}} {
		syscall.Kill(os.Getpid(), tt.sig)
		select {
		case got := <-tt.c:
			if got != tt.sig {
				t.Errorf("%v came as %v", tt.sig, got)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%v did not come", tt.sig)
		}
	}
}
