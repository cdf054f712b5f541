package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"fetchmail/daemon"
	"fetchmail/rcfile"
)

// handover is what the process that detaches tells the detached one, in a pipe.
type handover struct {
	RC        []byte            // the run control file, if it came from standard input
	Passwords map[string]string // that were typed in, by user@label
}

func (h handover) encode() []byte {
	b, err := json.Marshal(h)
	if err != nil {
		panic(err) // strings and bytes
	}
	return b
}

// background takes up what the process that has started us handed over.
func (p *program) background() error {
	d, err := daemon.IsDetached()
	if err != nil || d == nil {
		return err
	}
	p.detached = d
	return json.Unmarshal(d.Secrets, &p.given)
}

// typed are the passwords that people have typed in.
func (p *program) typed() map[string]string { return p.given.Passwords }

// openLog opens the log file of a detached daemon; nil if there is none.
func (p *program) openLog() (*daemon.LogFile, error) {
	if p.config.LogFile == "" {
		return nil, nil
	}
	l, err := daemon.OpenLog(p.config.LogFile)
	if os.IsNotExist(err) {
		return nil, nil // the reference says so and goes on; so does the language
	}
	if err != nil {
		p.complain("%v", err)
		return nil, failure(exitIO)
	}
	return l, nil
}

// openOutput opens what we write to while we poll: the log file, in the foreground as well, or the system's log. From then
// on lines are made for a log; they go there once the function that it returns was called.
func (p *program) openOutput() (use func(), err error) {
	nothing := func() {}
	if p.logged {
		return nothing, p.followLog()
	}
	l, err := p.openLog()
	if err == nil && l == nil && !p.config.Syslog && p.detached != nil {
		l, err = daemon.OpenLog(os.DevNull) // a changed configuration may name a file
	}
	switch {
	case err != nil:
		return nothing, err
	case l != nil:
		p.logFile, p.logged = l, true
		return func() { p.out, p.err = l, l }, nil
	case !p.config.Syslog:
		return nothing, nil
	}
	s, err := daemon.OpenSyslog("", "")
	if err != nil {
		return nothing, nil // no system log here: standard error is better than nothing
	}
	p.logged = true
	return func() { p.out, p.err = s.Out, s.Err }, nil
}

// followLog goes on with another log file if a changed configuration names one.
func (p *program) followLog() error {
	if p.logFile == nil || p.config.LogFile == "" {
		return nil
	}
	return p.logFile.Move(p.config.LogFile)
}

// logStays tells whether the configuration wants another kind of log than the old one: only another log file is moved to.
func (p *program) logStays(old *rcfile.Config) bool {
	if p.logFile != nil && p.config.LogFile != "" {
		return false
	}
	return (old.LogFile == "") != (p.config.LogFile == "") || old.Syslog != p.config.Syslog
}

// reopen opens the log file again when asked to.
func (p *program) reopen(asked <-chan os.Signal) {
	for range asked {
		if p.logFile != nil {
			p.logFile.Reopen()
		}
	}
}

// tell writes a progress line of the program itself.
func (p *program) tell(format string, args ...any) {
	p.write(p.out, slog.LevelInfo, fmt.Sprintf(format, args...))
}

// standardInput reads a run control file from where it can be read once only.
func (p *program) standardInput() ([]byte, error) {
	if p.given.RC != nil {
		return p.given.RC, nil
	}
	var err error
	if p.piped == nil {
		p.piped, err = io.ReadAll(p.in)
	}
	return p.piped, err
}
