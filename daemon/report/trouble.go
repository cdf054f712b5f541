package report

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"fetchmail/daemon/poll"
	"fetchmail/deliver"
	"fetchmail/protocols"
	"fetchmail/protocols/wire"
)

// faq is where the reference sends people whose password is refused.
const faq = "For help, see http://www.fetchmail.info/fetchmail-FAQ.html#R15"

// trouble writes the events that go to the error stream.
func (r *Reporter) trouble(e poll.Event) {
	switch e := e.(type) {
	case poll.Answered:
		r.answered(e)
	case poll.Forwarded:
		if r.Verbose > 0 {
			r.Complain("no address matches; forwarding to %s.", Clean(e.Postmaster))
		}
	case poll.NoReceiver:
		r.Complain("can't even send to %s!", Clean(e.Postmaster))
	case poll.TextRefused:
		r.Complain("SMTP listener refused delivery")
	case poll.Bounced:
		r.bounced(e)
	case poll.Filed:
		r.filed(e)
	case poll.Restored:
		r.Complain("Authorization OK on %s@%s", Clean(e.User), Clean(e.Host))
	case poll.Unsent:
		r.unsent(e)
	case poll.Undecided:
		if r.Explain {
			r.Complain("the server does not tell which messages of %s@%s are new, as it did before: nothing is fetched", Clean(e.User), Clean(e.Host))
		}
	case poll.Warned:
		r.Complain("%s", Clean(e.Text))
	case poll.Failed:
		r.failed(e)
	}
}

func (r *Reporter) answered(e poll.Answered) {
	s := e.Status
	what := "SMTP"
	if e.LMTP {
		what = "LMTP"
	}
	switch {
	case s.Reply.Text == "":
	case s.Reply.Code < 200: // not SMTP: the exit status of an MDA
		r.Complain("%s", Clean(s.Reply.Text))
	default:
		lines := strings.Split(s.Reply.Text, "\n")
		for i, l := range lines {
			lines[i] = Clean(l)
		}
		r.Complain("%s error: %s", what, strings.Join(lines, "\r\n")) // the reference keeps the line ends within
	}
	if r.Verbose > 0 && s.Stage == deliver.AtRcpt && s.Class != deliver.Deferred {
		r.Complain("%s listener doesn't like recipient address `%s'", what, Clean(s.To))
	}
}

func (r *Reporter) bounced(e poll.Bounced) {
	var f *deliver.Fault
	switch {
	case e.Err == nil && r.Verbose > 0: // the dialogue shows it
	case e.Err == nil:
		r.Complain("mail from MAILER-DAEMON@%s bounced to %s", r.Host, Clean(e.To))
	case errors.As(e.Err, &f) && len(f.Detail) > 0:
		r.connection(slices.DeleteFunc(slices.Clone(f.Detail), func(l string) bool {
			return strings.HasPrefix(l, "SMTP connect to") // the reference says so of the sink alone
		}))
	default:
		r.Complain("cannot send a report to %s: %s", Clean(e.To), Clean(e.Err.Error()))
	}
}

func (r *Reporter) filed(e poll.Filed) {
	if e.Err != nil {
		r.Complain("cannot put the refused message into %s: %s", Clean(e.Folder), Clean(e.Err.Error()))
		return
	}
	r.Complain("the refused message is in %s now", Clean(e.Folder))
}

// unsent tells of mail to the user that could not be sent.
func (r *Reporter) unsent(e poll.Unsent) {
	var f *deliver.Fault
	if errors.As(e.Err, &f) && len(f.Detail) > 0 {
		r.connection(f.Detail)
		return
	}
	r.Complain("cannot send a notice to %s: %s", Clean(e.To), Clean(e.Err.Error()))
}

