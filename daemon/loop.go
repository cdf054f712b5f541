package daemon

import (
	"cmp"
	"context"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// Event is something that Loop tells its owner, who words it. One event is told at a time.
type Event interface{ event() }

type (
	// Sleeping: a round is over; the next one begins after For, or when woken. Of all tasks Failing have failed when they
	// ran last.
	Sleeping struct {
		For     time.Duration
		Failing int
	}
	// Woken: the next round begins. Signal is nil if the interval is over.
	Woken struct{ Signal os.Signal }
	// Reloaded: the configuration has changed and the new one is in force.
	Reloaded struct{}
	// ReloadFailed: it has changed, cannot be used, and the old one stays in force.
	ReloadFailed struct{ Err error }
	// PutOff: a task has failed so often in a row that it is not tried again before For is over.
	PutOff struct {
		Task     string
		Failures int
		For      time.Duration
	}
	// Stopping: the end has been asked for. Again is true for the second time: tasks are cut short.
	Stopping struct {
		Signal os.Signal
		Again  bool
	}
	// Panicked: a task has died.
	Panicked struct{ *Panic }
)

func (Sleeping) event()     {}
func (Woken) event()        {}
func (Reloaded) event()     {}
func (ReloadFailed) event() {}
func (PutOff) event()       {}
func (Stopping) event()     {}
func (Panicked) event()     {}

// graceTime is the time from the first signal on Quit to the end of the tasks' context.
const graceTime = time.Minute

// Loop runs a plan's tasks round by round. It is used once.
type Loop struct {
	Out, Err io.Writer
	// Wake begins the next round at once. Nil: never.
	Wake <-chan os.Signal
	// Quit asks for the end; fetchmail(1), Terminating the background daemon. Nil: never.
	Quit <-chan os.Signal
	// Changed tells, before each round but the first, whether the configuration has changed. Nil: never.
	Changed func() bool
	// Load reads a changed configuration. An error keeps the old one in force.
	Load func() (Plan, error)
	// Tell hears the events; nil: nobody does.
	Tell func(Event)
	// After is called when a round is over, before the sleep (saving what is known of UIDs). Nil: nothing is done.
	After func()
	// Judge says what a status means for the next run of a task; nil: all is Fine.
	Judge func(status int) Verdict

	output   *output
	telling  sync.Mutex
	stop     chan struct{} // closed when the end was asked for
	woken    chan os.Signal
	status   int
	fetched  bool           // a status was 0
	rounds   map[string]int // of each task, since its last run
	past     *history
	resident residents
	once     sync.Once
	wall     func() time.Time // for tests
	grace    time.Duration    // for tests, in place of graceTime
	pulses   [2]chan struct{} // taken by the rounds, and by what waits for signals, as long as they are alive
}

// Result is how Run ended.
type Result struct {
	// Status is 0 if any task has ever returned 0; otherwise that of the last round that had tasks, and of resident tasks;
	// fetchmail(1), EXIT CODES.
	Status int
	Signal os.Signal // what came on Quit; nil if nothing did
}

// Run runs the plan until its end: after one round if it has no interval, otherwise when Quit or ctx says so.
func (l *Loop) Run(ctx context.Context, p Plan) Result {
	ctx, cancel := context.WithCancel(ctx)
	l.output = newOutput(l.Out, l.Err)
	l.stop, l.woken, l.rounds, l.past = make(chan struct{}), make(chan os.Signal, 1), map[string]int{}, newHistory()
	l.once.Do(l.born)
	p.distinguish()
	l.resident = residents{loop: l, running: map[string]*resident{}, statuses: map[string]int{}}
	quit := make(chan os.Signal, 1)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		l.watch(ctx, cancel, quit)
	}()
	l.cycle(ctx, p)
	l.count(l.resident.wait())
	cancel()
	<-watching
	r := Result{Status: l.status}
	select {
	case r.Signal = <-quit:
	default:
	}
	return r
}

// cycle is round, sleep, reload, round ...
func (l *Loop) cycle(ctx context.Context, p Plan) {
	for {
		l.resident.start(ctx, p)
		l.count(runJobs(ctx, p.Jobs, l.due(p), l.output, l.stop, l.pulses[0], func(x *Panic) { l.tell(Panicked{x}) }))
		if l.After != nil {
			l.After()
		}
		if p.Interval <= 0 || l.stopped() || ctx.Err() != nil || !l.sleep(ctx, p.Interval) {
			return
		}
		p = l.reload(ctx, p)
	}
}

// count makes the statuses of a round part of the result.
func (l *Loop) count(statuses []int) {
	l.fetched = l.fetched || slices.Contains(statuses, 0)
	if l.status = combine(l.status, statuses); l.fetched {
		l.status = 0
	}
}

