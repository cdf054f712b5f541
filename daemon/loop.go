package daemon

import (
	"context"
	"io"
	"os"
	"sync"
	"time"
)

// Event is something that Loop tells its owner, who words it. One event is told at a time.
type Event interface{ event() }

type (
	// Sleeping: a round is over; the next one begins after For, or when woken.
	Sleeping struct{ For time.Duration }
	// Woken: the next round begins. Signal is nil if the interval is over.
	Woken struct{ Signal os.Signal }
	// Reloaded: the configuration has changed and the new one is in force.
	Reloaded struct{}
	// ReloadFailed: it has changed, cannot be used, and the old one stays in force.
	ReloadFailed struct{ Err error }
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
func (Stopping) event()     {}
func (Panicked) event()     {}

// DefaultGrace is how long tasks may take to finish what they have in hand when the end was asked for.
const DefaultGrace = time.Minute

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
	// Grace limits the time from the first signal on Quit to the end of the tasks' context; 0 is DefaultGrace.
	Grace time.Duration

	output   *Output
	telling  sync.Mutex
	stop     chan struct{} // closed when the end was asked for
	woken    chan os.Signal
	status   int
	rounds   map[string]int // of each task, since its last run
	resident residents
}

// Result is how Run ended.
type Result struct {
	Status int       // that of the last round that had tasks, and of resident tasks; fetchmail(1), EXIT CODES
	Signal os.Signal // what came on Quit; nil if nothing did
}

// Run runs the plan until its end: after one round if it has no interval, otherwise when Quit or ctx says so.
func (l *Loop) Run(ctx context.Context, p Plan) Result {
	ctx, cancel := context.WithCancel(ctx)
	l.output = NewOutput(l.Out, l.Err)
	l.stop, l.woken, l.rounds = make(chan struct{}), make(chan os.Signal, 1), map[string]int{}
	p.distinguish()
	l.resident = residents{loop: l, running: map[string]*resident{}, statuses: map[string]int{}}
	quit := make(chan os.Signal, 1)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		l.watch(ctx, cancel, quit)
	}()
	l.cycle(ctx, p)
	l.status = Combine(l.status, l.resident.wait())
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
		l.resident.start(ctx, p.Tasks)
		statuses := Jobs(ctx, p.Jobs, l.due(p.Tasks), l.output, l.stop, func(x *Panic) { l.tell(Panicked{x}) })
		l.status = Combine(l.status, statuses)
		if l.After != nil {
			l.After()
		}
		if p.Interval <= 0 || l.stopped() || ctx.Err() != nil || !l.sleep(ctx, p.Interval) {
			return
		}
		p = l.reload(p)
	}
}

// due returns the tasks of this round. In place of those whose turn it is not stands the call of Skipped.
func (l *Loop) due(tasks []Task) []Task {
	var due []Task
	for _, t := range tasks {
		if t.Resident {
			continue
		}
		n := l.rounds[t.Name]
		l.rounds[t.Name] = (n + 1) % max(t.Every, 1)
		if n == 0 {
			due = append(due, t)
		} else if t.Skipped != nil {
			due = append(due, Task{Name: t.Name, Run: func(_ context.Context, turn Turn) int { t.Skipped(turn); return noStatus }})
		}
	}
	return due
}

// noStatus is returned by what has no part in the status of a round.
const noStatus = -1

// sleep returns true when the next round is to begin, false when none is.
func (l *Loop) sleep(ctx context.Context, d time.Duration) bool {
	select {
	case sig := <-l.woken: // during the round
		l.tell(Woken{sig})
		return true
	default:
	}
	l.tell(Sleeping{d})
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		l.tell(Woken{})
	case sig := <-l.woken:
		l.tell(Woken{sig})
	case <-l.stop:
		return false
	case <-ctx.Done():
		return false
	}
	return !l.stopped()
}

func (l *Loop) reload(old Plan) Plan {
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
	l.tell(Reloaded{})
	return p
}

func (l *Loop) stopped() bool {
	select {
	case <-l.stop:
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
	grace := l.Grace
	if grace == 0 {
		grace = DefaultGrace
	}
	var out <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-out:
			cancel()
		case sig := <-l.Wake:
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
