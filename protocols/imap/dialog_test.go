package imap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
)

// A dialogue file is one quirk of a server. Lines:
//
//	# what it is about
//	options: keep fetchall auth=X starttls=may|must user="X" password="X" folder=X expunge=N
//	welcome CAPS                             greeting with these capabilities, LOGIN, SELECT of the inbox up to EXISTS
//	S: the server sends this line            s: "the same as a quoted string, without line end"
//	C: the client sends this line            C~ a regular expression for it; its group stands for $1 later
//	drop                                     the server closes the connection
//	= what comes of it
//
// The client opens the inbox, lists it, fetches what is not seen, deletes what came whole, and commits.
type dialogue struct {
	options, lines, want []string
}

func readDialogue(t *testing.T, name string) *dialogue {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialogue{}
	for l := range strings.SplitSeq(strings.TrimRight(string(b), "\n"), "\n") {
		switch {
		case l == "" || strings.HasPrefix(l, "#"):
		case strings.HasPrefix(l, "options: "):
			d.options = strings.Fields(l[len("options: "):])
		case strings.HasPrefix(l, "= "):
			d.want = append(d.want, l[2:])
		case strings.HasPrefix(l, "welcome "):
			d.lines = append(d.lines, "S: * OK [CAPABILITY "+l[len("welcome "):]+"] ready", `C: A0001 LOGIN "alice" "secret"`, "S: A0001 OK in",
				`C: A0002 SELECT "INBOX"`, "S: * OK [UIDVALIDITY 7] valid")
		default:
			d.lines = append(d.lines, l)
		}
	}
	return d
}

// serve plays the server's part; it returns what the client did differently.
func (d *dialogue) serve(l net.Listener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(c)
	var group string
	for _, l := range d.lines {
		kind, text, _ := strings.Cut(l, " ")
		text = strings.ReplaceAll(text, "$1", group)
		switch kind {
		case "drop":
			return nil
		case "S:":
			_, err = io.WriteString(c, text+"\r\n")
		case "s:":
			raw, e := strconv.Unquote(text)
			if e != nil {
				return fmt.Errorf("%s: %w", l, e)
			}
			_, err = io.WriteString(c, raw)
		case "C:", "C~":
			var got string
			got, err = in.ReadString('\n')
			got = strings.TrimRight(got, "\r\n")
			if kind == "C:" && got != text {
				return fmt.Errorf("client sent %q (%v), not %q", got, err, text)
			}
			if kind == "C~" {
				m := regexp.MustCompile("^" + text + "$").FindStringSubmatch(got)
				if m == nil {
					return fmt.Errorf("client sent %q (%v), not %q", got, err, text)
				}
				group = m[1]
			}
		default:
			return fmt.Errorf("bad line %q", l)
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

func (d *dialogue) openOptions(t *testing.T, addr *net.TCPAddr) Options {
	o := Options{Dialer: &wire.Dialer{Timeout: 20 * time.Second}, Host: addr.IP.String(), Service: strconv.Itoa(addr.Port),
		User: "alice", Secret: auth.Fixed("secret")}
	for _, word := range d.options {
		name, value, _ := strings.Cut(word, "=")
		if raw, err := strconv.Unquote(value); err == nil {
			value = raw
		}
		switch name {
		case "keep":
			o.Keep = true
		case "fetchall":
			o.FetchAll = true
		case "auth":
			o.Auth = value
		case "user":
			o.User = value
		case "password":
			o.Secret = auth.Fixed(value)
		case "expunge":
			o.ExpungeSet = true
			o.Expunge, _ = strconv.Atoi(value)
		case "starttls":
			o.StartTLS = map[string]Policy{"may": May, "must": Must}[value]
		default:
			t.Fatalf("unknown option %q", word)
		}
	}
	return o
}

// poll does what a poll does, and tells it.
func poll(t *testing.T, o Options) (log []string) {
	say := func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	o.Warn = func(l string) { say("warns %q", l) }
	o.Alert = func(l string) { say("alert %q", l) }
	ctx := t.Context()
	s, err := Open(ctx, o)
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
	var fresh []protocols.Item
	var seen []int
	for _, it := range l.Items {
		if it.Seen {
			seen = append(seen, it.Num)
		} else {
			fresh = append(fresh, it)
		}
	}
	say("%d messages, seen %v, known %v", l.Total, seen, l.SeenKnown)
	for m, err := range s.Fetch(ctx, fresh) {
		switch {
		case m == nil:
			say("ended: %s", told(err))
		case err != nil:
			say("message %d: %s", m.Item.Num, told(err))
		default:
			body, err := io.ReadAll(m.Body)
			say("message %d uid %q size %d: %q %q", m.Item.Num, m.Item.UID, m.Item.Size, m.Header, body)
			if err != nil {
				say("broken: %s", told(err))
			} else { // what is wrong with it Commit tells, too
				_ = s.Delete(ctx, m.Item)
			}
		}
	}
	removed, err := s.Commit(ctx)
	say("removed %v", nums(removed))
	if err != nil {
		say("commit: %s", told(err))
	}
	if s.Announced() {
		say("new mail was announced")
	}
	if err := s.Close(); err != nil {
		say("close: %s", told(err))
	}
	return log
}

// told is a fault in words that do not change with the error texts.
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

func TestDialogues(t *testing.T) {
	names, err := filepath.Glob("../../testdata/dialog/imap/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	slices.Sort(names)
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
			log := poll(t, d.openOptions(t, l.Addr().(*net.TCPAddr)))
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
