// Package maildir delivers into a Maildir: a file for each message, which appears in new/ only when it is whole and
// on the disk (written to tmp/, synced, linked to new/, the folder synced).
package maildir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fetchmail/deliver"
)

const bufferSize = 64 << 10

// file is what we need of an *os.File.
type file interface {
	io.WriteCloser
	Sync() error
}

// system is the file system, so that tests can make it fail.
type system struct {
	mkdirAll func(path string) error
	create   func(path string) (file, error)
	link     func(from, to string) error
	rename   func(from, to string) error
	remove   func(path string) error
	syncDir  func(path string) error
}

var osSystem = system{
	mkdirAll: func(path string) error { return os.MkdirAll(path, 0o700) },
	create: func(path string) (file, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	},
	link:    os.Link,
	rename:  os.Rename,
	remove:  os.Remove,
	syncDir: syncDir,
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Sink is a Maildir.
type Sink struct {
	path string
	sys  system
	made bool
	w    *bufio.Writer // its buffer serves one message after the other
}

var _ deliver.Sink = (*Sink)(nil)

// New makes a sink; the Maildir is created with the first message if it is missing. path begins with "/".
func New(path string) *Sink {
	return &Sink{path: path, sys: osSystem, w: bufio.NewWriterSize(nil, bufferSize)}
}

// Name is the path.
func (s *Sink) Name() string { return s.path }

// Close does nothing.
func (s *Sink) Close() error { return nil }

// Begin creates a file in tmp/.
func (s *Sink) Begin(ctx context.Context, e deliver.Envelope) (deliver.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, &deliver.Fault{Kind: deliver.File, Err: err}
	}
	if err := s.make(); err != nil {
		return nil, &deliver.Fault{Kind: deliver.File, Err: fmt.Errorf("Maildir %s: %w", s.path, err)}
	}
	name := unique()
	d := &delivery{sink: s, name: name, tmp: filepath.Join(s.path, "tmp", name)}
	f, err := s.sys.create(d.tmp)
	if err != nil {
		return nil, &deliver.Fault{Kind: deliver.File, Err: err}
	}
	s.w.Reset(f)
	d.f = f
	return &deliver.ToFile{To: e.To, Text: s.w, Finish: d.finish, Undo: d.remove}, nil
}

// make creates what is missing of the Maildir.
func (s *Sink) make() error {
	if s.made {
		return nil
	}
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := s.sys.mkdirAll(filepath.Join(s.path, sub)); err != nil {
			return err
		}
	}
	s.tidy()
	s.made = true
	return nil
}

// forgotten is the age at which a file in tmp/ belongs to nobody any more: maildir(5).
const forgotten = 36 * time.Hour

// tidy removes what killed deliveries have left in tmp/. That it cannot be done does no harm.
func (s *Sink) tidy() {
	dir := filepath.Join(s.path, "tmp")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() && time.Since(fi.ModTime()) > forgotten {
			s.sys.remove(filepath.Join(dir, e.Name()))
		}
	}
}

var counter atomic.Int64

// hostname as it can stand in a file name of a Maildir.
var hostname = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	return strings.NewReplacer("/", `\057`, ":", `\072`).Replace(host)
})

// unique is a name that no other delivery uses: maildir(5).
func unique() string {
	now := time.Now()
	return fmt.Sprintf("%d.M%06dP%dQ%d.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), counter.Add(1), hostname())
}

// delivery is one file in tmp/.
type delivery struct {
	sink *Sink
	name string
	tmp  string
	f    file
}

// remove takes the file away.
func (d *delivery) remove() error {
	d.f.Close()
	return d.sink.sys.remove(d.tmp)
}

// finish moves the file to new/. If that cannot be made to last, the file is taken away again where possible: the
// message stays on the server and would otherwise be there twice.
func (d *delivery) finish(context.Context) error {
	if err := d.sink.w.Flush(); err != nil {
		return err
	}
	if err := d.f.Sync(); err != nil {
		return err
	}
	if err := d.f.Close(); err != nil {
		return err
	}
	sys := d.sink.sys
	final := filepath.Join(d.sink.path, "new", d.name)
	if err := d.move(final); err != nil {
		return err
	}
	if err := sys.syncDir(filepath.Dir(final)); err != nil {
		sys.remove(final)
		return err
	}
	return nil
}

// move links the file into new/, which never overwrites; where there are no links it is renamed. A name that stays in
// tmp/ does no harm: it is removed when it is old.
func (d *delivery) move(final string) error {
	sys := d.sink.sys
	err := sys.link(d.tmp, final)
	switch {
	case err == nil:
		sys.remove(d.tmp)
		return nil
	case errors.Is(err, fs.ErrExist):
		return err
	}
	return sys.rename(d.tmp, final)
}
