package lock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fetchmail/protocols/mailtest/real"
)

// TestMain lets the test program be another process that holds the file until it is told to end.
func TestMain(m *testing.M) {
	if path := os.Getenv("LOCK_TEST_CHILD"); path != "" {
		l, _, err := Take(path, 300)
		fmt.Println(err)
		if err == nil {
			os.Stdin.Read(make([]byte, 1))
			l.Release()
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// holder starts such a process and returns when it holds the file.
func holder(t *testing.T, path string) (*exec.Cmd, fs.File) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOCK_TEST_CHILD="+path, "GORACE=atexit_sleep_ms=0")
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = in
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Cleanup(func() { w.Close(); cmd.Process.Kill(); cmd.Wait() })
	b := make([]byte, 5)
	if _, err := out.Read(b); err != nil || string(b) != "<nil>" {
		t.Fatalf("child: %q %v", b, err)
	}
	return cmd, w
}

func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd.Process.Pid
}

func dead(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func pidfile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pid")
	if content != "" {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestStaleAndDamagedFilesAreRemoved(t *testing.T) {
	tests := map[string]string{
		"process gone":                   fmt.Sprintf("%d\n300\n", dead(t)),
		"another program has the number": fmt.Sprintf("%d\n300\n", sleeper(t)),
		"our own number":                 fmt.Sprintf("%d\n", os.Getpid()), // always 1 in a container
		"no number":                      "abc\n",
		"blank":                          " \n",
		"zero":                           "0\n",
		"group":                          "-1\n",
		"too large":                      "99999999999999999999\n300\n",
		"more than two":                  fmt.Sprintf("%d 300 4\n", os.Getppid()),
	}
	for name, content := range tests {
		path := pidfile(t, content)
		if h, stale, err := Look(path); h != nil || !stale || err != nil || !exists(path) {
			t.Errorf("%s, looked at: %+v, stale %v, %v, still there %v", name, h, stale, err, exists(path))
		}
		if h, stale, err := Find(path); h != nil || !stale || err != nil {
			t.Errorf("%s: %+v, stale %v, %v", name, h, stale, err)
		}
		if exists(path) {
			t.Errorf("%s: not removed", name)
		}
	}
	if h, stale, err := Find(pidfile(t, "")); h != nil || stale || err != nil {
		t.Errorf("absent: %+v, stale %v, %v", h, stale, err)
	}
}

func TestContent(t *testing.T) {
	tests := []struct {
		content  string
		pid      int
		interval time.Duration
		daemon   bool
	}{
		{"12\n", 12, 0, false},
		{"12\n300\n", 12, 300 * time.Second, true},
		{"  12 300", 12, 300 * time.Second, true},
		{"12\r\n300\r\n", 12, 300 * time.Second, true},
		{"12x\n", 0, 0, false},
		{"12\n-3\n", 0, 0, false},
		{"2147483648\n", 0, 0, false},
	}
	for _, tt := range tests {
		h := parse(tt.content)
		if h == nil {
			h = &Holder{}
		}
		if h.PID != tt.pid || h.Interval != tt.interval || h.Daemon != tt.daemon {
			t.Errorf("%q: %+v", tt.content, h)
		}
	}
}

func TestTakeAndRelease(t *testing.T) {
	path := pidfile(t, fmt.Sprintf("%d\n", dead(t)))
	l, stale, err := Take(path, 0)
	if err != nil || !stale {
		t.Fatal(stale, err)
	}
	check := func(want string) {
		t.Helper()
		b, _ := os.ReadFile(path)
		if fi, _ := os.Lstat(path); string(b) != want || fi.Mode() != 0o600 {
			t.Errorf("%q, mode %v, want %q", b, fi.Mode(), want)
		}
	}
	check(fmt.Sprintf("%d\n", os.Getpid()))
	if err := l.SetInterval(86400); err != nil {
		t.Error(err)
	}
	check(fmt.Sprintf("%d\n86400\n", os.Getpid()))
	if err := l.SetInterval(5); err != nil {
		t.Error(err)
	}
	check(fmt.Sprintf("%d\n5\n", os.Getpid()))
	if err := errors.Join(l.Release(), l.Release()); err != nil || exists(path) {
		t.Errorf("not removed: %v", err)
	}
}

func TestReleaseLeavesTheFileOfAnotherAlone(t *testing.T) {
	path := pidfile(t, "")
	l, _, err := Take(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	os.WriteFile(path, []byte("1\n"), 0o600)
	if err := l.Release(); err != nil || !exists(path) {
		t.Errorf("removed, %v", err)
	}
}

func TestAnotherProcessHoldsIt(t *testing.T) {
	path := pidfile(t, "")
	cmd, in := holder(t, path)
	h, stale, err := Find(path)
	if err != nil || stale || h == nil || h.PID != cmd.Process.Pid || !h.Daemon || h.Interval != 300*time.Second {
		t.Fatalf("%+v, stale %v, %v", h, stale, err)
	}
	var held *HeldError
	if _, _, err := Take(path, 0); !errors.As(err, &held) || held.Holder.PID != h.PID {
		t.Errorf("taken twice: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	if err := h.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: %v", err)
	}
	cancel()
	in.Close()
	if err := h.Wait(t.Context()); err != nil || exists(path) {
		t.Errorf("Wait: %v", err)
	}
}

func TestQuitEndsTheHolderAndWhatItLeavesIsStale(t *testing.T) {
	path := pidfile(t, "")
	cmd, _ := holder(t, path)
	h, _, err := Find(path)
	if err != nil || h == nil {
		t.Fatal(h, err)
	}
	if err := h.Quit(); err != nil { // the test's child does not handle the signal: it dies without cleaning up
		t.Fatal(err)
	}
	if cmd.Wait(); !exists(path) {
		t.Error("the child has cleaned up: the test shows nothing")
	}
	if err := h.Quit(); !errors.Is(err, ErrGone) {
		t.Errorf("second Quit: %v", err)
	}
	if err := h.Wait(t.Context()); err != nil || exists(path) {
		t.Errorf("stale file: %v", err)
	}
}

// Debian bug 454291: the number in a stale file belongs to somebody else by now.
func TestUnrelatedProcessIsNeverSignalled(t *testing.T) {
	pid := sleeper(t)
	path := pidfile(t, fmt.Sprintf("%d\n300\n", pid))
	h := &Holder{PID: pid, Daemon: true, path: path}
	if err := h.Quit(); !errors.Is(err, ErrGone) {
		t.Errorf("Quit: %v", err)
	}
	if unix.Kill(pid, 0) != nil {
		t.Error("an unrelated process was killed")
	}
}

// The holder counts processes otherwise than we do: it is in another container, which shares the file with us.
func TestProcessOfTheSameNumberIsNotSignalled(t *testing.T) {
	path := pidfile(t, "")
	holder(t, path)
	pid := sleeper(t)
	if err := os.WriteFile(path, []byte(fmt.Sprintf("%d\n300\n", pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	h, stale, err := Find(path)
	if err != nil || stale || h == nil || h.PID != pid {
		t.Fatalf("%+v, stale %v, %v", h, stale, err)
	}
	for do, signal := range map[string]func() error{"Wake": h.Wake, "Quit": h.Quit} {
		if err := signal(); !errors.Is(err, ErrElsewhere) {
			t.Errorf("%s: %v", do, err)
		}
	}
	if unix.Kill(pid, 0) != nil {
		t.Error("an unrelated process was killed")
	}
}

func TestLinksPipesFoldersAndFilesOfOthersAreRefused(t *testing.T) {
	target := pidfile(t, fmt.Sprintf("%d\n", dead(t)))
	link := pidfile(t, "")
	os.Symlink(target, link)
	pipe := pidfile(t, "")
	unix.Mkfifo(pipe, 0o600)
	paths := map[string]string{"link": link, "pipe": pipe, "folder": t.TempDir(), "no folder": filepath.Join(t.TempDir(), "x", "pid")}
	if os.Geteuid() == 0 {
		other := pidfile(t, "12\n")
		os.Chown(other, 1, 1)
		paths["other"] = other
	}
	for name, path := range paths {
		var e *Error
		if _, _, err := Take(path, 0); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
		if name != "no folder" && !exists(path) {
			t.Errorf("%s: removed", name)
		}
	}
	if !exists(target) {
		t.Error("a link was followed")
	}
	if got := (&Error{opening, "/p", &fs.PathError{Err: unix.EACCES}}).Error(); got != `error opening lockfile "/p": Permission denied` {
		t.Error(got)
	}
}

func TestOnlyOneOfManyTakesIt(t *testing.T) {
	for range 3 {
		path := pidfile(t, "12345678\n300\n")
		var cmds [6]*exec.Cmd
		var outs [6]bytes.Buffer
		var wg sync.WaitGroup
		r, w, _ := os.Pipe()
		for i := range cmds {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "LOCK_TEST_CHILD="+path, "GORACE=atexit_sleep_ms=0")
			c.Stdin, c.Stdout = r, &outs[i]
			cmds[i] = c
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
		}
		r.Close()
		// The losers end at once; the winner when it is told to.
		var mu sync.Mutex
		ended := 0
		allButOne := make(chan bool)
		for _, c := range cmds {
			wg.Go(func() {
				c.Wait()
				mu.Lock()
				defer mu.Unlock()
				if ended++; ended == len(cmds)-1 {
					close(allButOne)
				}
			})
		}
		select {
		case <-allButOne:
		case <-time.After(20 * time.Second):
		}
		w.Close()
		wg.Wait()
		won := 0
		for i := range outs {
			switch s := outs[i].String(); {
			case s == "<nil>\n":
				won++
			case !strings.Contains(s, "another fetchmail is running"):
				t.Errorf("loser: %q", s)
			}
		}
		if won != 1 || exists(path) {
			t.Errorf("%d have taken it; file left: %v", won, exists(path))
		}
	}
}

// reference runs the real program with a pidfile, against a port where nobody listens.
func reference(t *testing.T, pid string, args ...string) *exec.Cmd {
	t.Helper()
	home := t.TempDir()
	rc := filepath.Join(home, "rc")
	if err := os.WriteFile(rc, []byte("poll localhost proto pop3 port 1 user a there password b is root here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(real.Reference(t), append([]string{"-f", rc, "-i", home + "/ids", "--pidfile", pid}, args...)...)
	c.Env = append(os.Environ(), "HOME="+home, "LC_ALL=C")
	return c
}

func TestTheReferenceUnderstandsOurFile(t *testing.T) {
	for _, tt := range []struct {
		interval int
		args     []string
		want     string
	}{
		{0, []string{"-d0"}, "another foreground fetchmail is running at %d."},
		{300, []string{"-c"}, "can't check mail while another fetchmail to same host is running."},
		{300, []string{"localhost"}, "can't poll specified hosts with another fetchmail running at %d."},
	} {
		path := pidfile(t, "")
		l, _, err := Take(path, tt.interval)
		if err != nil {
			t.Fatal(err)
		}
		out, err := reference(t, path, tt.args...).CombinedOutput()
		want := tt.want
		if strings.Contains(want, "%d") {
			want = fmt.Sprintf(want, os.Getpid())
		}
		if !strings.Contains(string(out), want) {
			t.Errorf("%v: %v\n%s", tt.args, err, out)
		}
		if !exists(path) {
			t.Error("our file was removed")
		}
		l.Release()
	}
}

func TestWeUnderstandTheFileOfTheReference(t *testing.T) {
	path := pidfile(t, "")
	c := reference(t, path, "-d", "300", "--nodetach")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	t.Cleanup(func() { c.Process.Kill() })
	var h *Holder
	for end := time.Now().Add(20 * time.Second); h == nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if b, _ := os.ReadFile(path); bytes.Count(b, []byte("\n")) < 2 {
			continue // not yet written: looking now would find a damaged file
		}
		var err error
		if h, _, err = Find(path); err != nil {
			t.Fatal(err)
		}
	}
	if h == nil || h.PID != c.Process.Pid || !h.Daemon || h.Interval != 300*time.Second {
		t.Fatalf("%+v", h)
	}
	var held *HeldError
	if _, _, err := Take(path, 60); !errors.As(err, &held) {
		t.Errorf("Take: %v", err)
	}
	if err := h.Wake(); err != nil {
		t.Error(err)
	}
	time.Sleep(50 * time.Millisecond)
	if err := h.Quit(); err != nil {
		t.Error(err)
	}
	if err := h.Wait(t.Context()); err != nil || exists(path) {
		t.Errorf("Wait: %v, file left: %v", err, exists(path))
	}
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("the reference has not ended")
	}
}

// FuzzContent: whatever a pidfile holds, nobody but a single process can come out of it.
func FuzzContent(f *testing.F) {
	for _, s := range []string{"12\n300\n", "-1", "0", "99999999999", "1 2 3", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if h := parse(s); h != nil && (h.PID <= 0 || h.Interval < 0 || h.Daemon != (len(strings.Fields(s)) == 2)) {
			t.Errorf("%q: %+v", s, h)
		}
	})
}
