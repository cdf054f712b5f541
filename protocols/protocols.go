// Package protocols says what a mailbox on a mail server is: a Session that lists, fetches and deletes messages.
//
// The sub-packages pop3 and imap implement Session; etrn and odmr make servers send mail to our listener, esmtp is what
// these two have in common; wire and auth are the connection and the login below them.
// This package does no I/O and imports nothing of ours.
package protocols

import (
	"context"
	"hash/maphash"
	"io"
	"iter"
	"slices"
)

// Traits are the facts about a session that code above has to know. They are data: nobody above this line asks
// which protocol it is.
type Traits struct {
	// Protocol is the name in Received lines, status lines and traces: "POP3", "IMAP", "APOP" ...
	Protocol string
	// Peer is the IP address of the server, for Received lines; "" if it is not known (plugin).
	Peer string
	// Folders: the server has folders besides the inbox; Session implements Selector.
	Folders bool
	// ServerSeen: the server itself remembers which messages were read (IMAP \Seen).
	ServerSeen bool
	// Octets: Listing.Octets is known (status lines show it behind the count).
	Octets bool
	// CommitEnds: Commit ends the session (POP3 QUIT). Otherwise it can be called as often as wanted.
	CommitEnds bool
}

// Item is one message of a mailbox, as List found it.
type Item struct {
	Num  int    // position in the mailbox at the time of List, from 1
	UID  string // unique for ever within account and folder; "" if the server has none
	Size int64  // octets as announced by the server; -1 if unknown
	Seen bool   // old: read, or fetched in an earlier session
}

// Listing is what List found. Items is complete and in mailbox order.
type Listing struct {
	Total  int   // messages in the mailbox
	Octets int64 // their size, where Traits.Octets
	Items  []Item
	// SeenKnown is false if nothing was found out about old and new (status lines then show no "(n seen)").
	SeenKnown bool
	// ByUID: the UIDs that the ledger knows have told what is old.
	ByUID bool
}

// Repeated finds the messages whose UIDs stand more than once in a listing, those of each such UID together. Where all
// is as it should be it needs eight octets a message.
func Repeated(items []Item) [][]Item {
	seed := maphash.MakeSeed()
	sums := make([]uint64, 0, len(items))
	for _, it := range items {
		if it.UID != "" {
			sums = append(sums, maphash.String(seed, it.UID))
		}
	}
	slices.Sort(sums)
	suspect := map[uint64]bool{}
	for i := 1; i < len(sums); i++ {
		if sums[i] == sums[i-1] {
			suspect[sums[i]] = true
		}
	}
	if len(suspect) == 0 {
		return nil
	}
	byUID := map[string][]Item{}
	for _, it := range items {
		if it.UID != "" && suspect[maphash.String(seed, it.UID)] {
			byUID[it.UID] = append(byUID[it.UID], it)
		}
	}
	var found [][]Item
	for _, same := range byUID {
		if len(same) > 1 {
			found = append(found, same)
		}
	}
	return found
}

// Message is one message on its way. Only one is open at a time: the body must be read, or the message closed,
// before the iterator that yielded it goes on.
type Message struct {
	Item   Item
	Header []byte // the raw header block as received, CRLF line ends, with the empty line at its end if there was one
	// HeaderSize and BodySize are octets as announced by the server for status lines; -1 if unknown.
	HeaderSize, BodySize int64
	// Sender and Recipient are the envelope that the server has kept with the message, addresses without angle
	// brackets, but "<>" is the null sender; "" if it does not tell (only SDPS does).
	Sender, Recipient string
	// Body yields what follows the header, CRLF line ends as the server sent them. It returns io.EOF only when the
	// server has marked the end of the message; a connection that breaks off gives a *Fault that wraps
	// io.ErrUnexpectedEOF.
	Body io.Reader
	// Close gives up the rest of the message and leaves the session usable. It may be called twice.
	Close func() error
}

// Session is an open, logged-in mailbox. It is used by one goroutine at a time. The context that it was opened
// with ends it: blocked calls return, nothing is committed.
type Session interface {
	Traits() Traits
	// List asks what is in the mailbox (the selected folder).
	List(ctx context.Context) (Listing, error)
	// Fetch yields the messages in the order of items and asks the server ahead of the reader. A pair with a
	// message and an error means that this message could not be fetched (Message.Item says which) and that the
	// session goes on; an error with a nil message ends the session.
	Fetch(ctx context.Context, items []Item) iter.Seq2[*Message, error]
	// MarkSeen marks a message as read where the server can; otherwise it does nothing.
	MarkSeen(ctx context.Context, it Item) error
	// Delete marks a message for deletion (and as read). It may be called while Fetch is running, between messages,
	// and does not wait for the answer: what goes wrong is told by Commit.
	Delete(ctx context.Context, it Item) error
	// Commit makes the deletions since the last Commit final (POP3 QUIT, IMAP EXPUNGE) and returns those that the
	// server has confirmed, also when it returns an error.
	Commit(ctx context.Context) (removed []Item, err error)
	// Close ends the session without Commit, politely if it still can. On POP3 nothing is deleted then; on IMAP
	// messages keep their marks.
	Close() error
}

// Selector is implemented by sessions whose Traits say Folders.
type Selector interface {
	// Select opens a folder; "" is the inbox. readOnly promises that nothing will be changed (IMAP EXAMINE).
	Select(ctx context.Context, folder string, readOnly bool) error
}

// Announcer is implemented by sessions that hear of new mail while they work.
type Announcer interface {
	// Announced tells whether messages have arrived since List.
	Announced() bool
}

// Waiter is implemented by sessions that can wait for new mail (IMAP IDLE).
type Waiter interface {
	// CanWait tells whether the server offers it.
	CanWait() bool
	// Wait returns nil when there may be new mail, or when something comes from wake, which may be nil.
	Wait(ctx context.Context, wake <-chan struct{}) error
}
