package imap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"fetchmail/protocols"
)

// firstWindow is the number of messages in the first batch; each further one is twice as large, up to
// Options.BatchMessages. A sink that takes nothing thus costs little.
const firstWindow = 8

var (
	errMissing = errors.New("the server did not send the message")
	errHeader  = errors.New("header block is too long")
)

// Fetch yields messages: see protocols.Session. They come in batches; a message that did not come in its batch is
// asked for again, alone and behind it.
func (s *Session) Fetch(ctx context.Context, items []protocols.Item) iter.Seq2[*protocols.Message, error] {
	return func(yield func(*protocols.Message, error) bool) {
		if len(items) == 0 {
			return
		}
		if err := s.free(ctx, protocols.Fetching); err != nil {
			yield(nil, err)
			return
		}
		defer s.watch(ctx)()
		s.settle()
		for len(items) > 0 {
			n := s.batch(items)
			if !s.fetchSome(items[:n], yield) {
				return
			}
			items = items[n:]
		}
	}
}

// batch tells how many messages are asked for at once. A large message and one of unknown UID go alone.
func (s *Session) batch(items []protocols.Item) int {
	if s.single(items[0]) {
		return 1
	}
	n, octets := 0, int64(0)
	for n < min(len(items), s.window) && !s.single(items[n]) {
		octets += max(items[n].Size, 0)
		if n > 0 && octets > s.o.BatchOctets {
			break
		}
		n++
	}
	return n
}

// single tells whether a message is asked for by its header first.
func (s *Session) single(it protocols.Item) bool {
	return s.classic || it.Size >= s.o.LargeMessage || it.Size > s.o.BatchOctets || s.id(it) == 0
}

// fetchSome fetches one batch. It returns false if the loop is over.
func (s *Session) fetchSome(items []protocols.Item, yield func(*protocols.Message, error) bool) bool {
	s.flush() // the marks of the batch before go with the same packet
	if s.single(items[0]) {
		return s.fetchSingle(items[0], yield)
	}
	s.window = min(2*s.window, s.o.BatchMessages)
	missing, err, more := s.fetchBatch(items, yield)
	switch {
	case !more:
		return false
	case s.broken():
		yield(nil, s.fault(protocols.Fetching, "UID FETCH", err))
		return false
	}
	for _, it := range missing {
		if len(items) > 1 {
			var again []protocols.Item
			if again, err, more = s.fetchBatch([]protocols.Item{it}, yield); !more {
				return false
			}
			if len(again) == 0 {
				continue
			}
		}
		if s.broken() {
			yield(nil, s.fault(protocols.Fetching, "UID FETCH", err))
			return false
		}
		if !yield(&protocols.Message{Item: it, HeaderSize: -1, BodySize: -1, Close: noClose}, unavailable("UID FETCH", err)) {
			return false
		}
	}
	return true
}

func noClose() error { return nil }

// unavailable is the fault of one message; err may be nil if the server said that all is well.
func unavailable(op string, err error) *protocols.Fault {
	f := &protocols.Fault{Kind: protocols.Unavailable, Phase: protocols.Fetching, Op: op, Err: err}
	var no *goimap.Error
	if errors.As(err, &no) {
		f.Reply = reply(no)
	}
	if err == nil {
		f.Err = errMissing
	}
	return f
}

// fetchBatch asks for whole messages and yields them as they come. It returns those that did not come, and why.
func (s *Session) fetchBatch(items []protocols.Item, yield func(*protocols.Message, error) bool) (missing []protocols.Item, err error, more bool) {
	var set goimap.UIDSet
	byUID := make(map[uint32]protocols.Item, len(items))
	left := make(map[uint32]bool, len(items))
	for _, it := range items {
		id := s.id(it)
		set.AddNum(goimap.UID(id))
		byUID[id], left[id] = it, true
	}
	s.filter.expect(&want{byUID: true, left: left})
	s.fetching = true
	section := &goimap.FetchItemBodySection{Peek: true}
	cmd := s.client.Fetch(set, &goimap.FetchOptions{UID: true, BodySection: []*goimap.FetchItemBodySection{section}})
	defer func() { // also when the loop is left early, or panics
		s.settle()
		err = cmd.Close()
		s.filter.expect(nil)
		s.fetching = false
		if s.closed {
			s.end()
		}
	}()
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		uid, lit := find(m)
		it, ok := byUID[uid]
		if !ok || lit == nil {
			continue
		}
		msg, err := s.message(it, uid, m, lit)
		if err != nil && s.broken() {
			break
		}
		delete(byUID, uid)
		if !yield(msg, err) {
			return nil, nil, false
		}
		s.settle()
		if s.closed {
			return nil, nil, false
		}
	}
	for _, it := range items {
		if _, ok := byUID[s.id(it)]; ok {
			missing = append(missing, it)
		}
	}
	return missing, nil, true
}

