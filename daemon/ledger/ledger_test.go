package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func idfile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".fetchids")
	if content != "" {
		put(t, path, content)
	}
	return path
}

func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// get returns a file's content, "absent" if there is none.
func get(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return "absent"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func opened(t testing.TB, path string) *Ledger {
	t.Helper()
	l, err := Open(path)
	must(t, err)
	return l
}

// crash gives up the journal's lock as the death of the process would, and nothing else.
func crash(l *Ledger) { l.release() }

// What the reference made of each file when alice@localhost was polled with uidl and keep, and u1, u2, u3 were there.
func TestFileIsReadAndWrittenAsTheReferenceDoes(t *testing.T) {
	const all = "alice@localhost u1\nalice@localhost u2\nalice@localhost u3\n"
	tests := []struct{ name, before, known, behind string }{
		{"absent", "", "", ""},
		{"plain", "alice@localhost u1\nalice@localhost u3\n", "u1 u3", ""},
		{"letter case", "ALICE@LocalHost u1\n", "u1", ""},
		{"junk vanishes", "# c\n\njunk\nbob u8\nbob@o\nbob@o\tu2\n", "", ""},
		{"others stay as they are, in their order", "bob@other z1\nalice@localhost u2\nbob@other z2\nbob@other z1\nalice@other u1\n", "u2",
			"bob@other z1\nbob@other z2\nbob@other z1\nalice@other u1\n"},
		{"damaged lines of others stay", "bob@o \nbob@ u1\n@o u1\nb ob@o u5\n@ u\nbob@o\x01 u7\n", "", "bob@o \nbob@ u1\n@o u1\nb ob@o u5\n@ u\nbob@o\x01 u7\n"},
		{"UID ends at a blank", "alice@localhost   u2  \nalice@localhost u3 extra\nalice@localhost u1\tx\n", "u1 u2 u3", ""},
		{"UID does not begin with a tab", "alice@localhost \tu1\n", "", ""},
		{"CR is part of the UID", "alice@localhost u1\r\nbob@o u2\r\n", "", "bob@o u2\r\n"},
		{"no final newline", "alice@localhost u1\nbob@o u2", "u1", "bob@o u2"},
		{"repeated", "alice@localhost u1\nalice@localhost u1\n", "u1", ""},
		{"blanks before the line", " alice@localhost u1\n  bob@o u2\n\tbob@o u3\n", "u1", "  bob@o u2\n\tbob@o u3\n"},
		{"NUL", "alice@localhost u1\nbob@\x00x y\nalice@localhost u2\n\x00\x00\n", "u1 u2", ""},
		{"our lines are others to it", "a@b%20c@localhost u1\nalice@localhost/INBOX 12.7\nalice@localhost;bounced u9\n", "",
			"a@b%20c@localhost u1\nalice@localhost/INBOX 12.7\nalice@localhost;bounced u9\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := idfile(t, tt.before)
			l := opened(t, path)
			// The bounced list would come before the lines of others.
			a := l.Account("alice", "localhost", "")
			var known []string
			for _, u := range []string{"u1", "u2", "u3"} {
				if a.Known(u) {
					known = append(known, u)
				}
			}
			if got := strings.Join(known, " "); got != tt.known {
				t.Errorf("known %q, want %q", got, tt.known)
			}
			must(t, a.Finish([]string{"u1", "u2", "u3"}, nil))
			must(t, l.Close())
			got := strings.ReplaceAll(get(t, path), "alice@localhost;bounced u9\n", "")
			if want := all + strings.ReplaceAll(tt.behind, "alice@localhost;bounced u9\n", ""); got != want {
				t.Errorf("file %q, want %q", got, want)
			}
		})
	}
}

