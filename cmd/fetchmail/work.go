package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"fetchmail/daemon"
	"fetchmail/daemon/lock"
	"fetchmail/daemon/plan"
	"fetchmail/daemon/poll"
)

// The exit statuses of fetchmail(1), EXIT CODES, are those of package poll; these are used for what is not a poll.
const (
	exitOK        = int(poll.Success)
	exitNoMail    = int(poll.NoMail)
	exitNoSecret  = int(poll.AuthFail)
	exitSyntax    = int(poll.Syntax)
	exitIO        = int(poll.IOErr)
	exitExclude   = int(poll.Exclude)
	exitUndefined = int(poll.Undefined)
)

// quitWait bounds how long --quit waits for the other fetchmail to finish the message in hand.
const quitWait = time.Minute

// work polls, once or as a daemon; or it talks to the fetchmail that is running already.
func (p *program) work(ctx context.Context) error {
	if p.line.Quit {
		if err := p.quit(ctx); err != nil || p.line.QuitOnly {
			return err
		}
	}
	if len(p.config.Servers) == 0 {
		p.complain("no mailservers have been specified.")
		if _, err := os.Stat(p.rc); errors.Is(err, fs.ErrNotExist) && explains(p.err) {
			p.pass("  " + p.rc + " does not exist")
		}
		return failure(exitSyntax)
	}
	if err := p.yield(); err != nil {
		return err
	}
	syscall.Umask(0o077)
	detaches := p.isDaemon() && !p.line.NoDetach && p.detached == nil
	use := func() {}
	if !detaches {
		var err error
		if use, err = p.openOutput(); err != nil {
			return err
		}
	}
	pl, err := plan.New(p.config, p.facts())
	if err != nil {
		return p.unusable(err)
	}
	if err := pl.Passwords(ctx); err != nil {
		pl.Close()
		var none *plan.NoPasswordError
		if errors.As(err, &none) {
			p.complain("%v", none)
			return failure(exitNoSecret)
		}
		return err
	}
	if detaches {
		return p.detach(pl)
	}
	use()
	return p.poll(ctx, pl)
}

// isDaemon tells whether we poll again and again.
func (p *program) isDaemon() bool { return p.config.PollInterval > 0 && !p.line.Check }

// unusable explains options that cannot work.
func (p *program) unusable(err error) error {
	p.complain("%v", err)
	var refused *plan.Error
	if errors.As(err, &refused) {
		return failure(exitSyntax)
	}
	return failure(exitIO)
}

// facts are what the plan must know.
func (p *program) facts() plan.Facts {
	return plan.Facts{
		HostName: p.host, User: p.User, Home: p.Home, Version: version, Check: p.line.Check, Silent: p.line.Silent,
		Verbose: p.line.Verbose, Dots: p.dots(), Daemon: p.isDaemon(), Detached: p.detached != nil, Logged: p.logged, Typed: p.typed(),
		Warn: func(line string) { p.complain("%s", line) }, Watch: p.watch, Terminal: terminal(p.out), Explain: explains(p.err),
	}
}

// find looks for a running fetchmail.
func (p *program) find() (*lock.Holder, error) {
	h, stale, err := lock.Find(p.config.PIDFile)
	if stale {
		p.stale()
	}
	if err != nil {
		p.complain("fetchmail: %v", err)
		return nil, failure(exitExclude)
	}
	return h, nil
}

// stale tells of a lock that nobody held. The doubled prefix is the reference's.
func (p *program) stale() {
	p.complain("fetchmail: removing stale lockfile \"%s\"", p.config.PIDFile)
}

// quit ends the fetchmail that is running: fetchmail(1), --quit.
func (p *program) quit(ctx context.Context) error {
	h, err := p.find()
	if err != nil {
		return err
	}
	if h == nil {
		if p.line.QuitOnly {
			p.complain("no other fetchmail is running")
			return failure(exitExclude)
		}
		return nil
	}
	if err := h.Quit(); err != nil && !errors.Is(err, lock.ErrGone) {
		p.complain("error killing %s fetchmail at %d; bailing out: %v", place(h), h.PID, err)
		return failure(exitExclude)
	}
	p.complain("%s fetchmail at %d killed.", place(h), h.PID)
	ctx, cancel := context.WithTimeout(ctx, quitWait)
	defer cancel()
	if err := h.Wait(ctx); err != nil {
		p.complain("fetchmail at %d is still busy with its last message", h.PID)
	}
	return nil
}

func place(h *lock.Holder) string {
	if h.Daemon {
		return "background"
	}
	return "foreground"
}

