package mbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fetchmail/deliver"
	"fetchmail/deliver/journal"
	"fetchmail/deliver/sinktest"
)

func TestMain(m *testing.M) {
	sinktest.DeliverForEver(func(path string) deliver.Sink { return open(path) }, crashText)
	goleak.VerifyTestMain(m)
}

var joe = sinktest.Joe

const fromDora = "From dora@far.example.org Fri Jan  3 10:01:00 2020\n"

func open(path string) *Sink {
	s := New(Options{Path: path, LockWait: 10 * time.Second})
	s.now = func() time.Time { return time.Date(2020, 1, 3, 10, 1, 0, 0, time.UTC) }
	return s
}

func send(s *Sink, text string) (deliver.Outcome, error) { return sinktest.Send(s, joe, text) }

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// alone checks that nothing is beside the mailbox.
func alone(t *testing.T, path string) {
	t.Helper()
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		if e.Name() != filepath.Base(path) {
			t.Errorf("%s was left", e.Name())
		}
	}
}

func TestMessagesAreAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m*b[o]x")
	s := open(path)
	for _, text := range []string{"S: 1\n\nFrom here\n>From there\nFrome\n", "no newline", ""} {
		if o, err := send(s, text); err != nil || !o.Delivered() || o.Status[0].To != "joe" {
			t.Fatal(o, err)
		}
	}
	want := fromDora + "S: 1\n\n>From here\n>>From there\nFrome\n\n" + fromDora + "no newline\n\n" + fromDora + "\n"
	if got := read(t, path); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if fi, _ := os.Stat(path); fi.Mode() != 0o600 {
		t.Error(fi.Mode())
	}
	alone(t, path)
}

func TestEmptyLineBeforeAMessage(t *testing.T) {
	for before, gap := range map[string]string{"": "", "\n": "\n", "a": "\n\n", "a\n": "\n", "a\n\n": ""} {
		path := filepath.Join(t.TempDir(), "mbox")
		os.WriteFile(path, []byte(before), 0o600)
		if _, err := send(open(path), "x\n"); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != before+gap+fromDora+"x\n\n" {
			t.Errorf("%q: %q", before, got)
		}
	}
}

func TestFromLine(t *testing.T) {
	now := time.Date(2020, 1, 3, 10, 1, 0, 0, time.FixedZone("", 3600))
	for from, want := range map[string]string{
		"":             "From MAILER-DAEMON Fri Jan  3 09:01:00 2020\n",
		"a b\n@c\x00d": "From ab@cd Fri Jan  3 09:01:00 2020\n",
	} {
		if got := fromLine(from, now); got != want {
			t.Errorf("%q: %q", from, got)
		}
	}
}

// naive is the rule of mboxrd line by line.
func naive(text string) string {
	var b strings.Builder
	for _, l := range strings.SplitAfter(text, "\n") {
		if strings.HasPrefix(strings.TrimLeft(l, ">"), "From ") {
			b.WriteByte('>')
		}
		b.WriteString(l)
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		b.WriteByte('\n')
	}
	return b.String() + "\n"
}

