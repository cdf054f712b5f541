package poll

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"fetchmail/deliver"
	"fetchmail/deliver/header"
	"fetchmail/deliver/route"
	"fetchmail/deliver/text"
	"fetchmail/protocols"
)

// copySize is the size of the buffer between server and sink, octets.
const copySize = 32 << 10

// Router finds the recipients of a message. Package route has the real one.
type Router interface {
	// told is the recipient that the server has kept with the message, "" if it has not.
	Route(ctx context.Context, b *header.Block, told string) (route.Result, error)
}

// Edit is what happens to a message on its way.
type Edit struct {
	Header     header.Edit
	Received   header.ReceivedInfo // For, Mode, Proto, Folder and Time are filled in for each message
	Invisible  bool                // no Received line
	PeerAddr   bool                // the address of the server stands in it (option dns)
	Traced     bool                // tracepolls: name the poll, the account and the folder in it
	Lines      text.Lines
	MimeDecode bool
	Pass8Bits  bool
	// LocalSender: the sink is a program or a file, which takes a sender without a host; NoSender is for messages that
	// name none.
	LocalSender bool
	Named       string // with LocalSender: what local names are called in our Received line (smtpname)
	NoSender    string
	AcceptBad   bool   // pass on messages with a bad header
	Postmaster  string // takes what all recipients have refused; "" if nobody does
}

// deliver moves one message into the sink. Its error ends the poll; everything else is in the verdict.
func (b *box) deliver(ctx context.Context, m *protocols.Message) (Verdict, error) {
	b.Observer.Observe(Reading{Account: b.Account, Num: m.Item.Num, Total: b.total, Header: m.HeaderSize,
		Size: m.Item.Size, Read: int64(len(m.Header))})
	h, err := header.Parse(b.headerOf(m))
	switch {
	case m.Item.Num == 1 && h.Has("X-IMAP"): // a mail folder's own first message
		b.Observer.Observe(Retained{})
		return Verdict{}, nil
	case err != nil && !b.Edit.AcceptBad:
		var bad header.BadLine
		errors.As(err, &bad)
		b.Observer.Observe(BadHeader{string(bad)})
		return b.keepIt()
	}
	if b.Edit.MimeDecode {
		h.DecodeWords()
	}
	to, err := b.router.Route(ctx, h, m.Recipient)
	if err != nil {
		b.Observer.Observe(Warned{err.Error()})
		return b.keepIt()
	}
	if b.duplicate(m.Header, to) {
		return b.keepIt()
	}
	if len(to.Recipients) == 0 {
		b.Observer.Observe(Warned{"message discarded: nobody to deliver it to, and no postmaster"})
		b.Observer.Observe(Done{Flushed: !b.Rules.Keep})
		return Verdict{Record: true, Delete: !b.Rules.Keep, Seen: true}, nil
	}
	return b.carry(ctx, m, h, to)
}

// headerOf is the header with the line ends that forcecr asks for, as the reference looks at it.
func (b *box) headerOf(m *protocols.Message) []byte {
	if !b.Edit.Lines.ForceCR {
		return m.Header
	}
	return text.Lines{ForceCR: true}.Apply(m.Header)
}

// keepIt ends a message that stays on the server as it is.
func (b *box) keepIt() (Verdict, error) {
	b.Observer.Observe(Done{})
	return Verdict{}, nil
}

// duplicate tells that a message has the same header as the one before it: mail to several users of a multidrop
// mailbox, which the envelope does not tell apart.
func (b *box) duplicate(head []byte, to route.Result) bool {
	if !b.Rules.Multidrop || to.Enveloped {
		return false
	}
	sum := sha256.Sum256(head)
	same := sum == b.lastHead
	b.lastHead = sum
	return same
}

// envelope is what the sink needs to know.
func (b *box) envelope(m *protocols.Message, h *header.Block, to route.Result) deliver.Envelope {
	from, nameless := b.sender(m, h)
	return deliver.Envelope{
		From:     from,
		Nameless: nameless,
		To:       to.Recipients,
		Fallback: b.Edit.Postmaster,
		Size:     max(m.Item.Size, 0),
		Body:     h.BodyType(b.Edit.Pass8Bits),
	}
}

// sender is the reverse path: what the server has kept of it, or what the header says. nameless tells that neither names
// a sender.
func (b *box) sender(m *protocols.Message, h *header.Block) (from string, nameless bool) {
	rewrite := b.Edit.Header.Rewrite
	switch {
	case m.Sender == "<>":
		return "", false
	case m.Sender != "" && (b.Edit.LocalSender || strings.Contains(m.Sender, "@")):
		return m.Sender, false
	case m.Sender != "":
		return m.Sender + "@" + header.Literal(b.Host), false
	case b.Edit.LocalSender:
		if a, ok := h.LocalSender(rewrite, b.Host); ok {
			return a, false
		}
		return b.Edit.NoSender, b.Edit.NoSender == ""
	}
	return h.Sender(rewrite, b.Host, b.User), false
}

