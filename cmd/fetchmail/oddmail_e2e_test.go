package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"fetchmail/deliver/reftest"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// oddMessages is how many messages each comparison is made with, more than a thousand in all; ODD_MESSAGES in the
// environment asks for more, and ODD_SEED for others.
const oddMessages = 22

// oddConfigs are the option sets; sink is "smtp", "lmtp", "mda" or "bsmtp".
var oddConfigs = []struct{ name, global, server, user, sink string }{
	{name: "default", sink: "smtp"},
	{name: "default", sink: "lmtp"},
	{name: "default", sink: "mda"},
	{name: "default", sink: "bsmtp"},
	{name: "bad-header accept", server: "bad-header accept", sink: "smtp"},
	{name: "bad-header accept", server: "bad-header accept", sink: "mda"},
	{name: "no rewrite", server: "bad-header accept", user: "no rewrite", sink: "smtp"},
	{name: "no rewrite", server: "bad-header accept", user: "no rewrite", sink: "mda"},
	{name: "mimedecode", server: "bad-header accept", user: "mimedecode", sink: "smtp"},
	{name: "mimedecode", server: "bad-header accept", user: "mimedecode", sink: "mda"},
	{name: "stripcr", server: "bad-header accept", user: "stripcr", sink: "smtp"},
	{name: "no stripcr", server: "bad-header accept", user: "no stripcr", sink: "mda"},
	{name: "forcecr", server: "bad-header accept", user: "forcecr", sink: "smtp"},
	{name: "forcecr", server: "bad-header accept", user: "forcecr", sink: "mda"},
	{name: "drop", server: "bad-header accept tracepolls", user: "dropstatus dropdelivered pass8bits", sink: "smtp"},
	{name: "invisible", global: "set invisible", server: "bad-header accept", sink: "smtp"},
	{name: "all", global: "set invisible", server: "bad-header accept tracepolls", sink: "bsmtp",
		user: "no rewrite mimedecode stripcr dropstatus dropdelivered pass8bits"},
}

// arrival is what became of a message: what the status line says and what the sink got.
type arrival struct {
	status string // " (366 octets) flushed"
	from   string // reverse path
	rest   string // of the envelope
	text   string
}

// onPurpose is what we make of a message where doc/differences.md says that it is something else. g is what we made
// of it.
func (f arrival) onPurpose(g arrival, raw []byte, proto, sink, user string) arrival {
	folded := foldedPath.Match(raw) || strings.ContainsAny(f.from, "\r\n")
	switch {
	case folded && !strings.ContainsAny(g.from, "\r\n"),
		len(f.from) >= cutSender && (g.from == "" || strings.HasPrefix(g.from, f.from[:cutSender])),
		sink == "mda" && strings.HasPrefix(f.from, "-"):
		f.from = g.from
	case sink != "mda" && strings.ContainsAny(f.from, "<>\x00"):
		f.from = ""
	}
	if sink != "mda" {
		f.text = dotBehindCR.ReplaceAllString(f.text, "$1..$2")
		f.text = dotBehindCR.ReplaceAllString(f.text, "$1..$2") // those that overlap
		if strings.HasSuffix(f.text, "\n") && !strings.HasSuffix(f.text, "\r\n") {
			f.text = strings.TrimSuffix(f.text, "\n") + "\r\n"
		}
	} else if proto == "POP3" {
		f.text = withoutDots(f.text)
	}
	f.text = healed(f.text, g.text)
	if sameOnPurpose(f.text, g.text, raw, user) {
		f.text = g.text
	}
	return f
}

// withoutDots takes away the second dots that the reference leaves in the header towards an MDA, but for its first line.
func withoutDots(text string) string {
	blank := "\n\n"
	if strings.Contains(text, "\r\n") {
		blank = "\r\n\r\n"
	}
	head, body, found := strings.Cut(text, blank)
	if !found {
		blank = ""
	}
	return strings.NewReplacer("DATE\n..", "DATE\n..", "\n..", "\n.").Replace(head) + blank + body
}

// sameOnPurpose tells whether two texts differ only as they have to.
func sameOnPurpose(theirs, ours string, raw []byte, user string) bool {
	nul, decode, force := bytes.IndexByte(raw, 0) >= 0, strings.Contains(user, "mimedecode"), strings.Contains(user, "forcecr")
	if decode {
		rest, begun := strings.CutPrefix(ours, theirs)
		if nul || openWord.Match(raw) || begun && strings.HasPrefix(rest, ".\r\n") { // =2E ends the message
			return true
		}
	}
	if nul && force { // one carriage return less where the NUL was
		theirs, ours = strings.ReplaceAll(theirs, "\r\r\n", "\r\n"), strings.ReplaceAll(ours, "\r\r\n", "\r\n")
	}
	if nul || decode || force || strings.Contains(user, "stripcr") {
		// A dot that comes to the beginning of a line only here is not doubled by the reference.
		theirs, ours = leadingDots.ReplaceAllString(theirs, ""), leadingDots.ReplaceAllString(ours, "")
	}
	if decode { // a last line of "=" alone
		theirs, ours = strings.TrimRight(theirs, "\r\n"), strings.TrimRight(ours, "\r\n")
	}
	return theirs == ours
}

