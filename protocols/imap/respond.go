package imap

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// emit appends to what the library reads next.
func (f *filter) emit(format string, args ...any) {
	f.reading.out = fmt.Appendf(f.reading.out, format, args...)
}

// continuation passes on a "+" if a command waits for one.
func (f *filter) continuation() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.pending {
		if f.pending[i].cont {
			f.pending[i].cont = false
			f.Conn.SetTimeout(f.idle)
			f.emit("+ idling\r\n")
			return
		}
	}
}

// take removes a pending command.
func (f *filter) take(tag string) (command, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, c := range f.pending {
		if c.tag == tag {
			f.pending = append(f.pending[:i], f.pending[i+1:]...)
			return c, true
		}
	}
	return command{}, false
}

func (f *filter) isPending(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.pending {
		if c.name == name || c.name == "UID "+name {
			return true
		}
	}
	return false
}

// tagged passes on the answer to a command of ours. Codes are left out where the library would look into them.
func (f *filter) tagged(line []byte) {
	tag, rest := word(line)
	c, ok := f.take(string(tag))
	if !ok {
		return
	}
	f.reading.seen = 0
	if c.name == "IDLE" {
		f.Conn.SetTimeout(f.limit)
	}
	status, text := word(rest)
	code, _, text := statusCode(text)
	f.warn(code, text)
	switch s := strings.ToUpper(string(status)); s {
	case "OK":
		f.emit("%s OK done\r\n", c.lib)
	case "NO", "BAD":
		f.refuse(c.lib, s, code, text)
	default:
		f.refuse(c.lib, "BAD", nil, rest)
	}
}

func (f *filter) refuse(tag, status string, code, text []byte) {
	switch string(code) {
	case "CAPABILITY", "APPENDUID", "COPYUID":
		code = nil
	}
	f.emit("%s %s ", tag, status)
	if isAtom(code) && len(code) < 100 {
		f.emit("[%s] ", code)
	}
	t := strings.TrimLeft(f.text(text), "[ ")
	if t == "" {
		t = "refused"
	}
	f.emit("%s\r\n", t)
}

// untagged takes what follows the "*".
func (f *filter) untagged(line []byte) error {
	first, rest := word(line)
	if n, ok := number32(first); ok {
		kind, rest := word(rest)
		return f.message(n, strings.ToUpper(string(kind)), rest)
	}
	switch kind := strings.ToUpper(string(first)); kind {
	case "OK", "NO", "BAD", "PREAUTH":
		f.status(rest)
		return nil
	case "BYE":
		if f.isPending("LOGOUT") {
			return nil
		}
		return &byeError{f.text(rest)}
	case "SEARCH":
		f.search(rest)
		return nil
	case "CAPABILITY", "FLAGS":
		return nil
	}
	return f.drop(line)
}

// drop throws a response away, literals included.
func (f *filter) drop(line []byte) error {
	for {
		_, n, ok := literal(line)
		if !ok {
			return nil
		}
		err := f.skip(n)
		if err == nil {
			line, err = f.line()
		}
		if err != nil {
			return early(err)
		}
	}
}

// status takes an untagged OK, NO or BAD: the library sees the two codes that it has to know, we the alert.
func (f *filter) status(text []byte) {
	code, args, rest := statusCode(text)
	f.warn(code, rest)
	switch string(code) {
	case "UIDVALIDITY", "UIDNEXT":
		if n, ok := number32(bytes.TrimSpace(args)); ok {
			f.emit("* OK [%s %d] ok\r\n", code, n)
		}
	}
}

// warn passes on the text behind the code ALERT.
func (f *filter) warn(code, text []byte) {
	if string(code) == "ALERT" {
		f.alert(f.mask.Hide(string(text)))
	}
}

// search passes on numbers, in lines of moderate length.
func (f *filter) search(b []byte) {
	if !f.isPending("SEARCH") {
		return
	}
	f.emit("* SEARCH")
	start := len(f.reading.out)
	for len(b) > 0 {
		var w []byte
		if w, b = word(b); len(w) > 0 && w[0] == '(' {
			break // (MODSEQ n), RFC 7162
		}
		n, ok := number32(w)
		if !ok || n == 0 {
			continue
		}
		if len(f.reading.out)-start > 1000 {
			f.emit("\r\n* SEARCH")
			start = len(f.reading.out)
		}
		f.reading.out = strconv.AppendUint(append(f.reading.out, ' '), uint64(n), 10)
	}
	f.emit("\r\n")
}

// message takes a response that begins with a message number.
func (f *filter) message(n uint32, kind string, rest []byte) error {
	switch kind {
	case "EXISTS":
		f.mu.Lock()
		f.box.setExists(n)
		f.mu.Unlock()
		f.emit("* %d EXISTS\r\n", n)
		select {
		case f.news <- struct{}{}:
		default:
		}
		return nil
	case "EXPUNGE":
		f.mu.Lock()
		known := n > 0 && n <= f.box.exists
		f.box.expunge(n)
		f.mu.Unlock()
		if known && f.isPending("EXPUNGE") {
			f.emit("* %d EXPUNGE\r\n", n)
		}
		return nil
	case "RECENT":
		return nil
	case "FETCH":
		if n > 0 {
			return f.fetch(n, rest)
		}
	}
	return f.drop(rest)
}

// resync finds the end of a FETCH response whose literal was announced too small. What follows is text of a message,
// which its sender may have made look like responses; so it is thrown away up to the answer to a command whose tag
// nobody can know. All commands before it count as refused. key is that of the body under way, 0 if there is none.
func (f *filter) resync(key uint32) error {
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return err
	}
	f.mu.Lock()
	tag := f.newTag(hex.EncodeToString(nonce))
	f.mu.Unlock()
	f.wmu.Lock()
	err := f.put(tag + " NOOP")
	f.wmu.Unlock()
	if err != nil {
		return err
	}
	if err := f.discardTo(tag + " "); err != nil {
		return early(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.box.forget()
	if key != 0 {
		f.ends[key] = errShort
		f.emit(")\r\n")
	}
	for _, c := range f.pending {
		f.emit("%s NO the answer was lost\r\n", c.lib)
	}
	f.pending = nil
	return nil
}

// discardTo reads up to and including the line that begins with prefix.
func (f *filter) discardTo(prefix string) error {
	start, total := true, 0
	for {
		part, err := f.br.ReadSlice('\n')
		full := err != nil && len(part) == f.br.Size()
		if err != nil && !full {
			return err
		}
		if start && bytes.HasPrefix(part, []byte(prefix)) && !full {
			f.show(bytes.TrimRight(part, "\r\n"))
			return nil
		}
		start = !full
		if total += len(part); total > maxResync {
			return fmt.Errorf("%w: no end of a message after %d octets", errLimit, total)
		}
	}
}
