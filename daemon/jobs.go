package daemon

import "context"

// runJobs runs tasks side by side, at most n at once, and prints what they print in their order. Tasks are begun in their
// order as far as their limits allow it; none overtakes another that waits for the same limit. Once stop is closed no
// other task is begun. It returns the status of each task that ran, in their order. Resident tasks are left out.
// Meanwhile it takes what comes from pulse, which may be nil.
func runJobs(ctx context.Context, n int, tasks []Task, o *output, stop, pulse <-chan struct{}, died func(*Panic)) []int {
	j := &jobs{n: max(n, 1), running: map[string]int{}, ended: make(chan *job)}
	for i := range tasks {
		if !tasks[i].Resident {
			j.all = append(j.all, &job{Task: &tasks[i], slot: o.slot(), status: -1})
		}
	}
	j.waiting = append(j.waiting, j.all...)
	for {
		select {
		case <-stop:
			j.drop()
		case <-ctx.Done():
			j.drop()
		default:
		}
		for _, t := range j.startable() {
			go func() {
				defer func() { j.ended <- t }()
				t.status = call(ctx, t.Task, Turn{Out: stream{t.slot, false}, Err: stream{t.slot, true}, Stop: stop}, died)
			}()
		}
		if j.busy == 0 {
			break
		}
		select {
		case t := <-j.ended:
			j.end(t)
		case <-pulse:
		}
	}
	var statuses []int
	for _, t := range j.all {
		if t.status >= 0 {
			statuses = append(statuses, t.status)
		}
	}
	return statuses
}

// job is a task in a round.
type job struct {
	*Task
	slot   *slot
	status int // -1: it has not run
}

type jobs struct {
	n       int
	all     []*job
	waiting []*job
	running map[string]int // by key of limits
	busy    int
	alone   bool // the one that runs has the Alone of its Task
	ended   chan *job
}

// startable takes from the waiting tasks those that can run now.
func (j *jobs) startable() []*job {
	var start []*job
	passed := map[string]bool{} // keys for which an earlier task waits
	for i := 0; i < len(j.waiting) && j.busy < j.n && !j.alone; {
		t := j.waiting[i]
		if t.Alone && i+j.busy > 0 {
			break
		}
		if !j.allowed(t, passed) {
			for _, l := range t.Limits {
				passed[l.Key] = true
			}
			i++
			continue
		}
		for _, l := range t.Limits {
			j.running[l.Key]++
		}
		j.busy++
		j.alone = t.Alone
		j.waiting = append(j.waiting[:i], j.waiting[i+1:]...)
		start = append(start, t)
	}
	return start
}

func (j *jobs) allowed(t *job, passed map[string]bool) bool {
	for _, l := range t.Limits {
		if passed[l.Key] || j.running[l.Key] >= max(l.N, 1) {
			return false
		}
	}
	return true
}

func (j *jobs) end(t *job) {
	for _, l := range t.Limits {
		if j.running[l.Key]--; j.running[l.Key] == 0 {
			delete(j.running, l.Key)
		}
	}
	j.busy--
	j.alone = false
	t.slot.finish()
}

// drop gives up the tasks that have not begun.
func (j *jobs) drop() {
	for _, t := range j.waiting {
		t.slot.finish()
	}
	j.waiting = nil
}
