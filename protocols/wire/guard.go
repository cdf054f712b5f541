package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A server that drips bytes must not live for ever on the inactivity limit, which every byte restarts. Therefore
// waiting is paid from a budget of budgetTimeouts inactivity limits. Sending fills it again (a new command begins),
// and so does every byte received, by 1/dripBytes of an inactivity limit: with the usual 300 seconds a server must
// send a little less than one byte a second on the average. Servers that work long say "* OK Hang in there.." well
// above that rate.
const (
	budgetTimeouts = 2
	dripBytes      = 256
)

// guard is the connection below TLS: it limits the time of every read and write, counts progress, and gives errors
// their cause.
type guard struct {
	net.Conn
	ctx       context.Context
	unhook    func() bool
	timeout   atomic.Int64 // time.Duration, 0 is none
	closeOnce sync.Once
	closeErr  error

	mu    sync.Mutex
	spent time.Duration // waited without progress since the budget was last full
}

func newGuard(ctx context.Context, raw net.Conn, timeout time.Duration) *guard {
	g := &guard{Conn: raw, ctx: ctx}
	g.timeout.Store(int64(timeout))
	g.unhook = context.AfterFunc(ctx, func() { _ = g.shut() })
	return g
}

func (g *guard) shut() error {
	g.closeOnce.Do(func() { g.closeErr = g.Conn.Close() })
	return g.closeErr
}

// Close closes the connection and forgets the context.
func (g *guard) Close() error {
	g.unhook()
	return g.shut()
}

// Read reads under the inactivity limit and the budget.
func (g *guard) Read(p []byte) (int, error) {
	limit := time.Duration(g.timeout.Load())
	if limit <= 0 {
		_ = g.Conn.SetReadDeadline(time.Time{})
		n, err := g.Conn.Read(p)
		return n, g.cause(err)
	}
	start := time.Now()
	wait := min(limit, budgetTimeouts*limit-g.debt())
	_ = g.Conn.SetReadDeadline(start.Add(wait))
	n, err := g.Conn.Read(p)
	g.account(time.Since(start), n, limit)
	return n, g.cause(err)
}

// debt is what has been spent of the budget.
func (g *guard) debt() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.spent
}

func (g *guard) account(waited time.Duration, received int, limit time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	earned := budgetTimeouts * limit
	if received < budgetTimeouts*dripBytes {
		earned = limit / dripBytes * time.Duration(received)
	}
	g.spent = max(0, g.spent+waited-earned)
}

// Write writes under the inactivity limit, which holds for each piece that the peer takes: large blocks are cut so
// that a slow but living peer is not taken for a dead one.
func (g *guard) Write(p []byte) (int, error) {
	const piece = 64 << 10
	g.mu.Lock()
	g.spent = 0
	g.mu.Unlock()
	total := 0
	for {
		part := p[total:min(len(p), total+piece)]
		var deadline time.Time
		if limit := time.Duration(g.timeout.Load()); limit > 0 {
			deadline = time.Now().Add(limit)
		}
		_ = g.Conn.SetWriteDeadline(deadline)
		n, err := g.Conn.Write(part)
		total += n
		if err != nil || total >= len(p) {
			return total, g.cause(err)
		}
	}
}

// SetDeadline does nothing: the guard sets the deadlines.
func (g *guard) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (g *guard) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (g *guard) SetWriteDeadline(time.Time) error { return nil }

// cause says what is behind an error: the end of the context, or the inactivity limit.
func (g *guard) cause(err error) error {
	if err == nil {
		return nil
	}
	if g.ctx.Err() != nil {
		return &CanceledError{Cause: context.Cause(g.ctx)}
	}
	var known *TimeoutError
	if errors.Is(err, os.ErrDeadlineExceeded) && !errors.As(err, &known) {
		return &TimeoutError{Limit: time.Duration(g.timeout.Load())}
	}
	return err
}

// ErrTimeout matches every error that an inactivity limit has caused (errors.Is).
var ErrTimeout = errors.New("no progress within the time limit")

// TimeoutError says that the server was silent, or as good as silent, for too long. It matches ErrTimeout and
// os.ErrDeadlineExceeded.
type TimeoutError struct {
	Limit time.Duration // the inactivity limit
}

func (e *TimeoutError) Error() string { return fmt.Sprintf("timeout after %v", e.Limit) }

// Is matches ErrTimeout and os.ErrDeadlineExceeded.
func (e *TimeoutError) Is(target error) bool {
	return target == ErrTimeout || target == os.ErrDeadlineExceeded
}

// Timeout is true; it makes the error a net.Error.
func (e *TimeoutError) Timeout() bool { return true }

// Temporary is false: the connection is lost.
func (e *TimeoutError) Temporary() bool { return false }

// CanceledError says that the context of the connection has ended; it wraps context.Cause.
type CanceledError struct {
	Cause error
}

func (e *CanceledError) Error() string { return "connection ended: " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *CanceledError) Unwrap() error { return e.Cause }
