package poll

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"fetchmail/deliver"
	"fetchmail/protocols"
)

// commitEvery is how many messages are fetched between two points at which deletions become final, on servers where
// that does not end the session. It bounds what a crash leaves behind.
const commitEvery = 500

// sliceMost is how many messages are asked for in one go. It bounds memory.
const sliceMost = 10_000

// mostRounds is how often a folder is gone through in one poll because the server announces new mail again and again.
const mostRounds = 20

// mostFailures is how many messages in a row may not be written until it is the fault of the folder, not theirs: a full
// disk is not filled again with each message of a large mailbox.
const mostFailures = 5

// unfitTime is how long a poll leaves a message alone that could not be written: where it waits for mail the message is
// not fetched in vain whenever another one comes.
const unfitTime = time.Hour

// leaveTime is how long a session may take to end after the poll was asked to stop.
const leaveTime = 10 * time.Second

// ErrStopped ends a poll that was asked to stop.
var ErrStopped = errors.New("stopped")

// Run polls the mailbox once. All that goes wrong has been told to the observer when it returns. When stop is closed, a
// message in hand is finished first, and the session left in good order; without one it is cut at once. The end of ctx
// cuts it anyway. stop may be nil.
func (j *Job) Run(ctx context.Context, stop <-chan struct{}) Result {
	j.Observer.Observe(Started{j.Account, j.Protocol})
	own := *j // Resolve changes the name of the host for this poll only
	if own.Memory == nil {
		own.Memory = new(Memory)
	}
	r := &run{Job: &own, stop: stop}
	hard, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	ended := make(chan struct{})
	defer close(ended)
	go r.watch(cut, ended)
	err := r.sessions(hard)
	if err != nil && (ctx.Err() != nil || r.stopping()) {
		err = nil
	}
	res := Result{Fetched: r.fetched, Status: StatusOf(err), Err: err}
	switch {
	case err == nil:
		res.Status = r.outcome()
	case !r.told:
		r.tellFailed(err)
	}
	r.remember(ctx, err)
	j.Observer.Observe(Finished{r.Account, r.protocol(), res.Status})
	return res
}

// tellFailed says why a poll ends, or why a message stays.
func (r *run) tellFailed(err error) {
	r.Observer.Observe(Failed{Account: r.Account, Authorized: r.Memory.known(), Protocol: r.protocol(), Sink: r.lastSink,
		Timeout: r.Timeout, Err: err})
}

// run is a poll under way.
type run struct {
	*Job
	session  protocols.Session
	traits   protocols.Traits
	sink     deliver.Sink
	lastSink string
	router   Router

	stop    <-chan struct{} // closed: asked to stop
	hand    sync.Mutex      // held while a message is in hand
	leaving bool            // asked to stop, the session is being left in good order

	fetched     int  // in all sessions
	inSession   int  // in this session
	deletions   int  // asked for in this session
	before      int  // messages to be fetched at the beginning of the session before; 0 in the first
	waiting     int  // new messages seen with Check
	full        bool // this session has fetched as many messages as it may
	limited     bool // fetchlimit was reached and more is there
	again       bool // another session is wanted
	total, left int  // messages in the folder; those not fetched in this session
	buf         []byte
	lastNum     int                  // number of the message fetched last
	lastHead    [sha256.Size]byte    // of the header before this one
	leftovers   []leftover           // refused messages of this session
	failure     error                // the first message that could not be written; the poll ends with it
	failures    int                  // messages in a row that could not
	told        bool                 // what the poll fails of
	unfit       map[string]time.Time // when those of this folder could not, by UID
}

// watch cuts the session when the poll is asked to stop and no message is in hand.
func (r *run) watch(cut context.CancelCauseFunc, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-r.stop:
	}
	r.hand.Lock()
	leaving := r.leaving
	r.hand.Unlock()
	if leaving {
		select {
		case <-ended:
		case <-time.After(leaveTime):
		}
	}
	cut(ErrStopped)
}

// stopping tells whether the poll was asked to stop.
func (r *run) stopping() bool { return closed(r.stop) }

func (r *run) protocol() string {
	if r.traits.Protocol != "" {
		return r.traits.Protocol
	}
	return r.Protocol
}

