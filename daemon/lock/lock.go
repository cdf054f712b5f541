// Package lock is the pidfile: which fetchmail of this user is running, and that there is only one.
//
// The file (fetchmail(1), --pidfile) holds the process ID and, for a daemon, on a second line the interval in seconds; mode
// 0600. It is understood by the reference and the other way round. In addition its owner holds a flock(2) on it, so that
// a file left behind by a crash is known for what it is even if its process ID has been given to another process. The
// reference takes no flock; a file that nobody has locked counts only if its process lives, may be signalled by us and,
// where the system tells, is a fetchmail: an unrelated process is never signalled.
//
// Symbolic links are not followed, and a file that neither we nor root own is not believed.
package lock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Holder is the process that a pidfile names.
type Holder struct {
	PID      int
	Daemon   bool          // the file has an interval: wake-ups and --quit are for it
	Interval time.Duration // whole seconds
	path     string
	flocked  bool // it is one of ours, which keeps the file open
}

// Error says what could not be done with a pidfile; its text is the reference's, behind its doubled prefix.
type Error struct {
	Do   string // "error opening lockfile", "error reading lockfile", "lock creation failed, pidfile"
	Path string
	Err  error
}

func (e *Error) Error() string {
	text := e.Err.Error()
	if n := syscall.Errno(0); errors.As(e.Err, &n) {
		text = n.Error()
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return fmt.Sprintf("%s %q: %s", e.Do, e.Path, text)
}

func (e *Error) Unwrap() error { return e.Err }

const (
	opening  = "error opening lockfile"
	reading  = "error reading lockfile"
	creating = "lock creation failed, pidfile"
)

// maxFile is more than a pidfile ever holds, in octets.
const maxFile = 256

var (
	errOwner   = errors.New("not owned by you")
	errRegular = errors.New("not a regular file")
	errBusy    = errors.New("changes hands all the time")
)

// Find tells who holds the pidfile; nil if nobody does. A stale or damaged file is removed, and stale is true. Its error is
// an *Error.
func Find(path string) (h *Holder, stale bool, err error) { return find(path, false) }

// Look is Find for those who only want to know: a stale file stays where it is, and root may look at everybody's.
func Look(path string) (h *Holder, stale bool, err error) { return find(path, true) }

func find(path string, keep bool) (h *Holder, stale bool, err error) {
	for n := range tries {
		f, err := open(path, 0, keep)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, stale, nil
		}
		if err != nil {
			return nil, stale, &Error{opening, path, err}
		}
		h, gone, err := examine(f, path, n == tries-1)
		if gone && !keep {
			err = remove(path)
			gone = err == nil
		}
		f.Close()
		if err != nil || h != nil || gone && keep {
			return h, stale || gone, err
		}
		stale = stale || gone
	}
	return nil, stale, &Error{opening, path, errBusy}
}

// tries bounds how often we look again when the file changes under our hands, lookAgain is the pause before.
const (
	tries     = 50
	lookAgain = 10 * time.Millisecond
)

// open opens a pidfile that can be believed: one of ours or of root. If it is only looked at, root believes everybody: it
// signals nobody.
func open(path string, flag int, look bool) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|flag, 0o600)
	if errors.Is(err, fs.ErrPermission) && flag == 0 { // root's
		f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = errRegular
	}
	if err == nil {
		if uid := int(fi.Sys().(*syscall.Stat_t).Uid); uid != os.Geteuid() && uid != 0 && !(look && os.Geteuid() == 0) {
			err = errOwner
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// remove takes a stale file away. It is locked by us.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &Error{opening, path, err}
	}
	return nil
}

// examine tells who holds f, or that nobody does. If it finds out neither it returns nothing, and is to be
// asked again; patient says that this was done often enough.
func examine(f *os.File, path string, patient bool) (h *Holder, gone bool, err error) {
	held := false
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		held = true
	case err == nil && !current(f, path):
		return nil, false, nil
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxFile))
	if err != nil {
		return nil, false, &Error{reading, path, err}
	}
	h = parse(string(b))
	switch {
	case held && (h == nil || !alive(h.PID) && !patient):
		// It is being created, examined by another, or its holder is about to end. If that lasts, its holder is one that we
		// cannot see: in another container, or not ours.
		time.Sleep(lookAgain)
		return nil, false, nil
	case held || h != nil && h.PID != os.Getpid() && alive(h.PID) && isFetchmail(h.PID):
		h.path, h.flocked = path, held
		return h, false, nil
	}
	return nil, true, nil
}

// current tells whether path still leads to f.
func current(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// parse reads a pidfile; nil if it is damaged.
func parse(s string) *Holder {
	f := strings.Fields(s)
	if len(f) == 0 || len(f) > 2 {
		return nil
	}
	pid, err := strconv.ParseInt(f[0], 10, 32)
	// 0 and negative numbers name groups of processes: kill(2).
	if err != nil || pid <= 0 {
		return nil
	}
	h := &Holder{PID: int(pid)}
	if len(f) == 2 {
		n, err := strconv.ParseInt(f[1], 10, 32)
		if err != nil || n < 0 {
			return nil
		}
		h.Daemon, h.Interval = true, time.Duration(n)*time.Second
	}
	return h
}

func format(pid, interval int) string {
	if interval <= 0 {
		return fmt.Sprintf("%d\n", pid)
	}
	return fmt.Sprintf("%d\n%d\n", pid, interval)
}

// alive tells whether the process exists and may be signalled by us.
func alive(pid int) bool { return unix.Kill(pid, 0) == nil }

// here tells whether the process that the number means here is the one that has locked the pidfile: it has the file open. A
// container counts its processes for itself, and may share the file with us. Where the system does not tell, the name has
// to do.
func (h *Holder) here() bool {
	ours, err := os.Stat(h.path)
	if err != nil {
		return false
	}
	dir := fmt.Sprintf("/proc/%d/fd/", h.PID)
	open, err := os.ReadDir(dir)
	if err != nil {
		return unix.Kill(h.PID, 0) != unix.ESRCH && isFetchmail(h.PID)
	}
	return slices.ContainsFunc(open, func(e fs.DirEntry) bool {
		theirs, err := os.Stat(dir + e.Name())
		return err == nil && os.SameFile(ours, theirs)
	})
}

// isFetchmail tells whether the process goes by our name; where the system does not tell (no /proc), it is believed.
func isFetchmail(pid int) bool {
	dir := fmt.Sprintf("/proc/%d/", pid)
	comm, err := os.ReadFile(dir + "comm")
	if err != nil {
		return true
	}
	if strings.Contains(string(comm), "fetchmail") {
		return true
	}
	args, _ := os.ReadFile(dir + "cmdline")
	name, _, _ := strings.Cut(string(args), "\x00")
	return strings.Contains(filepath.Base(name), "fetchmail")
}
