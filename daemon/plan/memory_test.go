package plan

import (
	"path/filepath"
	"testing"

	"fetchmail/rcfile"
)

// TestAChangedConfigurationKeepsWhatIsKnownOfAnAccount: else every change of the file would send the same mail again.
func TestAChangedConfigurationKeepsWhatIsKnownOfAnAccount(t *testing.T) {
	dir := t.TempDir()
	config := func(idfile string, users ...string) *rcfile.Config {
		s := &rcfile.Server{Name: "mail.example.test", Protocol: rcfile.POP3, Active: true}
		for _, u := range users {
			s.Users = append(s.Users, &rcfile.User{Remote: u})
		}
		return &rcfile.Config{IDFile: filepath.Join(dir, idfile), Servers: []*rcfile.Server{s}}
	}
	p, err := New(config("ids", "alice", "bob", "alice"), Facts{})
	if err != nil {
		t.Fatal(err)
	}
	alice := p.Tasks[0].memory
	if alice == nil || p.Tasks[2].memory != alice || p.Tasks[1].memory == alice {
		t.Error("an account has not one memory")
	}
	record := p.Tasks[0].account.record(rcfile.POP3, "")
	for _, idfile := range []string{"ids", "other"} {
		if p, err = p.Renew(config(idfile, "carol", "alice"), Facts{}); err != nil {
			t.Fatal(err)
		}
		if p.Tasks[1].memory != alice || len(p.memories) != 2 {
			t.Errorf("%s: %d memories, that of alice is the same: %v", idfile, len(p.memories), p.Tasks[1].memory == alice)
		}
	}
	if err := record.Accept("uid"); err != nil {
		t.Errorf("a message that was in hand when the record changed: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
