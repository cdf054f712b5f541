package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"fetchmail/daemon"
	"fetchmail/rcfile"
)

// program is one invocation.
type program struct {
	rcfile.Places
	args     []string
	line     *rcfile.CommandLine
	config   *rcfile.Config
	rc       string // path of the run control file; "-" is standard input
	host     string // our own name, fully qualified
	in       io.Reader
	out, err io.Writer

	detached *daemon.Detached // set in the background
	given    handover         // what it was told
	piped    []byte           // the run control file that came from standard input
	logFile  *daemon.LogFile
	logged   bool // out and err are a log
}

// failure ends the program: its text, if any, has been written.
type failure int

func (f failure) Error() string { return fmt.Sprintf("exit status %d", int(f)) }

// run does what the arguments say and returns the exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	p := &program{args: args, in: in, out: out, err: errOut}
	err := p.do(ctx)
	var f failure
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f):
		return int(f)
	}
	p.complain("%v", err)
	return exitUndefined
}

// do goes through the actions of the command line.
func (p *program) do(ctx context.Context) error {
	err := p.background()
	if err != nil {
		return err
	}
	if p.line, err = rcfile.ParseArgs(p.args); err != nil {
		return p.usage(err)
	}
	if p.line.Help {
		return rcfile.Help(p.out)
	}
	if os.Getuid() == 0 {
		p.complain("WARNING: Running as root is discouraged.")
	}
	if p.Places, err = locate(); err != nil {
		return p.refused(err)
	}
	p.host = hostName()
	if p.line.Version {
		p.banner()
	}
	if err := p.configure(); err != nil {
		return err
	}
	switch {
	case p.line.Version:
		return p.report()
	case p.line.ConfigDump != "":
		return p.dump()
	}
	return p.work(ctx)
}

// usage explains an error in the arguments.
func (p *program) usage(err error) error {
	fmt.Fprintln(p.err, err)
	var u *rcfile.UsageError
	if errors.As(err, &u) && u.Hint != "" {
		fmt.Fprintln(p.err, u.Hint)
	}
	return failure(exitSyntax)
}

// complain writes an error line.
func (p *program) complain(format string, args ...any) {
	fmt.Fprintf(p.err, "fetchmail: "+format+"\n", args...)
}

// banner names the program. Programs that read the output of -V skip all before "Taking options".
func (p *program) banner() {
	fmt.Fprintf(p.out, "This is fetchmail release %s, written in Go.\n", version)
	fmt.Fprintln(p.out, "License: MIT. There is NO WARRANTY, to the extent permitted by law.")
}

// configure reads the run control file and resolves it with the command line.
func (p *program) configure() error {
	p.rc = p.RCFile
	if p.line.RCFileSet {
		p.rc = p.line.RCFile
	}
	file, err := p.parse()
	if err != nil {
		return err
	}
	config, warnings, err := rcfile.Resolve(file, p.line, p.env())
	for _, w := range warnings {
		fmt.Fprintln(p.err, w)
	}
	if err != nil {
		return p.refused(err)
	}
	p.config = config
	return p.log()
}

// refused passes on the lines and the exit status of a refusal.
func (p *program) refused(err error) error {
	var r *rcfile.Refusal
	if !errors.As(err, &r) {
		return err
	}
	for _, l := range r.Lines {
		fmt.Fprintln(p.err, l)
	}
	return failure(r.Code)
}

// parse reads the run control file; nil if there is none.
func (p *program) parse() (*rcfile.File, error) {
	text, err := p.read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	file, err := rcfile.Parse(p.rc, text)
	var bad rcfile.Errors
	if errors.As(err, &bad) {
		p.explain(bad)
		return nil, failure(exitSyntax)
	}
	return file, err
}

// explain shows syntax errors: the reference's line, then what helps people.
func (p *program) explain(bad rcfile.Errors) {
	fmt.Fprintln(p.err, bad.Error())
	if explains(p.err) {
		bad.Explain(p.err)
	}
}

// read reads the run control file if nobody else may. Without -f it need not exist.
func (p *program) read() ([]byte, error) {
	if p.rc == "-" {
		return p.standardInput()
	}
	f, err := os.Open(p.rc)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !p.line.Version {
		if err := rcfile.CheckFile(p.rc, st); err != nil {
			return nil, p.refused(err)
		}
	}
	return io.ReadAll(f)
}
