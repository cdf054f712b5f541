package daemon

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A reader that stops to read makes a daemon wait once, and gets what comes after it goes on.
func TestOutletDoesNotWaitForEver(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	o := Outlet(out).(*outlet)
	if o.limit != slowReader {
		t.Errorf("limit %v", o.limit)
	}
	o.limit = 50 * time.Millisecond
	lot := bytes.Repeat([]byte("x"), 1<<20) // more than a pipe holds
	n, err := o.Write(lot)
	if n == 0 || n == len(lot) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d octets, %v", n, err)
	}
	o.limit = time.Hour
	if n, err := o.Write([]byte("lost")); n != 0 || err == nil {
		t.Errorf("stuck: %d octets, %v", n, err)
	}
	if _, err := io.ReadFull(in, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if n, err := o.Write([]byte("there")); n != 5 || err != nil {
		t.Errorf("after it was read: %d octets, %v", n, err)
	}
	out.Close()
	if b, err := io.ReadAll(in); string(b) != "there" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestOutletLeavesOtherFilesAlone(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, w := range []io.Writer{f, &strings.Builder{}} {
		if Outlet(w) != w {
			t.Errorf("%T is wrapped", w)
		}
	}
}

// TestLogFileThatIsAPipe: the log may go to a reader, too.
func TestLogFileThatIsAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	l, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o, ok := l.out.(*outlet)
	if !ok {
		t.Fatalf("%T", l.out)
	}
	o.limit = time.Millisecond
	if n, err := l.Write(make([]byte, 1<<20)); n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d octets, %v", n, err)
	}
}
