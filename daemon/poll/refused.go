package poll

import (
	"context"
	"io"

	"fetchmail/deliver"
	"fetchmail/deliver/text"
	"fetchmail/protocols"
)

// leftover is a message that everybody has refused for good and that is to go to somebody else. Its text is gone by the
// time that the receiver says no, and is not held for that: the message is fetched again.
type leftover struct {
	item   protocols.Item
	sender string
	status []deliver.Status
}

// redirect fetches the messages again that were refused and hands them to the postmaster, or puts them into the dead
// letter folder. What does not get there stays on the server.
func (b *box) redirect(ctx context.Context) error {
	if len(b.leftovers) == 0 || b.stopping() {
		return nil
	}
	var items []protocols.Item
	left := map[int]leftover{}
	for _, l := range b.leftovers {
		items = append(items, l.item)
		left[l.item.Num] = l
	}
	b.leftovers = nil
	for m, err := range b.session.Fetch(ctx, items) {
		if m == nil {
			return err
		}
		if err := b.redirectOne(ctx, m, err, left[m.Item.Num]); err != nil {
			return err
		}
	}
	return nil
}

// redirectOne deals with one message without being interrupted, unless the poll is to stop anyway. err tells that the
// server could not give it.
func (b *box) redirectOne(ctx context.Context, m *protocols.Message, err error, l leftover) error {
	b.hand.Lock()
	defer b.hand.Unlock()
	if err == nil {
		err = emptied(m)
	}
	if err != nil {
		b.Observer.Observe(Unavailable{b.Account, m.Item.Num, m.Item.Size, err})
		return nil
	}
	b.Observer.Observe(Reading{Account: b.Account, Num: m.Item.Num, Total: b.total, Header: m.HeaderSize, Size: m.Item.Size,
		Read: int64(len(m.Header))})
	src := &source{body: m.Body, watch: b.Observer}
	hand := b.forward
	if b.Rules.OnReject == RejectDeadLetter {
		hand = b.bury
	}
	taken := hand(ctx, m, l, src)
	if src.err != nil {
		return src.err
	}
	if err := m.Close(); err != nil {
		return err
	}
	v := Verdict{}
	if taken {
		v = Verdict{Record: true, Delete: !b.Rules.Keep, Seen: true}
	}
	b.Observer.Observe(Done{Flushed: v.Delete})
	if err := b.apply(ctx, m.Item, v); err != nil {
		return err
	}
	if b.stopping() {
		b.leaving = true
		return ErrStopped
	}
	return nil
}

// forward sends the whole message to the postmaster, as part of a report.
func (b *box) forward(ctx context.Context, m *protocols.Message, l leftover, src *source) bool {
	if b.Bounce == nil {
		return false
	}
	to, err := b.Bounce(ctx, Failure{Sender: l.sender, Header: m.Header, Status: l.status, Whole: src})
	if src.err == nil {
		b.Observer.Observe(Bounced{To: to, Err: err})
	}
	return to != "" && err == nil
}

// bury puts the message as it has come, but for line ends, into the dead letter folder.
func (b *box) bury(ctx context.Context, m *protocols.Message, l leftover, src *source) bool {
	sink := b.DeadLetter()
	defer sink.Close()
	to := make([]string, len(l.status))
	for i, s := range l.status {
		to[i] = s.To
	}
	out, err := deliver.Send(ctx, sink, deliver.Envelope{From: l.sender, To: to}, func(w io.Writer) error {
		lines := text.Lines{StripCR: true}.NewWriter(w)
		if _, err := lines.Write(m.Header); err != nil {
			return err
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{lines}, src, b.buffer()); err != nil {
			return err
		}
		return lines.Close()
	})
	if src.err == nil {
		b.Observer.Observe(Filed{sink.Name(), err})
	}
	return err == nil && out.Delivered()
}
