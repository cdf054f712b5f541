package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fetchmail/protocols/mailtest/real"
)

// letters are messages with something in each that a client could get wrong.
var letters = [][]byte{
	[]byte("Return-Path: <dora@far.example.org>\nFrom: Dora <dora@far.example.org>\nTo: alice@mail.example.test\nSubject: plain\nMessage-ID: <1@far.example.org>\n\nHello.\n"),
	[]byte("From: dora\nTo: alice, \"Bob\" <bob>,\n\teve@far.example.org\nSubject: addresses without a host\n\n.\n..two dots\n.one\nFrom here\n\n\nend\n"),
	[]byte("From: d\xf6ra <d@far.example.org>\nSubject: 8 bits\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\ngr\xfc\xdfe \x01\x7f\n" +
		strings.Repeat("a long line ", 150) + "\nlast line\n"),
	[]byte("From: e@far.example.org\nSubject: no body\n\n"),
}

// trail are the fields of the header that differ from run to run: dates, versions, queue ids and process numbers.
var trail = []struct{ pattern, to string }{
	{`(?s)^(?:Return-Path|X-Original-To|Delivered-To): [^\n]*\n(?:(?:X-Original-To|Delivered-To): [^\n]*\n)*(Received: from [^\n]+\n\tby mail\.example\.test \(Postfix\)[^\n]*\n(?:\t[^\n]*\n)*)`, "<Postfix>\n"},
	{`(?s)^Return-Path: [^\n]*\nDelivered-To: [^\n]*\nReceived: from [^\n]+\n\tby mail\.example\.test with LMTP\n(?:\t[^\n]*\n)*(?:\t\(envelope-from [^\n]*\n(?:\t[^\n]*\n)*)?`, "<LMTP>\n"},
	{`\(fetchmail-[^)]*\)`, "(fetchmail-VERSION)"},
	// The reference may tell an address that it did not use, and tells none for the second user of an entry.
	{`Received: from (localhost|127\.0\.0\.1)(?: \[(?:::1|127\.0\.0\.1)\])?`, "Received: from $1 <ADDRESS>"},
	{`\w{3}, +\d+ \w{3} \d{4} \d\d:\d\d:\d\d [-+]\d{4} \(\w+\)`, "DATE"},
	{`From ([^ ]+)  ?\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}`, "From $1 DATE"},
}

func clean(text string) string {
	for _, r := range trail {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.to)
	}
	return text
}

// ways to the mailbox; "@PROTO@" and "@PORT@" are filled in by rcfile.
var ways = []struct{ name, server, user string }{
	{"plain", "", "sslproto ''"},
	{"starttls", "", "sslcertck sslcertfile @CA@"},
	{"ssl", "S", "ssl sslcertck sslcertfile @CA@"},
}

// sinks; the reference has no Maildir.
var sinks = []struct{ name, option string }{
	{"smtp", "smtphost localhost/@SMTP@"},
	{"procmail", `mda "/usr/bin/procmail -m @DIR@/procmailrc"`},
	{"maildir", `maildir "~/Maildir"`},
}

// otherSinks are tried with a plain connection only.
var otherSinks = []struct{ name, option string }{
	{"lmtp", "lmtp smtphost localhost/@LMTP@"},
	{"maildrop", `mda "/usr/bin/maildrop @DIR@/mailfilter"`},
	{"bsmtp", `bsmtp "@DIR@/batch"`},
}

// poll is the outcome of one run as far as the two programs must agree.
type poll struct {
	code      int
	stdout    string
	left      int
	delivered []string
}

func (p poll) String() string {
	return fmt.Sprintf("exit %d, %d left\n%s\n%s", p.code, p.left, p.stdout, strings.Join(p.delivered, "\n----\n"))
}

