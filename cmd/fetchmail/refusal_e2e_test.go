package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// private gives the calling test a network of its own, with loopback alone, in which port 25 is free: reports of failure
// always go there. It returns false where that is not allowed; then nothing may be tried that makes a report.
func private() bool {
	runtime.LockOSThread() // for ever: the thread ends with the test
	if os.Getuid() != 0 || syscall.Unshare(syscall.CLONE_NEWNET) != nil {
		return false
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return false
	}
	defer syscall.Close(fd)
	up := struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(up.name[:], "lo")
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&up)))
	return errno == 0
}

// refusal is how a listener answers one message: at a stage, with a reply in the words of mailtest.
type refusal struct{ stage, reply string }

func (r refusal) String() string { return r.stage + " " + r.reply }

// replies are given at every stage. 571 is spam for the option antispam.
var refusals = []string{"421 4.3.2 closing", "then-drop 421 4.3.2 closing", "450 4.2.0 later", "451 4.3.0 later", "452 4.3.1 full",
	"500 5.5.1 what", "550 5.1.1 no", "550-5.7.1 first\n550 5.7.1 second", "552 5.3.4 big", "553 5.1.8 domain", "554 5.7.1 bad", "571 5.7.1 spam", "drop"}

// refuser is a listener that treats each message as the list says, and one for reports. It knows messages by the size
// that is announced.
type refuser struct {
	*mailtest.SMTP
	lmtp    bool
	reports *mailtest.SMTP // nil if there is none

	mu     sync.Mutex
	list   []refusal
	now    refusal // of the message under way
	first  bool    // it has not been refused yet: the postmaster is not
	always bool    // he is
}

// firstSize is the size of message 0; each further one is an octet longer.
const firstSize = 400

func refusalText(i int, null bool) []byte {
	from := fmt.Sprintf("s%d@far.example.org", i)
	ret := from
	if null {
		ret = ""
	}
	text := fmt.Sprintf("Return-Path: <%s>\r\nFrom: %s\r\nTo: alice@localhost\r\nSubject: message %d\r\n\r\ntext\r\n", ret, from, i)
	return []byte(text + strings.Repeat("x", firstSize+i-len(text)-2) + "\r\n")
}

func startRefuser(t *testing.T, list []refusal, lmtp, reports bool) *refuser {
	t.Helper()
	r := &refuser{list: list, lmtp: lmtp}
	var err error
	if r.SMTP, err = mailtest.StartSMTP(mailtest.SMTPOptions{LMTP: lmtp, Answer: r.answer}); err != nil {
		t.Fatal(err)
	}
	if reports {
		// A process that another test is just starting may hold the port for a moment: it is a copy of this one until exec.
		await(t, "port 25 is free", func() bool {
			r.reports, err = mailtest.StartSMTP(mailtest.SMTPOptions{Addr: "127.0.0.1:25"})
			return err == nil
		})
	}
	return r
}

func (r *refuser) answer(verb, line string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if verb == "mail" {
		r.now, r.first = refusal{}, true
		_, size, _ := strings.Cut(line, "SIZE=")
		if n, err := strconv.Atoi(size); err == nil && n >= firstSize && n-firstSize < len(r.list) {
			r.now = r.list[n-firstSize]
		}
	}
	if verb != r.now.stage || !r.first && !r.always {
		return ""
	}
	r.first = false
	return r.now.reply
}

var padme = regexp.MustCompile(`padme-hum-\d+-\d+-\d+(-[A-Z2-7]+)?`)

// outcome is everything that a run has done, in words. Messages are named by their number.
func (r *refuser) outcome(res result, server *mailtest.POP3) string {
	var b strings.Builder
	fmt.Fprintf(&b, "exit %d\n%s\n%s\n", res.code, res.stdout, res.stderr)
	left := map[int]bool{}
	for _, m := range server.Left("alice") {
		left[len(m.Raw)-firstSize] = true
	}
	for i, c := range r.list {
		fmt.Fprintf(&b, "%d left %v after %v\n", i, left[i], c)
	}
	tell := func(where string, l *mailtest.SMTP) {
		for _, m := range l.Mails() {
			fmt.Fprintf(&b, "%s: %s to %v, accepted %v:\n%s\n", where, m.From, m.To, m.Accepted, padme.ReplaceAllString(clean(string(m.Text)), "ID"))
		}
	}
	tell("listener", r.SMTP)
	if r.reports != nil {
		tell("report", r.reports)
	}
	return b.String()
}

