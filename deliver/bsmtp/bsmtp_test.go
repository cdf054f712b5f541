package bsmtp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fetchmail/deliver"
	"fetchmail/deliver/journal"
	"fetchmail/deliver/sinktest"
)

func TestMain(m *testing.M) {
	sinktest.DeliverForEver(func(path string) deliver.Sink { return New(Options{Path: path}) }, crashText)
	goleak.VerifyTestMain(m)
}

var (
	joe  = sinktest.Joe
	send = sinktest.Send
	kind = sinktest.Kind
)

const one = "MAIL FROM:<dora@far.example.org> BODY=8BITMIME\r\nRCPT TO:<joe@localhost>\r\nDATA\r\nSubject: s\r\n\r\n..\r\n..dot\r\n.\r\n"

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

func TestSmtpnameReplacesLocalNames(t *testing.T) {
	var out bytes.Buffer
	send(New(Options{Path: "-", Stdout: &out, Name: "all@x"}), deliver.Envelope{To: []string{"joe", "ann@far.example.org"}}, "x")
	if !strings.Contains(out.String(), "\r\nRCPT TO:<all@x>\r\nRCPT TO:<ann@far.example.org>\r\nDATA\r\n") {
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
	sinktest.AbortIsFinal(t, s)
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

func TestFailuresAreCutOff(t *testing.T) {
	long := strings.Repeat("line\r\n", 100000)
	for name, b := range map[string]sinktest.Broken{"first write": {Writes: 1}, "later write": {Writes: 4}, "sync": {SyncFail: sinktest.ErrDisk}} {
		path := filepath.Join(t.TempDir(), "out")
		s := New(Options{Path: path})
		if _, err := send(s, joe, "Subject: s\r\n\r\n.\r\n.dot\r\n"); err != nil {
			t.Fatal(err)
		}
		s.open = func(path string) (journal.File, error) {
			f, err := journal.Open(path)
			return &sinktest.Broken{File: f.(*os.File), Writes: b.Writes, SyncFail: b.SyncFail}, err
		}
		o, err := send(s, joe, long)
		if kind(err) != deliver.File || o.Delivered() || !errors.Is(err, sinktest.ErrDisk) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		if got, _ := os.ReadFile(path); string(got) != one {
			t.Errorf("%s: %d octets", name, len(got))
		}
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
		if i < 40 && m != "MAIL FROM:<dora@far.example.org> BODY=8BITMIME\r\nRCPT TO:<joe@localhost>\r\nDATA\r\n"+strings.Repeat("line\r\n", 30000)+".\r\n" {
			t.Fatalf("message %d is mixed", i)
		}
	}
}

func TestLargeMessageNeedsNoMemory(t *testing.T) {
	sinktest.LargeMessage(t, New(Options{Path: filepath.Join(t.TempDir(), "out")}))
}

func TestLockedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s := New(Options{Path: path, LockWait: 2 * journal.Pause})
	if o, err := send(s, joe, "x\n"); kind(err) != deliver.File || !errors.Is(err, journal.ErrLocked) || o.Delivered() {
		t.Errorf("%+v, %v", o, err)
	}
	s.opts.LockWait = 20 * time.Second
	time.AfterFunc(2*journal.Pause, func() { f.Close() })
	if o, err := send(s, joe, "x\n"); err != nil || !o.Delivered() {
		t.Errorf("%+v, %v", o, err)
	}
}

// A file that is none: nothing is made beside it, and nothing of it is cut off.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if o, err := send(New(Options{Path: path}), joe, "Subject: s\r\n\r\n.\r\n.dot\r\n"); err != nil || !o.Delivered() {
		t.Fatal(o, err)
	}
	got := make([]byte, len(one))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != one {
		t.Errorf("%q, %v", got, err)
	}
}

var crashText = strings.Repeat("a line of the message\r\n", 50000)

// SIGKILL at any instant: what was reported is there, and after the next message nothing is torn.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	const times = 10
	reported := sinktest.Kill(t, path, times, 10*time.Millisecond)
	if _, err := send(New(Options{Path: path}), joe, "Subject: s\r\n\r\n.\r\n.dot\r\n"); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(path)
	rest, ok := strings.CutSuffix(string(got), one)
	if !ok {
		t.Fatal("the last message is missing")
	}
	whole := "MAIL FROM:<dora@far.example.org> BODY=8BITMIME\r\nRCPT TO:<joe@localhost>\r\nDATA\r\n" + crashText + ".\r\n"
	n := 0
	for ; strings.HasPrefix(rest, whole); n++ {
		rest = rest[len(whole):]
	}
	if rest != "" {
		t.Errorf("behind %d messages %d octets are torn", n, len(rest))
	}
	if n < reported || n > reported+times {
		t.Errorf("%d messages reported, %d there", reported, n)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files", len(left))
	}
}
