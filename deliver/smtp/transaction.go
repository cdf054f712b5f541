package smtp

import (
	"context"
	"errors"
	"slices"

	gosmtp "github.com/emersion/go-smtp"

	"fetchmail/deliver"
	"fetchmail/deliver/dots"
)

// transaction is one message on its way into the listener.
type transaction struct {
	sink     *Sink
	session  *session
	conn     *conn
	limits   Timeouts
	stop     func() bool // of the context that Begin was called with
	outcome  deliver.Outcome
	data     *gosmtp.DataCommand
	text     *dots.Writer
	rcptSent int  // RCPTs that went out with an earlier command, whose answers are still to be read
	dataSent bool // the same for DATA
	over     bool
}

// maxGroup bounds the RCPTs that go out together, in octets, and with them the answers: what the network cannot hold
// would make both sides wait for each other (RFC 2920, section 3.1).
const maxGroup = 4 << 10

var errOver = errors.New("the delivery is over already")

func (t *transaction) begin(e deliver.Envelope) *deliver.Fault {
	to, fallback := t.addresses(e)
	if len(to) == 0 && fallback == "" {
		return &deliver.Fault{Kind: deliver.Refusal, Stage: deliver.AtRcpt, Outcome: t.outcome}
	}
	if t.predict(to); t.rcptSent == 1 && len(to) == 1 {
		t.conn.predict("DATA")
		t.dataSent = true
	}
	if fault := t.mail(e, to); fault != nil {
		return fault
	}
	deferred, err := t.rcpt(to)
	if err != nil {
		return t.lost(deliver.AtRcpt, err)
	}
	if t.accepted() == 0 && !deferred && fallback != "" {
		if fault := t.rcptFallback(e, fallback); fault != nil {
			return fault
		}
	} else if t.accepted() == 0 || deferred {
		return t.refused(deliver.AtRcpt)
	}
	return t.begunData()
}

// addresses completes and checks the recipients; refused ones go into the outcome.
func (t *transaction) addresses(e deliver.Envelope) (to []string, fallback string) {
	for _, a := range e.To {
		a = t.sink.complete(t.session.host, a)
		if err := checkRecipient(a); err != nil {
			t.outcome.Status = append(t.outcome.Status, refuse(a, err))
			continue
		}
		to = append(to, a)
	}
	if e.Fallback != "" {
		fallback = t.sink.at(t.session.host, e.Fallback) // smtpname does not count: that one was refused
		if checkRecipient(fallback) != nil {
			fallback = ""
		}
	}
	return to, fallback
}

func checkRecipient(a string) error {
	if a == "" {
		return errors.New("empty recipient address")
	}
	return checkAddress(a)
}

// predict sends as many RCPTs as fit together with the next command, where that gains something.
func (t *transaction) predict(to []string) {
	if t.session.local && !t.conn.turns.far() || !t.session.offers("PIPELINING") {
		return
	}
	octets := 0
	for _, a := range to {
		cmd := "RCPT TO:<" + a + ">"
		if octets += len(cmd); octets > maxGroup {
			return
		}
		t.conn.predict(cmd)
		t.rcptSent++
	}
}

func (t *transaction) mail(e deliver.Envelope, to []string) *deliver.Fault {
	t.conn.params = t.session.params(e)
	t.conn.take()
	t.conn.wait(t.limits.Mail)
	err := t.session.client.Mail(e.From, nil)
	if t.conn.err != nil {
		return t.lost(deliver.AtMail, err)
	}
	r := t.conn.last()
	class := t.sink.class(r)
	if class == deliver.Accepted {
		return nil
	}
	for _, a := range to {
		t.outcome.Status = append(t.outcome.Status, deliver.Status{To: a, Class: class, Stage: deliver.AtMail, Reply: r})
	}
	if err := t.unpredict(to); err != nil {
		return t.lost(deliver.AtMail, err)
	}
	return t.refused(deliver.AtMail)
}

// unpredict reads the answers to the commands that went out with a refused MAIL.
func (t *transaction) unpredict(to []string) error {
	if len(t.conn.ahead) == 0 {
		return nil
	}
	for _, a := range to[:t.rcptSent] {
		t.session.client.Rcpt(a, nil)
	}
	_, err := t.noData()
	return err
}

