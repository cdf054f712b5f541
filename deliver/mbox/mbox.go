// Package mbox appends messages to a mailbox file in the mboxrd format, under a dot-lock and an fcntl lock. Package journal
// says how a message is there whole or not at all. Where no file can be made beside the mailbox (a spool directory that
// only setgid programs write to) the fcntl lock must do.
package mbox

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"fetchmail/deliver"
	"fetchmail/deliver/journal"
)

// Options say where to deliver.
type Options struct {
	Path string
	// LockWait is how long to wait for other programs to unlock the mailbox; 0 is journal.LockWait.
	LockWait time.Duration
}

// Sink is a mailbox file.
type Sink struct {
	opts Options
	open func(path string) (journal.File, error)
	now  func() time.Time
	text *quoter // its buffer serves one message after the other
}

var _ deliver.Sink = (*Sink)(nil)

// New makes a sink; the mailbox is created with mode 0600 with the first message if it is missing.
func New(o Options) *Sink {
	if o.LockWait <= 0 {
		o.LockWait = journal.LockWait
	}
	return &Sink{opts: o, open: journal.Open, now: time.Now, text: newQuoter()}
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
	m, err := journal.New(s.opts.Path)
	if err != nil {
		return nil, &deliver.Fault{Kind: deliver.File, Err: fmt.Errorf("mbox %s: %w", s.opts.Path, err)}
	}
	s.text.reset(m)
	if err := s.text.raw(fromLine(e.From, s.now())); err != nil {
		m.Close()
		return nil, &deliver.Fault{Kind: deliver.File, Err: err}
	}
	return &deliver.ToFile{To: e.To, Text: s.text, Undo: m.Close, Finish: func(ctx context.Context) error {
		defer m.Close()
		if err := s.text.end(); err != nil {
			return err
		}
		return s.append(ctx, m)
	}}, nil
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

// appending keeps the polls of this process apart, each mailbox by its path: fcntl locks are between processes.
var appending sync.Map

// append adds a gathered message to the mailbox, or nothing.
func (s *Sink) append(ctx context.Context, m *journal.Message) error {
	f, unlock, err := s.locked(ctx)
	if err != nil {
		return &deliver.Fault{Kind: deliver.File, Err: err} // not the message's fault
	}
	defer unlock()
	return m.Append(f, gapAt)
}

// locked opens the mailbox while no other program writes to it; unlock closes it, too.
func (s *Sink) locked(ctx context.Context) (f journal.File, unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.LockWait)
	defer cancel()
	path := s.opts.Path
	value, _ := appending.LoadOrStore(path, new(sync.Mutex))
	turn := value.(*sync.Mutex)
	if err := journal.Wait(ctx, path, func() (bool, error) { return !turn.TryLock(), nil }); err != nil {
		return nil, nil, err
	}
	unlock = turn.Unlock
	undot, err := dotLock(ctx, path)
	if err == nil {
		unlock = func() { undot(); turn.Unlock() }
		f, err = s.open(path)
	}
	if err == nil {
		unlock = func() { f.Close(); undot(); turn.Unlock() }
		err = fcntlLock(ctx, path, f)
	}
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return f, unlock, nil
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
