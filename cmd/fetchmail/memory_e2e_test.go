package main_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

const (
	hugeSize  = 100_000_000 // octets of the large message
	peakLimit = 20_000_000  // octets of resident memory while it is moved
)

// huge is a message of hugeSize octets that is never held whole.
func huge(t *testing.T) (m real.Mail, bodySum []byte) {
	t.Helper()
	header := "From: large@far.example.org\nTo: alice@mail.example.test\nSubject: 100 MB\nMessage-ID: <huge@far.example.org>\n\n"
	write := func(w io.Writer) error {
		rnd := rand.NewChaCha8([32]byte{7})
		line := make([]byte, 77)
		for n := hugeSize - len(header); n > 0; {
			rnd.Read(line)
			for i := range line {
				line[i] = ' ' + line[i]%95
			}
			line = line[:min(n, 77)]
			line[len(line)-1] = '\n'
			if _, err := w.Write(line); err != nil {
				return err
			}
			n -= len(line)
		}
		return nil
	}
	sum := sha256.New()
	if err := write(sum); err != nil {
		t.Fatal(err)
	}
	return real.Mail{Size: hugeSize, Write: func(w io.Writer) error {
		b := &blocks{w: w}
		if _, err := io.WriteString(b, header); err != nil {
			return err
		}
		if err := write(b); err != nil {
			return err
		}
		return b.flush()
	}}, sum.Sum(nil)
}

// blocks gathers small writes.
type blocks struct {
	w   io.Writer
	buf bytes.Buffer
}

func (b *blocks) Write(p []byte) (int, error) {
	b.buf.Write(p)
	if b.buf.Len() < 1<<20 {
		return len(p), nil
	}
	return len(p), b.flush()
}

func (b *blocks) flush() error {
	_, err := b.buf.WriteTo(b.w)
	return err
}

// bodySum reads the message in a file and returns the SHA-256 of what follows its header.
func bodySum(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &bodyHash{Hash: sha256.New()}
	if _, err := io.Copy(s, f); err != nil {
		t.Fatal(err)
	}
	return s.Sum(nil)
}

// bodyHash is a hash of what follows the first empty line.
type bodyHash struct {
	hash.Hash
	header []byte
	inBody bool
}

func (h *bodyHash) Write(p []byte) (int, error) {
	if h.inBody {
		return h.Hash.Write(p)
	}
	h.header = append(h.header, p...)
	if _, body, found := bytes.Cut(h.header, []byte("\n\n")); found {
		h.inBody = true
		h.Hash.Write(body)
	}
	return len(p), nil
}

func TestHundredMegabytesInTwentyMegabytes(t *testing.T) {
	t.Parallel()
	real.Procmail(t)
	p := newPlace(t, real.DovecotOptions{}, real.PostfixOptions{})
	mail, want := huge(t)
	for _, proto := range bulkProtocols {
		for _, sink := range sinks {
			t.Run(proto+"/"+sink.name, func(t *testing.T) {
				p.Dovecot.Empty(t, "alice", "")
				p.Dovecot.Put(t, "alice", "", mail)
				c := newClient(t, binary(t))
				box := filepath.Join(c.home, "Maildir")
				c.write(t, "procmailrc", "DEFAULT="+box+"/\n:0\n$DEFAULT\n")
				c.rc(t, strings.ReplaceAll(p.fill(fmt.Sprintf("poll localhost proto %s port @%s@ timeout 120\n"+
					" user alice there with password secret is user1 here\n sslproto '' %s\n", proto, proto, sink.option)), p.dir, c.home))
				r := c.run(t, "-s")
				if r.code != 0 || p.left(t) != 0 {
					t.Errorf("%d left; %s", p.left(t), r)
				}
				t.Logf("%.1f MB at most, %v", float64(r.peak)/1e6, r.took)
				if r.peak == 0 || r.peak > peakLimit {
					t.Errorf("resident memory rose to %d octets, the limit is %d", r.peak, peakLimit)
				}
				if sink.name == "smtp" {
					p.Postfix.Settle(t, runLimit)
					box = p.Postfix.Maildir("user1")
				}
				files, _ := filepath.Glob(filepath.Join(box, "new", "*"))
				if len(files) != 1 {
					t.Fatalf("%d messages arrived", len(files))
				}
				if !bytes.Equal(bodySum(t, files[0]), want) {
					t.Error("the body is not as it was sent")
				}
				os.Remove(files[0])
			})
		}
	}
}
