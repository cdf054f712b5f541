package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// diary writes down what happens and when, in seconds since its start.
type diary struct {
	tape
	start time.Time
}

func (d *diary) note(format string, args ...any) {
	fmt.Fprintf(side{&d.tape, ""}, "%d:%s ", time.Since(d.start)/time.Second, fmt.Sprintf(format, args...))
}

func (d *diary) tell(e Event) {
	switch e := e.(type) {
	case Sleeping:
		d.note("sleep(%v)", e.For)
	case Woken:
		if e.Signal != nil {
			d.note("woken(%d)", e.Signal)
		}
	case Reloaded:
		d.note("reloaded")
	case ReloadFailed:
		d.note("failed(%v)", e.Err)
	case Stopping:
		d.note("stopping(%d,%v)", e.Signal, e.Again)
	case Panicked:
		d.note("panic(%v)", e.Value)
	}
}

// task notes that it runs, and takes a second.
func (d *diary) task(name string, every, status int) Task {
	return Task{Name: name, Every: every, Run: func(context.Context, Turn) int {
		d.note("%s", name)
		time.Sleep(time.Second)
		return status
	}, Skipped: func(Turn, bool) { d.note("no-%s", name) }}
}

// story runs a loop against a fake clock; script acts on it meanwhile.
func story(t *testing.T, p func(*diary) Plan, l *Loop, script func(d *diary, wake, quit chan os.Signal), want string) Result {
	t.Helper()
	var r Result
	synctest.Test(t, func(t *testing.T) {
		d := &diary{start: time.Now()}
		wake, quit := make(chan os.Signal, 2), make(chan os.Signal, 2)
		l.Out, l.Err, l.Tell, l.Wake, l.Quit = io.Discard, io.Discard, d.tell, wake, quit
		go script(d, wake, quit)
		r = l.Run(t.Context(), p(d))
		d.note("end")
		synctest.Wait()
		if got := strings.TrimSpace(d.String()); got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	})
	return r
}

func nothing(*diary, chan os.Signal, chan os.Signal) {}

func TestWithoutIntervalThereIsOneRound(t *testing.T) {
	r := story(t, func(d *diary) Plan { return Plan{Tasks: []Task{d.task("a", 0, 1), d.task("b", 3, 4)}} }, &Loop{}, nothing, "0:a 1:b 2:end")
	if r.Status != 4 || r.Signal != nil {
		t.Errorf("%+v", r)
	}
}

// What the reference does: the interval is a pause, every third round begins with the first.
func TestRoundsSleepAndEvery(t *testing.T) {
	saved := 0
	l := &Loop{After: func() { saved++ }}
	r := story(t, func(d *diary) Plan {
		return Plan{Tasks: []Task{d.task("a", 1, 0), d.task("b", 3, 1)}, Interval: 10 * time.Second}
	}, l, func(_ *diary, _, quit chan os.Signal) {
		time.Sleep(40 * time.Second)
		quit <- syscall.SIGTERM
	}, "0:a 1:b 2:sleep(10s) 12:a 13:no-b 13:sleep(10s) 23:a 24:no-b 24:sleep(10s) 34:a 35:b 36:sleep(10s) 40:stopping(15,false) 40:end")
	if r.Status != 0 || r.Signal != syscall.SIGTERM || saved != 4 {
		t.Errorf("%+v, saved %d times", r, saved)
	}
}

func TestWakeEndsTheSleepAndCountsAsARound(t *testing.T) {
	story(t, func(d *diary) Plan {
		return Plan{Tasks: []Task{d.task("a", 1, 1), d.task("b", 2, 1)}, Interval: time.Hour}
	}, &Loop{}, func(_ *diary, wake, quit chan os.Signal) {
		time.Sleep(5 * time.Second)
		wake <- syscall.SIGUSR1
		time.Sleep(5 * time.Second)
		wake <- syscall.SIGUSR1
		time.Sleep(500 * time.Millisecond) // in the middle of the round: once more, but only once
		wake <- syscall.SIGUSR1
		time.Sleep(500 * time.Millisecond)
		wake <- syscall.SIGUSR1
		time.Sleep(10 * time.Second)
		quit <- syscall.SIGINT
	}, "0:a 1:b 2:sleep(1h0m0s) 5:woken(10) 5:a 6:no-b 6:sleep(1h0m0s) 10:woken(10) 10:a 11:b 12:woken(10) 12:a 13:no-b 13:sleep(1h0m0s) "+
		"21:stopping(2,false) 21:end")
}

