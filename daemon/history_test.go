package daemon

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestRoundsLeaveOutWhoFailsAgainAndAgain(t *testing.T) {
	// A second for the round, an hour at most between two tries; other tasks are not concerned.
	synctest.Test(t, func(t *testing.T) {
		start, wake, quit := time.Now(), make(chan os.Signal, 1), make(chan os.Signal, 1)
		var tries, skips []time.Duration
		var told []PutOff
		others := 0
		var mended atomic.Bool
		l := &Loop{Out: io.Discard, Err: io.Discard, Wake: wake, Quit: quit,
			Judge: func(status int) Verdict { return map[int]Verdict{0: Fine, 2: Remote, 10: Local}[status] },
			Tell: func(e Event) {
				if p, ok := e.(PutOff); ok {
					told = append(told, p)
				}
			}}
		p := Plan{Interval: time.Minute, Tasks: []Task{
			{Name: "dead", Run: func(context.Context, Turn) int {
				if tries = append(tries, time.Since(start)); mended.Load() {
					return 0
				}
				return 2
			}, Skipped: func(_ Turn, putOff bool) {
				if !putOff {
					t.Error("left out for another reason")
				}
				skips = append(skips, time.Since(start))
			}},
			{Name: "no listener", Run: func(context.Context, Turn) int { others++; return 10 }},
		}}
		go func() {
			time.Sleep(10*time.Hour + time.Second)
			mended.Store(true)
			wake <- syscall.SIGUSR1
			time.Sleep(10*time.Minute + time.Second)
			quit <- syscall.SIGTERM
		}()
		if r := l.Run(t.Context(), p); r.Status != 0 {
			t.Errorf("%+v: mail was fetched once", r)
		}
		var gaps []time.Duration
		for i := 1; i < len(tries); i++ {
			gaps = append(gaps, tries[i]-tries[i-1])
		}
		want := []time.Duration{1, 1, 1, 1, 2, 4, 8, 16, 32, 60, 60} // minutes
		for i, w := range want {
			if gaps[i] != w*time.Minute {
				t.Fatalf("pauses %v, want %v minutes", gaps, want)
			}
		}
		last := gaps[len(gaps)-10:] // after the wake-up it is asked at once, and in each round as before
		for _, g := range last {
			if g != time.Minute {
				t.Errorf("pauses at the end: %v", last)
			}
		}
		if told[0] != (PutOff{"dead", patience, 2 * time.Minute}) || len(told) < 10 || len(skips) < 500 || others < 600 {
			t.Errorf("told %v, %d times left out, the others ran %d times", told[0], len(skips), others)
		}
	})
}

func TestResidentTasksComeBackAfterGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, quit, wake := time.Now(), make(chan os.Signal, 1), make(chan os.Signal, 1)
		var tries []time.Duration
		lasts := 0 // how many runs last long
		l := &Loop{Out: io.Discard, Err: io.Discard, Quit: quit, Wake: wake, Judge: func(int) Verdict { return Remote }}
		p := Plan{Interval: 24 * time.Hour, Tasks: []Task{{Name: "idle", Resident: true, Run: func(_ context.Context, turn Turn) int {
			tries = append(tries, time.Since(start))
			if len(tries) == 15 {
				lasts++
				time.Sleep(time.Hour)
			}
			return 2
		}}}}
		go func() {
			time.Sleep(3 * time.Hour)
			quit <- syscall.SIGTERM
		}()
		l.Run(t.Context(), p)
		gap := func(i int) time.Duration { return tries[i] - tries[i-1] }
		if gap(1) > firstPause {
			t.Errorf("the first pause is %v", gap(1))
		}
		for i := 2; i < 15; i++ {
			top := doubled(firstPause, i-1, longestReturn)
			if gap(i) < top/2 || gap(i) > top {
				t.Errorf("pause %d is %v", i, gap(i))
			}
		}
		if lasts != 1 || gap(15) > time.Hour+firstPause {
			t.Errorf("after a long life the first pause is %v", gap(15)-time.Hour)
		}
	})
}

func TestAWakeUpEndsThePauseOfAResidentTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quit, wake := make(chan os.Signal, 1), make(chan os.Signal, 1)
		var n atomic.Int32
		l := &Loop{Out: io.Discard, Err: io.Discard, Quit: quit, Wake: wake, Judge: func(int) Verdict { return Local }}
		p := Plan{Interval: 24 * time.Hour, Tasks: []Task{{Name: "idle", Resident: true, Run: func(context.Context, Turn) int { n.Add(1); return 10 }}}}
		go func() {
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			before := n.Load()
			wake <- syscall.SIGUSR1
			synctest.Wait()
			if n.Load() <= before {
				t.Error("it sleeps on")
			}
			quit <- syscall.SIGTERM
		}()
		l.Run(t.Context(), p)
	})
}

func TestAliveMeansThatRoundsAndSignalsAreAttendedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quit := make(chan os.Signal, 1)
		blocked := make(chan struct{})
		var stuck atomic.Bool
		l := &Loop{Out: io.Discard, Err: io.Discard, Quit: quit, After: func() {
			if stuck.Load() {
				<-blocked
			}
		}}
		p := Plan{Interval: time.Minute, Tasks: []Task{{Name: "long", Run: func(context.Context, Turn) int { time.Sleep(30 * time.Second); return 1 }}}}
		go func() {
			for _, at := range []string{"poll", "sleep", "poll again"} {
				time.Sleep(15 * time.Second)
				if !l.Alive(time.Second) {
					t.Errorf("not alive: %s", at)
				}
				time.Sleep(15 * time.Second)
			}
			stuck.Store(true)
			time.Sleep(2 * time.Minute)
			if l.Alive(time.Second) {
				t.Error("alive, although it cannot go on")
			}
			close(blocked)
			quit <- syscall.SIGTERM
		}()
		l.Run(t.Context(), p)
		if l.Alive(time.Second) {
			t.Error("alive after its end")
		}
	})
}

func TestATaskAloneKeepsTheClassicOrderAroundIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		order := make(chan string, 10)
		task := func(name string, seconds int, alone bool) Task {
			return Task{Name: name, Alone: alone, Run: func(context.Context, Turn) int {
				order <- fmt.Sprintf("%s@%d", name, time.Since(start)/time.Second)
				time.Sleep(time.Duration(seconds) * time.Second)
				return 0
			}}
		}
		runJobs(t.Context(), 10, []Task{task("a", 3, false), task("up", 1, true), task("b", 2, false), task("down", 1, true), task("c", 1, false)},
			newOutput(io.Discard, io.Discard), nil, nil, noPanic(t))
		for _, want := range []string{"a@0", "up@3", "b@4", "down@6", "c@7"} {
			if got := <-order; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}
