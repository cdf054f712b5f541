package daemon

import (
	"context"
	"sync"
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
func (rs *residents) start(ctx context.Context, tasks []Task) {
	if rs.loop.stopped() || ctx.Err() != nil {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i := range tasks {
		t := &tasks[i]
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
			rs.run(ctx, t, r)
		})
	}
}

func (rs *residents) run(ctx context.Context, t *Task, r *resident) {
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
	status := call(ctx, t, Turn{Out: out, Err: err, Stop: r.stop, Wake: r.wake}, func(x *Panic) { l.tell(Panicked{x}) })
	out.flush()
	err.flush()
	rs.end(r, status)
	wg.Wait()
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

// wait returns when none is running any more, with the last status of each.
func (rs *residents) wait() []int {
	rs.wg.Wait()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var s []int
	for _, n := range rs.names {
		s = append(s, rs.statuses[n])
	}
	return s
}