func TestUserNamesOfAnyForm(t *testing.T) {
	tests := []struct{ user, written string }{
		{"alice", "alice@h"},
		{"a@b", "a@b@h"},
		{"a b", "a b@h"},
		{"a b@c", "a b@c@h"},
		{"100%", "100%@h"},
		{"a@b c", "a@b%20c@h"},
		{"a@b%c d", "a@b%25c%20d@h"},
		{" bob", "%20bob@h"},
		{"x\ny@h z", "x%0Ay@h%20z@h"},
		{"nul\x00", "nul%00@h"},
		{"\xe9\xff", "\xe9\xff@h"},
	}
	path := idfile(t, "")
	l := opened(t, path)
	want := ""
	for i, tt := range tests {
		must(t, l.Account(tt.user, "h", "").Finish([]string{fmt.Sprint("uid", i)}, nil))
		want += fmt.Sprintf("%s uid%d\n", tt.written, i)
	}
	must(t, l.Close())
	if got := get(t, path); got != want {
		t.Errorf("file %q\nwant %q", got, want)
	}
	l = opened(t, path)
	for i, tt := range tests {
		a := l.Account(tt.user, "h", "")
		for j := range tests {
			if got := a.Known(fmt.Sprint("uid", j)); got != (i == j) {
				t.Errorf("%q: uid%d known: %v", tt.user, j, got)
			}
		}
	}
	must(t, l.Close())
}

// The reference appends such lines at every run and never finds them.
func TestLinesOfTheReferenceForAUserWithABlankBehindAt(t *testing.T) {
	path := idfile(t, "a@b c@h u1\nA@b c@H u2\nq@h u3\na@b c@h u1\n bob@h u4\n")
	l := opened(t, path)
	a, bob := l.Account("a@b c", "h", ""), l.Account(" bob", "h", "")
	if !a.Known("u1") || !a.Known("u2") || a.Known("u3") || !bob.Known("u4") {
		t.Error("known UIDs are wrong")
	}
	must(t, a.Finish([]string{"u1", "u2"}, nil))
	must(t, l.Close())
	if got, want := get(t, path), "a@b%20c@h u1\na@b%20c@h u2\n%20bob@h u4\nq@h u3\n"; got != want {
		t.Errorf("file %q, want %q", got, want)
	}
}

func TestFoldersAreAccountsOfTheirOwn(t *testing.T) {
	path := idfile(t, "")
	l := opened(t, path)
	names := []string{"", "INBOX", "inbox", "My Box", "a/b", "x@y;z%"}
	for i, f := range names {
		must(t, l.Account("al", "h", f).Finish([]string{fmt.Sprintf("7.%d", i)}, nil))
	}
	must(t, l.Close())
	want := "al@h 7.0\nal@h/INBOX 7.1\nal@h/inbox 7.2\nal@h/My%20Box 7.3\nal@h/a/b 7.4\nal@h/x%40y%3Bz%25 7.5\n"
	if got := get(t, path); got != want {
		t.Errorf("file %q\nwant %q", got, want)
	}
	l = opened(t, path)
	for i, f := range names {
		if a := l.Account("AL", "H", f); !a.Known(fmt.Sprintf("7.%d", i)) || a.Known(fmt.Sprintf("7.%d", (i+1)%len(names))) {
			t.Errorf("folder %q: wrong UIDs", f)
		}
	}
	must(t, l.Close())
}

func TestAccountsNotPolledKeepTheirLinesInOrderOfRegistration(t *testing.T) {
	path := idfile(t, "bob@h b2\nalice@h u2\nbob@h b1\nzed@h q\n")
	l := opened(t, path)
	alice := l.Account("alice", "h", "")
	l.Account("bob", "h", "")
	must(t, alice.Finish([]string{"u1", "u2"}, nil))
	must(t, l.Close())
	if got, want := get(t, path), "alice@h u1\nalice@h u2\nbob@h b2\nbob@h b1\nzed@h q\n"; got != want {
		t.Errorf("file %q, want %q", got, want)
	}
}

func TestEmptyFileIsRemovedAndNothingCreatedForNothing(t *testing.T) {
	path := idfile(t, "alice@h u1\n")
	l := opened(t, path)
	must(t, l.Account("alice", "h", "").Finish(nil, nil))
	must(t, l.Close())
	if got := get(t, path); got != "absent" {
		t.Errorf("file %q", got)
	}
	l = opened(t, path)
	must(t, l.Account("alice", "h", "").Finish(nil, nil))
	must(t, l.Close())
	if got := get(t, path); got != "absent" {
		t.Errorf("file %q", got)
	}
}

