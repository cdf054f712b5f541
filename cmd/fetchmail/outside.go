package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"fetchmail/daemon"
	"fetchmail/daemon/lock"
	"fetchmail/daemon/metrics"
	"fetchmail/daemon/plan"
	"fetchmail/daemon/poll"
	"fetchmail/daemon/report"
	"fetchmail/daemon/status"
)

// outside is what others see of a daemon: its status file and its metrics.
type outside struct {
	book    *status.Book
	metrics *metrics.Server
}

// Sink and server have their own limits of patience, which come on top of the time-out of an account: RFC 5321, section
// 4.5.3.2.6, allows ten minutes for an answer.
const sinkPatience = 10 * time.Minute

// watch observes a run of a task for the status.
func (p *program) watch(id string) poll.Observer {
	if p.outside.book == nil {
		return nil
	}
	return p.outside.book.Watch(id)
}

// show begins to show what the daemon does, or goes on with a changed configuration.
func (p *program) show(pl *plan.Plan) {
	if !p.isDaemon() {
		return
	}
	if p.outside.book == nil {
		p.outside.book = status.New(status.Path(p.config.PIDFile), version, func(err error) { p.complain("cannot write the status file: %v", err) })
		p.outside.metrics = &metrics.Server{Status: p.outside.book.Snapshot}
	}
	p.outside.book.Move(status.Path(p.config.PIDFile))
	patience := sinkPatience
	entries := make([]status.Entry, len(pl.Tasks))
	for i, t := range pl.Tasks {
		patience = max(patience, sinkPatience+time.Duration(t.Timeout)*time.Second)
		entries[i] = status.Entry{ID: t.ID, Name: t.Name, Label: t.Label, User: t.User, Host: t.Host, Protocol: t.Protocol, Folder: t.Folder,
			Every: t.Interval, Idle: t.Resident}
	}
	p.outside.book.Configure(time.Duration(p.config.PollInterval)*time.Second, patience, entries)
	m, err := metrics.Parse(p.config.Metrics, p.Home)
	if err == nil {
		err = p.outside.metrics.Apply(m)
	}
	if err != nil {
		p.complain("%v", err)
	}
}

// hide ends it.
func (p *program) hide() {
	if p.outside.book != nil {
		p.outside.metrics.Close()
		p.outside.book.Close()
	}
}

// hear notes what the loop does.
func (o *outside) hear(e daemon.Event) {
	if o.book == nil {
		return
	}
	switch e := e.(type) {
	case daemon.Sleeping:
		o.book.Sleeping(e.For)
	case daemon.Woken:
		o.book.Awake()
	case daemon.PutOff:
		o.book.PutOff(e.Task, e.For)
	}
}

// Exit statuses of --status; the manual has them.
const (
	statusFine     = exitOK
	statusTrouble  = 1 // an account's last poll went wrong
	statusUnknown  = exitIO
	statusNoDaemon = exitExclude
)

// told is what --status=json writes.
type told struct {
	Running bool   `json:"running"`
	Error   string `json:"error,omitempty"` // why nothing, or nothing new, is known
	*status.Status
}

// status tells what the daemon that runs has done. It disturbs nothing.
func (p *program) status() error {
	s, code, err := p.look()
	if p.line.Status == "json" {
		t := told{Running: code == statusFine || code == statusTrouble, Status: s}
		if err != nil {
			t.Error = err.Error()
		}
		enc := json.NewEncoder(p.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(t); err != nil {
			return err
		}
		return exit(code)
	}
	now := time.Now()
	if err != nil {
		fmt.Fprintf(p.err, "fetchmail: %v\n", err) // an answer to people, whatever the log looks like
	} else {
		fmt.Fprintln(p.out, headline(s, now))
	}
	if s != nil && len(s.Accounts) > 0 {
		if err := s.Table(p.out, now); err != nil {
			return err
		}
	}
	return exit(code)
}

func exit(code int) error {
	if code == exitOK {
		return nil
	}
	return failure(code)
}

// headline says who runs since when, and when the next round begins.
func headline(s *status.Status, now time.Time) string {
	next := "polling now"
	switch d := s.NextPoll.Sub(now); {
	case s.NextPoll.IsZero():
	case d < -time.Second:
		next = "next poll overdue for " + status.Span(-d)
	default:
		next = "next poll in " + status.Span(d)
	}
	return fmt.Sprintf("fetchmail %s has been running for %s at %d, polls every %d seconds, %s.", report.Clean(s.Version),
		status.Span(now.Sub(s.Started)), s.PID, s.Interval, next)
}

// look reads the status of the running daemon. An error says why it is not known; a status beside it is the last one of a
// daemon that has died.
func (p *program) look() (s *status.Status, code int, err error) {
	h, stale, err := lock.Look(p.config.PIDFile)
	if err != nil {
		return nil, statusUnknown, err
	}
	s, rerr := status.Read(status.Path(p.config.PIDFile))
	switch {
	case h == nil && stale && rerr == nil:
		return s, statusNoDaemon, fmt.Errorf("the daemon at %d has died; this is the last that it told, %s ago", s.PID, status.Span(time.Since(s.Updated)))
	case h == nil && stale:
		return nil, statusNoDaemon, fmt.Errorf("no daemon is running; %s was left by a process that has died", p.config.PIDFile)
	case h == nil:
		return nil, statusNoDaemon, errors.New("no daemon is running")
	case !h.Daemon:
		return nil, statusNoDaemon, fmt.Errorf("no daemon is running, but a single run at %d", h.PID)
	case errors.Is(rerr, fs.ErrNotExist):
		return nil, statusUnknown, fmt.Errorf("the daemon at %d keeps no status: it is another program, or cannot write %s", h.PID, status.Path(p.config.PIDFile))
	case rerr != nil:
		return nil, statusUnknown, fmt.Errorf("cannot read the status of the daemon at %d: %w", h.PID, rerr)
	case s.PID != h.PID:
		return nil, statusUnknown, fmt.Errorf("the daemon at %d has told nothing yet", h.PID)
	case s.Failing() > 0:
		return s, statusTrouble, nil
	}
	return s, statusFine, nil
}

// healthCheck tells whether the daemon is alive and does its work: 0 or 1, as container engines want it.
func (p *program) healthCheck() error {
	s, code, err := p.look()
	if err == nil && (code == statusFine || code == statusTrouble) {
		err = s.Health(time.Now())
	}
	if err != nil {
		fmt.Fprintf(p.out, "fetchmail: %v\n", err)
		return failure(1)
	}
	return nil
}