func (r *run) outcome() Status {
	switch {
	case r.limited:
		return MaxFetch
	case r.fetched > 0 || r.waiting > 0:
		return Success
	}
	return NoMail
}

// sessions are all sessions of the poll; there is more than one if deletions become final with the end of a session only.
func (r *run) sessions(ctx context.Context) error {
	for r.again = true; r.again; {
		r.again = false
		if err := r.hooked(ctx); err != nil {
			return err
		}
	}
	return nil
}

// hooked is a session between the preconnect and the postconnect command. The latter takes down what the former has set
// up, whatever has happened between; that it failed is the status of a session in which all went well and mail came.
func (r *run) hooked(ctx context.Context) error {
	err := r.connect(ctx)
	if err == nil && !r.again {
		err = r.failure
	}
	if r.After == nil || ctx.Err() != nil || r.stopping() {
		return err
	}
	if err != nil {
		r.tellFailed(err)
		r.told = true
	}
	late := r.After(ctx)
	if err == nil && !r.again && r.outcome() == Success {
		return late
	}
	if late != nil && ctx.Err() == nil {
		r.tellFailed(late)
	}
	return err
}

// connect is a session and what comes before it.
func (r *run) connect(ctx context.Context) error {
	if r.Before != nil { // the name may be known only then
		if err := r.Before(ctx); err != nil {
			return err
		}
	}
	if r.Resolve != nil {
		host, err := r.Resolve(ctx)
		if err != nil {
			return &DNSError{Label: r.Label, Host: r.Host, Err: err}
		}
		r.Host = host
	}
	r.router = r.Route(r.Host)
	err := r.visit(ctx)
	r.closeSink(err)
	return err
}

// closeSink ends the sink. After a fault of the server the reference just drops the connection, and so do we, unless
// all messages have been dealt with.
func (r *run) closeSink(cause error) {
	if r.sink == nil {
		return
	}
	var src *protocols.Fault
	over := cause == nil || cause == ErrStopped || errors.As(cause, &src) && src.Phase == protocols.Finishing && src.Kind != protocols.Timeout
	if d, ok := r.sink.(interface{ Drop() }); ok && !over {
		d.Drop()
	}
	r.sink.Close()
	r.sink = nil
}

// visit is one session: it logs in, goes through the folders and leaves.
func (r *run) visit(ctx context.Context) error {
	s, err := r.Open(ctx)
	if err != nil {
		return err
	}
	r.session, r.traits, r.inSession, r.deletions, r.full = s, s.Traits(), 0, 0, false
	r.loggedIn(ctx)
	err = r.folders(ctx)
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	return err
}

// folders goes through all folders of a session.
func (r *run) folders(ctx context.Context) error {
	s := r.session
	for _, folder := range r.Folders {
		if sel, ok := s.(protocols.Selector); ok {
			if err := sel.Select(ctx, folder, r.Rules.Check); err != nil {
				return err
			}
		}
		if err := r.folder(ctx, folder); err != nil || r.full {
			return err
		}
	}
	return nil
}

// folder goes through the selected folder until nothing new has come in. With idle it waits for more, until the poll
// is asked to stop.
func (r *run) folder(ctx context.Context, folder string) error {
	r.unfit = map[string]time.Time{}
	for n := 1; ; n++ {
		b := &box{run: r, folder: folder, led: r.Ledger(folder), gone: map[string]bool{}, accepted: map[string]bool{},
			passed: map[string]bool{}}
		err := b.turn(ctx)
		if err != nil || r.Rules.Check || r.full {
			return err
		}
		if a, ok := r.session.(protocols.Announcer); ok && a.Announced() {
			if n < mostRounds {
				continue
			}
			if !r.Rules.Idle {
				return nil // the next poll goes on
			}
			if err := r.rest(ctx); err != nil {
				return err
			}
		}
		w, ok := r.session.(protocols.Waiter)
		if !r.Rules.Idle || !ok || !w.CanWait() && !r.Stay || r.stopping() {
			return nil
		}
		r.closeSink(nil)
		if r.failure != nil {
			r.tellFailed(r.failure)
			r.failure = nil
		}
		r.Observer.Observe(Idling{r.Account, folder, true})
		err = w.Wait(ctx, r.Wake)
		r.Observer.Observe(Idling{r.Account, folder, false})
		if err != nil {
			return err
		}
	}
}

