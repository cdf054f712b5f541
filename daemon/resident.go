package daemon

import (
	"context"
	"sync"
	"time"
)

// residents are the tasks that run beside the rounds.
type residents struct {
	loop     *Loop
	wg       sync.WaitGroup
	mu       sync.Mutex
	running  map[string]*resident
	names    []string       // in the order of their first end
	statuses map[string]int // of the last run of each
}

// resident is one that runs.
type resident struct {
	name  string
	wake  chan struct{}
	stop  chan struct{}
	ended chan struct{}
	once  sync.Once
	halts bool
}

// start starts those that do not run. One that was asked to end is followed by the new one of its name.
func (rs *residents) start(ctx context.Context, p Plan) {
	if rs.loop.stopped() || ctx.Err() != nil {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i := range p.Tasks {
		t := &p.Tasks[i]
		before := rs.running[t.Name]
		if !t.Resident || before != nil && !before.halts {
			continue
		}
		r := &resident{name: t.Name, wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
		rs.running[t.Name] = r
		rs.wg.Go(func() {
			if before != nil {
				<-before.ended
			}
			rs.run(ctx, t, r, p.Interval > 0)
		})
	}
}

// run runs a resident task; with again, one that fails begins again after a pause.
func (rs *residents) run(ctx context.Context, t *Task, r *resident, again bool) {
	l := rs.loop
	out, err := &lines{o: l.output}, &lines{o: l.output, err: true}
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-l.stop:
			r.halt()
		case <-r.ended:
		}
	})
	var status int
	for {
		begin := time.Now()
		status = call(ctx, t, Turn{Out: out, Err: err, Stop: r.stop, Wake: r.wake}, func(x *Panic) { l.tell(Panicked{x}) })
		out.flush()
		err.flush()
		if !again || !rs.rest(ctx, r, status, time.Since(begin)) {
			break
		}
	}
	rs.end(r, status)
	wg.Wait()
}

// rest waits as long as a task that has failed has to. It returns false if the task is not to begin again now.
func (rs *residents) rest(ctx context.Context, r *resident, status int, ran time.Duration) bool {
	v := rs.loop.judge(status)
	failures, pause := rs.loop.past.resident(r.name, v, ran)
	if v == Fine || closed(r.stop) || ctx.Err() != nil {
		return false
	}
	if failures >= patience {
		rs.loop.tell(PutOff{r.name, failures, pause})
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.wake:
	case <-r.stop:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

func (rs *residents) end(r *resident, status int) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	close(r.ended)
	if rs.running[r.name] == r {
		delete(rs.running, r.name)
	}
	if _, again := rs.statuses[r.name]; !again {
		rs.names = append(rs.names, r.name)
	}
	rs.statuses[r.name] = status
}

func (r *resident) halt() { r.once.Do(func() { close(r.stop) }) }

// wake tells all to look for news.
func (rs *residents) wake() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.running {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// halt asks all to end.
func (rs *residents) halt() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.running {
		r.halts = true
		r.halt()
	}
}

// gone waits for the end of those that a new plan has no more: another task may ask for the mailbox, and would get the
// message that is in hand once more.
func (rs *residents) gone(ctx context.Context, p Plan) {
	stays := map[string]bool{}
	for _, t := range p.Tasks {
		stays[t.Name] = t.Resident
	}
	rs.mu.Lock()
	var ends []chan struct{}
	for name, r := range rs.running {
		if !stays[name] {
			ends = append(ends, r.ended)
		}
	}
	rs.mu.Unlock()
	for len(ends) > 0 {
		select {
		case <-ends[0]:
			ends = ends[1:]
		case <-rs.loop.pulses[0]:
		case <-rs.loop.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// wait returns when none is running any more, with the last status of each.
func (rs *residents) wait() []int {
	rs.wg.Wait()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var s []int
	for _, n := range rs.names {
		if rs.statuses[n] != NoStatus {
			s = append(s, rs.statuses[n])
		}
	}
	return s
}
