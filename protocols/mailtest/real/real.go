package real

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	readyLimit = 20 * time.Second // for a server to listen; a loaded machine is slow
	startTries = 5                // a port that was free may be taken by the time the server binds it
	roomNeeded = 4 << 30          // octets free in /dev/shm; below it the disk is used
)

// Missing ends the test because what it needs is not there: a skip on a developer's machine, a failure in CI.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if os.Getenv("CI") != "" {
		t.Fatalf("%s (in CI every test has to run: see `make test`)", why)
	}
	t.Skip(why)
}

// program returns the path of a program, looked for in PATH and in the folders of system programs.
func program(t testing.TB, name, debianPackage string) string {
	t.Helper()
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"} {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && st.Mode()&0o111 != 0 {
			return p
		}
	}
	Missing(t, "%s is not installed (Debian package %s)", name, debianPackage)
	return ""
}

// Reference returns the path of the program that ours is compared with: fetchmail of the 6.4 series.
func Reference(t testing.TB) string {
	t.Helper()
	p := program(t, "fetchmail", "fetchmail")
	cmd := exec.Command(p, "--version")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C")
	out, _ := cmd.Output()
	if !bytes.Contains(out, []byte("This is fetchmail release 6.4.")) {
		Missing(t, "%s is not fetchmail 6.4 (Debian 12 has it in the package fetchmail)", p)
	}
	return p
}

// Procmail returns the path of procmail.
func Procmail(t testing.TB) string { t.Helper(); return program(t, "procmail", "procmail") }

// Maildrop returns the path of maildrop.
func Maildrop(t testing.TB) string { t.Helper(); return program(t, "maildrop", "maildrop") }

// Dir makes a folder that everybody can pass and that is removed at the end of the test. Its path is short, because
// UNIX sockets live there, and on a RAM disk where there is a large one, because mail servers sync a lot.
func Dir(t testing.TB) string {
	t.Helper()
	base := os.TempDir()
	var st syscall.Statfs_t
	if syscall.Statfs("/dev/shm", &st) == nil && int64(st.Bavail)*int64(st.Bsize) > roomNeeded {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "mailtest-")
	if err != nil && base != os.TempDir() {
		dir, err = os.MkdirTemp("", "mailtest-")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// removeAll tries again for a while: a server's last process may still be writing.
func removeAll(t testing.TB, dir string) {
	var err error
	for range 20 {
		if err = os.RemoveAll(dir); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("cannot clean up: %v", err)
}

// FreePorts returns n different TCP ports that nobody listens on at 127.0.0.1. They lie below 32768, out of the range
// from which Linux takes ports for outgoing connections, so that they stay free until a server binds them.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	taken := map[int]bool{}
	for range 10000 {
		if len(ports) == n {
			return ports
		}
		p := 10000 + rand.IntN(22000)
		if taken[p] || !free(p) {
			continue
		}
		taken[p] = true
		ports = append(ports, p)
	}
	t.Fatal("no free port on 127.0.0.1")
	return nil
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// owner is the account that mailboxes belong to: "mail" when the test runs as root, since mail servers refuse to
// work on mailboxes as root, otherwise the account of the test.
type owner struct {
	name, group string
	uid, gid    int
}

func mailOwner(t testing.TB) owner {
	t.Helper()
	if uid := os.Getuid(); uid != 0 {
		u, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		return owner{u.Username, groupName(u.Gid), uid, os.Getgid()}
	}
	u, err := user.Lookup("mail")
	if err != nil {
		Missing(t, "there is no account \"mail\" to own mailboxes: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return owner{u.Username, groupName(u.Gid), uid, gid}
}

// Account returns the account that mailboxes belong to and that programs under test should run in: fetchmail and what
// it starts behave differently for root. It is "mail" when the test runs as root, otherwise the account of the test.
func Account(t testing.TB) (name string, uid, gid int) {
	t.Helper()
	o := mailOwner(t)
	return o.name, o.uid, o.gid
}

func groupName(gid string) string {
	if g, err := user.LookupGroupId(gid); err == nil {
		return g.Name
	}
	return gid
}

// own gives the path to the owner; only root has to, and can.
func (o owner) own(path string) error {
	if os.Getuid() != 0 {
		return nil
	}
	return os.Lchown(path, o.uid, o.gid)
}

// mkdir makes a folder and those above it up to an existing one, all the owner's.
func (o owner) mkdir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err = o.mkdir(filepath.Dir(path)); err == nil {
			err = os.Mkdir(path, 0o700)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return o.own(path)
}

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	out  bytes.Buffer // what it said before it could log
	done chan struct{}
	err  error // of Wait; valid after done
}

// start runs cmd. It gets SIGTERM when the test program dies, however it dies: the signal comes with the end of the
// thread that started the process, so that thread is kept.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	cmd.WaitDelay = time.Second // children may keep the output open
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// stop ends the process and all that belong to it at once. Nothing of theirs is kept, so they need not tidy up.
func (p *process) stop() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// ready waits until every check is nil, the process ends, or the limit is over.
func (p *process) ready(checks ...func() error) error {
	end := time.Now().Add(readyLimit)
	for _, check := range checks {
		for {
			err := check()
			if err == nil {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("not ready after %v: %w", readyLimit, err)
			}
			select {
			case <-p.done:
				return fmt.Errorf("it ended: %v %s", p.err, p.out.Bytes())
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}

// greets returns a check that a server on the port says something that begins with prefix.
func greets(network, addr, prefix string) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Second))
		buf := make([]byte, 512)
		n, err := c.Read(buf)
		if got := string(buf[:n]); !strings.HasPrefix(got, prefix) {
			return fmt.Errorf("greeting %q: %v", got, err)
		}
		return nil
	}
}

func addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func logOf(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
