package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Dir says who speaks in a line of a trace.
type Dir byte

const (
	Sent     Dir = '>' // from us to the server
	Received Dir = '<' // from the server to us
	Note     Dir = '*' // a remark of our own, printed without a protocol prefix
)

// Trace takes the lines that -v shows. The text has no line end and holds no secret: whoever calls it has replaced
// secrets before. A nil Trace is off.
type Trace func(d Dir, text string)

func (t Trace) note(text string) {
	if t != nil {
		t(Note, text)
	}
}

// bufferSize is the size of the one buffer in which bytes of the server wait, in bytes: a record of TLS. More is not
// faster, and every connection that idles has one.
const bufferSize = 16 << 10

// farewell is the time for the last words of TLS when a connection is closed.
const farewell = time.Second

// Conn is a connection to a mail server. It implements net.Conn, so that protocol libraries can work on it, but
// keeps the deadlines to itself: SetDeadline and its two sisters do nothing, because the libraries' own deadlines
// are total times where an inactivity limit is meant.
//
// One goroutine at a time may read and one may write. Close, SetTimeout and the end of the context may come at any
// time from anywhere. Every error of reading or writing is final: later calls return it again.
type Conn struct {
	host    string
	guard   *guard
	current net.Conn // guard, or the TLS connection above it
	plugin  *plugin
	proxied bool // the other end is a proxy
	in      source
	reader  *bufio.Reader

	mu       sync.Mutex // for the fields below; held while writing
	writeErr error
	state    *tls.ConnectionState
}

// NewConn makes a Conn of an established connection. The context ends it: raw is closed as soon as ctx is done.
func NewConn(ctx context.Context, raw net.Conn, host string, timeout time.Duration) *Conn {
	c := &Conn{host: host, guard: newGuard(ctx, raw, timeout)}
	c.current = c.guard
	c.in.conn = c.guard
	c.reader = bufio.NewReaderSize(&c.in, bufferSize)
	return c
}

// source is what the reader reads from. It is replaced at StartTLS and remembers its error.
type source struct {
	conn net.Conn
	err  error
}

// Read remembers the error of the connection: a client library that tries a failed read again (go-imap does) gets
// the same answer at once.
func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.conn.Read(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// Reader returns the one reader of the connection; it holds up to 16 KB. It is the same one before and after
// StartTLS.
func (c *Conn) Reader() *bufio.Reader { return c.reader }

// Read reads from Reader. It returns io.EOF when the server has closed the connection in order.
func (c *Conn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// WriteTo streams what the server sends to w without a copy between.
func (c *Conn) WriteTo(w io.Writer) (int64, error) { return c.reader.WriteTo(w) }

// Write sends p at once.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	n, err := c.current.Write(p)
	c.writeErr = err
	return n, err
}

// ErrInjected is returned by StartTLS when bytes of the server have arrived before the handshake: somebody may have
// put them there, and they must not be taken for words spoken under TLS (CVE-2011-0411, "NO STARTTLS").
var ErrInjected = errors.New("server sent data between its agreement to TLS and the handshake")

// StartTLS secures the connection, after the server has agreed to it. If it fails the connection is of no use any
// more. A refused certificate gives a *TLSError.
func (c *Conn) StartTLS(ctx context.Context, policy *TLS) error {
	if c.reader.Buffered() > 0 {
		c.fail(ErrInjected)
		return ErrInjected
	}
	if c.TLSState() != nil {
		return errors.New("connection is already under TLS")
	}
	secured, err := policy.handshake(ctx, c.guard, c.host)
	if err != nil {
		err = c.guard.cause(err)
		c.fail(err)
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	state := secured.ConnectionState()
	c.state = &state
	c.current, c.in.conn = secured, secured
	return nil
}

// fail makes err the answer to all later calls and closes the connection.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	c.writeErr = err
	c.mu.Unlock()
	c.in.err = err
	c.reader.Reset(&c.in)
	_ = c.guard.Close()
}

// SetTimeout sets the inactivity limit; 0 is none. A Read that is waiting starts to wait anew under it. A library whose
// reader waits all the time (go-imap) gets 0 while nothing is expected of the server.
func (c *Conn) SetTimeout(d time.Duration) { c.guard.setTimeout(d) }

// Host is the name that was dialed.
func (c *Conn) Host() string { return c.host }

// PeerIP is the server's address without port, "" behind a plugin or a proxy.
func (c *Conn) PeerIP() string {
	if a, ok := c.guard.RemoteAddr().(*net.TCPAddr); ok && c.plugin == nil && !c.proxied {
		return a.AddrPort().Addr().Unmap().String()
	}
	return ""
}

// Private tells whether nobody can listen: the connection is under TLS, goes through a plugin, or does not leave this
// machine.
func (c *Conn) Private() bool {
	if c.TLSState() != nil || c.plugin != nil {
		return true
	}
	a, ok := c.guard.RemoteAddr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback() && !c.proxied
}

// TLSState describes the TLS connection; nil if there is none.
func (c *Conn) TLSState() *tls.ConnectionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Close closes the connection at once: what blocks in Read or Write returns. It may be called more than once.
func (c *Conn) Close() error {
	if c.TLSState() != nil && c.guard.ctx.Err() == nil {
		c.guard.timeout.Store(int64(farewell))
		_ = c.in.conn.Close() // says close_notify if nobody is writing
	}
	err := c.guard.Close()
	if c.plugin != nil {
		c.plugin.end()
	}
	return err
}

// LocalAddr is our end of the connection.
func (c *Conn) LocalAddr() net.Addr { return c.guard.LocalAddr() }

// RemoteAddr is the server's end of the connection.
func (c *Conn) RemoteAddr() net.Addr { return c.guard.RemoteAddr() }

// SetDeadline does nothing: see Conn.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing: see Conn.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: see Conn.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }
