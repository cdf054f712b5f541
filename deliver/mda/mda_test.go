package mda

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fetchmail/deliver"
	"fetchmail/deliver/sinktest"
)

var killText = strings.Repeat("a line of the message\n", 5000) + "end\n"

func TestMain(m *testing.M) {
	sinktest.DeliverForEver(func(dir string) deliver.Sink {
		return New(Options{Command: "cat >" + dir + "/part.$$ && mv " + dir + "/part.$$ " + dir + "/whole.$$"})
	}, killText)
	goleak.VerifyTestMain(m)
}

const text = "Subject: s\n\n.body\n"

var (
	joe  = sinktest.Joe
	kind = sinktest.Kind
)

func send(s *Sink, e deliver.Envelope, text string) (deliver.Outcome, error) {
	return sinktest.Send(s, e, text)
}

func TestMessageAndArgumentsArrive(t *testing.T) {
	dir := t.TempDir()
	s := New(Options{Command: "cat >" + dir + "/text; echo %F %T >" + dir + "/args"})
	o, err := send(s, deliver.Envelope{From: "a@b", To: []string{"joe", "sue"}}, text)
	if err != nil || !o.Delivered() || len(o.Status) != 2 || o.Status[1].To != "sue" {
		t.Fatal(o, err)
	}
	for name, want := range map[string]string{"text": text, "args": "a@b joe sue\n"} {
		if got, _ := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestVerdicts(t *testing.T) {
	big := strings.Repeat("0123456789abcde\n", 20000)
	for _, c := range []struct {
		command, text string
		class         deliver.Class
		kind          deliver.Kind
		reply         deliver.Reply
	}{
		{"cat >/dev/null", text, deliver.Accepted, 0, deliver.Reply{}},
		{"exit 0", text, deliver.Accepted, 0, deliver.Reply{}},
		{"cat >/dev/null; exit 75", text, deliver.Deferred, 0, deliver.Reply{Code: 75, Text: "MDA returned nonzero status 75"}},
		{"cat >/dev/null; exit 1", text, deliver.Deferred, 0, deliver.Reply{Code: 1, Text: "MDA returned nonzero status 1"}},
		{"cat >/dev/null; kill -9 $$", text, deliver.Deferred, 0, deliver.Reply{Text: "MDA died of signal 9"}},
		{"cat >/dev/null; kill -15 $$", text, deliver.Deferred, 0, deliver.Reply{Text: "MDA died of signal 15"}},
		{"exec </dev/null; exit 0", text, deliver.Accepted, 0, deliver.Reply{}},
		{"exec </dev/null; exit 3", text, deliver.Deferred, 0, deliver.Reply{Code: 3, Text: "MDA returned nonzero status 3"}},
		{"exec </dev/null; exit 0", big, deliver.Deferred, deliver.Pipe, deliver.Reply{}},
		{"exec </dev/null; exit 67", big, deliver.Deferred, 0, deliver.Reply{Code: 67, Text: "MDA returned nonzero status 67"}},
		{"cat >/dev/null; /nonexistent/command 2>/dev/null", text, deliver.Deferred, 0, deliver.Reply{Code: 127, Text: "MDA returned nonzero status 127"}},
	} {
		o, err := send(New(Options{Command: c.command}), joe, c.text)
		if kind(err) != c.kind || len(o.Status) != 1 || o.Status[0].Class != c.class || o.Status[0].Reply != c.reply {
			t.Errorf("%s: %+v, %v", c.command, o, err)
		}
	}
}

func TestOutputIsPassedOn(t *testing.T) {
	var out, errs bytes.Buffer
	send(New(Options{Command: "cat; echo trouble >&2", Stdout: &out, Stderr: &errs}), joe, text)
	if out.String() != text || errs.String() != "trouble\n" {
		t.Errorf("%q, %q", out.String(), errs.String())
	}
}

func TestSenderForTheCommand(t *testing.T) {
	for _, c := range []struct {
		e    deliver.Envelope
		want string
	}{{deliver.Envelope{From: "a@b"}, "a@b"}, {deliver.Envelope{}, "<>"}, {deliver.Envelope{Nameless: true}, ""}} {
		if got := sender(c.e); got != c.want {
			t.Errorf("%+v: %q, want %q", c.e, got, c.want)
		}
	}
}

// The reference's quoting, and what a hostile address makes of places where quotes do not help. Every row is run.
func TestExpand(t *testing.T) {
	const evil = "o'x$(id)`id`;\"y\\z\n@far.example.org"
	for _, c := range []struct {
		command, from string
		to            []string
		args          []string
	}{
		{"%F %T", "a@b", []string{"joe"}, []string{"a@b", "joe"}},
		{"%F %T", "", []string{"joe"}, []string{"", "joe"}},
		{"%F %T", "<>", []string{"joe"}, []string{"<>", "joe"}},
		{"-f%F A%FB", "a@b", nil, []string{"-fa@b", "Aa@bB"}},
		{"%F", "a\x01b", nil, []string{"a\x01b"}},
		{"%% %%F x%sx %u %", "a@b", []string{"joe"}, []string{"%%", "%a@b", "xjoex", "%u", "%"}},
		{"%T", "a@b", []string{"joe", "sue"}, []string{"joe sue"}},
		{"%F", `"a b"@c`, nil, []string{`"a b"@c`}},
		{"%F", "-oQ/tmp@b", nil, []string{`"-oQ/tmp"@b`}},
		{"%T", "", []string{`-"\x`}, []string{`"-\"\\x"`}},
		{"%F A%FB", evil, nil, []string{strings.ReplaceAll(evil, "'", "_"), "A" + strings.ReplaceAll(evil, "'", "_") + "B"}},
		{"\"%F\"", "a@b", nil, []string{"'a@b'"}},
		{"\"%F\"", evil, nil, []string{"'o_x__id__id___y_z_@far.example.org'"}},
		{"'%F'", evil, nil, []string{"o_x__id__id___y_z_@far.example.org"}},
		{"\"$(echo %F)\"", evil, nil, []string{"o_x__id__id___y_z_@far.example.org"}},
		{"`echo %F`", evil, nil, []string{"o_x__id__id___y_z_@far.example.org"}},
		{"it\\'s %F", "a$b", nil, []string{"it's", "a$b"}},
	} {
		line := expand(c.command, c.from, c.to)
		out, err := exec.Command("/bin/sh", "-c", `for a in "$@"; do printf '%s\0' "$a"; done`).Output()
		if err != nil || len(out) != 0 {
			t.Fatal(err)
		}
		out, err = exec.Command("/bin/sh", "-c", `show() { for a in "$@"; do printf '%s\0' "$a"; done; }; show `+line).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", line, err, out)
			continue
		}
		if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); fmt.Sprint(got) != fmt.Sprint(c.args) {
			t.Errorf("%s: %s became %q, want %q", c.command, line, got, c.args)
		}
	}
}

