package mda

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fetchmail/deliver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const text = "Subject: s\n\n.body\n"

func send(s *Sink, e deliver.Envelope, text string) (deliver.Outcome, error) {
	d, err := s.Begin(context.Background(), e)
	if err != nil {
		return deliver.Outcome{}, err
	}
	if _, err := io.WriteString(d, text); err != nil {
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

var joe = deliver.Envelope{From: "dora@far.example.org", To: []string{"joe"}}

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

// The reference's quoting, and what a hostile address makes of places where quotes do not help. Every row is run.
func TestExpand(t *testing.T) {
	const evil = "o'x$(id)`id`;\"y\\z\n@far.example.org"
	for _, c := range []struct {
		command, from string
		to            []string
		args          []string
	}{
		{"%F %T", "a@b", []string{"joe"}, []string{"a@b", "joe"}},
		{"%F %T", "", []string{"joe"}, []string{"<>", "joe"}},
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

// An agent that delivers at end of file must not see one: not even its children.
func TestAbortDeliversNothing(t *testing.T) {
	dir := t.TempDir()
	s := New(Options{Command: "touch " + dir + "/started; (cat >" + dir + "/tmp && mv " + dir + "/tmp " + dir + "/delivered)"})
	for range 10 {
		d, err := s.Begin(context.Background(), joe)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(d, "half a mess")
		waitFor(t, filepath.Join(dir, "started"))
		if err := d.Abort(); err != nil {
			t.Error(err)
		}
		if _, err := d.Commit(context.Background()); err == nil {
			t.Error("Commit after Abort")
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "delivered")); err == nil {
		t.Error("half a message was delivered")
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
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	s := New(Options{Command: "touch " + dir + "/started; sleep 60 & sleep 60; touch " + dir + "/done"})
	d, err := s.Begin(ctx, joe)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, filepath.Join(dir, "started"))
	time.AfterFunc(20*time.Millisecond, cancel)
	begun := time.Now()
	o, err := d.Commit(context.Background())
	if o.Delivered() || time.Since(begun) > 30*time.Second {
		t.Errorf("%+v, %v after %v", o, err, time.Since(begun))
	}
	if _, err := d.Write([]byte("x")); err == nil {
		t.Error("Write after Commit")
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
	_, err := New(Options{Command: strings.Repeat("x", 4<<20)}).Begin(context.Background(), joe)
	if kind(err) != deliver.Local {
		t.Error(err)
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
	d, err := New(Options{Command: "wc -c >" + dir + "/n"}).Begin(context.Background(), joe)
	if err != nil {
		t.Fatal(err)
	}
	chunk := bytes.Repeat([]byte("Dear reader, this is a line of text.\n"), 800)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	size := 0
	for size < 100<<20 {
		n, err := d.Write(chunk)
		if err != nil {
			t.Fatal(err)
		}
		size += n
	}
	if o, err := d.Commit(context.Background()); err != nil || !o.Delivered() {
		t.Fatal(o, err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d octets allocated", n)
	}
	if got, _ := os.ReadFile(dir + "/n"); strings.TrimSpace(string(got)) != fmt.Sprint(size) {
		t.Errorf("%s octets arrived of %d", got, size)
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