// failed explains why a poll ends.
func (r *Reporter) failed(e poll.Failed) {
	var (
		dns  *poll.DNSError
		src  *protocols.Fault
		dst  *deliver.Fault
		hook *poll.HookError
		led  *poll.LedgerError
	)
	switch {
	case errors.As(e.Err, &hook):
		r.Complain("%s", Clean(hook.Error()))
	case errors.As(e.Err, &dns):
		r.Complain("couldn't find canonical DNS name of %s (%s): %s", Clean(dns.Label), Clean(dns.Host), Clean(lookup(dns.Err)))
	case errors.As(e.Err, &led):
		r.Complain("%s", Clean(led.Error()))
	case errors.As(e.Err, &src):
		r.server(e, src)
	case errors.As(e.Err, &dst):
		r.receiver(e, dst)
	default:
		r.Complain("%s", Clean(e.Err.Error()))
	}
}

// whileFetching is the reference's last line on most errors of a server.
var whileFetching = map[protocols.Kind]string{
	protocols.Socket: "socket error", protocols.Timeout: "socket error", protocols.Protocol: "client/server protocol error",
	protocols.Server: "client/server synchronization error", protocols.Lock: "lock busy on server error",
	protocols.Busy: "server busy error",
}

// labelled is an account with the poll name of its server. The reference's last line on a failure has that; what it says
// before has the name of the host contacted.
func labelled(e poll.Failed) string { return Clean(e.User) + "@" + Clean(e.Label) }

func (r *Reporter) server(e poll.Failed, f *protocols.Fault) {
	who := fmt.Sprintf("%s@%s", Clean(e.User), Clean(e.Host))
	var dial *wire.DialError
	if errors.As(f, &dial) && f.Kind == protocols.Socket && f.Phase == protocols.Connecting {
		r.refused(e, dial)
		return
	}
	for _, line := range f.Detail {
		r.Complain("%s", Clean(line))
	}
	var tls *wire.TLSError
	if errors.As(f, &tls) && r.Explain {
		r.Complain("%s", Clean(tls.Err.Error()))
	}
	if f.Told || r.terse(e, f) {
		return
	}
	switch f.Kind {
	case protocols.Timeout:
		r.timeout(e, f)
	case protocols.Auth:
		r.authorization(who, f, e.Authorized)
		return
	case protocols.Config:
		if len(f.Detail) == 0 {
			r.plainError("%s", Clean(f.Err.Error()))
		}
		return
	case protocols.Lock:
		r.reply(f)
		r.Complain("lock busy!  Is another session active?")
		r.Complain("Lock-busy error on %s", who)
	case protocols.Busy:
		r.Complain("Server busy error on %s", who)
		return
	case protocols.Socket:
		if f.Phase == protocols.LoggingIn {
			r.words(f) // of a server that refuses TLS
			r.Complain("Socket or TLS error on %s", who)
		}
	default:
		if f.Kind == protocols.Protocol && f.Phase == protocols.LoggingIn {
			r.Complain("Unknown login or authentication error on %s", who)
		}
		r.words(f)
	}
	r.Complain("%s while fetching from %s", whileFetching[f.Kind], labelled(e))
	if f.Kind == protocols.Protocol && r.Verbose > 0 && f.Err != nil {
		r.Complain("%s", Clean(f.Error()))
	}
}

// terse deals with two places at which the reference says less: the greeting and the goodbye.
func (r *Reporter) terse(e poll.Failed, f *protocols.Fault) bool {
	greeting := f.Phase == protocols.Opening && f.Op == "greeting"
	switch {
	case f.Kind == protocols.Timeout:
		return false
	case f.Phase == protocols.Finishing:
		return true
	case greeting && f.Kind == protocols.Lock:
		r.Complain("%s while fetching from %s", whileFetching[f.Kind], labelled(e))
		return true
	}
	return greeting && (f.Kind == protocols.Auth || f.Kind == protocols.Busy)
}