func TestLookingChangesNothing(t *testing.T) {
	const before = "# comment\nalice@h gone\nalice@h u2\n"
	path := idfile(t, before)
	l := opened(t, path)
	if !l.Account("alice", "h", "").Known("u2") {
		t.Error("u2 is not known")
	}
	must(t, l.Close())
	if got := get(t, path); got != before {
		t.Errorf("file %q", got)
	}
}

func TestFileAndJournalArePrivate(t *testing.T) {
	path := idfile(t, "")
	l := opened(t, path)
	a := l.Account("alice", "h", "")
	must(t, a.Accept("u1"))
	for _, p := range []string{path + ".journal"} {
		if fi, err := os.Stat(p); err != nil || fi.Mode() != 0o600 {
			t.Errorf("%s: %v %v", p, fi.Mode(), err)
		}
	}
	must(t, a.Finish([]string{"u1"}, nil))
	must(t, l.Close())
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o600 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	if got := get(t, path+".journal"); got != "absent" {
		t.Errorf("journal stays after an orderly end: %q", got)
	}
}

func TestAcceptedMessagesArePendingAfterACrash(t *testing.T) {
	path := idfile(t, "alice@h old\n")
	l := opened(t, path)
	a, i := l.Account("alice", "h", ""), l.Account("alice", "h", "INBOX")
	must(t, a.Accept("u 1"))
	must(t, a.Accept("u2"))
	must(t, i.Accept("9.1"))
	must(t, a.Sync())
	must(t, a.Removed("u2"))
	crash(l)

	l = opened(t, path)
	a, i = l.Account("alice", "h", ""), l.Account("alice", "h", "INBOX")
	if !a.Pending("u 1") || a.Pending("u2") || a.Pending("9.1") || !i.Pending("9.1") || a.Known("u1") || !a.Known("old") {
		t.Error("wrong state after a crash")
	}
	// The next run cannot reach the server: nothing is settled, everything stays pending.
	must(t, l.Close())
	l = opened(t, path)
	a, i = l.Account("alice", "h", ""), l.Account("alice", "h", "INBOX")
	if !a.Pending("u 1") || !i.Pending("9.1") {
		t.Error("pending messages were forgotten by a run that did not see the mailbox")
	}
	must(t, a.Removed("u 1"))
	must(t, a.Finish([]string{"old"}, nil))
	must(t, i.Finish(nil, nil))
	must(t, l.Close())
	if got := get(t, path) + get(t, path+".journal"); got != "alice@h old\nabsent" {
		t.Errorf("file and journal %q", got)
	}
}

func TestTornAndDamagedJournal(t *testing.T) {
	path := idfile(t, "")
	now := time.Now().Unix()
	put(t, path+".journal", fmt.Sprintf("accepted alice@h u1 %d\naccepted alice@h u2\n\x00\x00\nremoved alice@h\naccepted alice@h u%%zz %d\n"+
		"accepted alice@h u3 %d\naccepted alice@h u4 %d", now, now, now, now))
	l := opened(t, path)
	a := l.Account("alice", "h", "")
	must(t, a.Accept("u5")) // behind the torn line
	crash(l)
	l = opened(t, path)
	a = l.Account("alice", "h", "")
	var got []string
	for _, u := range []string{"u1", "u2", "u3", "u4", "u5"} {
		if a.Pending(u) {
			got = append(got, u)
		}
	}
	if want := []string{"u1", "u3", "u5"}; !slices.Equal(got, want) {
		t.Errorf("pending %v, want %v", got, want)
	}
	must(t, l.Close())
}

func TestOldRecordsExpire(t *testing.T) {
	path := idfile(t, "")
	l := opened(t, path)
	must(t, l.Account("alice", "h", "").Accept("1"))
	crash(l)
	later, err := open(path, osDisk{}, func() time.Time { return time.Now().Add(pendingLife + time.Hour) })
	must(t, err)
	if later.Account("alice", "h", "").Pending("1") {
		t.Error("a record of long ago would delete a message whose UID was given again")
	}
	must(t, later.Close())
	if got := get(t, path+".journal"); got != "absent" {
		t.Errorf("journal %q", got)
	}
}