// due returns the tasks of this round. In place of those whose turn it is not stands the call of Skipped.
func (l *Loop) due(p Plan) []Task {
	var due []Task
	for _, t := range p.Tasks {
		if t.Resident {
			continue
		}
		n := l.rounds[t.Name]
		l.rounds[t.Name] = (n + 1) % max(t.Every, 1)
		putOff := l.past.putOff(t.Name)
		switch {
		case n == 0 && !putOff:
			due = append(due, l.judged(t, p.Interval))
		case t.Skipped != nil:
			due = append(due, Task{Name: t.Name, Run: func(_ context.Context, turn Turn) int { t.Skipped(turn, putOff); return NoStatus }})
		}
	}
	return due
}

// judged is a task whose end is noted.
func (l *Loop) judged(t Task, interval time.Duration) Task {
	run := t.Run
	t.Run = func(ctx context.Context, turn Turn) int {
		v := Remote // unless it returns
		defer func() {
			if failures, pause := l.past.round(t.Name, v, interval); pause > 0 {
				l.tell(PutOff{t.Name, failures, pause})
			}
		}()
		status := run(ctx, turn)
		v = l.judge(status)
		return status
	}
	return t
}

func (l *Loop) judge(status int) Verdict {
	if l.Judge == nil || status == NoStatus {
		return Fine
	}
	return l.Judge(status)
}

// lookAtClock is how often a sleeping loop looks at the clock on the wall: its timers stand still while the machine is
// suspended.
const lookAtClock = 30 * time.Second

// clock is the time on the wall.
func (l *Loop) clock() time.Time {
	if l.wall != nil {
		return l.wall()
	}
	return time.Now().Round(0)
}

// sleep returns true when the next round is to begin, false when none is.
func (l *Loop) sleep(ctx context.Context, d time.Duration) bool {
	select {
	case sig := <-l.woken: // during the round
		l.tell(Woken{sig})
		return true
	default:
	}
	l.tell(Sleeping{d, l.past.failing()})
	until := l.clock().Add(d)
	t, look := time.NewTimer(d), time.NewTicker(lookAtClock)
	defer t.Stop()
	defer look.Stop()
	for {
		select {
		case <-t.C:
			l.tell(Woken{})
		case <-look.C:
			if l.clock().Before(until) {
				continue
			}
			l.tell(Woken{})
		case sig := <-l.woken:
			l.tell(Woken{sig})
		case <-l.stop:
			return false
		case <-ctx.Done():
			return false
		case <-l.pulses[0]:
			continue
		}
		return !l.stopped()
	}
}

func (l *Loop) reload(ctx context.Context, old Plan) Plan {
	if l.Changed == nil || !l.Changed() {
		return old
	}
	p, err := l.Load()
	if err != nil {
		l.tell(ReloadFailed{err})
		return old
	}
	p.distinguish()
	l.resident.halt()
	l.resident.gone(ctx, p)
	l.past.forgive()
	l.tell(Reloaded{})
	return p
}

// born makes what Alive and Run share.
func (l *Loop) born() { l.pulses = [2]chan struct{}{make(chan struct{}), make(chan struct{})} }

// Alive tells whether rounds and signals are being attended to: whether they react within the limit. It may be called
// from anywhere, also before Run; after the end it returns false.
func (l *Loop) Alive(limit time.Duration) bool {
	l.once.Do(l.born)
	t := time.NewTimer(limit)
	defer t.Stop()
	for _, c := range l.pulses {
		select {
		case c <- struct{}{}:
		case <-t.C:
			return false
		}
	}
	return true
}

func (l *Loop) stopped() bool { return closed(l.stop) }

// closed tells whether a channel is closed that only ever is.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (l *Loop) tell(e Event) {
	if l.Tell != nil {
		l.telling.Lock()
		defer l.telling.Unlock()
		l.Tell(e)
	}
}

// watch turns signals into what tasks and rounds look at.
func (l *Loop) watch(ctx context.Context, cancel context.CancelFunc, quit chan<- os.Signal) {
	grace := cmp.Or(l.grace, graceTime)
	var out <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-out:
			cancel()
		case <-l.pulses[1]:
		case sig := <-l.Wake:
			l.past.forgive()
			select {
			case l.woken <- sig:
			default: // it is to be woken already
			}
			l.resident.wake()
		case sig := <-l.Quit:
			l.tell(Stopping{sig, out != nil})
			if out != nil {
				cancel()
				return
			}
			quit <- sig
			close(l.stop)
			t := time.NewTimer(grace)
			defer t.Stop()
			out = t.C
		}
	}
}
