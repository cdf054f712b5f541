package ledger

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// both are users that the reference finds again, odd ones those that it does not.
var (
	both = []string{"alice", "a@b", "a b", "x y@z", "100%", "bo;b", "o'hara", "CARL"}
	odd  = []string{"a@b c", " dora"}
)

// mailbox starts a POP3 server with three messages for each user, and returns it with the reference's configuration.
func mailbox(t *testing.T) (server *mailtest.POP3, run func(ids string) string) {
	t.Helper()
	s := mailtest.NewPOP3()
	s.Users = map[string]string{}
	var rc strings.Builder
	fmt.Fprintf(&rc, "poll localhost proto pop3 port PORT uidl\n")
	for i, u := range append(append([]string{}, both...), odd...) {
		s.Users[u] = "secret"
		for n := range 3 {
			s.Put(u, mailtest.POP3Mail{Raw: []byte("From: a@b.example\r\n\r\ntext\r\n"), UID: fmt.Sprintf("u%d-%d", i, n)})
		}
		fmt.Fprintf(&rc, " user \"%s\" there password \"secret\" is root here no sslcertck keep mda \"cat >/dev/null\"\n", u)
	}
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	program := real.Reference(t)
	home := t.TempDir()
	path := filepath.Join(home, "rc")
	put(t, path, strings.Replace(rc.String(), "PORT", s.Port(), 1))
	return s, func(ids string) string {
		c := exec.Command(program, "-f", path, "-i", ids, "--pidfile", filepath.Join(home, "pid"), "--nodetach", "-d0")
		c.Env = append(os.Environ(), "HOME="+home, "LC_ALL=C")
		out, err := c.CombinedOutput()
		if err != nil && !strings.Contains(err.Error(), "exit status 1") {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
}

// hostIn is the canonical name of localhost, as the reference writes it.
func hostIn(t *testing.T, file string) string {
	t.Helper()
	first, _, _ := strings.Cut(file, " ")
	_, host, ok := strings.Cut(first, "alice@")
	if !ok {
		t.Fatalf("file %.200q", file)
	}
	return host
}

func TestTheReferenceReadsWhatWeWroteAndWeWhatItWrote(t *testing.T) {
	_, run := mailbox(t)
	ids := filepath.Join(t.TempDir(), "ids")

	run(ids) // fetches everything
	theirs := get(t, ids)
	host := hostIn(t, theirs)
	l := opened(t, ids)
	users := append(append([]string{}, both...), odd...)
	for i, u := range users {
		a := l.Account(u, host, "")
		var known []string
		for n := range 3 {
			uid := fmt.Sprintf("u%d-%d", i, n)
			if !a.Known(uid) {
				t.Errorf("%q: %s is not known from the reference's file", u, uid)
			}
			known = append(known, uid)
		}
		if a.Known("u99-1") {
			t.Errorf("%q: everything is known", u)
		}
		must(t, a.Finish(known[:2], nil)) // so that it has one to fetch for each
	}
	other := l.Account("eve", host, "My Box@x")
	must(t, other.Finish([]string{"7.1"}, nil))
	must(t, l.Close())

	ours := get(t, ids)
	out := run(ids)
	for _, u := range both {
		if want := fmt.Sprintf("3 messages (2 seen) for %s at localhost", u); !strings.Contains(out, want) {
			t.Errorf("the reference does not say %q:\n%s", want, out)
		}
	}
	for line := range strings.Lines(ours) {
		if !strings.Contains(get(t, ids), line) {
			t.Errorf("the reference has dropped %q", line)
		}
	}
	l = opened(t, ids)
	for i, u := range odd {
		if a := l.Account(u, host, ""); !a.Known(fmt.Sprintf("u%d-0", len(both)+i)) {
			t.Errorf("%q: lost by a run of the reference", u)
		}
	}
	if !l.Account("eve", host, "My Box@x").Known("7.1") {
		t.Error("the folder's UID was lost by a run of the reference")
	}
	must(t, l.Close())
}
