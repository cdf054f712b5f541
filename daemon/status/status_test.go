package status

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fetchmail/daemon/poll"
	"fetchmail/protocols"
)

var alice = poll.Account{Label: "box", Host: "mail.example.test", User: "alice"}

// newBook is a book with a clock that the test moves.
func newBook(t *testing.T, entries ...Entry) (*Book, *time.Time) {
	t.Helper()
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := New(filepath.Join(t.TempDir(), "x.status"), "1.2", func(err error) { t.Error(err) })
	b.mu.Lock()
	b.now = func() time.Time { return clock }
	b.s.Started, b.s.Active = clock, clock
	b.mu.Unlock()
	t.Cleanup(b.Close)
	b.Configure(5*time.Minute, 10*time.Minute, entries)
	return b, &clock
}

var box = Entry{ID: "1", Name: "alice at box", Label: "box", User: "alice", Host: "mail.example.test", Protocol: "IMAP"}

// message are the events of one message.
func message(num int, flushed bool) []poll.Event {
	return []poll.Event{poll.Reading{Account: alice, Num: num, Total: 9, Size: 110, Read: 100}, poll.Body{Octets: 10},
		poll.Progress{Text: []byte("ten octets")}, poll.Done{Flushed: flushed}}
}

func TestAccountsAreCounted(t *testing.T) {
	failed := poll.Failed{Account: alice, Err: &protocols.Fault{Kind: protocols.Auth, Reply: "-ERR no"}}
	for _, tt := range []struct {
		name   string
		events []poll.Event
		ok     func(a Account) bool
	}{
		{"under way", []poll.Event{poll.Started{}}, func(a Account) bool { return a.Polling == 1 && a.Result == "" }},
		{"nothing new", []poll.Event{poll.Started{}, poll.Counted{Total: 3}, poll.Finished{Status: poll.NoMail}},
			func(a Account) bool {
				return a.Polling == 0 && a.Result == "nomail" && a.Polls["nomail"] == 1 && !a.LastSuccess.IsZero() && a.Waiting == 3
			}},
		{"two messages", append(append(append([]poll.Event{poll.Started{}}, message(1, true)...), message(2, false)...), poll.Finished{}),
			func(a Account) bool {
				return a.Fetched == 2 && a.Deleted == 1 && a.Octets == 220 && a.Polls["success"] == 1 && !a.LastMail.IsZero()
			}},
		{"a message that stays", []poll.Event{poll.Started{}, poll.Reading{Read: 5}, poll.BadHeader{}, poll.Done{}, poll.Finished{Status: poll.NoMail}},
			func(a Account) bool { return a.Fetched == 0 && a.Octets == 5 }},
		{"refused", []poll.Event{poll.Started{}, failed, poll.Finished{Status: poll.AuthFail}},
			func(a Account) bool {
				return a.Failing == 1 && a.LastError == "Authorization failure on alice@mail.example.test" && a.LastSuccess.IsZero() && a.Result == "authfail"
			}},
		{"recovered", []poll.Event{poll.Started{}, failed, poll.Finished{Status: poll.AuthFail}, poll.Started{}, poll.Finished{Status: poll.Success}},
			func(a Account) bool { return a.Failing == 0 && a.LastError != "" && a.Polls["authfail"] == 1 }},
		{"protocol auto is one poll", []poll.Event{poll.Started{}, poll.Started{}, poll.Finished{}, poll.Started{}, poll.Finished{}, poll.Finished{Status: poll.Socket}},
			func(a Account) bool { return len(a.Polls) == 1 && a.Polls["socket"] == 1 && a.Polling == 0 }},
		{"idling", []poll.Event{poll.Started{}, poll.Idling{On: true}},
			func(a Account) bool {
				return a.Idling == 1 && !a.LastSuccess.IsZero() && a.Result == "success" && len(a.Polls) == 0
			}},
		{"idling, connection lost", []poll.Event{poll.Started{}, poll.Idling{On: true}, poll.Idling{}, poll.Finished{Status: poll.Socket}},
			func(a Account) bool { return a.Idling == 0 && a.Failing == 1 && !a.Connected.IsZero() }},
		{"idling, ended without a word", []poll.Event{poll.Started{}, poll.Idling{On: true}, poll.Finished{Status: poll.Success}},
			func(a Account) bool { return a.Idling == 0 && a.Polling == 0 }},
		{"busy server", []poll.Event{poll.Started{}, poll.Finished{Status: poll.ServerBusy}}, func(a Account) bool { return a.Polls["serverbusy"] == 1 }},
	} {
		b, _ := newBook(t, box)
		w := b.Watch("1")
		for _, e := range tt.events {
			w.Observe(e)
		}
		if a := b.Snapshot().Accounts[0]; !tt.ok(a) {
			t.Errorf("%s: %+v", tt.name, a)
		}
	}
}

