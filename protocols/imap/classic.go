package imap

import (
	"errors"

	goimap "github.com/emersion/go-imap/v2"

	"fetchmail/protocols"
)

// maxLooks is how often a folder is looked at that changes meanwhile.
const maxLooks = 5

// listNumbers lists a folder as the reference does: SEARCH for what is new, sizes of the range that holds it.
func (s *Session) listNumbers(total uint32) (protocols.Listing, error) {
	var (
		fresh []bool
		uids  []uint32
		err   error
	)
	for look := 1; ; look++ {
		if fresh, uids, err = s.look(total); err != nil {
			return protocols.Listing{}, err
		}
		if s.unchanged(total) {
			break
		}
		// Numbers and UIDs may not belong together.
		if look == maxLooks {
			return protocols.Listing{}, &protocols.Fault{Kind: protocols.Server, Phase: protocols.Opening, Op: "UID SEARCH",
				Err: errors.New("the folder does not cease to change")}
		}
		if total, err = s.count(); err != nil {
			return protocols.Listing{}, err
		}
	}
	l := s.listing(total)
	l.Items = make([]protocols.Item, total)
	first, last := 0, 0
	for i := range l.Items {
		it := &l.Items[i]
		*it = protocols.Item{Num: i + 1, Size: -1}
		if uids != nil {
			it.UID = s.uid(uids[i])
		}
		it.Seen = !fresh[uint32(i+1)] || s.known != nil && s.known(it.UID)
		if !it.Seen {
			if first == 0 {
				first = i + 1
			}
			last = i + 1
		}
	}
	if first > 0 && !s.readOnly {
		err = s.sizes(l.Items, first, last)
	}
	return l, err
}

// look finds out what is new, by message number, and the UIDs of all messages, where there are any.
func (s *Session) look(total uint32) (fresh []bool, uids []uint32, err error) {
	s.filter.mu.Lock()
	s.filter.box.number()
	s.filter.mu.Unlock()
	if fresh, err = s.searchNew(total); err != nil {
		return nil, nil, err
	}
	if uids, err = s.searchUIDs(total); err == nil && uids == nil && s.known != nil && s.unchanged(total) {
		s.known = nil // then \Seen must tell
		fresh, err = s.searchNew(total)
	}
	return fresh, uids, err
}

// unchanged tells whether no message has come or gone since the last look began.
func (s *Session) unchanged(total uint32) bool {
	s.filter.mu.Lock()
	defer s.filter.mu.Unlock()
	return s.filter.box.exists == total && s.filter.box.count == 0
}

// searchNew tells by message number which messages are new as far as flags tell. With fetchall all are; a server that
// refuses SEARCH is asked for flags.
func (s *Session) searchNew(total uint32) ([]bool, error) {
	fresh := make([]bool, total+1)
	criteria := &goimap.SearchCriteria{}
	if s.known == nil && !s.o.FetchAll {
		criteria.NotFlag = append(criteria.NotFlag, goimap.FlagSeen)
	}
	if s.o.Keep && !s.readOnly && (s.known != nil || !s.o.FetchAll) {
		criteria.NotFlag = append(criteria.NotFlag, goimap.FlagDeleted)
	}
	if len(criteria.NotFlag) == 0 {
		for n := uint32(1); n <= total; n++ {
			fresh[n] = true
		}
		return fresh, nil
	}
	data, err := s.client.Search(criteria, nil).Wait()
	if err != nil {
		if s.broken() {
			return nil, s.fault(protocols.Opening, "SEARCH", err)
		}
		return fresh, s.newByFlags(total, fresh)
	}
	set, _ := data.All.(goimap.SeqSet)
	for n := uint32(1); n <= total; n++ {
		if set.Contains(n) {
			fresh[n] = true
		}
	}
	return fresh, nil
}

func (s *Session) newByFlags(total uint32, fresh []bool) error {
	s.filter.expect(&want{list: true})
	defer s.filter.expect(nil)
	cmd := s.client.Fetch(numberRange(1, total), &goimap.FetchOptions{Flags: true})
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		if e := s.entry(m); m.SeqNum <= total {
			fresh[m.SeqNum] = !(s.known == nil && e.seen || s.o.Keep && e.deleted)
		}
	}
	return s.fault(protocols.Opening, "FETCH", cmd.Close())
}

// searchUIDs asks for the UIDs of all messages, for the ledger. A server that has none, or not as many as messages,
// gives nil.
func (s *Session) searchUIDs(total uint32) ([]uint32, error) {
	if s.validity == 0 || s.readOnly && s.known == nil {
		return nil, nil
	}
	data, err := s.client.UIDSearch(&goimap.SearchCriteria{}, nil).Wait()
	if err != nil {
		if s.broken() {
			return nil, s.fault(protocols.Opening, "UID SEARCH", err)
		}
		return nil, nil
	}
	set, _ := data.All.(goimap.UIDSet)
	var uids []uint32
	for _, r := range set {
		for uid := uint64(r.Start); uid <= uint64(r.Stop) && uint32(len(uids)) <= total; uid++ {
			uids = append(uids, uint32(uid))
		}
	}
	if uint32(len(uids)) != total {
		return nil, nil
	}
	return uids, nil
}

// sizes asks for the sizes of messages first to last. A refusal is passed over, as the reference does.
func (s *Session) sizes(items []protocols.Item, first, last int) error {
	step := last - first + 1
	if n := s.o.FetchSizeLimit; n > 0 {
		step = min(step, n)
	}
	s.filter.expect(&want{list: true, size: true})
	defer s.filter.expect(nil)
	for ; first <= last; first += step {
		cmd := s.client.Fetch(numberRange(uint32(first), uint32(min(first+step-1, last))), &goimap.FetchOptions{RFC822Size: true})
		for m := cmd.Next(); m != nil; m = cmd.Next() {
			if n := m.SeqNum; n <= uint32(len(items)) {
				items[n-1].Size = s.entry(m).size
			}
		}
		if err := cmd.Close(); err != nil && s.broken() {
			return s.fault(protocols.Opening, "FETCH", err)
		}
	}
	return nil
}

func numberRange(first, last uint32) goimap.SeqSet {
	var set goimap.SeqSet
	set.AddRange(first, last)
	return set
}

// number is the number that a message of the listing has by now, 0 if it is gone.
func (s *Session) number(it protocols.Item) uint32 {
	s.filter.mu.Lock()
	defer s.filter.mu.Unlock()
	return s.filter.box.num(uint32(it.Num))
}