// rest waits a moment, so that a server with endless news keeps nobody busy.
func (r *run) rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ErrStopped
	case <-r.stop:
	case <-time.After(time.Second):
	}
	return nil
}

// box is one round through a folder.
type box struct {
	*run
	folder   string
	led      Ledger
	listing  protocols.Listing
	listed   bool            // listing is complete
	repeated map[string]bool // UIDs that do not tell messages apart
	gone     map[string]bool // UIDs that the server has confirmed to be gone
	accepted map[string]bool // UIDs that were recorded as delivered in this round
	passed   map[string]bool // UIDs that are old from now on, where UIDs tell what is old
	large    []int64         // sizes of messages that were too large

	wanted int // messages to be fetched
}

// turn is a round while no other poll is in the folder: an rcfile may name one that is watched a second time.
func (b *box) turn(ctx context.Context) error {
	leave, waited, err := b.Memory.enter(ctx, b.folder)
	if err != nil {
		return err
	}
	defer leave()
	if sel, ok := b.session.(protocols.Selector); ok && waited { // what the other has removed is not to be listed
		if err := sel.Select(ctx, b.folder, b.Rules.Check); err != nil {
			return err
		}
	}
	err = b.round(ctx)
	if ferr := b.finish(err); err == nil {
		err = ferr
	}
	return err
}

// round lists a folder, fetches what is wanted and makes the deletions final.
func (b *box) round(ctx context.Context) error {
	l, err := b.session.List(ctx)
	if err != nil {
		return err
	}
	b.repeated = repeated(l.Items)
	b.listing, b.listed, b.total, b.left = l, true, l.Total, l.Total
	b.count()
	if b.Rules.Check || l.Total == 0 {
		return b.leave(ctx)
	}
	if b.undecided() {
		b.Observer.Observe(Undecided{b.Account})
		return b.leave(ctx)
	}
	plan := b.plan()
	for len(plan) > 0 {
		n := b.slice(plan)
		n, err := b.transfer(ctx, plan[:n])
		if err != nil {
			return b.rescue(ctx, err)
		}
		plan = plan[n:]
		if err := b.redirect(ctx); err != nil {
			return b.rescue(ctx, err)
		}
		if len(plan) > 0 && !b.traits.CommitEnds {
			if err := b.commit(ctx); err != nil {
				return err
			}
		}
		if b.full {
			break
		}
	}
	b.warnLarge(ctx)
	return b.leave(ctx)
}

// repeated are the UIDs that do not tell messages apart: they stand more than once in a listing, or are only the number of
// the message, which will be that of another one. A record that one of these messages is to be deleted must not speak for
// the others.
func repeated(items []protocols.Item) map[string]bool {
	twice := map[string]bool{}
	for _, some := range protocols.Repeated(items) {
		twice[some[0].UID] = true
	}
	for _, it := range items {
		if it.UID == strconv.Itoa(it.Num) {
			twice[it.UID] = true
		}
	}
	return twice
}

// undecided tells that nothing says which messages are old, although there is a record of some: a POP3 server that has UIDs
// and refuses them for once. As in the reference nothing is fetched then; unlike there, nothing is flushed either.
func (b *box) undecided() bool {
	return !b.listing.SeenKnown && !b.Rules.FetchAll && !b.led.Empty()
}

// unidentified tells that no message of the listing has a UID. What is recorded is not known to be gone then.
func (b *box) unidentified() bool {
	return len(b.listing.Items) > 0 && !slices.ContainsFunc(b.listing.Items, func(it protocols.Item) bool { return it.UID != "" })
}

// count tells how much is there.
func (b *box) count() {
	c := Counted{Account: b.Account, Folder: b.folder, Total: b.listing.Total, Octets: -1}
	if b.traits.Octets {
		c.Octets = b.listing.Octets
	}
	for _, it := range b.listing.Items {
		if it.Seen && b.listing.SeenKnown {
			c.Seen++
		}
	}
	b.waiting += c.Total - c.Seen
	if !b.Rules.Check {
		b.waiting = 0
	}
	b.Observer.Observe(c)
}

