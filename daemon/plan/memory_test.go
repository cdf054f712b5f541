package plan

import (
	"path/filepath"
	"slices"
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

// TestTheRecordOfAnAccountHasOneNameWhateverIsPolled: a poll of a server that is named on the command line, or of a file
// with a skip before another entry, has to find what the other polls have recorded.
func TestTheRecordOfAnAccountHasOneNameWhateverIsPolled(t *testing.T) {
	entries := []struct {
		protocol      rcfile.Protocol
		service, host string
	}{
		{rcfile.IMAP, "", "mail.example.test"}, // records have a folder
		{rcfile.POP3, "", "mail.example.test"},
		{rcfile.POP3, "2110", "mail.example.test:2110"},
		{rcfile.POP3, "", "mail.example.test"},
		{rcfile.IMAP, "2143", "mail.example.test:2143"},
	}
	for polled := range 1 << len(entries) {
		c := &rcfile.Config{IDFile: filepath.Join(t.TempDir(), "ids")}
		var want []string
		for i, e := range entries {
			active := polled>>i&1 == 1
			if active {
				want = append(want, e.host)
			}
			c.Servers = append(c.Servers, &rcfile.Server{Name: "mail.example.test", Service: e.service, Protocol: e.protocol,
				Active: active, Users: []*rcfile.User{{Remote: "alice"}}})
		}
		p, err := New(c, Facts{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, task := range p.Tasks {
			got = append(got, task.account.recordHost)
		}
		if !slices.Equal(got, want) {
			t.Errorf("polls %05b: records of %q, should be %q", polled, got, want)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
