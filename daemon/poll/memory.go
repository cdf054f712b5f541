package poll

import (
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"fetchmail/deliver"
	"fetchmail/deliver/notice"
	"fetchmail/protocols"
)

// After how many failures in a row a daemon writes to the user. Those for logins were measured on fetchmail 6.4.37; for
// time-outs fetchmail(1), --timeout, says only that there is such a number: this is when the pauses begin to grow.
const (
	refusedLogins      = 3  // of an account that was never logged in to
	refusedLoginsLater = 10 // of one that was: its password is probably right
	repeatedTimeouts   = 5
)

// noticeTime bounds how long a listener may take for mail of ours.
const noticeTime = time.Minute

// Memory is what outlives the polls of an account. The zero value is ready. Several polls may use it, and it does not grow
// with their number.
type Memory struct {
	mu          sync.Mutex
	authorized  bool // a login has succeeded
	refused     int  // logins refused since then
	toldRefused bool // the user has mail about it
	timeouts    int  // polls that ended so, in a row
	toldTimeout bool
	large       map[string]largeMemory   // by folder
	inside      map[string]chan struct{} // by folder: full while a poll is in it
}

// largeMemory is what the user was told of messages that are too large.
type largeMemory struct {
	sizes map[int64]int // how many of each size
	at    time.Time
}

// enter waits until no other poll of the account is in the folder, or for the end of ctx, whose cause is the error. leave
// lets the next one in; waited tells that somebody was there.
func (m *Memory) enter(ctx context.Context, folder string) (leave func(), waited bool, err error) {
	if strings.EqualFold(folder, "INBOX") {
		folder = ""
	}
	m.mu.Lock()
	if m.inside == nil {
		m.inside = map[string]chan struct{}{}
	}
	place := m.inside[folder]
	if place == nil {
		place = make(chan struct{}, 1)
		m.inside[folder] = place
	}
	m.mu.Unlock()
	leave = func() { <-place }
	select {
	case place <- struct{}{}:
		return leave, false, nil
	default:
	}
	select {
	case place <- struct{}{}:
		return leave, true, nil
	case <-ctx.Done():
		return nil, true, context.Cause(ctx)
	}
}

// known tells whether a login has succeeded.
func (m *Memory) known() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.authorized
}

// loginFailed notes a refused login and tells whether it is time to write to the user.
func (m *Memory) loginFailed() (tell bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused++
	limit := refusedLogins
	if m.authorized {
		limit = refusedLoginsLater
	}
	tell = m.refused >= limit && !m.toldRefused
	m.toldRefused = m.toldRefused || tell
	return tell
}

// loggedIn notes a login and tells whether the user has mail that there was none.
func (m *Memory) loggedIn() (told bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	told = m.toldRefused
	m.authorized, m.refused, m.toldRefused = true, 0, false
	return told
}

// timedOut notes a server that did not answer in time and tells how often in a row if it is time to write to the user,
// otherwise 0.
func (m *Memory) timedOut() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timeouts++
	if m.timeouts < repeatedTimeouts || m.toldTimeout {
		return 0
	}
	m.toldTimeout = true
	return m.timeouts
}

// answered notes a server that did.
func (m *Memory) answered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timeouts, m.toldTimeout = 0, false
}

// unsent notes that mail about a failure could not be sent: it is to be tried again.
func (m *Memory) unsent(told *bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*told = false
}

// tooLarge tells whether the user is to be told of messages by size: if one of them is new, or if the last mail is older
// than every. fetchmail(1), --warnings.
func (m *Memory) tooLarge(folder string, sizes map[int64]int, now time.Time, every time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.large[folder]
	fresh := false
	for size, n := range sizes {
		fresh = fresh || n > old.sizes[size]
	}
	if len(sizes) == 0 || fresh || now.Sub(old.at) >= every {
		return len(sizes) > 0
	}
	m.large[folder] = largeMemory{sizes, old.at} // without those that are gone
	return false
}

// toldLarge notes that the user was told; sizes is empty if no such message is on the server any more.
func (m *Memory) toldLarge(folder string, sizes map[int64]int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(sizes) == 0 {
		delete(m.large, folder)
		return
	}
	if m.large == nil {
		m.large = map[string]largeMemory{}
	}
	m.large[folder] = largeMemory{maps.Clone(sizes), now}
}

