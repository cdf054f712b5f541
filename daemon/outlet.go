package daemon

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// slowReader is how long somebody who reads the output of a daemon may keep it waiting.
const slowReader = 30 * time.Second

// Outlet is the writer of a daemon for a file that somebody else has to read. A pipe or a socket whose reader does not go
// on reading makes it wait for half a minute, not for ever; what it cannot take then is lost, until it takes something
// again. Other files are returned as they are.
func Outlet(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok {
		return w
	}
	if fi, err := f.Stat(); err != nil || fi.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) == 0 {
		return w
	}
	return &outlet{file: f, limit: slowReader}
}

// outlet is a pipe or a socket. It has no other way to write than Write.
type outlet struct {
	file  *os.File
	limit time.Duration
	mu    sync.Mutex
	stuck bool // the last write was lost
}

// Stat tells what kind of file it is.
func (o *outlet) Stat() (fs.FileInfo, error) { return o.file.Stat() }

// atOnce is what a pipe takes without waiting once it is ready, octets: POSIX, PIPE_BUF.
const atOnce = 4096

func (o *outlet) Write(b []byte) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n < len(b) {
		if o.stuck = !o.ready(); o.stuck {
			return n, os.ErrDeadlineExceeded
		}
		m, err := o.file.Write(b[n:min(len(b), n+atOnce)])
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// ready waits until a write does not have to wait, or fails at once.
func (o *outlet) ready() bool {
	end := time.Now().Add(o.limit)
	if o.stuck {
		end = time.Time{}
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(o.file.Fd()), Events: unix.POLLOUT}}, int(max(time.Until(end), 0).Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return n > 0 || err != nil
		}
	}
}
