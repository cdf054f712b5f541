// Package status is what a running daemon has done, account by account, as others can see it.
//
// A Book hears the events of polls and keeps a Status up to date in a file next to the pidfile, which lives as long as
// the pidfile does. What reads that file are --status and --healthcheck; metrics are taken from the Book itself.
//
// The file has mode 0600 and appears by a rename, so that a reader never sees half of it and a symbolic link in its place
// is replaced, not followed. It holds names of accounts and texts of errors as the log has them, no secrets. However many
// accounts change, it is written once in a second at most.
package status

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Status is the state of a daemon at one moment.
type Status struct {
	Version  string    `json:"version"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	Updated  time.Time `json:"updated"`            // when it was told
	Interval int       `json:"interval"`           // seconds between rounds of polls
	Patience int       `json:"patience"`           // seconds for which a poll may show no sign of life
	NextPoll time.Time `json:"next_poll,omitzero"` // the next round begins; zero while one is under way
	Active   time.Time `json:"active"`             // last sign of life of the loop or of any poll
	Rounds   int       `json:"rounds"`             // that are over
	Accounts []Account `json:"accounts"`           // in the order of the run control file
}

// Account is what is known of one user's mailbox. Counters begin with 0 when the daemon starts and survive a reload.
type Account struct {
	Label    string `json:"account"` // the name behind poll
	User     string `json:"user"`    // the name used for login
	Host     string `json:"host"`
	Folder   string `json:"folder,omitempty"` // that is watched; the default one or all of them if there is none
	Protocol string `json:"protocol"`
	Every    int    `json:"every"` // polled each so many rounds
	Idle     bool   `json:"idle"`  // is to wait for new mail

	Polling     int       `json:"polling"`               // 1 while a poll is under way
	Idling      int       `json:"idling"`                // 1 while its connection waits for new mail
	Connected   time.Time `json:"connected,omitzero"`    // when it began or ceased to wait last
	Active      time.Time `json:"active,omitzero"`       // last sign of life
	LastPoll    time.Time `json:"last_poll,omitzero"`    // end of the last poll, or of the last look at an idle mailbox
	LastSuccess time.Time `json:"last_success,omitzero"` // ... that went well
	LastMail    time.Time `json:"last_mail,omitzero"`    // last message fetched
	NextPoll    time.Time `json:"next_poll,omitzero"`
	Result      string    `json:"result,omitempty"` // of the last poll: a key of Polls
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	Failing     int       `json:"failing"` // polls failed since the last success

	Polls   map[string]int `json:"polls"` // that have ended, by result: success, nomail, socket, authfail ...
	Fetched int64          `json:"fetched"`
	Deleted int64          `json:"deleted"` // messages that the server was told to delete
	Octets  int64          `json:"octets"`  // of messages, as far as they were read
	Waiting int            `json:"messages"`
	Seconds float64        `json:"seconds"` // that all polls together took, without waiting for new mail
	Last    float64        `json:"last_seconds"`

	rounds int       // since its last poll
	putOff time.Time // not polled before
}

// Path is where the status of the daemon with this pidfile is: ~/.fetchmail.status for ~/.fetchmail.pid.
func Path(pidfile string) string { return strings.TrimSuffix(pidfile, ".pid") + ".status" }

// maxFile bounds what is read of a status file, octets: some 100,000 accounts.
const maxFile = 64 << 20

var (
	errOwner   = errors.New("it belongs to somebody else")
	errRegular = errors.New("it is no regular file")
	errSize    = errors.New("it is too large")
)

// Read reads a status file that can be believed: a regular file of ours or of root; root believes everybody. Its error
// wraps fs.ErrNotExist if there is none.
func Read(path string) (*Status, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	uid := int(fi.Sys().(*syscall.Stat_t).Uid)
	switch {
	case !fi.Mode().IsRegular():
		err = errRegular
	case uid != os.Geteuid() && uid != 0 && os.Geteuid() != 0:
		err = errOwner
	case fi.Size() > maxFile:
		err = errSize
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	return parse(path, b)
}

func parse(path string, b []byte) (*Status, error) {
	s := &Status{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// write puts a status file in place. There is one writer at a time: the holder of the pidfile.
func write(path string, s *Status) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a crash
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	err = encode(f, s)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// encode writes a status as JSON, account by account: all of them at once would be the largest thing in the memory of a
// daemon with many.
func encode(w io.Writer, s *Status) error {
	b := bufio.NewWriter(w)
	head := *s
	head.Accounts = nil
	text, err := json.Marshal(&head)
	if err != nil {
		return err
	}
	b.Write(bytes.TrimSuffix(text, []byte("null}"))) // Accounts is the last field
	b.WriteByte('[')
	for i := range s.Accounts {
		if i > 0 {
			b.WriteByte(',')
		}
		if text, err = json.Marshal(&s.Accounts[i]); err != nil {
			return err
		}
		b.Write(text)
	}
	b.WriteString("]}\n")
	return b.Flush()
}
