// Package sinktest has what the tests of several sinks share.
package sinktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"fetchmail/deliver"
)

// Joe is an envelope like any other.
var Joe = deliver.Envelope{From: "dora@far.example.org", To: []string{"joe"}, Size: 100, Body: "8BITMIME"}

// Send delivers one message.
func Send(s deliver.Sink, e deliver.Envelope, text string) (deliver.Outcome, error) {
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

// Kind is that of the *deliver.Fault in err; 0 if there is none.
func Kind(err error) deliver.Kind {
	var f *deliver.Fault
	if errors.As(err, &f) {
		return f.Kind
	}
	return 0
}

// AbortIsFinal begins a message, gives it up and checks that nothing can be done with it any more.
func AbortIsFinal(t *testing.T, s deliver.Sink) {
	t.Helper()
	d, err := s.Begin(context.Background(), Joe)
	if err != nil {
		t.Fatal(err)
	}
	d.Write(make([]byte, 1<<20))
	for range 2 {
		if err := d.Abort(); err != nil {
			t.Error(err)
		}
	}
	if o, err := d.Commit(context.Background()); err == nil || o.Delivered() {
		t.Error("Commit after Abort")
	}
	if _, err := d.Write([]byte("x")); err == nil {
		t.Error("Write after Abort")
	}
}

// LargeMessage delivers 32 MB and checks that what is allocated does not grow with it, neither by octets nor by lines.
func LargeMessage(t *testing.T, s deliver.Sink) (octets int) {
	t.Helper()
	chunk := bytes.Repeat([]byte("Dear reader, this is a line of text. It ends here.\r\n.dot\r\nFrom here\r\n"), 400)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := s.Begin(context.Background(), Joe)
	if err != nil {
		t.Fatal(err)
	}
	for octets < 32<<20 {
		n, err := d.Write(chunk)
		if err != nil {
			t.Fatal(err)
		}
		octets += n
	}
	if o, err := d.Commit(context.Background()); err != nil || !o.Delivered() {
		t.Fatal(o, err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
		t.Errorf("%d octets allocated for a message of %d", n, octets)
	}
	return octets
}

const killed = "FETCHMAIL_TEST_KILLED"

// DeliverForEver is called by TestMain: in the process that Kill starts it delivers text again and again and reports
// each message that the sink has taken; otherwise it does nothing.
func DeliverForEver(open func(path string) deliver.Sink, text string) {
	path := os.Getenv(killed)
	if path == "" {
		return
	}
	for s := open(path); ; {
		if o, err := Send(s, Joe, text); err != nil || !o.Delivered() {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Stdout.WriteString("+")
	}
}

// Kill starts this test program again and again, which delivers into path, and sends it SIGKILL after times from 20 ms.
// It returns how many messages were reported.
func Kill(t *testing.T, path string, times int, step time.Duration) (reported int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i := range times {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), killed+"="+path)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20*time.Millisecond + time.Duration(i)*step)
		cmd.Process.Kill()
		cmd.Wait()
		reported += out.Len()
		if errs.Len() > 0 {
			t.Error(errs.String())
		}
	}
	return reported
}

// ErrDisk is what a Broken file says.
var ErrDisk = errors.New("no space left on device")

// Broken is a file that fails in the middle of its nth write, or at Sync.
type Broken struct {
	*os.File
	Writes   int // 0: never
	SyncFail error
}

func (f *Broken) Write(p []byte) (int, error) {
	if f.Writes--; f.Writes == 0 {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, ErrDisk
	}
	return f.File.Write(p)
}

// ReadFrom keeps io.Copy from going past Write.
func (f *Broken) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{f}, r)
}

// WriteString keeps io.WriteString from going past Write.
func (f *Broken) WriteString(s string) (int, error) { return f.Write([]byte(s)) }

func (f *Broken) Sync() error {
	if f.SyncFail != nil {
		return f.SyncFail
	}
	return f.File.Sync()
}
