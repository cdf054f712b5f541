package journal

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// LockWait is how long sinks wait for other programs to unlock a file.
const LockWait = time.Minute

// Pause is the time between two attempts to lock.
const Pause = 50 * time.Millisecond

// ErrLocked says that a lock was not to be had in time.
var ErrLocked = errors.New("file is locked by another program")

// Wait tries until it works, or fails, or ctx ends. try tells whether it is worth another attempt.
func Wait(ctx context.Context, path string, try func() (again bool, err error)) error {
	for {
		again, err := try()
		if !again {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (%w)", path, ErrLocked, ctx.Err())
		case <-time.After(Pause):
		}
	}
}
