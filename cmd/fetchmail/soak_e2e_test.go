package main_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
)

// soakTime is how long the soak takes: $FETCHMAIL_SOAK, or long enough for a look.
func soakTime(t *testing.T) time.Duration {
	if s := os.Getenv("FETCHMAIL_SOAK"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return 8 * time.Second
}

// soak is a daemon with ten accounts and a world around it that fails all the time.
type soak struct {
	*testing.T
	*running
	pop3         *mailtest.POP3
	imap         *mailtest.IMAP
	smtp         *mailtest.SMTP
	nearP, nearI *mailtest.Proxy
	faults       atomic.Bool
	sent         int
	mu           sync.Mutex
	injected     map[string]int
}

// soakUsers are the accounts: what they speak, and where their mail goes.
var soakUsers = []struct{ name, proto, options string }{
	{"pop1", "pop3", "maildir \"~/Maildir\""},
	{"pop2", "pop3", "maildir \"~/Maildir\" preconnect \"true\" postconnect \"true\""},
	{"pop3", "pop3", "mda \"cat > $(mktemp $HOME/mda/XXXXXXXXXXXX)\""},
	{"pop4", "pop3", "smtphost localhost/@SMTP@"},
	{"pop5", "pop3", "mbox \"~/mbox\""},
	{"imap1", "imap", "maildir \"~/Maildir\""},
	{"imap2", "imap", "smtphost localhost/@SMTP@"},
	{"imap3", "imap", "maildir \"~/Maildir\" expunge 2"},
	{"idle1", "imap", "maildir \"~/Maildir\" idle"},
	{"idle2", "imap", "smtphost localhost/@SMTP@ idle"},
}

// fault counts a kind of trouble and tells whether it is to happen now, in one of so many cases.
func (s *soak) fault(kind string, in int) bool {
	if !s.faults.Load() || rand.IntN(in) > 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.injected[kind]++
	return true
}

// spared commands are not refused: a refused password means mail to the user, and without UIDL nobody can know what was
// fetched already.
var spared = regexp.MustCompile(`^(PASS|UIDL)`)

func (s *soak) servers() {
	s.pop3, s.imap = mailtest.NewPOP3(), mailtest.NewIMAP()
	for _, u := range soakUsers {
		s.pop3.Users[u.name], s.imap.Users[u.name] = "secret", "secret"
		s.imap.Folder(u.name, "INBOX")
	}
	s.pop3.On(".", func(c *mailtest.POP3Conn) error {
		switch {
		case s.fault("drop", 30):
			return mailtest.POP3Drop(c)
		case s.fault("hang", 250):
			return mailtest.POP3Hang(c)
		case s.fault("cut", 30):
			return mailtest.POP3After(rand.Int64N(600), mailtest.POP3Drop)(c)
		case !spared.MatchString(c.Line) && s.fault("-ERR", 40):
			return mailtest.POP3Reply("-ERR not now")(c)
		}
		return mailtest.POP3Usual(c)
	})
	s.imap.On(".", func(c *mailtest.IMAPConn) error {
		switch {
		case s.fault("drop", 30):
			return mailtest.IMAPDrop(c)
		case s.fault("hang", 250):
			return mailtest.IMAPHang(c)
		case s.fault("cut", 30):
			return mailtest.IMAPAfter(rand.Int64N(600), mailtest.IMAPDrop)(c)
		}
		return mailtest.IMAPUsual(c)
	})
	var err error
	s.smtp, err = mailtest.StartSMTP(mailtest.SMTPOptions{Answer: func(verb, _ string) string {
		switch {
		case verb == "rcpt" && s.fault("451", 20):
			return "451 later"
		case (verb == "mail" || verb == "rcpt") && s.fault("lost listener", 40):
			return "drop"
		}
		return ""
	}})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(s.smtp.Close)
	for _, start := range []func(string) error{s.pop3.Start, s.imap.Start} {
		if err := start(""); err != nil {
			s.Fatal(err)
		}
	}
	s.Cleanup(s.pop3.Close)
	s.Cleanup(s.imap.Close)
	s.nearP = &mailtest.Proxy{Target: "127.0.0.1:" + s.pop3.Port()}
	s.nearI = &mailtest.Proxy{Target: "127.0.0.1:" + s.imap.Port()}
	for _, p := range []*mailtest.Proxy{s.nearP, s.nearI} {
		if err := p.Start(); err != nil {
			s.Fatal(err)
		}
		s.Cleanup(p.Close)
	}
}

// rcText is the run control file; n makes it differ from the one before.
func (s *soak) rcText(n int) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "# version %d\nset metrics \"unix:%s\"\ndefaults timeout %d maxconnections 8\n", n, filepath.Join(s.home, "metrics"), 2+n%2)
	for _, u := range soakUsers {
		port := s.nearP.Addr().Port
		if u.proto == "imap" {
			port = s.nearI.Addr().Port
		}
		fmt.Fprintf(b, "poll 127.0.0.1 proto %s port %d user %s password secret is %s here sslproto '' %s\n", u.proto, port, u.name, s.user,
			strings.ReplaceAll(u.options, "@SMTP@", s.smtp.Port()))
	}
	return b.String()
}

