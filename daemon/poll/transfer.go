package poll

import (
	"bytes"
	"context"
	"errors"
	"io"

	"fetchmail/protocols"
)

// transfer carries out steps in mailbox order, as many as this session may, and tells how many they were. A session may
// yield messages in another order than asked for; then the other steps do not wait for them.
func (b *box) transfer(ctx context.Context, steps []step) (int, error) {
	steps, limit := b.allowance(steps)
	var items []protocols.Item
	for _, s := range steps {
		if s.Choice == Fetch {
			items = append(items, *s.Item)
		}
	}
	done := 0
	if len(items) > 0 {
		if err := b.led.Ready(); err != nil {
			return 0, &LedgerError{err}
		}
		for m, err := range b.session.Fetch(ctx, items) {
			if m == nil {
				b.brokenOff(steps[min(done, len(steps)):], err)
				return 0, err
			}
			for ; done < len(steps) && steps[done].Num != m.Item.Num; done++ {
				if err := b.dispose(ctx, steps[done]); err != nil {
					return 0, err
				}
			}
			done++
			if err := b.inHand(ctx, m, err); err != nil {
				return 0, err
			}
		}
	}
	for ; done < len(steps); done++ {
		if steps[done].Choice == Fetch {
			continue // the session has not yielded it: not fetched, so nothing happens to it
		}
		if err := b.dispose(ctx, steps[done]); err != nil {
			return 0, err
		}
	}
	b.enough(limit)
	return len(steps), nil
}

// brokenOff tells which message was being read when the session ended in the middle of a header.
func (b *box) brokenOff(rest []step, err error) {
	if protocols.AsFault(err).Phase != protocols.InMessage {
		return
	}
	for _, s := range rest {
		if s.Choice == Fetch {
			b.Observer.Observe(Reading{Account: b.Account, Num: s.Num, Total: b.total, Header: -1, Size: s.Size})
			return
		}
	}
}

// allowance cuts steps where the number of messages for this session is used up. It returns the limit, 0 if none.
func (b *box) allowance(steps []step) ([]step, int) {
	limit := b.limit()
	if limit == 0 {
		return steps, 0
	}
	room := limit - b.inSession
	for i, s := range steps {
		if s.Choice == Fetch {
			if room--; room <= 0 {
				return steps[:i+1], limit
			}
		}
	}
	return steps, limit
}

// limit is the number of messages that this session may fetch, 0 if any. Where deletions are final only at the end of a
// session, expunge asks for short ones.
func (b *box) limit() int {
	limit := b.Rules.FetchLimit
	if limit > 0 {
		limit -= b.fetched - b.inSession
	}
	if e := b.Rules.Expunge; b.traits.CommitEnds && b.Rules.deletes() && e > 0 && (limit == 0 || e < limit) {
		limit = e
	}
	return limit
}

// enough ends a session that has fetched as many messages as it may. That messages remain, old ones too, is worth a
// line.
func (b *box) enough(limit int) {
	if limit == 0 || b.inSession < limit {
		return
	}
	over := b.Rules.FetchLimit > 0 && b.fetched >= b.Rules.FetchLimit
	if !over && b.deletions == 0 && len(b.passed) == 0 {
		return // another session would only bring the same messages again
	}
	b.full = true
	if n := len(b.listing.Items); b.left == 0 || n > 0 && b.listing.Items[n-1].Num == b.lastNum {
		return
	}
	b.limited = over
	b.again = !over && (b.before == 0 || b.wanted < b.before) // a server that removes nothing would never come to an end
	b.before = b.wanted
	b.Observer.Observe(Limited{b.Account, limit, b.left})
}

// dispose carries out a step that needs no fetching.
func (b *box) dispose(ctx context.Context, s step) error {
	sk := Skipped{Account: b.Account, Num: s.Num, Size: s.Size}
	switch s.Choice {
	case Remove:
		return b.remove(ctx, *s.Item)
	case FlushOld, FlushLarge:
		sk.Flushed = true
		if err := b.remove(ctx, *s.Item); err != nil {
			return err
		}
	case Confirm:
		return b.session.MarkSeen(ctx, *s.Item)
	case Leave, Fetch:
		return nil
	}
	if s.Choice == SkipLarge || s.Choice == FlushLarge {
		sk.Oversized = true
		b.large = append(b.large, s.Size)
	}
	b.Observer.Observe(sk)
	return nil
}

// remove marks a message for deletion.
func (b *box) remove(ctx context.Context, it protocols.Item) error {
	b.deletions++
	return b.session.Delete(ctx, it)
}

// inHand deals with one message without being interrupted, unless the poll is to stop anyway.
func (b *box) inHand(ctx context.Context, m *protocols.Message, err error) error {
	b.hand.Lock()
	defer b.hand.Unlock()
	if err := b.fetchOne(ctx, m, err); err != nil {
		return err
	}
	if b.stopping() {
		b.leaving = true
		return ErrStopped
	}
	return nil
}

// fetchOne deals with one message that the session has yielded. err tells that the server could not give it.
func (b *box) fetchOne(ctx context.Context, m *protocols.Message, err error) error {
	if err == nil {
		err = emptied(m)
	}
	if err != nil {
		b.Observer.Observe(Unavailable{b.Account, m.Item.Num, m.Item.Size, err})
		switch b.Rules.RetrieveError {
		case "abort":
			return err
		case "markseen":
			b.passed[m.Item.UID] = true // no record: nobody has the message, so nothing may ever delete it
			return b.apply(ctx, m.Item, Verdict{Seen: true})
		}
		return nil
	}
	b.fetched++
	b.inSession++
	b.lastNum = m.Item.Num
	b.left--
	v, err := b.deliver(ctx, m)
	if cerr := m.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return b.apply(ctx, m.Item, v)
}

// errEmpty is about a server that has lost the text of a message, but not the rest of what it knows of it.
var errEmpty = errors.New("the server sent nothing of a message that has a size")

// emptied tells whether nothing at all has come of a message that is not empty.
func emptied(m *protocols.Message) error {
	if len(m.Header) > 0 || m.Item.Size <= 0 {
		return nil
	}
	var first [1]byte
	switch n, err := io.ReadFull(m.Body, first[:]); {
	case n == 1:
		m.Body = io.MultiReader(bytes.NewReader(first[:]), m.Body)
		return nil
	case err == io.EOF:
		m.Close()
		return &protocols.Fault{Kind: protocols.Unavailable, Phase: protocols.Fetching, Err: errEmpty}
	default:
		m.Body = failing{err}
		return nil
	}
}

// failing is the text of a message that could not be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// apply carries out a verdict: record, then delete or mark as read.
func (b *box) apply(ctx context.Context, it protocols.Item, v Verdict) error {
	if v.Record && it.UID != "" {
		if err := b.record(it.UID); err != nil {
			return err
		}
	}
	switch {
	case v.Delete:
		return b.remove(ctx, it)
	case v.Seen:
		return b.session.MarkSeen(ctx, it)
	}
	return nil
}

// record notes that somebody has accepted a message. A UID that does not tell messages apart is not recorded: after a
// crash the record would delete the other message, and a duplicate is better.
func (b *box) record(uid string) error {
	b.passed[uid] = true
	if b.repeated[uid] {
		return nil
	}
	if err := b.led.Accept(uid); err != nil {
		return &LedgerError{err}
	}
	b.accepted[uid] = true
	return nil
}
