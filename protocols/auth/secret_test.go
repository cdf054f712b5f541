package auth

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func put(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFirstLineOfAFileIsTheSecret(t *testing.T) {
	for text, want := range map[string]string{"word\n": "word", "word": "word", " a b \r\nrest": " a b ", "x\n\ny": "x"} {
		if got, err := File(put(t, "pw", text)).Get(t.Context()); got != want || err != nil {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "\nword\n", strings.Repeat("x", maxSecret+1)} {
		if got, err := File(put(t, "pw", text)).Get(t.Context()); err == nil || errors.Is(err, ErrNoSecret) {
			t.Errorf("%.20q: got %.20q, %v", text, got, err)
		}
	}
	if _, err := File(filepath.Join(t.TempDir(), "absent")).Get(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

func TestFileIsReadAgainAfterForget(t *testing.T) {
	file := put(t, "pw", "old\n")
	s := File(file)
	_, _ = s.Get(t.Context())
	if err := os.WriteFile(file, []byte("new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Get(t.Context()); got != "old" {
		t.Errorf("got %q before Forget", got)
	}
	if got, ok, err := Again(t.Context(), s, "old"); got != "new" || !ok || err != nil {
		t.Errorf("got %q, %v, %v", got, ok, err)
	}
	if _, ok, _ := Again(t.Context(), s, "new"); ok {
		t.Error("the same password is to be tried again")
	}
	if _, ok, _ := Again(t.Context(), Fixed("x"), "x"); ok {
		t.Error("a fixed password is to be tried again")
	}
}

func TestDescriptorTakesOneLineAndLeavesTheRest(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, _ = w.WriteString("first\nsecond\r\n")
	_ = w.Close()
	if got, err := Descriptor(int(r.Fd())).Get(t.Context()); !errors.Is(err, errNotGiven) {
		t.Errorf("from a descriptor of our own: %q, %v", got, err)
	}
	fd, err := syscall.Dup(int(r.Fd())) // not closed on exec, as those that a program is given
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	a, b, c := Descriptor(fd), Descriptor(fd), Descriptor(fd)
	for range 2 {
		if got, err := a.Get(t.Context()); got != "first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		a.Forget()
	}
	if got, err := b.Get(t.Context()); got != "second" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := c.Get(t.Context()); err == nil {
		t.Errorf("at the end: %q", got)
	}
	if _, err := Descriptor(-1).Get(t.Context()); err == nil {
		t.Error("descriptor -1 gave a secret")
	}
}

func TestCommandRunsOnceUntilForget(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	s := Command("echo run >> " + count + "; wc -l < " + count + "; echo more")
	for range 2 {
		if got, err := s.Get(t.Context()); strings.TrimSpace(got) != "1" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if got, ok, err := Again(t.Context(), s, "1"); strings.TrimSpace(got) != "2" || !ok || err != nil {
		t.Errorf("got %q, %v, %v", got, ok, err)
	}
}

func TestCommandThatFailsGivesNoSecret(t *testing.T) {
	for _, command := range []string{"echo word; exit 3", "true", "head -c 100000 /dev/zero | tr '\\0' x", "kill -9 $$"} {
		if got, err := Command(command).Get(t.Context()); err == nil {
			t.Errorf("%s: got %.20q", command, got)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Command("exec sleep 30").Get(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

func TestCredentialIsLookedUpByName(t *testing.T) {
	folder := filepath.Dir(put(t, "alice@host", "word\n"))
	if got, err := Credential(folder, "bob", "alice@host").Get(t.Context()); got != "word" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for _, s := range []Secret{Credential("", "alice@host"), Credential(folder, "bob", ""), Credential(folder, "../x", "..", "a/b")} {
		if got, err := s.Get(t.Context()); !errors.Is(err, ErrNoSecret) {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestFirstSourceThatKnowsWins(t *testing.T) {
	none := Credential("", "x")
	if got, err := First(none, Fixed("a"), Fixed("b")).Get(t.Context()); got != "a" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := First(none, none).Get(t.Context()); !errors.Is(err, ErrNoSecret) {
		t.Errorf("error %v", err)
	}
	if _, err := First(File("/absent/file"), Fixed("b")).Get(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a broken source is passed over: %v", err)
	}
}

func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	return ours, theirs
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func TestPromptAsksWithoutEcho(t *testing.T) {
	ours, theirs := openTerminal(t)
	const question = "Enter password for alice@host: "
	got := make(chan string)
	go func() {
		text, err := ask(t.Context(), theirs, question)
		if err != nil {
			text = err.Error()
		}
		got <- text
	}()
	seen := make([]byte, len(question))
	if _, err := ours.Read(seen); err != nil || string(seen) != question {
		t.Fatalf("question %q, %v", seen, err)
	}
	for echoes(t, theirs) {
		time.Sleep(time.Millisecond)
	}
	_, _ = ours.WriteString("pass word\n")
	if text := <-got; text != "pass word" {
		t.Errorf("got %q", text)
	}
	rest := make([]byte, 100)
	if n, _ := ours.Read(rest); strings.Contains(string(rest[:n]), "pass") {
		t.Errorf("the terminal shows %q", rest[:n])
	}
	if !echoes(t, theirs) {
		t.Error("echo is still off")
	}
}

func TestPromptEndsWithItsContextAndRestoresTheEcho(t *testing.T) {
	ours, theirs := openTerminal(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() {
		_, err := ask(ctx, theirs, "?")
		done <- err
	}()
	for echoes(t, theirs) {
		time.Sleep(time.Millisecond)
	}
	reason := errors.New("end of the program")
	cancel(reason)
	if err := <-done; !errors.Is(err, reason) {
		t.Errorf("error %v", err)
	}
	if !echoes(t, theirs) {
		t.Error("echo is still off")
	}
	_, _ = ours.WriteString("\n") // lets the reader that is left behind go
}

func TestPromptWithoutATerminalIsNoSecret(t *testing.T) {
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		_ = tty.Close()
		t.Skip("this process has a terminal")
	}
	if _, err := Prompt("a@h").Get(t.Context()); !errors.Is(err, ErrNoSecret) {
		t.Errorf("error %v", err)
	}
}