// reply shows the words of the server, unless they were shown when they came.
func (r *Reporter) reply(f *protocols.Fault) {
	if f.Reply != "" && !r.shown(f) {
		r.Complain("%s", Clean(strings.TrimPrefix(f.Reply, "-ERR ")))
	}
}

// words tells people what the server has said where the reference keeps it to itself, unless it was an alert.
func (r *Reporter) words(f *protocols.Fault) {
	alerted := r.alert != "" && strings.HasSuffix(f.Reply, r.alert)
	if r.talkative() && f.Reply != "" && !alerted {
		r.Complain("the server says: %s", Clean(f.Reply))
	}
}

// talkative tells whether people are to be told what servers say; with -v the dialogue shows it.
func (r *Reporter) talkative() bool { return r.Explain && r.Verbose == 0 }

// shown tells whether the words of the server were shown when they came: with -v those of POP3 are.
func (r *Reporter) shown(f *protocols.Fault) bool {
	return r.Verbose > 0 && strings.HasPrefix(f.Reply, "-ERR")
}

func (r *Reporter) authorization(who string, f *protocols.Fault, before bool) {
	r.words(f)
	if before {
		r.Complain("Authorization failure on %s (previously authorized)", who)
		return
	}
	r.Complain("Authorization failure on %s", who)
	if !f.Forced {
		r.Complain(faq)
	}
}

func (r *Reporter) timeout(e poll.Failed, f *protocols.Fault) {
	switch f.Phase {
	case protocols.Connecting:
		r.say("timeout after %d seconds waiting to connect to server %s.", e.Timeout, Clean(e.Label))
	case protocols.InMessage:
		r.say("timeout after %d seconds.", e.Timeout)
	default:
		r.say("timeout after %d seconds waiting for server %s.", e.Timeout, Clean(e.Label))
	}
}

// refused explains a connection that did not come about, a line an address.
func (r *Reporter) refused(e poll.Failed, d *wire.DialError) {
	lines := d.Lines(e.Protocol)
	r.attempts(lines)
	r.Complain("%s", lines[0])
	for _, l := range lines[1:] {
		r.plainError("%s", Clean(l))
	}
}

func (r *Reporter) receiver(e poll.Failed, f *deliver.Fault) {
	r.connection(f.Detail)
	who := labelled(e)
	switch f.Kind {
	case deliver.File:
		if len(f.Detail) == 0 {
			r.Complain("%s", Clean(f.Error()))
		}
	case deliver.Pipe:
		r.say("error writing message text")
		r.Complain("MDA error while fetching from %s", who)
	case deliver.Local:
		r.Complain("%s", Clean(f.Error()))
		r.Complain("MDA error while fetching from %s", who)
	default:
		r.Complain("SMTP transaction error while fetching from %s and delivering to SMTP host %s", who, Clean(e.Sink))
	}
}

// attempts writes, with -v, the lines about the addresses of a host once more, before the headline that begins lines.
func (r *Reporter) attempts(lines []string) {
	if r.Verbose == 0 || lines[0] != "Connection errors for this poll:" {
		return
	}
	for _, l := range lines[1:] {
		_, text, named := strings.Cut(l, ": ")
		if !named || !strings.HasPrefix(l, "name ") {
			return
		}
		r.Complain("%s", Clean(text))
	}
}

// connection writes the lines that tell of connections that did not come about.
func (r *Reporter) connection(lines []string) {
	for i, l := range lines {
		r.attempts(lines[i:])
		if strings.HasPrefix(l, "name ") {
			r.plainError("%s", Clean(l))
		} else {
			r.Complain("%s", Clean(l))
		}
	}
}

// lookup is the text of a failed name look-up, as gai_strerror(3) has it.
func lookup(err error) string {
	var d *net.DNSError
	switch {
	case errors.As(err, &d) && d.IsNotFound:
		return "Name or service not known"
	case errors.As(err, &d) && d.IsTemporary:
		return "Temporary failure in name resolution"
	}
	return err.Error()
}
