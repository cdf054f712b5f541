// Package mda hands messages to a mail delivery agent: one process for each message, which reads it from its standard
// input and whose exit status is the verdict (fetchmail(1), --mda).
//
// Exit status 0 is Accepted; every other one, and death by a signal, is Deferred: the message stays where it is.
// The agent has a process group of its own, so that giving up a message ends all that it started: the group is killed
// before its standard input is closed, because an end of file would make it deliver a truncated message.
package mda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"fetchmail/deliver"
)

// pipeSize is what the system takes for a process that has not read it yet (pipe(7)). A message that fits in is as good
// as read: whether an agent that does not want it ends before or after we write must not make the difference.
const pipeSize = 64 << 10

// lingering is how long we wait for output of processes that an agent has left behind.
const lingering = 2 * time.Second

// Options say what to run.
type Options struct {
	// Command is run by /bin/sh -c. %T stands for the recipients and %F for the sender, in single quotes; %s is %T.
	Command string
	// Name is what status lines call the sink; "MDA" if empty.
	Name string
	// TimeLimit ends an agent that works longer on one message; 0 is without limit.
	TimeLimit time.Duration
	// Credential is the user to run as; nil is the running user.
	Credential *syscall.Credential
	// Stdout and Stderr of the agent; nil are our own.
	Stdout, Stderr io.Writer
	// Trace is told the command line; may be nil.
	Trace func(command string)
}

// Sink is a mail delivery agent.
type Sink struct {
	opts Options
}

var _ deliver.Sink = (*Sink)(nil)

// New makes a sink; nothing is run yet.
func New(o Options) *Sink {
	if o.Name == "" {
		o.Name = "MDA"
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	return &Sink{opts: o}
}

// Name is Options.Name.
func (s *Sink) Name() string { return s.opts.Name }

// Close does nothing.
func (s *Sink) Close() error { return nil }

// Begin starts the process.
func (s *Sink) Begin(ctx context.Context, e deliver.Envelope) (deliver.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, &deliver.Fault{Kind: deliver.Local, Err: err}
	}
	d := &delivery{to: e.To}
	if strings.ContainsRune(e.From, 0) { // no argument can hold it, and nobody could be told
		e.From = ""
	}
	if strings.ContainsRune(strings.Join(e.To, ""), 0) {
		err := errors.New("NUL in an address")
		return nil, &deliver.Fault{Kind: deliver.Refusal, Outcome: deliver.AllAtEnd(d.to, deliver.Refused, deliver.Reply{Text: err.Error()}), Err: err}
	}
	line := expand(s.opts.Command, e.From, e.To)
	if s.opts.Trace != nil {
		s.opts.Trace(line)
	}
	d.cmd = &exec.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", line}} // as popen(3) names it
	d.cmd.Stdout, d.cmd.Stderr = s.opts.Stdout, s.opts.Stderr
	d.cmd.WaitDelay = lingering
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.opts.Credential}
	in, err := d.cmd.StdinPipe()
	if err == nil {
		d.in = in
		err = d.cmd.Start()
	}
	if err != nil {
		return nil, &deliver.Fault{Kind: deliver.Local, Err: fmt.Errorf("MDA could not be started: %w", err)}
	}
	d.stops = append(d.stops, context.AfterFunc(ctx, d.kill))
	if s.opts.TimeLimit > 0 {
		d.stops = append(d.stops, time.AfterFunc(s.opts.TimeLimit, func() {
			d.late.Store(true)
			d.kill()
		}).Stop)
	}
	return d, nil
}

// delivery is one running agent.
type delivery struct {
	to    []string
	cmd   *exec.Cmd
	in    io.WriteCloser
	stops []func() bool
	pipe  error       // writing to its standard input has failed
	size  int64       // octets of the message
	late  atomic.Bool // the time limit has passed
	ended atomic.Bool // the process is gone, its number may be another's
	over  bool
}

// kill ends the agent and all that it has started.
func (d *delivery) kill() {
	if !d.ended.Load() {
		syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	}
}

func (d *delivery) wait() error {
	defer d.ended.Store(true)
	return d.cmd.Wait()
}

func (d *delivery) stop() {
	for _, f := range d.stops {
		f()
	}
}

// Recipients knows nothing yet: an agent does not speak before its end.
func (d *delivery) Recipients() deliver.Outcome {
	return deliver.AllAtEnd(d.to, deliver.Accepted, deliver.Reply{})
}

// Write passes a part of the message. Once the agent has stopped reading nothing is written any more; Commit tells.
func (d *delivery) Write(p []byte) (int, error) {
	if d.over {
		return 0, os.ErrClosed
	}
	d.size += int64(len(p))
	if d.pipe == nil {
		_, d.pipe = d.in.Write(p)
	}
	return len(p), nil
}

// Abort kills the agent, then closes its standard input.
func (d *delivery) Abort() error {
	if d.over {
		return nil
	}
	d.over = true
	d.stop()
	d.kill()
	d.in.Close()
	d.wait()
	return nil
}

// Commit closes the standard input and waits for the exit status.
func (d *delivery) Commit(ctx context.Context) (deliver.Outcome, error) {
	if d.over {
		return deliver.Outcome{}, os.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		d.Abort()
		return deliver.AllAtEnd(d.to, deliver.Deferred, deliver.Reply{}), &deliver.Fault{Kind: deliver.Local, Stage: deliver.AtEnd, Err: err}
	}
	d.over = true
	defer d.stop()
	defer context.AfterFunc(ctx, d.kill)()
	if err := d.in.Close(); err != nil && d.pipe == nil {
		d.pipe = err
	}
	err := d.wait()
	r, ok := d.verdict(err)
	switch {
	case !ok: // an agent that has failed need not have read everything
		return deliver.AllAtEnd(d.to, deliver.Deferred, r), nil
	case d.pipe != nil && d.size > pipeSize:
		o := deliver.AllAtEnd(d.to, deliver.Deferred, r)
		err := fmt.Errorf("MDA did not read the whole message: %w", d.pipe)
		return o, &deliver.Fault{Kind: deliver.Pipe, Stage: deliver.AtText, Outcome: o, Err: err}
	}
	return deliver.AllAtEnd(d.to, deliver.Accepted, r), nil
}

// verdict puts the end of the process into the words of the reference.
func (d *delivery) verdict(err error) (r deliver.Reply, ok bool) {
	var exit *exec.ExitError
	switch {
	case d.late.Load():
		return deliver.Reply{Text: "MDA took too long and was killed"}, false
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return deliver.Reply{}, true
	case !errors.As(err, &exit):
		return deliver.Reply{Text: err.Error()}, false
	}
	if ws, isUnix := exit.Sys().(syscall.WaitStatus); isUnix && ws.Signaled() {
		return deliver.Reply{Text: fmt.Sprintf("MDA died of signal %d", ws.Signal())}, false
	}
	code := exit.ExitCode()
	return deliver.Reply{Code: code, Text: fmt.Sprintf("MDA returned nonzero status %d", code)}, false
}
