package rcfile

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// manyAccounts is a run control file of n accounts, about 300 octets and 35 tokens each.
func manyAccounts(n int) []byte {
	var b bytes.Buffer
	b.WriteString("set postmaster pm\nset no bouncemail\n\n")
	for i := range n {
		fmt.Fprintf(&b, `poll mail%d.example.org with proto imap port 9143 timeout 120 and options no dns
    user "user%d@example.org" there with password "secret%d" is "local%[2]d" here
    options ssl keep no rewrite limit 100000 fetchall folder "INBOX","Sent" smtphost "localhost/2525" sslcertpath "/etc/ssl/certs"
`, i%500, i, i)
	}
	return b.Bytes()
}

func BenchmarkParse10000(b *testing.B) {
	src := manyAccounts(10000)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("rc", src); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan10000(b *testing.B) {
	src := manyAccounts(10000)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		s := newScanner(string(src))
		for s.next().kind != tokEOF {
		}
	}
}

// BenchmarkDump10000 is all of --configdump but the start of the program.
func BenchmarkDump10000(b *testing.B) {
	src := manyAccounts(10000)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		f, err := Parse("rc", src)
		if err != nil {
			b.Fatal(err)
		}
		c, _, err := Resolve(f, nil, Env{User: "joe"})
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Dump(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReference10000 is the same by the reference, with its start. RCFILE_BIN runs another program.
func BenchmarkReference10000(b *testing.B) {
	r := findReference(b)
	path := filepath.Join(r.dir, "big")
	if err := os.WriteFile(path, manyAccounts(10000), 0o600); err != nil {
		b.Fatal(err)
	}
	r.own(b, path)
	bin := r.bin
	if own := os.Getenv("RCFILE_BIN"); own != "" {
		bin = own
	}
	for b.Loop() {
		cmd := exec.Command(bin, "-f", path, "--configdump")
		cmd.Dir, cmd.Env = r.home, []string{"HOME=" + r.home, "USER=" + r.user}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.credential}
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEveryday(b *testing.B) {
	src := manyAccounts(3)
	for b.Loop() {
		if _, err := Parse("rc", src); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEverydayFileIsNotNoticeable holds the first parse, which builds the parser, far below what a user would notice.
func TestEverydayFileIsNotNoticeable(t *testing.T) {
	best := time.Hour
	for range 5 {
		start := time.Now()
		if _, err := Parse("rc", manyAccounts(3)); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	if best > 100*time.Millisecond {
		t.Errorf("parsing three accounts took %v", best)
	}
}
