// Package poll fetches one mailbox once: it chooses messages, moves them into a sink and settles what becomes of them.
//
// The order of things is what keeps mail safe. For each message: the receiver accepts it, the ledger records it, then
// the server is told to delete it. Before deletions are made final the record is brought to disk; after the server has
// confirmed them they are forgotten. A crash before the record duplicates one message and loses none; after a crash
// behind it the next poll deletes without fetching.
//
// Messages stream: header, then the text through filters into the sink. No message is ever held whole. An error of the
// source always aborts the delivery, so that nobody accepts half a message.
package poll

import (
	"context"
	"io"

	"fetchmail/deliver"
	"fetchmail/protocols"
)

// Ledger remembers what has been fetched from one folder of an account. *ledger.Account is the real one, and says
// more about each method.
type Ledger interface {
	// Known tells that the message was fetched in an earlier poll.
	Known(uid string) bool
	// Empty tells that Known knows no message.
	Empty() bool
	// Pending tells that an interrupted run has delivered the message and could not delete it.
	Pending(uid string) bool
	// Bounced tells that the sender of the message was told of its failure; Bounce records it.
	Bounced(uid string) bool
	Bounce(uid string) error
	// Ready tells whether Accept will be able to record.
	Ready() error
	// Accept records that the message has been delivered, before it is deleted.
	Accept(uid string) error
	// Sync brings the record to disk.
	Sync() error
	// Removed forgets messages that the server has confirmed to be gone.
	Removed(uids ...string) error
	// Finish ends a poll in good order: known is what is old from now on.
	Finish(known []string, onServer func(uid string) bool) error
}

// Job is everything that a poll of one user's mailbox needs. Its functions are called from one goroutine.
type Job struct {
	Account
	Protocol string // as options name it, for status lines before a session exists
	// Folders to look at, in order; "" is the default one. At least one.
	Folders []string
	Rules   Rules
	Timeout int // seconds, for messages about time-outs

	// Resolve finds the canonical name of the server; nil takes Host as it is.
	Resolve func(context.Context) (string, error)
	Open    func(context.Context) (protocols.Session, error)
	// Sink and Route are made for each poll, with the canonical name of the server.
	Sink   func(host string) deliver.Sink
	Route  func(host string) Router
	Ledger func(folder string) Ledger
	Edit   Edit
	// Bounce sends a report of failure and returns the address that it went to, "" if nobody is to be told.
	Bounce func(ctx context.Context, f Failure) (to string, err error)
	// DeadLetter is where messages go that were refused, for RejectDeadLetter.
	DeadLetter func() deliver.Sink
	// Memory is what outlives the poll; nil if nothing does.
	Memory  *Memory
	Notices Notices
	// Stay keeps a poll with Rules.Idle waiting for new mail on servers that do not offer to tell of it; it asks them.
	Stay bool
	// Wake makes a poll that waits look for new mail; nil: nobody does.
	Wake <-chan struct{}
	// Before and After are the preconnect and postconnect commands; nil if there are none.
	Before, After func(context.Context) error

	Observer Observer
}

// Failure is what a report to the sender is made of.
type Failure struct {
	Sender string // "" is the null sender, to whom nothing is sent
	Header []byte // of the message
	Status []deliver.Status
	// Whole is the text of the message behind Header, if all of it is to go to the postmaster: it will be deleted, and the
	// sender is not told.
	Whole io.Reader
	// Partial tells that other recipients have the message: nobody hears of these again.
	Partial bool
}

// Result is what came of a poll.
type Result struct {
	Fetched int // messages that were read, whatever became of them
	Status  Status
	Err     error
}