func TestQuitFinishesWhatIsInHand(t *testing.T) {
	r := story(t, func(d *diary) Plan {
		return Plan{Tasks: []Task{{Name: "a", Run: func(ctx context.Context, t Turn) int {
			<-t.Stop
			d.note("told")
			time.Sleep(5 * time.Second)
			d.note("done(%v)", ctx.Err())
			return 7
		}}, d.task("never", 1, 0)}, Interval: time.Hour}
	}, &Loop{}, func(_ *diary, _, quit chan os.Signal) {
		time.Sleep(3 * time.Second)
		quit <- syscall.SIGTERM
	}, "3:stopping(15,false) 3:told 8:done(<nil>) 8:end")
	if r.Status != 7 {
		t.Errorf("%+v", r)
	}
}

func TestSecondQuitAndGraceCutTasksShort(t *testing.T) {
	stubborn := func(d *diary) Plan {
		return Plan{Tasks: []Task{{Name: "a", Run: func(ctx context.Context, _ Turn) int {
			<-ctx.Done()
			d.note("cut")
			return 2
		}}}, Interval: time.Hour}
	}
	story(t, stubborn, &Loop{}, func(_ *diary, _, quit chan os.Signal) {
		time.Sleep(3 * time.Second)
		quit <- syscall.SIGTERM
		time.Sleep(time.Second)
		quit <- syscall.SIGTERM
	}, "3:stopping(15,false) 4:stopping(15,true) 4:cut 4:end")
	story(t, stubborn, &Loop{grace: 20 * time.Second}, func(_ *diary, _, quit chan os.Signal) {
		time.Sleep(3 * time.Second)
		quit <- syscall.SIGTERM
	}, "3:stopping(15,false) 23:cut 23:end")
}

func TestTheContextEndsTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		n := 0
		l := &Loop{Out: io.Discard, Err: io.Discard}
		start := time.Now()
		l.Run(ctx, Plan{Interval: 10 * time.Second, Tasks: []Task{{Run: func(context.Context, Turn) int { n++; return 0 }}}})
		if d := time.Since(start); n != 3 || d != 25*time.Second {
			t.Errorf("%d rounds, %v", n, d)
		}
	})
}

func TestAChangedConfigurationIsLoadedAndABrokenOneIsNot(t *testing.T) {
	round := 0
	var load func() (Plan, error)
	l := &Loop{Changed: func() bool { round++; return round == 1 || round == 3 }, Load: func() (Plan, error) { return load() }}
	story(t, func(d *diary) Plan {
		load = func() (Plan, error) {
			if round == 1 {
				return Plan{}, errors.New("line 3")
			}
			return Plan{Tasks: []Task{d.task("a", 2, 1), d.task("new", 1, 1)}, Interval: 20 * time.Second}, nil
		}
		return Plan{Tasks: []Task{d.task("a", 2, 1)}, Interval: 10 * time.Second}
	}, l, func(_ *diary, _, quit chan os.Signal) {
		time.Sleep(40 * time.Second)
		quit <- syscall.SIGTERM
	}, "0:a 1:sleep(10s) 11:failed(line 3) 11:no-a 11:sleep(10s) 21:a 22:sleep(10s) 32:reloaded 32:no-a 32:new 33:sleep(20s) 40:stopping(15,false) 40:end")
}

func TestADyingTaskDoesNotEndTheLoop(t *testing.T) {
	r := story(t, func(d *diary) Plan {
		return Plan{Tasks: []Task{{Name: "x", Run: func(context.Context, Turn) int { panic("oh") }}, d.task("a", 1, 1)}, Interval: 10 * time.Second}
	}, &Loop{}, func(_ *diary, _, quit chan os.Signal) {
		time.Sleep(15 * time.Second)
		quit <- syscall.SIGTERM
	}, "0:panic(oh) 0:a 1:sleep(10s) 11:panic(oh) 11:a 12:sleep(10s) 15:stopping(15,false) 15:end")
	if r.Status != 1 {
		t.Errorf("%+v", r)
	}
}

// idler is a resident task that notes when it is woken and takes a second to end.
func (d *diary) idler(name string, status int) Task {
	return Task{Name: name, Resident: true, Run: func(_ context.Context, t Turn) int {
		time.Sleep(time.Millisecond) // after what else happens in that instant
		d.note("%s", name)
		for {
			select {
			case <-t.Wake:
				time.Sleep(time.Millisecond)
				d.note("%s-looks", name)
			case <-t.Stop:
				time.Sleep(time.Second + 2*time.Millisecond)
				d.note("%s-ends", name)
				return status
			}
		}
	}}
}