// TestRefusalsEqualTheReference sends messages that are refused in every way at every stage through both programs and
// compares all that they say, deliver, report and leave. What the two do differently on purpose is left out, and tested
// below.
func TestRefusalsEqualTheReference(t *testing.T) {
	programs := []string{real.Reference(t), binary(t)}
	for _, lmtp := range []bool{false, true} {
		for _, options := range []string{"", "set no softbounce", "set no bouncemail", "set spambounce", "set no softbounce\nset spambounce", "set no bouncemail\nset spambounce"} {
			t.Run(fmt.Sprint(lmtp, options), func(t *testing.T) {
				t.Parallel()
				reports := private()
				var list []refusal
				for _, stage := range []string{"mail", "rcpt", "data", "dot"} {
					for _, reply := range refusals {
						if !deviates(lmtp, stage, reply, options) && (reports || !mourned(lmtp, refusal{stage, reply}, options)) {
							list = append(list, refusal{stage, reply})
						}
					}
				}
				theirs, ours := refuseAll(t, programs[0], list, lmtp, options, reports), refuseAll(t, programs[1], list, lmtp, options, reports)
				if theirs != ours {
					t.Errorf("LMTP %v, %q: the reference (-) and ours (+):\n%s", lmtp, options, diff(theirs, ours))
				}
				t.Logf("%d refusals compared, with reports: %v", len(list), reports)
			})
		}
	}
}

// mourned tells whether ours sends to the postmaster what the reference deletes, if it is of the null sender:
// doc/differences.md.
func mourned(lmtp bool, how refusal, options string) bool {
	final := strings.HasPrefix(how.reply, "5") && !strings.HasPrefix(how.reply, "553") &&
		(!strings.HasPrefix(how.reply, "571") || strings.Contains(options, "spambounce"))
	return final && how.stage != "rcpt" && (lmtp && how.stage == "dot" || strings.Contains(options, "no softbounce"))
}

// refuseAll lets a program fetch a message for each refusal of the list; every fifth has the null sender.
func refuseAll(t *testing.T, bin string, list []refusal, lmtp bool, options string, reports bool) string {
	t.Helper()
	var texts [][]byte
	for i, how := range list {
		texts = append(texts, refusalText(i, !reports || i%5 == 4 && !mourned(lmtp, how, options)))
	}
	server := mailtest.NewPOP3(texts...)
	start(t, server)
	r := startRefuser(t, list, lmtp, reports)
	defer r.close()
	c := newClient(t, bin)
	c.rc(t, r.rc(server, options, "antispam 571"))
	return r.outcome(c.run(t), server)
}

// rc is a run control file for the server and the listener.
func (r *refuser) rc(server *mailtest.POP3, options, user string) string {
	if r.lmtp {
		user += " lmtp"
	}
	return fmt.Sprintf("%s\npoll localhost proto pop3 no dns port %s timeout 20\n user alice pass secret is joe here sslproto '' %s smtphost localhost/%s\n",
		options, server.Port(), user, r.Port())
}

func (r *refuser) close() {
	r.SMTP.Close()
	if r.reports != nil {
		r.reports.Close()
	}
}

// deviates tells whether the two programs differ on purpose: doc/differences.md.
func deviates(lmtp bool, stage, reply, options string) bool {
	temporary := strings.HasPrefix(strings.TrimPrefix(reply, "then-drop "), "4") || reply == "drop"
	switch {
	case !lmtp:
		return false
	case stage == "rcpt": // the reference is confused when the postmaster takes what the recipient has refused
		return !temporary
	case stage == "dot" && temporary: // and reports what was only put off
		return true
	}
	return stage == "dot" && strings.Contains(options, "no bouncemail") // and loses it
}

// fate is what becomes of a message that is refused.
type fate struct {
	options, user string
	left, buried  bool
	report        string // who gets one; "" if nobody
	whole         bool   // with the message in it
	null          bool   // it is of the null sender
}

// fates are those of a message that is refused for good.
var fates = []fate{
	{options: "", left: true, report: "s1@far.example.org"},
	{options: "set no softbounce", report: "s1@far.example.org"},
	{options: "set no softbounce\nset no bouncemail\nset postmaster boss", report: "boss", whole: true},
	{options: "set no softbounce\nset no bouncemail\nset postmaster ''"},
	{options: "set no softbounce\nset postmaster boss", null: true, report: "boss", whole: true},
	{options: "set no softbounce", user: "onreject keep", left: true},
	{options: "", user: "onreject bounce", report: "s1@far.example.org"},
	{options: "set no bouncemail\nset postmaster boss", user: "onreject bounce", report: "boss", whole: true},
	{options: "", user: "onreject deadletter dead", buried: true},
	{options: "set no softbounce", user: "onreject deadletter /proc/nowhere", left: true},
}

// TestARefusedMessageHoldsUpNobodyAndIsNotLost sends three messages, of which the second is refused in every way.
func TestARefusedMessageHoldsUpNobodyAndIsNotLost(t *testing.T) {
	reports := private()
	for _, lmtp := range []bool{false, true} {
		for _, stage := range []string{"mail", "rcpt", "data", "dot"} {
			for _, f := range fates {
				if f.report == "" || reports {
					f.check(t, lmtp, refusal{stage, "554 5.7.1 bad"}, reports)
				}
			}
			for _, reply := range []string{"451 4.3.0 later", "then-drop 421 4.3.2 closing", "drop"} {
				for _, f := range []fate{{}, {options: "set no softbounce"}, {user: "onreject deadletter dead"}, {user: "onreject bounce"}} {
					f.left = true // and nobody is told
					f.check(t, lmtp, refusal{stage, reply}, reports)
				}
			}
		}
	}
}

