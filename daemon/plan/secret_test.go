package plan

import (
	"os"
	"path/filepath"
	"testing"

	"fetchmail/rcfile"
)

func TestAPasswordFileIsReadAgainForEachPoll(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pass")
	a := &account{server: &rcfile.Server{Name: "pop"}, user: &rcfile.User{Remote: "alice", PasswordFile: name}}
	a.secret = a.findSecret()
	task := &Task{account: a}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(name, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // within a poll it is kept
			if got, err := a.secret.Get(t.Context()); got != want || err != nil {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		}
		task.polled()
	}
}

// What came from a descriptor or a person is handed to the next plan and to the process in the background.
func TestPasswordsThatComeOnceAreHandedOn(t *testing.T) {
	server, user := &rcfile.Server{Name: "pop"}, &rcfile.User{Remote: "alice", PasswordFDSet: true, PasswordFD: 999}
	a := &account{server: server, user: user, Facts: Facts{Typed: map[string]string{"alice@pop": "secret"}}}
	a.secret = a.findSecret()
	if got, err := a.secret.Get(t.Context()); got != "secret" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	p := &Plan{Tasks: []*Task{{account: a}}}
	if got := p.Typed()["alice@pop"]; got != "secret" {
		t.Errorf("handed on: %q", got)
	}
}
