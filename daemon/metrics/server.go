// Package metrics serves what a daemon has done in the Prometheus text format, on a socket of this machine.
//
// It is read-only and tells no secrets. A UNIX socket has mode 0600; a TCP address must be a loopback one unless the
// option says "public". Accounts are told by the name behind poll; the name used for login, which mostly is an address, only
// if the option says "users". Browsers are kept out by the Host header: a page of a foreign site that has its name
// resolved to 127.0.0.1 is refused.
package metrics

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"fetchmail/daemon/status"
)

const (
	headerTime = 5 * time.Second  // for the header of a request
	answerTime = 30 * time.Second // for the whole of an answer
	idleTime   = 2 * time.Minute  // between two requests of a connection
	clients    = 16               // connections at once
	maxHeader  = 8 << 10          // octets
)

// Server serves the metrics of one daemon. The zero value serves nothing. It is used from one goroutine.
type Server struct {
	// Status is asked once for each request.
	Status func() *status.Status

	setting Setting
	http    *http.Server
	socket  fs.FileInfo // of the UNIX socket
}

// Apply serves at the address of a setting from now on. Nothing changes if it is the setting in force; if the new
// address cannot be had, the old one stays.
func (s *Server) Apply(m Setting) error {
	if m == s.setting {
		return nil
	}
	if m.Network == "" {
		s.Close()
		return nil
	}
	same := m.Network == s.setting.Network && m.Address == s.setting.Address
	if same {
		s.Close() // words have changed
	}
	l, err := listen(m)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	s.Close()
	s.setting = m
	if m.Network == "unix" {
		s.socket, _ = os.Lstat(m.Address)
	}
	s.http = &http.Server{Handler: s.handler(m), ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: answerTime,
		IdleTimeout: idleTime, MaxHeaderBytes: maxHeader, ErrorLog: log.New(io.Discard, "", 0)}
	go s.http.Serve(netutil.LimitListener(l, clients))
	return nil
}

// Close ends the service.
func (s *Server) Close() {
	if s.http == nil {
		return
	}
	s.http.Close()
	if now, err := os.Lstat(s.setting.Address); s.socket != nil && err == nil && os.SameFile(now, s.socket) {
		os.Remove(s.setting.Address)
	}
	s.http, s.socket, s.setting = nil, nil, Setting{}
}

func (s *Server) handler(m Setting) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{s.Status, m.Users}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	if m.Network == "unix" || m.Public {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		host, _, err := net.SplitHostPort(req.Host)
		if err != nil {
			host = req.Host
		}
		if !local(host) {
			http.Error(w, "this host name is not ours", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, req)
	})
}

var (
	errNoSocket = errors.New("there is a file of that name that is no socket")
	errNotOurs  = errors.New("there is a socket of somebody else")
	errInUse    = errors.New("another process serves there")
)

func listen(m Setting) (net.Listener, error) {
	if m.Network == "tcp" {
		return net.Listen("tcp", m.Address)
	}
	if err := clear(m.Address); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Address, err)
	}
	l, err := net.Listen("unix", m.Address) // the umask of the program is 077
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by then it may be another's
	if err := os.Chmod(m.Address, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// clear removes a socket of ours that a crash has left behind.
func clear(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode()&fs.ModeSocket == 0:
		return errNoSocket
	case int(fi.Sys().(*syscall.Stat_t).Uid) != os.Geteuid():
		return errNotOurs
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return errInUse
	}
	return os.Remove(path)
}