// Notices says which mail of ours the polls of an account send, and where to.
type Notices struct {
	Host     string // behind FETCHMAIL-DAEMON@ in the sender
	To       string // "" is nobody
	Failures bool   // about logins and time-outs
	TooLarge bool   // about messages above the limit
	Every    time.Duration
}

func (r *run) warning() notice.Warning {
	return notice.Warning{Host: r.Notices.Host, Account: r.User + "@" + r.Host, Time: time.Now()}
}

// remember notes how a poll has ended, and writes to the user if it has ended in the same bad way too often.
func (r *run) remember(ctx context.Context, err error) {
	var src *protocols.Fault
	m := r.Memory
	switch {
	case !errors.As(err, &src) || src.Kind != protocols.Timeout && src.Kind != protocols.Socket:
		m.answered()
	case src.Kind == protocols.Timeout:
		if n := m.timedOut(); n > 0 && !r.tellFailure(ctx, r.warning().TimedOut(n)) {
			m.unsent(&m.toldTimeout)
		}
	}
	if src != nil && src.Kind == protocols.Auth && m.loginFailed() && !r.tellFailure(ctx, r.warning().LoginFailed(m.known())) {
		m.unsent(&m.toldRefused)
	}
	r.closeSink(err)
}

// tellFailure is notify for those who want to hear of failures.
func (r *run) tellFailure(ctx context.Context, text []byte) bool {
	return r.Notices.Failures && r.notify(ctx, text)
}

// loggedIn is called when a login has succeeded.
func (r *run) loggedIn(ctx context.Context) {
	if r.Memory.loggedIn() {
		r.Observer.Observe(Restored{r.Account})
		r.notify(ctx, r.warning().LoginRestored())
	}
}

// warnLarge writes to the user about the messages of this round that were too large.
func (b *box) warnLarge(ctx context.Context) {
	if !b.Notices.TooLarge {
		return
	}
	var found []notice.Oversized // in the order of the mailbox
	sizes := map[int64]int{}
	for _, size := range b.large {
		if sizes[size]++; sizes[size] == 1 {
			found = append(found, notice.Oversized{Octets: size})
		}
	}
	for i := range found {
		found[i].Count = sizes[found[i].Octets]
	}
	now := time.Now()
	if len(found) > 0 && !b.Memory.tooLarge(b.folder, sizes, now, b.Notices.Every) {
		return
	}
	flushed := b.Rules.LimitFlush
	if len(found) == 0 || b.notify(ctx, b.warning().TooLarge(b.Label, b.User, found, flushed)) {
		if flushed {
			clear(sizes) // they are gone
		}
		b.Memory.toldLarge(b.folder, sizes, now)
	}
}

// notify sends mail of ours through the sink of the poll, and tells whether it need not be tried again. That it cannot be
// sent is told, and has no other effect.
func (r *run) notify(ctx context.Context, text []byte) bool {
	if r.Notices.To == "" {
		return false // the postmaster is nobody: such mail is discarded
	}
	if r.sink == nil {
		r.sink = r.Sink(r.Host)
	}
	ctx, cancel := context.WithTimeout(ctx, noticeTime)
	defer cancel()
	env := deliver.Envelope{From: r.warning().From(), To: []string{r.Notices.To}, Fallback: r.Edit.Postmaster}
	out, err := deliver.Send(ctx, r.sink, env, func(w io.Writer) error {
		lines := r.Edit.Lines.NewWriter(w)
		if _, err := lines.Write(text); err != nil {
			return err
		}
		return lines.Close()
	})
	r.lastSink = r.sink.Name()
	if err != nil {
		r.Observer.Observe(Unsent{To: r.Notices.To, Err: err})
		return false
	}
	return r.heard(out)
}

// heard passes on what the recipients of a notice have answered. One whose text was refused for good need not be tried
// again.
func (r *run) heard(o deliver.Outcome) bool {
	for i, s := range o.Status {
		switch {
		case s.Class == deliver.Accepted:
		case i == 0:
			r.Observer.Observe(Answered{r.lastSink, isLMTP(r.sink), s})
		default:
			r.Observer.Observe(NoReceiver{r.Edit.Postmaster})
		}
	}
	final := refused(atEnd(o.Status))
	if final && !isLMTP(r.sink) {
		r.Observer.Observe(TextRefused{r.lastSink})
	}
	return final || o.Delivered()
}
