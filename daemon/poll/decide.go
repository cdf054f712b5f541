package poll

import (
	"slices"

	"fetchmail/deliver"
	"fetchmail/protocols"
)

// The policy of a poll, in two pure functions.
//
// A message is fetched if it is new, or if all are wanted, unless it is too large. An old message stays, or goes with
// flush. A message that an interrupted run has delivered goes without being fetched again.
//
// A message is removed from the server when somebody has accepted it; when it was refused for good, onreject and
// softbounce tell whether it is kept (the default) or goes. Without bouncemail nobody but the postmaster would hear of
// it, so that it goes to him before it is removed. Everything that is not positively known keeps it.

// Rules are the options that decide about messages.
type Rules struct {
	FetchAll      bool
	Keep          bool
	Flush         bool
	LimitFlush    bool
	MaxSize       int64  // limit, octets; 0 is none
	FetchLimit    int    // messages a session; 0 is none
	Expunge       int    // POP3: messages a session, then a new one; 0 is all in one
	Check         bool   // only count
	Idle          bool   // wait for new mail afterwards
	RetrieveError string // retrieve-error: abort, continue or markseen; "" is continue
	OnReject      Reject
	BounceMail    bool
	SpamBounce    bool
	SoftBounce    bool
	Multidrop     bool
}

// Reject says what becomes of a message that everybody has refused for good.
type Reject int

const (
	RejectDefault    Reject = iota // as softbounce and bouncemail say
	RejectKeep                     // it stays on the server; nobody is told
	RejectBounce                   // it is reported and deleted, as with no softbounce
	RejectDeadLetter               // it goes into a folder of its own and is deleted
)

// deletes tells whether messages are deleted as a matter of course.
func (r Rules) deletes() bool { return !r.Keep || r.Flush }

// Choice is what is to be done with one message of a listing.
type Choice int

const (
	Leave      Choice = iota // not touched, not mentioned
	Fetch                    // retrieve it
	Remove                   // delete it: an interrupted run has delivered it
	Confirm                  // mark it as read: an interrupted run has delivered it
	FlushOld                 // delete it because it is old
	SkipLarge                // leave it because it is too large
	FlushLarge               // delete it because it is too large
)

// choose decides about a message. pending tells that an interrupted run has delivered it.
func choose(it protocols.Item, pending bool, r Rules) Choice {
	switch {
	case pending && !r.Keep:
		return Remove
	case pending:
		return Confirm
	case it.Seen && !r.FetchAll:
		if r.Flush {
			return FlushOld
		}
		return Leave
	case r.MaxSize > 0 && it.Size > r.MaxSize:
		if r.LimitFlush {
			return FlushLarge
		}
		return SkipLarge
	}
	return Fetch
}

// Verdict is what follows from an outcome.
type Verdict struct {
	Record bool // note the message as dealt with
	Delete bool
	Seen   bool // mark it as read
	// Elsewhere: not before it has reached somebody else, the postmaster or the dead letter folder.
	Elsewhere bool
}

// settle decides what becomes of a message after the receiver's answers. lmtp: the answers to the text are the
// recipients' own.
func settle(o deliver.Outcome, lmtp bool, r Rules) Verdict {
	switch {
	case len(o.Status) == 0 || anyDeferred(o.Status):
		return Verdict{} // somebody may still take it
	case anyAccepted(o.Status):
	case r.OnReject == RejectKeep, r.OnReject == RejectDefault && r.SoftBounce && !(lmtp && refused(atEnd(o.Status))):
		return Verdict{} // refused for good, but kept
	case r.OnReject == RejectDeadLetter, !r.BounceMail && anyReportable(o.Status, r):
		return Verdict{Record: true, Delete: !r.Keep, Seen: true, Elsewhere: true}
	}
	return Verdict{Record: true, Delete: !r.Keep, Seen: true}
}

// reportable tells whether an answer is reported to the sender of the message: refusals for good, but not 553, which
// says that the address of the sender is not allowed.
func reportable(s deliver.Status, r Rules) bool {
	switch s.Class {
	case deliver.Refused:
		return s.Reply.Code != 553
	case deliver.Spam:
		return r.SpamBounce
	}
	return false
}

// mute tells that the sender of a message is not to be told that it was refused: it goes to somebody else, or it stays
// and that is all.
func mute(o deliver.Outcome, lmtp bool, r Rules) bool {
	return settle(o, lmtp, r).Elsewhere || r.OnReject == RejectKeep && !anyAccepted(o.Status)
}

func anyAccepted(st []deliver.Status) bool {
	return slices.ContainsFunc(st, func(s deliver.Status) bool { return s.Class == deliver.Accepted })
}

func anyReportable(st []deliver.Status, r Rules) bool {
	return slices.ContainsFunc(st, func(s deliver.Status) bool { return reportable(s, r) })
}

func anyDeferred(st []deliver.Status) bool {
	return slices.ContainsFunc(st, func(s deliver.Status) bool { return s.Class == deliver.Deferred })
}

// atEnd are the answers to the text of the message.
func atEnd(st []deliver.Status) []deliver.Status {
	return slices.DeleteFunc(slices.Clone(st), func(s deliver.Status) bool { return s.Stage != deliver.AtEnd })
}

// refused tells whether one of the answers is final and not yes.
func refused(st []deliver.Status) bool {
	return slices.ContainsFunc(st, func(s deliver.Status) bool {
		return s.Class == deliver.Refused || s.Class == deliver.Spam
	})
}