// find reads the items of a FETCH response up to the text.
func find(m *imapclient.FetchMessageData) (uid uint32, lit goimap.LiteralReader) {
	for it := m.Next(); it != nil; it = m.Next() {
		switch it := it.(type) {
		case imapclient.FetchItemDataUID:
			uid = uint32(it.UID)
		case imapclient.FetchItemDataBodySection:
			return uid, it.Literal
		}
	}
	return uid, nil
}

// message makes a Message of a whole text that comes in.
func (s *Session) message(it protocols.Item, uid uint32, m *imapclient.FetchMessageData, lit goimap.LiteralReader) (*protocols.Message, error) {
	b := s.newBody(uid, m, lit)
	msg := &protocols.Message{Item: it, HeaderSize: -1, BodySize: -1, Body: b, Close: b.Close}
	head, err := b.header(s.o.MaxHeader)
	if err != nil {
		return msg, err
	}
	msg.Header, msg.HeaderSize, msg.BodySize = head, headerSize(head), b.left
	return msg, nil
}

// headerSize is what status lines show; the reference shows nothing where there is no header.
func headerSize(head []byte) int64 {
	if len(head) == 0 {
		return -1
	}
	return int64(len(head))
}

// body is the text of a message, or what is left of it. It holds up the library until it is read or closed.
type body struct {
	s    *Session
	key  uint32 // its UID, or number
	data *imapclient.FetchMessageData
	lit  *onceFailed
	r    *bufio.Reader
	left int64
	err  error
	// over releases the command where there is one command for this text alone.
	over func() error
}

// onceFailed is a literal that is not read again after an error: from then on the library's own goroutine reads.
type onceFailed struct {
	r   io.Reader
	err error
}

// Read reads the literal.
func (o *onceFailed) Read(p []byte) (n int, err error) {
	if o.err == nil {
		n, o.err = o.r.Read(p)
	}
	return n, o.err
}

func (s *Session) newBody(key uint32, m *imapclient.FetchMessageData, lit goimap.LiteralReader) *body {
	if s.reader == nil {
		s.reader = bufio.NewReaderSize(nil, 16<<10)
	}
	once := &onceFailed{r: lit}
	s.reader.Reset(once)
	b := &body{s: s, key: key, data: m, lit: once, r: s.reader, left: lit.Size()}
	s.open = b
	return b
}

// header reads up to the first empty line.
func (b *body) header(most int64) ([]byte, error) {
	var head []byte
	start := true // of a line
	for b.left > 0 {
		part, err := b.r.ReadSlice('\n')
		if n := len(part); len(head)+n > cap(head) {
			head = slices.Grow(head, max(n, len(head))) // by append it would leave four times its size behind
		}
		head = append(head, part...)
		b.left -= int64(len(part))
		if int64(len(head)) > most {
			b.err = &protocols.Fault{Kind: protocols.Unavailable, Phase: protocols.Fetching, Op: "FETCH",
				Err: fmt.Errorf("%w: more than %d octets", errHeader, most)}
			return nil, b.err
		}
		if err != nil && err != bufio.ErrBufferFull && b.left > 0 {
			b.err = b.lost(err)
			return nil, b.err
		}
		if start && (string(part) == "\r\n" || string(part) == "\n") {
			break
		}
		start = err == nil
	}
	return head, nil
}

// Read yields the text. io.EOF comes only after the server has closed the response as it must.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left == 0 {
		b.err = b.end()
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && b.left > 0 {
		b.err = b.lost(err)
		return n, b.err
	}
	return n, nil
}

// lost is the fault of a text that breaks off.
func (b *body) lost(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b.s.fault(protocols.InMessage, "FETCH", err)
}

// end waits for the end of the response and tells whether the text was what it should be.
func (b *body) end() error {
	b.release()
	err, ended := b.s.filter.verdict(b.key)
	switch {
	case !ended:
		return b.lost(io.ErrUnexpectedEOF)
	case err != nil:
		return unavailable("FETCH", err)
	}
	if b.over != nil {
		over := b.over
		b.over = nil
		if err := over(); err != nil && b.s.broken() {
			return b.s.fault(protocols.Fetching, "FETCH", err)
		}
	}
	return io.EOF
}

// release reads what is left and lets the library go on behind the response.
func (b *body) release() {
	if b.data == nil {
		return
	}
	if _, err := io.Copy(io.Discard, b.lit); err != nil {
		<-b.s.client.Closed() // what follows would read again
	}
	for it := b.data.Next(); it != nil; it = b.data.Next() {
	}
	b.data = nil
}

// Close gives up the rest of the text.
func (b *body) Close() error {
	if b.err == nil {
		b.err = errClosed
	}
	b.release()
	if b.over != nil {
		over := b.over
		b.over = nil
		_ = over()
	}
	if b.s.open == b {
		b.s.open = nil
	}
	return nil
}

var errClosed = &protocols.Fault{Kind: protocols.Unavailable, Phase: protocols.InMessage, Err: errors.New("message was closed")}