// healed takes out of a text the rubbish that the reference puts into lines of more than 8 KB, as far as that is all that
// differs.
func healed(theirs, ours string) string {
	for {
		i := samePrefix(theirs, ours)
		line, _, _ := strings.Cut(ours[strings.LastIndexByte(ours[:i], '\n')+1:], "\n")
		if i == len(theirs) || len(line) < 1000 { // what is decoded is counted before
			return theirs
		}
		n := strings.IndexByte(theirs[i:min(len(theirs), i+4)], '\n')
		if n < 0 {
			return theirs
		}
		theirs = theirs[:i] + theirs[i+n+1:]
	}
}

func samePrefix(a, b string) int {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return i
}

// cutSender is how much of an address the reference looks at.
const cutSender = 766

var (
	dotBehindCR = regexp.MustCompile(`(\r)\.(\r|\n)`)
	foldedPath  = regexp.MustCompile(`(?im)^return-path:[^\n]*\n[ \t]`)
	openWord    = regexp.MustCompile(`=\?[^?\n]*\?[bB]\?(?:[^?\n]|\?[^=])*\??(?:\n|$)`)
	leadingDots = regexp.MustCompile(`(?m)^\.+`)
)

// differs shows where two arrivals part.
func (f arrival) differs(g arrival) string {
	var b strings.Builder
	for _, p := range []struct{ what, f, g string }{{"status", f.status, g.status}, {"sender", f.from, g.from}, {"envelope", f.rest, g.rest}, {"text", f.text, g.text}} {
		if p.f == p.g {
			continue
		}
		i := max(0, samePrefix(p.f, p.g)-60)
		fmt.Fprintf(&b, "\n%s at %d\nreference %.200q\nours      %.200q", p.what, i, p.f[i:], p.g[i:])
	}
	return b.String()
}

// oddSource is a server with alice's mailbox.
type oddSource struct {
	name, proto string
	fill        func(t *testing.T, msgs [][]byte) (port string)
}

// oddSources are a real server, which puts line ends and NULs in order, and a scripted one, which sends what it has.
func oddSources(t *testing.T) []oddSource {
	d := real.StartDovecot(t, real.DovecotOptions{})
	dovecot := func(port int) func(*testing.T, [][]byte) string {
		return func(t *testing.T, msgs [][]byte) string {
			d.Empty(t, "alice", "")
			d.Put(t, "alice", "", real.Texts(msgs...)...)
			return strconv.Itoa(port)
		}
	}
	return []oddSource{
		{"Dovecot", "POP3", dovecot(d.POP3)},
		{"Dovecot", "IMAP", dovecot(d.IMAP)},
		{"scripted", "POP3", func(t *testing.T, msgs [][]byte) string {
			s := mailtest.NewPOP3(msgs...)
			start(t, s)
			return s.Port()
		}},
	}
}

// TestOddMessagesAsTheReference passes generated messages through the reference and ours and compares every octet that
// the sink gets, and what is said about each.
func TestOddMessagesAsTheReference(t *testing.T) {
	t.Parallel()
	n, seed := oddAmount(t)
	bin, reference := binary(t), real.Reference(t)
	for _, src := range oddSources(t) {
		for i, conf := range oddConfigs {
			t.Run(strings.Join([]string{src.name, src.proto, conf.name, conf.sink}, "/"), func(t *testing.T) {
				r := rand.New(rand.NewSource(seed + int64(i)<<32))
				msgs := make([][]byte, n)
				for i := range msgs {
					if msgs[i] = reftest.Odd(r); src.proto == "IMAP" {
						msgs[i] = imapHeader(msgs[i])
					}
				}
				run := &oddRun{reference: reference, src: src, sink: conf.sink, rc: fmt.Sprintf("%s\npoll 127.0.0.1 proto %s port @PORT@ timeout 60 %s\n"+
					" user alice there with password secret is joe here fetchall %s sslproto ''\n expunge %d @SINK@\n", conf.global, src.proto, conf.server, conf.user, n+1)}
				run.compare(t, bin, msgs, func(theirs, ours arrival, raw []byte) arrival {
					return theirs.onPurpose(ours, raw, src.proto, conf.sink, conf.user)
				})
			})
		}
	}
}