// put gives a message with a number to one of the accounts.
func (s *soak) put() {
	u := soakUsers[rand.IntN(len(soakUsers))]
	s.sent++
	text := []byte(fmt.Sprintf("From: d@far.example.org\r\nTo: %s@mail.example.test\r\nSubject: soak\r\nX-Soak: %d.\r\n\r\n%s", u.name, s.sent,
		strings.Repeat("a line of text\r\n", rand.IntN(60))))
	if u.proto == "imap" {
		s.imap.Put(u.name, "INBOX", mailtest.IMAPMail{Raw: text})
	} else {
		s.pop3.Put(u.name, mailtest.POP3Mail{Raw: text, UID: fmt.Sprintf("soak-%d", s.sent)})
	}
}

// left counts the messages that are still on the servers. With POP3 those stay that were delivered and could not be deleted
// because the connection broke: they count as old, as in the reference.
func (s *soak) left() (n int) {
	for _, u := range soakUsers {
		n += len(s.pop3.Left(u.name)) + len(s.imap.Left(u.name, "INBOX"))
	}
	return n
}

var soakNumber = regexp.MustCompile(`(?m)^X-Soak: (\d+)\.`)

// came counts the copies of each message that has arrived anywhere.
func (s *soak) came() map[string]int {
	var all bytes.Buffer
	for _, glob := range []string{"Maildir/new/*", "mda/*", "mbox"} {
		files, _ := filepath.Glob(filepath.Join(s.home, glob))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				s.Fatal(err)
			}
			all.Write(append(b, '\n'))
		}
	}
	for _, m := range s.smtp.Mails() {
		if m.Accepted {
			all.Write(append(m.Text, '\n'))
		}
	}
	copies := map[string]int{}
	for _, m := range soakNumber.FindAllSubmatch(all.Bytes(), -1) {
		copies[string(m[1])]++
	}
	return copies
}

// trouble lets the world fail for some time: mail comes, connections break, the rcfile changes and is broken in between.
func (s *soak) trouble(d time.Duration) {
	s.faults.Store(true)
	defer s.faults.Store(false)
	reloads, step := 0, 100*time.Millisecond
	for i := range int(d / step) {
		time.Sleep(step)
		s.running.alive(s.T)
		if i%3 == 0 {
			s.put()
		}
		if i%70 == 35 {
			s.nearI.Cut()
			s.nearP.Cut()
		}
		if i%40 == 20 {
			reloads++
			text := s.rcText(reloads)
			if reloads%3 == 2 {
				text = "poll 127.0.0.1 protokoll imap\n"
			}
			s.rc(s.T, text)
		}
		if i%300 == 299 {
			s.Logf("%v: %d messages so far, %d left, %s", time.Duration(i+1)*step, s.sent, s.left(), s.usage(s.T))
		}
	}
	s.rc(s.T, s.rcText(reloads+1))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Logf("%d messages, %d changes of the rcfile, faults: %v", s.sent, reloads, s.injected)
}

// quiet waits until all mail has been fetched and nothing is going on, and measures.
func (s *soak) quiet() usage {
	await(s.T, "all mail is fetched", func() bool {
		s.running.alive(s.T)
		s.signal(syscall.SIGUSR1) // who has failed is asked at once
		time.Sleep(500 * time.Millisecond)
		return len(s.came()) == s.sent
	})
	best := s.usage(s.T)
	for range 12 { // between two rounds it needs least
		time.Sleep(150 * time.Millisecond)
		u := s.usage(s.T)
		best = usage{min(best.memory, u.memory), min(best.files, u.files), min(best.children, u.children), min(best.routines, u.routines)}
	}
	return best
}

// TestSoak lets a daemon run among faults and reloads, ten minutes with FETCHMAIL_SOAK=10m: it must not grow, and each
// message arrives once.
func TestSoak(t *testing.T) {
	s := &soak{T: t, injected: map[string]int{}}
	s.servers()
	c := newClient(t, binary(t))
	s.running = &running{client: c}
	c.rc(t, s.rcText(0))
	dir := filepath.Join(c.home, "mda")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c.own(t, dir)
	interval := "4"
	if soakTime(t) < time.Minute {
		interval = "1"
	}
	s.running = c.start(t, "-d", interval, "-N")
	await(t, "metrics are served", func() bool { _, err := s.http.Get("http://localhost/metrics"); return err == nil })
	for range 3 * len(soakUsers) {
		s.put()
	}
	logged := func(what string) {
		await(t, what, func() bool { s.signal(syscall.SIGUSR1); return strings.Contains(c.read(t, "out"), what) })
	}
	c.rc(t, "poll 127.0.0.1 protokoll imap\n")
	logged("the old configuration stays in force")
	c.rc(t, s.rcText(1))
	logged("restarting fetchmail (")
	before := s.quiet()
	s.trouble(soakTime(t))
	after := s.quiet()
	t.Logf("%d and %d sessions; before: %s; after: %s", len(s.pop3.Commands()), len(s.imap.Commands()), before, after)
	if after.files > before.files+3 || after.routines > before.routines+6 || after.children != 0 || after.memory > before.memory*3/2+20e6 {
		t.Error("the daemon has grown")
	}
	copies := s.came()
	for n := 1; n <= s.sent; n++ {
		if k := copies[fmt.Sprint(n)]; k != 1 {
			t.Errorf("message %d has arrived %d times", n, k)
		}
	}
	if log := c.read(t, "out"); strings.Contains(log, "internal error") {
		t.Errorf("log: %s", cut(log))
	}
	if code := s.quit(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
}
