package main_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// TestDeadServersDelayNobody polls ten accounts. One server refuses the connection, one accepts it and never says a
// word: the mail of the eight others is there at once.
func TestDeadServersDelayNobody(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := refusing.Addr().(*net.TCPAddr).Port
	refusing.Close()
	server := mailtest.NewPOP3()
	start(t, server)
	rc := "defaults proto pop3 timeout 120 sslproto '' maildir \"~/Maildir\"\n"
	poll := func(port any, user string) {
		rc += fmt.Sprintf("poll localhost port %v user %s password secret is x here\n", port, user)
	}
	poll(silent.Addr().(*net.TCPAddr).Port, "dead1")
	for i := range 8 {
		user := fmt.Sprintf("user%d", i)
		server.Users[user] = "secret"
		server.Put(user, mailtest.POP3Mail{Raw: []byte("Subject: x\r\n\r\ntext\r\n")})
		poll(server.Port(), user)
	}
	poll(refused, "dead2")
	c := newClient(t, binary(t))
	c.rc(t, rc)
	begin := time.Now()
	r := c.start(t)
	await(t, "the mail of eight accounts", func() bool {
		new, _ := os.ReadDir(filepath.Join(c.home, "Maildir", "new"))
		return len(new) == 8
	})
	took := time.Since(begin)
	if t.Logf("eight mailboxes after %v", took); took > 20*time.Second {
		t.Error("that took too long")
	}
	r.alive(t)
	r.signal(syscall.SIGTERM)
	<-r.done
	// What is behind the hanging one comes out when its turn has come.
	if out := c.read(t, "out"); strings.Count(out, "reading message") != 8 || !strings.HasSuffix(out, "fetchmail: terminated with signal 15\n") {
		t.Errorf("output: %s", out)
	}
}

// TestManyAccountsBehindALongLine compares the time that the reference and we need for many accounts with some messages
// each, over a line with round trips of 40 ms. FETCHMAIL_ACCOUNTS is their number; with 200 the reference needs minutes.
func TestManyAccountsBehindALongLine(t *testing.T) {
	n, letters := number(t, "FETCHMAIL_ACCOUNTS", 3), 10
	if n < 20 {
		letters = 3
	}
	defer func(limit time.Duration) { runLimit = limit }(runLimit)
	runLimit += time.Duration(n) * 5 * time.Second
	theirs := farAway(t, real.Reference(t), "", n, letters)
	for try := 1; ; try++ { // the machine may have stood still for a moment
		ours := farAway(t, binary(t), "defaults maxconnections 8\n", n, letters)
		t.Logf("%d accounts with %d messages: %v, the reference %v", n, letters, ours.took.Round(time.Millisecond), theirs.took.Round(time.Millisecond))
		if ours.stdout != theirs.stdout {
			t.Errorf("the reference (-) and ours (+):\n%s", diff(theirs.stdout, ours.stdout))
		}
		if ours.took <= theirs.took/2 {
			return
		}
		if try == 3 {
			t.Fatal("that is not what polling side by side is for")
		}
	}
}

// farAway polls n accounts with so many letters each, over a line with round trips of 40 ms.
func farAway(t *testing.T, bin, head string, n, letters int) result {
	t.Helper()
	pop, imap := mailtest.NewPOP3(), mailtest.NewIMAP()
	listener, err := mailtest.StartSMTP(mailtest.SMTPOptions{Discard: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, start := range []func(string) error{pop.Start, imap.Start} {
		if err := start(""); err != nil {
			t.Fatal(err)
		}
	}
	far := map[string]*mailtest.Proxy{"pop3": {Target: "127.0.0.1:" + pop.Port()}, "imap": {Target: "127.0.0.1:" + imap.Port()}}
	for _, p := range far {
		if p.Delay = 20 * time.Millisecond; p.Start() != nil {
			t.Fatal("no proxy")
		}
	}
	rc := head
	for i := range n {
		user, proto := fmt.Sprintf("user%03d", i), []string{"pop3", "imap"}[i%2]
		pop.Users[user], imap.Users[user] = "secret", "secret"
		for k := range letters {
			raw := []byte(fmt.Sprintf("From: d@far.example.org\r\nTo: %s@example.test\r\nSubject: %d\r\n\r\n%s", user, k, strings.Repeat("a line\r\n", k*7+i%5)))
			if proto == "pop3" {
				pop.Put(user, mailtest.POP3Mail{Raw: raw})
			} else {
				imap.Put(user, "INBOX", mailtest.IMAPMail{Raw: raw})
			}
		}
		rc += fmt.Sprintf("poll server%03d via 127.0.0.1 proto %s port %d user %s password secret is x here sslproto '' smtphost localhost/%s\n", i, proto,
			far[proto].Addr().Port, user, listener.Port())
	}
	c := newClient(t, bin)
	c.rc(t, rc)
	r := c.run(t)
	if r.code != 0 || mainError(r.stderr) != "" || len(listener.Mails()) != n*letters {
		t.Errorf("%s: %d of %d messages, %s", bin, len(listener.Mails()), n*letters, r)
	}
	for _, p := range far {
		p.Close()
	}
	pop.Close()
	imap.Close()
	listener.Close()
	return r
}

// TestFootprint measures a daemon with many accounts that sleeps between two polls, and one that waits for mail on all of
// them. FETCHMAIL_FOOTPRINT is their number.
func TestFootprint(t *testing.T) {
	n := number(t, "FETCHMAIL_FOOTPRINT", 60)
	server := mailtest.NewIMAP()
	for i := range n {
		server.Users[fmt.Sprintf("user%d", i)] = "secret"
		server.Folder(fmt.Sprintf("user%d", i), "INBOX")
	}
	start(t, server)
	for _, idle := range []string{"", "idle"} {
		c := newClient(t, binary(t))
		var rc strings.Builder
		fmt.Fprintf(&rc, "set metrics \"unix:%s\"\ndefaults proto imap timeout 60 maxconnections 8 sslproto '' maildir \"~/Maildir\"\n", filepath.Join(c.home, "metrics"))
		for i := range n {
			fmt.Fprintf(&rc, "poll server%d via 127.0.0.1 port %s user user%d password secret is x here %s\n", i, server.Port(), i, idle)
		}
		c.rc(t, rc.String())
		before := len(server.Commands())
		begin := time.Now()
		r := c.start(t, "-d", "3600", "-N")
		await(t, "all have been asked", func() bool { return len(server.Commands()) == before+n })
		await(t, "metrics", func() bool { _, err := r.http.Get("http://localhost/metrics"); return err == nil })
		want := 0.0
		if idle != "" {
			want = float64(n)
		}
		await(t, "quiet", func() bool {
			return r.metric(t, "fetchmail_polls_running") <= want && r.metric(t, "fetchmail_idling_connections") == want
		})
		took := time.Since(begin)
		time.Sleep(time.Second)
		u := r.usage(t)
		t.Logf("%d accounts, %s: %s, after %v", n, idle, u, took.Round(time.Millisecond))
		connections := int(want)
		if u.routines > 30+6*connections || u.files > 25+connections || u.memory > 45e6+int64(n)*20e3+int64(connections)*300e3 {
			t.Errorf("%d accounts, %s: that is too much", n, idle)
		}
		if code := r.quit(t); code > 1 {
			t.Errorf("exit status %d", code)
		}
	}
}