// Whatever the address, the shell sees as many words as there were in the command and runs nothing.
func FuzzExpand(f *testing.F) {
	for _, a := range []string{"a@b", "'", "$(id)", "`id`", "\\", "\"", "a\nb", "-x", "%T", "*", "~", "a b", "\x80", "!x"} {
		f.Add(a)
	}
	sh := func(line string) string {
		out, _ := exec.Command("/bin/sh", "-c", `show() { echo $#; }; show `+line).CombinedOutput()
		return string(out)
	}
	f.Fuzz(func(t *testing.T, a string) {
		if strings.ContainsRune(a, 0) || len(a) > 1000 || a == "" {
			t.Skip()
		}
		for command, want := range map[string]string{"%F x%Fx": "2\n", "\"a%Fb\"": "1\n", "'%F'": "1\n", "\"$(echo %F)\"": "1\n"} {
			if got := sh(expand(command, a, nil)); got != want {
				t.Errorf("%q in %s: %q", a, command, got)
			}
		}
	})
}

func TestNULInAddressIsRefused(t *testing.T) {
	_, err := New(Options{Command: "true"}).Begin(context.Background(), deliver.Envelope{From: "a@b", To: []string{"j\x00oe"}})
	if kind(err) != deliver.Refusal {
		t.Error(err)
	}
}

// No agent sees anything of a message that does not come to its end.
func TestAbortDeliversNothing(t *testing.T) {
	dir := t.TempDir()
	s := New(Options{Command: "touch " + dir + "/started; cat >" + dir + "/delivered"})
	sinktest.AbortIsFinal(t, s)
	d, err := s.Begin(context.Background(), joe)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, "half a mess")
	if err := d.Abort(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Error("an agent was started")
	}
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s does not appear", path)
}

func TestCancelKillsTheGroup(t *testing.T) {
	for _, text := range []string{text, strings.Repeat("x", 1<<20)} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(context.Background())
		d, err := New(Options{Command: "sleep 60 & echo $! >" + dir + "/child; mv " + dir + "/child " + dir + "/started; sleep 60"}).Begin(ctx, joe)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(d, text)
		go func() {
			waitFor(t, dir+"/started")
			cancel()
		}()
		begun := time.Now()
		o, err := d.Commit(ctx)
		if o.Delivered() || time.Since(begun) > 30*time.Second {
			t.Errorf("%+v, %v after %v", o, err, time.Since(begun))
		}
		if _, err := d.Write([]byte("x")); err == nil {
			t.Error("Write after Commit")
		}
		child, err := os.ReadFile(dir + "/started")
		if err != nil {
			t.Fatal(err)
		}
		gone := func() bool { // or waits for init to notice
			stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(child)) + "/stat")
			return err != nil || strings.Contains(string(stat), ") Z ")
		}
		for end := time.Now().Add(20 * time.Second); !gone(); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("what the agent has started still runs")
			}
		}
	}
}

