package bsmtp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"fetchmail/deliver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func send(s *Sink, e deliver.Envelope, text string) (deliver.Outcome, error) {
	d, err := s.Begin(context.Background(), e)
	if err != nil {
		return deliver.Outcome{}, err
	}
	if _, err := io.WriteString(d, text); err != nil {
		d.Abort()
		return deliver.Outcome{}, err
	}
	return d.Commit(context.Background())
}

func kind(err error) deliver.Kind {
	var f *deliver.Fault
	if errors.As(err, &f) {
		return f.Kind
	}
	return 0
}

var joe = deliver.Envelope{From: "dora@far.example.org", To: []string{"joe"}, Size: 100, Body: "8BITMIME"}

const one = "MAIL FROM:<dora@far.example.org>\r\nRCPT TO:<joe@localhost>\r\nDATA\r\nSubject: s\r\n\r\n..\r\n..dot\r\n.\r\n"

func TestMessagesAreAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	s := New(Options{Path: path})
	for range 2 {
		if o, err := send(s, joe, "Subject: s\r\n\r\n.\r\n.dot\r\n"); err != nil || !o.Delivered() || o.Status[0].To != "joe@localhost" {
			t.Fatal(o, err)
		}
	}
	got, _ := os.ReadFile(path)
	if string(got) != one+one {
		t.Errorf("%q", got)
	}
	if fi, _ := os.Stat(path); fi.Mode() != 0o600 {
		t.Error(fi.Mode())
	}
}

func TestStandardOutput(t *testing.T) {
	var out bytes.Buffer
	s := New(Options{Path: "-", Stdout: &out, Address: "corp.example.com"})
	d, err := s.Begin(context.Background(), joe)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, "half")
	d.Abort()
	if out.Len() > 0 {
		t.Errorf("an aborted message was written: %q", out.String())
	}
	if _, err := send(s, deliver.Envelope{To: []string{"a", "b@c"}}, "x"); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "MAIL FROM:<>\r\nRCPT TO:<a@corp.example.com>\r\nRCPT TO:<b@c>\r\nDATA\r\nx\r\n.\r\n" {
		t.Errorf("%q", got)
	}
}

func TestSmtpnameReplacesAll(t *testing.T) {
	var out bytes.Buffer
	send(New(Options{Path: "-", Stdout: &out, Name: "all@x"}), joe, "x")
	if !strings.Contains(out.String(), "\r\nRCPT TO:<all@x>\r\nDATA\r\n") {
		t.Errorf("%q", out.String())
	}
}

func TestCannotOpen(t *testing.T) {
	_, err := New(Options{Path: "/nonexistent/out"}).Begin(context.Background(), joe)
	if kind(err) != deliver.File || err.Error() != "BSMTP file open failed: No such file or directory" || !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	s := New(Options{Path: path})
	d, err := s.Begin(context.Background(), joe)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, strings.Repeat("x", 1<<20))
	d.Abort()
	if _, err := d.Commit(context.Background()); err == nil {
		t.Error("Commit after Abort")
	}
	if _, err := d.Write([]byte("x")); err == nil {
		t.Error("Write after Abort")
	}
	if got, _ := os.ReadFile(path); len(got) != 0 {
		t.Errorf("%d octets", len(got))
	}
}

func TestHostileAddressesAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	s := New(Options{Path: path})
	for _, e := range []deliver.Envelope{
		{From: "a@b", To: []string{"a@b>\r\nRCPT TO:<x"}},
		{From: "a@b", To: []string{"c\nd"}},
		{From: "a@b", To: []string{""}},
	} {
		if _, err := send(s, e, "x"); kind(err) != deliver.Refusal {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("something was written")
	}
	if _, err := send(s, deliver.Envelope{From: "a@b>\r\nRCPT TO:<x", To: []string{"c"}}, "x"); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); !strings.HasPrefix(string(got), "MAIL FROM:<>\r\nRCPT TO:<c@localhost>\r\nDATA\r\n") {
		t.Errorf("%q", got)
	}
}

var errDisk = errors.New("no space left on device")

// brokenFile fails in the middle of its nth write, or at Sync.
type brokenFile struct {
	file
	writes int
	sync   error
}

func (f *brokenFile) Write(p []byte) (int, error) {
	if f.writes--; f.writes == 0 {
		n, _ := f.file.Write(p[:len(p)/2])
		return n, errDisk
	}
	return f.file.Write(p)
}

func (f *brokenFile) Sync() error {
	if f.sync != nil {
		return f.sync
	}
	return f.file.Sync()
}

func TestFailuresAreCutOff(t *testing.T) {
	long := strings.Repeat("line\r\n", 100000)
	for name, b := range map[string]brokenFile{"first write": {writes: 1}, "later write": {writes: 4}, "sync": {sync: errDisk}} {
		path := filepath.Join(t.TempDir(), "out")
		s := New(Options{Path: path})
		if _, err := send(s, joe, "Subject: s\r\n\r\n.\r\n.dot\r\n"); err != nil {
			t.Fatal(err)
		}
		s.open = func(path string) (file, error) {
			f, err := openLocked(path)
			b := b
			b.file = f
			return &b, err
		}
		o, err := send(s, joe, long)
		if kind(err) != deliver.File || o.Delivered() || !errors.Is(err, errDisk) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		if got, _ := os.ReadFile(path); string(got) != one {
			t.Errorf("%s: %d octets", name, len(got))
		}
	}
}

func TestFailingSpool(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	s := New(Options{Path: path})
	for _, writes := range []int{1, 2, 3} {
		s.spool = func() (file, error) {
			f, err := openSpool()
			return &brokenFile{file: f, writes: writes}, err
		}
		if _, err := send(s, joe, strings.Repeat("line\r\n", 20000)); kind(err) != deliver.File {
			t.Errorf("%d: %v", writes, err)
		}
	}
	s.spool = func() (file, error) { return nil, errDisk }
	if _, err := send(s, joe, "x"); kind(err) != deliver.File {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); len(got) != 0 {
		t.Errorf("%d octets", len(got))
	}
}

func TestTwoWritersDoNotMix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			s := New(Options{Path: path})
			for range 20 {
				if _, err := send(s, joe, strings.Repeat("line\r\n", 30000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, _ := os.ReadFile(path)
	for i, m := range strings.SplitAfter(string(got), "\r\n.\r\n") {
		if i < 40 && m != "MAIL FROM:<dora@far.example.org>\r\nRCPT TO:<joe@localhost>\r\nDATA\r\n"+strings.Repeat("line\r\n", 30000)+".\r\n" {
			t.Fatalf("message %d is mixed", i)
		}
	}
}

func TestLargeMessageNeedsNoMemory(t *testing.T) {
	s := New(Options{Path: filepath.Join(t.TempDir(), "out")})
	chunk := bytes.Repeat([]byte("Dear reader, this is a line of text.\r\n"), 800)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := s.Begin(context.Background(), joe)
	if err != nil {
		t.Fatal(err)
	}
	for size := 0; size < 100<<20; size += len(chunk) {
		if _, err := d.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d octets allocated", n)
	}
}
