package mailtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols"
)

// Dialogues are the files that match Files, each of them one quirk of a server. Lines:
//
//	# what it is about
//	options: ...                             words for Poll
//	S: the server sends this line            s: "the same as a quoted string, without line end"
//	C: the client sends this line            C~ a regular expression for it; its group stands for $1 later
//	drop                                     the server closes the connection
//	---                                      the next connection
//	= what comes of it
type Dialogues struct {
	Files string
	// Macro, if set, returns the lines that a line stands for, nil if only for itself.
	Macro func(line string) []string
	// Poll does with the server at addr what a poll does, and tells log.
	Poll func(t *testing.T, log *Log, addr *net.TCPAddr, options []string)
}

// TestDialogues plays each file and compares what came of it; a client that says anything else fails.
func TestDialogues(t *testing.T, all Dialogues) {
	names, err := filepath.Glob(all.Files)
	if err != nil || len(names) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			d := all.read(t, name)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			played := make(chan error, 1)
			go func() { played <- d.serve(l) }()
			var log Log
			all.Poll(t, &log, l.Addr().(*net.TCPAddr), d.options)
			l.Close()
			if err := <-played; err != nil {
				t.Error(err)
			}
			if got, want := strings.Join(log, "\n= "), strings.Join(d.want, "\n= "); got != want {
				t.Errorf("got\n= %s\nwant\n= %s", got, want)
			}
		})
	}
}

type dialogue struct {
	options  []string
	sessions [][]string
	want     []string
}

func (all *Dialogues) read(t *testing.T, name string) *dialogue {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialogue{sessions: [][]string{nil}}
	for l := range strings.SplitSeq(strings.TrimRight(string(b), "\n"), "\n") {
		switch {
		case l == "" || strings.HasPrefix(l, "#"):
		case strings.HasPrefix(l, "options: "):
			d.options = strings.Fields(l[len("options: "):])
		case strings.HasPrefix(l, "= "):
			d.want = append(d.want, l[2:])
		case l == "---":
			d.sessions = append(d.sessions, nil)
		default:
			lines := []string{l}
			if all.Macro != nil {
				if m := all.Macro(l); m != nil {
					lines = m
				}
			}
			last := len(d.sessions) - 1
			d.sessions[last] = append(d.sessions[last], lines...)
		}
	}
	return d
}

// serve plays the server's part; it returns what the client did differently.
func (d *dialogue) serve(l net.Listener) error {
	for i, lines := range d.sessions {
		c, err := l.Accept()
		if err == nil {
			c.SetDeadline(time.Now().Add(20 * time.Second))
			err = play(c, lines)
			c.Close()
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", i+1, err)
		}
	}
	return nil
}

func play(c net.Conn, lines []string) error {
	in := bufio.NewReader(c)
	var group string
	for _, l := range lines {
		kind, text, _ := strings.Cut(l, " ")
		text = strings.ReplaceAll(text, "$1", group)
		var err error
		switch kind {
		case "drop":
			return nil
		case "S:":
			_, err = io.WriteString(c, text+"\r\n")
		case "s:":
			var raw string
			if raw, err = strconv.Unquote(text); err == nil {
				_, err = io.WriteString(c, raw)
			}
		case "C:":
			_, err = hear(in, func(got string) []string { return equal(got, text) })
		case "C~":
			group, err = hear(in, regexp.MustCompile("^(?:"+text+")$").FindStringSubmatch)
		default:
			err = errors.New("bad line")
		}
		if err != nil {
			return fmt.Errorf("%q: %w", l, err)
		}
	}
	if rest, err := in.ReadString('\n'); err == nil {
		return fmt.Errorf("client went on with %q", rest)
	}
	return nil
}

// hear reads a line of the client; match returns nil if it is the wrong one, otherwise what it and its group have matched.
func hear(in *bufio.Reader, match func(string) []string) (group string, err error) {
	got, err := in.ReadString('\n')
	got = strings.TrimRight(got, "\r\n")
	m := match(got)
	if err != nil || m == nil {
		return "", fmt.Errorf("client sent %q (%v)", got, err)
	}
	return m[len(m)-1], nil
}

func equal(got, want string) []string {
	if got != want {
		return nil
	}
	return []string{got}
}

// Log is what came of a dialogue, a line each.
type Log []string

// Say appends a line.
func (log *Log) Say(format string, args ...any) { *log = append(*log, fmt.Sprintf(format, args...)) }

// Fault appends what went wrong, if anything did, in words that do not change with the error texts.
func (log *Log) Fault(what string, err error) {
	if err != nil {
		log.Say("%s: %s", what, told(err))
	}
}

// Session lists a mailbox, fetches what is not seen, deletes what came whole, unless it is kept, commits and closes.
func (log *Log) Session(ctx context.Context, s protocols.Session, keep bool) {
	defer s.Close()
	l, err := s.List(ctx)
	if err != nil {
		log.Fault("list", err)
		return
	}
	log.fetch(ctx, s, log.listing(l, s.Traits().Octets), keep)
	removed, err := s.Commit(ctx)
	log.Say("removed %v", numbers(removed))
	log.Fault("commit", err)
	if a, ok := s.(protocols.Announcer); ok && a.Announced() {
		log.Say("new mail was announced")
	}
	log.Fault("close", s.Close())
}

// listing returns the messages that are not seen.
func (log *Log) listing(l protocols.Listing, octets bool) (fresh []protocols.Item) {
	var seen []protocols.Item
	for _, it := range l.Items {
		if it.Seen {
			seen = append(seen, it)
		} else {
			fresh = append(fresh, it)
		}
	}
	total := fmt.Sprintf("%d messages", l.Total)
	if octets {
		total += fmt.Sprintf(", %d octets", l.Octets)
	}
	log.Say("%s, seen %v, known %v", total, numbers(seen), l.SeenKnown)
	return fresh
}

func (log *Log) fetch(ctx context.Context, s protocols.Session, items []protocols.Item, keep bool) {
	for m, err := range s.Fetch(ctx, items) {
		if m == nil {
			log.Say("ended: %s", told(err))
			continue
		}
		if err != nil {
			log.Say("message %d: %s", m.Item.Num, told(err))
			continue
		}
		body, err := io.ReadAll(m.Body)
		envelope := ""
		if m.Sender+m.Recipient != "" {
			envelope = fmt.Sprintf(" from %q to %q", m.Sender, m.Recipient)
		}
		log.Say("message %d uid %q size %d: %q %q%s", m.Item.Num, m.Item.UID, m.Item.Size, m.Header, body, envelope)
		log.Fault("broken", err)
		if err == nil && !keep {
			_ = s.Delete(ctx, m.Item) // what is wrong with it Commit tells, too
		}
	}
}

func numbers(items []protocols.Item) (n []int) {
	for _, it := range items {
		n = append(n, it.Num)
	}
	return n
}

func told(err error) string {
	var f *protocols.Fault
	if !errors.As(err, &f) {
		return "no fault: " + err.Error()
	}
	s := f.Kind.String()
	if f.Op != "" {
		s += " at " + f.Op
	}
	if f.Reply != "" {
		s += fmt.Sprintf(" %q", f.Reply)
	}
	for _, d := range f.Detail {
		s += fmt.Sprintf(" says %q", d)
	}
	if f.Forced {
		s += " (forced)"
	}
	return strings.ReplaceAll(s, "127.0.0.1", "HOST")
}
