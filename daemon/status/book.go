package status

import (
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"fetchmail/daemon/poll"
	"fetchmail/daemon/report"
)

const (
	// pause is the least time between two writes of the file; slowness is how many times longer than a write itself it is.
	pause    = time.Second
	slowness = 50
	// pulse is how often the text of a message counts as a sign of life worth writing.
	pulse = 10 * time.Second
)

// Entry is an account as the configuration has it.
type Entry struct {
	ID                          string // tells it from all others, before and after a reload
	Name                        string // in PutOff
	Label, User, Host, Protocol string
	Folder                      string // "" is the default one, or several
	Every                       int    // polled each so many rounds; 0 is 1
	Idle                        bool
}

// Book keeps the status of this process. Its methods may be called from several goroutines.
type Book struct {
	path string
	now  func() time.Time

	mu       sync.Mutex
	s        Status
	accounts map[string]*Account // by ID
	order    []string
	names    map[string]*Account // by Entry.Name
	marked   time.Time           // when text of a message was last worth writing

	writing sync.Mutex
	changed chan struct{}
	stop    chan struct{}
	written sync.WaitGroup
}

// New makes a book whose file is path. complain hears, once in a row, that it could not be written.
func New(path, version string, complain func(error)) *Book {
	b := &Book{path: path, now: time.Now, accounts: map[string]*Account{}, changed: make(chan struct{}, 1), stop: make(chan struct{})}
	b.s = Status{Version: version, PID: os.Getpid(), Started: b.now(), Active: b.now()}
	b.written.Go(func() { b.keep(complain) })
	return b
}

// Configure says what there is to poll from now on. Accounts that stay keep their counters. Patience is how long a poll
// may show no sign of life. When it returns, the file is there.
func (b *Book) Configure(interval, patience time.Duration, entries []Entry) {
	b.configure(interval, patience, entries)
	if b.write() != nil {
		b.touch() // it is tried again, and complained about
	}
}

func (b *Book) configure(interval, patience time.Duration, entries []Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.accounts
	b.accounts, b.names, b.order = make(map[string]*Account, len(entries)), make(map[string]*Account, len(entries)), nil
	b.s.Interval, b.s.Patience = int(interval.Seconds()), int(patience.Seconds())
	for _, e := range entries {
		a := old[e.ID]
		if a == nil {
			a = &Account{Label: e.Label, User: e.User, Polls: map[string]int{}}
		}
		a.Host, a.Protocol, a.Folder, a.Every, a.Idle = e.Host, e.Protocol, e.Folder, max(e.Every, 1), e.Idle
		b.accounts[e.ID], b.names[e.Name] = a, a
		b.order = append(b.order, e.ID)
	}
}

// write writes the file.
func (b *Book) write() error {
	b.writing.Lock()
	defer b.writing.Unlock()
	return write(b.path, b.Snapshot())
}

// Move goes on in the file at another path.
func (b *Book) Move(path string) {
	b.writing.Lock()
	defer b.writing.Unlock()
	if path != b.path {
		os.Remove(b.path)
		b.path = path
	}
}

// Sleeping: a round is over, the next one begins after d.
func (b *Book) Sleeping(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s.Active = b.now()
	b.s.Rounds++
	b.s.NextPoll = b.s.Active.Add(d)
	for _, a := range b.accounts {
		if a.Idle {
			continue // it has no rounds
		}
		a.rounds++
		a.Polling = 0 // a poll that panicked has not said that it ended
		a.NextPoll = b.s.NextPoll.Add(d * time.Duration(max(a.Every-a.rounds, 0)))
		if a.putOff.After(a.NextPoll) {
			a.NextPoll = a.putOff
		}
	}
	b.touch()
}

// PutOff: the task of that name has failed so often that it is not tried again before d is over.
func (b *Book) PutOff(name string, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.names[name]; a != nil {
		a.putOff = b.now().Add(d)
		a.NextPoll = a.putOff
	}
	b.touch()
}

// Awake: a round begins.
func (b *Book) Awake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s.Active, b.s.NextPoll = b.now(), time.Time{}
	b.touch()
}

// Snapshot is the status now.
func (b *Book) Snapshot() *Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.s
	s.Updated = b.now()
	s.Accounts = make([]Account, 0, len(b.order))
	for _, id := range b.order {
		a := *b.accounts[id]
		a.Polls = maps.Clone(a.Polls)
		s.Accounts = append(s.Accounts, a)
	}
	return &s
}

