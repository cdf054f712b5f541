package auth

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Secret is where a password or token comes from. It may be used by several goroutines.
type Secret interface {
	// Get returns the text. ErrNoSecret means that this source has none, and that another may be asked.
	Get(ctx context.Context) (string, error)
	// Forget drops a text that the server has refused, so that the next Get makes or reads it anew where that can
	// give another one (a command that gets a token, a file).
	Forget()
}

// ErrNoSecret says that a source knows no password for this account.
var ErrNoSecret = errors.New("no password")

// maxSecret bounds the line that is read as a secret, in bytes; tokens are a few KB.
const maxSecret = 64 << 10

// commandTime is how long a password command may take.
const commandTime = 2 * time.Minute

// source is a Secret made of a function, so that no print of it shows the text. What load returns is kept until Forget,
// or for ever if once is set.
type source struct {
	mu   sync.Mutex
	name string
	load func(ctx context.Context) (string, error)
	kept func() string
	once bool
}

// Get returns the kept text or loads it.
func (s *source) Get(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept != nil {
		return s.kept(), nil
	}
	text, err := s.load(ctx)
	if err != nil {
		return "", err
	}
	s.kept = func() string { return text }
	return text, nil
}

// Kept is the text that a secret of one source has got already.
func Kept(s Secret) (text string, ok bool) {
	src, ok := s.(*source)
	if !ok {
		return "", false
	}
	src.mu.Lock()
	defer src.mu.Unlock()
	if src.kept == nil {
		return "", false
	}
	return src.kept(), true
}

// Forget drops the kept text.
func (s *source) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.once {
		s.kept = nil
	}
}

// Format prints the name of the source, never the text, for every verb.
func (s *source) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "secret from "+s.name) }

// Fixed is a password that is known: from the rcfile.
func Fixed(text string) Secret {
	return &source{name: "rcfile", once: true, kept: func() string { return text }}
}

// File reads the first line of a file: option passwordfile. It is read again after Forget.
func File(name string) Secret {
	return &source{name: "passwordfile", load: func(context.Context) (string, error) {
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("passwordfile: %w", err)
		}
		defer f.Close()
		text, err := firstLine(f)
		if err != nil {
			return "", fmt.Errorf("passwordfile %s: %w", name, err)
		}
		return text, nil
	}}
}

// Descriptor reads the first line from an open file descriptor, once: option passwordfd. Nothing behind the line is
// consumed, so that several accounts can share one descriptor.
func Descriptor(fd int) Secret {
	return &source{name: "passwordfd", once: true, load: func(context.Context) (string, error) {
		text, err := lineFrom(fd)
		if err != nil {
			return "", fmt.Errorf("passwordfd %d: %w", fd, err)
		}
		return text, nil
	}}
}

// lineFrom reads byte by byte: what follows the line belongs to somebody else.
func lineFrom(fd int) (string, error) {
	// All that this program opens itself is closed on exec; what it was given is not.
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		return "", err
	} else if flags&unix.FD_CLOEXEC != 0 {
		return "", errNotGiven
	}
	var line []byte
	b := make([]byte, 1)
	for len(line) <= maxSecret {
		n, err := syscall.Read(fd, b)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return "", err
		case n == 0 || b[0] == '\n':
			return oneSecret(string(line))
		default:
			line = append(line, b[0])
		}
	}
	return "", errTooLong
}

// Command runs a command by /bin/sh and takes the first line of its output: option passwordeval. Its standard error
// is ours; it gets no input. It stays in our process group, so that it may ask on the terminal. The text is kept until
// Forget.
func Command(command string) Secret {
	return &source{name: "passwordeval", load: func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, commandTime)
		defer cancel()
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
		cmd.Stderr = os.Stderr
		cmd.WaitDelay = time.Second // a grandchild may hold the pipe
		out := &limited{max: maxSecret}
		cmd.Stdout = out
		if err := cmd.Run(); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return "", fmt.Errorf("passwordeval: %w", err)
		}
		text, err := firstLine(&out.Buffer)
		if err != nil {
			return "", fmt.Errorf("passwordeval: %w", err)
		}
		return text, nil
	}}
}

// limited is a buffer that keeps the first max bytes and takes the rest without keeping it.
type limited struct {
	bytes.Buffer
	max int
}

func (l *limited) Write(p []byte) (int, error) {
	if room := l.max + 1 - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// Credential reads a file of the folder that systemd hands to a service with LoadCredential=
// ($CREDENTIALS_DIRECTORY, systemd.exec(5)); names are tried in order. Without the folder there is no secret.
func Credential(folder string, names ...string) Secret {
	return &source{name: "systemd credential", load: func(context.Context) (string, error) {
		for _, name := range names {
			if folder == "" || name == "" || strings.ContainsRune(name, '/') || strings.HasPrefix(name, ".") {
				continue
			}
			f, err := os.Open(filepath.Join(folder, name))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return "", fmt.Errorf("credential: %w", err)
			}
			defer f.Close()
			return firstLine(f)
		}
		return "", ErrNoSecret
	}}
}

var (
	errTooLong  = fmt.Errorf("first line is longer than %d bytes", maxSecret)
	errNotGiven = errors.New("not given by whoever started this program")
	errEmpty    = errors.New("first line is empty")
)

// firstLine reads the first line, without its end.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxSecret+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if len(line) > maxSecret {
		return "", errTooLong
	}
	return oneSecret(strings.TrimSuffix(line, "\n"))
}

func oneSecret(line string) (string, error) {
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", errEmpty
	}
	return line, nil
}

// First asks several sources in order and takes the first that knows a password.
func First(sources ...Secret) Secret { return chain(sources) }

type chain []Secret

// Get asks the sources in order.
func (c chain) Get(ctx context.Context) (string, error) {
	for _, s := range c {
		text, err := s.Get(ctx)
		if !errors.Is(err, ErrNoSecret) {
			return text, err
		}
	}
	return "", ErrNoSecret
}

// Forget forgets in all sources.
func (c chain) Forget() {
	for _, s := range c {
		s.Forget()
	}
}

// Again gets a secret anew after the server has refused it. ok is false if the source can only give the same one: a
// second try with it would be in vain, and may lock the account.
func Again(ctx context.Context, s Secret, refused string) (text string, ok bool, err error) {
	s.Forget()
	text, err = s.Get(ctx)
	return text, err == nil && text != refused, err
}
