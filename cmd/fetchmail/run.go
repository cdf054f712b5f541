package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"

	"fetchmail/daemon"
	"fetchmail/daemon/metrics"
	"fetchmail/daemon/plan"
	"fetchmail/daemon/report"
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
	logged   bool         // out and err are a log
	json     atomic.Bool  // with a record in each line
	last     atomic.Value // what complain has written last, a string
	pending  string       // a line that waits until its form is known
	outside  outside
}

// failure ends the program: its text, if any, has been written.
type failure int

func (f failure) Error() string { return fmt.Sprintf("exit status %d", int(f)) }

// run does what the arguments say and returns the exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	p := &program{args: args, in: in, out: out, err: errOut}
	status := p.exitStatus(p.do(ctx))
	if why, ok := p.last.Load().(string); ok && p.detached != nil && status != exitOK {
		p.detached.Fail(status, why) // unless we have been ready
	}
	return status
}

// exitStatus is for the end that do has come to.
func (p *program) exitStatus(err error) int {
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
	if os.Getuid() == 0 && p.line.Status == "" && !p.line.HealthCheck {
		p.pending = "WARNING: Running as root is discouraged."
	}
	if p.Places, err = locate(); err != nil {
		return p.refused(err)
	}
	p.host = hostName()
	if p.rc = p.RCFile; p.line.RCFileSet {
		p.rc = p.line.RCFile
	}
	if p.line.ConfigCheck != "" {
		p.flush()
		return p.configCheck()
	}
	if p.line.Version {
		p.flush()
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
	case p.line.Status != "":
		return p.status()
	case p.line.HealthCheck:
		return p.healthCheck()
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
	line := fmt.Sprintf(format, args...)
	p.last.Store(line)
	p.write(p.err, slog.LevelError, line)
}

// pass writes an error line that is complete, except in its form.
func (p *program) pass(line string) {
	p.flush()
	if p.json.Load() {
		p.write(p.err, slog.LevelError, strings.TrimPrefix(line, "fetchmail: "))
		return
	}
	fmt.Fprintln(p.err, line)
}

// write writes a line of the program itself in the form that was asked for.
func (p *program) write(w io.Writer, level slog.Level, line string) {
	p.flush()
	if p.json.Load() {
		report.NewLog(w, slog.LevelInfo).Log(context.Background(), level, line, "event", "program")
		return
	}
	fmt.Fprintln(w, "fetchmail: "+line)
}

// flush writes the pending line.
func (p *program) flush() {
	if line := p.pending; line != "" {
		p.pending = ""
		p.complain("%s", line)
	}
}

// banner names the program. Programs that read the output of -V skip all before "Taking options".
func (p *program) banner() {
	fmt.Fprintf(p.out, "This is fetchmail release %s, written in Go.\n", version)
	fmt.Fprintln(p.out, "License: MIT. There is NO WARRANTY, to the extent permitted by law.")
}

// configure reads the run control file and resolves it with the command line.
func (p *program) configure() error {
	file, err := p.parse()
	if err != nil {
		return err
	}
	config, warnings, err := rcfile.Resolve(file, p.line, p.env())
	before := p.json.Load()
	if config != nil {
		p.json.Store(config.LogFormat == "json")
	}
	p.flush()
	for _, w := range warnings {
		p.pass(w)
	}
	if err != nil {
		err = p.refused(err)
		p.json.Store(before)
		return err
	}
	if _, err := metrics.Parse(config.Metrics, p.Home); err != nil {
		p.complain("%v", err)
		return failure(exitSyntax)
	}
	p.config = config
	if p.detached == nil && !p.logged {
		return nil // not yet
	}
	use, err := p.openOutput()
	use()
	return err
}

// refused passes on the lines and the exit status of a refusal.
func (p *program) refused(err error) error {
	var r *rcfile.Refusal
	if !errors.As(err, &r) {
		return err
	}
	for _, l := range r.Lines {
		p.pass(l)
	}
	return failure(r.Code)
}

// parse reads the run control file; nil if there is none.
func (p *program) parse() (*rcfile.File, error) {
	text, info, err := p.read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		p.complain("open: %s: %s", p.rc, strerror(err))
		return nil, failure(exitIO)
	}
	if info != nil && !p.line.Version {
		if err := rcfile.CheckFile(p.rc, info); err != nil {
			err = p.refused(err)
			if info.Mode().IsRegular() && info.Mode().Perm()&^0o700 != 0 && explains(p.err) {
				p.pass("  hint: chmod 600 " + p.rc)
			}
			return nil, err
		}
	}
	if len(text) > largeRC { // much garbage in a short time
		defer debug.SetGCPercent(debug.SetGCPercent(400))
	}
	file, err := rcfile.Parse(p.rc, text)
	var bad rcfile.Errors
	if errors.As(err, &bad) {
		p.explain(bad)
		return nil, failure(exitSyntax)
	}
	return file, err
}

// strerror is an error of the system in the words of strerror(3).
func strerror(err error) string {
	text := err.Error()
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		text = errno.Error()
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return text
}

// explain shows syntax errors: the reference's line, then what helps people.
func (p *program) explain(bad rcfile.Errors) {
	p.flush()
	if explains(p.err) {
		bad.Explain(p.err)
	} else {
		p.pass(bad.Error())
	}
}

// largeRC is the size from which on a run control file is worth memory for speed, octets.
const largeRC = 256 << 10

// read reads the run control file; info is nil if it comes from standard input.
func (p *program) read() (text []byte, info fs.FileInfo, err error) {
	if p.rc == "-" {
		text, err = p.standardInput()
		return text, nil, err
	}
	f, err := os.Open(p.rc)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() && !p.line.Version {
		return nil, info, nil // CheckFile says what is wrong with it
	}
	text, err = io.ReadAll(f)
	return text, info, err
}

// configCheck tells what is wrong or doubtful with the run control file. It contacts nobody.
func (p *program) configCheck() error {
	text, info, err := p.read()
	if err != nil {
		p.complain("%v", err)
		return failure(exitSyntax)
	}
	in := rcfile.CheckInput{Name: p.rc, Source: text, Info: info}
	var file *rcfile.File
	if file, in.ParseErr = rcfile.Parse(p.rc, text); in.ParseErr == nil {
		in.Config, in.Warnings, in.Refused = rcfile.Resolve(file, p.line, p.env())
	}
	if in.Config != nil {
		_, err := metrics.Parse(in.Config.Metrics, p.Home)
		in.Refused = errors.Join(err, plan.Check(in.Config))
	}
	found := rcfile.Check(in)
	if err := rcfile.WriteFindings(p.out, found, p.line.ConfigCheck == "json"); err != nil {
		return err
	}
	if rcfile.Failed(found) {
		return failure(exitSyntax)
	}
	return nil
}
