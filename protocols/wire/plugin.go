package wire

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// pluginGrace is how long a plugin may take to end by itself after its connection was closed, and again after it was
// told to.
var pluginGrace = 2 * time.Second

// plugin is a running command that gives a connection on its standard input and output.
type plugin struct {
	conn net.Conn
	cmd  *exec.Cmd
	done chan struct{}
}

// startPlugin runs a command in the way of fetchmail(1), --plugin: it is looked up in PATH, its arguments are bounded
// by blanks, and no shell is involved. An argument that is %h or %p, whole, becomes the host or the service.
func startPlugin(command, host, service string) (*plugin, error) {
	args := strings.Fields(command)
	if len(args) == 0 {
		return nil, errors.New("plugin: the command is empty")
	}
	for i, a := range args {
		switch a {
		case "%h":
			args[i] = host
		case "%p":
			args[i] = service
		default:
			continue
		}
		if strings.HasPrefix(args[i], "-") || strings.ContainsRune(args[i], 0) {
			return nil, fmt.Errorf("plugin: %q cannot be handed to a command as %s", args[i], a)
		}
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("plugin: %w", err)
	}
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	_ = ours.Close() // net.FileConn works on a copy
	if err != nil {
		return nil, fmt.Errorf("plugin: %w", err)
	}
	p := &plugin{conn: conn, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirs, theirs, os.Stderr
	if err := p.cmd.Start(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("plugin: %w", err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended does not matter: the connection tells
		close(p.done)
	}()
	return p, nil
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "plugin"), os.NewFile(uintptr(fds[1]), "plugin"), nil
}

// end waits until the plugin has ended, which the close of its connection should make it do; if it does not, it is
// terminated, and at last killed.
func (p *plugin) end() {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.done:
			return
		case <-time.After(pluginGrace):
			_ = p.cmd.Process.Signal(sig)
		}
	}
	<-p.done
}
