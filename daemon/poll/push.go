package poll

import "context"

// Push is a poll of a server that has no mailbox for us, but sends mail to our listener when it is asked to: ETRN and
// ODMR. It has the frame of a Job, its hooks and its events, and nothing of what is within.
type Push struct {
	Account
	Protocol string
	Timeout  int // seconds, for messages about time-outs
	// Resolve, Before and After are as in Job. That After has failed is told, but does not change the status: so does the
	// reference.
	Resolve       func(context.Context) (string, error)
	Before, After func(context.Context) error
	// Ask does it, and returns how many messages have come as far as is known. When stop is closed it returns as soon as
	// no message is in hand.
	Ask func(ctx context.Context, stop <-chan struct{}) (messages int, err error)
	// Sink is the name of the listener, for faults of it.
	Sink     func() string
	Observer Observer
}

// Run asks once. All that goes wrong has been told to the observer when it returns. stop may be nil.
func (p *Push) Run(ctx context.Context, stop <-chan struct{}) Result {
	own := *p
	p = &own
	p.Observer.Observe(Started{p.Account, p.Protocol})
	messages, err := p.ask(ctx, stop)
	if err != nil && (ctx.Err() != nil || closed(stop)) {
		err = nil
	}
	res := Result{Fetched: messages, Status: StatusOf(err), Err: err}
	if err != nil {
		p.failed(err)
	}
	if p.After != nil && ctx.Err() == nil {
		if err := p.After(ctx); err != nil && ctx.Err() == nil {
			p.failed(err)
		}
	}
	p.Observer.Observe(Finished{p.Account, p.Protocol, res.Status})
	return res
}

func (p *Push) ask(ctx context.Context, stop <-chan struct{}) (int, error) {
	if p.Before != nil { // the name may be known only then
		if err := p.Before(ctx); err != nil {
			return 0, err
		}
	}
	if p.Resolve != nil {
		host, err := p.Resolve(ctx)
		if err != nil {
			return 0, &DNSError{Label: p.Label, Host: p.Host, Err: err}
		}
		p.Host = host
	}
	return p.Ask(ctx, stop)
}

func (p *Push) failed(err error) {
	p.Observer.Observe(Failed{Account: p.Account, Protocol: p.Protocol, Sink: p.Sink(), Timeout: p.Timeout, Err: err})
}

// closed tells whether a channel is closed that only ever is.
func closed(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}
