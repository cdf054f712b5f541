package pop3_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/pop3"
	"fetchmail/protocols/wire"
)

// A dialogue file is one quirk of a server. Lines:
//
//	# what it is about
//	options: uidl keep fetchall auth=X proto=X known=A,B stls=may|must password=X
//	S: the server sends this line            s: "the same as a quoted string, without line end"
//	C: the client sends this line
//	drop                                     the server closes the connection
//	---                                      the next connection
//	= what comes of it
//
// The client opens the mailbox, lists it, fetches what is not seen, deletes what came whole, and commits.
type dialogue struct {
	options  []string
	sessions [][]string
	want     []string
}

func readDialogue(t *testing.T, name string) *dialogue {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialogue{sessions: [][]string{nil}}
	for _, l := range strings.Split(strings.TrimRight(string(b), "\n"), "\n") {
		switch {
		case l == "" || strings.HasPrefix(l, "#"):
		case strings.HasPrefix(l, "options: "):
			d.options = strings.Fields(l[len("options: "):])
		case strings.HasPrefix(l, "= "):
			d.want = append(d.want, l[2:])
		case l == "---":
			d.sessions = append(d.sessions, nil)
		default:
			last := len(d.sessions) - 1
			d.sessions[last] = append(d.sessions[last], l)
		}
	}
	return d
}

// serve plays the server's part; it returns what the client did differently.
func (d *dialogue) serve(l net.Listener) error {
	for i, lines := range d.sessions {
		c, err := l.Accept()
		if err != nil {
			return fmt.Errorf("connection %d: %w", i+1, err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		err = play(c, lines)
		c.Close()
		if err != nil {
			return fmt.Errorf("connection %d: %w", i+1, err)
		}
	}
	return nil
}

func play(c net.Conn, lines []string) error {
	in := bufio.NewReader(c)
	for _, l := range lines {
		switch kind, text, _ := strings.Cut(l, ": "); {
		case l == "drop":
			return nil
		case strings.TrimSuffix(l, ":") == "S" || kind == "S":
			if _, err := io.WriteString(c, text+"\r\n"); err != nil {
				return err
			}
		case kind == "s":
			raw, err := strconv.Unquote(text)
			if err != nil {
				return fmt.Errorf("%s: %w", l, err)
			}
			if _, err := io.WriteString(c, raw); err != nil {
				return err
			}
		case kind == "C":
			got, err := in.ReadString('\n')
			if got = strings.TrimRight(got, "\r\n"); err != nil || got != text {
				return fmt.Errorf("client sent %q (%v), not %q", got, err, text)
			}
		default:
			return fmt.Errorf("bad line %q", l)
		}
	}
	if rest, err := in.ReadString('\n'); err == nil {
		return fmt.Errorf("client went on with %q", rest)
	}
	return nil
}

func (d *dialogue) openOptions(t *testing.T, addr *net.TCPAddr) pop3.Options {
	o := pop3.Options{Dialer: &wire.Dialer{Timeout: 20 * time.Second}, Host: addr.IP.String(), Service: strconv.Itoa(addr.Port),
		User: "alice", Secret: auth.Fixed("secret")}
	for _, word := range d.options {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "uidl":
			o.UIDL = true
		case "keep":
			o.Keep = true
		case "fetchall":
			o.FetchAll = true
		case "auth":
			o.Auth = value
		case "proto":
			o.Protocol = value
		case "password":
			o.Secret = auth.Fixed(value)
		case "stls":
			o.StartTLS = map[string]pop3.Upgrade{"may": pop3.May, "must": pop3.Must}[value]
		case "known":
			known := strings.Split(value, ",")
			o.Known = func(uid string) bool { return slices.Contains(known, uid) }
		default:
			t.Fatalf("unknown option %q", word)
		}
	}
	return o
}

// poll does what a poll does, and tells it.
func poll(t *testing.T, o pop3.Options, keep bool) (log []string) {
	say := func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	o.Warn = func(l string) { say("warns %q", l) }
	o.Say = func(l string) { say("says %q", l) }
	ctx := t.Context()
	s, err := pop3.Open(ctx, o)
	if err != nil {
		say("open: %s", told(err))
		return log
	}
	defer s.Close()
	l, err := s.List(ctx)
	if err != nil {
		say("list: %s", told(err))
		return log
	}
	var wanted []protocols.Item
	var seen []int
	for _, it := range l.Items {
		if it.Seen {
			seen = append(seen, it.Num)
		} else {
			wanted = append(wanted, it)
		}
	}
	say("%d messages, %d octets, seen %v, known %v", l.Total, l.Octets, seen, l.SeenKnown)
	for m, err := range s.Fetch(ctx, wanted) {
		switch {
		case m == nil:
			say("ended: %s", told(err))
		case err != nil:
			say("message %d: %s", m.Item.Num, told(err))
		default:
			body, err := io.ReadAll(m.Body)
			envelope := ""
			if m.Sender+m.Recipient != "" {
				envelope = fmt.Sprintf(" from %q to %q", m.Sender, m.Recipient)
			}
			say("message %d uid %q size %d: %q %q%s", m.Item.Num, m.Item.UID, m.Item.Size, m.Header, body, envelope)
			if err != nil {
				say("broken: %s", told(err))
			} else if !keep {
				s.Delete(ctx, m.Item)
			}
		}
	}
	removed, err := s.Commit(ctx)
	var nums []int
	for _, it := range removed {
		nums = append(nums, it.Num)
	}
	say("removed %v", nums)
	if err != nil {
		say("commit: %s", told(err))
	}
	return log
}

// told is a fault in words that do not change with the error texts.
func told(err error) string {
	var f *protocols.Fault
	if !errors.As(err, &f) {
		return "no fault: " + err.Error()
	}
	s := f.Kind.String() + " at " + f.Op
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

func TestDialogues(t *testing.T) {
	names, err := filepath.Glob("../../testdata/dialog/pop3/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			d := readDialogue(t, name)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			played := make(chan error, 1)
			go func() { played <- d.serve(l) }()
			log := poll(t, d.openOptions(t, l.Addr().(*net.TCPAddr)), slices.Contains(d.options, "keep"))
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
