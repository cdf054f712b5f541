package plan

import (
	"context"
	"errors"
	"testing"
	"time"

	"fetchmail/daemon/poll"
)

func TestHooks(t *testing.T) {
	if hook("pre", "") != nil {
		t.Error("a command where there is none")
	}
	if err := hook("pre", "true")(t.Context()); err != nil {
		t.Error(err)
	}
	var failed *poll.HookError
	if err := hook("post", "exit 3")(t.Context()); !errors.As(err, &failed) || failed.Code != 3 || failed.When != "post" {
		t.Error(err)
	}
	late := errors.New("too late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, late)
	defer cancel()
	begin := time.Now()
	if err := hook("pre", "exec sleep 60")(ctx); !errors.As(err, &failed) || !errors.Is(err, late) || time.Since(begin) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}
