package plan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fetchmail/daemon/poll"
)

func TestHooks(t *testing.T) {
	if hook("pre", "", false) != nil {
		t.Error("a command where there is none")
	}
	if err := hook("pre", "true", false)(t.Context()); err != nil {
		t.Error(err)
	}
	var failed *poll.HookError
	if err := hook("post", "exit 3", false)(t.Context()); !errors.As(err, &failed) || failed.Code != 3 || failed.When != "post" {
		t.Error(err)
	}
	late := errors.New("too late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, late)
	defer cancel()
	begin := time.Now()
	if err := hook("pre", "exec sleep 60", false)(ctx); !errors.As(err, &failed) || !errors.Is(err, late) || time.Since(begin) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// Of a command that is killed in a detached daemon nothing stays behind.
func TestKilledHookLeavesNothing(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- hook("pre", "sleep 60 & echo $! >"+pid+".new; mv "+pid+".new "+pid+"; wait", true)(ctx)
	}()
	var child int
	wait(t, "the command to begin", func() bool {
		text, err := os.ReadFile(pid)
		child, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	wait(t, "its child to end", func() bool { return gone(child) })
}

// gone tells whether a process has ended, though its new parent may not have taken notice yet.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
