package plan

import (
	"testing"

	"fetchmail/rcfile"
)

func TestAQuietLinkIsNotKeptUpByPolls(t *testing.T) {
	packets, up := uint64(0), true
	s := &rcfile.Server{Name: "pop", Monitor: "ppp0", Users: []*rcfile.User{{Remote: "a"}, {Remote: "b"}}}
	g := &gate{server: s, count: func(string) (uint64, bool) { return packets, up }}
	var tasks []*Task
	for _, u := range s.Users {
		tasks = append(tasks, &Task{Label: s.Name, link: g, account: &account{server: s, user: u}})
	}
	for round, c := range []struct {
		what  string
		step  func()
		woken bool
		want  string // why it is passed over; "" if the server is polled
	}{
		{"no traffic at all yet", func() {}, false, "ppp0 inactive"},
		{"traffic", func() { packets = 10 }, false, ""},
		{"none but our own", func() {}, false, "ppp0 inactive"},
		{"none, but somebody asks", func() {}, true, ""},
		{"none again", func() {}, false, "ppp0 inactive"},
		{"other traffic", func() { packets++ }, false, ""},
		{"down", func() { up = false }, false, ""},
	} {
		c.step()
		for _, task := range tasks {
			if got := task.Closed(round, c.woken); got != c.want {
				t.Errorf("%s: %s: %q", c.what, task.account.user.Remote, got)
			} else if got == "" {
				packets += 7 // the poll
				g.polled()
			}
		}
	}
}

// The first user of a server may be left out of rounds, or wait for new mail for days.
func TestTheInterfaceIsLookedAtForEachPoll(t *testing.T) {
	down := ""
	packets := uint64(1)
	s := &rcfile.Server{Name: "pop", Interface: "ppp0/10.0.0.0", Monitor: "ppp0", Users: []*rcfile.User{{Remote: "a"}, {Remote: "b"}}}
	g := &gate{server: s, refused: func(string) string { return down }, count: func(string) (uint64, bool) { return packets, true }}
	second := &Task{Label: s.Name, link: g, account: &account{server: s, user: s.Users[1]}}
	if why := second.Closed(0, false); why != "" {
		t.Errorf("it is right: %q", why)
	}
	down = "down"
	for _, round := range []int{0, 1} {
		if why := second.Closed(round, true); why != "ppp0/10.0.0.0 down" {
			t.Errorf("round %d, it has gone down: %q", round, why)
		}
	}
	down = ""
	g.polled()
	for _, want := range []string{"ppp0 inactive", ""} { // without rounds, as a task that waits for new mail asks
		if why := second.Closed(1, false); why != want {
			t.Errorf("%q, want %q", why, want)
		}
		packets++
	}
}