// Watch returns an observer for one poll of an account, or for one connection that waits for new mail.
func (b *Book) Watch(id string) poll.Observer {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.accounts[id]
	if a == nil { // of a configuration that is not in force any more
		a = &Account{Polls: map[string]int{}}
	}
	return &watcher{book: b, a: a}
}

// Close ends the book and removes its file.
func (b *Book) Close() {
	close(b.stop)
	b.written.Wait()
	os.Remove(b.path)
}

// touch asks for the file to be written. b.mu is held.
func (b *Book) touch() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// keep writes the file when something has changed.
func (b *Book) keep(complain func(error)) {
	said := false
	for {
		select {
		case <-b.stop:
			return
		case <-b.changed:
		}
		begin := time.Now()
		err := b.write()
		if err != nil && !said {
			complain(err)
		}
		said = err != nil
		select {
		case <-b.stop:
			return
		case <-time.After(max(pause, slowness*time.Since(begin))):
		}
	}
}

// watcher is the observer of one poll.
type watcher struct {
	book  *Book
	a     *Account
	depth int // polls within one another: protocol auto tries several
	begun time.Time
	idle  bool // waits for new mail
	open  bool // a message is being read
}

// Observe takes note of one event.
func (w *watcher) Observe(e poll.Event) {
	b, a := w.book, w.a
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.s.Active, a.Active = now, now
	switch e := e.(type) {
	case poll.Started:
		w.started(now)
	case poll.Finished:
		w.finished(e, now)
	case poll.Idling:
		w.idling(e.On, now)
	case poll.Counted:
		a.Waiting = e.Total
	case poll.Reading:
		w.open = true
		a.Octets += e.Read
	case poll.Progress:
		if a.Octets += int64(len(e.Text)); now.Sub(b.marked) < pulse {
			return
		}
		b.marked = now
	case poll.BadHeader, poll.Unavailable, poll.Retained:
		w.open = false // it stays where it is
	case poll.Done:
		w.done(e, now)
	case poll.Failed:
		a.LastError, a.LastErrorAt = strings.Join(report.Words(e), "; "), now
	default:
		return
	}
	b.touch()
}

func (w *watcher) started(now time.Time) {
	if w.depth++; w.depth > 1 {
		return
	}
	w.begun = now
	w.a.Polling, w.a.Idling, w.a.rounds = 1, 0, 0
	w.a.NextPoll, w.a.putOff = time.Time{}, time.Time{}
}

func (w *watcher) finished(e poll.Finished, now time.Time) {
	if w.depth--; w.depth > 0 {
		return
	}
	if w.idle {
		w.idling(false, now)
	}
	a := w.a
	a.Polling = 0
	w.took(now)
	a.Polls[Result(e.Status)]++
	w.ended(e.Status, now)
}

// ended notes how a look at the mailbox has ended.
func (w *watcher) ended(s poll.Status, now time.Time) {
	a := w.a
	a.LastPoll, a.Result = now, Result(s)
	if slices.Contains(good, s) {
		a.LastSuccess, a.Failing = now, 0
	} else {
		a.Failing++
	}
}

// took notes the time of a poll, or of the part of one that was no waiting.
func (w *watcher) took(now time.Time) {
	w.a.Last = now.Sub(w.begun).Seconds()
	w.a.Seconds += w.a.Last
}

// idling: all that was there has been dealt with.
func (w *watcher) idling(on bool, now time.Time) {
	if w.idle == on {
		return
	}
	w.a.Connected = now
	if w.idle = on; !on {
		w.a.Idling = 0
		w.begun = now
		return
	}
	w.a.Idling = 1
	w.took(now)
	w.ended(poll.Success, now)
}

func (w *watcher) done(e poll.Done, now time.Time) {
	if w.open {
		w.a.Fetched++
		w.a.LastMail = now
	}
	if e.Flushed {
		w.a.Deleted++
	}
	w.open = false
}

// good are the results of polls that went well.
var good = []poll.Status{poll.Success, poll.NoMail, poll.MaxFetch}

// Result is the name of a result in the file and in metrics: the lower-case names of fetchmail(1), EXIT CODES.
func Result(s poll.Status) string {
	switch s {
	case poll.ServerBusy:
		return "serverbusy"
	case poll.Undefined:
		return "undefined"
	}
	return strings.ToLower(s.String())
}
