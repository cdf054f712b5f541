package odmr

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/wire"
)

// blockSize is the size of the buffer of each direction, octets.
const blockSize = 32 << 10

// atWork is what a listener gets at least for a whole message: RFC 5321, section 4.5.3.2.6.
const atWork = 10 * time.Minute

// A budget of budgetTimeouts time-outs, which each byte of the host fills by 1/dripBytes of one: see package wire.
const (
	budgetTimeouts = 2
	dripBytes      = 256
)

// relay carries bytes between the ODMR host and the listener.
type relay struct {
	host     *wire.Conn
	listener net.Conn
	timeout  time.Duration // 0 is none

	mu sync.Mutex // for all that follows
	dialog
	timer   *time.Timer
	since   time.Time     // when something has moved last
	spent   time.Duration // waited since the budget was full
	leaving bool          // asked to stop
	end     error         // why both connections were closed by us
	closed  bool
}

func newRelay(host *wire.Conn, listener net.Conn, o Options) *relay {
	r := &relay{host: host, listener: listener, timeout: o.Timeout}
	show := func(d wire.Dir) func(string) {
		return func(line string) {
			if o.Trace != nil {
				o.Trace(o.Protocol, d, line)
			}
		}
	}
	r.dialog = dialog{pending: []kind{greeting}, showCommand: show(wire.Received), showReply: show(wire.Sent),
		begins: func() { o.Say("receiving message data") }}
	return r
}

// run carries bytes until one side hangs up. Both connections are closed when it returns.
func (r *relay) run(ctx context.Context, stop <-chan struct{}) error {
	r.host.SetTimeout(0) // time is kept here: one side is silent while the other is busy
	r.begin()
	unhook := context.AfterFunc(ctx, func() { r.cut(&wire.CanceledError{Cause: context.Cause(ctx)}) })
	done := make(chan struct{})
	defer func() {
		unhook()
		close(done)
		r.cut(nil)
		r.timer.Stop()
	}()
	go r.watch(stop, done)
	hostEnd, listenerEnd := make(chan error, 1), make(chan error, 1)
	go func() { hostEnd <- r.toListener() }()
	go func() { listenerEnd <- r.toHost() }()
	select {
	case err := <-hostEnd:
		if r.waitForListener() {
			<-listenerEnd
		}
		r.cut(nil)
		return r.verdict(err)
	case err := <-listenerEnd:
		r.cut(nil)
		return r.verdict(err)
	}
}

// messages is how many the listener has accepted; a reply may still be on its way through toHost.
func (r *relay) messages() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}

// waitForListener tells a listener that has the whole of a message that the host will say no more. False: there is
// nothing to wait for.
func (r *relay) waitForListener() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	half, ok := r.listener.(interface{ CloseWrite() error })
	return ok && !r.closed && r.working() && half.CloseWrite() == nil
}

// begin starts the clock.
func (r *relay) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since = time.Now()
	r.timer = time.AfterFunc(time.Hour, func() { r.cut(&wire.TimeoutError{Limit: r.timeout}) })
	r.arm()
}

// arm sets the clock for the next wait. The lock is held.
func (r *relay) arm() {
	if r.timeout <= 0 {
		r.timer.Stop()
		return
	}
	wait := r.timeout
	if r.working() {
		wait = max(wait, atWork)
	}
	r.timer.Reset(min(wait, max(0, budgetTimeouts*max(r.timeout, wait)-r.spent)))
}

// moved pays for the time since something has moved last. earned is in bytes; a negative number fills the budget.
func (r *relay) moved(earned int) {
	now := time.Now()
	r.spent += now.Sub(r.since)
	r.since = now
	if earned < 0 || earned > budgetTimeouts*dripBytes {
		r.spent = 0
	} else {
		r.spent = max(0, r.spent-r.timeout/dripBytes*time.Duration(earned))
	}
	r.arm()
}

// cut ends both connections; cause is the reason if nobody has hung up.
func (r *relay) cut(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed, r.end = true, cause
	r.host.Close()
	r.listener.Close()
}

// watch ends the relay when the poll is asked to stop and no message is in hand.
func (r *relay) watch(stop, done <-chan struct{}) {
	select {
	case <-done:
		return
	case <-stop:
	}
	r.mu.Lock()
	r.leaving = true
	busy := r.inHand()
	r.mu.Unlock()
	if !busy {
		r.cut(ErrStopped)
	}
}

// toListener carries what the host says.
func (r *relay) toListener() error {
	in, out := make([]byte, blockSize), make([]byte, 0, 2*blockSize)
	for {
		n, err := r.host.Read(in)
		if n > 0 {
			r.mu.Lock()
			var bad error
			out, bad = r.fromHost(out[:0], in[:n])
			r.moved(n)
			r.mu.Unlock()
			if bad != nil {
				return &protocols.Fault{Kind: protocols.Protocol, Phase: protocols.Fetching, Err: bad}
			}
			if _, werr := r.listener.Write(out); werr != nil {
				return &ListenerError{werr}
			}
		}
		if err != nil {
			return err
		}
	}
}

// toHost carries what the listener answers.
func (r *relay) toHost() error {
	in := make([]byte, blockSize)
	for {
		n, err := r.listener.Read(in)
		if n > 0 {
			r.mu.Lock()
			r.fromListener(in[:n]) // before the host can answer
			r.moved(-1)
			r.mu.Unlock()
			if _, werr := r.host.Write(in[:n]); werr != nil {
				return werr
			}
			r.mu.Lock()
			leave := r.leaving && !r.inHand()
			r.mu.Unlock()
			if leave {
				r.cut(ErrStopped)
			}
		}
		if err != nil {
			return &ListenerError{err}
		}
	}
}

// verdict says what the end of the connections means; err is what the side that ended first has met.
func (r *relay) verdict(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := &protocols.Fault{Kind: protocols.Socket, Phase: protocols.Fetching, Err: err}
	if r.inHand() {
		f.Phase = protocols.InMessage
	}
	var broken *protocols.Fault
	var gone *ListenerError
	switch {
	case errors.Is(r.end, wire.ErrTimeout):
		f.Kind, f.Err = protocols.Timeout, r.end
		return f
	case r.end != nil:
		return r.end
	case errors.As(err, &broken):
		return broken
	case r.dialog.quit || r.unseen && !errors.As(err, &gone):
		return nil
	case errors.As(err, &gone):
		return gone
	}
	if errors.Is(err, io.EOF) {
		f.Err = io.ErrUnexpectedEOF
	}
	return f
}