// carry moves one message through the sink and settles it.
func (b *box) carry(ctx context.Context, m *protocols.Message, h *header.Block, to route.Result) (Verdict, error) {
	if b.sink == nil {
		b.sink = b.Sink(b.Host)
	}
	p := &parcel{box: b, item: m.Item, env: b.envelope(m, h, to), head: h}
	d, err := b.sink.Begin(ctx, p.env)
	p.lmtp = isLMTP(b.sink)
	b.lastSink = b.sink.Name()
	if err != nil {
		return p.failed(ctx, err)
	}
	p.begun = true
	known := d.Recipients()
	p.tell(ctx, known.Status)
	if known.ByDefault {
		b.Observer.Observe(Forwarded{p.env.Fallback})
	}
	m.Body.Read(nil) // asks for the text; its size is exact from now on
	b.Observer.Observe(Body{Octets: m.BodySize})
	if err := b.write(m, h, to, known, d); err != nil {
		d.Abort()
		return p.failed(ctx, err)
	}
	out, err := d.Commit(ctx)
	if err != nil {
		return p.failed(ctx, err)
	}
	p.failures = 0
	late := atEnd(out.Status)
	p.mute = mute(out, p.lmtp, p.rules())
	p.tell(ctx, late)
	if !p.lmtp && refused(late) {
		b.Observer.Observe(TextRefused{b.lastSink})
	}
	return p.close(out)
}

// isLMTP tells whether a sink speaks LMTP to the host that it has reached.
func isLMTP(s deliver.Sink) bool {
	l, ok := s.(interface{ LMTP() bool })
	return ok && l.LMTP()
}

// parcel is a message on its way into the sink.
type parcel struct {
	*box
	item     protocols.Item
	env      deliver.Envelope
	head     *header.Block
	lmtp     bool // the sink gives a verdict for each recipient after the text
	begun    bool // the receiver has taken the envelope
	reported bool // the sender was told that it failed
	unheard  bool // the sender was to be told and could not be
	mute     bool // the sender is not to be told
}

// rules are those for a message of this sender: as with no bouncemail the null sender is never told of a failure.
func (p *parcel) rules() Rules {
	r := p.Rules
	r.BounceMail = r.BounceMail && p.env.From != ""
	return r
}

// failed settles a message on whose text the receiver has given no verdict.
func (p *parcel) failed(ctx context.Context, err error) (Verdict, error) {
	var dst *deliver.Fault
	var src *protocols.Fault
	switch {
	case errors.As(err, &src) && src.Kind == protocols.Unavailable:
		p.Observer.Observe(Unavailable{Account: p.Account, Num: p.item.Num, Size: p.item.Size, Err: err})
		return p.keepIt()
	case !errors.As(err, &dst):
		return Verdict{}, err
	case dst.Kind == deliver.Lost:
		if st := dst.Outcome.Status; !p.begun && len(st) >= len(p.env.To) { // otherwise somebody might have said yes
			p.tell(ctx, st)
		}
		return p.close(deliver.Outcome{})
	case dst.Kind != deliver.Refusal && (!p.ofMessage(dst) || ctx.Err() != nil):
		return Verdict{}, err
	case dst.Kind != deliver.Refusal:
		return p.unwritten(err)
	}
	o := dst.Outcome
	p.mute = mute(o, p.lmtp, p.rules())
	p.tell(ctx, o.Status)
	if n := len(o.Status); n > len(p.env.To) && o.Status[n-1].Class != deliver.Accepted {
		p.Observer.Observe(NoReceiver{p.env.Fallback})
	}
	return p.close(o)
}

// ofMessage tells whether trouble with a file or a program may be about this message alone: it is too large for the disk,
// or the program did not read it.
func (p *parcel) ofMessage(f *deliver.Fault) bool {
	return p.begun && (f.Stage == deliver.AtText || f.Stage == deliver.AtEnd && f.Kind == deliver.File)
}

// unwritten keeps a message that could not be written, and lets the poll go on with the others.
func (p *parcel) unwritten(err error) (Verdict, error) {
	p.failure = cmp.Or(p.failure, err)
	if p.item.UID != "" && !p.repeated[p.item.UID] {
		p.unfit[p.item.UID] = time.Now()
	}
	if p.failures++; p.failures == mostFailures {
		return Verdict{}, err
	}
	return p.close(deliver.Outcome{})
}

// tell passes on what receivers have answered: to the user, and where it is final to the sender of the message.
func (p *parcel) tell(ctx context.Context, answers []deliver.Status) {
	var to []deliver.Status
	told := false
	for i, s := range answers {
		if s.Class == deliver.Accepted || i == len(p.env.To) { // the last is the postmaster's answer
			continue
		}
		own := s.Stage == deliver.AtRcpt || p.lmtp && s.Stage == deliver.AtEnd // otherwise it is one answer for all
		if s.Class != deliver.Spam && (own || !told) {
			p.Observer.Observe(Answered{p.lastSink, p.lmtp, s})
			told = true
		}
		if reportable(s, p.Rules) {
			to = append(to, s)
		}
	}
	if len(to) > 0 && (p.lmtp && to[0].Stage == deliver.AtEnd || !anyDeferred(answers[:min(len(answers), len(p.env.To))])) {
		p.report(ctx, to, p.lmtp && to[0].Stage == deliver.AtEnd && anyAccepted(answers))
	}
}

