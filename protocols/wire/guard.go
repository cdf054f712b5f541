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
	since time.Time     // when the wait of the Read began that is going on
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
	g.mu.Lock()
	g.arm()
	g.mu.Unlock()
	n, err := g.Conn.Read(p)
	g.account(n)
	return n, g.cause(err)
}

// arm sets the deadline of a Read that begins to wait, or to wait anew, now. The lock is held.
func (g *guard) arm() {
	g.since = time.Now()
	var deadline time.Time
	if limit := g.limit(); limit > 0 {
		deadline = g.since.Add(min(limit, budgetTimeouts*limit-g.spent))
	}
	_ = g.Conn.SetReadDeadline(deadline)
}

// setTimeout changes the limit, also for a Read that is waiting: it starts anew.
func (g *guard) setTimeout(d time.Duration) {
	g.timeout.Store(int64(d))
	g.refill()
}

// refill begins a new wait with a full budget.
func (g *guard) refill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spent = 0
	g.arm()
}

func (g *guard) limit() time.Duration { return time.Duration(g.timeout.Load()) }

// account pays for the time of a Read and earns for what has come.
func (g *guard) account(received int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	limit := g.limit()
	if limit <= 0 {
		g.spent = 0
		return
	}
	earned := budgetTimeouts * limit
	if received < budgetTimeouts*dripBytes {
		earned = limit / dripBytes * time.Duration(received)
	}
	g.spent = max(0, g.spent+time.Since(g.since)-earned)
}

// Write writes under the inactivity limit, which holds for each piece that the peer takes: large blocks are cut so
// that a slow but living peer is not taken for a dead one.
func (g *guard) Write(p []byte) (int, error) {
	const piece = 64 << 10
	g.refill()
	total := 0
	for {
		part := p[total:min(len(p), total+piece)]
		var deadline time.Time
		if limit := g.limit(); limit > 0 {
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
		return &TimeoutError{Limit: g.limit()}
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