// SIGKILL must not make an agent take half a message for a whole one: sinktest.Kill reports what this process has said
// before it died, and every file that an agent has finished is whole.
func TestKill(t *testing.T) {
	dir, err := os.MkdirTemp("", "mda-test-") // not of the test: the last agent may still be at work when it ends
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const times = 10
	reported := sinktest.Kill(t, dir, times, 10*time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	got, _ := filepath.Glob(dir + "/whole.*")
	if len(got) < reported || len(got) > reported+times {
		t.Errorf("%d messages reported, %d there", reported, len(got))
	}
	for _, name := range got {
		if b, _ := os.ReadFile(name); string(b) != killText {
			t.Fatalf("a partial message of %d octets", len(b))
		}
	}
}

func TestLongMessagesAreFed(t *testing.T) {
	for _, size := range []int{pipeSize - 1, pipeSize, pipeSize + 1, 1 << 20} {
		dir := t.TempDir()
		s := New(Options{Command: "sleep 0.01; cat >" + dir + "/text"})
		for range 2 {
			want := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			if o, err := send(s, joe, want); err != nil || !o.Delivered() {
				t.Fatal(o, err)
			}
			if got, _ := os.ReadFile(dir + "/text"); string(got) != want {
				t.Errorf("%d octets of %d", len(got), size)
			}
		}
	}
}

func TestTimeLimit(t *testing.T) {
	s := New(Options{Command: "sleep 60", TimeLimit: 50 * time.Millisecond})
	o, err := send(s, joe, text)
	if err != nil || o.Delivered() || o.Status[0].Reply.Text != "MDA took too long and was killed" {
		t.Errorf("%+v, %v", o, err)
	}
	// also while it does not read
	if o, err := send(s, joe, strings.Repeat("x", 1<<20)); err != nil || o.Delivered() || o.Status[0].Reply.Text != "MDA took too long and was killed" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestCannotStart(t *testing.T) {
	for _, text := range []string{text, strings.Repeat("x", 1<<20)} {
		if o, err := send(New(Options{Command: strings.Repeat("x", 4<<20)}), joe, text); kind(err) != deliver.Local || o.Delivered() {
			t.Error(o, err)
		}
	}
}

// A process left behind does not hold the poll although it has our output open.
func TestDaemonLeftBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for two seconds")
	}
	var out bytes.Buffer
	dir := t.TempDir()
	begun := time.Now()
	o, err := send(New(Options{Command: "cat >/dev/null; sleep 30 & echo $! >" + dir + "/pid", Stdout: &out}), joe, text)
	if err != nil || !o.Delivered() || time.Since(begun) > 20*time.Second {
		t.Errorf("%+v, %v after %v", o, err, time.Since(begun))
	}
	pid, _ := os.ReadFile(dir + "/pid")
	exec.Command("kill", strings.TrimSpace(string(pid))).Run()
}

func TestLargeMessageNeedsNoMemory(t *testing.T) {
	dir := t.TempDir()
	n := sinktest.LargeMessage(t, New(Options{Command: "wc -c >" + dir + "/n"}))
	if got, _ := os.ReadFile(dir + "/n"); strings.TrimSpace(string(got)) != fmt.Sprint(n) {
		t.Errorf("%s octets arrived of %d", got, n)
	}
}

func BenchmarkMessages(b *testing.B) {
	s := New(Options{Command: "cat >/dev/null"})
	for b.Loop() {
		if o, err := send(s, joe, text); err != nil || !o.Delivered() {
			b.Fatal(o, err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// TestALineThatNoProcessTakes: what a stranger has written so long is about one message, not about the poll.
func TestALineThatNoProcessTakes(t *testing.T) {
	long := strings.Repeat("a", 256<<10)
	s := New(Options{Command: "cat >/dev/null; : %F %T"})
	o, err := send(s, deliver.Envelope{From: long + "@b", To: []string{"joe"}}, text)
	if err != nil || !o.Delivered() {
		t.Errorf("sender: %v, %v", o, err)
	}
	o, err = send(s, deliver.Envelope{From: "a@b", To: []string{long}}, text)
	if err != nil || o.Delivered() || len(o.Status) != 1 || o.Status[0].Class != deliver.Deferred || o.Status[0].Reply.Text == "" {
		t.Errorf("recipient: %v, %v", len(o.Status), err)
	}
}
