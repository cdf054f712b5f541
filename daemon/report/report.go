// Package report puts the events of polls into fetchmail's words.
//
// Progress goes to one stream, errors to another, as fetchmail(1) does it. Progress is a stream of partial lines: an
// error that ends a message leaves its "reading message" line open.
//
// With JSON each line becomes a record instead, on the stream on which the line would be, and a message that is read
// becomes one record when it is done. The field msg is the line; the other fields say the same for programs.
//
// On a terminal long downloads show a bar behind the "reading message" line, which disappears without a trace.
package report

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"fetchmail/daemon/poll"
	"fetchmail/protocols"
)

// Reporter writes what an Observer hears. Its methods may be called from several goroutines.
type Reporter struct {
	Out, Err io.Writer
	Host     string // our own name
	Version  string // as "querying" lines show it
	Silent   bool
	Verbose  int
	Dots     bool // showdots: progress of the text of messages
	Check    bool // mail is only counted: failed polls get no line of their own
	Daemon   bool // empty mailboxes are not worth a line, except with Verbose
	// Prefix every progress line with the program's name (logfile, syslog).
	Prefix bool
	Now    func() time.Time
	// Explain adds to failures what the reference does not say: of TLS what was seen and what can be done, of refusals the
	// words of the server.
	Explain bool
	// JSON makes records of lines.
	JSON bool
	// Terminal, if not nil, is where Out ends up; long downloads show a bar there, unless there are Dots.
	Terminal *Terminal

	mu      sync.Mutex
	open    bool   // a progress line is open
	line    string // it, as far as it goes; for JSON and the bar
	octets  int64  // of the message being read
	alert   string // what Alert has told last
	records records
	bar     bar
}

const program = "fetchmail: "

var _ poll.Observer = (*Reporter)(nil)

// Observe writes one event.
func (r *Reporter) Observe(e poll.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.JSON {
		r.records.begin(r, e)
		defer r.records.end(r, e)
	}
	r.tell(e)
}

// tell words one event.
func (r *Reporter) tell(e poll.Event) {
	switch e := e.(type) {
	case poll.Started:
		if r.Verbose > 0 && !r.Silent {
			r.querying(e.Account, e.Protocol, "poll started")
		}
	case poll.Finished:
		r.finished(e)
	case poll.Counted:
		r.counted(e)
	case poll.Reading:
		r.reading(e)
	case poll.Body:
		r.body(e)
	case poll.Progress:
		r.progress(e.Text)
	case poll.Done:
		r.done(e.Flushed)
	case poll.Retained:
		r.part(" retained\n")
	case poll.Skipped:
		r.skipped(e)
	case poll.Limited:
		r.say("fetchlimit %d reached; %d message%s left on server %s account %s", e.Limit, e.Left, plural(e.Left), Clean(e.Host), Clean(e.User))
	case poll.Unavailable:
		r.unavailable(e)
	case poll.BadHeader:
		if r.Silent {
			return
		}
		r.say("incorrect header line found - see manpage for bad-header option")
		if r.Verbose > 0 {
			r.say("line: %s", Clean(e.Line))
		}
	default:
		r.trouble(e)
	}
}

// Trace writes one line of a dialogue: "fetchmail: POP3> STAT". dir is '>' for what we send, '<' for answers, '*' for
// a line that stands for itself.
func (r *Reporter) Trace(protocol string, dir byte, text string) {
	if r.Verbose == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records.about("trace", slog.LevelDebug, slog.String("protocol", protocol), slog.String("direction", string(dir)))
	switch {
	case dir == '*' && r.JSON:
		r.say("%s", Clean(text))
	case dir == '*':
		r.part("%s\n", Clean(text))
	case strings.HasPrefix(text, ". ("): // ". (EOM)"
		r.say("%s%c%s", protocol, dir, Clean(text))
	default:
		r.say("%s%c %s", protocol, dir, Clean(text))
	}
}

// Warn writes an error line that does not end anything.
func (r *Reporter) Warn(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records.about("warning", slog.LevelWarn)
	r.Complain("%s", Clean(text))
}

