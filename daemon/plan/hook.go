package plan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"fetchmail/daemon/poll"
)

// hookTime is how long a command may take. Nothing is known of what it does; this only keeps it from holding up for ever
// a daemon whose other polls wait for its end.
const hookTime = time.Hour

// hook makes the function for a preconnect or postconnect command: fetchmail(1), run by the shell, nothing of a server
// in it. If it has to be killed, detached tells that all that it has started is, too; with a terminal it stays in our
// process group, so that it may ask there.
func hook(when, command string, detached bool) func(context.Context) error {
	if command == "" {
		return nil
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, hookTime, fmt.Errorf("it has not ended after %v", hookTime))
		defer cancel()
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
		cmd.Args[0] = "sh" // as system(3) has it, for what the shell says
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		if detached {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		}
		err := cmd.Run()
		var exit *exec.ExitError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return &poll.HookError{When: when, Err: context.Cause(ctx)}
		case errors.As(err, &exit) && exit.Exited():
			return &poll.HookError{When: when, Code: exit.ExitCode()}
		}
		return &poll.HookError{When: when, Err: err}
	}
}
