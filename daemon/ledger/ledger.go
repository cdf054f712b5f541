package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"
)

// Ledger is the file of UIDs and its journal. It is safe for concurrent use.
type Ledger struct {
	path string
	disk disk
	now  func() time.Time

	syncing sync.Mutex // held around syncs and replacements of the journal; taken before mu
	mu      sync.Mutex
	lines   []line           // the file as read, those of registered accounts claimed
	index   map[string][]int // folded account name -> lines
	lists   map[string]*list // folded account name -> list
	order   []*list          // as they are written
	spare   []*list          // found in the journal, not registered
	open    map[string]map[string]record
	written stamp  // the file as we last saw it
	image   string // its content
	dirty   bool
	settled bool // the file was brought into order once
	journal *journal
	closed  bool
}

// journal is the one that we write.
type journal struct {
	file
	path   string
	size   int64
	synced int64
	torn   bool // the last write may have left half a line
}

// list is the UIDs of one account in the file's spelling and order.
type list struct {
	name  string
	uids  []string
	has   map[string]struct{}
	messy bool   // uids holds some that are not in has any more
	raw   string // user@host of lines that the reference wrote for a name that it cannot read back
}

// maxJournals bounds the processes that can share one file.
const maxJournals = 16

// rotateSize is the size in octets from which on a journal with open records is rewritten.
const rotateSize = 64 << 10

// Open reads the file and takes over the journals of processes that have died. An absent file is an empty one; nothing is
// created before there is something to write. It fails with a *PermissionError if others could have written the file, or
// with the error of the file system.
func Open(path string) (*Ledger, error) { return open(path, osDisk{}, time.Now) }

func open(path string, d disk, now func() time.Time) (*Ledger, error) {
	l := &Ledger{path: path, disk: d, now: now, lists: map[string]*list{}, open: map[string]map[string]record{}}
	data, s, err := d.read(path)
	if err != nil {
		return nil, err
	}
	l.load(data, s)
	if err := l.adopt(); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

func (l *Ledger) load(data string, s stamp) {
	l.lines, l.image, l.written = parseFile(data), data, s
	l.index = make(map[string][]int)
	for i, ln := range l.lines {
		if ln.account != "" {
			k := fold(ln.account)
			l.index[k] = append(l.index[k], i)
		}
	}
}

func (l *Ledger) journalPath(n int) string {
	if n == 0 {
		return l.path + ".journal"
	}
	return fmt.Sprintf("%s.journal.%d", l.path, n)
}

// adopt replays the journals that nobody holds. The first becomes ours.
func (l *Ledger) adopt() error {
	for n := range maxJournals {
		path := l.journalPath(n)
		f, err := l.disk.lock(path, false)
		if errors.Is(err, errHeld) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := l.takeOver(f, path); err != nil {
			return err
		}
	}
	return nil
}

// takeOver replays a journal that we hold and keeps it, or gives it up for removal if we have one already: its records
// are copied first.
func (l *Ledger) takeOver(f file, path string) error {
	data, err := f.content()
	if err != nil {
		f.Close()
		return err
	}
	records := parseJournal(data)
	for _, r := range records {
		l.replay(r)
	}
	l.dirty = true
	if l.journal == nil {
		l.journal = &journal{file: f, path: path, size: int64(len(data)), torn: data != "" && !strings.HasSuffix(data, "\n")}
		return nil
	}
	defer f.Close()
	if err := l.append(records...); err != nil {
		return err
	}
	if err := l.journal.Sync(); err != nil {
		return err
	}
	return l.disk.remove(path)
}

func (l *Ledger) replay(r record) {
	k := fold(r.account)
	switch r.verb {
	case vAccepted:
		if age := l.now().Sub(time.Unix(r.when, 0)); age < pendingLife && age > -pendingLife {
			l.setOpen(k, r)
		}
	case vRemoved:
		l.clearOpen(k, r.uid)
		l.listNamed(r.account).remove(r.uid)
	case vSettled:
		delete(l.open, k)
	case vKnown:
		l.listNamed(r.account).add(r.uid)
	case vGone:
		l.listNamed(r.account).remove(r.uid)
	}
}

func (l *Ledger) setOpen(key string, r record) {
	m := l.open[key]
	if m == nil {
		m = make(map[string]record)
		l.open[key] = m
	}
	m[r.uid] = r
}

func (l *Ledger) clearOpen(key, uid string) {
	delete(l.open[key], uid)
	if len(l.open[key]) == 0 {
		delete(l.open, key)
	}
}

// listNamed returns the list of an account, registered or not.
func (l *Ledger) listNamed(name string) *list {
	k := fold(name)
	if s := l.lists[k]; s != nil {
		return s
	}
	s := &list{name: name, has: map[string]struct{}{}}
	l.lists[k] = s
	l.spare = append(l.spare, s)
	l.claim(k, s)
	return s
}

// claim takes the account's lines out of those that are written back as they were.
func (l *Ledger) claim(key string, s *list) {
	for _, i := range l.index[key] {
		if ln := &l.lines[i]; !ln.claimed {
			ln.claimed = true
			if ln.uid != "" {
				s.uids = append(s.uids, ln.uid)
				s.has[ln.uid] = struct{}{}
			}
		}
	}
}

// register gives the list its place in the file, behind those registered before.
func (l *Ledger) register(name string) *list {
	s := l.listNamed(name)
	for i, o := range l.spare {
		if o == s {
			l.spare = append(l.spare[:i:i], l.spare[i+1:]...)
			l.order = append(l.order, s)
			s.name = name
		}
	}
	return s
}

// claimRaw takes the lines that the reference wrote for a user whose name it cannot read back.
func (l *Ledger) claimRaw(s *list) {
	for i := range l.lines {
		ln := &l.lines[i]
		text := strings.TrimLeft(strings.TrimSuffix(ln.raw, "\n"), blank)
		n := len(s.raw)
		if ln.claimed || len(text) <= n || text[n] != ' ' || lowerASCII(text[:n]) != s.raw {
			continue
		}
		if uid := cutUID(text[n:]); uid != "" {
			ln.claimed = true
			s.add(uid)
		}
	}
}

func (s *list) add(uid string) {
	uid = uidText(uid)
	if _, ok := s.has[uid]; !ok {
		s.tidy()
		s.uids = append(s.uids, uid)
		s.has[uid] = struct{}{}
	}
}

func (s *list) remove(uid string) {
	uid = uidText(uid)
	if _, ok := s.has[uid]; ok {
		delete(s.has, uid)
		s.messy = true
	}
}

// tidy brings uids in step with has after removals.
func (s *list) tidy() {
	if !s.messy {
		return
	}
	kept := s.uids[:0]
	for _, u := range s.uids {
		if _, ok := s.has[u]; ok {
			kept = append(kept, u)
		}
	}
	s.uids, s.messy = kept, false
}

// Save writes the file if it has changed and drops what the journal need not keep. A daemon calls it after each round of
// polls.
func (l *Ledger) Save() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dirty && l.journal == nil {
		return nil
	}
	return l.compact()
}

// Close saves and gives up the journal. It stays on the disk only if messages are still accounted for there alone: those
// of an account that was not settled, or everything, if the file could not be written.
func (l *Ledger) Close() error {
	err := l.Save()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.release()
	return err
}

func (l *Ledger) release() {
	if l.journal != nil {
		l.journal.Close()
		l.journal = nil
	}
}
