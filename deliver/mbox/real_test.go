package mbox

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

// Two of ours and procmail, which has its own idea of both locks, write to one mailbox at a time.
func TestBesideProcmail(t *testing.T) {
	const each = 25
	procmail := real.Procmail(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "mbox")
	rc := filepath.Join(dir, "rc")
	if err := os.WriteFile(rc, fmt.Appendf(nil, "MAILDIR=%s\nLOCKSLEEP=1\n:0:\nmbox\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	text := func(who string, i int) string {
		return fmt.Sprintf("Subject: %s %d\n\n%s", who, i, strings.Repeat("a line of the message\n", 5000))
	}
	var wg sync.WaitGroup
	for _, who := range []string{"one", "two"} {
		wg.Go(func() {
			s := New(Options{Path: path})
			for i := range each {
				if o, err := send(s, text(who, i)); err != nil || !o.Delivered() {
					t.Errorf("%+v, %v", o, err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range each {
			cmd := exec.Command(procmail, "-f", "dora@far.example.org", rc)
			cmd.Stdin = strings.NewReader(text("procmail", i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}
	})
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for m := range bytes.SplitSeq(bytes.TrimPrefix(got, []byte("From ")), []byte("\n\nFrom ")) {
		_, m, _ := strings.Cut(string(m), "\n")
		seen[strings.TrimRight(m, "\n")]++
	}
	for _, who := range []string{"one", "two", "procmail"} {
		for i := range each {
			if n := seen[strings.TrimRight(text(who, i), "\n")]; n != 1 {
				t.Errorf("message %d of %s is there %d times", i, who, n)
			}
		}
	}
	if len(seen) != 3*each {
		t.Errorf("%d different messages", len(seen))
	}
}