func TestPollThatDiedIsNotUnderWay(t *testing.T) {
	b, _ := newBook(t, box)
	for range 2 {
		b.Watch("1").Observe(poll.Started{})
		if a := b.Snapshot().Accounts[0]; a.Polling != 1 {
			t.Errorf("before: %+v", a)
		}
		b.Sleeping(time.Minute)
		if a := b.Snapshot().Accounts[0]; a.Polling != 0 {
			t.Errorf("after: %+v", a)
		}
	}
}

func TestNextPollHeedsInterval(t *testing.T) {
	third := box
	third.ID, third.Name, third.Every = "2", "", 3
	b, clock := newBook(t, box, third)
	round := func(ids ...string) {
		for _, id := range ids {
			w := b.Watch(id)
			w.Observe(poll.Started{})
			w.Observe(poll.Finished{})
		}
		b.Sleeping(5 * time.Minute)
	}
	for i, tt := range []struct {
		polled []string
		want   time.Duration
	}{{[]string{"1", "2"}, 15 * time.Minute}, {[]string{"1"}, 10 * time.Minute}, {[]string{"1"}, 5 * time.Minute}} {
		round(tt.polled...)
		s := b.Snapshot()
		if got := s.Accounts[1].NextPoll.Sub(*clock); got != tt.want || s.Accounts[0].NextPoll.Sub(*clock) != 5*time.Minute {
			t.Errorf("round %d: next in %v and %v, want 5m0s and %v", i, s.Accounts[0].NextPoll.Sub(*clock), got, tt.want)
		}
	}
	b.PutOff("alice at box", time.Hour)
	if s := b.Snapshot(); s.Accounts[0].NextPoll.Sub(*clock) != time.Hour {
		t.Errorf("put off: %+v", s.Accounts[0])
	}
	b.Sleeping(5 * time.Minute)
	if s := b.Snapshot(); s.Accounts[0].NextPoll.Sub(*clock) != time.Hour {
		t.Errorf("put off, a round later: %+v", s.Accounts[0])
	}
	b.Awake()
	if s := b.Snapshot(); !s.NextPoll.IsZero() || s.Rounds != 4 {
		t.Errorf("awake: %+v", s)
	}
}

func TestCountersSurviveAReload(t *testing.T) {
	b, _ := newBook(t, box)
	w := b.Watch("1")
	for _, e := range append(message(1, true), poll.Done{}) {
		w.Observe(e)
	}
	other := Entry{ID: "0", Label: "new", User: "bob"}
	b.Configure(time.Minute, time.Minute, []Entry{other, box})
	if s := b.Snapshot(); len(s.Accounts) != 2 || s.Accounts[1].Fetched != 1 || s.Accounts[0].Label != "new" || s.Interval != 60 {
		t.Errorf("%+v", s)
	}
	b.Configure(time.Minute, time.Minute, []Entry{other})
	w.Observe(poll.Done{}) // of an account that is gone
	b.Watch("1").Observe(poll.Started{})
	if s := b.Snapshot(); len(s.Accounts) != 1 {
		t.Errorf("%+v", s)
	}
}

