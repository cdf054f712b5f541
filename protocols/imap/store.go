package imap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"fetchmail/protocols"
)

// maxSet is how many messages one STORE or EXPUNGE names, so that its line stays within what servers take (RFC 7162,
// section 4: 8192 octets).
const maxSet = 500

// markTime is how long a mark waits for company.
const markTime = time.Second

// storing is what is under way towards the removal of messages.
type storing struct {
	queue   map[bool][]protocols.Item // marks that were not sent yet, by: as deleted, too
	since   time.Time                 // when the first of them was queued
	sent    []*mark
	marked  []protocols.Item // marked as deleted, for EXPUNGE
	moves   []protocols.Item // to be moved
	removed []protocols.Item // gone, but Commit has not told yet
	wg      sync.WaitGroup
}

func newStoring() *storing { return &storing{queue: map[bool][]protocols.Item{}} }

// mark is a STORE that was sent.
type mark struct {
	items   []protocols.Item
	deleted bool
	err     error // valid after wg.Wait
}

// errForeign is about an item of another folder, or of this one before its UIDs lost their validity.
var errForeign = errors.New("the message is not of this folder")

// writable tells whether marks can be set.
func (s *Session) writable(ctx context.Context, it protocols.Item, op string) error {
	if err := s.usable(ctx, protocols.Fetching); err != nil {
		return err
	}
	if s.readOnly || s.id(it) == 0 {
		return &protocols.Fault{Kind: protocols.Server, Phase: protocols.Fetching, Op: op, Err: errForeign}
	}
	return nil
}

// MarkSeen sets \Seen.
func (s *Session) MarkSeen(ctx context.Context, it protocols.Item) error {
	if err := s.writable(ctx, it, "STORE"); err != nil {
		return err
	}
	if s.classic {
		defer s.watch(ctx)()
		return s.storeNumber(it, false)
	}
	s.mark(it, false)
	return nil
}

// Delete sets \Seen and \Deleted, or with MoveTo remembers the message for the move.
func (s *Session) Delete(ctx context.Context, it protocols.Item) error {
	if err := s.writable(ctx, it, "STORE"); err != nil {
		return err
	}
	switch {
	case s.classic:
		defer s.watch(ctx)()
		return s.deleteNumber(it)
	case s.o.MoveTo != "":
		s.mark(it, false)
		s.store.moves = append(s.store.moves, it)
	default:
		s.mark(it, true)
	}
	return nil
}

// mark remembers a mark. It is sent with others of its batch, or after markTime: a server has one command to carry out
// where there were a hundred, and a slow sink still leaves no more behind than the ledger can tell.
func (s *Session) mark(it protocols.Item, deleted bool) {
	st := s.store
	if len(st.queue[false])+len(st.queue[true]) == 0 {
		st.since = time.Now()
	}
	st.queue[deleted] = append(st.queue[deleted], it)
	if len(st.queue[deleted]) >= maxSet || time.Since(st.since) > markTime {
		s.flush()
	}
}

// flush sends the marks that wait. It waits for no answer.
func (s *Session) flush() {
	for _, deleted := range []bool{false, true} {
		items := s.store.queue[deleted]
		s.store.queue[deleted] = nil
		if len(items) == 0 || s.broken() {
			continue
		}
		flags := []goimap.Flag{goimap.FlagSeen}
		if deleted {
			flags = append(flags, goimap.FlagDeleted)
		}
		m := &mark{items: items, deleted: deleted}
		cmd := s.client.Store(s.uidSet(items), &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Silent: true, Flags: flags}, nil)
		s.store.sent = append(s.store.sent, m)
		s.store.wg.Go(func() { m.err = cmd.Close() })
	}
}

func (s *Session) uidSet(items []protocols.Item) goimap.UIDSet {
	var set goimap.UIDSet
	for _, it := range items {
		set.AddNum(goimap.UID(s.id(it)))
	}
	return set
}

// Commit removes what is marked, or moves it, and tells what is gone. Within a loop over Fetch it only tells.
func (s *Session) Commit(ctx context.Context) ([]protocols.Item, error) {
	err := s.usable(ctx, protocols.Fetching)
	if err == nil && !s.fetching {
		defer s.watch(ctx)()
		s.settle()
		err = s.commit()
	}
	removed := s.store.removed
	s.store.removed = nil
	return removed, err
}

func (s *Session) commit() error {
	if s.classic {
		return s.expungeNumbers()
	}
	err := s.move()
	if s.broken() {
		return err
	}
	if e := s.expunge(); err == nil {
		err = e
	}
	return err
}

// expunge removes by UID what is marked (RFC 4315, section 2.1) and checks that it is gone. The commands follow the
// STOREs at once: of a message that could not be marked nothing is removed.
func (s *Session) expunge() error {
	s.flush()
	st := s.store
	items := slices.Clone(st.marked)
	for _, m := range st.sent {
		if m.deleted {
			items = append(items, m.items...)
		}
	}
	sets := slices.Collect(slices.Chunk(items, maxSet))
	answers := make([]error, len(sets))
	for i, some := range sets {
		cmd := s.client.UIDExpunge(s.uidSet(some))
		st.wg.Go(func() { _, answers[i] = cmd.Collect() })
	}
	st.wg.Wait()
	marked, err := s.answers()
	rest := s.confirm(marked)
	for _, e := range answers {
		if e != nil && err == nil {
			err = s.fault(protocols.Fetching, "EXPUNGE", e)
		}
	}
	if err != nil || len(rest) == 0 {
		return err
	}
	return s.present(marked, rest)
}

