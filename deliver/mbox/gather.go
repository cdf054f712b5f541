package mbox

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

// gathered is a file that holds one message as it is to stand in the mailbox. While its process lives it is locked.
type gathered struct {
	f    *os.File
	name string // "" once it has none
}

// gather makes the file beside the mailbox, or without a name in the directory for temporary files.
func gather(path string) (*gathered, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(gatheredName(path))+"*")
	if err == nil {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
		return &gathered{f, f.Name()}, nil
	}
	if !errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if f, err = os.CreateTemp("", "fetchmail-mbox-"); err != nil {
		return nil, err
	}
	return &gathered{f: f}, os.Remove(f.Name())
}

// announce makes the file the journal of an append at offset.
func (g *gathered) announce(offset int64) error {
	if g.name == "" {
		return nil
	}
	if err := g.f.Sync(); err != nil {
		return err
	}
	name := fmt.Sprintf("%s@%d", g.name, offset)
	if err := os.Rename(g.name, name); err != nil {
		return err
	}
	g.name = name
	return nil
}

func (g *gathered) remove() error {
	if g.name != "" {
		os.Remove(g.name)
	}
	return g.f.Close()
}

// recoverTorn looks for files of processes that are gone, cuts off what they have left torn in the mailbox f, and
// removes them.
func recoverTorn(f file, path string) error {
	prefix := gatheredName(path)
	names, err := filepath.Glob(globQuote(prefix) + "*")
	if err != nil {
		return err
	}
	for _, name := range names {
		g, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue // gone, or not ours
		}
		if isOurs(g) && syscall.Flock(int(g.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			err = cutTorn(f, g, name)
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

func cutTorn(f file, g *os.File, name string) error {
	at := strings.LastIndexByte(name, '@')
	offset, err := strconv.ParseInt(name[at+1:], 10, 64)
	if at >= 0 && err == nil {
		torn, err := isTorn(f, offset, g)
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

// isTorn tells whether the mailbox ends behind offset with a beginning of the gathered message, but not the whole.
func isTorn(f file, offset int64, g io.Reader) (bool, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size <= offset {
		return false, err
	}
	gap, err := gapAt(f, offset)
	if err != nil {
		return false, err
	}
	want := bufio.NewReader(io.MultiReader(strings.NewReader(gap), g))
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