// report sends a report of failure to the sender, once for each message: one that is kept will be refused again.
// partial tells that others have the message, so that it goes.
func (p *parcel) report(ctx context.Context, failed []deliver.Status, partial bool) {
	if p.Bounce == nil || p.mute || p.env.From == "" && !partial || p.item.UID != "" && p.led.Bounced(p.item.UID) {
		return
	}
	addr, err := p.Bounce(ctx, Failure{Sender: p.env.From, Header: p.text(), Status: failed, Partial: partial})
	if addr != "" || err != nil {
		p.Observer.Observe(Bounced{To: addr, Err: err})
	}
	p.reported, p.unheard = addr != "" && err == nil, err != nil
}

// text is the header as a report quotes it: edited, without our Received line.
func (p *parcel) text() []byte {
	e := p.Edit.Header
	e.Host, e.ReturnPath = p.Host, false
	return bytes.TrimSuffix(p.head.Edit(e), []byte("\r\n"))
}

// close ends a message with a verdict. That its sender was told is remembered as long as the message stays.
func (p *parcel) close(o deliver.Outcome) (Verdict, error) {
	v := settle(o, p.lmtp, p.rules())
	switch {
	case p.unheard && !anyAccepted(o.Status):
		v = Verdict{} // neither delivered nor reported: gone would be lost
	case v.Elsewhere && p.Rules.OnReject != RejectDeadLetter && p.Edit.Postmaster == "":
		p.Observer.Observe(Warned{"message discarded: refused, and no postmaster to send it to"})
	case v.Elsewhere:
		p.leftovers = append(p.leftovers, leftover{p.item, p.env.From, o.Status})
		v = Verdict{}
	}
	p.Observer.Observe(Done{Flushed: v.Delete})
	if p.reported && !v.Record && p.item.UID != "" {
		if err := p.led.Bounce(p.item.UID); err != nil {
			return v, &LedgerError{err}
		}
	}
	return v, nil
}

// write sends the edited header and the text, and tells whose fault it was when it did not work.
func (b *box) write(m *protocols.Message, h *header.Block, to route.Result, known deliver.Outcome, d deliver.Delivery) error {
	e := b.Edit.Header
	e.Host = b.Host
	e.Warning = to.Warning
	if !b.Edit.Invisible {
		e.Received = header.Received(b.received(to, known))
	}
	w := b.Edit.Lines.NewWriter(d)
	if _, err := w.Write(h.Edit(e)); err != nil {
		return err
	}
	src := &source{body: m.Body, watch: b.Observer}
	body := b.decoder(h, w)
	_, err := body.Write(h.Rest())
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{body}, src, b.buffer())
	}
	if src.err != nil {
		return src.err
	}
	if err == nil && body != w {
		err = body.Close()
	}
	if err != nil {
		return err
	}
	return w.Close()
}

// buffer is what texts are copied with.
func (b *box) buffer() []byte {
	if b.buf == nil {
		b.buf = make([]byte, copySize)
	}
	return b.buf
}

// decoder is the filter for the text with the option mimedecode; w itself if there is nothing to decode.
func (b *box) decoder(h *header.Block, w io.WriteCloser) io.WriteCloser {
	if !b.Edit.MimeDecode {
		return w
	}
	m := h.MIME()
	d := text.Decode{Quoted: m.Quoted, Boundary: m.Boundary, Words: header.AppendWords}
	if d.Nothing() {
		return w
	}
	return d.NewWriter(w)
}

// received are the facts for our Received line.
func (b *box) received(to route.Result, known deliver.Outcome) header.ReceivedInfo {
	r := b.Edit.Received
	r.Host, r.Proto, r.Mode, r.Time = b.Host, b.traits.Protocol, to.Mode, time.Now()
	if b.Edit.PeerAddr {
		r.Addr = b.traits.Peer
	}
	if b.Edit.Traced {
		r.Poll, r.Account, r.Folder = b.Label, b.User, b.folder
	}
	if known.ByDefault {
		r.Mode, r.For = header.ByDefault, b.address(known.Status[len(known.Status)-1].To)
		return r
	}
	accepted := slices.DeleteFunc(slices.Clone(known.Status), func(s deliver.Status) bool { return s.Class != deliver.Accepted })
	if len(accepted) == 1 {
		r.For = b.address(accepted[0].To)
	}
	return r
}

// address gives a local name the domain that an MDA or a file does not know.
func (b *box) address(to string) string {
	switch {
	case !b.Edit.LocalSender || strings.Contains(to, "@"):
		return to
	case b.Edit.Named != "":
		return b.Edit.Named
	}
	return to + "@localhost"
}

// source is the text of a message. It remembers the error of the server's side, which io.Copy does not tell apart from
// that of the sink.
type source struct {
	body  io.Reader
	watch Observer
	err   error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	if n > 0 {
		s.watch.Observe(Progress{Text: p[:n]})
	}
	return n, err
}
