// Package bsmtp appends messages to a file as the SMTP commands that would deliver them (fetchmail(1), --bsmtp; the
// form of RFC 2442 without its greeting). Package journal says how a message is there whole or not at all.
package bsmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"fetchmail/deliver"
	"fetchmail/deliver/dots"
	"fetchmail/deliver/journal"
)

// Options say where to write.
type Options struct {
	// Path of the file; "-" is Stdout. A relative path is taken from the working directory.
	Path string
	// Address is put behind recipients without '@' (smtpaddress); "" is "localhost".
	Address string
	// Name replaces every recipient that is a local name, without a domain (smtpname).
	Name string
	// Stdout is where "-" writes; nil is our own.
	Stdout io.Writer
	// LockWait is how long to wait for other programs to unlock the file; 0 is journal.LockWait.
	LockWait time.Duration
}

// Sink is a BSMTP file.
type Sink struct {
	opts Options
	open func(path string) (journal.File, error)
	text *dots.Writer // its buffer serves one message after the other
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
	if o.LockWait <= 0 {
		o.LockWait = journal.LockWait
	}
	return &Sink{opts: o, open: journal.Open, text: dots.New(nil)}
}

// lock keeps other writers of this kind out; the end of f unlocks it.
func lock(ctx context.Context, path string, f journal.File) error {
	fd, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return nil
	}
	return journal.Wait(ctx, path, func() (again bool, err error) {
		switch err = syscall.Flock(int(fd.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case errors.Is(err, syscall.EINVAL): // nothing that can be locked
			return false, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return true, err
		}
		return false, err
	})
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
	var to []string
	for _, a := range e.To {
		to = append(to, s.complete(a))
	}
	if strings.ContainsAny(e.From, unusable) { // nothing could be reported to such a sender
		e.From = ""
	}
	if err := check(to); err != nil {
		return nil, &deliver.Fault{Kind: deliver.Refusal, Outcome: deliver.AllAtEnd(to, deliver.Refused, deliver.Reply{Text: err.Error()}), Err: err}
	}
	if s.opts.Path != "-" {
		f, err := s.open(s.opts.Path)
		if err != nil {
			return nil, openFault(err)
		}
		f.Close()
	}
	m, err := s.message()
	if err != nil {
		return nil, &deliver.Fault{Kind: deliver.File, Err: err}
	}
	if _, err := m.Write(envelope(e, to)); err != nil {
		m.Close()
		return nil, &deliver.Fault{Kind: deliver.File, Err: err}
	}
	s.text.Reset(m)
	return &deliver.ToFile{To: to, Text: s.text, Undo: m.Close, Finish: func(ctx context.Context) error {
		defer m.Close()
		if err := s.text.Close(); err != nil {
			return err
		}
		return s.append(ctx, m)
	}}, nil
}

// message is where a message is gathered.
func (s *Sink) message() (*journal.Message, error) {
	if s.opts.Path == "-" {
		return journal.Unnamed()
	}
	return journal.New(s.opts.Path)
}

func envelope(e deliver.Envelope, to []string) []byte {
	b := fmt.Appendf(nil, "MAIL FROM:<%s>", e.From)
	if e.Body != "" {
		b = fmt.Appendf(b, " BODY=%s", e.Body)
	}
	b = append(b, "\r\n"...)
	for _, a := range to {
		b = fmt.Appendf(b, "RCPT TO:<%s>\r\n", a)
	}
	return append(b, "DATA\r\n"...)
}

// openFault speaks as the reference does.
func openFault(err error) *deliver.Fault {
	return &deliver.Fault{Kind: deliver.File, Err: &openError{"BSMTP file open failed: " + deliver.Strerror(err), err}}
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
	case strings.Contains(to, "@"):
		return to
	case s.opts.Name != "":
		return s.opts.Name
	case to == "":
		return to
	}
	return to + "@" + s.opts.Address
}

// append adds a gathered message to the file, or nothing.
func (s *Sink) append(ctx context.Context, m *journal.Message) error {
	if s.opts.Path == "-" {
		return m.CopyTo(s.opts.Stdout)
	}
	f, err := s.open(s.opts.Path)
	if err != nil {
		return openFault(err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, s.opts.LockWait)
	defer cancel()
	if err := lock(ctx, s.opts.Path, f); err != nil {
		return &deliver.Fault{Kind: deliver.File, Err: err} // not the message's fault
	}
	return m.Append(f, journal.NoGap)
}
