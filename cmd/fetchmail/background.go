package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"fetchmail/daemon"
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

// log leads our output to where a daemon in the background, or one with syslog, shall write.
func (p *program) log() error {
	if p.logged {
		return nil
	}
	if p.detached != nil {
		l, err := p.openLog()
		if err != nil {
			return err
		}
		if l != nil {
			p.logFile, p.logged = l, true
			p.out, p.err = l, l
			return nil
		}
	}
	if !p.config.Syslog {
		return nil
	}
	s, err := daemon.OpenSyslog("", "")
	if err != nil {
		return nil // no system log here: standard error is better than nothing
	}
	p.out, p.err = s.Out, s.Err
	p.logged = true
	return nil
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
