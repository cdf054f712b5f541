package plan

import (
	"fetchmail/protocols/wire"
	"fetchmail/rcfile"
)

// gate decides, once for all users of a server, whether a round passes it over: fetchmail(1), --interface and --monitor.
// The tasks of such a server run one after the other.
type gate struct {
	server  *rcfile.Server
	count   func(link string) (packets uint64, up bool) // wire.LinkPackets
	packets uint64                                      // that had gone through the monitored interface after the last poll
	closed  string                                      // why it is; "" if it is not
}

// Closed says why the mailbox is not to be polled now, "" if it is. woken means that somebody has asked for the poll, so
// that a quiet interface does not count.
func (t *Task) Closed(woken bool) (why string) {
	g := t.link
	if g == nil {
		return ""
	}
	if t.account.user == g.server.Users[0] {
		g.closed = g.why(woken)
	}
	return g.closed
}

func (g *gate) why(woken bool) string {
	if link := g.server.Interface; link != "" {
		if why := wire.LinkRefused(link); why != "" {
			return link + " " + why
		}
	}
	if link := g.server.Monitor; link != "" && !woken {
		if n, up := g.count(link); up && n == g.packets {
			return link + " inactive"
		}
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
		g.packets, _ = g.count(g.server.Monitor)
	}
}
