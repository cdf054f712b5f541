package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
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
	seen   time.Time // last change of the run control file that we know of
	notify daemon.Notify
}

// tasks is the plan in the words of package daemon.
func (k *keeper) tasks() daemon.Plan {
	d := daemon.Plan{Jobs: max(k.config.Jobs, 1)}
	if k.isDaemon() {
		d.Interval = time.Duration(k.config.PollInterval) * time.Second
	}
	for _, t := range k.plan.Tasks {
		limits := []daemon.Limit{{Key: t.Key, N: 1}}
		if t.Serial {
			limits = append(limits, daemon.Limit{Key: "serial", N: 1})
		}
		d.Tasks = append(d.Tasks, daemon.Task{
			Name: t.Label + " " + t.Key, Every: t.Interval, Limits: limits, Resident: t.Idle && len(k.plan.Tasks) > 1,
			Skipped: func(turn daemon.Turn) {
				if k.line.Verbose > 0 {
					k.write(turn.Out, slog.LevelInfo, fmt.Sprintf("interval not reached, not querying %s", t.Label))
				}
			},
			Run: func(ctx context.Context, turn daemon.Turn) int {
				return int(t.Run(ctx, turn.Stop, turn.Out, turn.Err).Status)
			},
		})
	}
	return d
}

// changed tells whether the run control file has changed.
func (k *keeper) changed() bool {
	now := k.stamp()
	if k.rc == "-" || now.IsZero() || now.Equal(k.seen) {
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
	pl, err := k.renew()
	if err != nil {
		k.config = old
		return daemon.Plan{}, err
	}
	k.plan = pl
	k.show(pl)
	if err := k.lock.SetInterval(k.config.PollInterval); err != nil {
		k.complain("fetchmail: %v", err)
	}
	return k.tasks(), nil
}

func (k *keeper) renew() (*plan.Plan, error) {
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
	pl, err := k.plan.Renew(k.config, k.facts())
	if err != nil {
		return nil, err
	}
	return pl, nil
}

// save is called when a round is over.
func (k *keeper) save() {
	if err := k.plan.Save(); err != nil {
		k.complain("cannot record fetched messages: %v", err)
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
	case daemon.Woken:
		switch {
		case e.Signal != nil:
			k.tell("awakened by signal %d", e.Signal)
		case k.line.Verbose > 0:
			k.tell("awakened at %s", time.Now().Format(time.ANSIC))
		}
	case daemon.Reloaded:
		k.tell("restarting fetchmail (%s changed)", k.rc)
	case daemon.ReloadFailed:
		k.complain("%s changed and cannot be used (%v); the old configuration stays in force", k.rc, e.Err)
	case daemon.Panicked:
		k.complain("%v", e.Panic)
	case daemon.Stopping:
		k.notify.Stopping()
	}
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
