// Package journal appends messages to files, each of them whole or not at all.
//
// A message is gathered in a file beside the one that it is for and appended in one go, so that the lock on the latter
// is never held while we wait for a server. What a failing write has left is cut off again. For a process that is killed
// while it appends, the gathered file is the journal: its name then ends in the offset at which the message was to
// begin, and the next append cuts off the torn message if what stands behind that offset is the beginning of the
// gathered file and nothing else.
//
// Where no file can be made beside (a spool directory that only setgid programs write to), or the file is none in which
// anything could be cut off (a pipe, a device), the message is gathered in the directory for temporary files and a torn
// message stays.
package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// File is what we need of the *os.File that is appended to.
type File interface {
	io.ReadWriteSeeker
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Sync() error
	Truncate(size int64) error
}

// Open opens a file for Append and makes it with mode 0600 if it is missing. A symbolic link is followed if it is ours
// or root's: in a spool directory somebody else could make it point to any file that we may write to.
func Open(path string) (File, error) {
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
			return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("somebody else's symbolic link")}
		}
	}
	mode := os.O_RDWR | os.O_CREATE
	if !cuttable(path) {
		mode = os.O_WRONLY | os.O_APPEND
	}
	return os.OpenFile(path, mode, 0o600)
}

// cuttable tells whether path is, or will be, a file in the usual sense.
func cuttable(path string) bool {
	fi, err := os.Stat(path)
	return err != nil || fi.Mode().IsRegular()
}

// Gap is what is missing between the message that ends at offset and the next one.
type Gap func(f io.ReaderAt, offset int64) (string, error)

// NoGap is for files whose messages follow each other.
func NoGap(io.ReaderAt, int64) (string, error) { return "", nil }

// Message is a file that holds one message as it is to stand in the other. While its process lives it is locked.
type Message struct {
	f    *os.File
	path string // "": nothing torn is looked for
	name string // "" once it has none
}

// New begins a message for the file path.
func New(path string) (*Message, error) {
	if !cuttable(path) {
		return Unnamed()
	}
	for {
		f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(Beside(path))+"*")
		if errors.Is(err, fs.ErrPermission) {
			m, err := Unnamed()
			if err == nil {
				m.path = path
			}
			return m, err
		}
		if err != nil {
			return nil, err
		}
		ours, err := claim(f)
		if ours {
			return &Message{f: f, path: path, name: f.Name()}, nil
		}
		os.Remove(f.Name())
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

// claim locks a new file. It is not ours if somebody who looks for torn messages was faster and took it for forgotten.
func claim(f *os.File) (ours bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = nil
		}
		return false, err
	}
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return !ok || st.Nlink > 0, nil
}

// Unnamed begins a message in a file without a name in the directory for temporary files.
func Unnamed() (*Message, error) {
	f, err := Temporary()
	if err != nil {
		return nil, err
	}
	return &Message{f: f}, nil
}

// Temporary makes a file without a name in the directory for temporary files.
func Temporary() (*os.File, error) {
	f, err := os.CreateTemp("", "fetchmail-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// Beside is the beginning of the names of the files that we make beside path. Behind the last "@" stands the offset once
// a message is being appended.
func Beside(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".fetchmail-")
}

// Write adds to the message.
func (m *Message) Write(p []byte) (int, error) { return m.f.Write(p) }

// Close forgets the message.
func (m *Message) Close() error {
	if m.name != "" {
		os.Remove(m.name)
	}
	return m.f.Close()
}

// CopyTo writes the message to something that is no file.
func (m *Message) CopyTo(w io.Writer) error {
	if _, err := m.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(w, m.f)
	return err
}

// Append adds the message to f, which was opened with its path and is locked against other writers; or nothing.
func (m *Message) Append(f File, gap Gap) error {
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return errors.Join(err, m.CopyTo(f))
	}
	if m.path != "" {
		if err := recoverTorn(f, m.path, gap); err != nil {
			return err
		}
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := m.announce(size); err != nil {
		return err
	}
	if err := m.appendAt(f, size, gap); err != nil {
		if terr := f.Truncate(size); terr != nil {
			m.name = "" // it stays for the next append to try again
			err = errors.Join(err, terr)
		}
		return err
	}
	return nil
}

// announce makes the gathered file the journal of an append at offset.
func (m *Message) announce(offset int64) error {
	if m.name == "" {
		return nil
	}
	if err := m.f.Sync(); err != nil {
		return err
	}
	name := fmt.Sprintf("%s@%d", m.name, offset)
	if err := os.Rename(m.name, name); err != nil {
		return err
	}
	m.name = name
	return nil
}

// appendAt writes what is to stand behind offset and makes it last.
func (m *Message) appendAt(f File, offset int64, gap Gap) error {
	between, err := gap(f, offset)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(f, between); err != nil {
		return err
	}
	if err := m.CopyTo(f); err != nil {
		return err
	}
	return f.Sync()
}

// recoverTorn looks for files of processes that are gone, cuts off what they have left torn in f, and removes them.
func recoverTorn(f File, path string, gap Gap) error {
	names, err := filepath.Glob(globQuote(Beside(path)) + "*")
	if err != nil {
		return err
	}
	for _, name := range names {
		g, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue // gone, or not ours
		}
		if isOurs(g) && syscall.Flock(int(g.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			err = cutTorn(f, g, name, gap)
		}
		if err := errors.Join(err, g.Close()); err != nil {
			return err
		}
	}
	return nil
}

// isOurs keeps others, who may be able to make files in a spool directory, from telling us what to cut off.
func isOurs(g *os.File) bool {
	fi, err := g.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

func globQuote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

func cutTorn(f File, g *os.File, name string, gap Gap) error {
	at := strings.LastIndexByte(name, '@')
	offset, err := strconv.ParseInt(name[at+1:], 10, 64)
	if at >= 0 && err == nil {
		torn, err := isTorn(f, offset, g, gap)
		if err != nil {
			return err
		}
		if torn {
			if err := errors.Join(f.Truncate(offset), f.Sync()); err != nil {
				return err
			}
		}
	}
	return os.Remove(name)
}

// isTorn tells whether f ends behind offset with a beginning of the gathered message, but not the whole.
func isTorn(f File, offset int64, g io.Reader, gap Gap) (bool, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size <= offset {
		return false, err
	}
	between, err := gap(f, offset)
	if err != nil {
		return false, err
	}
	want := bufio.NewReader(io.MultiReader(strings.NewReader(between), g))
	have := bufio.NewReader(io.NewSectionReader(f, offset, size-offset))
	var a, b [4096]byte
	for {
		n, err := io.ReadFull(have, a[:])
		if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
			return false, err
		}
		m, werr := io.ReadFull(want, b[:n])
		if werr != nil && werr != io.ErrUnexpectedEOF && werr != io.EOF {
			return false, werr
		}
		if m < n || !bytes.Equal(a[:n], b[:n]) {
			return false, nil // somebody else has written there
		}
		if n < len(a) {
			_, err := want.ReadByte()
			return err == nil, nil
		}
	}
}
