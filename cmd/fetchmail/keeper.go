package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"fetchmail/daemon"
	"fetchmail/daemon/lock"
	"fetchmail/daemon/plan"
	"fetchmail/daemon/poll"
)

// keeper holds what changes while a daemon runs.
type keeper struct {
	*program
	plan   *plan.Plan
	lock   *lock.Lock
	seen   os.FileInfo // the run control file that we know of; nil: none
	notify daemon.Notify
	woken  atomic.Bool // this round was asked for
	round  atomic.Int64
}

// tasks is the plan in the words of package daemon.
func (k *keeper) tasks() daemon.Plan {
	d := daemon.Plan{Jobs: k.config.Jobs}
	if k.isDaemon() {
		d.Interval = time.Duration(k.config.PollInterval) * time.Second
	}
	for _, t := range k.plan.Tasks {
		limits := []daemon.Limit{{Key: t.Key, N: 1}, {Key: "host " + t.Host, N: t.MaxConnections}}
		if t.Serial {
			limits = append(limits, daemon.Limit{Key: "serial", N: 1})
		}
		d.Tasks = append(d.Tasks, daemon.Task{
			Name: t.Name, Every: t.Interval, Limits: limits, Alone: t.Alone, Resident: t.Resident,
			Skipped: func(turn daemon.Turn, putOff bool) { k.skipped(t, turn, putOff) },
			Run: func(ctx context.Context, turn daemon.Turn) int {
				return k.run(ctx, t, turn)
			},
		})
	}
	return d
}

// run polls one mailbox.
func (k *keeper) run(ctx context.Context, t *plan.Task, turn daemon.Turn) int {
	if why := t.Closed(int(k.round.Load()), k.woken.Load()); why != "" {
		k.write(turn.Out, slog.LevelInfo, fmt.Sprintf("skipping poll of %s, %s", t.Label, why))
		return daemon.NoStatus
	}
	res := t.Run(ctx, plan.Turn{Stop: turn.Stop, Wake: turn.Wake, Out: turn.Out, Err: turn.Err})
	select {
	case <-turn.Stop:
		if res.Status == poll.NoMail {
			return daemon.NoStatus // it was not given the time to find any
		}
	default:
	}
	return int(res.Status)
}

func (k *keeper) skipped(t *plan.Task, turn daemon.Turn, putOff bool) {
	switch {
	case k.line.Verbose == 0:
	case putOff:
		k.write(turn.Out, slog.LevelInfo, fmt.Sprintf("poll of %s skipped (failed authentication or too many timeouts)", t.Label))
	default:
		k.write(turn.Out, slog.LevelInfo, fmt.Sprintf("interval not reached, not querying %s", t.Label))
	}
}

// judge says what the status of a poll means for the next one.
func judge(status int) daemon.Verdict {
	switch poll.Status(status) {
	case poll.Success, poll.NoMail, poll.MaxFetch:
		return daemon.Fine
	case poll.Socket, poll.AuthFail, poll.Protocol, poll.ServerErr, poll.DNS, poll.ServerBusy, poll.Undefined:
		return daemon.Remote
	}
	return daemon.Local
}

// changed tells whether the run control file has changed.
func (k *keeper) changed() bool {
	now := k.stamp()
	if k.rc == "-" || now == nil {
		return false
	}
	// Two files that follow each other closely have the same time.
	if k.seen != nil && now.ModTime().Equal(k.seen.ModTime()) && now.Size() == k.seen.Size() && os.SameFile(now, k.seen) {
		return false
	}
	k.seen = now
	return true
}

// load puts a changed run control file in force.
func (k *keeper) load() (daemon.Plan, error) {
	k.notify.Reloading()
	defer k.notify.Ready()
	old := k.config
	pl, err := k.renew(old.PIDFile)
	if err != nil {
		k.config = old
		k.json.Store(old.LogFormat == "json")
		return daemon.Plan{}, errors.Join(err, k.followLog())
	}
	k.plan = pl
	if k.logStays(old) {
		k.complain("what the log is (logfile, syslog) changes when fetchmail is started anew")
	}
	k.show(pl)
	if err := k.lock.SetInterval(k.config.PollInterval); err != nil {
		k.complain("fetchmail: %v", err)
	}
	return k.tasks(), nil
}

