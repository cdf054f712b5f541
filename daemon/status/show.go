package status

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"fetchmail/daemon/report"
)

const (
	// late is how long the next round may be overdue.
	late = time.Minute
	// away is the shortest time for which an idle account may be without a connection.
	away = 15 * time.Minute
)

// Health is nil if the daemon does its work: the next round is not overdue, no poll is stuck and no account that is to
// wait for new mail has been without a connection for longer than the interval, and fifteen minutes at least. Other
// mail servers that refuse us are no concern of it.
func (s *Status) Health(now time.Time) error {
	patience := time.Duration(s.Patience)*time.Second + late
	if !s.NextPoll.IsZero() {
		if d := now.Sub(s.NextPoll); d > late {
			return fmt.Errorf("the next poll is overdue for %s", Span(d))
		}
	} else if d := now.Sub(s.Active); d > patience {
		return fmt.Errorf("no sign of life for %s", Span(d))
	}
	for i := range s.Accounts {
		a := &s.Accounts[i]
		if a.Idling > 0 {
			continue
		}
		d := now.Sub(a.Active)
		switch {
		case a.Polling > 0 && d > patience:
			return fmt.Errorf("the poll of %s has been stuck for %s", a.name(), Span(d))
		case a.Polling > 0 || !a.Idle:
			continue
		}
		seen := a.Connected
		if seen.IsZero() {
			seen = s.Started
		}
		if gone := now.Sub(seen); gone > max(time.Duration(s.Interval)*time.Second, away) {
			return fmt.Errorf("%s has not been connected for %s", a.name(), Span(gone))
		}
	}
	return nil
}

// Failing counts the accounts whose last poll went wrong.
func (s *Status) Failing() (n int) {
	for i := range s.Accounts {
		if s.Accounts[i].Failing > 0 {
			n++
		}
	}
	return n
}

func (a *Account) name() string { return a.user() + " at " + report.Clean(a.Label) }

func (a *Account) user() string {
	if a.Folder == "" {
		return report.Clean(a.User)
	}
	return report.Clean(a.User) + " (" + report.Clean(a.Folder) + ")"
}

// Table writes the accounts for people: a line each, then the last errors of those that are in trouble.
func (s *Status) Table(w io.Writer, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVER\tUSER\tSTATE\tLAST SUCCESS\tPOLLS\tFETCHED\tBYTES\tNEXT POLL")
	for i := range s.Accounts {
		a := &s.Accounts[i]
		polls := 0
		for _, n := range a.Polls {
			polls += n
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", report.Clean(a.Label), a.user(), a.state(), ago(now, a.LastSuccess),
			polls, a.Fetched, report.Size(a.Octets), a.next(now))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range s.Accounts {
		if a := &s.Accounts[i]; a.Failing > 0 && a.LastError != "" {
			if _, err := fmt.Fprintf(w, "%s: %s: %s\n", a.name(), ago(now, a.LastErrorAt), report.Clean(a.LastError)); err != nil {
				return err
			}
		}
	}
	return nil
}

// state is one word, and how often in a row a poll went wrong.
func (a *Account) state() string {
	switch {
	case a.Idling > 0:
		return "idling"
	case a.Polling > 0:
		return "polling"
	case a.Result == "":
		return "not polled yet"
	case a.Failing > 1:
		return fmt.Sprintf("%s (%dx)", report.Clean(a.Result), a.Failing)
	case a.Failing > 0:
		return report.Clean(a.Result)
	}
	return "ok"
}

func (a *Account) next(now time.Time) string {
	switch {
	case a.NextPoll.IsZero():
		return "-"
	case a.NextPoll.Before(now):
		return "now"
	}
	return "in " + Span(a.NextPoll.Sub(now))
}

// ago says how long something is past.
func ago(now, then time.Time) string {
	if then.IsZero() {
		return "never"
	}
	return Span(now.Sub(then)) + " ago"
}

// Span is a duration for people, in at most two units.
func Span(d time.Duration) string {
	d = max(d, 0)
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm %ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh %dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd %dh", s/86400, s/3600%24)
}
