package imap

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// fetched is a FETCH response on its way through the filter.
type fetched struct {
	num, uid  uint32
	key       uint32 // what the body was passed on as, a UID or number; 0 if there was none
	flags     []byte
	hasFlags  bool
	size      int64 // -1 if unknown
	hasSize   bool
	byUID     bool
	inLiteral bool // a literal has just ended: only ")" or a blank can follow
}

// value is the value of a FETCH item.
type value struct {
	kind    byte // 'a' atom or list in text; 'q' quoted, its content in text; 'l' literal of n octets, unread; 'x' no use
	text    []byte
	n       int64
	noMatch bool // the line ended within it
}

// fetch takes a FETCH response, from the parenthesis on.
func (f *filter) fetch(n uint32, b []byte) error {
	i := bytes.IndexByte(b, '(')
	if i < 0 {
		return f.drop(b)
	}
	f.reading.open = &fetched{num: n, size: -1}
	return f.items(b[i+1:])
}

// behindLiteral goes on with a FETCH response. If a literal was announced too small what is left of the message
// stands here.
func (f *filter) behindLiteral(line []byte) error {
	f.show(line)
	if len(line) == 0 || line[0] != ' ' && line[0] != ')' {
		return f.desync()
	}
	return f.items(line)
}

// desync ends a FETCH response that went wrong behind a literal.
func (f *filter) desync() error {
	key := f.reading.open.key
	f.reading.open = nil
	return f.resync(key)
}

// items reads items and values up to the closing parenthesis, or up to a body that is passed on.
func (f *filter) items(b []byte) error {
	r := f.reading.open
	for {
		b = bytes.TrimLeft(b, " ")
		if len(b) == 0 {
			return f.endFetch(false)
		}
		if b[0] == ')' {
			return f.endFetch(len(bytes.Trim(b[1:], " ")) == 0)
		}
		name, rest := itemName(b)
		if name == "" {
			return f.endFetch(false)
		}
		v, rest, err := f.value(rest)
		if err != nil {
			return err
		}
		if v.noMatch {
			return f.endFetch(false)
		}
		section, isBody := bodySection(name)
		if v.kind == 'l' {
			if isBody && f.passLiteral(section, v.n) {
				r.inLiteral = true
				return nil
			}
			if rest, err = f.skipLiteral(v.n); err != nil {
				return err
			}
			if len(rest) == 0 || rest[0] != ' ' && rest[0] != ')' {
				return f.desync()
			}
			r.inLiteral = true
			b = rest
			continue
		}
		if isBody && v.kind == 'q' {
			f.passQuoted(section, v.text)
		} else {
			r.take(name, v)
		}
		b = rest
	}
}

// take notes the value of an item that is not a body.
func (r *fetched) take(name string, v value) {
	switch name {
	case "UID":
		if n, ok := number32(v.text); ok && v.kind == 'a' {
			r.uid = n
		}
	case "FLAGS":
		r.hasFlags = true
		if v.kind == 'a' && bytes.HasPrefix(v.text, []byte("(")) {
			r.flags = flagList(v.text)
		}
	case "RFC822.SIZE":
		r.hasSize = true
		if n, err := strconv.ParseInt(string(v.text), 10, 64); err == nil && n >= 0 && v.kind == 'a' {
			r.size = n
		}
	}
}

// itemName reads the name of an item, with what stands in brackets: BODY[HEADER.FIELDS (A B)]<0>.
func itemName(b []byte) (name string, rest []byte) {
	i := 0
	for i < len(b) && b[i] != ' ' && b[i] != '(' && b[i] != ')' && b[i] != '"' && b[i] != '{' {
		if b[i] == '[' {
			j := bytes.IndexByte(b[i:], ']')
			if j < 0 {
				return "", nil
			}
			i += j
		}
		i++
	}
	return strings.ToUpper(string(b[:i])), b[i:]
}

// bodySection tells which part of a message an item is. Servers answer BODY[...] by its older names and the other
// way round.
func bodySection(name string) (section string, ok bool) {
	switch name {
	case "BODY[]", "BODY.PEEK[]", "RFC822":
		return "", true
	case "BODY[HEADER]", "BODY.PEEK[HEADER]", "RFC822.HEADER":
		return "HEADER", true
	case "BODY[TEXT]", "BODY.PEEK[TEXT]", "RFC822.TEXT", "RFC822.TEXT.PEEK":
		return "TEXT", true
	}
	return "", false
}

