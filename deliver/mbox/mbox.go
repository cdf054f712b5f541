// Package mbox appends messages to a mailbox file in the mboxrd format.
//
// A message is gathered in a file beside the mailbox, quoted already, and appended in one go under a dot-lock and an
// fcntl lock, so that the locks are never held while we wait for a server. What a failing write has left is cut off
// again. For a process that is killed while it appends, the gathered file is the journal: its name then ends in the
// offset at which the message was to begin, and the next delivery cuts off the torn message if what stands behind that
// offset is the beginning of the gathered file and nothing else.
//
// Where no file can be made beside the mailbox (a spool directory that only setgid programs write to) the message is
// gathered in the directory for temporary files, the fcntl lock must do, and a torn message stays.
package mbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"fetchmail/deliver"
)

// defaultLockWait is how long we wait for other programs to unlock the mailbox.
const defaultLockWait = time.Minute

// file is what we need of an *os.File.
type file interface {
	io.ReadWriteSeeker
	io.ReaderAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// Options say where to deliver.
type Options struct {
	Path string
	// LockWait is how long to wait for other programs to unlock the mailbox; 0 is a minute.
	LockWait time.Duration
}

// Sink is a mailbox file.
type Sink struct {
	opts Options
	open func(path string) (file, error)
	now  func() time.Time
	text *quoter // its buffer serves one message after the other
}

var _ deliver.Sink = (*Sink)(nil)

// New makes a sink; the mailbox is created with mode 0600 with the first message if it is missing.
func New(o Options) *Sink {
	if o.LockWait <= 0 {
		o.LockWait = defaultLockWait
	}
	return &Sink{opts: o, open: openMailbox, now: time.Now, text: newQuoter()}
}

func openMailbox(path string) (file, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// Name is the path.
func (s *Sink) Name() string { return s.opts.Path }

// Close does nothing.
func (s *Sink) Close() error { return nil }

// Begin starts to gather a message.
func (s *Sink) Begin(ctx context.Context, e deliver.Envelope) (deliver.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, &deliver.Fault{Kind: deliver.File, Err: err}
	}
	g, err := gather(s.opts.Path)
	if err != nil {
		return nil, &deliver.Fault{Kind: deliver.File, Err: err}
	}
	s.text.reset(g.f)
	d := &delivery{sink: s, to: e.To, g: g}
	if err := s.text.raw(fromLine(e.From, s.now())); err != nil {
		d.Abort()
		return nil, &deliver.Fault{Kind: deliver.File, Err: err}
	}
	return d, nil
}

// fromLine is the line before a message: RFC 4155, appendix A.
func fromLine(from string, now time.Time) string {
	from = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return -1
		}
		return r
	}, from)
	if from == "" {
		from = "MAILER-DAEMON"
	}
	return fmt.Sprintf("From %s %s\n", from, now.UTC().Format(time.ANSIC))
}

// delivery is one message being gathered.
type delivery struct {
	sink *Sink
	to   []string
	g    *gathered
	over bool
}

// Recipients are all accepted: it is one mailbox.
func (d *delivery) Recipients() deliver.Outcome {
	return deliver.AllAtEnd(d.to, deliver.Accepted, deliver.Reply{})
}

// Write takes a part of the text; lines that look like the beginning of a message are quoted.
func (d *delivery) Write(p []byte) (int, error) {
	if d.over {
		return 0, fs.ErrClosed
	}
	if err := d.sink.text.write(p); err != nil {
		return 0, &deliver.Fault{Kind: deliver.File, Stage: deliver.AtText, Err: err}
	}
	return len(p), nil
}

// Abort forgets the message.
func (d *delivery) Abort() error {
	if d.over {
		return nil
	}
	d.over = true
	return d.g.remove()
}

// Commit appends the message.
func (d *delivery) Commit(ctx context.Context) (deliver.Outcome, error) {
	if d.over {
		return deliver.Outcome{}, fs.ErrClosed
	}
	d.over = true
	defer d.g.remove()
	err := ctx.Err()
	if err == nil {
		err = d.sink.text.end()
	}
	if err == nil {
		err = d.sink.append(ctx, d.g)
	}
	if err != nil {
		return deliver.AllAtEnd(d.to, deliver.Deferred, deliver.Reply{}), &deliver.Fault{Kind: deliver.File, Stage: deliver.AtEnd, Err: err}
	}
	return deliver.AllAtEnd(d.to, deliver.Accepted, deliver.Reply{}), nil
}

// appending keeps the polls of this process apart: fcntl locks are between processes.
var appending sync.Mutex

// append adds a gathered message to the mailbox, or nothing.
func (s *Sink) append(ctx context.Context, g *gathered) error {
	appending.Lock()
	defer appending.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.opts.LockWait)
	defer cancel()
	unlock, err := dotLock(ctx, s.opts.Path)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := s.open(s.opts.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fcntlLock(ctx, f); err != nil {
		return err
	}
	if err := recoverTorn(f, s.opts.Path); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := g.announce(size); err != nil {
		return err
	}
	if err := appendAt(f, size, g); err != nil {
		return errors.Join(err, f.Truncate(size))
	}
	return nil
}

// appendAt writes what is to stand behind offset and makes it last.
func appendAt(f file, offset int64, g *gathered) error {
	gap, err := gapAt(f, offset)
	if err != nil {
		return err
	}
	if _, err := g.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(f, io.MultiReader(strings.NewReader(gap), g.f)); err != nil {
		return err
	}
	return f.Sync()
}

// gapAt is what is missing of the empty line between the message that ends at offset and the next one.
func gapAt(f io.ReaderAt, offset int64) (string, error) {
	var end [2]byte
	n := min(offset, 2)
	if _, err := f.ReadAt(end[:n], offset-n); err != nil {
		return "", err
	}
	switch {
	case n == 0 || string(end[:n]) == "\n\n":
		return "", nil
	case end[n-1] == '\n':
		return "\n", nil
	}
	return "\n\n", nil
}

// gatheredName is the pattern of gathered files beside a mailbox; behind the last "@" stands the offset once the message
// is being appended.
func gatheredName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".fetchmail-")
}
