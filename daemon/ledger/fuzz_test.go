package ledger

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzFile: whatever stands in the file, lines of others stay as they are, ours are found again, and writing what was
// written changes nothing.
func FuzzFile(f *testing.F) {
	for _, s := range []string{"alice@h u1\n", "a@b c@h u1\n# c\n", " @ \n\x00@ x\nz@h/I%20 1.2", "a@h;bounced u\n\n\n@\t @  q"} {
		f.Add(s, "alice", "u1")
	}
	f.Add("a@b c@h u1\n", "a@b c", "u\n1")
	f.Fuzz(func(t *testing.T, data, user, uid string) {
		l := &Ledger{lists: map[string]*list{}, open: map[string]map[string]record{}}
		l.load(data, stamp{})
		if got := l.render(); got != dropJunk(data) {
			t.Fatalf("%q became %q", data, got)
		}
		a := l.Account(user, "h", "")
		a.known.set([]string{uid}, nil)
		once := l.render()
		m := &Ledger{lists: map[string]*list{}, open: map[string]map[string]record{}}
		m.load(once, stamp{})
		b := m.Account(user, "h", "")
		if uid != "" && !b.Known(uid) {
			t.Fatalf("%q of %q is lost in %q", uid, user, once)
		}
		if got := m.render(); got != once {
			t.Fatalf("%q became %q", once, got)
		}
	})
}

// dropJunk is what the format says in the shortest way.
func dropJunk(data string) string {
	var b strings.Builder
	for raw := range strings.Lines(data) {
		s := strings.TrimLeft(strings.TrimSuffix(raw, "\n"), " \t")
		if _, rest, ok := strings.Cut(s, "@"); ok && strings.Contains(rest, " ") && !strings.Contains(s, "\x00") {
			b.WriteString(raw)
		}
	}
	return b.String()
}

// FuzzJournal: no bytes upset the reader, and records come back as they were written, also behind damage.
func FuzzJournal(f *testing.F) {
	f.Add("accepted alice@h u1 1700000000\nknown a@h u2", "a b@h", "u 1")
	f.Add("settled alice@h\nremoved x%20y@h \n%%%\n", "x\n@h/INBOX", "%")
	f.Fuzz(func(t *testing.T, data, account, uid string) {
		before := parseJournal(data)
		for _, r := range before {
			if again := parseJournal(string(r.appendTo(nil))); len(again) != 1 || again[0] != r {
				t.Fatalf("%+v became %+v", r, again)
			}
		}
		if account == "" || uid == "" {
			return
		}
		b := []byte(data)
		if data != "" && !strings.HasSuffix(data, "\n") {
			b = append(b, "%\n"...)
		}
		want := slices.Clone(before)
		for _, r := range []record{{verb: vAccepted, account: account, uid: uid, when: 5}, {verb: vKnown, account: account, uid: uid},
			{verb: vGone, account: account, uid: uid}, {verb: vRemoved, account: account, uid: uid}, {verb: vSettled, account: account}} {
			b = r.appendTo(b)
			want = append(want, r)
		}
		if got := parseJournal(string(b)); !slices.Equal(got, want) {
			t.Fatalf("read %+v, want %+v", got, want)
		}
	})
}

func TestEscapeIsReversible(t *testing.T) {
	for _, s := range []string{"", "a", "a b", "%", "%20", "\x00\x7f\r\n\t", "é\xff", "a%"} {
		if got, ok := unescape(escape(s)); got != s || !ok {
			t.Errorf("%q became %q", s, got)
		}
	}
	for _, s := range []string{"%", "%2", "%41", "%zz", "%2g", "a b", "%0a"} {
		if got, ok := unescape(s); ok {
			t.Errorf("damaged %q was read as %q", s, got)
		}
	}
}

func uids(n int) []string {
	u := make([]string, n)
	for i := range u {
		u[i] = fmt.Sprintf("%08x%08x", i, 0x5e0fab12)
	}
	return u
}

// BenchmarkPoll20000Known is what a poll costs that finds one new message among 20,000 kept ones.
func BenchmarkPoll20000Known(b *testing.B) {
	path := filepath.Join(b.TempDir(), "ids")
	have := uids(20000)
	l := opened(b, path)
	must(b, l.Account("alice", "h", "").Finish(have, nil))
	must(b, l.Close())
	b.ReportAllocs()
	for b.Loop() {
		l := opened(b, path)
		a := l.Account("alice", "h", "")
		n := 0
		for _, u := range have {
			if a.Known(u) {
				n++
			}
		}
		if n != len(have) {
			b.Fatal(n)
		}
		must(b, a.Accept("new"))
		must(b, a.Finish(append(have, "new"), nil))
		must(b, l.Close())
		// Put back as it was.
		l = opened(b, path)
		must(b, l.Account("alice", "h", "").Finish(have, nil))
		must(b, l.Close())
	}
}

// BenchmarkAccept is one message's record.
func BenchmarkAccept(b *testing.B) {
	l := opened(b, filepath.Join(b.TempDir(), "ids"))
	a := l.Account("alice", "h", "")
	for i := 0; b.Loop(); i++ {
		must(b, a.Accept(fmt.Sprint(i)))
	}
	must(b, a.Finish(nil, nil))
	must(b, l.Close())
}

func TestTwentyThousandKnownUIDsAreOnePass(t *testing.T) {
	path := idfile(t, "")
	have := uids(20000)
	l := opened(t, path)
	must(t, l.Account("alice", "h", "").Finish(have, nil))
	must(t, l.Close())
	start := time.Now()
	l = opened(t, path)
	a := l.Account("alice", "h", "")
	for _, u := range have {
		if !a.Known(u) {
			t.Fatal(u)
		}
	}
	must(t, a.Finish(have[1:], nil))
	must(t, l.Close())
	// A pass takes a few milliseconds; one pass for each UID would take minutes.
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}
