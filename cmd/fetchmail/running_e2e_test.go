package main_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// running is a daemon that the test watches. What it says goes to the file "out" of its home.
type running struct {
	*client
	cmd  *exec.Cmd
	done chan struct{} // closed at its end
	http http.Client   // for metrics at the socket "metrics" of its home
	end  sync.Once
}

// start starts the program without waiting for its end, which comes with that of the test at the latest.
func (c *client) start(t testing.TB, args ...string) *running {
	t.Helper()
	out, err := os.Create(filepath.Join(c.home, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	r := &running{client: c, cmd: c.command(context.Background(), args...), done: make(chan struct{})}
	r.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(c.home, "metrics"))
	}}
	r.cmd.Stdout, r.cmd.Stderr = out, out
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.cmd.Wait()
		close(r.done)
	}()
	t.Cleanup(func() {
		if r.quit(t); t.Failed() {
			t.Logf("the daemon said: %s", cut(r.read(t, "out")))
		}
	})
	return r
}

func (r *running) signal(sig syscall.Signal) { r.cmd.Process.Signal(sig) }

// quit ends the program as --quit does and returns its exit status.
func (r *running) quit(t testing.TB) int {
	t.Helper()
	r.end.Do(func() {
		r.signal(syscall.SIGTERM)
		select {
		case <-r.done:
		case <-time.After(runLimit):
			r.cmd.Process.Kill()
			<-r.done
			t.Errorf("the daemon does not end: %s", cut(r.read(t, "out")))
		}
	})
	return r.cmd.ProcessState.ExitCode()
}

// alive fails the test if the daemon has ended.
func (r *running) alive(t testing.TB) {
	t.Helper()
	select {
	case <-r.done:
		t.Fatalf("the daemon has ended, %v: %s", r.cmd.ProcessState, cut(r.read(t, "out")))
	default:
	}
}

// usage is what a process needs.
type usage struct {
	memory                    int64 // resident, octets
	files, children, routines int
}

func (u usage) String() string {
	return fmt.Sprintf("%.1f MB, %d descriptors, %d children, %d goroutines", float64(u.memory)/1e6, u.files, u.children, u.routines)
}

// usage measures the daemon, which must serve metrics at the socket "metrics" of its home.
func (r *running) usage(t testing.TB) (u usage) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", r.cmd.Process.Pid)
	fds, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	u.files = len(fds)
	lists, _ := filepath.Glob(proc + "task/*/children")
	for _, l := range lists {
		b, _ := os.ReadFile(l)
		u.children += len(strings.Fields(string(b)))
	}
	u.memory = int64(r.metric(t, "process_resident_memory_bytes"))
	u.routines = int(r.metric(t, "go_goroutines"))
	return u
}

// metric reads one number of the daemon's metrics.
func (r *running) metric(t testing.TB, name string) (value float64) {
	t.Helper()
	res, err := r.http.Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		if n, _ := fmt.Sscanf(s.Text(), name+" %g", &value); n == 1 {
			return value
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