// noData reads the answer to a DATA that went out although nobody is there to receive the text. RFC 2920, section 3.1:
// where it is yes, an empty text must follow, which reaches nobody and ends the transaction.
func (t *transaction) noData() (ended bool, err error) {
	if !t.dataSent {
		return false, t.conn.err
	}
	t.dataSent = false
	if d, err := t.session.client.Data(); err == nil {
		if t.session.lmtp { // RFC 2033, section 4.2: it must not say yes, and we cannot know how it goes on
			return true, t.conn.fail(errors.New("DATA was accepted without a recipient"))
		}
		ended = true
		t.conn.begin()
		d.Close()
	}
	t.conn.take()
	return ended, t.conn.err
}

// rcpt offers the recipients; deferred tells that one was refused for now. As in the reference all are offered even so.
func (t *transaction) rcpt(to []string) (deferred bool, err error) {
	t.conn.wait(t.limits.Rcpt)
	for i, a := range to {
		if t.rcptSent > 0 {
			t.rcptSent--
		} else {
			t.predict(to[i+1:])
		}
		err := t.session.client.Rcpt(a, nil)
		if t.conn.err != nil {
			return deferred, err
		}
		r := t.conn.last()
		class := t.sink.class(r)
		t.outcome.Status = append(t.outcome.Status, deliver.Status{To: a, Class: class, Stage: deliver.AtRcpt, Reply: r})
		deferred = deferred || class == deliver.Deferred
	}
	return deferred, nil
}

// rcptFallback offers the recipient of last resort, in the same transaction if it is still there.
func (t *transaction) rcptFallback(e deliver.Envelope, fallback string) *deliver.Fault {
	ended, err := t.noData()
	if err != nil {
		return t.lost(deliver.AtRcpt, err)
	}
	if ended {
		if fault := t.mail(e, []string{fallback}); fault != nil {
			return fault
		}
	}
	if _, err := t.rcpt([]string{fallback}); err != nil {
		return t.lost(deliver.AtRcpt, err)
	}
	if t.accepted() == 0 {
		return t.refused(deliver.AtRcpt)
	}
	t.outcome.ByDefault = true
	return nil
}

func (t *transaction) accepted() int {
	n := 0
	for _, s := range t.outcome.Status {
		if s.Class == deliver.Accepted {
			n++
		}
	}
	return n
}

func (t *transaction) begunData() *deliver.Fault {
	t.dataSent = false
	t.conn.wait(t.limits.Data)
	data, err := t.session.client.Data()
	if t.conn.err != nil {
		return t.lost(deliver.AtData, err)
	}
	r := t.conn.last()
	if err != nil {
		class := t.sink.class(r)
		if class == deliver.Accepted { // 2xx: does the listener wait for the text? Nobody knows.
			return t.lost(deliver.AtData, &answerError{"DATA", r})
		}
		t.settle(class, deliver.AtData, r)
		return t.refused(deliver.AtData)
	}
	t.data = data
	t.text = t.conn.wait(t.limits.Block).begin()
	return nil
}

// settle gives a verdict to all who were accepted at RCPT.
func (t *transaction) settle(class deliver.Class, stage deliver.Stage, r deliver.Reply) {
	for i := range t.outcome.Status {
		if s := &t.outcome.Status[i]; s.Class == deliver.Accepted {
			s.Class, s.Stage, s.Reply = class, stage, r
		}
	}
}

// refused ends a transaction that the listener did not want; the connection stays if RSET goes well.
func (t *transaction) refused(stage deliver.Stage) *deliver.Fault {
	f := &deliver.Fault{Kind: deliver.Refusal, Stage: stage, Outcome: t.outcome}
	if _, err := t.noData(); err != nil || !t.session.reset(t.limits) {
		t.sink.Drop()
	} else {
		t.finish()
	}
	return f
}

// lost ends a transaction whose connection is of no use any more.
func (t *transaction) lost(stage deliver.Stage, err error) *deliver.Fault {
	if t.conn.err != nil {
		err = t.conn.err
	}
	t.settle(deliver.Deferred, stage, deliver.Reply{})
	t.sink.Drop()
	return &deliver.Fault{Kind: deliver.Lost, Stage: stage, Outcome: t.outcome, Err: err}
}

// finish closes the connection after the last message of a batch: fetchmail(1), --batchlimit.
func (t *transaction) finish() {
	if n := t.sink.opts.BatchLimit; n > 0 && t.session.messages >= n {
		t.sink.Close()
	}
}

