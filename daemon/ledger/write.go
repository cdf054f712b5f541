package ledger

import (
	"errors"
	"fmt"
	"strings"
)

// ErrClosed is returned by everything that would write to a closed ledger.
var ErrClosed = errors.New("ledger is closed")

// append writes records to the journal with one write.
func (l *Ledger) append(records ...record) error {
	if l.closed {
		return ErrClosed
	}
	if err := l.needJournal(); err != nil {
		return err
	}
	var b []byte
	if l.journal.torn || len(records) == 0 {
		b = append(b, "%\n"...) // no field ends so: whatever stands before it cannot pass for a record
	}
	for _, r := range records {
		b = r.appendTo(b)
	}
	n, err := l.journal.Write(b)
	l.journal.size += int64(n)
	l.journal.torn = n > 0 && n < len(b) || n == 0 && l.journal.torn
	return err
}

// needJournal takes the first journal that nobody holds.
func (l *Ledger) needJournal() error {
	if l.journal != nil {
		return nil
	}
	for n := range maxJournals {
		path := l.journalPath(n)
		f, err := l.disk.lock(path, true)
		if errors.Is(err, errHeld) {
			continue
		}
		if err != nil {
			return err
		}
		return l.takeOver(f, path)
	}
	return fmt.Errorf("%s: %w", l.journalPath(0), errHeld)
}

// compact brings the file in step with what we know, then the journal. l.syncing and l.mu are held.
func (l *Ledger) compact() error {
	if l.closed {
		return ErrClosed
	}
	if l.dirty {
		if err := l.writeFile(); err != nil {
			return err
		}
		if !l.settled {
			l.disk.sweep(l.path)
		}
		l.dirty, l.settled = false, true
	}
	if l.journal == nil {
		return nil
	}
	if len(l.open) == 0 {
		path := l.journal.path
		if err := l.disk.remove(path); err != nil {
			return err
		}
		l.release()
		return nil
	}
	if l.journal.size >= rotateSize {
		return l.rotate()
	}
	return nil
}

// writeFile replaces the file, unless it is as it should be.
func (l *Ledger) writeFile() error {
	if s := l.disk.stamp(l.path); s != l.written {
		if err := l.reload(); err != nil {
			return err
		}
	}
	data := l.render()
	switch {
	case data == l.image:
		return nil
	case data == "":
		if err := l.disk.remove(l.path); err != nil {
			return err
		}
	default:
		if err := l.disk.replace(l.path, []byte(data)); err != nil {
			return err
		}
	}
	l.image, l.written = data, l.disk.stamp(l.path)
	return nil
}

// reload reads the file again because another program has written it: what it did to accounts that are not ours stands.
func (l *Ledger) reload() error {
	data, s, err := l.disk.read(l.path)
	if err != nil {
		return err
	}
	l.load(data, s)
	for k, s := range l.lists {
		for _, i := range l.index[k] {
			l.lines[i].claimed = true
		}
		if s.raw != "" {
			l.claimRaw(s)
		}
	}
	return nil
}

// render makes the file's content: accounts of ours, then all other lines as they were.
func (l *Ledger) render() string {
	var b strings.Builder
	b.Grow(len(l.image) + 4096)
	for _, lists := range [][]*list{l.order, l.spare} {
		for _, s := range lists {
			s.tidy()
			for _, u := range s.uids {
				b.WriteString(s.name)
				b.WriteByte(' ')
				b.WriteString(u)
				b.WriteByte('\n')
			}
		}
	}
	for _, ln := range l.lines {
		if ln.account != "" && !ln.claimed {
			b.WriteString(ln.raw)
		}
	}
	return b.String()
}

// rotate rewrites the journal with the open records alone.
func (l *Ledger) rotate() error {
	var records []record
	for _, m := range l.open {
		for _, r := range m {
			records = append(records, r)
		}
	}
	tmp := l.journal.path + ".new"
	if err := l.disk.remove(tmp); err != nil {
		return err
	}
	f, err := l.disk.lock(tmp, true)
	if err != nil {
		return err
	}
	var b []byte
	for _, r := range records {
		b = r.appendTo(b)
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.disk.rename(tmp, l.journal.path)
	}
	if err != nil {
		f.Close()
		return errors.Join(err, l.disk.remove(tmp))
	}
	path := l.journal.path
	l.release()
	l.journal = &journal{file: f, path: path, size: int64(len(b)), synced: int64(len(b))}
	return nil
}