// An unquoted line has one ">" less; sorting ">" among ">" makes no difference, so the naive rule is the judge.
func FuzzQuoter(f *testing.F) {
	for _, s := range []string{"From a\n", ">From \n", ">>>Fro", "F\nFr\nFrom\nFrom \n", "\n\n>\n", "x>From \n", "> From \n", "FromFrom \n", "From"} {
		f.Add(s, uint8(1))
	}
	f.Fuzz(func(t *testing.T, text string, step uint8) {
		var out bytes.Buffer
		q := newQuoter()
		q.reset(&out)
		for rest := []byte(text); len(rest) > 0; {
			n := min(len(rest), int(step%7)+1)
			if _, err := q.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := q.end(); err != nil {
			t.Fatal(err)
		}
		if got, want := out.String(), naive(text); got != want {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	})
}

func TestAbortLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	sinktest.AbortIsFinal(t, open(path))
	alone(t, path)
}

func TestFailuresAreCutOff(t *testing.T) {
	for name, b := range map[string]sinktest.Broken{"first write": {Writes: 1}, "later write": {Writes: 4}, "sync": {SyncFail: sinktest.ErrDisk}} {
		path := filepath.Join(t.TempDir(), "mbox")
		s := open(path)
		if _, err := send(s, "first\n"); err != nil {
			t.Fatal(err)
		}
		s.open = func(path string) (journal.File, error) {
			f, err := journal.Open(path)
			return &sinktest.Broken{File: f.(*os.File), Writes: b.Writes, SyncFail: b.SyncFail}, err
		}
		o, err := send(s, strings.Repeat("line\n", 100000))
		if sinktest.Kind(err) != deliver.File || !errors.Is(err, sinktest.ErrDisk) || o.Delivered() {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		if got := read(t, path); got != fromDora+"first\n\n" {
			t.Errorf("%s: %d octets", name, len(got))
		}
		alone(t, path)
	}
}

func TestWaitsForTheDotLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	lock := path + ".lock"
	if err := os.WriteFile(lock, []byte("1234567:other.example.test"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(path)
	s.opts.LockWait = 2 * journal.Pause
	if o, err := send(s, "x\n"); !errors.Is(err, journal.ErrLocked) || o.Delivered() {
		t.Errorf("%+v, %v", o, err)
	}
	time.AfterFunc(2*journal.Pause, func() { os.Remove(lock) })
	s.opts.LockWait = 20 * time.Second
	if o, err := send(s, "x\n"); err != nil || !o.Delivered() {
		t.Errorf("%+v, %v", o, err)
	}
	alone(t, path)
}

// A lock is broken at once if its owner was on this machine and is gone, and after some time if nobody can tell.
func TestStaleDotLockIsBroken(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	dead, alive := strconv.Itoa(cmd.Process.Pid), strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		lock         string
		young, older bool // stale
	}{
		{dead + ":" + host, true, true},
		{dead + ":" + host + "\n", true, true},
		{alive + ":" + host, false, false},
		{dead + ":other.example.test", false, true},
		{alive + ":other.example.test", false, true},
		{dead + "\n", false, true},
		{alive + "\n", false, false},
		{"0", false, true},
		{"-1:" + host, false, true},
		{"", false, true},
	} {
		lock := filepath.Join(t.TempDir(), "lock")
		os.WriteFile(lock, []byte(c.lock), 0o600)
		now := time.Now()
		_, young := isStale(lock, host, now)
		if _, older := isStale(lock, host, now.Add(2*staleLock)); young != c.young || older != c.older {
			t.Errorf("lock %q is stale: %v, later %v", c.lock, young, older)
		}
	}
	path := filepath.Join(t.TempDir(), "mbox")
	os.WriteFile(path+".lock", []byte(dead+":"+host), 0o600)
	if _, err := send(open(path), "x\n"); err != nil {
		t.Error(err)
	}
	old := time.Now().Add(-2 * staleLock)
	os.WriteFile(path+".lock", []byte(dead+":other.example.test"), 0o600)
	os.Chtimes(path+".lock", old, old)
	if _, err := send(open(path), "x\n"); err != nil {
		t.Error(err)
	}
	alone(t, path)
}

// Two programs see a stale lock; the slower one leaves alone what the faster one has made.
func TestStaleDotLockIsBrokenOnce(t *testing.T) {
	dir := t.TempDir()
	lock, aside := filepath.Join(dir, "mbox.lock"), filepath.Join(dir, "aside")
	os.WriteFile(lock, nil, 0o600)
	old := time.Now().Add(-2 * staleLock)
	os.Chtimes(lock, old, old)
	seen, stale := isStale(lock, "here", time.Now())
	if !stale {
		t.Fatal("not stale")
	}
	os.Remove(lock)
	os.WriteFile(lock, []byte("1:here"), 0o600)
	takeAway(lock, seen, aside)
	if got, err := os.ReadFile(lock); err != nil || string(got) != "1:here" {
		t.Errorf("the new lock: %q, %v", got, err)
	}
	os.Remove(aside)
	seen, _ = isStale(lock, "here", time.Now())
	takeAway(lock, seen, aside)
	if _, err := os.Stat(lock); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stale lock: %v", err)
	}
}

// flock(1) and lockf(3) of other programs: an fcntl lock held by a child process.
func TestWaitsForTheFcntlLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	os.WriteFile(path, nil, 0o600)
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := exec.Command(python, "-c", "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('locked',flush=True)\nsys.stdin.read()", path)
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.ReadFull(out, make([]byte, 7))
	s := open(path)
	s.opts.LockWait = 2 * journal.Pause
	if o, err := send(s, "x\n"); !errors.Is(err, journal.ErrLocked) || o.Delivered() {
		t.Errorf("%+v, %v", o, err)
	}
	in.Close()
	cmd.Wait()
	if _, err := send(s, "x\n"); err != nil {
		t.Error(err)
	}
}

