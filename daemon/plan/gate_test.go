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
	for _, c := range []struct {
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
			if got := task.Closed(c.woken); got != c.want {
				t.Errorf("%s: %s: %q", c.what, task.account.user.Remote, got)
			} else if got == "" {
				packets += 7 // the poll
				g.polled()
			}
		}
	}
}
