// Package mda hands messages to a mail delivery agent: one process for each message, which reads it from its standard
// input and whose exit status is the verdict (fetchmail(1), --mda).
//
// Exit status 0 is Accepted; every other one, and death by a signal, is Deferred: the message stays where it is.
//
// The agent is started when the message is there as a whole, and nothing of it comes from us any more: a short message
// is in the pipe before the agent is, a long one is in a temporary file and fed by cat(1). An agent cannot tell a message
// that broke off from a whole one, so neither a broken source nor our own death, by SIGKILL even, may end its input.
// Agent and cat have a process group of their own, so that giving up ends all that the agent has started.
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
	"fetchmail/deliver/journal"
)

// pipeSize is what the system takes for a process that has not read it yet (pipe(7)). A message that fits in is as good
// as read: whether an agent that does not want it ends before or after we write must not make the difference.
const pipeSize = 64 << 10

// pipePatience is how long we wait for a pipe to take that much. One that does not is smaller than usual.
const pipePatience = 10 * time.Millisecond

// maxSender is far more than any sender has (RFC 5321, section 4.5.3.1.3: 256 octets), and leaves room in a command line,
// which is one argument of the shell: 128 KB, execve(2).
const maxSender = 16 << 10

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
	// User tells whom to run as; nil, also its answer, is the running user.
	User func() (*syscall.Credential, error)
	// Stdout and Stderr of the agent; nil are our own.
	Stdout, Stderr io.Writer
	// Trace is told the command line; may be nil.
	Trace func(command string)
}

// Sink is a mail delivery agent.
type Sink struct {
	opts  Options
	short []byte // the buffer for short messages serves one after the other
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

// sender is what %F stands for: "<>" for the null sender, nothing where the message names none.
func sender(e deliver.Envelope) string {
	if e.From == "" && !e.Nameless {
		return "<>"
	}
	return e.From
}

// Begin says what will be run.
func (s *Sink) Begin(ctx context.Context, e deliver.Envelope) (deliver.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, &deliver.Fault{Kind: deliver.Local, Err: err}
	}
	if strings.ContainsRune(e.From, 0) || len(e.From) > maxSender { // no argument can hold it, and nobody could be told
		e.From = ""
	}
	if strings.ContainsRune(strings.Join(e.To, ""), 0) {
		err := errors.New("NUL in an address")
		return nil, &deliver.Fault{Kind: deliver.Refusal, Outcome: deliver.AllAtEnd(e.To, deliver.Refused, deliver.Reply{Text: err.Error()}), Err: err}
	}
	d := &delivery{sink: s, to: e.To, line: expand(s.opts.Command, sender(e), e.To)}
	s.short = s.short[:0]
	if s.opts.Trace != nil {
		s.opts.Trace(d.line)
	}
	return d, nil
}

// delivery is one message for an agent.
type delivery struct {
	sink *Sink
	to   []string
	line string
	long *os.File // holds a message that is too large for a pipe
	size int64    // octets of the message
	cmd  *exec.Cmd
	feed *exec.Cmd // cat, which leads the process group; nil for a short message
	over bool
	late atomic.Bool // the time limit has passed
	done atomic.Bool // the processes are gone, their numbers may be others'
}

// Recipients knows nothing yet: an agent does not speak before its end.
func (d *delivery) Recipients() deliver.Outcome {
	return deliver.AllAtEnd(d.to, deliver.Accepted, deliver.Reply{})
}

// Write takes a part of the message.
func (d *delivery) Write(p []byte) (int, error) {
	if d.over {
		return 0, os.ErrClosed
	}
	d.size += int64(len(p))
	if d.long == nil && d.size <= pipeSize {
		d.sink.short = append(d.sink.short, p...)
		return len(p), nil
	}
	err := d.spool()
	if err == nil {
		_, err = d.long.Write(p)
	}
	if err != nil {
		return 0, &deliver.Fault{Kind: deliver.Local, Stage: deliver.AtText, Err: err}
	}
	return len(p), nil
}

// spool moves what has come so far into a file.
func (d *delivery) spool() error {
	if d.long != nil {
		return nil
	}
	f, err := journal.Temporary()
	if err != nil {
		return err
	}
	d.long = f
	_, err = f.Write(d.sink.short)
	return err
}