// TestFileIsPrivateAndReplaced is about the file: mode 0600, a link in its place is replaced and what it leads to left
// alone, nothing is left behind at the end.
func TestFileIsPrivateAndReplaced(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, "x.status"), filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".new"} {
		if err := os.Symlink(victim, name); err != nil {
			t.Fatal(err)
		}
	}
	b := New(path, "1.2", func(err error) { t.Error(err) })
	b.Configure(time.Minute, time.Minute, []Entry{box})
	var s *Status
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s, _ = Read(path); s != nil {
			break
		}
	}
	fi, err := os.Lstat(path)
	if s == nil || err != nil || fi.Mode() != 0o600 || s.Accounts[0].User != "alice" || s.PID != os.Getpid() {
		t.Errorf("%+v, %v, %v", s, fi, err)
	}
	b.Close()
	if text, _ := os.ReadFile(victim); string(text) != "precious" {
		t.Errorf("the file behind the link is now %q", text)
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFileThatCannotBeWrittenIsToldOnce(t *testing.T) {
	said := make(chan error, 9)
	b := New(filepath.Join(t.TempDir(), "absent", "x.status"), "1", func(err error) { said <- err })
	b.Configure(time.Minute, time.Minute, nil)
	if err := <-said; !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	b.Configure(time.Minute, time.Minute, nil)
	time.Sleep(pause + pause/2) // the second attempt comes after the pause
	b.Close()
	if len(said) > 0 {
		t.Errorf("again: %v", <-said)
	}
}

func TestOnlyABelievableFileIsRead(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	if err := write(good, &Status{PID: 7}); err != nil {
		t.Fatal(err)
	}
	if s, err := Read(good); err != nil || s.PID != 7 {
		t.Errorf("%+v, %v", s, err)
	}
	link, garbage := filepath.Join(dir, "link"), filepath.Join(dir, "garbage")
	if err := errors.Join(os.Symlink(good, link), os.WriteFile(garbage, []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{link, garbage, dir, filepath.Join(dir, "absent")} {
		if s, err := Read(name); err == nil {
			t.Errorf("%s was believed: %+v", name, s)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(good, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if s, err := Read(good); err != nil || s.PID != 7 {
			t.Errorf("root does not see the status of another user: %+v, %v", s, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestHealth(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) time.Time { return begin.Add(d) }
	const patience = 600
	for _, tt := range []struct {
		name string
		s    Status
		now  time.Duration
		want string // "" is healthy
	}{
		{"asleep", Status{NextPoll: at(time.Hour)}, time.Hour + 30*time.Second, ""},
		{"overslept", Status{NextPoll: at(time.Hour)}, time.Hour + 2*time.Minute, "the next poll is overdue for 2m 0s"},
		{"polling", Status{Active: begin}, 10 * time.Minute, ""},
		{"silent", Status{Active: begin}, 12 * time.Minute, "no sign of life for 12m 0s"},
		{"one stuck", Status{NextPoll: at(time.Hour), Accounts: []Account{{Label: "b", User: "a", Polling: 1, Active: begin}}}, 12 * time.Minute,
			"the poll of a at b has been stuck for 12m 0s"},
		{"waiting beside rounds", Status{NextPoll: at(24 * time.Hour), Accounts: []Account{{Polling: 1, Idling: 1, Idle: true}}}, 24 * time.Hour, ""},
		{"cannot wait", Status{Started: begin, NextPoll: at(time.Hour), Accounts: []Account{{Label: "b", User: "a", Idle: true}}}, 20 * time.Minute,
			"a at b has not been connected for 20m 0s"},
		{"lost after a long time", Status{NextPoll: at(time.Hour), Accounts: []Account{{Idle: true, Connected: begin}}}, 10 * time.Minute, ""},
		{"long lost", Status{NextPoll: at(time.Hour), Accounts: []Account{{Label: "b", User: "a", Idle: true, Connected: begin}}}, 16 * time.Minute,
			"a at b has not been connected for 16m 0s"},
		{"lost, reads a large message", Status{NextPoll: at(time.Hour), Accounts: []Account{{Idle: true, Polling: 1, Active: at(40 * time.Minute)}}}, 45 * time.Minute, ""},
		{"will wait", Status{Started: begin, NextPoll: at(time.Hour), Accounts: []Account{{Idle: true}}}, 10 * time.Minute, ""},
		{"refused", Status{NextPoll: at(time.Hour), Accounts: []Account{{Failing: 7}}}, time.Minute, ""},
	} {
		tt.s.Patience = patience
		got := ""
		if err := tt.s.Health(at(tt.now)); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTable(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &Status{Accounts: []Account{
		{Label: "pop.example.com", User: "joe", Result: "success", LastSuccess: now.Add(-90 * time.Second), Polls: map[string]int{"success": 2, "nomail": 3},
			Fetched: 12, Octets: 1234567, NextPoll: now.Add(200 * time.Second)},
		{Label: "imap", User: "j", Folder: "l", Idle: true, Idling: 1, Polling: 1, LastSuccess: now.Add(-30 * time.Hour)},
		{Label: "x\x1b[2J", User: "\u202ebad", Result: "authfail", Failing: 3, LastError: "no\x1b[1m", LastErrorAt: now.Add(-time.Second), NextPoll: now.Add(-1)},
		{Label: "new", User: "n"},
	}}
	var got bytes.Buffer
	if err := s.Table(&got, now); err != nil {
		t.Fatal(err)
	}
	want := `SERVER           USER       STATE           LAST SUCCESS  POLLS  FETCHED  BYTES   NEXT POLL
pop.example.com  joe        ok              1m 30s ago    5      12       1.2 MB  in 3m 20s
imap             j (l)      idling          1d 6h ago     0      0        0 B     -
x\x1b[2J         \u202ebad  authfail (3x)   never         0      0        0 B     now
new              n          not polled yet  never         0      0        0 B     -
\u202ebad at x\x1b[2J: 1s ago: no\x1b[1m
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

// TestManyAccountsAreWrittenInBatches lets a thousand accounts change at once: the file is written a few times, not a
// thousand.
func TestManyAccountsAreWrittenInBatches(t *testing.T) {
	entries := make([]Entry, 1000)
	for i := range entries {
		entries[i] = Entry{ID: fmt.Sprint(i), Label: fmt.Sprintf("mail%d.example.com", i), User: "user", Protocol: "IMAP"}
	}
	path := filepath.Join(t.TempDir(), "x.status")
	b := New(path, "1", func(err error) { t.Error(err) })
	defer b.Close()
	b.Configure(time.Minute, time.Minute, entries)
	written := map[time.Time]bool{}
	begin := time.Now()
	for i := range entries {
		w := b.Watch(fmt.Sprint(i))
		for _, e := range append(append([]poll.Event{poll.Started{}}, message(1, true)...), poll.Finished{}) {
			w.Observe(e)
		}
		if i%50 == 0 {
			if s, err := Read(path); err == nil {
				written[s.Updated] = true
			}
		}
	}
	if limit := int(time.Since(begin)/pause) + 2; len(written) > limit {
		t.Errorf("written %d times in %v", len(written), time.Since(begin))
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"version":"1","pid":3,"started":"2026-01-02T03:04:05Z","accounts":[{"account":"a","polls":{"success":1},"last_error":"x"}]}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parse("x", b)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := s.Table(&out, time.Now()); err != nil {
			t.Fatal(err)
		}
		s.Health(time.Now())
		if bytes.ContainsAny(out.Bytes(), "\x1b\x07\r\x00") {
			t.Fatalf("control characters: %q", out.Bytes())
		}
	})
}

func BenchmarkWriteThousandAccounts(b *testing.B) {
	s := &Status{Accounts: make([]Account, 1000)}
	for i := range s.Accounts {
		s.Accounts[i] = Account{Label: fmt.Sprintf("mail%d.example.com", i), User: "user", Polls: map[string]int{"success": 1}}
	}
	path := filepath.Join(b.TempDir(), "x.status")
	for b.Loop() {
		if err := write(path, s); err != nil {
			b.Fatal(err)
		}
	}
}