// What others have put beside the mailbox is neither believed nor waited for.
func TestForeignFilesBesideTheMailbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	box := fromDora + "first\n\n"
	os.WriteFile(path, []byte(box), 0o600)
	name := journal.Beside(path)
	if err := syscall.Mkfifo(name+"1@0", 0o600); err != nil {
		t.Fatal(err)
	}
	evil := filepath.Join(t.TempDir(), "evil")
	os.WriteFile(evil, []byte(box+"x"), 0o600)
	os.Symlink(evil, name+"2@0")
	if os.Geteuid() == 0 {
		os.WriteFile(name+"3@0", []byte(box+"x"), 0o644)
		os.Chown(name+"3@0", 65534, 65534)
	}
	if _, err := send(open(path), "x\n"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != box+fromDora+"x\n\n" {
		t.Errorf("%q", got)
	}
}

func TestGatheringFileOfALivingProcessStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	a := open(path)
	d, err := a.Begin(context.Background(), joe)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, "one\n")
	if _, err := send(open(path), "two\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != fromDora+"two\n\n"+fromDora+"one\n\n" {
		t.Errorf("%q", got)
	}
	alone(t, path)
}

func TestDirectoryWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		// root may write everywhere: become somebody else for the test
		testAsNobody(t)
		return
	}
	testUnwritable(t, t.TempDir())
}

func testAsNobody(t *testing.T) {
	dir, err := os.MkdirTemp("", "mbox-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o755)
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip("no /proc")
	}
	prog := filepath.Join(dir, "test")
	if err := os.WriteFile(prog, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	box := filepath.Join(dir, "box")
	os.Mkdir(box, 0o755)
	os.WriteFile(box+"/mbox", nil, 0o600)
	os.Chown(box+"/mbox", 65534, 65534)
	cmd := exec.Command(prog, "-test.run", "TestUnwritableHelper")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "FETCHMAIL_TEST_BOX="+box, "TMPDIR=/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if got := read(t, box+"/mbox"); !strings.HasSuffix(got, "x\n\n") {
		t.Errorf("%q", got)
	}
}

// TestUnwritableHelper is run by testAsNobody in a process of its own.
func TestUnwritableHelper(t *testing.T) {
	if dir := os.Getenv("FETCHMAIL_TEST_BOX"); dir != "" {
		testUnwritable(t, dir)
	}
}

func testUnwritable(t *testing.T, dir string) {
	path := filepath.Join(dir, "mbox")
	if _, err := os.Stat(path); err != nil {
		os.WriteFile(path, nil, 0o600)
		os.Chmod(dir, 0o555)
		defer os.Chmod(dir, 0o755)
	}
	if o, err := send(open(path), "x\n"); err != nil || !o.Delivered() {
		t.Errorf("%+v, %v", o, err)
	}
	alone(t, path)
}

var crashText = strings.Repeat("a line of the message\n", 50000) + "end\n"

// SIGKILL at any instant: what was reported is there, and after the next delivery nothing is torn.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	const times = 20
	reported := sinktest.Kill(t, path, times, 5*time.Millisecond)
	if _, err := send(open(path), "last\n"); err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutSuffix(read(t, path), fromDora+"last\n\n")
	if !ok {
		t.Fatal("the last message is missing")
	}
	one := fromDora + crashText + "\n"
	n := 0
	for ; strings.HasPrefix(rest, one); n++ {
		rest = rest[len(one):]
	}
	if rest != "" {
		t.Errorf("behind %d messages %d octets are torn", n, len(rest))
	}
	if n < reported || n > reported+times {
		t.Errorf("%d messages reported, %d there", reported, n)
	}
	alone(t, path)
}

func TestLargeMessageNeedsNoMemory(t *testing.T) {
	sinktest.LargeMessage(t, open(filepath.Join(t.TempDir(), "mbox")))
}

func BenchmarkQuoter(b *testing.B) {
	text := bytes.Repeat([]byte("Dear reader, this is a line of text. It ends here.\n"), 20000)
	q := newQuoter()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		q.reset(io.Discard)
		q.Write(text)
		q.end()
	}
}