// check runs the program with the second of three messages refused.
func (f fate) check(t *testing.T, lmtp bool, how refusal, reports bool) {
	t.Helper()
	name := fmt.Sprintf("LMTP %v, %v, %q, %q", lmtp, how, f.options, f.user)
	if lmtp && how.stage == "dot" && f.report != "" {
		f.left = false // as in the reference, softbounce is not for LMTP
	}
	server := mailtest.NewPOP3(refusalText(0, false), refusalText(1, f.null), refusalText(2, false))
	start(t, server)
	r := startRefuser(t, []refusal{{}, how, {}}, lmtp, reports)
	defer r.close()
	r.always = true
	c := newClient(t, binary(t))
	c.rc(t, r.rc(server, f.options, f.user))
	res := c.run(t)
	var left, arrived []string
	for _, m := range server.Left("alice") {
		left = append(left, subject(m.Raw))
	}
	for _, m := range r.Mails() {
		if m.Accepted {
			arrived = append(arrived, subject(m.Text))
		}
	}
	if res.code != 0 || fmt.Sprint(arrived) != "[message 0 message 2]" || f.left != slices.Contains(left, "message 1") || len(left) > 1 {
		t.Errorf("%s: left %q, arrived %q, %s", name, left, arrived, res)
	}
	if how.reply != "drop" && !strings.Contains(res.stderr, how.reply[strings.Index(how.reply, " 4")+1:]) {
		t.Errorf("%s: the answer was not told: %s", name, res)
	}
	var dead []string
	for _, m := range real.ReadMaildir(t, filepath.Join(c.home, "dead")) {
		dead = append(dead, string(m.Text))
	}
	if want := strings.ReplaceAll(string(refusalText(1, f.null)), "\r", ""); f.buried != (len(dead) == 1 && dead[0] == want) || !f.buried && len(dead) > 0 {
		t.Errorf("%s: in the dead letter folder is %q, want %q: %v; %s", name, dead, want, f.buried, res)
	}
	if reports {
		f.checkReports(t, name, r.reports.Mails())
	}
}

func (f fate) checkReports(t *testing.T, name string, sent []mailtest.Mail) {
	t.Helper()
	switch {
	case f.report == "" && len(sent) > 0:
		t.Errorf("%s: somebody was told: %+v", name, sent)
	case f.report == "":
	case len(sent) != 1 || sent[0].To[0] != "RCPT TO:<"+f.report+">" || sent[0].From != "MAIL FROM:<>":
		t.Errorf("%s: reports %+v, want one to %s", name, sent, f.report)
	case f.whole != strings.Contains(string(sent[0].Text), string(refusalText(1, f.null))):
		t.Errorf("%s: with the whole message: %v\n%s", name, f.whole, sent[0].Text)
	}
}

func subject(text []byte) string {
	_, s, _ := strings.Cut(string(text), "Subject: ")
	s, _, _ = strings.Cut(s, "\r\n")
	return s
}

// TestARefusedMessageIsNeverHeldWhole has a large one refused after its text, so that it has to be fetched again.
func TestARefusedMessageIsNeverHeldWhole(t *testing.T) {
	const size = 48 << 20
	reports := private()
	for _, f := range []fate{
		{user: "onreject deadletter dead"},
		{options: "set no softbounce\nset no bouncemail\nset postmaster boss", report: "boss"},
	} {
		if f.report != "" && !reports {
			continue // nobody would take it
		}
		server := mailtest.NewPOP3(append(refusalText(0, false), strings.Repeat(strings.Repeat("y", 70)+"\r\n", size/72)...))
		if err := server.Start(""); err != nil {
			t.Fatal(err)
		}
		r := startRefuser(t, nil, false, reports)
		l, err := mailtest.StartSMTP(mailtest.SMTPOptions{Discard: true, Replies: map[string][]string{"dot": {"554 5.7.1 bad"}}})
		if err != nil {
			t.Fatal(err)
		}
		r.SMTP.Close()
		r.SMTP = l
		c := newClient(t, binary(t))
		c.rc(t, r.rc(server, f.options, f.user))
		res := c.run(t)
		if len(server.Left("alice")) > 0 || res.peak > size*3/4 {
			t.Errorf("%q: %d left, %s", f.user, len(server.Left("alice")), res)
		}
		got := 0
		for _, m := range real.ReadMaildir(t, filepath.Join(c.home, "dead")) {
			got += len(m.Text)
		}
		if f.report != "" {
			for _, m := range r.reports.Mails() {
				got += m.Octets
			}
		}
		if got < size*70/72-4096 {
			t.Errorf("%q: %d octets of %d have arrived: %s", f.user, got, size, res)
		}
		t.Logf("%q: at most %.1f MB, %v", f.user, float64(res.peak)/1e6, res.took)
		r.close()
		server.Close()
	}
}
