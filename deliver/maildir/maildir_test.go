package maildir

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fetchmail/deliver"
	"fetchmail/deliver/sinktest"
)

func TestMain(m *testing.M) {
	sinktest.DeliverForEver(func(path string) deliver.Sink { return New(path) }, crashText)
	goleak.VerifyTestMain(m)
}

var joe = sinktest.Joe

func send(s *Sink, text string) (deliver.Outcome, error) { return sinktest.Send(s, joe, text) }

// files are the contents of the files of a folder.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

func TestDelivery(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "Maildir")
	s := New(dir)
	for _, text := range []string{"one\n", "two\x00\r\n.\n", ""} {
		if o, err := send(s, text); err != nil || !o.Delivered() || o.Status[0].To != "joe" {
			t.Fatal(o, err)
		}
	}
	if got := files(t, dir+"/new"); len(got) != 3 || !strings.Contains(strings.Join(got, "|"), "two\x00\r\n.\n") {
		t.Errorf("new: %q", got)
	}
	if got := files(t, dir+"/tmp"); len(got) != 0 {
		t.Errorf("tmp: %q", got)
	}
	if _, err := os.Stat(dir + "/cur"); err != nil {
		t.Error(err)
	}
	entries, _ := os.ReadDir(dir + "/new")
	for _, e := range entries {
		if fi, _ := e.Info(); fi.Mode() != 0o600 || strings.ContainsAny(e.Name(), "/:") {
			t.Errorf("%s %v", e.Name(), fi.Mode())
		}
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	sinktest.AbortIsFinal(t, New(dir))
	if n := len(files(t, dir+"/new")) + len(files(t, dir+"/tmp")); n != 0 {
		t.Errorf("%d files", n)
	}
}

func TestCancelledCommit(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	d, err := New(dir).Begin(ctx, joe)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if o, err := d.Commit(ctx); err == nil || o.Delivered() {
		t.Error(o, err)
	}
	if _, err := New(dir).Begin(ctx, joe); err == nil {
		t.Error("Begin after cancellation")
	}
	if n := len(files(t, dir+"/new")) + len(files(t, dir+"/tmp")); n != 0 {
		t.Errorf("%d files", n)
	}
}

var errDisk = sinktest.ErrDisk

// brokenFile fails where it is told to.
type brokenFile struct {
	file
	write, sync, close error
}

func (f brokenFile) Write(p []byte) (int, error) {
	if f.write != nil {
		n, _ := f.file.Write(p[:len(p)/2])
		return n, f.write
	}
	return f.file.Write(p)
}

func (f brokenFile) Sync() error {
	if f.sync != nil {
		return f.sync
	}
	return f.file.Sync()
}

func (f brokenFile) Close() error {
	return errors.Join(f.file.Close(), f.close)
}

func TestFailuresLeaveNothing(t *testing.T) {
	fail1 := func(string) error { return errDisk }
	fail2 := func(string, string) error { return errDisk }
	broken := func(b brokenFile) func(*system) {
		return func(s *system) {
			create := s.create
			s.create = func(path string) (file, error) {
				f, err := create(path)
				b.file = f
				return b, err
			}
		}
	}
	for name, spoil := range map[string]func(*system){
		"mkdir":    func(s *system) { s.mkdirAll = fail1 },
		"create":   func(s *system) { s.create = func(string) (file, error) { return nil, errDisk } },
		"write":    broken(brokenFile{write: errDisk}),
		"sync":     broken(brokenFile{sync: errDisk}),
		"close":    broken(brokenFile{close: errDisk}),
		"move":     func(s *system) { s.link, s.rename = fail2, fail2 },
		"exists":   func(s *system) { s.link = func(string, string) error { return os.ErrExist } },
		"sync dir": func(s *system) { s.syncDir = fail1 },
	} {
		for _, text := range []string{"short\n", strings.Repeat("long\n", bufferSize)} {
			dir := t.TempDir()
			s := New(dir)
			if _, err := send(s, "first\n"); err != nil {
				t.Fatal(err)
			}
			s.made = false
			spoil(&s.sys)
			o, err := send(s, text)
			var f *deliver.Fault
			if !errors.As(err, &f) || f.Kind != deliver.File || o.Delivered() {
				t.Errorf("%s: %+v, %v", name, o, err)
			}
			if n, m := len(files(t, dir+"/new")), len(files(t, dir+"/tmp")); n != 1 || m != 0 {
				t.Errorf("%s: %d files in new, %d in tmp", name, n, m)
			}
		}
	}
}

