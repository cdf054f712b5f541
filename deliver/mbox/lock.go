package mbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pollLock is the time between two attempts; staleLock is the age at which a dot-lock whose owner cannot be asked is
// taken for forgotten, as other delivery agents do.
const (
	pollLock  = 50 * time.Millisecond
	staleLock = 5 * time.Minute
)

var errLocked = errors.New("mailbox is locked by another program")

// dotLock makes path.lock. Where the directory does not let us, the fcntl lock must do.
func dotLock(ctx context.Context, path string) (unlock func(), err error) {
	lock := path + ".lock"
	for {
		switch err := makeDotLock(path, lock); {
		case err == nil:
			return func() { os.Remove(lock) }, nil
		case errors.Is(err, fs.ErrPermission):
			return func() {}, nil
		case errors.Is(err, fs.ErrNotExist): // another process has tidied up in between
		case !errors.Is(err, fs.ErrExist):
			return nil, err
		}
		if isStale(lock) {
			os.Remove(lock)
			continue
		}
		if err := pause(ctx, path); err != nil {
			return nil, err
		}
	}
}

// makeDotLock makes the lock with our number in it from the start, by a link: a process that is killed in between must
// not leave a lock of which nobody can tell whose it is.
func makeDotLock(path, lock string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(gatheredName(path))+"lock-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), lock)
}

// isStale tells whether the process whose number is in a dot-lock is gone; a lock without one is stale when it is old.
func isStale(lock string) bool {
	fi, err := os.Stat(lock)
	if err != nil {
		return false
	}
	b, err := os.ReadFile(lock)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return time.Since(fi.ModTime()) > staleLock
	}
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// fcntlLock locks the whole file; it is unlocked when it is closed.
func fcntlLock(ctx context.Context, f file) error {
	fd, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return nil
	}
	for {
		err := syscall.FcntlFlock(fd.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
		if err == nil || !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EACCES) {
			return err
		}
		if err := pause(ctx, "mailbox"); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, what string) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s: %w (%w)", what, errLocked, ctx.Err())
	case <-time.After(pollLock):
		return nil
	}
}