// oddAmount is how many messages are asked for, and the seed that makes them.
func oddAmount(t *testing.T) (n int, seed int64) {
	n, seed = oddMessages, 1
	if v, err := strconv.Atoi(os.Getenv("ODD_MESSAGES")); err == nil {
		n = v
	}
	if v, err := strconv.ParseInt(os.Getenv("ODD_SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("ODD_SEED=%d", seed)
	return n, seed
}

// compare passes messages through the reference and bin. wanted is what ours has to be where the reference made theirs of
// a message.
func (o *oddRun) compare(t *testing.T, bin string, msgs [][]byte, wanted func(theirs, ours arrival, raw []byte) arrival) {
	t.Helper()
	theirs := o.all(t, o.reference, msgs)
	ours := o.all(t, bin, msgs)
	bad := 0
	for i, m := range msgs {
		if _, ok := theirs[i]; !ok {
			continue
		}
		want, got := wanted(theirs[i], ours[i], m), ours[i]
		if got == want {
			continue
		}
		if bad++; bad <= 3 {
			t.Errorf("message %.2000q%s", m, want.differs(got))
		}
	}
	t.Logf("%d of %d messages came through the reference, %d differ", len(theirs), len(msgs), bad)
}

// oddRun is one option set at one server.
type oddRun struct {
	reference string
	src       oddSource
	rc, sink  string
}

// all fetches messages until the program has dealt with all of them: the reference crashes at some.
func (o *oddRun) all(t *testing.T, bin string, msgs [][]byte) map[int]arrival {
	t.Helper()
	arrivals := map[int]arrival{}
	for base := 0; base < len(msgs); {
		some, crashed := o.once(t, bin, msgs[base:])
		for i, f := range some {
			arrivals[base+i] = f
		}
		if crashed < 0 {
			break
		}
		delete(arrivals, base+crashed)
		t.Logf("%s has broken off at %.600q", bin, msgs[base+crashed])
		base += crashed + 1
	}
	return arrivals
}

// imapHeader takes out of a header what makes the reference lose the rest of it where header and text come apart: lines
// that seem to be empty, and dots at the beginning of a line. It also ends its last line.
func imapHeader(m []byte) []byte {
	end := len(m) // of the last line of the header
	if bytes.HasPrefix(m, []byte("\n")) || bytes.HasPrefix(m, []byte("\r\n")) {
		end = 0
	} else if at := blankLine.FindIndex(m); at != nil {
		end = at[0] + 1
	}
	head := ending.ReplaceAll(m[:end], []byte("X:$1"))
	if n := len(head); n > 0 && head[n-1] != '\n' {
		head = append(head, '\n')
	}
	return append(head, m[end:]...)
}

var (
	blankLine = regexp.MustCompile(`\n\r?\n`)
	ending    = regexp.MustCompile(`(?m)^(\.|[\r\x00]*\r[\r\x00]*$)`)
)

var readingLine = regexp.MustCompile(`reading message alice@[^ ]+:(\d+) of \d+`)

// once runs the program. crashed is the index of the message at which it did, otherwise -1.
func (o *oddRun) once(t *testing.T, bin string, msgs [][]byte) (arrivals map[int]arrival, crashed int) {
	t.Helper()
	c := newClient(t, bin)
	sink := newOddSink(t, o.sink, c)
	c.rc(t, strings.NewReplacer("@PORT@", o.src.fill(t, msgs), "@SINK@", sink.option).Replace(o.rc))
	res := c.run(t)
	took := sink.taken(t)
	arrivals, crashed = map[int]arrival{}, -1
	marks := readingLine.FindAllStringSubmatchIndex(res.stdout, -1)
	for i, m := range marks {
		end := len(res.stdout)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		n, _ := strconv.Atoi(res.stdout[m[2]:m[3]])
		f := arrival{status: res.stdout[m[1]:end]}
		if strings.HasSuffix(f.status, " flushed\n") && !strings.HasSuffix(f.status, "not flushed\n") && len(took) > 0 {
			f.from, f.rest, f.text, took = took[0].from, took[0].rest, took[0].text, took[1:]
		}
		arrivals[n-1] = f
		crashed = n - 1
	}
	switch {
	case len(marks) == 0 || res.code != 0 && bin != o.reference:
		t.Fatalf("%s: %s", bin, res)
	case res.code == 0:
		crashed = -1
		if len(took) > 0 {
			t.Fatalf("%s: the sink has more messages than were flushed: %+v\n%s", bin, took[0], res)
		}
	}
	return arrivals, crashed
}

// oddSink is where messages of one run go; option is how the rcfile calls it.
type oddSink struct {
	option string
	taken  func(t *testing.T) []arrival
}

func newOddSink(t *testing.T, kind string, c *client) oddSink {
	t.Helper()
	switch kind {
	case "mda":
		agent := filepath.Join(c.home, "agent")
		c.write(t, "agent", fmt.Sprintf("{ printf '\\001BEGIN %%s\\003%%s\\002' \"$1\" \"$2\"; cat; } >>%s/out\n", c.home))
		return oddSink{
			option: fmt.Sprintf(`mda "/bin/sh %s %%F %%T"`, agent),
			taken: func(t *testing.T) (fs []arrival) {
				for part := range strings.SplitSeq(c.read(t, "out"), "\001BEGIN ") {
					if env, text, ok := strings.Cut(part, "\002"); ok {
						from, to, _ := strings.Cut(env, "\003")
						fs = append(fs, arrival{from: from, rest: to, text: settledText([]byte(text))})
					}
				}
				return fs
			},
		}
	case "bsmtp":
		return oddSink{
			option: fmt.Sprintf("bsmtp %q", filepath.Join(c.home, "out")),
			taken: func(t *testing.T) (fs []arrival) {
				for _, m := range reftest.Split([]byte(c.read(t, "out"))) {
					fs = append(fs, arrival{from: m.From, rest: fmt.Sprintf("%s %q", m.Params, m.To), text: settledText(reftest.Unstuffed(m.Text))})
				}
				return fs
			},
		}
	}
	l := &recorder{lmtp: kind == "lmtp"}
	port := serve(t, l.talk)
	word := ""
	if l.lmtp {
		word = "lmtp "
	}
	return oddSink{option: fmt.Sprintf("%ssmtphost 127.0.0.1/%d", word, port), taken: func(*testing.T) []arrival {
		l.Lock()
		defer l.Unlock()
		return l.got
	}}
}

var (
	ourDate    = regexp.MustCompile(`\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [-+]\d{4} \(\w+\)`)
	ourVersion = regexp.MustCompile(`\(fetchmail-\d[^ )]*`)
)

// settledText takes out what differs from run to run: our date and version.
func settledText(b []byte) string {
	return string(ourDate.ReplaceAll(ourVersion.ReplaceAll(b, []byte("(fetchmail-VERSION")), []byte("DATE")))
}

// recorder is an SMTP or LMTP listener that takes everything and notes it as it came. It is lenient where the reference
// needs it: a line that begins with a blank goes on with the command before it, and the final dot may follow a bare LF.
type recorder struct {
	lmtp bool
	sync.Mutex
	got []arrival
}

func (l *recorder) talk(c net.Conn, _ *bufio.Reader) {
	in := bufio.NewReaderSize(prompt{c.(*net.TCPConn)}, 64<<10)
	fmt.Fprint(c, "220 sink.example.test ESMTP\r\n")
	var f arrival
	var envelope string
	rcpts := 0
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if strings.ContainsAny(line[:1], " \t") {
			envelope += line
			continue
		}
		verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch reply := "250 ok\r\n"; strings.ToUpper(verb) {
		case "EHLO", "LHLO":
			fmt.Fprint(c, "250-sink.example.test\r\n250-SIZE\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
		case "MAIL":
			envelope, rcpts = line, 0
			fmt.Fprint(c, reply)
		case "RCPT":
			envelope += line
			rcpts++
			fmt.Fprint(c, reply)
		case "DATA":
			fmt.Fprint(c, "354 go\r\n")
			text, err := dataText(in)
			if err != nil {
				return
			}
			f.text = settledText(reftest.Unstuffed(text))
			m := mailFrom.FindStringSubmatch(envelope)
			f.from, f.rest = m[1], m[2]
			l.Lock()
			l.got = append(l.got, f)
			l.Unlock()
			if !l.lmtp {
				rcpts = 1
			}
			fmt.Fprint(c, strings.Repeat(reply, rcpts))
		case "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		default:
			fmt.Fprint(c, reply)
		}
	}
}

var mailFrom = regexp.MustCompile(`(?s)^MAIL FROM:<(.*?)>((?: BODY=\w+)?(?: SIZE=\d+)?\r\nRCPT .*)$`)

// dataText reads up to the final dot.
func dataText(in *bufio.Reader) ([]byte, error) {
	var b bytes.Buffer
	for start := true; ; {
		piece, err := in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return nil, io.ErrUnexpectedEOF
		}
		if start && string(piece) == ".\r\n" {
			return b.Bytes(), nil
		}
		b.Write(piece)
		start = err == nil
	}
}

// prompt acknowledges every packet at once: the reference waits for that.
type prompt struct{ *net.TCPConn }

func (p prompt) Read(b []byte) (int, error) {
	if raw, err := p.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) })
	}
	return p.TCPConn.Read(b)
}
