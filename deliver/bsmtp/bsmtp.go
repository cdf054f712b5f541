// Package bsmtp appends messages to a file as the SMTP commands that would deliver them (fetchmail(1), --bsmtp; the
// form of RFC 2442 without its greeting).
//
// A message is gathered in a nameless temporary file and appended under a lock when it is whole, so that neither a
// broken source nor another writer leaves half of it in the file; what a failing write has left is cut off again.
package bsmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"fetchmail/deliver"
	"fetchmail/deliver/dots"
)

// file is what we need of an *os.File.
type file interface {
	io.ReadWriteSeeker
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// Options say where to write.
type Options struct {
	// Path of the file; "-" is Stdout. A relative path is taken from the working directory.
	Path string
	// Address is put behind recipients without '@' (smtpaddress); "" is "localhost".
	Address string
	// Name replaces every recipient (smtpname).
	Name string
	// Stdout is where "-" writes; nil is our own.
	Stdout io.Writer
}

// Sink is a BSMTP file.
type Sink struct {
	opts  Options
	spool func() (file, error)
	open  func(path string) (file, error)
}

var _ deliver.Sink = (*Sink)(nil)

// New makes a sink; the file is opened, and created with mode 0600 if need be, for each message.
func New(o Options) *Sink {
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Address == "" {
		o.Address = "localhost"
	}
	return &Sink{opts: o, spool: openSpool, open: openLocked}
}

// openSpool makes a temporary file that has no name any more.
func openSpool() (file, error) {
	f, err := os.CreateTemp("", "fetchmail-bsmtp-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// openLocked opens a file for appending and locks it against other writers of this kind.
func openLocked(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil && !errors.Is(err, syscall.EINVAL) {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Name is the path.
func (s *Sink) Name() string { return s.opts.Path }

// Close does nothing.
func (s *Sink) Close() error { return nil }

// Begin checks that the file can be written and the envelope be said.
func (s *Sink) Begin(ctx context.Context, e deliver.Envelope) (deliver.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, &deliver.Fault{Kind: deliver.File, Err: err}
	}
	d := &delivery{sink: s}
	for _, to := range e.To {
		d.to = append(d.to, s.complete(to))
	}
	if strings.ContainsAny(e.From, unusable) { // nothing could be reported to such a sender
		e.From = ""
	}
	if err := check(d.to); err != nil {
		return nil, &deliver.Fault{Kind: deliver.Refusal, Outcome: deliver.AllAtEnd(d.to, deliver.Refused, deliver.Reply{Text: err.Error()}), Err: err}
	}
	if s.opts.Path != "-" {
		f, err := s.open(s.opts.Path)
		if err != nil {
			return nil, openFault(err)
		}
		f.Close()
	}
	f, err := s.spool()
	if err != nil {
		return nil, &deliver.Fault{Kind: deliver.File, Err: err}
	}
	d.spool = f
	d.text = dots.New(f)
	if err := d.envelope(e.From); err != nil {
		f.Close()
		return nil, &deliver.Fault{Kind: deliver.File, Err: err}
	}
	return d, nil
}

func (d *delivery) envelope(from string) error {
	b := fmt.Appendf(nil, "MAIL FROM:<%s>\r\n", from)
	for _, to := range d.to {
		b = fmt.Appendf(b, "RCPT TO:<%s>\r\n", to)
	}
	_, err := d.spool.Write(append(b, "DATA\r\n"...))
	return err
}

// openFault speaks as the reference does.
func openFault(err error) *deliver.Fault {
	text := err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		text = errno.Error()
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return &deliver.Fault{Kind: deliver.File, Err: &openError{"BSMTP file open failed: " + text, err}}
}

// openError shows a text instead of its cause.
type openError struct {
	text  string
	cause error
}

func (e *openError) Error() string { return e.text }
func (e *openError) Unwrap() error { return e.cause }

// unusable is what cannot stand between angle brackets without becoming a second command or a parameter.
const unusable = "\r\n\x00<>"

// check tells which recipient cannot be used.
func check(to []string) error {
	for _, a := range to {
		if strings.ContainsAny(a, unusable) {
			return fmt.Errorf("address %q cannot be used", a)
		}
	}
	if slices.Contains(to, "") {
		return errors.New("empty recipient address")
	}
	return nil
}

func (s *Sink) complete(to string) string {
	switch {
	case s.opts.Name != "":
		return s.opts.Name
	case to == "" || strings.Contains(to, "@"):
		return to
	}
	return to + "@" + s.opts.Address
}

// delivery is one message in its temporary file.
type delivery struct {
	sink  *Sink
	to    []string
	spool file
	text  *dots.Writer
	over  bool
}

// Recipients are all accepted: a file does not object.
func (d *delivery) Recipients() deliver.Outcome {
	return deliver.AllAtEnd(d.to, deliver.Accepted, deliver.Reply{})
}

// Write takes a part of the text; leading dots are doubled.
func (d *delivery) Write(p []byte) (int, error) {
	if d.over {
		return 0, fs.ErrClosed
	}
	n, err := d.text.Write(p)
	if err != nil {
		return n, &deliver.Fault{Kind: deliver.File, Stage: deliver.AtText, Err: err}
	}
	return n, nil
}

// Abort forgets the message.
func (d *delivery) Abort() error {
	if d.over {
		return nil
	}
	d.over = true
	return d.spool.Close()
}

// Commit appends the message.
func (d *delivery) Commit(ctx context.Context) (deliver.Outcome, error) {
	if d.over {
		return deliver.Outcome{}, fs.ErrClosed
	}
	d.over = true
	defer d.spool.Close()
	err := ctx.Err()
	if err == nil {
		err = d.append()
	}
	if err != nil {
		var f *deliver.Fault
		if !errors.As(err, &f) {
			f = &deliver.Fault{Kind: deliver.File, Stage: deliver.AtEnd, Err: err}
		}
		return deliver.AllAtEnd(d.to, deliver.Deferred, deliver.Reply{}), f
	}
	return deliver.AllAtEnd(d.to, deliver.Accepted, deliver.Reply{}), nil
}

func (d *delivery) append() error {
	if err := d.text.Close(); err != nil {
		return err
	}
	if _, err := d.spool.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if d.sink.opts.Path == "-" {
		_, err := io.Copy(d.sink.opts.Stdout, d.spool)
		return err
	}
	f, err := d.sink.open(d.sink.opts.Path)
	if err != nil {
		return openFault(err)
	}
	defer f.Close()
	return appendWhole(f, d.spool)
}

// appendWhole copies all of r to the end of f, or nothing.
func appendWhole(f file, r io.Reader) error {
	size, seekErr := f.Seek(0, io.SeekEnd)
	_, err := io.Copy(f, r)
	if err == nil {
		if err = f.Sync(); errors.Is(err, syscall.EINVAL) { // a pipe or a device
			err = nil
		}
	}
	if err != nil && seekErr == nil {
		return errors.Join(err, f.Truncate(size))
	}
	return err
}
