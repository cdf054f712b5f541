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

	"fetchmail/deliver/journal"
)

// staleLock is the age at which a dot-lock whose owner cannot be asked is taken for forgotten, as liblockfile and others
// do.
const staleLock = 5 * time.Minute

// dotLock makes path.lock. Where the directory does not let us, the fcntl lock must do.
func dotLock(ctx context.Context, path string) (unlock func(), err error) {
	lock := path + ".lock"
	unlock = func() {}
	err = journal.Wait(ctx, path, func() (again bool, err error) {
		switch err := makeDotLock(path, lock); {
		case err == nil:
			unlock = func() { os.Remove(lock) }
			return false, nil
		case errors.Is(err, fs.ErrPermission):
			return false, nil
		case !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist): // the latter: another process has tidied up in between
			return false, err
		}
		return true, nil
	})
	return unlock, err
}

// makeDotLock makes the lock with our number in it from the start, by a link: a process that is killed in between must
// not leave a lock of which nobody can tell whose it is. The form is Dovecot's; those who look for a number find it, too.
// A stale lock is taken away.
func makeDotLock(path, lock string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(journal.Beside(path))+"lock-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	host, _ := os.Hostname()
	_, err = fmt.Fprintf(f, "%d:%s", os.Getpid(), host)
	fi, serr := f.Stat()
	if err := errors.Join(err, serr, f.Close()); err != nil {
		return err
	}
	err = os.Link(f.Name(), lock)
	if errors.Is(err, fs.ErrExist) {
		if found, stale := isStale(lock, host, fi.ModTime()); stale {
			takeAway(lock, found, f.Name())
		}
	}
	return err
}

// takeAway moves a stale lock to the name aside, and puts back what another process that has seen the stale one, too, has
// made in its place meanwhile.
func takeAway(lock string, stale fs.FileInfo, aside string) {
	if os.Rename(lock, aside) != nil {
		return
	}
	if fi, err := os.Stat(aside); err == nil && !(os.SameFile(fi, stale) && fi.ModTime().Equal(stale.ModTime())) {
		os.Link(aside, lock)
	}
}

// isStale tells whether the process that a dot-lock names is gone. Of one on another host, where a mailbox is shared, and
// of a lock that does not say whose it is that cannot be known: it is stale when it is old. now is the time on the clock
// of the file system, which may be another machine's.
func isStale(lock, here string, now time.Time) (fi fs.FileInfo, stale bool) {
	fi, err := os.Stat(lock)
	if err != nil {
		return nil, false
	}
	b, err := os.ReadFile(lock)
	if err != nil {
		return nil, false
	}
	old := now.Sub(fi.ModTime()) > staleLock
	number, host, named := strings.Cut(strings.TrimSpace(string(b)), ":")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 1 || named && host != here {
		return fi, old
	}
	return fi, errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) && (named || old)
}

// fcntlLock locks the whole file; it is unlocked when it is closed.
func fcntlLock(ctx context.Context, path string, f journal.File) error {
	fd, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return nil
	}
	return journal.Wait(ctx, path, func() (again bool, err error) {
		err = syscall.FcntlFlock(fd.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
		return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES), err
	})
}
