package pop3

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"fetchmail/protocols"
)

const (
	// maxMessages is the largest mailbox, so that a server cannot make us remember what it invents.
	maxMessages = 1 << 20
	// maxUIDs bounds all UIDs of a mailbox together, in bytes.
	maxUIDs = 64 << 20
	// oneByOne is up to how many sizes are asked for one at a time where each costs a round trip.
	oneByOne = 8
	// slack is how many lines more than messages a list may have.
	slack = 1000
)

// List asks for the number of messages, what is known of old and new, and the sizes of the new ones.
//
// Old and new as in the reference: with fetchall nothing is asked; without option uidl LAST (RFC 1460) has precedence;
// then the UIDs that Options.Known knows are old; a server without UIDL must have TOP, and everything is new.
// UIDs are asked for with fetchall, too, because a crash must not cost more than a duplicate.
func (s *Session) List(ctx context.Context) (protocols.Listing, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return protocols.Listing{}, err
	}
	defer leave()
	if err := s.settle(); err != nil {
		return protocols.Listing{}, err
	}
	total, octets, err := s.stat()
	if err != nil {
		return protocols.Listing{}, err
	}
	l := protocols.Listing{Total: total, Octets: octets, Items: make([]protocols.Item, total)}
	for i := range l.Items {
		l.Items[i] = protocols.Item{Num: i + 1, Size: -1}
	}
	if total == 0 {
		return l, nil
	}
	if err := s.news(&l); err != nil {
		return protocols.Listing{}, err
	}
	s.sizes(&l)
	return l, nil
}

func (s *Session) stat() (total int, octets int64, err error) {
	const op = "STAT"
	if err := s.inTurn(protocols.Opening, op); err != nil {
		return 0, 0, err
	}
	n, size, err := s.lib.Stat()
	if err != nil && (s.line.err != nil || s.line.kind != granted) {
		return 0, 0, s.fault(protocols.Opening, op)
	}
	if err == nil && (n < 0 || size < 0 || n > maxMessages) {
		err = fmt.Errorf("%d messages of %d octets cannot be", n, size)
	}
	if err != nil {
		return 0, 0, &protocols.Fault{Kind: protocols.Protocol, Phase: protocols.Opening, Op: op, Reply: s.line.lastLine(), Err: err}
	}
	return n, int64(size), nil
}

// news finds out which messages are old.
func (s *Session) news(l *protocols.Listing) error {
	if s.o.FetchAll && !s.o.UIDL {
		shown := s.line.refusal
		s.line.refusal = nil // the reference would not have asked
		bad, err := s.uidl(l)
		s.line.refusal = shown
		if err != nil && s.line.err != nil {
			return err
		}
		if bad != nil || err != nil {
			for i := range l.Items {
				l.Items[i].UID = ""
			}
			s.identified = false
		}
		return nil
	}
	if !s.o.UIDL {
		if done, err := s.last(l); done || err != nil {
			return err
		}
	}
	bad, err := s.uidl(l)
	switch {
	case err != nil && s.line.err == nil && s.line.kind == refused:
		return s.probe()
	case err != nil:
		return uidFault(err)
	case bad != nil:
		return bad
	}
	l.SeenKnown, l.ByUID = true, true
	for i := range l.Items {
		it := &l.Items[i]
		it.Seen = it.UID == "" || s.o.Known(it.UID)
	}
	return nil
}

// uidFault is a fault while the server was asked about old and new, as the reference classes it.
func uidFault(err error) error {
	f := protocols.AsFault(err)
	if f.Kind != protocols.Timeout {
		f.Kind = protocols.Server
		f.Detail = []string{"protocol error while fetching UIDLs"}
	}
	return f
}

// last asks for the highest message number that was ever retrieved; done if the server knows.
func (s *Session) last(l *protocols.Listing) (done bool, err error) {
	const op = "LAST"
	answer, err := s.command(protocols.Opening, op)
	if err != nil {
		if s.line.err == nil && s.line.kind == refused {
			return false, nil
		}
		return false, uidFault(err)
	}
	word, _ := field([]byte(answer))
	n, err := strconv.ParseInt(string(word), 10, 64)
	if err != nil {
		return false, &protocols.Fault{Kind: protocols.Server, Phase: protocols.Opening, Op: op, Reply: s.line.lastLine(),
			Detail: []string{"protocol error"}, Err: err}
	}
	l.SeenKnown = true
	for i := range l.Items {
		l.Items[i].Seen = int64(i) < n
	}
	return true, nil
}

