package ledger

import (
	"slices"
	"strings"
)

// Account is the part of one account: a user at a host, or one folder of it. Methods that return an error have changed
// what is known in memory all the same, unless said otherwise.
type Account struct {
	l       *Ledger
	key     string
	name    string
	known   *list
	bounced *list
}

// Account registers an account and returns its part; the order of registration is the order in the file. folder is ""
// for accounts that have none (POP3): those are the lines that the reference knows. host is the name that the reference
// writes: the one of the option via, otherwise that of the poll entry. It may be called again for the same account.
func (l *Ledger) Account(user, host, folder string) *Account {
	name := accountName(user, host, folder)
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.register(name)
	if folder == "" && confusing(user) {
		known.raw = lowerASCII(strings.TrimLeft(user+"@"+host, blank))
		l.claimRaw(known)
	}
	return &Account{l: l, key: fold(name), name: name, known: known, bounced: l.register(name + ";bounced")}
}

// Known tells whether the UID stands in the file: the message is old.
func (a *Account) Known(uid string) bool { return a.has(a.known, uid) }

// Empty tells whether no message of the account stands in the file.
func (a *Account) Empty() bool {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	return len(a.known.has) == 0
}

// UIDs are the messages that stand in the file, in its order.
func (a *Account) UIDs() []string {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	a.known.tidy()
	return slices.Clone(a.known.uids)
}

// Bounced tells whether Bounce was called for the UID.
func (a *Account) Bounced(uid string) bool { return a.has(a.bounced, uid) }

func (a *Account) has(s *list, uid string) bool {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	_, ok := s.has[uidText(uid)]
	return ok
}

// Pending tells whether the message was accepted by a sink in a poll that was never settled, here or in a process that
// died: it is not to be fetched again, and to be deleted unless it is to be kept.
func (a *Account) Pending(uid string) bool {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	_, ok := a.l.open[a.key][uid]
	return ok
}

// Ready tells whether a record can be written, by writing an empty one. Whoever asks before a message is fetched does not
// deliver what could not be recorded, again and again.
func (a *Account) Ready() error {
	l := a.l
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.append()
}

// Accept records that a sink has taken the message. It is called before the deletion is asked for. After an error the
// record does not outlive a crash.
func (a *Account) Accept(uid string) error {
	if uid == "" {
		return nil
	}
	l := a.l
	l.mu.Lock()
	defer l.mu.Unlock()
	r := record{verb: vAccepted, account: a.name, uid: uid, when: l.now().Unix()}
	l.setOpen(a.key, r)
	return l.append(r)
}

// Bounce records that a bounce went out for a message that stays on the server.
func (a *Account) Bounce(uid string) error {
	if uid == "" {
		return nil
	}
	l := a.l
	l.mu.Lock()
	defer l.mu.Unlock()
	a.bounced.add(uid)
	l.dirty = true
	return l.append(record{verb: vKnown, account: a.bounced.name, uid: uid})
}

// Sync makes everything that was recorded durable. It is called before deletions are made final.
func (a *Account) Sync() error {
	l := a.l
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	j := l.journal
	var size int64
	if j != nil {
		size = j.size
	}
	l.mu.Unlock()
	if j == nil || j.synced == size {
		return nil
	}
	// Without l.mu: the other polls go on meanwhile. l.syncing keeps the journal from being closed.
	if err := j.Sync(); err != nil {
		return err
	}
	j.synced = size
	return nil
}

// Removed records that the server has confirmed the deletion of messages.
func (a *Account) Removed(uids ...string) error {
	l := a.l
	l.mu.Lock()
	defer l.mu.Unlock()
	var records []record
	for _, uid := range uids {
		_, open := l.open[a.key][uid]
		_, known := a.known.has[uidText(uid)]
		if !open && !known {
			continue
		}
		l.clearOpen(a.key, uid)
		a.known.remove(uid)
		l.dirty = l.dirty || known
		records = append(records, record{verb: vRemoved, account: a.name, uid: uid})
	}
	if len(records) == 0 {
		return nil
	}
	return l.append(records...)
}

// Finish settles the account at the end of a poll, however it ended, once the mailbox has been listed: known is what
// shall stand in the file from now on, in mailbox order. All that Accept recorded is done with. A poll that never came
// as far as the listing must not call it. What was bounced is remembered for the messages for which onServer is true;
// nil keeps all.
func (a *Account) Finish(known []string, onServer func(uid string) bool) error {
	l := a.l
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	before := a.known.uids
	records := a.known.set(known, nil)
	if onServer != nil {
		records = a.bounced.keep(onServer, records)
	}
	if len(l.open[a.key]) > 0 {
		delete(l.open, a.key)
		records = append(records, record{verb: vSettled, account: a.name})
	}
	// The first time the file is written in any case: junk goes.
	l.dirty = l.dirty || !l.settled || len(records) > 0 || !slices.Equal(before, a.known.uids)
	if len(records) == 0 {
		return nil
	}
	size := recordSize * int64(len(records))
	if l.journal != nil {
		size += l.journal.size
	}
	if size >= max(l.written.size, smallFile) {
		return l.compact()
	}
	return l.append(records...)
}

// smallFile is the size in octets up to which a file is not worth writing after each poll.
const smallFile = 4 << 10

// recordSize is a usual size of a record in octets, for deciding whether the file is written now or later.
const recordSize = 64

// set replaces the list and returns the records of what has changed.
func (s *list) set(uids []string, records []record) []record {
	before := s.has
	s.uids, s.has, s.messy = make([]string, 0, len(uids)), make(map[string]struct{}, len(uids)), false
	for _, uid := range uids {
		if uid == "" {
			continue
		}
		u := uidText(uid)
		s.uids = append(s.uids, u)
		s.has[u] = struct{}{}
		if _, ok := before[u]; !ok {
			records = append(records, record{verb: vKnown, account: s.name, uid: u})
		}
	}
	for u := range before {
		if _, ok := s.has[u]; !ok {
			records = append(records, record{verb: vGone, account: s.name, uid: u})
		}
	}
	return records
}

// keep drops what is not on the server and returns the records of it. Names that the format cannot hold are compared in
// its spelling.
func (s *list) keep(onServer func(string) bool, records []record) []record {
	for _, u := range s.uids {
		if _, ok := s.has[u]; ok && !onServer(u) {
			s.remove(u)
			records = append(records, record{verb: vGone, account: s.name, uid: u})
		}
	}
	return records
}
