package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// gap is an empty line.
func gap(io.ReaderAt, int64) (string, error) { return "\n", nil }

func TestTornMessageOfADeadProcessIsCutOff(t *testing.T) {
	first := "first\n"
	gathered := "second message, which is longer\n"
	for _, c := range []struct{ name, box, at, want string }{
		{"torn", first + "\n" + gathered[:20], "@%d", first},
		{"nothing written", first, "@%d", first},
		{"whole", first + "\n" + gathered, "@%d", first + "\n" + gathered},
		{"somebody else's", first + "From x\n\n", "@%d", first + "From x\n\n"},
		{"somebody else's behind a torn one", first + "\n" + gathered[:20] + "\nFrom x\n\n", "@%d", first + "\n" + gathered[:20] + "\nFrom x\n\n"},
		{"truncated by its owner", "", "@%d", ""},
		{"not announced", first + "\n" + gathered[:20], "", first + "\n" + gathered[:20]},
		{"a number too large", first + "\n" + gathered[:20], "@%d0000000000000000000", first + "\n" + gathered[:20]},
	} {
		path := filepath.Join(t.TempDir(), "mbox")
		os.WriteFile(path, []byte(c.box), 0o600)
		name := Beside(path) + "123"
		if c.at != "" {
			name += fmt.Sprintf(c.at, len(first))
		}
		os.WriteFile(name, []byte(gathered), 0o600)
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := recoverTorn(f, path, gap); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		f.Close()
		if got, _ := os.ReadFile(path); string(got) != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
			t.Errorf("%s: %d files", c.name, len(left))
		}
	}
}

// sick is a file that takes a few octets and lets nobody cut them off.
type sick struct{ File }

func (s sick) Write(p []byte) (int, error) {
	n, _ := s.File.Write(p[:min(len(p), 3)])
	if n == len(p) {
		return n, nil
	}
	return n, syscall.EIO
}
func (sick) Truncate(int64) error { return syscall.EIO }

func TestWhatCannotBeCutOffIsCutOffByTheNextAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "batch")
	os.WriteFile(path, []byte("first\n"), 0o600)
	for _, wrap := range []func(File) File{func(f File) File { return sick{f} }, func(f File) File { return f }} {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := New(path)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(m, "second\n")
		w := wrap(f)
		_, isSick := w.(sick)
		if err := m.Append(w, NoGap); isSick != errors.Is(err, syscall.EIO) {
			t.Errorf("sick %v: %v", isSick, err)
		}
		m.Close()
		f.Close()
	}
	if got, _ := os.ReadFile(path); string(got) != "first\nsecond\n" {
		t.Errorf("%q", got)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files", len(left))
	}
}

// A gathered file that another process has taken for forgotten, before its owner could lock it, is given up.
func TestClaim(t *testing.T) {
	for name, c := range map[string]struct {
		other func(f *os.File)
		want  bool
	}{
		"alone":   {func(*os.File) {}, true},
		"removed": {func(f *os.File) { os.Remove(f.Name()) }, false},
		"locked": {func(f *os.File) {
			g, _ := os.Open(f.Name())
			syscall.Flock(int(g.Fd()), syscall.LOCK_EX)
			t.Cleanup(func() { g.Close() })
		}, false},
	} {
		f, err := os.CreateTemp(t.TempDir(), "x")
		if err != nil {
			t.Fatal(err)
		}
		c.other(f)
		if ours, err := claim(f); err != nil || ours != c.want {
			t.Errorf("%s: %v, %v", name, ours, err)
		}
		f.Close()
	}
}

func TestSymbolicLinks(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(dir+"/target", []byte("x"), 0o600)
	os.Symlink(dir+"/target", dir+"/link")
	f, err := Open(dir + "/link")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if os.Geteuid() != 0 {
		return // cannot give the link away
	}
	if err := os.Lchown(dir+"/link", 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(dir + "/link"); err == nil {
		f.Close()
		t.Error("somebody else's link was followed")
	}
}

func TestWaitEnds(t *testing.T) {
	boom := errors.New("boom")
	n := 0
	if err := Wait(t.Context(), "x", func() (bool, error) { n++; return n < 3, boom }); err != boom || n != 3 {
		t.Error(n, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := Wait(ctx, "x", func() (bool, error) { return true, nil }); !errors.Is(err, ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
