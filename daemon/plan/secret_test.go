package plan

import (
	"os"
	"path/filepath"
	"testing"

	"fetchmail/rcfile"
)

// systemd.exec(5), LoadCredential=: single files have our names, those of a folder a prefix.
func TestPasswordsFromSystemd(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"one": "p1", "joe@two": "p2", "two": "p3", "password_three": "p4", "password_joe@four": "p5", "password_four": "p6"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for label, want := range map[string]string{"one": "p1", "two": "p2", "three": "p4", "four": "p5"} {
		a := &account{server: &rcfile.Server{Name: label}, user: &rcfile.User{Remote: "joe"}}
		if got, err := a.findSecret().Get(t.Context()); err != nil || got != want {
			t.Errorf("%s: %q, %v", label, got, err)
		}
	}
}
