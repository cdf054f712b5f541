package real

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"
)

// At is the point of an SMTP transaction at which Postfix is to refuse.
type At string

const (
	AtMail At = "sender"      // the answer to MAIL; Rule.Match is compared with the sender
	AtRcpt At = "recipient"   // the answer to RCPT; with the recipient
	AtData At = "data"        // the answer to DATA; with the sender
	AtEnd  At = "end_of_data" // the answer to the final dot; with the sender
)

// Rule makes Postfix answer differently.
type Rule struct {
	At    At
	Match string // regular expression (regexp_table(5)) for an address without angle brackets
	Reply string // an answer like "451 4.7.1 later", or another action of access(5)
}

// PostfixOptions say how a Postfix differs from the plain one: it accepts mail for user1 to user9, alice, bob and
// postmaster in the domains localhost and example.test, of any size, and refuses other recipients with 550.
type PostfixOptions struct {
	Users    []string // further local parts that exist
	Rules    []Rule
	TLS      bool   // STARTTLS is offered
	Settings string // further lines of main.cf; the last value counts
}

// Postfix is a running Postfix. It listens for SMTP on 127.0.0.1 and delivers to Maildirs of its own.
type Postfix struct {
	Certs
	SMTP  int
	Users []string

	dir, daemons string
	proc         *process
}

//go:embed main.cf
var mainCf string

//go:embed master.cf
var masterCf string

var (
	mainTemplate   = template.Must(template.New("main.cf").Parse(mainCf))
	masterTemplate = template.Must(template.New("master.cf").Parse(masterCf))
)

// StartPostfix starts a Postfix that is stopped at the end of the test. It needs root, and returns when the SMTP port
// answers.
func StartPostfix(t testing.TB, o PostfixOptions) *Postfix {
	t.Helper()
	postconf := program(t, "postconf", "postfix")
	if os.Getuid() != 0 {
		Missing(t, "Postfix can only be started by root")
	}
	p := &Postfix{dir: Dir(t), daemons: "/usr/lib/postfix/sbin"}
	// postconf without a main.cf (a Postfix that was installed without configuration) still tells the default.
	if out, err := exec.Command(postconf, "-d", "-h", "daemon_directory").Output(); err == nil {
		p.daemons = strings.TrimSpace(string(out))
	}
	p.Users = append([]string{"alice", "bob", "postmaster"}, o.Users...)
	for i := 1; i <= 9; i++ {
		p.Users = append(p.Users, "user"+strconv.Itoa(i))
	}
	p.Certs = *newCerts(t, p.dir, nil)
	p.folders(t)
	var err error
	for range startTries {
		if err = p.start(t, o); err == nil {
			t.Cleanup(p.Stop)
			return p
		}
	}
	t.Fatalf("Postfix does not start: %v\n%s", err, p.Log())
	return nil
}

// folders makes what `postfix check` would make: the queue, the data folder and the mailboxes.
func (p *Postfix) folders(t testing.TB) {
	t.Helper()
	pf, err := user.Lookup("postfix")
	if err != nil {
		Missing(t, "there is no account \"postfix\": %v", err)
	}
	drop, err := user.LookupGroup("postdrop")
	if err != nil {
		Missing(t, "there is no group \"postdrop\": %v", err)
	}
	uid, _ := strconv.Atoi(pf.Uid)
	gid, _ := strconv.Atoi(pf.Gid)
	dropGID, _ := strconv.Atoi(drop.Gid)
	box := mailOwner(t)
	for _, d := range []struct {
		name     string
		mode     os.FileMode
		uid, gid int
	}{
		{"conf", 0o755, 0, 0}, {"data", 0o700, uid, gid}, {"queue", 0o755, 0, 0}, {"mail", 0o700, box.uid, box.gid},
		{"queue/active", 0o700, uid, gid}, {"queue/bounce", 0o700, uid, gid}, {"queue/corrupt", 0o700, uid, gid},
		{"queue/defer", 0o700, uid, gid}, {"queue/deferred", 0o700, uid, gid}, {"queue/flush", 0o700, uid, gid},
		{"queue/hold", 0o700, uid, gid}, {"queue/incoming", 0o700, uid, gid}, {"queue/private", 0o700, uid, gid},
		{"queue/saved", 0o700, uid, gid}, {"queue/trace", 0o700, uid, gid}, {"queue/pid", 0o755, 0, 0},
		{"queue/maildrop", 0o730, uid, dropGID}, {"queue/public", 0o710, uid, dropGID},
	} {
		path := filepath.Join(p.dir, d.name)
		err := errors.Join(os.Mkdir(path, d.mode), os.Chown(path, d.uid, d.gid), os.Chmod(path, d.mode))
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (p *Postfix) start(t testing.TB, o PostfixOptions) error {
	p.SMTP = FreePorts(t, 1)[0]
	box := mailOwner(t)
	conf := filepath.Join(p.dir, "conf")
	files := map[string]string{"users": p.userTable()}
	tables := map[At]string{}
	for _, r := range o.Rules {
		tables[r.At] += fmt.Sprintf("/%s/ %s\n", strings.ReplaceAll(r.Match, "/", `\/`), r.Reply)
	}
	for at, text := range tables {
		files[string(at)] = text
	}
	values := map[string]any{"Dir": p.dir, "Daemons": p.daemons, "P": p, "O": o, "UID": box.uid, "GID": box.gid, "Tables": tables}
	for name, tmpl := range map[string]*template.Template{"main.cf": mainTemplate, "master.cf": masterTemplate} {
		var text strings.Builder
		if err := tmpl.Execute(&text, values); err != nil {
			return err
		}
		files[name] = text.String()
	}
	// Postfix reads a file that was changed this second again and again: it might still change.
	old := time.Now().Add(-time.Minute)
	for name, text := range files {
		path := filepath.Join(conf, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, old, old)); err != nil {
			return err
		}
	}
	cmd := exec.Command(filepath.Join(p.daemons, "master"), "-c", conf)
	cmd.Dir = filepath.Join(p.dir, "queue")
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+conf)
	var err error
	if p.proc, err = start(cmd); err != nil {
		return err
	}
	if err = p.proc.ready(greets("tcp", addr(p.SMTP), "220 ")); err != nil {
		p.Stop()
	}
	return err
}

