package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"fetchmail/daemon/plan"
	"fetchmail/rcfile"
)

// locate finds the caller and his files.
func locate() (rcfile.Places, error) {
	return rcfile.Locate(rcfile.Surroundings{
		Getenv:   os.LookupEnv,
		RealPath: realPath,
		LookupUser: func(name string) (int, bool) {
			u, err := user.Lookup(name)
			if err != nil {
				return 0, false
			}
			uid, err := strconv.Atoi(u.Uid)
			return uid, err == nil
		},
		Passwd: func(uid int) (string, string, bool) {
			u, err := user.LookupId(strconv.Itoa(uid))
			if err != nil {
				return "", "", false
			}
			return u.Username, u.HomeDir, true
		},
		UID: os.Getuid(),
	})
}

// realPath is the absolute name of a directory without links.
func realPath(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// absolute is a path that holds good wherever it is read.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// lookUpTime bounds the look-up of our own name.
const lookUpTime = 5 * time.Second

// hostName is the fully qualified name of this machine, or the best there is: what the system gives as the full name of
// one without a dot, whatever that is.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	if strings.Contains(name, ".") {
		return name
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookUpTime)
	defer cancel()
	full, err := net.DefaultResolver.LookupCNAME(ctx, name)
	if full = strings.TrimSuffix(full, "."); err != nil || full == "" {
		return name
	}
	return full
}

// env tells the language what it must know.
func (p *program) env() rcfile.Env {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	return rcfile.Env{
		User: p.User, Root: os.Getuid() == 0, IDFile: p.IDFile, PIDFile: p.PIDFile, Dir: dir,
		RCDir: rcfile.RCDir(p.rc), HostName: p.host,
		Netrc:         plan.Netrc(p.Netrc, func(line string) { p.complain("%s", line) }),
		LookupService: func(name string) bool { _, err := net.LookupPort("tcp", name); return err == nil },
		LogFile:       logFileState,
	}
}

// logFileState tells whether a log file is there and can be written to.
func logFileState(path string) (exists, writable bool) {
	if _, err := os.Stat(path); err != nil {
		return false, false
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return true, false
	}
	f.Close()
	return true, true
}

// report writes what -V tells.
func (p *program) report() error {
	rc := p.rc
	if _, err := os.Stat(rc); err != nil && rc != "-" {
		rc = ""
	}
	if len(p.config.Servers) == 0 {
		fmt.Fprintf(p.err, "No mailservers set up -- perhaps %s is missing?\n", p.rc)
	}
	file, dir := plan.SystemCertificates()
	return p.config.Report(p.out, rcfile.ReportEnv{
		RCFile: rc, CertFile: file, CertPath: dir, Verbose: p.line.Verbose > 0, SavedUIDs: plan.SavedUIDs(p.config),
	})
}

// dump writes the configuration for programs.
func (p *program) dump() error {
	if p.line.ConfigDump == "json" {
		return p.config.DumpJSON(p.out)
	}
	return p.config.Dump(p.out)
}