func TestWhatFinishSettledSurvivesACrashBeforeTheFileIsWritten(t *testing.T) {
	// A file large enough that Finish writes to the journal only.
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "bob@h %d\n", i)
	}
	path := idfile(t, b.String()+"alice@h u0\n")
	l := opened(t, path)
	a := l.Account("alice", "h", "")
	must(t, a.Accept("u1"))
	must(t, a.Bounce("u3"))
	must(t, a.Finish([]string{"u1", "u2"}, nil))
	if got := get(t, path); !strings.HasPrefix(got, "bob@h 0\n") {
		t.Error("the file was written: the test shows nothing")
	}
	crash(l)
	l = opened(t, path)
	a = l.Account("alice", "h", "")
	if a.Pending("u1") || !a.Known("u1") || !a.Known("u2") || a.Known("u0") || !a.Bounced("u3") || a.Known("u3") {
		t.Error("wrong state after a crash")
	}
	must(t, l.Close())
	if got, want := get(t, path), "alice@h u1\nalice@h u2\nalice@h;bounced u3\n"+b.String(); got != want {
		t.Errorf("file %.100q", got)
	}
}

func TestBouncedIsRememberedAsLongAsTheMessageIsThere(t *testing.T) {
	path := idfile(t, "")
	l := opened(t, path)
	a := l.Account("alice", "h", "")
	must(t, a.Bounce("u1"))
	must(t, a.Bounce("u2"))
	must(t, a.Finish(nil, func(uid string) bool { return uid == "u2" }))
	must(t, l.Close())
	if got := get(t, path); got != "alice@h;bounced u2\n" {
		t.Errorf("file %q", got)
	}
	l = opened(t, path)
	a = l.Account("alice", "h", "")
	if a.Bounced("u1") || !a.Bounced("u2") || a.Known("u2") {
		t.Error("wrong memory of bounces")
	}
	must(t, l.Close())
}

func TestTwoProcessesShareAFile(t *testing.T) {
	path := idfile(t, "alice@h u1\nbob@h b1\n")
	one, two := opened(t, path), opened(t, path)
	a, b := one.Account("alice", "h", ""), two.Account("bob", "h", "")
	must(t, a.Accept("u2"))
	must(t, b.Accept("b2"))
	if get(t, path+".journal") == "absent" || get(t, path+".journal.1") == "absent" {
		t.Error("they do not have a journal each")
	}
	third := opened(t, path)
	if third.Account("alice", "h", "").Pending("u2") {
		t.Error("the journal of a living process was taken over")
	}
	must(t, third.Close())
	crash(two)
	must(t, a.Finish([]string{"u1", "u2"}, nil))
	must(t, one.Close())
	two = opened(t, path)
	b = two.Account("bob", "h", "")
	if !b.Pending("b2") {
		t.Error("b2 is not pending")
	}
	must(t, b.Finish([]string{"b1", "b2"}, nil))
	must(t, two.Close())
	if got, want := get(t, path), "bob@h b1\nbob@h b2\nalice@h u1\nalice@h u2\n"; got != want {
		t.Errorf("file %q, want %q", got, want)
	}
	if m, _ := filepath.Glob(path + ".journal*"); m != nil {
		t.Errorf("left over: %v", m)
	}
}

func TestWhatAnotherProgramWroteMeanwhileStands(t *testing.T) {
	path := idfile(t, "alice@h u1\nbob@h b1\n")
	l := opened(t, path)
	a := l.Account("alice", "h", "")
	put(t, path, "bob@h b1\nbob@h b2\nalice@h u0\n")
	must(t, a.Finish([]string{"u1", "u2"}, nil))
	must(t, l.Close())
	if got, want := get(t, path), "alice@h u1\nalice@h u2\nbob@h b1\nbob@h b2\n"; got != want {
		t.Errorf("file %q, want %q", got, want)
	}
}