func TestFailuresThatDoNoHarm(t *testing.T) {
	for name, spoil := range map[string]func(*system){
		"no links":       func(s *system) { s.link = func(string, string) error { return errors.ErrUnsupported } },
		"tmp name stays": func(s *system) { s.remove = func(string) error { return errDisk } },
	} {
		dir := t.TempDir()
		s := New(dir)
		spoil(&s.sys)
		if o, err := send(s, "text\n"); err != nil || !o.Delivered() {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		if n := len(files(t, dir+"/new")); n != 1 {
			t.Errorf("%s: %d files in new", name, n)
		}
	}
}

var crashText = strings.Repeat("a line of the message\n", 5000) + "end\n"

// SIGKILL at any instant: what was reported is there, and nothing in new/ is partial.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	const times = 20
	reported := sinktest.Kill(t, dir, times, 7*time.Millisecond)
	got := files(t, dir+"/new")
	if len(got) < reported || len(got) > reported+times {
		t.Errorf("%d messages reported, %d in new", reported, len(got))
	}
	for _, text := range got {
		if text != crashText {
			t.Fatalf("a partial message of %d octets", len(text))
		}
	}
}

// What killed deliveries have left in tmp/ goes when it is old, and nothing else does.
func TestOldFilesInTmp(t *testing.T) {
	dir := t.TempDir()
	if _, err := send(New(dir), "x\n"); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-37 * time.Hour)
	for _, name := range []string{"tmp/old", "tmp/young", "new/old", "cur/old"} {
		os.WriteFile(filepath.Join(dir, name), nil, 0o600)
		if strings.HasSuffix(name, "old") {
			os.Chtimes(filepath.Join(dir, name), old, old)
		}
	}
	os.Mkdir(dir+"/tmp/folder", 0o700)
	os.Chtimes(dir+"/tmp/folder", old, old)
	if _, err := send(New(dir), "x\n"); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(dir + "/*/*")
	for i := range left {
		left[i] = strings.TrimPrefix(left[i], dir+"/")
	}
	if got := strings.Join(left, " "); !strings.HasPrefix(got, "cur/old new/") || !strings.HasSuffix(got, " new/old tmp/folder tmp/young") {
		t.Error(got)
	}
}

func TestLargeMessageNeedsNoMemory(t *testing.T) { sinktest.LargeMessage(t, New(t.TempDir())) }

func BenchmarkMessages(b *testing.B) {
	s := New(b.TempDir())
	text := strings.Repeat("Dear reader, this is a line of text. It ends here.\n", 80)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := send(s, text); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// Whom a message is for says nothing about where it goes.
func TestRecipientsAreNoPaths(t *testing.T) {
	root := t.TempDir()
	for _, to := range []string{"../../evil", "/evil", "~root/evil", "a/b", "x\x00y", ".."} {
		e := deliver.Envelope{From: "../evil", To: []string{to}}
		if o, err := sinktest.Send(New(filepath.Join(root, "a", "b")), e, "x\n"); err != nil || !o.Delivered() {
			t.Errorf("%q: %+v, %v", to, o, err)
		}
	}
	all, _ := filepath.Glob(root + "/*/*/*/*")
	if stray, _ := filepath.Glob(root + "/*"); len(all) != 6 || len(stray) != 1 {
		t.Errorf("%q, %q", all, stray)
	}
}
