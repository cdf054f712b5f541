package plan

import (
	"os"
	"path/filepath"
	"strings"
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

// A password that everybody can read is no secret. What a service is given by its administrator (0640), by systemd
// (0400, 0440) or through a pipe is as it should be.
func TestAPasswordFileOpenToEverybodyIsComplainedOf(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(name, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]string{
		0o600: "", 0o400: "", 0o440: "", 0o640: "", 0o660: "",
		0o644: "WARNING: passwordfile " + name + " is open to everybody (mode 0644): chmod o= " + name,
		0o602: "WARNING: passwordfile " + name + " is open to everybody (mode 0602): chmod o= " + name,
	} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		var lines []string
		c := &rcfile.Config{IDFile: filepath.Join(t.TempDir(), "ids"), Servers: []*rcfile.Server{{Name: "pop", Protocol: rcfile.POP3, Active: true,
			Users: []*rcfile.User{{Remote: "alice", PasswordFile: name}, {Remote: "bob", PasswordFile: "/dev/null"}}}}}
		p, err := New(c, Facts{Warn: func(line string) { lines = append(lines, line) }})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(lines, "|"); got != want {
			t.Errorf("mode %o: %q, want %q", mode, got, want)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
