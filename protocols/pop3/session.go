package pop3

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	gopop3 "github.com/knadh/go-pop3"

	"fetchmail/protocols"
	"fetchmail/protocols/wire"
)

// closeTimeout is how long a server may take for the polite end of a session that has failed or was given up.
const closeTimeout = 10 * time.Second

// Session is an open POP3 mailbox. It implements protocols.Session.
type Session struct {
	o        Options
	conn     *wire.Conn
	line     *lineConn
	lib      *gopop3.Conn
	caps     capabilities
	greeting string
	retr     bool            // RETR in place of TOP
	ended    bool            // after Commit or Close
	ctx      context.Context // of the operation that is going on

	// listFault is what went wrong with the sizes of the messages from listFrom on. Fetch tells it when it comes to
	// one of them, as the reference does, which asks for each size as late as that.
	listFault *protocols.Fault
	listFrom  int

	queue             []request // sent or to be sent; their answers were not read
	sent              int       // how many of queue were sent
	ahead             int       // bytes of the commands that were sent
	gets              int       // TOP and RETR in queue
	flying            int       // those that were sent
	octets            int64     // their announced size
	sender, recipient string    // of the message that is being fetched: SDPS

	open    *text // the text that is being read
	marked  bool  // a DELE was sent
	deleted []protocols.Item
	head    []byte // buffer for headers
	// Where UIDs were asked for (identified), messages that cannot be told for certain from others, without a UID or with
	// one that occurs twice in the list, are deleted only if they were fetched in this session.
	identified bool
	repeated   map[int]bool // numbers of messages whose UID occurs twice
	fetched    map[int]bool // of the doubtful ones
}

// seam hands our connection to go-pop3.
type seam struct{ line *lineConn }

// Dial implements gopop3.Dialer.
func (d seam) Dial(_, _ string) (net.Conn, error) { return d.line, nil }

// Traits implements protocols.Session. The protocol is POP3 under all its names.
func (s *Session) Traits() protocols.Traits {
	return protocols.Traits{Protocol: "POP3", Peer: s.conn.PeerIP(), Octets: true, CommitEnds: true}
}

// Conn is the connection, for what Received lines say about it.
func (s *Session) Conn() *wire.Conn { return s.conn }

// MarkSeen does nothing: POP3 knows no such mark.
func (s *Session) MarkSeen(context.Context, protocols.Item) error { return nil }

// enter makes ctx end the connection for the time of one operation.
func (s *Session) enter(ctx context.Context) (leave func(), err error) {
	if s.ended {
		return nil, &protocols.Fault{Kind: protocols.Socket, Phase: protocols.Finishing, Err: net.ErrClosed}
	}
	if ctx.Err() != nil {
		return nil, s.cut(context.Cause(ctx))
	}
	s.ctx = ctx
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	return func() {
		s.ctx = nil
		if !stop() {
			s.cut(context.Cause(ctx))
		}
	}, nil
}

// cut ends the connection: nothing is deleted any more.
func (s *Session) cut(cause error) error {
	s.line.err = cause
	s.conn.Close()
	return s.fault(protocols.Fetching, "")
}

// command sends one command and waits for its answer, the text of which it returns.
func (s *Session) command(phase protocols.Phase, command string) (string, error) {
	if err := s.inTurn(phase, command); err != nil {
		return "", err
	}
	b, err := s.lib.Cmd(command, false)
	if err != nil {
		return "", s.fault(phase, command)
	}
	return b.String(), nil
}

// inTurn makes sure that the next line is the answer to the next command: a server, or a message that it did not
// pack properly, must not be able to give it before.
func (s *Session) inTurn(phase protocols.Phase, op string) error {
	if s.line.err != nil {
		return s.fault(phase, op)
	}
	if s.line.in.Buffered() == 0 {
		return nil
	}
	line, err := s.line.readLine()
	s.line.last = append(s.line.last[:0], line...)
	s.line.kind = garbage
	if err == nil {
		s.line.err = errOutOfTurn
	}
	return s.fault(phase, op)
}

// fault says what was wrong with the last answer, or with the connection.
func (s *Session) fault(phase protocols.Phase, op string) *protocols.Fault {
	f := &protocols.Fault{Kind: protocols.Protocol, Phase: phase, Op: op, Err: s.line.err}
	switch {
	case s.line.err == nil:
		f.Reply = s.line.lastLine()
		if s.line.kind == garbage {
			f.Err = errNoAnswer
		}
	case errors.Is(s.line.err, wire.ErrTimeout):
		f.Kind = protocols.Timeout
	case errors.Is(s.line.err, errOutOfTurn):
		f.Reply = s.line.lastLine()
	case errors.Is(s.line.err, errLongLine), errors.Is(s.line.err, errLongList), errors.Is(s.line.err, errNoAnswer):
	case s.ctx != nil && s.ctx.Err() != nil:
		f.Kind, f.Err = protocols.Socket, context.Cause(s.ctx)
	case errors.Is(s.line.err, io.EOF):
		f.Kind, f.Err = protocols.Socket, io.ErrUnexpectedEOF
	default:
		f.Kind = protocols.Socket
	}
	return f
}

// lines reads the lines of a multi-line answer. More than limit are a fault.
func (s *Session) lines(phase protocols.Phase, op string, limit int, each func(line []byte)) error {
	for n := 0; ; n++ {
		line, err := s.line.readLine()
		if err == nil && n > limit {
			s.line.err, err = errLongList, errLongList
		}
		if err != nil {
			return s.fault(phase, op)
		}
		s.line.received(line)
		if len(line) > 0 && line[0] == '.' {
			if len(line) == 1 {
				return nil
			}
			line = line[1:]
		}
		each(line)
	}
}

var errLongList = errors.New("list has no end")

// Commit waits for the answers to all DELE commands and sends QUIT, with which POP3 deletions become final (RFC 1939,
// section 6). It ends the session. Messages are confirmed only if both DELE and QUIT were granted.
func (s *Session) Commit(ctx context.Context) ([]protocols.Item, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer s.end()
	defer leave()
	err = s.settle()
	if err != nil && s.line.err != nil {
		return nil, err
	}
	if turn := s.inTurn(protocols.Finishing, "QUIT"); turn != nil {
		return nil, turn
	}
	if s.lib.Quit() != nil {
		return nil, s.fault(protocols.Finishing, "QUIT")
	}
	return s.deleted, err
}

// end closes the connection.
func (s *Session) end() {
	s.ended = true
	s.conn.Close()
}

// Close ends the session; nothing is deleted. If the connection is in order it says RSET, if anything was marked,
// and QUIT; a connection on which anything is under way is dropped, which deletes nothing either (RFC 1939, section
// 6: a session that ends without QUIT does not enter the update state).
func (s *Session) Close() error {
	if s.ended || s.conn == nil {
		return nil
	}
	defer s.end()
	if s.line.err != nil || s.lib == nil || s.sent > 0 || s.open != nil || s.line.in.Buffered() > 0 {
		return nil
	}
	if limit := s.o.Dialer.Timeout; limit == 0 || limit > closeTimeout {
		s.conn.SetTimeout(closeTimeout)
	}
	if s.marked && s.lib.Rset() != nil {
		return nil
	}
	s.lib.Quit()
	return nil
}