// answers sums up the answers to all marks, which have come: what is marked as deleted, and the first refusal.
func (s *Session) answers() (marked []protocols.Item, err error) {
	marked = s.store.marked
	for _, m := range s.store.sent {
		switch {
		case m.err == nil && m.deleted:
			marked = append(marked, m.items...)
		case m.err != nil && err == nil:
			err = s.fault(protocols.Fetching, "STORE", m.err)
		}
	}
	s.store.sent, s.store.marked = nil, nil
	return marked, err
}

// confirm notes which of the items the server has told to be gone and returns the others.
func (s *Session) confirm(items []protocols.Item) (rest []protocols.Item) {
	s.filter.mu.Lock()
	defer s.filter.mu.Unlock()
	for _, it := range items {
		if s.filter.box.gone[s.id(it)] {
			s.store.removed = append(s.store.removed, it)
		} else {
			rest = append(rest, it)
		}
	}
	return rest
}

// present asks for messages that the server has not told to be gone.
func (s *Session) present(items, rest []protocols.Item) error {
	data, err := s.client.UIDSearch(&goimap.SearchCriteria{UID: []goimap.UIDSet{s.uidSet(rest)}}, nil).Wait()
	if err != nil {
		return s.fault(protocols.Fetching, "UID SEARCH", err)
	}
	there, _ := data.All.(goimap.UIDSet)
	n := 0
	for _, it := range rest {
		if there.Contains(goimap.UID(s.id(it))) {
			n++
		} else {
			s.store.removed = append(s.store.removed, it)
		}
	}
	return mismatch(len(items)-n, len(items))
}

// mismatch is the reference's complaint about a server that does not remove what it should.
func mismatch(actual, expected int) error {
	if actual == expected {
		return nil
	}
	text := fmt.Sprintf("mail expunge mismatch (%d actual != %d expected)", actual, expected)
	return &protocols.Fault{Kind: protocols.Server, Phase: protocols.Fetching, Op: "EXPUNGE", Detail: []string{text}, Err: errors.New(text)}
}

// move moves messages (RFC 6851), or copies and then removes them.
func (s *Session) move() error {
	items := s.store.moves
	s.store.moves = nil
	for some := range slices.Chunk(items, maxSet) {
		if s.broken() {
			break
		}
		if err := s.moveSome(some); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) moveSome(items []protocols.Item) error {
	if s.has("MOVE") {
		_, err := s.client.Move(s.uidSet(items), "x").Wait()
		rest := s.confirm(items)
		if err != nil {
			return s.unmoved("MOVE", err)
		}
		if len(rest) > 0 {
			return s.present(items, rest)
		}
		return nil
	}
	if _, err := s.client.Copy(s.uidSet(items), "x").Wait(); err != nil {
		return s.unmoved("COPY", err)
	}
	s.store.queue[true] = append(s.store.queue[true], items...) // commit goes on with them
	return nil
}

// unmoved is the fault of messages that stay where they are because the server does not move them.
func (s *Session) unmoved(op string, err error) error {
	f := sessionFault(protocols.Fetching, op, s.fault(protocols.Fetching, op, err))
	if f.Kind == protocols.Server {
		f.Detail = append(f.Detail, fmt.Sprintf("cannot move messages to folder %q: %s", s.o.MoveTo, f.Reply))
	}
	return f
}

// storeNumber sets marks in the message by message way and waits for the answer.
func (s *Session) storeNumber(it protocols.Item, deleted bool) error {
	s.settle()
	n := s.number(it)
	if n == 0 {
		return nil // somebody else has removed it
	}
	flags := []goimap.Flag{goimap.FlagSeen}
	if deleted {
		flags = append(flags, goimap.FlagDeleted)
	}
	err := s.client.Store(goimap.SeqSetNum(n), &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Silent: s.filter.old, Flags: flags}, nil).Close()
	return s.fault(protocols.Fetching, "STORE", err)
}

// deleteNumber deletes in the message by message way, and removes at the points that the option expunge asks for.
func (s *Session) deleteNumber(it protocols.Item) error {
	if s.o.MoveTo != "" {
		s.settle()
		if n := s.number(it); n != 0 {
			if _, err := s.client.Copy(goimap.SeqSetNum(n), "x").Wait(); err != nil {
				return s.unmoved("COPY", err)
			}
		}
	}
	if err := s.storeNumber(it, true); err != nil {
		return err
	}
	s.store.marked = append(s.store.marked, it)
	if s.o.Expunge > 0 && len(s.store.marked) >= s.o.Expunge {
		return s.expungeNumbers()
	}
	return nil
}

// expungeNumbers removes what is marked (RFC 3501, section 6.4.3) and checks that ours are gone.
func (s *Session) expungeNumbers() error {
	items := s.store.marked
	s.store.marked = nil
	if len(items) == 0 {
		return nil
	}
	_, err := s.client.Expunge().Collect()
	rest := s.confirm(items)
	if err != nil {
		return s.fault(protocols.Fetching, "EXPUNGE", err)
	}
	return mismatch(len(items)-len(rest), len(items))
}