// pollOnce fills alice's mailbox with the letters, empties what was delivered before, and runs the program.
func pollOnce(t *testing.T, p *place, bin, rc, sink string) poll {
	t.Helper()
	p.Dovecot.Empty(t, "alice", "")
	p.Dovecot.Empty(t, "user1@localhost", "")
	p.Postfix.Empty(t, "user1")
	p.Dovecot.Put(t, "alice", "", real.Texts(letters...)...)
	c := newClient(t, bin)
	c.agents(t)
	c.rc(t, strings.ReplaceAll(p.fill(rc), p.dir, c.home))
	r := c.run(t)
	if r.code != 0 {
		t.Errorf("%s: %s", bin, r)
	}
	got := poll{code: r.code, stdout: r.stdout, left: p.left(t)}
	for _, m := range p.arrived(t, sink, c.home) {
		got.delivered = append(got.delivered, clean(string(m.Text)))
	}
	slices.Sort(got.delivered) // Postfix delivers side by side
	return got
}

// agents makes what procmail and maildrop need to deliver into a Maildir in the home.
func (c *client) agents(t *testing.T) {
	t.Helper()
	box := filepath.Join(c.home, "Maildir")
	c.write(t, "procmailrc", "DEFAULT="+box+"/\nLOGFILE="+c.home+"/procmail.log\n:0\n$DEFAULT\n")
	c.write(t, "mailfilter", "to \""+box+"\"\n")
	for _, dir := range []string{"", "tmp", "new", "cur"} { // maildrop makes no Maildir
		if err := os.Mkdir(filepath.Join(box, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		c.own(t, filepath.Join(box, dir))
	}
}

// arrived returns what a sink has got.
func (p *place) arrived(t *testing.T, sink, home string) []real.Mail {
	t.Helper()
	switch sink {
	case "smtp":
		return p.Postfix.Mail(t, "user1")
	case "lmtp":
		return p.Dovecot.Left(t, "user1@localhost", "")
	case "bsmtp":
		text, err := os.ReadFile(filepath.Join(home, "batch"))
		if err != nil {
			t.Fatal(err)
		}
		var mails []real.Mail
		for part := range strings.SplitAfterSeq(string(text), "\r\n.\r\n") {
			if part != "" {
				mails = append(mails, real.Mail{Text: []byte(part)})
			}
		}
		return mails
	}
	return real.ReadMaildir(t, filepath.Join(home, "Maildir"))
}

func TestEveryWayInAndOutEqualsTheReference(t *testing.T) {
	t.Parallel()
	reference := real.Reference(t)
	real.Procmail(t)
	real.Maildrop(t)
	p := newPlace(t, real.DovecotOptions{}, real.PostfixOptions{})
	for _, proto := range []string{"POP3", "IMAP"} {
		for _, way := range ways {
			all := sinks
			if way.name == "plain" {
				all = slices.Concat(sinks, otherSinks)
			}
			for _, sink := range all {
				rc := fmt.Sprintf("poll localhost proto %s port @%s@\n user alice there with password secret is user1 here\n %s\n %s\n",
					proto, proto+way.server, way.user, sink.option)
				t.Run(strings.Join([]string{proto, way.name, sink.name}, "/"), func(t *testing.T) {
					ours := pollOnce(t, p, binary(t), rc, sink.name)
					if len(ours.delivered) != len(letters) || ours.left != 0 {
						t.Fatalf("%d of %d delivered, %d left", len(ours.delivered), len(letters), ours.left)
					}
					if sink.name == "maildir" {
						// What comes through the MDA is what must be in the Maildir.
						rc = strings.Replace(rc, sink.option, sinks[1].option, 1)
					}
					theirs := pollOnce(t, p, reference, rc, sink.name)
					if ours.String() != theirs.String() {
						t.Errorf("the reference (-) and ours (+):\n%s", diff(theirs.String(), ours.String()))
					}
				})
			}
		}
	}
}

func diff(a, b string) string {
	return cmp.Diff(strings.Split(a, "\n"), strings.Split(b, "\n"))
}

// situations are runs whose exit status and words must be the reference's. Each is run in a fresh place with the
// letters in the mailbox, once for each word list in runs; "+" puts another letter into it.
var situations = []struct {
	name   string
	server string // options of the server
	user   string // options of the user
	runs   []string
	flags  string // of the letters in the mailbox; "" is new
	null   bool   // the letters have the null sender: no bounce must go to the machine's own mail system
}{
	{name: "twice", runs: []string{"", ""}},
	{name: "keep", user: "keep", runs: []string{"", ""}},
	{name: "keep uidl", server: "uidl", user: "keep", runs: []string{"", "", "-a"}},
	{name: "keep on the command line", runs: []string{"-k", "-K"}},
	{name: "check only", runs: []string{"-c", ""}},
	{name: "limit", user: "limit 1000", runs: []string{"", "-B 1"}},
	{name: "limitflush", user: "limit 1000 limitflush", runs: []string{"", ""}},
	{name: "fetchlimit", user: "fetchlimit 3", runs: []string{"", "", ""}},
	{name: "fetchall", user: "fetchall", flags: "S", runs: []string{""}},
	{name: "seen", flags: "S", runs: []string{"", "-a"}},
	{name: "seen and flush", flags: "S", user: "flush", runs: []string{"", ""}},
	{name: "silent", runs: []string{"-s", "-s"}},
	{name: "wrong password", user: "password wrong", runs: []string{""}},
	{name: "recipient refused", user: "is nobody here", null: true, runs: []string{""}},
	{name: "no listener", user: "smtphost localhost/1", runs: []string{""}},
	{name: "no server", server: "port 1", runs: []string{""}},
	{name: "folders", user: "folder INBOX,work", runs: []string{"", ""}},
	{name: "folder that is not there", user: "folder nonsense", runs: []string{""}},
	{name: "expunge", user: "expunge 2", runs: []string{""}},
	{name: "mda fails", user: `mda "cat >/dev/null; exit 75"`, runs: []string{""}},
	{name: "mda refuses", user: `mda "cat >/dev/null; exit 67"`, runs: []string{""}},
	{name: "failing preconnect", user: `preconnect "exit 3"`, runs: []string{""}},
	{name: "failing postconnect", user: `postconnect "exit 3"`, runs: []string{"", ""}},
	{name: "postconnect after a failure", user: `smtphost localhost/1 postconnect "exit 3"`, runs: []string{"-v"}},
	{name: "wrong password, verbose", user: "password wrong", runs: []string{"-v"}},
	{name: "smtpname and a whole address", user: "is user1@localhost here smtpname nobody@localhost", null: true, runs: []string{""}},
	{name: "flush over several runs", user: "keep flush", runs: []string{"", "+", "", "-K", "+", "-F"}},
	{name: "flush with uidl over several runs", server: "uidl", user: "keep flush", runs: []string{"", "+", "-c", "", "+", "-a", ""}},
	{name: "limitflush over several runs", server: "uidl", user: "keep limit 1000", runs: []string{"", "--limitflush", "+", "--limitflush -B 1", "-F"}},
	{name: "fetchlimit with keep over several runs", server: "uidl", user: "keep fetchlimit 2", runs: []string{"", "+", "", "-F", "", "-a", "-K"}},
	{name: "expunge, keep and flush", server: "uidl", user: "keep flush expunge 2", runs: []string{"", "", "+", ""}},
	{name: "binary search for UIDs", server: "uidl", user: "keep fastuidl 1", runs: []string{"", "+", "", "+", "-c", ""}},
	{name: "sizes one by one", user: "keep limit 1000 fetchsizelimit 1", runs: []string{"", "-a"}},
	{name: "verbose", server: "uidl", user: "keep", runs: []string{"-v", "-v", "+", "-v -c", "-v -F"}},
	{name: "verbose, without uidl", user: "limit 1000", runs: []string{"-v", "-v -a -l 0"}},
	{name: "header rewriting off", user: "no rewrite", runs: []string{""}},
	{name: "skipped unless named", server: "SKIP", runs: []string{"", "localhost"}},
}

var returnPath = regexp.MustCompile(`(?m)^Return-Path: .*\n`)

func TestWordsAndStatusEqualTheReference(t *testing.T) {
	t.Parallel()
	reference := real.Reference(t)
	p := newPlace(t, real.DovecotOptions{}, real.PostfixOptions{})
	for _, proto := range []string{"POP3", "IMAP"} {
		for _, s := range situations {
			t.Run(proto+"/"+s.name, func(t *testing.T) {
				verb, server := "poll", s.server
				if server == "SKIP" {
					verb, server = "skip", ""
				}
				port := "port @" + proto + "@"
				if strings.Contains(server, "port ") {
					port = ""
				}
				password, is, sink := "password secret", "is user1 here", "smtphost localhost/@SMTP@"
				for mark, text := range map[string]*string{"password ": &password, "is ": &is, "smtphost ": &sink, "mda ": &sink} {
					if strings.HasPrefix(s.user, mark) {
						*text = ""
					}
				}
				rc := fmt.Sprintf("%s localhost proto %s %s %s timeout 20\n user alice there %s %s\n sslproto '' %s\n %s\n",
					verb, proto, port, server, password, is, sink, s.user)
				mails := real.Texts(letters...)
				for i := range mails {
					mails[i].Flags = s.flags
					if s.null {
						mails[i].Text = slices.Concat([]byte("Return-Path: <>\n"), returnPath.ReplaceAll(mails[i].Text, nil))
					}
				}
				ours := situation(t, p, binary(t), rc, s.runs, mails)
				theirs := situation(t, p, reference, rc, s.runs, mails)
				if ours != theirs {
					t.Errorf("%sthe reference (-) and ours (+):\n%s", rc, diff(theirs, ours))
				}
			})
		}
	}
}

// situation returns the account of a series of runs: statuses, words, what is left on the server and what came.
func situation(t *testing.T, p *place, bin, rc string, runs []string, mails []real.Mail) string {
	t.Helper()
	for _, folder := range []string{"", "work"} {
		p.Dovecot.Empty(t, "alice", folder)
	}
	p.Postfix.Empty(t, "user1")
	p.Dovecot.Put(t, "alice", "", mails...)
	p.Dovecot.Put(t, "alice", "work", real.Texts([]byte("Subject: work\n\nwork\n"))...)
	c := newClient(t, bin)
	c.rc(t, p.fill(rc))
	var account strings.Builder
	for _, args := range runs {
		if args == "+" {
			p.Dovecot.Put(t, "alice", "", real.Texts([]byte("From: e@far.example.org\nSubject: later\n\nlater\n"))...)
			continue
		}
		r := c.run(t, strings.Fields(args)...)
		if strings.Contains(args, "-v") {
			r.stdout = withoutDialogue(r.stdout) + r.stderr
		}
		fmt.Fprintf(&account, "[%s] exit %d\n%s", args, r.code, r.stdout)
		if r.code > 1 { // what is said on standard error besides is a matter of the differential tests
			account.WriteString(mainError(r.stderr) + "\n")
		}
		account.WriteString("left:")
		for _, m := range p.Dovecot.Left(t, "alice", "") {
			account.WriteString(" " + strconv.Itoa(len(m.Text)) + m.Flags)
		}
		account.WriteString("\n")
	}
	var came []string
	for _, m := range p.Postfix.Mail(t, "user1") {
		came = append(came, clean(string(m.Text)))
	}
	slices.Sort(came)
	return account.String() + strings.Join(came, "\n----\n")
}

var (
	dialogue = regexp.MustCompile(`(?:fetchmail: )?(?:POP3|IMAP|SMTP)[<>].*\n`)
	progress = regexp.MustCompile(`\s*(?:#\s*|[*][*.]*\s*)+`)
	querying = regexp.MustCompile(`fetchmail: \S+ querying (.*) at .*: poll`)
)

// withoutDialogue leaves of the output of -v what is not said to a server or by it: the two programs ask differently.
// With it go the places at which lines are broken.
func withoutDialogue(stdout string) string {
	stdout = strings.ReplaceAll(dialogue.ReplaceAllString(stdout, "\n"), "fetchmail: will idle after poll\n", "")
	stdout = querying.ReplaceAllString(stdout, "fetchmail: VERSION querying $1 at TIME: poll")
	return strings.Join(strings.Fields(progress.ReplaceAllString(stdout, " ")), " ") + "\n"
}

// mainError returns the last line of standard error, which names the trouble.
func mainError(stderr string) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	return lines[len(lines)-1]
}
