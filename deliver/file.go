package deliver

import (
	"context"
	"errors"
	"io"
	"io/fs"
)

// ToFile is a Delivery into something that has no objections before its end and one answer for everybody: a file, a
// folder. Its errors are of kind File.
type ToFile struct {
	To     []string                        // recipients, as Outcome is to tell them
	Text   io.Writer                       // where Write goes
	Finish func(ctx context.Context) error // makes the message last, or leaves nothing of it
	Undo   func() error                    // forgets the message; called after a Finish that failed, too
	over   bool
}

// Recipients are all accepted.
func (d *ToFile) Recipients() Outcome { return AllAtEnd(d.To, Accepted, Reply{}) }

// Write takes a part of the text.
func (d *ToFile) Write(p []byte) (int, error) {
	if d.over {
		return 0, fs.ErrClosed
	}
	n, err := d.Text.Write(p)
	if err != nil {
		return n, &Fault{Kind: File, Stage: AtText, Err: err}
	}
	return n, nil
}

// Abort forgets the message.
func (d *ToFile) Abort() error {
	if d.over {
		return nil
	}
	d.over = true
	return d.Undo()
}

// Commit makes the message last.
func (d *ToFile) Commit(ctx context.Context) (Outcome, error) {
	if d.over {
		return Outcome{}, fs.ErrClosed
	}
	err := ctx.Err()
	if err == nil {
		err = d.Finish(ctx)
	}
	if err != nil {
		d.Abort()
		var f *Fault
		if !errors.As(err, &f) {
			f = &Fault{Kind: File, Stage: AtEnd, Err: err}
		}
		return AllAtEnd(d.To, Deferred, Reply{}), f
	}
	d.over = true
	return AllAtEnd(d.To, Accepted, Reply{}), nil
}
