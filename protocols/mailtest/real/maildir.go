package real

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// Mail is a message in a mailbox of a real server.
type Mail struct {
	Text  []byte // the whole message, LF line ends
	Flags string // Maildir letters in alphabetical order: D draft, F flagged, R replied, S seen, T trashed
	// Write is used instead of Text for messages that are too large to hold, and writes Size octets; nil otherwise.
	Write func(io.Writer) error
	Size  int64 // octets that Write writes
	Path  string
}

// Texts makes new messages, without flags, of texts.
func Texts(texts ...[]byte) []Mail {
	mails := make([]Mail, len(texts))
	for i, t := range texts {
		mails[i].Text = t
	}
	return mails
}

var deliveries atomic.Int64

// put writes mails into the Maildir in order; the file names sort in this order, too.
func put(dir string, o owner, mails []Mail) error {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := o.mkdir(filepath.Join(dir, sub)); err != nil {
			return err
		}
	}
	for _, m := range mails {
		n := deliveries.Add(1)
		// Seconds in the name make Dovecot list in the order of delivery.
		base := fmt.Sprintf("%d.M%dP%dQ%d.mailtest", 1_600_000_000+n, n, os.Getpid(), n)
		tmp := filepath.Join(dir, "tmp", base)
		if err := m.store(tmp); err != nil {
			return err
		}
		if err := o.own(tmp); err != nil {
			return err
		}
		size, wire := m.sizes()
		// S= and W= are the sizes with LF and with CRLF line ends: Dovecot need not read the files to list them.
		name := base + ",S=" + strconv.FormatInt(size, 10)
		if wire > 0 {
			name += ",W=" + strconv.FormatInt(wire, 10)
		}
		to := filepath.Join(dir, "new", name)
		if m.Flags != "" {
			to = filepath.Join(dir, "cur", name+":2,"+m.Flags)
		}
		if err := os.Rename(tmp, to); err != nil {
			return err
		}
	}
	return nil
}

func (m Mail) store(path string) error {
	if m.Write == nil {
		return os.WriteFile(path, m.Text, 0o600)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(m.Write(f), f.Close())
}

// sizes returns the octets with LF and with CRLF line ends, 0 for the second if it is not known.
func (m Mail) sizes() (disk, wire int64) {
	if m.Write != nil {
		return m.Size, 0
	}
	n := int64(len(m.Text))
	bare := int64(bytes.Count(m.Text, []byte("\n")) - bytes.Count(m.Text, []byte("\r\n")))
	return n, n + bare
}

// left lists what is in a Maildir, new and cur, in order of file names. Texts are not read: see Mail.Path and Read.
func left(dir string) ([]Mail, error) {
	var mails []Mail
	for _, sub := range []string{"new", "cur"} {
		names, err := os.ReadDir(filepath.Join(dir, sub))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			_, flags, _ := strings.Cut(n.Name(), ":2,")
			mails = append(mails, Mail{Flags: flags, Path: filepath.Join(dir, sub, n.Name())})
		}
	}
	slices.SortFunc(mails, func(a, b Mail) int {
		return strings.Compare(filepath.Base(a.Path), filepath.Base(b.Path))
	})
	return mails, nil
}

// Read returns the text of a message that a server or a program has stored.
func (m Mail) Read(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ReadMaildir returns the messages of any Maildir with their texts, in the order of their file names.
func ReadMaildir(t testing.TB, dir string) []Mail {
	t.Helper()
	mails, err := left(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range mails {
		mails[i].Text = mails[i].Read(t)
	}
	return mails
}