// yield leaves the work to a fetchmail that is running already: a daemon is woken if nothing else was asked for.
func (p *program) yield() error {
	if p.detached != nil {
		return nil // whoever has started us has looked
	}
	h, err := p.find()
	switch {
	case err != nil:
		return err
	case h == nil:
		return nil
	case p.line.Check:
		p.complain("can't check mail while another fetchmail to same host is running.")
	case len(p.line.Servers) > 0:
		p.complain("can't poll specified hosts with another fetchmail running at %d.", h.PID)
	case !h.Daemon:
		p.complain("another foreground fetchmail is running at %d.", h.PID)
	case p.line.Given():
		p.complain("can't accept options while a background fetchmail is running.")
		fmt.Fprint(p.err, argList(p.args))
	default:
		err := h.Wake()
		if errors.Is(err, lock.ErrElsewhere) {
			p.complain("can't wake the background fetchmail at %d: %v.", h.PID, err)
			break
		}
		if err != nil {
			p.complain("elder sibling at %d died mysteriously.", h.PID)
			return failure(exitUndefined)
		}
		if !p.line.Silent {
			p.complain("background fetchmail at %d awakened.", h.PID)
		}
		return failure(exitOK)
	}
	return failure(exitExclude)
}

// argList is the command line in the reference's words.
func argList(args []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "argc = %d, arg list:\n", len(args)+1)
	for i, a := range args {
		fmt.Fprintf(&b, "arg %d = \"%s\"\n", i+1, a)
	}
	return b.String()
}

// take takes the lock for this run.
func (p *program) take() (*lock.Lock, error) {
	interval := 0
	if p.isDaemon() {
		interval = p.config.PollInterval
	}
	l, stale, err := lock.Take(p.config.PIDFile, interval)
	if stale {
		p.stale()
	}
	if err == nil {
		return l, nil
	}
	text := fmt.Sprintf("fetchmail: %v", err)
	if held := (*lock.HeldError)(nil); errors.As(err, &held) {
		text = fmt.Sprintf("another foreground fetchmail is running at %d.", held.Holder.PID)
	}
	p.complain("%s", text)
	if p.detached != nil {
		p.detached.Fail(exitExclude, text) // whoever has started us tells it where it is seen
	}
	return nil, failure(exitExclude)
}

// poll runs the plan under the lock: one round, or as many as there is time for. It closes the plan.
func (p *program) poll(ctx context.Context, pl *plan.Plan) error {
	signals := daemon.Listen(os.Getuid() == 0) // before anybody can find us in the pidfile and wake us
	defer signals.Stop()
	go p.reopen(signals.Reopen)
	if p.isDaemon() && !p.logged {
		p.out, p.err = daemon.Outlet(p.out), daemon.Outlet(p.err)
	}
	l, err := p.take()
	if err != nil {
		pl.Close()
		return err
	}
	keeper := &keeper{program: p, plan: pl, lock: l, seen: p.stamp()}
	defer func() { keeper.lock.Release() }()
	defer keeper.close() // before the next fetchmail may begin
	if p.isDaemon() {
		p.tell("starting fetchmail %s daemon", version)
	}
	p.show(pl)
	defer p.hide()
	if p.line.Check && p.line.Verbose > 0 {
		p.tell("--check mode enabled, not fetching mail")
	}
	if p.detached != nil {
		p.detached.Ready()
	}
	keeper.notify.Ready()
	loop := daemon.Loop{
		Out: p.out, Err: p.err, Wake: signals.Wake, Quit: signals.Quit, Changed: keeper.changed, Load: keeper.load,
		Tell: keeper.hear, After: keeper.save, Judge: judge,
	}
	if len(pl.Tasks) == 0 { // only skip entries
		if p.isDaemon() {
			p.complain("All connections are wedged.  Exiting.")
			return failure(exitNoSecret)
		}
		if p.line.Verbose > 0 {
			p.tell("normal termination, status %d", exitOK) // of all polls
		}
		return failure(exitNoMail)
	}
	beating, still := context.WithCancel(ctx)
	defer still()
	go keeper.beat(beating, &loop)
	res := loop.Run(ctx, keeper.tasks())
	if res.Signal != nil {
		p.tell("terminated with signal %d", res.Signal)
	} else if p.line.Verbose > 0 {
		p.tell("normal termination, status %d", res.Status)
	}
	if res.Status != exitOK {
		return failure(res.Status)
	}
	return nil
}

// stamp is what tells one run control file from another; nil: there is none.
func (p *program) stamp() os.FileInfo {
	st, err := os.Stat(p.rc)
	if err != nil {
		return nil
	}
	return st
}
