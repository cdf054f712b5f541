package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// tape is both streams, each piece with a mark, in the order in which they were written.
type tape struct {
	mu sync.Mutex
	b  strings.Builder
}

type side struct {
	t    *tape
	mark string
}

func (s side) Write(b []byte) (int, error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	s.t.b.WriteString(s.mark)
	s.t.b.Write(b)
	return len(b), nil
}

func (t *tape) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func (t *tape) output() *output { return newOutput(side{t, ""}, side{t, "!"}) }

// sleeper is a task that prints, sleeps, prints.
func sleeper(name string, d time.Duration, status int, limits ...Limit) Task {
	return Task{Name: name, Limits: limits, Run: func(_ context.Context, t Turn) int {
		fmt.Fprintf(t.Out, "%s starts, ", name)
		time.Sleep(d)
		fmt.Fprintf(t.Err, "%s has trouble\n", name)
		fmt.Fprintf(t.Out, "%s ends\n", name)
		return status
	}}
}

func noPanic(t *testing.T) func(*Panic) {
	return func(p *Panic) { t.Errorf("%v\n%s", p, p.Stack) }
}

func TestOutputStandsInTheOrderOfThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tp tape
		start := time.Now()
		tasks := []Task{sleeper("a", 5*time.Second, 3), sleeper("b", time.Second, 0), sleeper("c", 7*time.Second, 1), sleeper("d", time.Second, 2)}
		var statuses []int
		done := make(chan bool)
		go func() {
			statuses = runJobs(t.Context(), 8, tasks, tp.output(), nil, nil, noPanic(t))
			close(done)
		}()
		time.Sleep(2 * time.Second)
		if got := tp.String(); got != "a starts, " {
			t.Errorf("after 2 seconds: %q", got)
		}
		time.Sleep(4 * time.Second)
		if got, want := tp.String(), "a starts, !a has trouble\na ends\nb starts, !b has trouble\nb ends\nc starts, "; got != want {
			t.Errorf("after 6 seconds: %q", got)
		}
		<-done
		want := ""
		for _, n := range []string{"a", "b", "c", "d"} {
			want += fmt.Sprintf("%[1]s starts, !%[1]s has trouble\n%[1]s ends\n", n)
		}
		if got := tp.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if !slices.Equal(statuses, []int{3, 0, 1, 2}) {
			t.Errorf("statuses %v", statuses)
		}
		if d := time.Since(start); d != 7*time.Second {
			t.Errorf("took %v: not side by side", d)
		}
	})
}

func TestAtMostSoManyAtOnce(t *testing.T) {
	for _, tt := range []struct {
		jobs int
		want time.Duration
	}{{0, 12 * time.Second}, {1, 12 * time.Second}, {2, 6 * time.Second}, {5, 3 * time.Second}, {100, time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			var tasks []Task
			for i := range 12 {
				tasks = append(tasks, sleeper(fmt.Sprint(i), time.Second, 0))
			}
			start := time.Now()
			runJobs(t.Context(), tt.jobs, tasks, newOutput(io.Discard, io.Discard), nil, nil, noPanic(t))
			if d := time.Since(start); d != tt.want {
				t.Errorf("%d jobs: took %v, want %v", tt.jobs, d, tt.want)
			}
		})
	}
}

func TestLimitsKeepOrderAndLetOthersPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex
		var log []string
		task := func(name string, d time.Duration, limits ...Limit) Task {
			return Task{Name: name, Limits: limits, Run: func(context.Context, Turn) int {
				mu.Lock()
				log = append(log, fmt.Sprintf("%s@%d", name, time.Since(start)/time.Second))
				mu.Unlock()
				time.Sleep(d)
				return 0
			}}
		}
		hook, host := Limit{"hooks", 1}, Limit{"host", 2}
		runJobs(t.Context(), 10, []Task{
			task("a", 2*time.Second, hook),
			task("b", 3*time.Second, hook, host), // waits for a
			task("c", 1*time.Second, host),       // does not overtake b, which waits for the same host
			task("d", 1*time.Second),
			task("e", 1*time.Second, hook),
			task("f", 1*time.Second, host),
		}, newOutput(io.Discard, io.Discard), nil, nil, noPanic(t))
		slices.SortStableFunc(log, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
		want := "a@0 d@0 b@2 c@2 f@3 e@5"
		slices.SortFunc(log[:2], strings.Compare)
		slices.SortFunc(log[2:4], strings.Compare)
		if got := strings.Join(log, " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func TestAPanicIsReportedAndTheOthersGoOn(t *testing.T) {
	var tp tape
	var died []*Panic
	tasks := []Task{
		{Name: "broken", Run: func(_ context.Context, t Turn) int { io.WriteString(t.Out, "half a line"); panic("oh") }},
		sleeper("good", 0, 1),
	}
	statuses := runJobs(t.Context(), 1, tasks, tp.output(), nil, nil, func(p *Panic) { died = append(died, p) })
	if !slices.Equal(statuses, []int{internalError, 1}) || len(died) != 1 || died[0].Error() != "internal error in broken: oh" ||
		!bytes.Contains(died[0].Stack, []byte("jobs_test.go")) {
		t.Errorf("%v %v", statuses, died)
	}
	if !strings.Contains(tp.String(), "good ends") {
		t.Errorf("%q", tp.String())
	}
}

func TestAfterStopNoOtherTaskBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		time.AfterFunc(1500*time.Millisecond, func() { close(stop) })
		var tasks []Task
		for i := range 10 {
			tasks = append(tasks, sleeper(fmt.Sprint(i), time.Second, i))
		}
		if got := runJobs(t.Context(), 2, tasks, newOutput(io.Discard, io.Discard), stop, nil, noPanic(t)); !slices.Equal(got, []int{0, 1, 2, 3}) {
			t.Errorf("ran: %v", got)
		}
	})
}

func TestATaskThatPrintsWithoutEndWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := bytes.Repeat([]byte("x"), 1<<20)
		var written atomic.Int32
		tasks := []Task{sleeper("slow", time.Second, 0), {Name: "loud", Run: func(_ context.Context, t Turn) int {
			for range 40 {
				t.Out.Write(block)
				written.Add(1)
			}
			return 0
		}}}
		var n counter
		go func() {
			time.Sleep(500 * time.Millisecond)
			if n := written.Load(); n > heldLimit>>20+1 || n < 2 {
				t.Errorf("%d MB are kept", n)
			}
		}()
		runJobs(t.Context(), 2, tasks, newOutput(&n, io.Discard), nil, nil, noPanic(t))
		if n < 40<<20 {
			t.Errorf("%d octets came out", n)
		}
	})
}

type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

func TestResidentLinesDoNotBreakOpenLines(t *testing.T) {
	var tp tape
	o := tp.output()
	s := o.slot()
	live, res := stream{s, false}, &lines{o: o}
	io.WriteString(live, "reading message 1 ")
	io.WriteString(res, "idle one\nidle ")
	io.WriteString(live, "flushed\n")
	io.WriteString(res, "two\n")
	io.WriteString(live, "reading message 2 ")
	io.WriteString(res, "idle three\nopen")
	s.finish()
	res.flush()
	if got, want := tp.String(), "reading message 1 flushed\nidle one\nidle two\nreading message 2 idle three\nopen\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWhatATaskPrintsAfterItsEndIsNotLostAndHarmsNobody(t *testing.T) {
	var tp tape
	o := tp.output()
	first, second := o.slot(), o.slot()
	late, live := stream{first, false}, stream{second, false}
	first.finish()
	io.WriteString(live, "reading ")
	io.WriteString(late, "late\n")
	io.WriteString(live, "flushed\n")
	second.finish()
	io.WriteString(late, "later\n")
	if got, want := tp.String(), "reading flushed\nlate\nlater\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// BenchmarkJobs is what 1,000 tasks of four hosts cost that do nothing but print a line.
func BenchmarkJobs(b *testing.B) {
	var tasks []Task
	for i := range 1000 {
		tasks = append(tasks, Task{Name: fmt.Sprint(i), Limits: []Limit{{fmt.Sprint("host", i%4), 4}}, Run: func(_ context.Context, t Turn) int {
			io.WriteString(t.Out, "fetchmail: No mail for alice at mail.example.test\n")
			return 1
		}})
	}
	for b.Loop() {
		runJobs(b.Context(), 8, tasks, newOutput(io.Discard, io.Discard), nil, nil, func(*Panic) {})
	}
}
