package poll

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fetchmail/deliver"
	"fetchmail/protocols"
)

// polls runs polls one after the other that end in these ways: 'a' login refused, 't' time-out, 's' connection lost,
// '.' all is well. It returns the subjects of the mail sent.
func (w *world) polls(t *testing.T, ways string, n Notices) (sent []string) {
	t.Helper()
	m := new(Memory)
	for _, way := range ways {
		before := len(w.delivered)
		j := w.job(Rules{})
		j.Memory, j.Notices = m, n
		if fault, ok := map[rune]protocols.Kind{'a': protocols.Auth, 't': protocols.Timeout, 's': protocols.Socket}[way]; ok {
			j.Open = func(context.Context) (protocols.Session, error) { return nil, &protocols.Fault{Kind: fault} }
		}
		j.Run(t.Context(), nil)
		for _, text := range w.delivered[before:] {
			_, s, _ := strings.Cut(text, "Subject: ")
			s, _, _ = strings.Cut(s, "\r\n")
			sent = append(sent, s)
		}
	}
	return sent
}

func TestMailAboutFailuresIsSentOnceUntilTheyEnd(t *testing.T) {
	const failed, restored, timeouts = "fetchmail authentication failed on alice@mail", "fetchmail authentication OK on alice@mail", "fetchmail sees repeated timeouts"
	daemon := Notices{Host: "h", To: "joe", Failures: true}
	for _, tt := range []struct {
		ways string
		n    Notices
		want string
	}{
		{"aa.", daemon, ""},
		{"aaa", daemon, failed},
		{"aaaaaaaaaaaaaaaa", daemon, failed},
		{"asasa", daemon, failed}, // a lost connection does not count, and does not end it
		{"aaa.", daemon, failed + "|" + restored},
		{"aaa..aa.", daemon, failed + "|" + restored},
		{".aaaaaaaaa.", daemon, ""},
		{".aaaaaaaaaa.", daemon, failed + "|" + restored},
		{"aaaaa.", Notices{To: "joe"}, ""},          // a single run
		{"aaaaa.", Notices{Failures: true}, ""},     // nobody to write to
		{"tttt.", daemon, ""},                       // 4
		{"ttttt", daemon, timeouts},                 // 5
		{"tttstt", daemon, timeouts},                // with others between
		{"tttt.tttt", daemon, ""},                   // not in a row
		{"tttttttttttttttttttt.", daemon, timeouts}, // once
		{"ttttt.tttttttt", daemon, timeouts + "|" + timeouts},
		{strings.Repeat("ta", 12), daemon, failed}, // the server answers every now and then
	} {
		w := &world{traits: protocols.Traits{Protocol: "POP3", CommitEnds: true}}
		if got := strings.Join(w.polls(t, tt.ways, tt.n), "|"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.ways, got, tt.want)
		}
	}
}

func TestMailThatCannotBeSentIsTriedAgainAndHoldsUpNothing(t *testing.T) {
	down := &deliver.Fault{Kind: deliver.Lost, Err: errors.New("down")}
	w := &world{mail: letters(1), begin: map[int]error{1: down, 2: down}, traits: protocols.Traits{Protocol: "POP3", CommitEnds: true}}
	sent := w.polls(t, "aaaaaa..", Notices{Host: "h", To: "joe", Failures: true})
	if want := "fetchmail authentication failed on alice@mail|fetchmail authentication OK on alice@mail|1|1"; strings.Join(sent, "|") != want {
		t.Errorf("%q, want %q", sent, want)
	}
	unsent := 0
	for _, e := range w.events {
		if _, ok := e.(Unsent); ok {
			unsent++
		}
	}
	if unsent != 2 {
		t.Errorf("%d failures were told, want 2", unsent)
	}
}

func TestARefusedNoticeIsNoMessageOfItsOwn(t *testing.T) {
	for stage, tries := range map[deliver.Stage]int{deliver.AtMail: 4, deliver.AtRcpt: 4} {
		w := &world{begin: map[int]error{}, traits: protocols.Traits{Protocol: "POP3", CommitEnds: true}}
		for i := range 9 {
			w.begin[i] = refusal(stage, deliver.Refused)
		}
		j := w.job(Rules{})
		j.Bounce = func(context.Context, Failure) (string, error) { t.Error("a notice was reported"); return "", nil }
		w.polls(t, "aaaaaa", Notices{Host: "h", To: "joe", Failures: true})
		if w.n != tries {
			t.Errorf("tried %d times, want %d", w.n, tries)
		}
	}
	w := &world{verdict: map[int]deliver.Class{1: deliver.Refused}, traits: protocols.Traits{Protocol: "POP3", CommitEnds: true}}
	if w.polls(t, "aaaaaa", Notices{Host: "h", To: "joe", Failures: true}); w.n != 1 {
		t.Errorf("a notice whose text was refused was tried %d times", w.n)
	}
}

func refusal(stage deliver.Stage, c deliver.Class) error {
	return &deliver.Fault{Kind: deliver.Refusal, Stage: stage, Outcome: deliver.Outcome{Status: []deliver.Status{
		{To: "joe@localhost", Class: c, Stage: stage, Reply: deliver.Reply{Code: 550, Text: "550 no"}}}}}
}

func TestLargeMessagesAreToldOfWhenTheyAreNewAndAfterTheInterval(t *testing.T) {
	const every = time.Minute
	begin := time.Unix(1e9, 0)
	m := new(Memory)
	for i, tt := range []struct {
		after time.Duration
		sizes map[int64]int
		want  bool
	}{
		{0, map[int64]int{100: 2}, true},
		{time.Second, map[int64]int{100: 2}, false},
		{time.Second, map[int64]int{100: 2, 300: 1}, true}, // another one
		{time.Second, map[int64]int{100: 3, 300: 1}, true}, // of the same size
		{59 * time.Second, map[int64]int{100: 3, 300: 1}, false},
		{time.Second, map[int64]int{100: 3, 300: 1}, true}, // a minute has gone by
		{time.Second, map[int64]int{300: 1}, false},        // some have gone
		{time.Second, map[int64]int{100: 1, 300: 1}, true}, // and come again
	} {
		begin = begin.Add(tt.after)
		got := m.tooLarge("", tt.sizes, begin, every)
		if got {
			m.toldLarge("", tt.sizes, begin)
		}
		if got != tt.want {
			t.Errorf("step %d: %v", i, got)
		}
		if m.tooLarge("other", tt.sizes, begin, every) != true {
			t.Errorf("step %d: another folder is not told apart", i)
		}
	}
	m.toldLarge("", nil, begin)
	if len(m.large) != 0 {
		t.Errorf("still known: %v", m.large)
	}
}

func TestAMemoryDoesNotGrow(t *testing.T) {
	w := &world{traits: protocols.Traits{Protocol: "POP3", CommitEnds: true}}
	m := new(Memory)
	for i := range 500 {
		w.mail = []string{fmt.Sprintf("Subject: x\r\n\r\n%*d\r\n", 100+i, i)} // another size each time
		j := w.job(Rules{MaxSize: 50})
		j.Memory, j.Notices = m, Notices{To: "joe", TooLarge: true}
		j.Run(t.Context(), nil)
		if i%3 == 2 {
			w.mail = nil
			j.Run(t.Context(), nil)
		}
	}
	if len(m.large) > 1 || len(m.large[""].sizes) > 1 {
		t.Errorf("%v", m.large)
	}
	if len(w.delivered) != 500 {
		t.Errorf("%d notices", len(w.delivered))
	}
}
