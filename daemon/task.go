package daemon

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"time"
)

// Turn is what a task works with.
type Turn struct {
	Out, Err io.Writer       // progress and errors; never fail; each may be used by several goroutines
	Stop     <-chan struct{} // closed: finish what is in hand and return
	Wake     <-chan struct{} // resident tasks only: look for news now
}

// Task is one thing to be done each round.
type Task struct {
	// Name identifies the task from one plan to the next, and in reports of panics. Equal names are told apart by their
	// order.
	Name string
	// Run does it and returns an exit status of fetchmail(1), EXIT CODES, or NoStatus. It must return soon after ctx has
	// ended.
	Run func(ctx context.Context, t Turn) int
	// Every is the number of rounds from one run to the next; 0 is 1.
	Every int
	// Skipped, if not nil, is called instead of Run in the rounds between; putOff tells that it is left out because it has
	// failed too often.
	Skipped func(t Turn, putOff bool)
	// Limits bound how many tasks run side by side that have something in common.
	Limits []Limit
	// Alone keeps the classic order around a task: it begins when those before it have ended, and those behind it begin
	// when it has.
	Alone bool
	// Resident tasks run beside all others and have no part in rounds, limits and the order of output.
	Resident bool
}

// Limit allows N tasks at once with the same Key, which get their turns in the order of the plan; 1 keeps them in order.
type Limit struct {
	Key string
	N   int
}

// Plan is what a configuration says.
type Plan struct {
	Tasks    []Task
	Interval time.Duration // between rounds; 0: one round
	Jobs     int           // tasks at once; 1 is the classic order; below 1 counts as 1
}

// distinguish makes names of tasks unique: the second "x" becomes "x (2)".
func (p *Plan) distinguish() {
	seen := make(map[string]int, len(p.Tasks))
	p.Tasks = slices.Clone(p.Tasks)
	for i := range p.Tasks {
		t := &p.Tasks[i]
		if seen[t.Name]++; seen[t.Name] > 1 {
			t.Name = fmt.Sprintf("%s (%d)", t.Name, seen[t.Name])
		}
	}
}

// NoStatus is returned by what has no part in the status of a round.
const NoStatus = -1

// internalError is the status of a task that panicked; fetchmail(1), EXIT CODES.
const internalError = 23

// Panic is what a task died of.
type Panic struct {
	Task  string
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("internal error in %s: %v", p.Task, p.Value) }

// call runs a task and survives it.
func call(ctx context.Context, task *Task, t Turn, died func(*Panic)) (status int) {
	defer func() {
		if v := recover(); v != nil {
			status = internalError
			died(&Panic{task.Name, v, debug.Stack()})
		}
	}()
	return task.Run(ctx, t)
}

// combine makes one exit status of those of a round: 0 if any task has fetched mail, otherwise that of the last one;
// fetchmail(1), EXIT CODES. before is the result if there were none.
func combine(before int, statuses []int) int {
	for _, s := range statuses {
		if s == 0 {
			return 0
		}
		before = s
	}
	return before
}