// Alert tells people what a server wants them to know: RFC 3501, section 7.1, ALERT.
func (r *Reporter) Alert(text string) {
	if !r.talkative() {
		return
	}
	r.Warn("the server says: " + text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alert = text
}

// Say writes a progress line that does not belong to an event.
func (r *Reporter) Say(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records.about("notice", slog.LevelInfo)
	r.say("%s", Clean(text))
}

// Progress is Say for what the option silent holds back.
func (r *Reporter) Progress(text string) {
	if !r.Silent {
		r.Say(text)
	}
}

// Remark is Warn for what the option silent holds back.
func (r *Reporter) Remark(text string) {
	if !r.Silent {
		r.Warn(text)
	}
}

// Connections writes lines about hosts that did not answer while another did.
func (r *Reporter) Connections(lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records.about("connection", slog.LevelWarn)
	r.connection(lines)
}

// say writes a whole progress line with the program's name, whatever the line so far. Silent does not hold it back: what
// the reference calls silent are the lines about messages.
func (r *Reporter) say(format string, args ...any) {
	if r.JSON {
		r.record(r.Out, fmt.Sprintf(format, args...))
		return
	}
	r.bar.hide(r)
	fmt.Fprintf(r.Out, program+format+"\n", args...)
	r.open, r.line = false, ""
}

// part goes on with a progress line; format may end it.
func (r *Reporter) part(format string, args ...any) {
	if r.Silent {
		return
	}
	s := fmt.Sprintf(format, args...)
	if r.JSON {
		r.gather(s)
		return
	}
	r.bar.hide(r)
	if r.Prefix && !r.open {
		io.WriteString(r.Out, program)
	}
	io.WriteString(r.Out, s)
	if r.open = s[len(s)-1] != '\n'; r.open {
		r.line += s
	} else {
		r.line = ""
	}
}

// Complain writes an error line with the program's name.
func (r *Reporter) Complain(format string, args ...any) {
	if r.JSON {
		r.record(r.Err, fmt.Sprintf(format, args...))
		return
	}
	r.bar.hide(r)
	fmt.Fprintf(r.Err, program+format+"\n", args...)
}

// plainError writes an error line without the program's name, as the reference does for some.
func (r *Reporter) plainError(format string, args ...any) {
	if r.JSON {
		r.record(r.Err, fmt.Sprintf(format, args...))
		return
	}
	r.bar.hide(r)
	line := fmt.Sprintf(format, args...)
	if r.Prefix && !strings.HasPrefix(line, "name ") { // which goes on with the line before
		line = program + line
	}
	fmt.Fprintln(r.Err, line)
}

func (r *Reporter) querying(a poll.Account, protocol, what string) {
	r.say("%s querying %s (protocol %s) at %s: %s", r.Version, Clean(a.Label), protocol, r.Now().Format(time.ANSIC), what)
}

func (r *Reporter) finished(e poll.Finished) {
	if r.Verbose > 0 {
		r.querying(e.Account, e.Protocol, "poll completed")
	}
	switch {
	case e.Status == poll.Success || e.Status == poll.NoMail || r.Check:
	case e.Status.String() == "":
		r.say("Query status=%d", e.Status)
	default:
		r.say("Query status=%d (%s)", e.Status, e.Status)
	}
}

func (r *Reporter) counted(e poll.Counted) {
	where := fmt.Sprintf("%s at %s", Clean(e.User), Clean(e.Label))
	if e.Folder != "" {
		where += fmt.Sprintf(" (folder %s)", Clean(e.Folder))
	}
	if e.Total == 0 {
		if (!r.Daemon || r.Verbose > 0) && !r.Silent {
			r.say("No mail for %s", where)
		}
		return
	}
	seen, octets := "", ""
	if e.Seen > 0 {
		seen = fmt.Sprintf(" (%d seen)", e.Seen)
	}
	if e.Octets >= 0 {
		octets = fmt.Sprintf(" (%d octets)", e.Octets)
	}
	r.part("%d message%s%s for %s%s.\n", e.Total, plural(e.Total), seen, where, octets)
}

func (r *Reporter) reading(e poll.Reading) {
	r.octets = e.Read
	r.part("reading message %s@%s:%d of %d", Clean(e.User), Clean(e.Host), e.Num, e.Total)
	switch {
	case e.Header >= 0:
		r.part(" (%d header octets)", e.Header)
	case e.Size > 0:
		r.part(" (%d octets)", e.Size)
	}
	if r.dots() {
		r.part(" #")
	}
	r.bar.begin(r, e)
}

func (r *Reporter) body(e poll.Body) {
	if e.Octets < 0 {
		return
	}
	r.part(" (%d body octets)", e.Octets)
	if r.dots() {
		r.part(" ")
	}
}

// dots tells whether progress is shown as dots and stars.
func (r *Reporter) dots() bool { return r.Dots && !r.JSON }

// progress shows a star for every line of the text and a dot for every 1024 octets of the message.
func (r *Reporter) progress(p []byte) {
	switch {
	case r.Silent:
		return
	case !r.dots():
		r.octets += int64(len(p))
		r.bar.draw(r)
		return
	}
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n') + 1
		line := n > 0
		if !line {
			n = len(p)
		}
		before := r.octets / 1024
		r.octets += int64(n)
		p = p[n:]
		for range r.octets/1024 - before {
			r.part(".")
		}
		if line {
			r.part("*")
		}
	}
}

func (r *Reporter) done(flushed bool) {
	if flushed {
		r.part(" flushed\n")
	} else {
		r.part(" not flushed\n")
	}
}

func (r *Reporter) skipped(e poll.Skipped) {
	r.part("skipping message %s@%s:%d", Clean(e.User), Clean(e.Host), e.Num)
	if e.Oversized {
		r.part(" (%d octets) (oversized)", e.Size)
	}
	r.done(e.Flushed)
}

func (r *Reporter) unavailable(e poll.Unavailable) {
	r.say("couldn't fetch headers, message %s@%s:%d (%d octets)", Clean(e.User), Clean(e.Host), e.Num, e.Size)
	if r.Verbose > 0 && !r.shown(protocols.AsFault(e.Err)) {
		r.Complain("%s", Clean(e.Err.Error()))
	}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
