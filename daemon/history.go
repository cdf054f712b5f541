package daemon

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Verdict is what the status of a task means for its next run.
type Verdict int

const (
	// Fine: it has done its work.
	Fine Verdict = iota
	// Local: there was trouble on this machine. Rounds go on; resident tasks begin again after a pause.
	Local
	// Remote: the other side could not be asked. If that goes on, rounds leave the task out for growing pauses as well.
	Remote
)

const (
	// patience is how often in a row a task may fail before rounds leave it out.
	patience = 5
	// longestPause of a task in rounds, unless the interval is longer.
	longestPause = time.Hour
	// firstPause of a resident task is random and below this, the second is below twice as long, and so on up to
	// longestReturn.
	firstPause    = 500 * time.Millisecond
	longestReturn = 5 * time.Minute
	// steady is how long a resident task has run whose failure counts as the first one.
	steady = 10 * time.Second
)

// history knows how tasks have fared, by name: it outlives a reload.
type history struct {
	mu    sync.Mutex
	tasks map[string]*past
}

// past is what is known of one task.
type past struct {
	failures int       // in a row
	due      time.Time // not before, in rounds
}

func newHistory() *history { return &history{tasks: map[string]*past{}} }

// of finds or makes the past of a task; h.mu is held.
func (h *history) of(name string) *past {
	p := h.tasks[name]
	if p == nil {
		p = &past{}
		h.tasks[name] = p
	}
	return p
}

// round notes how a task has fared in a round. It returns the number of failures in a row, and how long it is left out.
func (h *history) round(name string, v Verdict, interval time.Duration) (failures int, pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v != Remote {
		delete(h.tasks, name)
		return 0, 0
	}
	p := h.of(name)
	p.failures++
	if p.failures < patience {
		return p.failures, 0
	}
	pause = doubled(interval, p.failures-patience+1, max(longestPause, interval))
	p.due = time.Now().Add(pause)
	return p.failures, pause
}

// resident notes how a resident task has ended after it has run for some time, and returns how long it waits before it
// begins again: a random time, so that those whose server was restarted do not come back all at once.
func (h *history) resident(name string, v Verdict, ran time.Duration) (failures int, pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v == Fine {
		delete(h.tasks, name)
		return 0, 0
	}
	p := h.of(name)
	if ran >= steady {
		p.failures = 0
	}
	p.failures++
	top := doubled(firstPause, p.failures-1, longestReturn)
	if p.failures == 1 {
		return 1, rand.N(top)
	}
	return p.failures, top/2 + rand.N(top/2)
}

// doubled is d, doubled n times, at most limit.
func doubled(d time.Duration, n int, limit time.Duration) time.Duration {
	for ; n > 0 && d < limit; n-- {
		d *= 2
	}
	return min(d, limit)
}

// putOff tells whether a round has to leave a task out.
func (h *history) putOff(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.tasks[name]
	return p != nil && time.Now().Before(p.due)
}

// forgive lets everybody try again: fetchmail(1), Awakening the background daemon.
func (h *history) forgive() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.tasks)
}

// failing counts the tasks whose last run has failed.
func (h *history) failing() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.tasks)
}