// Recipients tells how RCPT was answered.
func (t *transaction) Recipients() deliver.Outcome { return t.outcome }

// Write sends a part of the text; an error is a *deliver.Fault of kind Lost.
func (t *transaction) Write(p []byte) (int, error) {
	if t.over {
		return 0, errOver
	}
	n, err := t.text.Write(p)
	if err != nil {
		return n, &deliver.Fault{Kind: deliver.Lost, Stage: deliver.AtText, Outcome: t.outcome, Err: err}
	}
	return n, nil
}

// Abort closes the connection without the final dot: RFC 5321, section 4.1.1.4 forbids the listener to deliver. What was
// written so far goes out, as in the reference, so that the listener's log tells the truth.
func (t *transaction) Abort() error {
	if t.over {
		return nil
	}
	t.over = true
	t.text.Spill() // if that fails, there is nobody left to hear
	t.stop()
	t.conn.text = nil
	t.settle(deliver.Deferred, deliver.AtText, deliver.Reply{})
	t.sink.Drop()
	return nil
}

// Commit sends the final dot and waits for the verdict; with LMTP there is one for each recipient.
func (t *transaction) Commit(ctx context.Context) (deliver.Outcome, error) {
	if t.over {
		return t.outcome, errOver
	}
	t.over = true
	defer t.stop()
	if ctx.Err() != nil {
		t.conn.text = nil
		return t.outcome, t.lost(deliver.AtText, ctx.Err())
	}
	defer context.AfterFunc(ctx, func() { t.conn.Conn.Close() })()
	t.conn.wait(t.limits.End)
	early := !t.conn.silent() // a refusal may come early, a yes to what was not sent yet is worth nothing
	if t.session.lmtp {
		return t.commitLMTP(early)
	}
	_, err := t.data.CloseWithResponse()
	if t.conn.err != nil {
		return t.outcome, t.lost(deliver.AtEnd, err)
	}
	r := t.conn.last()
	class := t.sink.class(r)
	if early && class == deliver.Accepted {
		return t.outcome, t.lost(deliver.AtEnd, errEarly)
	}
	t.settle(class, deliver.AtEnd, r)
	switch {
	case early: // the end of the text gets an answer of its own: nobody can tell any more what belongs to what
		t.sink.Drop()
	case class != deliver.Accepted:
		t.refused(deliver.AtEnd)
	default:
		t.finish()
	}
	return t.outcome, nil
}

// commitLMTP reads an answer for each accepted recipient, in the order of RCPT (RFC 2033, section 4.2). The library's
// map would make one of a recipient that was named twice: the answers are taken from below it.
func (t *transaction) commitLMTP(early bool) (deliver.Outcome, error) {
	if early && t.accepted() > 1 { // whose answer is it?
		r, err := t.conn.reply()
		if err == nil {
			err = &answerError{"the text, before its end,", r}
		}
		return t.outcome, t.lost(deliver.AtEnd, err)
	}
	_, err := t.data.CloseWithLMTPResponse()
	if t.conn.err == nil && t.accepted() > 1 && t.conn.more() {
		return t.outcome, t.lost(deliver.AtEnd, errMore)
	}
	replies := t.conn.take()
	closing := slices.ContainsFunc(replies, func(r deliver.Reply) bool { return r.Code == 421 }) // RFC 5321, section 3.8
	for i := range t.outcome.Status {
		s := &t.outcome.Status[i]
		if s.Class != deliver.Accepted {
			continue
		}
		s.Stage = deliver.AtEnd
		if len(replies) == 0 {
			s.Class, s.Reply = deliver.Deferred, deliver.Reply{}
			continue
		}
		s.Class, s.Reply = t.sink.class(replies[0]), replies[0]
		if early && s.Class == deliver.Accepted {
			s.Class, s.Reply = deliver.Deferred, deliver.Reply{}
			t.conn.fail(errEarly)
		}
		replies = replies[1:]
	}
	if t.conn.err != nil {
		t.sink.Drop()
		return t.outcome, &deliver.Fault{Kind: deliver.Lost, Stage: deliver.AtEnd, Outcome: t.outcome, Err: errors.Join(t.conn.err, err)}
	}
	if early || closing { // as with SMTP
		t.sink.Drop()
	}
	t.finish()
	return t.outcome, nil
}