func (p *Postfix) userTable() string {
	var b strings.Builder
	for _, u := range p.Users {
		for _, domain := range []string{"localhost", "example.test"} {
			fmt.Fprintf(&b, "%s@%s %s/\n", u, domain, u)
		}
	}
	return b.String()
}

// Stop ends Postfix before the test does; connections are cut.
func (p *Postfix) Stop() { p.proc.stop() }

// Sendmail returns a command line for the sendmail(8) of this Postfix, for root.
func (p *Postfix) Sendmail(t testing.TB) string {
	t.Helper()
	return program(t, "sendmail", "postfix") + " -C " + filepath.Join(p.dir, "conf")
}

// Addr returns host:port of the SMTP listener.
func (p *Postfix) Addr() string { return addr(p.SMTP) }

// Log returns what Postfix has logged.
func (p *Postfix) Log() string { return logOf(filepath.Join(p.dir, "log")) }

// Maildir returns the folder that gets the mail of a user.
func (p *Postfix) Maildir(user string) string { return filepath.Join(p.dir, "mail", user) }

// Settle waits until everything that Postfix has accepted is delivered (or bounced to nowhere), and fails the test
// after the limit.
func (p *Postfix) Settle(t testing.TB, limit time.Duration) {
	t.Helper()
	end := time.Now().Add(limit)
	for {
		n, err := p.queued("maildrop", "incoming", "active", "deferred") // also messages that are being received
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d messages are still in the queue after %v\n%s", n, limit, tail(p.Log(), 40))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Deferred tells whether everything that is in the queue waits there for another attempt.
func (p *Postfix) Deferred(t testing.TB) bool {
	t.Helper()
	busy, err := p.queued("maildrop", "incoming", "active")
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := p.queued("deferred")
	if err != nil {
		t.Fatal(err)
	}
	return busy == 0 && waiting > 0
}

// queued counts the files in queues.
func (p *Postfix) queued(queues ...string) (int, error) {
	n := 0
	for _, q := range queues {
		err := filepath.WalkDir(filepath.Join(p.dir, "queue", q), func(_ string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !e.IsDir() {
				n++
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// Mail waits until the queue is empty (at most a minute) and returns what a user has got, in the order of delivery,
// as Postfix stored it: its own header fields first (Return-Path, X-Original-To, Delivered-To, Received), LF line ends.
func (p *Postfix) Mail(t testing.TB, user string) []Mail {
	t.Helper()
	p.Settle(t, time.Minute)
	return ReadMaildir(t, p.Maildir(user))
}

// Empty removes what a user has got.
func (p *Postfix) Empty(t testing.TB, user string) {
	t.Helper()
	p.Settle(t, time.Minute)
	if err := os.RemoveAll(p.Maildir(user)); err != nil {
		t.Fatal(err)
	}
}

func tail(s string, n int) string {
	lines := strings.SplitAfter(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