// value reads one value. A list that holds literals is read to its end and of no use.
func (f *filter) value(b []byte) (v value, rest []byte, err error) {
	b = bytes.TrimLeft(b, " ")
	if len(b) == 0 {
		return value{kind: 'x', noMatch: true}, nil, nil
	}
	switch b[0] {
	case '"':
		s, rest, ok := quoted(b)
		return value{kind: 'q', text: s, noMatch: !ok}, rest, nil
	case '(':
		return f.listValue(b)
	case '{', '~':
		if head, n, ok := literal(b); ok && len(head) == 0 {
			return value{kind: 'l', n: n}, nil, nil
		}
	case ')':
		return value{kind: 'x'}, b, nil
	}
	i := bytes.IndexAny(b, " )")
	if i < 0 {
		i = len(b)
	}
	return value{kind: 'a', text: b[:i]}, b[i:], nil
}

func (f *filter) listValue(b []byte) (v value, rest []byte, err error) {
	end, depth := nesting(b, 0)
	if end >= 0 {
		return value{kind: 'a', text: b[:end]}, b[end:], nil
	}
	for {
		_, n, ok := literal(b)
		if !ok {
			return value{kind: 'x', noMatch: true}, nil, nil
		}
		if b, err = f.skipLiteral(n); err != nil {
			return value{}, nil, err
		}
		if end, depth = nesting(b, depth); end >= 0 {
			return value{kind: 'x'}, b[end:], nil
		}
	}
}

// skipLiteral throws a literal away and reads the line behind it.
func (f *filter) skipLiteral(n int64) (line []byte, err error) {
	if err = f.skip(n); err != nil {
		return nil, err
	}
	line, err = f.line()
	return line, early(err)
}

// passes tells whether a body is one that the library waits for, and as what.
func (f *filter) passes(section string) (key uint32) {
	r := f.reading.open
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.want
	if w == nil || w.list || w.section != section || r.key != 0 {
		return 0
	}
	r.byUID = w.byUID
	key = r.num
	if w.byUID {
		if r.uid == 0 { // it comes late or never: what the listing has told must do
			key = f.box.id(r.num)
		} else {
			key = r.uid
			f.box.learn(r.num, r.uid)
		}
	}
	if key == 0 || !w.left[key] {
		return 0
	}
	delete(w.left, key)
	r.key = key
	return key
}

func (f *filter) passLiteral(section string, n int64) bool {
	key := f.passes(section)
	if key == 0 {
		return false
	}
	f.beginBody(section, key, n)
	f.reading.lit = n
	return true
}

func (f *filter) passQuoted(section string, text []byte) {
	if key := f.passes(section); key != 0 {
		f.beginBody(section, key, int64(len(text)))
		f.reading.out = append(f.reading.out, text...)
	}
}

func (f *filter) beginBody(section string, key uint32, n int64) {
	r := f.reading.open
	f.emit("* %d FETCH (", r.num)
	if r.byUID {
		f.emit("UID %d ", key)
	}
	f.emit("BODY[%s] {%d}\r\n", section, n)
}

// endFetch ends a FETCH response; whole tells that its parentheses were in order.
func (f *filter) endFetch(whole bool) error {
	r := f.reading.open
	if !whole && r.inLiteral {
		return f.desync()
	}
	f.reading.open = nil
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.key != 0 {
		f.ends[r.key] = nil
		if r.byUID && r.uid != 0 && r.uid != r.key {
			f.ends[r.key] = errUID
		}
		f.emit(")\r\n")
		return nil
	}
	w := f.want
	if r.uid != 0 && w != nil && w.byUID {
		f.box.learn(r.num, r.uid)
	}
	if w != nil && w.list && (r.hasSize || !w.size && r.hasFlags) {
		if w.count++; w.count > maxBox {
			return fmt.Errorf("%w: more than %d messages in a listing", errLimit, maxBox)
		}
		f.listed(r, w)
	}
	return nil
}

// listed passes on flags and size. The caller holds mu.
func (f *filter) listed(r *fetched, w *want) {
	if w.byUID && r.uid == 0 {
		f.box.noUID = true
		return
	}
	f.reading.seen = 0
	f.emit("* %d FETCH (", r.num)
	if w.byUID {
		f.emit("UID %d ", r.uid)
	}
	f.emit("FLAGS (%s)", r.flags)
	if r.size >= 0 {
		f.emit(" RFC822.SIZE %d", r.size)
	}
	f.emit(")\r\n")
}
