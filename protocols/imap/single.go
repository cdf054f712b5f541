package imap

import (
	"bytes"
	"errors"
	"io"

	goimap "github.com/emersion/go-imap/v2"

	"fetchmail/protocols"
)

// fetchSingle asks for the header of one message, and for the rest when it is wanted. It returns false if the loop is
// over.
func (s *Session) fetchSingle(it protocols.Item, yield func(*protocols.Message, error) bool) bool {
	msg, err := s.byHeader(it)
	if s.broken() {
		yield(nil, s.fault(protocols.Fetching, "FETCH", err))
		return false
	}
	goOn := yield(msg, err)
	s.settle()
	if s.closed {
		return false
	}
	if goOn && s.broken() {
		yield(nil, s.fault(protocols.Fetching, "FETCH", io.ErrUnexpectedEOF))
		return false
	}
	return goOn
}

// byHeader fetches a header; the text follows when it is read.
func (s *Session) byHeader(it protocols.Item) (*protocols.Message, error) {
	msg := &protocols.Message{Item: it, HeaderSize: -1, BodySize: -1, Close: noClose}
	b, err := s.part(it, goimap.PartSpecifierHeader)
	if err != nil {
		return msg, err
	}
	head, err := b.whole(s.o.MaxHeader)
	b.Close()
	if err != nil {
		return msg, err
	}
	rest := &laterBody{s: s, it: it, msg: msg}
	msg.Header, msg.HeaderSize = head, headerSize(head)
	if it.Size >= int64(len(head)) {
		msg.BodySize = it.Size - int64(len(head))
	}
	msg.Body, msg.Close = rest, rest.Close
	return msg, nil
}

// whole reads a part to its end.
func (b *body) whole(most int64) ([]byte, error) {
	if b.left > most {
		return nil, &protocols.Fault{Kind: protocols.Unavailable, Phase: protocols.Fetching, Op: "FETCH", Err: errHeader}
	}
	var head bytes.Buffer // io.ReadAll would leave four times its size behind
	_, err := head.ReadFrom(b)
	return head.Bytes(), err
}

// part asks for a part of one message. The body that it returns is to be read or closed before anything else.
func (s *Session) part(it protocols.Item, spec goimap.PartSpecifier) (*body, error) {
	var (
		set goimap.NumSet
		w   = &want{section: string(spec), byUID: !s.classic}
		id  = s.id(it)
	)
	if s.classic {
		id = s.number(it)
		set = goimap.SeqSetNum(id)
	} else {
		set = goimap.UIDSetNum(goimap.UID(id))
	}
	if id == 0 {
		return nil, unavailable("FETCH", errors.New("the message is gone"))
	}
	w.left = map[uint32]bool{id: true}
	s.filter.expect(w)
	section := &goimap.FetchItemBodySection{Specifier: spec, Peek: true}
	cmd := s.client.Fetch(set, &goimap.FetchOptions{UID: !s.classic, BodySection: []*goimap.FetchItemBodySection{section}})
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		if _, lit := find(m); lit != nil {
			b := s.newBody(id, m, lit)
			b.over = func() error {
				err := cmd.Close()
				s.filter.expect(nil)
				return err
			}
			return b, nil
		}
	}
	err := cmd.Close()
	s.filter.expect(nil)
	if s.broken() {
		return nil, s.fault(protocols.Fetching, "FETCH", err)
	}
	return nil, unavailable("FETCH", err)
}

// laterBody asks for the text of a message when it is first read; a Read of length 0 asks too, and makes
// Message.BodySize what the server announces.
type laterBody struct {
	s      *Session
	it     protocols.Item
	msg    *protocols.Message
	b      *body
	err    error
	closed bool
}

// Read yields the text.
func (l *laterBody) Read(p []byte) (int, error) {
	if l.closed {
		return 0, errClosed
	}
	if l.b == nil && l.err == nil {
		if l.b, l.err = l.s.part(l.it, goimap.PartSpecifierText); l.err == nil {
			l.msg.BodySize = l.b.left
		}
	}
	if l.err != nil {
		return 0, l.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	return l.b.Read(p)
}

// Close gives up the rest of the text.
func (l *laterBody) Close() error {
	l.closed = true
	if l.b != nil {
		return l.b.Close()
	}
	return nil
}
