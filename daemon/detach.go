package daemon

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// detachedEnv tells a process that it is the detached one. Its value is version and parent.
const detachedEnv = "FETCHMAIL_DETACHED"

// Descriptors of the detached process: where what was typed in comes from, where its readiness goes to.
const (
	secretsFD = 3
	readyFD   = 4
)

// maxReport bounds what the detached process has to say before it is ready, in octets.
const maxReport = 64 << 10

// Detaching says how the program goes into the background: it starts itself again in a session of its own, because a Go
// program cannot fork.
type Detaching struct {
	Path    string   // of the program; "" is os.Executable
	Args    []string // as os.Args
	Env     []string // nil: that of this process
	Secrets []byte   // handed over in a pipe, not in arguments or environment
	Log     *os.File // standard output and error of the detached process; nil: /dev/null
}

// StartError is what the detached process said instead of being ready.
type StartError struct {
	Status int // to exit with
	Text   string
}

func (e *StartError) Error() string { return e.Text }

// Start starts the detached process and returns its ID when it is ready. If it was not to be, the error is a *StartError
// with its own words.
func (d Detaching) Start() (pid int, err error) {
	path := d.Path
	if path == "" {
		if path, err = os.Executable(); err != nil {
			return 0, err
		}
	}
	secrets, feed, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer secrets.Close()
	defer feed.Close()
	news, ready, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer news.Close()
	defer ready.Close()
	cmd := exec.Command(path)
	cmd.Args = d.Args
	if cmd.Env = d.Env; cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=1 %d", detachedEnv, os.Getpid()))
	if d.Log != nil {
		cmd.Stdout, cmd.Stderr = d.Log, d.Log
	}
	cmd.ExtraFiles = []*os.File{secrets, ready}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	keepGiven()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	secrets.Close()
	ready.Close()
	go func() {
		feed.Write(d.Secrets)
		feed.Close()
	}()
	pid = cmd.Process.Pid // Release forgets it
	return pid, await(cmd, news)
}

// keepGiven keeps the descriptors that we were given, and that are of no use in the background, from the processes that
// we start: a daemon would hold the pipes and locks of whoever has called us for as long as it lives.
func keepGiven() {
	open, _ := os.ReadDir("/dev/fd") // where the system has no such folder they are handed on
	for _, e := range open {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

// await hears what the detached process has to say.
func await(cmd *exec.Cmd, news io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(news, maxReport))
	if err != nil {
		return err
	}
	if bytes.Equal(b, []byte("ready\n")) {
		return cmd.Process.Release()
	}
	first, text, _ := strings.Cut(string(b), "\n")
	if status, err := strconv.Atoi(strings.TrimPrefix(first, "failed ")); err == nil {
		cmd.Wait()
		return &StartError{status, text}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return &StartError{exit.ExitCode(), "the background process has ended: " + err.Error()}
	}
	return &StartError{internalError, fmt.Sprintf("the background process has ended before it was ready: %v", err)}
}

// Detached is the detached process's end.
type Detached struct {
	Secrets []byte // what Detaching.Secrets was
	ready   *os.File
}

// IsDetached returns nil in an ordinary process. It is called once, before anything is opened or started.
func IsDetached() (*Detached, error) {
	v, ok := os.LookupEnv(detachedEnv)
	if !ok {
		return nil, nil
	}
	// Nothing that we start is to take itself for it.
	os.Unsetenv(detachedEnv)
	if v != fmt.Sprintf("1 %d", os.Getppid()) {
		return nil, nil
	}
	for _, fd := range []int{secretsFD, readyFD} {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("detached process: %w", err)
		}
	}
	in := os.NewFile(secretsFD, "secrets")
	defer in.Close()
	b, err := io.ReadAll(bufio.NewReader(in))
	if err != nil {
		return nil, fmt.Errorf("detached process: %w", err)
	}
	return &Detached{Secrets: b, ready: os.NewFile(readyFD, "ready")}, nil
}

// Ready lets the process that has started this one end with status 0.
func (d *Detached) Ready() error { return d.say("ready\n") }

// Fail makes it print the text and end with the status.
func (d *Detached) Fail(status int, text string) error {
	return d.say(fmt.Sprintf("failed %d\n%s", status, text))
}

func (d *Detached) say(s string) error {
	if d.ready == nil {
		return nil
	}
	_, err := io.WriteString(d.ready, s)
	err = errors.Join(err, d.ready.Close())
	d.ready = nil
	return err
}
