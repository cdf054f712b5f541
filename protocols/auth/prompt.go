package auth

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// Prompt asks on the terminal of the process, /dev/tty, without echo: "Enter password for alice@mail.example.org: ".
// It asks once; the answer is kept. Without a terminal there is no secret.
func Prompt(account string) Secret {
	return &source{name: "prompt", once: true, load: func(ctx context.Context) (string, error) {
		tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		if err != nil {
			return "", ErrNoSecret
		}
		defer tty.Close()
		return ask(ctx, tty, "Enter password for "+account+": ")
	}}
}

// ask reads a line from a terminal without echo. The echo is switched on again also if the context ends.
func ask(ctx context.Context, tty *os.File, prompt string) (string, error) {
	fd := int(tty.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("password prompt: %w", err)
	}
	if _, err := tty.WriteString(prompt); err != nil {
		return "", fmt.Errorf("password prompt: %w", err)
	}
	type answer struct {
		text []byte
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		got <- answer{text, err}
	}()
	select {
	case a := <-got:
		_, _ = tty.WriteString("\n")
		if a.err != nil {
			return "", fmt.Errorf("password prompt: %w", a.err)
		}
		return strings.TrimRight(string(a.text), "\r\n"), nil
	case <-ctx.Done():
		_ = term.Restore(fd, state)
		return "", context.Cause(ctx)
	}
}
