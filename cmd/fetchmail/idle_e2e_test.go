package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// number is what an environment variable says, or less where nobody has asked for more.
func number(t testing.TB, variable string, otherwise int) int {
	s := os.Getenv(variable)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// longestWait is how soon mail must arrive that is announced: far less than any polling interval, far more than it takes.
const longestWait = 15 * time.Second

// watched is a daemon that idles on many mailboxes of a Dovecot.
type watched struct {
	*testing.T
	*running
	server *real.Dovecot
	users  []string
	sent   int
}

// arrived counts what has come.
func (w *watched) arrived() int {
	files, err := os.ReadDir(filepath.Join(w.home, "Maildir", "new"))
	if err != nil && !os.IsNotExist(err) {
		w.Fatal(err)
	}
	return len(files)
}

// drop puts a message into one of the mailboxes.
func (w *watched) drop() {
	w.sent++
	user, folder := w.users[rand.IntN(len(w.users))], ""
	if w.sent%5 == 0 {
		user, folder = w.users[0], "work"
	}
	w.server.Put(w.T, user, folder, real.Texts([]byte(fmt.Sprintf("From: d@far.example.org\nTo: x@mail.example.test\nSubject: %d\n\ntext\n", w.sent)))...)
}

// wait waits until all that was dropped has come, and returns how long that took from begin.
func (w *watched) wait(begin time.Time) time.Duration {
	w.Helper()
	for w.arrived() < w.sent {
		if w.running.alive(w.T); time.Since(begin) > longestWait {
			w.Fatalf("%d of %d messages have come after %v", w.arrived(), w.sent, longestWait)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

// drops lets messages come one by one and logs how long they took.
func (w *watched) drops(when string, n int) {
	w.Helper()
	var took []time.Duration
	for range n {
		begin := time.Now()
		w.drop()
		took = append(took, w.wait(begin))
	}
	slices.Sort(took)
	w.Logf("%s: %d messages, each within %v, half of them within %v", when, n, took[n-1].Round(time.Millisecond), took[n/2].Round(time.Millisecond))
}

// TestIdleEverywhere watches several folders and accounts of a Dovecot at once, beside an ordinary account: mail arrives
// as soon as it is there, also after the server was frozen for a while and after all connections were cut. FETCHMAIL_IDLE
// is the number of accounts.
func TestIdleEverywhere(t *testing.T) {
	n := number(t, "FETCHMAIL_IDLE", 3)
	accounts := map[string]string{"plain": "secret"}
	w := &watched{T: t}
	for i := range n {
		name := fmt.Sprintf("idle%d", i)
		accounts[name], w.users = "secret", append(w.users, name)
	}
	w.server = real.StartDovecot(t, real.DovecotOptions{Users: accounts, Settings: "default_process_limit = 500\n"})
	near := &mailtest.Proxy{Target: w.server.Addr(w.server.IMAP)}
	if err := near.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(near.Close)
	w.server.Put(t, w.users[0], "work", real.Texts([]byte("Subject: first\n\nin a folder\n"))...)
	w.sent++

	c := newClient(t, binary(t))
	var rc strings.Builder
	fmt.Fprintf(&rc, "set metrics \"unix:%s\"\ndefaults timeout 10 sslproto '' maildir \"~/Maildir\"\n", filepath.Join(c.home, "metrics"))
	fmt.Fprintf(&rc, "poll localhost proto pop3 port %d user plain password secret is x here\n", w.server.POP3)
	for i, u := range w.users {
		folder := ""
		if i == 0 {
			folder = "folder INBOX work"
		}
		fmt.Fprintf(&rc, "poll 127.0.0.1 proto imap port %d user %s password secret is x here idle %s\n", near.Addr().Port, u, folder)
	}
	c.rc(t, rc.String())
	begin := time.Now()
	w.running = c.start(t, "-d", "3600", "-N")
	await(t, "metrics", func() bool { _, err := w.http.Get("http://localhost/metrics"); return err == nil })
	idling := func() bool { return w.metric(t, "fetchmail_idling_connections") == float64(n+1) }
	await(t, "all connections are idle", idling)
	t.Logf("%d accounts and a folder are watched after %v: %s", n, time.Since(begin).Round(time.Millisecond), w.usage(t))
	w.drops("idle", n)

	w.server.Signal(syscall.SIGSTOP)
	for range 3 {
		w.drop()
	}
	time.Sleep(time.Second)
	w.server.Signal(syscall.SIGCONT)
	t.Logf("after SIGCONT: 3 messages within %v", w.wait(time.Now()).Round(time.Millisecond))
	w.drops("after SIGSTOP and SIGCONT", n)

	near.Cut()
	begin = time.Now()
	for range 3 {
		w.drop()
	}
	t.Logf("after the cut: 3 messages within %v", w.wait(begin).Round(time.Millisecond))
	await(t, "all connections are idle again", idling)
	t.Logf("all connections are back after %v", time.Since(begin).Round(time.Millisecond))
	w.drops("after the cut", n)

	w.server.Put(t, "plain", "", real.Texts(letters[0])...)
	w.sent++
	w.signal(syscall.SIGUSR1)
	w.wait(time.Now())
	if code := w.quit(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if log := c.read(t, "out"); strings.Contains(log, "internal error") || !strings.Contains(log, "awakened by signal 10") {
		t.Errorf("log: %s", cut(log))
	}
}