func TestJournalDoesNotGrowForEver(t *testing.T) {
	path := idfile(t, "")
	l := opened(t, path)
	never, a := l.Account("idle", "h", "INBOX"), l.Account("alice", "h", "")
	must(t, never.Accept("1.1"))
	for i := range 5000 {
		must(t, a.Accept(fmt.Sprint("a-rather-long-unique-identifier-", i)))
		must(t, a.Finish([]string{"x"}, nil))
		if i%100 == 0 {
			must(t, l.Save())
		}
	}
	if fi, err := os.Stat(path + ".journal"); err != nil || fi.Size() > 2*rotateSize {
		t.Errorf("journal: %v, %v", fi.Size(), err)
	}
	must(t, a.Accept("last"))
	crash(l)
	l = opened(t, path)
	if !l.Account("idle", "h", "INBOX").Pending("1.1") || !l.Account("alice", "h", "").Pending("last") {
		t.Error("lost by rewriting the journal")
	}
	must(t, l.Close())
	if _, err := os.Stat(path + ".journal.new"); err == nil {
		t.Error("temporary journal left over")
	}
}

func TestSymbolicLinkIsReadAndReplaced(t *testing.T) {
	path := idfile(t, "")
	put(t, path+".real", "alice@h u1\n")
	must(t, os.Symlink(filepath.Base(path)+".real", path))
	l := opened(t, path)
	a := l.Account("alice", "h", "")
	if !a.Known("u1") {
		t.Error("u1 is not known")
	}
	must(t, a.Finish([]string{"u1", "u2"}, nil))
	must(t, l.Close())
	if fi, _ := os.Lstat(path); fi.Mode() != 0o600 || get(t, path+".real") != "alice@h u1\n" {
		t.Errorf("mode %v, old file %q", fi.Mode(), get(t, path+".real"))
	}
}

func TestFilesOfOthersAreRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ids")
	open := func(want string) {
		t.Helper()
		l, err := Open(path)
		if err == nil {
			l.Close()
		}
		if err == nil || err.Error() != "File "+path+" "+want+"." {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	put(t, path, "a@h u\n")
	must(t, os.Chmod(path, 0o640))
	open("must have no more than -rwx------ (0700) permissions")
	must(t, os.Chmod(path, 0o600))
	if os.Geteuid() == 0 {
		must(t, os.Chown(path, 1, 1))
		open("must be owned by you")
	}
	must(t, os.Remove(path))
	must(t, os.Symlink("/dev/null", path))
	open("must be a regular file")
	must(t, os.Remove(path))
	must(t, os.Symlink("/etc/passwd", path+".journal"))
	if l, err := Open(path); err == nil {
		l.Close()
		t.Error("a journal that is a symbolic link was followed")
	}
}

func TestTemporaryFilesOfKilledProcessesAreRemoved(t *testing.T) {
	path := idfile(t, "")
	dir := filepath.Dir(path)
	old := time.Now().Add(-time.Hour)
	for name, age := range map[string]time.Time{"..fetchids123": old, "..fetchids124": time.Now(), "..fetchids": old, "..fetchids12x": old, "..fetchmailrc1": old} {
		put(t, filepath.Join(dir, name), "x")
		must(t, os.Chtimes(filepath.Join(dir, name), age, age))
	}
	l := opened(t, path)
	must(t, l.Account("alice", "h", "").Finish([]string{"u"}, nil))
	must(t, l.Close())
	var left []string
	all, _ := os.ReadDir(dir)
	for _, e := range all {
		left = append(left, e.Name())
	}
	if want := []string{"..fetchids", "..fetchids124", "..fetchids12x", "..fetchmailrc1", ".fetchids"}; !slices.Equal(left, want) {
		t.Errorf("left: %q", left)
	}
}

func TestPollsSideBySide(t *testing.T) {
	path := idfile(t, "")
	l := opened(t, path)
	const accounts, rounds = 8, 30
	var wg sync.WaitGroup
	for n := range accounts {
		a := l.Account(fmt.Sprint("user", n), "h", "")
		wg.Go(func() {
			var known []string
			for r := range rounds {
				uid := fmt.Sprint("u", r)
				if a.Known(uid) || a.Pending(uid) {
					t.Errorf("%s of user%d is known too early", uid, n)
				}
				known = append(known, uid)
				for _, err := range []error{a.Accept(uid), a.Sync(), a.Removed("other"), a.Finish(known, nil)} {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	must(t, l.Close())
	if got := strings.Count(get(t, path), "\n"); got != accounts*rounds {
		t.Errorf("%d lines, want %d", got, accounts*rounds)
	}
	if err := l.Account("x", "h", "").Accept("u"); err != ErrClosed {
		t.Errorf("Accept after Close: %v", err)
	}
}