// uidl asks for all UIDs. bad is the fault of a list that was read to its end but has a line that is none.
func (s *Session) uidl(l *protocols.Listing) (bad *protocols.Fault, err error) {
	const op = "UIDL"
	if _, err := s.command(protocols.Opening, op); err != nil {
		return nil, err
	}
	room := maxUIDs
	err = s.lines(protocols.Opening, op, len(l.Items)+slack, func(line []byte) {
		num, uid, ok := parseUID(line)
		if !ok {
			if bad == nil {
				bad = &protocols.Fault{Kind: protocols.Server, Phase: protocols.Opening, Op: op, Reply: s.line.mask.Hide(string(line)),
					Detail: []string{"Cannot handle UIDL response from upstream server."}, Err: errors.New("bad line in the list of UIDs")}
			}
			return
		}
		if room -= len(uid); num > len(l.Items) || room < 0 {
			return
		}
		l.Items[num-1].UID = uid
	})
	s.identified, s.repeated = true, map[int]bool{}
	for _, some := range protocols.Repeated(l.Items) {
		for _, it := range some {
			s.repeated[it.Num] = true
		}
	}
	return bad, err
}

// probe finds out whether a server without LAST and UIDL has TOP: without any of them it is not worth going on, says
// the reference.
func (s *Session) probe() error {
	const op = "TOP 1 1"
	if _, err := s.command(protocols.Opening, op); err != nil {
		return uidFault(err)
	}
	t := s.newText(protocols.Opening, op)
	if err := t.skip(); err != nil {
		return uidFault(err)
	}
	return nil
}

// sizes asks for the sizes of the new messages. What goes wrong is told by Fetch: there the reference asks.
func (s *Session) sizes(l *protocols.Listing) {
	var wanted []*protocols.Item
	for i := range l.Items {
		if !l.Items[i].Seen || s.o.FetchAll {
			wanted = append(wanted, &l.Items[i])
		}
	}
	var err error
	from := 1
	switch {
	case len(wanted) == 0:
		return
	case len(wanted) <= oneByOne || s.caps.pipelining && s.o.Window > 1 && len(wanted) < len(l.Items)/4:
		from, err = s.someSizes(wanted)
	default:
		err = s.allSizes(l)
	}
	if err != nil {
		s.listFault, s.listFrom = protocols.AsFault(err), from
	}
}

// someSizes asks for single sizes, many at once where the server allows it. from is the number of the first message
// whose size could not be had.
func (s *Session) someSizes(wanted []*protocols.Item) (from int, err error) {
	step := 1
	if s.caps.pipelining {
		step = s.o.Window
	}
	for len(wanted) > 0 {
		n := min(step, len(wanted))
		if err := s.inTurn(protocols.Fetching, "LIST"); err != nil {
			return wanted[0].Num, err
		}
		s.line.held = true
		for _, it := range wanted[:n] {
			s.lib.Send("LIST " + strconv.Itoa(it.Num))
		}
		s.line.flush()
		for i, it := range wanted[:n] {
			answer, err := s.lib.ReadOne()
			if err != nil {
				f := s.fault(protocols.Fetching, "LIST "+strconv.Itoa(it.Num))
				for range wanted[i+1 : n] { // keep in step
					if s.line.err == nil {
						s.lib.ReadOne()
					}
				}
				return it.Num, f
			}
			num, size, ok := parseSize(answer)
			switch {
			case ok && num == it.Num:
				it.Size = size
			case ok:
				s.o.warn(bogusSize)
			}
		}
		wanted = wanted[n:]
	}
	return 0, nil
}

// allSizes asks for the sizes of all messages at once.
func (s *Session) allSizes(l *protocols.Listing) error {
	const op = "LIST"
	if _, err := s.command(protocols.Fetching, op); err != nil {
		return err
	}
	bogus := false
	err := s.lines(protocols.Fetching, op, len(l.Items)+slack, func(line []byte) {
		num, size, ok := parseSize(line)
		if !ok || num > len(l.Items) {
			bogus = true
			return
		}
		l.Items[num-1].Size = size
	})
	if bogus {
		s.o.warn(bogusSize)
	}
	return err
}

// bogusSize is what the reference says to an answer about another message.
const bogusSize = "Warning: ignoring bogus data for message sizes returned by server."