// step is one entry of the plan for a folder.
type step struct {
	*protocols.Item
	Choice
}

// plan decides about every message, in mailbox order.
func (b *box) plan() []step {
	var p []step
	for i := range b.listing.Items {
		it := &b.listing.Items[i]
		if at, ok := b.unfit[it.UID]; ok && time.Since(at) < unfitTime {
			continue
		}
		pending := it.UID != "" && !b.repeated[it.UID] && b.led.Pending(it.UID)
		if c := choose(*it, pending, b.Rules); c != Leave {
			p = append(p, step{it, c})
			if c == Fetch {
				b.wanted++
			}
		}
	}
	return p
}

// slice tells how many steps are done before deletions are made final.
func (b *box) slice(p []step) int {
	switch {
	case b.traits.CommitEnds || !b.Rules.deletes():
		return min(sliceMost, len(p))
	case b.Rules.Expunge > 0:
		return min(b.Rules.Expunge, len(p))
	}
	return min(commitEvery, len(p))
}

// leave makes the deletions of a finished folder final.
func (b *box) leave(ctx context.Context) error {
	if b.traits.CommitEnds || !b.Rules.Check {
		return b.commit(ctx)
	}
	return nil
}

// commit brings the record to disk, then makes deletions final.
func (b *box) commit(ctx context.Context) error {
	if err := b.led.Sync(); err != nil {
		return &LedgerError{err}
	}
	removed, err := b.session.Commit(ctx)
	for _, it := range removed {
		if it.UID != "" {
			b.gone[it.UID] = true
			if lerr := b.led.Removed(it.UID); lerr != nil && err == nil {
				err = &LedgerError{lerr}
			}
		}
	}
	return err
}

// rescue is called when a round has failed. Trouble with the receiver, or a server that answers nonsense, leaves the
// connection intact: what has been delivered already is deleted, and the session ends politely.
func (b *box) rescue(ctx context.Context, cause error) error {
	var dst *deliver.Fault
	var src *protocols.Fault
	var led *LedgerError
	switch {
	case errors.As(cause, &led):
	case errors.As(cause, &src):
		if src.Kind == protocols.Protocol || src.Kind == protocols.Server {
			b.commit(ctx)
		}
	case cause == ErrStopped, errors.As(cause, &dst):
		b.commit(ctx)
	}
	return cause
}

// finish brings the ledger in order, after a failure too. What was delivered in a poll that failed and is still on the
// server counts as seen where UIDs tell what is old; elsewhere its record stays pending, and the next poll deletes it.
func (b *box) finish(cause error) error {
	if !b.listed || b.Rules.Check || b.unidentified() {
		return nil
	}
	if cause != nil && (b.traits.ServerSeen || !b.listing.ByUID) && b.unconfirmed() {
		return nil
	}
	var known []string
	for _, it := range b.listing.Items {
		if it.UID == "" || b.gone[it.UID] {
			continue
		}
		if b.led.Known(it.UID) || b.listing.ByUID && (b.passed[it.UID] || b.led.Pending(it.UID)) {
			known = append(known, it.UID)
		}
	}
	if err := b.led.Finish(known, b.onServer()); err != nil {
		return &LedgerError{err}
	}
	return nil
}

// onServer tells whether a message is still there. It is asked about the few of which a report was sent.
func (b *box) onServer() func(uid string) bool {
	present := sync.OnceValue(func() map[string]bool {
		m := make(map[string]bool, len(b.listing.Items))
		for _, it := range b.listing.Items {
			m[it.UID] = !b.gone[it.UID]
		}
		return m
	})
	return func(uid string) bool { return present()[uid] }
}

// unconfirmed tells whether something was delivered, now or by an interrupted run, that the server has not confirmed to
// be gone.
func (b *box) unconfirmed() bool {
	return slices.ContainsFunc(b.listing.Items, func(it protocols.Item) bool {
		return it.UID != "" && !b.gone[it.UID] && (b.accepted[it.UID] || b.led.Pending(it.UID))
	})
}
