// Package deliver says what it means to hand a message to the local mail system: a Sink begins a Delivery, which is
// written and then committed or aborted.
//
// The sub-packages smtp (and LMTP), mda, maildir, mbox and bsmtp implement Sink; header, text, route and notice work on
// messages. This package does no I/O and imports nothing of ours.
package deliver

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
)

// Envelope is what a sink has to know about a message besides its text.
type Envelope struct {
	From string // reverse path without angle brackets; "" is the null sender
	// Nameless: From is "" because nothing in the message names a sender. Only a program is told the difference.
	Nameless bool
	// To are forward paths, without angle brackets; at least one. A local name, which has no "@", is completed by the
	// sink with the domain that it has reached; an MDA takes it as it is.
	To []string
	// Fallback is tried in the same transaction when every address in To was refused for good (the postmaster);
	// "" if there is none.
	Fallback string
	Size     int64  // octets for SIZE=; 0 is not announced
	Body     string // "", "7BIT" or "8BITMIME", announced if the listener offers 8BITMIME
}

// Class says how final an answer is. The zero value is the cautious one: only what is positively known counts.
type Class int

const (
	Deferred Class = iota // try again later: 4xx, lost connection, anything not understood
	Accepted              // the receiver has taken responsibility
	Refused               // 5xx
	Spam                  // refused with one of the antispam codes
)

// Stage is the point of a transaction at which an answer came.
type Stage int

const (
	AtConnect Stage = iota // no listener, bad banner, EHLO refused
	AtMail
	AtRcpt
	AtData // the DATA command, before the text
	AtText // while the text was sent
	AtEnd  // after the final dot; exit status of an MDA
)

// Reply is an answer of a receiver.
type Reply struct {
	Code int    // SMTP code; exit status of an MDA; 0 if there was none
	Text string // the complete answer, codes included, lines joined with "\n": "550-5.1.1 no\n550 5.1.1 such user"
}

// Status is the verdict on one recipient.
type Status struct {
	To    string // the address as the sink has used it: local names are completed ("joe@localhost")
	Class Class
	Stage Stage
	Reply Reply
}

// Outcome is the verdict on a message, a Status for each address tried, in the order of RCPT.
type Outcome struct {
	Status []Status
	// ByDefault: all recipients were refused and Envelope.Fallback has accepted.
	ByDefault bool
}

// Delivered tells whether somebody has accepted the message and nobody's answer is open.
func (o Outcome) Delivered() bool {
	n := 0
	for _, s := range o.Status {
		switch s.Class {
		case Deferred:
			return false
		case Accepted:
			n++
		}
	}
	return n > 0
}

// AllAtEnd is the outcome of a receiver that has one answer to the text for everybody.
func AllAtEnd(to []string, class Class, r Reply) Outcome {
	var o Outcome
	for _, a := range to {
		o.Status = append(o.Status, Status{To: a, Class: class, Stage: AtEnd, Reply: r})
	}
	return o
}

// Sink is a way to the local mail system. It is used by one goroutine at a time.
type Sink interface {
	// Begin starts a delivery: MAIL and RCPT, a temporary file, a process. Its error is a *Fault.
	Begin(ctx context.Context, e Envelope) (Delivery, error)
	// Name is what status lines call it: "localhost/25", "MDA".
	Name() string
	// Close ends the sink (SMTP QUIT). Nothing that was committed depends on it.
	Close() error
}

// Delivery is one message on its way into a sink. Writing changes nothing lasting; Commit does.
type Delivery interface {
	// Write takes the text of the message: header, empty line, body, with the line ends that it is to have.
	io.Writer
	// Recipients tells what Begin learnt about each recipient.
	Recipients() Outcome
	// Commit ends the message and waits for the verdict. An error (*Fault) means that no verdict was heard: the
	// message counts as deferred.
	Commit(ctx context.Context) (Outcome, error)
	// Abort gives up: the receiver must not deliver what was written.
	Abort() error
}

// Send hands a whole message to a sink and returns what its recipients said. An error (a *Fault, or that of write) means
// that no verdict was heard.
func Send(ctx context.Context, s Sink, e Envelope, write func(io.Writer) error) (Outcome, error) {
	d, err := s.Begin(ctx, e)
	var f *Fault
	if errors.As(err, &f) && f.Kind == Refusal {
		return f.Outcome, nil
	} else if err != nil {
		return Outcome{}, err
	}
	if err := write(d); err != nil {
		d.Abort()
		return Outcome{}, err
	}
	out, err := d.Commit(ctx)
	if errors.As(err, &f) && f.Kind == Refusal {
		return f.Outcome, nil
	}
	return out, err
}

// Kind says what sort of trouble a Fault is; comments give the exit status of fetchmail(1).
type Kind int

const (
	Refusal     Kind = iota + 1 // the receiver answered, and not with yes: see Outcome; not an error of the poll
	Unreachable                 // 10: no listener answers
	Lost                        // the connection to the listener was lost during the message
	Local                       // 6: the MDA could not be started
	Pipe                        // 10: the MDA did not read the message to its end
	File                        // 12: BSMTP file or mailbox cannot be written
)

// Fault is why a delivery could not be begun, written or ended.
type Fault struct {
	Kind    Kind
	Stage   Stage
	Outcome Outcome // what is known of each recipient, for Refusal
	// Detail are lines for people about a listener that cannot be reached, without line end: "SMTP connect to
	// localhost/25 failed". Those that begin with "name" go on with the line before.
	Detail []string
	Err    error
}

func (f *Fault) Error() string {
	if f.Err != nil {
		return f.Err.Error()
	}
	for _, s := range f.Outcome.Status {
		if s.Class != Accepted {
			return s.Reply.Text
		}
	}
	return "delivery failed"
}

func (f *Fault) Unwrap() error { return f.Err }

// Strerror is the text of strerror(3) for the error number in err ("Permission denied"), or err's own text.
func Strerror(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	text := errno.Error() // Go has the same texts in lower case
	return strings.ToUpper(text[:1]) + text[1:]
}
