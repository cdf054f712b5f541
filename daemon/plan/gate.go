package plan

import (
	"sync"

	"fetchmail/rcfile"
)

// gate decides whether a poll is passed over: fetchmail(1), --interface and --monitor. The tasks of such a server run one
// after the other.
type gate struct {
	server  *rcfile.Server
	refused func(link string) (why string)              // wire.LinkRefused
	count   func(link string) (packets uint64, up bool) // wire.LinkPackets

	mu      sync.Mutex
	packets uint64         // that had gone through the monitored interface after the last poll
	round   int            // in which somebody has asked last
	asked   map[*Task]bool // who has, since quiet was found out
	quiet   bool           // the monitored interface is
}

// Closed says why the mailbox is not to be polled now, "" if it is. woken means that somebody has asked for the poll, so
// that a quiet interface does not count; that is decided once a round for all users of a server, because their own polls
// are traffic, too. Whether the interface is the right one is looked at each time: no password is to go another way.
func (t *Task) Closed(round int, woken bool) (why string) {
	g := t.link
	if g == nil {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if link := g.server.Interface; link != "" {
		if why := g.refused(link); why != "" {
			return link + " " + why
		}
	}
	if g.server.Monitor == "" {
		return ""
	}
	if g.asked == nil || g.round != round || g.asked[t] {
		n, up := g.count(g.server.Monitor)
		g.quiet, g.round, g.asked = up && n == g.packets && !woken, round, map[*Task]bool{}
	}
	if g.asked[t] = true; g.quiet {
		return g.server.Monitor + " inactive"
	}
	return ""
}

// polled is called behind every poll.
func (t *Task) polled() {
	t.link.polled()
	if s := t.account.reread; s != nil {
		s.Forget()
	}
}

// polled takes note of our own traffic.
func (g *gate) polled() {
	if g != nil && g.server.Monitor != "" {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.packets, _ = g.count(g.server.Monitor)
	}
}
