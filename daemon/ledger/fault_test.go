package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

var errFault = errors.New("fault")

// faulty fails its nth operation; a write leaves half of what it was given.
type faulty struct {
	osDisk
	left  int
	after bool // every later one fails, too
	done  string
}

func (d *faulty) fails(op string) bool {
	d.left--
	if d.left == 0 || d.after && d.left < 0 {
		d.done = op
		return true
	}
	return false
}

func (d *faulty) replace(path string, data []byte) error {
	if d.fails("replace") {
		return errFault
	}
	return d.osDisk.replace(path, data)
}

func (d *faulty) remove(path string) error {
	if d.fails("remove") {
		return errFault
	}
	return d.osDisk.remove(path)
}

func (d *faulty) rename(from, to string) error {
	if d.fails("rename") {
		return errFault
	}
	return d.osDisk.rename(from, to)
}

func (d *faulty) read(path string) (string, stamp, error) {
	if d.fails("read") {
		return "", stamp{}, errFault
	}
	return d.osDisk.read(path)
}

func (d *faulty) lock(path string, create bool) (file, error) {
	if d.fails("lock") {
		return nil, errFault
	}
	f, err := d.osDisk.lock(path, create)
	if err != nil {
		return nil, err
	}
	return &faultyFile{f, d}, nil
}

type faultyFile struct {
	file
	d *faulty
}

func (f *faultyFile) Write(b []byte) (int, error) {
	if f.d.fails("write") {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, errFault
	}
	return f.file.Write(b)
}

func (f *faultyFile) Sync() error {
	if f.d.fails("sync") {
		return errFault
	}
	return f.file.Sync()
}

// life is what one process does with two accounts. It returns what must be remembered and whether an error was reported.
func life(l *Ledger) (remember []string, failed bool) {
	try := func(err error) bool {
		failed = failed || err != nil
		return err == nil
	}
	a, b := l.Account("alice", "h", ""), l.Account("bob", "h", "INBOX")
	for i := range 3 {
		if uid := fmt.Sprint("a", i); try(a.Accept(uid)) {
			remember = append(remember, uid)
		}
	}
	if try(b.Accept("7.1")) {
		remember = append(remember, "7.1")
	}
	try(a.Sync())
	l.journal.grow() // so that it is rewritten while bob's message is open
	if try(a.Finish([]string{"old", "a0", "a1", "a2"}, nil)) {
		remember = append(remember, "old")
	}
	try(l.Save())
	for i := range 3 {
		if uid := fmt.Sprint("b", i); try(a.Accept(uid)) {
			remember = append(remember, uid)
		}
	}
	try(l.Close())
	return remember, failed
}

// grow makes the journal look large.
func (j *journal) grow() {
	if j != nil {
		j.size += rotateSize
	}
}

func TestNoFaultOfTheDiskLosesWhatWasRecorded(t *testing.T) {
	seen := map[string]bool{}
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			d := &faulty{left: n, after: after}
			path := idfile(t, "alice@h old\ncarl@h c1\n")
			put(t, path+".journal", fmt.Sprintf("accepted dora@h d1 %d\n", time.Now().Unix()))
			l, err := open(path, d, time.Now)
			if err == nil {
				remember, failed := life(l)
				if d.done != "" && !failed && d.done != "read" {
					t.Errorf("fault %d (%s) was not reported", n, d.done)
				}
				recall(t, path, fmt.Sprintf("fault %d (%s, %v)", n, d.done, after), remember)
			} else {
				recall(t, path, "fault at start", []string{"old"})
			}
			if d.done == "" {
				break
			}
			seen[d.done] = true
		}
	}
	for _, op := range []string{"replace", "remove", "rename", "read", "lock", "write", "sync"} {
		if !seen[op] {
			t.Errorf("no fault at %s was tried", op)
		}
	}
}

func recall(t *testing.T, path, what string, remember []string) {
	t.Helper()
	l, err := Open(path)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer l.Close()
	a, b := l.Account("alice", "h", ""), l.Account("bob", "h", "INBOX")
	for _, uid := range remember {
		if !a.Known(uid) && !a.Pending(uid) && !b.Pending(uid) {
			t.Errorf("%s: %s is forgotten", what, uid)
		}
	}
	if !l.Account("carl", "h", "").Known("c1") || !l.Account("dora", "h", "").Pending("d1") {
		t.Errorf("%s: other accounts have lost something", what)
	}
}

// TestMain lets the test program be the process that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("LEDGER_TEST_CHILD"); path != "" {
		child(path)
	}
	os.Exit(m.Run())
}

// child accepts messages and says so after each, polls settled and compacted in between.
func child(path string) {
	l, err := Open(path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	a, b := l.Account("alice", "h", ""), l.Account("bob", "h", "INBOX")
	var known []string
	for n := 0; ; n++ {
		uid := fmt.Sprintf("%s-%d", os.Getenv("LEDGER_TEST_RUN"), n)
		if a.Accept(uid) != nil || b.Accept(uid) != nil {
			os.Exit(1)
		}
		fmt.Println(uid)
		known = append(known, uid)
		if n%7 == 6 && (a.Sync() != nil || a.Finish(known, nil) != nil || l.Save() != nil) {
			os.Exit(1)
		}
	}
}

func TestKilledAtAnyInstantItForgetsNothing(t *testing.T) {
	path := idfile(t, "carl@h c1\n")
	var told []string
	for run := range 12 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "LEDGER_TEST_CHILD="+path, "GORACE=atexit_sleep_ms=0", fmt.Sprint("LEDGER_TEST_RUN=", run))
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		sc := bufio.NewScanner(out)
		for i := 0; sc.Scan(); i++ {
			told = append(told, sc.Text())
			if i == 3+run*2 {
				must(t, cmd.Process.Kill())
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("child: %v", err)
		}
		l := opened(t, path)
		a, b := l.Account("alice", "h", ""), l.Account("bob", "h", "INBOX")
		for _, uid := range told {
			if !a.Known(uid) && !a.Pending(uid) {
				t.Errorf("run %d: %s of alice is forgotten", run, uid)
			}
			if !b.Pending(uid) {
				t.Errorf("run %d: %s of bob is forgotten", run, uid)
			}
		}
		if !l.Account("carl", "h", "").Known("c1") {
			t.Error("carl's message is forgotten")
		}
		must(t, a.Finish(told, nil)) // the child of the next run settles its own only
		told = nil
		must(t, b.Finish(nil, nil))
		must(t, l.Close())
	}
}

func TestReadyTellsWhetherARecordCanBeWritten(t *testing.T) {
	for left, fails := range map[int]bool{0: false, 1: true} {
		path := idfile(t, "")
		d := &faulty{}
		l, err := open(path, d, time.Now)
		must(t, err)
		a := l.Account("alice", "mail", "")
		d.left = left
		if err := a.Ready(); (err != nil) != fails {
			t.Errorf("fault %d: Ready says %v", left, err)
		}
		must(t, a.Accept("u1"))
		crash(l)
		again := opened(t, path)
		if !again.Account("alice", "mail", "").Pending("u1") {
			t.Errorf("fault %d: the record behind the empty one is lost", left)
		}
		must(t, again.Close())
	}
}
