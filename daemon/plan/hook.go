package plan

import (
	"context"
	"errors"
	"os"
	"os/exec"

	"fetchmail/daemon/poll"
)

// hook makes the function for a preconnect or postconnect command: fetchmail(1), run by the shell, nothing of a server
// in it.
func hook(when, command string) func(context.Context) error {
	if command == "" {
		return nil
	}
	return func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
		cmd.Args[0] = "sh" // as system(3) has it, for what the shell says
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		err := cmd.Run()
		var exit *exec.ExitError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &exit) && exit.Exited():
			return &poll.HookError{When: when, Code: exit.ExitCode()}
		}
		return &poll.HookError{When: when, Err: err}
	}
}
