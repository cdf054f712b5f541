package ledger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// disk is the boundary to the file system; tests put one before it that fails.
type disk interface {
	// read returns the whole file and a stamp that changes with it; an absent file is empty.
	read(path string) (data string, s stamp, err error)
	stamp(path string) stamp
	// replace puts data in the place of path, durably, or leaves everything as it was.
	replace(path string, data []byte) error
	// sweep removes what killed processes have left of replace.
	sweep(path string)
	// remove deletes path; an absent file is no error.
	remove(path string) error
	// rename puts a synced file in the place of another.
	rename(from, to string) error
	// lock opens a journal that no living process holds and holds it. It returns errHeld if one does, and
	// fs.ErrNotExist if it is absent and not to be created.
	lock(path string, create bool) (file, error)
}

// file is a journal that we hold.
type file interface {
	io.Writer // appends
	Sync() error
	Close() error // gives it up
	content() (string, error)
}

// errHeld: the journal belongs to a living process.
var errHeld = errors.New("journal is in use")

// A PermissionError says why a file of UIDs is not trusted. Its text is the reference's; fetchmail(1), EXIT CODES: 6.
type PermissionError struct{ Path, Why string }

func (e *PermissionError) Error() string { return fmt.Sprintf("File %s %s.", e.Path, e.Why) }

// stamp identifies one state of a file; the zero stamp is an absent one.
type stamp struct {
	dev, ino uint64
	size     int64
	mtime    time.Time
}

type osDisk struct{}

// read follows a symbolic link, as the reference does: what counts is whose file it leads to. It never blocks on a FIFO.
func (osDisk) read(path string) (string, stamp, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", stamp{}, nil
	}
	if err != nil {
		return "", stamp{}, err
	}
	defer f.Close()
	s, err := check(f, path)
	if err != nil {
		return "", stamp{}, err
	}
	b, err := io.ReadAll(f)
	return string(b), s, err
}

// check refuses what others may have written: who can add a UID can make us leave mail unread or delete it.
func check(f *os.File, path string) (stamp, error) {
	fi, err := f.Stat()
	if err != nil {
		return stamp{}, err
	}
	st := statOf(fi)
	switch {
	case !fi.Mode().IsRegular():
		return stamp{}, &PermissionError{path, "must be a regular file"}
	case fi.Mode().Perm()&^0o700 != 0:
		return stamp{}, &PermissionError{path, "must have no more than -rwx------ (0700) permissions"}
	case int(st.Uid) != os.Geteuid():
		return stamp{}, &PermissionError{path, "must be owned by you"}
	}
	return newStamp(fi), nil
}

func (osDisk) stamp(path string) stamp {
	fi, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return newStamp(fi)
}

// replace writes a temporary file beside path, syncs it and renames it.
func (osDisk) replace(path string, data []byte) error {
	dir := filepath.Dir(path)
	t, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer t.Cleanup()
	if _, err := t.Write(data); err != nil {
		return err
	}
	if err := t.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return syncDir(dir)
}

// litterAge is after what time a temporary file of replace belongs to nobody any more.
const litterAge = 10 * time.Minute

// sweep removes the temporary files that processes killed within replace have left: ".NAME" and a number.
func (osDisk) sweep(path string) {
	prefix := "." + filepath.Base(path)
	all, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	for _, e := range all {
		number, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok || number == "" || strings.Trim(number, "0123456789") != "" {
			continue
		}
		fi, err := e.Info()
		if err == nil && fi.Mode() == 0o600 && int(statOf(fi).Uid) == os.Geteuid() && time.Since(fi.ModTime()) > litterAge {
			os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
}

func (osDisk) remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (osDisk) rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // some file systems cannot
		return err
	}
	return nil
}

// lock opens path without following a symbolic link. Between opening and locking the former holder may have removed or
// replaced the file; then it is not ours and the next try sees what stands there now.
func (osDisk) lock(path string, create bool) (file, error) {
	flag := os.O_RDWR | os.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	if create {
		flag |= os.O_CREATE
	}
	for range 100 {
		f, err := os.OpenFile(path, flag, 0o600)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			_, err = check(f, path)
		} else if errors.Is(err, unix.EWOULDBLOCK) {
			err = errHeld
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		if same(f, path) {
			return &osFile{File: f, unlinked: true}, nil
		}
		f.Close()
	}
	return nil, errHeld
}

func same(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

type osFile struct {
	*os.File
	unlinked bool // its name is perhaps not yet on the disk
}

// Sync makes content and, the first time, the name durable.
func (f *osFile) Sync() error {
	if err := f.File.Sync(); err != nil || !f.unlinked {
		return err
	}
	f.unlinked = false
	return syncDir(filepath.Dir(f.Name()))
}

func (f *osFile) content() (string, error) {
	b, err := io.ReadAll(io.NewSectionReader(f.File, 0, 1<<62))
	return string(b), err
}