func TestResidentTasksRunBesideTheRounds(t *testing.T) {
	loads := 0
	l := &Loop{Changed: func() bool { loads++; return loads == 2 }}
	r := story(t, func(d *diary) Plan {
		l.Load = func() (Plan, error) {
			return Plan{Tasks: []Task{d.idler("idle", 0), d.task("a", 1, 1)}, Interval: 10 * time.Second}, nil
		}
		return Plan{Tasks: []Task{d.idler("idle", 3), d.task("a", 1, 1)}, Interval: 10 * time.Second}
	}, l, func(_ *diary, wake, quit chan os.Signal) {
		time.Sleep(5 * time.Second)
		wake <- syscall.SIGUSR1
		time.Sleep(20 * time.Second)
		quit <- syscall.SIGTERM
	}, "0:a 0:idle 1:sleep(10s) 5:woken(10) 5:a 5:idle-looks 6:sleep(10s) 16:reloaded 16:a 17:sleep(10s) 17:idle-ends 17:idle 25:stopping(15,false) 26:idle-ends 26:end")
	if r.Status != 0 {
		t.Errorf("%+v", r)
	}
}

func TestARunWithoutIntervalWaitsForResidentTasks(t *testing.T) {
	r := story(t, func(d *diary) Plan { return Plan{Tasks: []Task{d.idler("idle", 5), d.task("a", 1, 1)}} }, &Loop{},
		func(_ *diary, _, quit chan os.Signal) {
			time.Sleep(100 * time.Second)
			quit <- syscall.SIGTERM
		}, "0:a 0:idle 100:stopping(15,false) 101:idle-ends 101:end")
	if r.Status != 5 {
		t.Errorf("%+v", r)
	}
}

func TestTasksOfOneNameAreTwo(t *testing.T) {
	story(t, func(d *diary) Plan {
		return Plan{Tasks: []Task{d.task("a", 2, 1), d.task("a", 2, 1)}, Interval: 10 * time.Second}
	}, &Loop{}, func(_ *diary, _, quit chan os.Signal) {
		time.Sleep(15 * time.Second)
		quit <- syscall.SIGTERM
	}, "0:a 1:a 2:sleep(10s) 12:no-a 12:no-a 12:sleep(10s) 15:stopping(15,false) 15:end")
}

func TestCombine(t *testing.T) {
	for _, tt := range []struct {
		before   int
		statuses []int
		want     int
	}{{0, nil, 0}, {3, nil, 3}, {0, []int{1, 2}, 2}, {0, []int{2, 1}, 1}, {3, []int{2, 0, 10}, 0}} {
		if got := combine(tt.before, slices.Clone(tt.statuses)); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

// A reload may turn a resident task into one of the rounds: both must not have the mailbox at the same time.
func TestARoundWaitsForTheResidentTaskThatItReplaces(t *testing.T) {
	l := &Loop{Changed: func() bool { return true }}
	story(t, func(d *diary) Plan {
		l.Load = func() (Plan, error) { return Plan{Tasks: []Task{d.task("round", 1, 0)}, Interval: time.Hour}, nil }
		return Plan{Tasks: []Task{{Name: "idle", Resident: true, Run: func(_ context.Context, turn Turn) int {
			<-turn.Stop
			time.Sleep(20 * time.Second) // a message in hand
			d.note("left")
			return 0
		}}}, Interval: 10 * time.Second}
	}, l, func(_ *diary, _, quit chan os.Signal) {
		time.Sleep(time.Minute)
		quit <- syscall.SIGTERM
	}, "0:sleep(10s) 30:left 30:reloaded 30:round 31:sleep(1h0m0s) 60:stopping(15,false) 60:end")
}

func TestASleepEndsSoonAfterTheMachineWasSuspended(t *testing.T) {
	var jump atomic.Int64
	l := &Loop{wall: func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }}
	story(t, func(d *diary) Plan { return Plan{Tasks: []Task{d.task("a", 1, 0)}, Interval: time.Hour} }, l,
		func(_ *diary, _, quit chan os.Signal) {
			time.Sleep(601*time.Second + lookAtClock/2)
			jump.Store(int64(2 * time.Hour))
			time.Sleep(lookAtClock)
			quit <- syscall.SIGTERM
		}, "0:a 1:sleep(1h0m0s) 631:a 632:sleep(1h0m0s) 646:stopping(15,false) 646:end")
}
