package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// LogFile is a file that is appended to and notices when it was rotated. It is safe for concurrent use.
type LogFile struct {
	path   string
	mu     sync.Mutex
	f      *os.File
	out    io.Writer // leads to f
	looked time.Time
}

// lookEvery is how often a LogFile looks whether its path leads to another file by now.
const lookEvery = time.Second

// OpenLog opens the option logfile. The file must exist; fetchmail(1), --logfile. It may be a device or a pipe
// (/dev/stdout). A symbolic link that belongs neither to us nor to root is refused.
func OpenLog(path string) (*LogFile, error) {
	f, err := openLog(path, 0)
	if err != nil {
		return nil, err
	}
	return &LogFile{path: path, f: f, out: Outlet(f), looked: time.Now()}, nil
}

func openLog(path string, flag int) (*os.File, error) {
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		if uid := int(fi.Sys().(*syscall.Stat_t).Uid); uid != 0 && uid != os.Geteuid() {
			return nil, fmt.Errorf("logfile %s: a symbolic link of another user", path)
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|unix.O_CLOEXEC|flag, 0o600)
}

// Write appends b. If the file has been renamed and there is another one by its name, it goes there.
func (l *LogFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.looked) >= lookEvery {
		l.looked = now
		if l.rotated() {
			l.reopen(0) // if that fails, the old file is better than none
		}
	}
	return l.out.Write(b)
}

func (l *LogFile) rotated() bool {
	now, err := os.Stat(l.path)
	if err != nil {
		return false
	}
	ours, err := l.f.Stat()
	return err == nil && ours.Mode().IsRegular() && !os.SameFile(now, ours)
}

// Reopen opens the file by its name again and creates it if it is not there (mode 0600).
func (l *LogFile) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reopen(os.O_CREATE)
}

func (l *LogFile) reopen(flag int) error {
	f, err := openLog(l.path, flag)
	if err != nil {
		return err
	}
	l.f.Close()
	l.f, l.out = f, Outlet(f)
	return nil
}

// Move goes on in the file at another path, which must exist. If it cannot be opened, the old one stays.
func (l *LogFile) Move(path string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if path == l.path {
		return nil
	}
	old := l.path
	l.path = path
	if err := l.reopen(0); err != nil {
		l.path = old
		return err
	}
	return nil
}

// File is the open file, for the standard output of a detached process.
func (l *LogFile) File() *os.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f
}

// Close ends it.
func (l *LogFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}

// Lines makes a writer of whole lines out of a function: prefix ("fetchmail: ") and line end are taken off, empty lines
// left out. Parts of a line are kept until its end comes. It is safe for concurrent use.
func Lines(prefix string, line func(string) error) io.Writer {
	return &lineWriter{prefix: prefix, line: line}
}

type lineWriter struct {
	prefix string
	line   func(string) error
	mu     sync.Mutex
	part   []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.part = append(w.part, b...)
	var errs error
	for {
		n := bytes.IndexByte(w.part, '\n')
		if n < 0 {
			return len(b), errs
		}
		s := strings.TrimPrefix(strings.TrimSpace(string(w.part[:n])), w.prefix)
		w.part = append(w.part[:0], w.part[n+1:]...)
		if s != "" {
			errs = errors.Join(errs, w.line(s))
		}
	}
}
