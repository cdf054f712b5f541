package poll

import "fetchmail/deliver"

// Observer hears what a poll does. Events come from one goroutine, in order.
type Observer interface {
	Observe(Event)
}

// Event is one of the types of this file.
type Event interface{ event() }

// Account says whose mailbox an event is about.
type Account struct {
	Label string // the name behind poll
	Host  string // canonical name of the server contacted
	User  string // the name used for login
}

type (
	// Started: a poll begins.
	Started struct {
		Account
		Protocol string
	}
	// Finished: a poll has ended.
	Finished struct {
		Account
		Protocol string
		Status   Status
	}
	// Counted: the mailbox has been listed.
	Counted struct {
		Account
		Folder      string // "" unless a folder was named
		Total, Seen int
		Octets      int64 // -1 if not known
	}
	// Undecided: the server does not tell old messages from new ones as it did before; nothing is fetched.
	Undecided struct{ Account }
	// Reading: the header of a message has come.
	Reading struct {
		Account
		Num, Total int
		Header     int64 // header octets; -1 if only Size is known
		Size       int64 // octets of the whole message; 0 or less if unknown
		Read       int64 // octets that have come
	}
	// Body: the text of the message is being fetched.
	Body struct{ Octets int64 } // -1 if not known apart
	// Progress: this part of the text has come. It must not be kept.
	Progress struct{ Text []byte }
	// Done: the message has been dealt with.
	Done struct{ Flushed bool }
	// Retained: the message belongs to the server (the pseudo message of a mail folder); it was left alone.
	Retained struct{}
	// Skipped: a message was not fetched.
	Skipped struct {
		Account
		Num       int
		Size      int64
		Oversized bool
		Flushed   bool
	}
	// Limited: fetchlimit has been reached and Left messages remain.
	Limited struct {
		Account
		Limit, Left int
	}
	// Unavailable: the server could not give a message.
	Unavailable struct {
		Account
		Num  int
		Size int64
		Err  error
	}
	// BadHeader: a message was left on the server because of a line of its header.
	BadHeader struct{ Line string }
	// Answered: a receiver has refused or deferred somebody.
	Answered struct {
		Sink   string
		LMTP   bool
		Status deliver.Status
	}
	// Forwarded: everybody was refused, and the postmaster takes the message.
	Forwarded struct{ Postmaster string }
	// NoReceiver: everybody, the postmaster included, was refused.
	NoReceiver struct{ Postmaster string }
	// TextRefused: the receiver has refused the text of a message for good.
	TextRefused struct{ Sink string }
	// Bounced: a report of failure was sent to the sender of a message, or could not be.
	Bounced struct {
		To  string
		Err error
	}
	// Filed: a message that was refused has gone into a dead letter folder, or could not.
	Filed struct {
		Folder string
		Err    error
	}
	// Restored: a login has succeeded, after failures that the user had mail about.
	Restored struct{ Account }
	// Unsent: mail to the user about this account could not be sent.
	Unsent struct {
		To  string
		Err error
	}
	// Failed: the poll ends because of Err.
	Failed struct {
		Account
		Authorized bool // a login has succeeded before, in this poll or an earlier one
		Protocol   string
		Sink       string
		Timeout    int // seconds, for time-outs
		Err        error
	}
	// Idling: the folder has been dealt with and the connection waits for new mail (On), or has ended to do so.
	Idling struct {
		Account
		Folder string
		On     bool
	}
	// Warned: something that people should know, in the reference's words, without prefix.
	Warned struct{ Text string }
)

func (Started) event()     {}
func (Finished) event()    {}
func (Counted) event()     {}
func (Undecided) event()   {}
func (Reading) event()     {}
func (Body) event()        {}
func (Progress) event()    {}
func (Done) event()        {}
func (Retained) event()    {}
func (Skipped) event()     {}
func (Limited) event()     {}
func (Unavailable) event() {}
func (BadHeader) event()   {}
func (Answered) event()    {}
func (Forwarded) event()   {}
func (NoReceiver) event()  {}
func (TextRefused) event() {}
func (Bounced) event()     {}
func (Filed) event()       {}
func (Restored) event()    {}
func (Unsent) event()      {}
func (Failed) event()      {}
func (Idling) event()      {}
func (Warned) event()      {}

// Tee is an observer that passes events on to several others, in order.
type Tee []Observer

// Observe passes one event on.
func (t Tee) Observe(e Event) {
	for _, o := range t {
		o.Observe(e)
	}
}