// Abort forgets the message; no agent has seen anything of it.
func (d *delivery) Abort() error {
	if d.over {
		return nil
	}
	d.over = true
	return d.forget()
}

func (d *delivery) forget() error {
	if d.long == nil {
		return nil
	}
	return d.long.Close()
}

// Commit runs the agent and waits for its exit status.
func (d *delivery) Commit(ctx context.Context) (deliver.Outcome, error) {
	if d.over {
		return deliver.Outcome{}, os.ErrClosed
	}
	d.over = true
	defer d.forget()
	deferred := deliver.AllAtEnd(d.to, deliver.Deferred, deliver.Reply{})
	err := ctx.Err()
	if err == nil {
		err = d.start()
	}
	switch {
	case errors.Is(err, syscall.E2BIG) && d.line != d.sink.opts.Command: // other messages have shorter addresses
		return deliver.AllAtEnd(d.to, deliver.Deferred, deliver.Reply{Text: err.Error()}), nil
	case err != nil:
		return deferred, &deliver.Fault{Kind: deliver.Local, Stage: deliver.AtEnd, Outcome: deferred, Err: err}
	}
	defer context.AfterFunc(ctx, d.kill)()
	if limit := d.sink.opts.TimeLimit; limit > 0 {
		defer time.AfterFunc(limit, func() {
			d.late.Store(true)
			d.kill()
		}).Stop()
	}
	agent, fed := d.wait()
	r, ok := d.verdict(agent)
	switch {
	case !ok: // an agent that has failed need not have read everything
		return deliver.AllAtEnd(d.to, deliver.Deferred, r), nil
	case fed != nil:
		err := fmt.Errorf("MDA did not read the whole message: %w", fed)
		return deferred, &deliver.Fault{Kind: deliver.Pipe, Stage: deliver.AtText, Outcome: deferred, Err: err}
	}
	return deliver.AllAtEnd(d.to, deliver.Accepted, r), nil
}

// start runs the agent with the message before it.
func (d *delivery) start() error {
	o, group := d.sink.opts, 0
	var who *syscall.Credential
	if o.User != nil {
		var err error
		if who, err = o.User(); err != nil {
			return err
		}
	}
	in, err := d.input()
	if err != nil {
		return err
	}
	defer in.Close()
	if d.feed != nil {
		group = d.feed.Process.Pid
	}
	d.cmd = &exec.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", d.line}} // as popen(3) names it
	d.cmd.Stdin, d.cmd.Stdout, d.cmd.Stderr = in, o.Stdout, o.Stderr
	d.cmd.WaitDelay = lingering
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: group, Credential: who}
	if err := d.cmd.Start(); err != nil {
		if d.feed != nil {
			d.feed.Process.Kill()
			d.feed.Wait()
		}
		return fmt.Errorf("MDA could not be started: %w", err)
	}
	return nil
}

// input is where the agent reads the message.
func (d *delivery) input() (*os.File, error) {
	if d.long == nil {
		if r := d.filled(); r != nil {
			return r, nil
		}
		if err := d.spool(); err != nil {
			return nil, err
		}
	}
	if _, err := d.long.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	d.feed = exec.Command("cat")
	d.feed.Stdin, d.feed.Stdout = d.long, w
	d.feed.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.feed.Start(); err != nil {
		r.Close()
		return nil, fmt.Errorf("MDA could not be fed: %w", err)
	}
	return r, nil
}

// filled is a pipe that has taken a short message already; nil if it has not.
func (d *delivery) filled() *os.File {
	r, w, err := os.Pipe()
	if err != nil {
		return nil
	}
	defer w.Close()
	w.SetWriteDeadline(time.Now().Add(pipePatience))
	if n, _ := w.Write(d.sink.short); n < len(d.sink.short) {
		r.Close()
		return nil
	}
	return r
}

// wait waits for the end of the agent. fed tells that cat could not get rid of the message.
func (d *delivery) wait() (agent, fed error) {
	agent = d.cmd.Wait()
	if d.feed != nil {
		fed = d.feed.Wait()
	}
	d.done.Store(true)
	return agent, fed
}

// kill ends the agent and all that it has started.
func (d *delivery) kill() {
	if d.done.Load() {
		return
	}
	leader := d.cmd
	if d.feed != nil {
		leader = d.feed
	}
	syscall.Kill(-leader.Process.Pid, syscall.SIGKILL)
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