// renew makes the new plan and moves to another pidfile if it names one.
func (k *keeper) renew(pidfile string) (*plan.Plan, error) {
	if err := k.configure(); err != nil {
		var f failure
		if errors.As(err, &f) {
			err = errors.New("see above") // what is wrong has been told
		}
		return nil, err
	}
	if !k.isDaemon() {
		return nil, errors.New("it does not ask for a daemon any more")
	}
	held := k.lock
	if k.config.PIDFile != pidfile {
		var err error
		if held, err = k.take(); err != nil {
			return nil, errors.New("see above")
		}
	}
	facts := k.facts()
	facts.Typed = k.plan.Typed()
	pl, err := k.plan.Renew(k.config, facts)
	switch {
	case held == k.lock:
	case err != nil:
		held.Release()
	default:
		k.lock.Release()
		k.lock = held
	}
	return pl, err
}

// save is called when a round is over.
func (k *keeper) save() {
	if err := k.plan.Save(); err != nil {
		k.complain("cannot record fetched messages: %v", err)
	}
}

// close gives up the plan in force.
func (k *keeper) close() {
	if err := k.plan.Close(); err != nil {
		k.complain("%v", err)
	}
}

// hear words the events of the loop as the reference does.
func (k *keeper) hear(e daemon.Event) {
	k.outside.hear(e)
	switch e := e.(type) {
	case daemon.Sleeping:
		if k.line.Verbose > 0 {
			k.tell("sleeping at %s for %d seconds", time.Now().Format(time.ANSIC), int(e.For.Seconds()))
		}
		if e.For >= time.Minute {
			debug.FreeOSMemory() // what a round has left behind is not needed for a while
		}
		k.summary(fmt.Sprintf("next poll at %s", time.Now().Add(e.For).Format(time.TimeOnly)), e.Failing)
	case daemon.Woken:
		k.woken.Store(e.Signal != nil)
		k.round.Add(1)
		if e.Signal != nil && !k.line.Silent {
			k.tell("awakened by signal %d", e.Signal)
		}
		if k.line.Verbose > 0 {
			k.tell("awakened at %s", time.Now().Format(time.ANSIC))
		}
		k.notify.Status("polling")
	case daemon.Reloaded:
		k.tell("restarting fetchmail (%s changed)", absolute(k.rc))
		k.tell("starting fetchmail %s daemon", version)
	case daemon.PutOff:
		k.complain("%s has failed %d times in a row; it is tried again in %v, or when awakened", e.Task, e.Failures, e.For.Round(time.Second))
	case daemon.ReloadFailed:
		k.complain("%s changed and cannot be used (%v); the old configuration stays in force", k.rc, e.Err)
	case daemon.Panicked:
		k.complain("%v\n%s", e.Panic, e.Stack)
	case daemon.Stopping:
		k.notify.Stopping()
	}
}

// summary tells the service manager in one line how we are.
func (k *keeper) summary(what string, failing int) {
	idle := 0
	for _, t := range k.plan.Tasks {
		if t.Resident {
			idle++
		}
	}
	if n := len(k.plan.Tasks) - idle; n > 0 {
		what = fmt.Sprintf("%d polled, %s", n, what)
	}
	if idle > 0 {
		what += fmt.Sprintf("; %d watched", idle)
	}
	if failing > 0 {
		what += fmt.Sprintf("; %d failing", failing)
	}
	k.notify.Status(what)
}

// beat keeps the service manager's watchdog quiet as long as the loop reacts.
func (k *keeper) beat(ctx context.Context, loop *daemon.Loop) {
	k.notify.Watchdog(ctx, loop.Alive)
}

// detach starts the daemon in the background.
func (p *program) detach(pl *plan.Plan) error {
	pass := pl.Typed()
	pl.Close()
	log, err := p.openLog()
	if err != nil {
		return err
	}
	d := daemon.Detaching{Args: os.Args, Secrets: handover{RC: p.piped, Passwords: pass}.encode()}
	if log != nil {
		defer log.Close()
		d.Log = log.File()
	}
	_, err = d.Start()
	var said *daemon.StartError
	if errors.As(err, &said) {
		p.complain("%s", said.Text)
		return failure(said.Status)
	}
	if err != nil {
		p.complain("cannot detach: %v", err)
		return failure(int(poll.Undefined))
	}
	return nil
}
