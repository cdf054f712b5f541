package pop3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"

	"fetchmail/protocols"
	"fetchmail/protocols/wire"
)

// request is a command of the pipeline: TOP or RETR, or DELE.
type request struct {
	item    protocols.Item
	dele    bool
	command string
}

// length is that of the command in bytes, with its line end.
func (r request) length() int { return len(r.command) + 2 }

// get asks for a whole message.
func (s *Session) get(it protocols.Item) request {
	n := strconv.Itoa(it.Num)
	if s.retr {
		return request{item: it, command: "RETR " + n}
	}
	return request{item: it, command: "TOP " + n + " 99999999"}
}

// window is how many messages may be under way.
func (s *Session) window() int {
	if s.caps.pipelining && s.o.Protocol != "SDPS" {
		return s.o.Window
	}
	return 1
}

// Fetch implements protocols.Session. Messages are asked for ahead of the reader where the server allows it; a DELE
// goes out with the next batch of them.
func (s *Session) Fetch(ctx context.Context, items []protocols.Item) iter.Seq2[*protocols.Message, error] {
	return func(yield func(*protocols.Message, error) bool) {
		if len(items) == 0 {
			return
		}
		leave, err := s.enter(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		defer leave()
		if err := s.settle(); err != nil {
			yield(nil, err)
			return
		}
		s.stream(items, yield)
	}
}

func (s *Session) stream(items []protocols.Item, yield func(*protocols.Message, error) bool) {
	defer s.forget()
	for i, next := 0, 0; i < len(items); i++ {
		if s.listFault != nil && items[i].Num >= s.listFrom {
			f := s.listFault
			s.listFault = nil
			yield(nil, f)
			return
		}
		if err := s.envelope(items[i]); err != nil {
			yield(nil, err)
			return
		}
		if s.gets <= s.window()/2 {
			for ; next < len(items) && s.gets < s.window(); next++ {
				if s.listFault != nil && items[next].Num >= s.listFrom {
					break
				}
				s.queue = append(s.queue, s.get(items[next]))
				s.gets++
			}
		}
		m, err := s.receive(items[i])
		if m == nil {
			yield(nil, err)
			return
		}
		m.Sender, m.Recipient = s.sender, s.recipient
		if !yield(m, err) {
			return
		}
		if err := s.finish(); err != nil {
			yield(nil, err)
			return
		}
	}
}

// envelope asks for the envelope of a message: the SDPS extension of Demon Internet. The third line of the answer is
// the sender, the fourth the recipient. DELE commands that wait go out before.
func (s *Session) envelope(it protocols.Item) error {
	if s.o.Protocol != "SDPS" {
		return nil
	}
	s.sender, s.recipient = "", ""
	if err := s.settle(); err != nil {
		return err
	}
	op := "*ENV " + strconv.Itoa(it.Num)
	if _, err := s.command(protocols.Fetching, op); err != nil {
		if s.line.err == nil && s.line.kind == refused {
			return nil // then without
		}
		return err
	}
	n := 0
	return s.lines(protocols.Fetching, op, slack, func(line []byte) {
		switch n++; n {
		case 3:
			if s.sender = bare(line); s.sender == "" {
				s.sender = "<>"
			}
		case 4:
			s.recipient = bare(line)
		}
	})
}

// bare is an address without the angle brackets that some servers put round it.
func bare(line []byte) string {
	line = bytes.TrimSpace(line)
	if inner, ok := bytes.CutPrefix(line, []byte("<")); ok {
		line = bytes.TrimSuffix(inner, []byte(">"))
	}
	return string(line)
}

// receive waits for the answer to the request for an item. A message with an error is one that cannot be had; an
// error without one ends the session.
func (s *Session) receive(it protocols.Item) (*protocols.Message, error) {
	for {
		r, err := s.answer()
		if r.dele {
			if err != nil {
				return nil, err
			}
			continue
		}
		var f *protocols.Fault
		if errors.As(err, &f) && s.line.err == nil && s.line.kind == refused {
			f.Kind = protocols.Unavailable
			return unavailable(it), f
		}
		if err != nil {
			return nil, err
		}
		return s.message(r)
	}
}

func unavailable(it protocols.Item) *protocols.Message {
	return &protocols.Message{Item: it, HeaderSize: -1, BodySize: -1, Body: none{}, Close: func() error { return nil }}
}

// none is the body of a message that cannot be had.
type none struct{}

func (none) Read([]byte) (int, error) { return 0, io.EOF }

// answer reads the answer to the first request of the queue, and takes it out.
func (s *Session) answer() (request, error) {
	if err := s.send(); err != nil {
		return request{}, err
	}
	r := s.queue[0]
	_, err := s.lib.ReadOne()
	if err != nil {
		err = s.fault(protocols.Fetching, r.command)
	}
	s.queue = s.queue[1:]
	s.sent--
	s.ahead -= r.length()
	if !r.dele {
		s.gets--
		s.flying--
		s.octets -= max(r.item.Size, 0)
	}
	switch {
	case err != nil && s.line.err == nil && s.line.kind == garbage && s.sent > 0:
		// What belongs to which request cannot be told any more.
		s.line.err = errNoAnswer
	case r.dele && err == nil:
		s.deleted = append(s.deleted, r.item)
	}
	return r, err
}

// send sends what may be under way of the queue, so that there is at least one request to be answered. Without
// PIPELINING that is one.
func (s *Session) send() error {
	if s.line.err != nil {
		return s.fault(protocols.Fetching, "")
	}
	if s.sent > 0 && (s.window() == 1 || s.flying > s.window()/2 || s.ahead > maxAhead/2) {
		return nil // larger batches make fewer round trips
	}
	if s.sent == 0 {
		if err := s.inTurn(protocols.Fetching, s.queue[0].command); err != nil {
			return err
		}
	}
	s.line.held = true
	for s.sent < len(s.queue) && s.mayGo(s.queue[s.sent]) {
		r := s.queue[s.sent]
		s.lib.Send(r.command)
		s.sent++
		s.ahead += r.length()
		if r.dele {
			s.marked = true
		} else {
			s.flying++
			s.octets += max(r.item.Size, 0)
		}
	}
	if s.line.flush() != nil {
		return s.fault(protocols.Fetching, "")
	}
	return nil
}

func (s *Session) mayGo(r request) bool {
	switch {
	case s.sent == 0:
		return true
	case s.window() == 1 || s.ahead+r.length() > maxAhead:
		return false
	}
	return r.dele || s.flying == 0 || s.octets+max(r.item.Size, 0) <= s.o.WindowOctets
}

// message reads the header of a message whose text begins.
func (s *Session) message(r request) (*protocols.Message, error) {
	t := s.newText(protocols.InMessage, r.command)
	s.open = t
	m := &protocols.Message{Item: r.item, HeaderSize: -1, BodySize: -1, Body: t, Close: func() error {
		if s.open != t {
			return nil
		}
		return s.finish()
	}}
	head, err := t.header(s.head[:0], s.o.MaxHeader)
	large := cap(head) > keepHeader
	if s.head = head; large {
		s.head = nil
	}
	if err == errLongHeader {
		return unavailable(r.item), &protocols.Fault{Kind: protocols.Unavailable, Phase: protocols.InMessage, Op: r.command, Err: err}
	}
	if err != nil {
		return nil, err
	}
	if m.Header = head; !large {
		m.Header = append([]byte(nil), head...)
	}
	if s.doubtful(r.item) {
		if s.fetched == nil {
			s.fetched = map[int]bool{}
		}
		s.fetched[r.item.Num] = true
	}
	return m, nil
}

// keepHeader is the largest buffer for headers that is kept, in bytes.
const keepHeader = 64 << 10

func (s *Session) newText(phase protocols.Phase, op string) *text {
	return &text{in: s.line.in, broken: func(err error) error {
		s.line.err = err
		f := s.fault(phase, op)
		var canceled *wire.CanceledError
		if f.Kind == protocols.Socket && !errors.As(err, &canceled) && (s.ctx == nil || s.ctx.Err() == nil) && f.Err != io.ErrUnexpectedEOF {
			f.Err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
		}
		return f
	}}
}

// finish reads the rest of the open text.
func (s *Session) finish() error {
	t := s.open
	if t == nil {
		return nil
	}
	s.open = nil
	return t.skip()
}

// forget takes the messages that were not asked for yet out of the queue.
func (s *Session) forget() {
	keep := s.queue[:s.sent]
	for _, r := range s.queue[s.sent:] {
		if r.dele {
			keep = append(keep, r)
		} else {
			s.gets--
		}
	}
	s.queue = keep
}

// settle brings everything that is under way to its end: the open text, the answers to what was sent ahead, and the
// DELE commands, all of which are sent. It returns the first fault, which is fatal if the connection is broken.
func (s *Session) settle() error {
	if err := s.finish(); err != nil {
		return err
	}
	var first error
	for len(s.queue) > 0 {
		r, err := s.answer()
		if s.line.err != nil {
			return err
		}
		switch {
		case r.dele && err != nil && first == nil:
			first = err
		case !r.dele && err == nil:
			if err := s.newText(protocols.Fetching, r.command).skip(); err != nil {
				return err
			}
		}
	}
	return first
}

// doubtful tells whether a message cannot be told for certain from others.
func (s *Session) doubtful(it protocols.Item) bool {
	return s.identified && (it.UID == "" || s.repeated[it.Num])
}

// Delete implements protocols.Session. The DELE goes out with the next commands.
func (s *Session) Delete(ctx context.Context, it protocols.Item) error {
	command := "DELE " + strconv.Itoa(it.Num)
	if s.ended || s.line.err != nil {
		return s.fault(protocols.Fetching, command)
	}
	if s.doubtful(it) && !s.fetched[it.Num] {
		return nil
	}
	s.queue = append(s.queue, request{item: it, dele: true, command: command})
	return nil
}
