package lock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Lock is a pidfile that we hold.
type Lock struct {
	f    *os.File
	path string
}

// HeldError: another fetchmail has been faster.
type HeldError struct{ Holder *Holder }

func (e *HeldError) Error() string {
	return fmt.Sprintf("another fetchmail is running at %d", e.Holder.PID)
}

// Take makes the pidfile ours: interval is the daemon's, in seconds; 0 for a foreground run. stale tells that a file which
// nobody held had to be removed. Its error is a *HeldError or an *Error.
func Take(path string, interval int) (l *Lock, stale bool, err error) {
	for range tries {
		h, s, err := Find(path)
		stale = stale || s
		if err != nil {
			return nil, stale, err
		}
		if h != nil {
			return nil, stale, &HeldError{h}
		}
		f, err := open(path, os.O_CREATE|os.O_EXCL, false)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, stale, &Error{creating, path, err}
		}
		l := &Lock{f: f, path: path}
		// The content comes first: the reference goes by it alone. File systems without flock are tolerated: then we are
		// as safe as the reference.
		if err := l.SetInterval(interval); err != nil {
			f.Close()
			os.Remove(path)
			return nil, stale, &Error{creating, path, err}
		}
		if l.acquire() {
			return l, stale, nil
		}
		f.Close()
	}
	return nil, stale, &Error{creating, path, errBusy}
}

// acquire locks the file that we have just created, unless another has taken it for a stale one meanwhile. Somebody who
// looks at it holds its lock for an instant only.
func (l *Lock) acquire() bool {
	for range tries {
		err := unix.Flock(int(l.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !current(l.f, l.path) {
			return false
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return true
		}
		time.Sleep(lookAgain)
	}
	return false
}

// SetInterval writes process ID and interval, in seconds, anew.
func (l *Lock) SetInterval(interval int) error {
	s := format(os.Getpid(), interval)
	if _, err := l.f.WriteAt([]byte(s), 0); err != nil {
		return err
	}
	return l.f.Truncate(int64(len(s)))
}

// Release removes the pidfile if it is still ours, and gives up the lock. It may be called twice.
func (l *Lock) Release() error {
	if l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	defer f.Close()
	if !current(f, l.path) {
		return nil
	}
	return os.Remove(l.path)
}

// ErrGone: the process has ended before it could be signalled.
var ErrGone = errors.New("no such fetchmail is running any more")

// ErrElsewhere: somebody holds the pidfile, but not the process that goes by this number here.
var ErrElsewhere = errors.New("it runs in another container, or on another machine")

// Wake makes a daemon poll at once (SIGUSR1; fetchmail(1), SIGNALS).
func (h *Holder) Wake() error { return h.signal(unix.SIGUSR1) }

// Quit asks it to end (SIGTERM) when the message in hand is done.
func (h *Holder) Quit() error { return h.signal(unix.SIGTERM) }

// signal makes sure that the process has not ended and its number not been given away since Find: the process is taken
// hold of first (pidfd where the system has it), then looked at again.
func (h *Holder) signal(sig syscall.Signal) error {
	p, err := os.FindProcess(h.PID)
	if err != nil {
		return ErrGone
	}
	defer p.Release()
	now, _, err := Find(h.path)
	switch {
	case err != nil || now == nil || now.PID != h.PID:
		return ErrGone
	case now.flocked && !now.here():
		return ErrElsewhere
	}
	if err := p.Signal(sig); err != nil {
		if errors.Is(err, os.ErrProcessDone) || errors.Is(err, unix.ESRCH) {
			return ErrGone
		}
		return err
	}
	return nil
}

// Wait returns when the process does not hold the pidfile any more, or with the error of ctx. A file that it has left
// behind is removed.
func (h *Holder) Wait(ctx context.Context) error {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		now, _, err := Find(h.path)
		if err == nil && (now == nil || now.PID != h.PID) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}
