package real

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"
)

// Exim is a running Exim. It listens for SMTP on 127.0.0.1, takes messages of up to 1 MB for user1, user2 and postmaster
// in the domains localhost and example.test, refuses senders in spam.example.org with 550, "later" with 451 and other
// recipients with 550, and delivers to Maildirs of its own.
type Exim struct {
	SMTP     int
	Sendmail string // path of its sendmail(8)

	dir  string
	proc *process
}

//go:embed exim.conf
var eximConf string

var eximTemplate = template.Must(template.New("exim.conf").Parse(eximConf))

// eximScript runs Exim from a package that is unpacked but not installed: with its libraries, and with the account that
// is compiled into it, which nss_wrapper adds to those of the machine.
const eximScript = `#!/bin/sh
export LD_LIBRARY_PATH=%[1]s/lib LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_PASSWD=%[1]s/passwd NSS_WRAPPER_GROUP=%[1]s/group
exec %[1]s/lib/exim4 -C %[1]s/conf "$@"
`

// copyExim takes the program and its libraries from where .ci/needs unpacks them (as a package Exim would push out
// Postfix) to a folder that everybody can read.
func copyExim(t testing.TB, to string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		Missing(t, "no folder for Exim: %v", err)
	}
	root := filepath.Join(cache, "fetchmail-tests", "exim")
	files := []string{filepath.Join(root, "usr/sbin/exim4")}
	for _, pattern := range []string{"lib/*/*.so*", "usr/lib/*/*.so*"} {
		names, _ := filepath.Glob(filepath.Join(root, pattern))
		files = append(files, names...)
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			Missing(t, "%s is missing (`make needs` unpacks it on Debian)", name)
		}
		if err := errors.Join(err, os.WriteFile(filepath.Join(to, filepath.Base(name)), b, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
}

// StartExim starts an Exim that is stopped at the end of the test. It needs root, and returns when the SMTP port
// answers.
func StartExim(t testing.TB) *Exim {
	t.Helper()
	if os.Getuid() != 0 {
		Missing(t, "Exim can only be started by root")
	}
	e := &Exim{dir: Dir(t)}
	copyExim(t, filepath.Join(e.dir, "lib"))
	e.Sendmail = filepath.Join(e.dir, "sendmail")
	box := mailOwner(t)
	for _, d := range []string{"spool", "log", "mail"} {
		if err := box.mkdir(filepath.Join(e.dir, d)); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{"sendmail": fmt.Sprintf(eximScript, e.dir)}
	for name, line := range map[string]string{
		"passwd": fmt.Sprintf("Debian-exim:x:%d:%d::/:/bin/false\n", box.uid, box.gid), "group": fmt.Sprintf("Debian-exim:x:%d:\n", box.gid)} {
		b, err := os.ReadFile(filepath.Join("/etc", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(b) + line
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(e.dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for range startTries {
		if err = e.start(t, box); err == nil {
			t.Cleanup(e.proc.stop)
			return e
		}
	}
	t.Fatalf("Exim does not start: %v\n%s", err, e.Log())
	return nil
}

func (e *Exim) start(t testing.TB, box owner) error {
	e.SMTP = FreePorts(t, 1)[0]
	var conf strings.Builder
	if err := eximTemplate.Execute(&conf, map[string]any{"User": box.name, "Group": box.group, "Dir": e.dir, "Port": e.SMTP}); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(e.dir, "conf"), []byte(conf.String()), 0o644); err != nil {
		return err
	}
	var err error
	if e.proc, err = start(exec.Command(e.Sendmail, "-bdf")); err != nil {
		return err
	}
	if err = e.proc.ready(greets("tcp", addr(e.SMTP), "220 ")); err != nil {
		e.proc.stop()
	}
	return err
}

// Log returns what Exim has logged.
func (e *Exim) Log() string { return logOf(filepath.Join(e.dir, "log", "main")) }

// Mail waits until everything is delivered that Exim has accepted (at most a minute) and returns what a user has got,
// as Exim stored it: with its own header fields first (Return-path, Envelope-to, Delivery-date, Received), LF line ends.
func (e *Exim) Mail(t testing.TB, user string) []Mail {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		queued, err := os.ReadDir(filepath.Join(e.dir, "spool", "input"))
		if len(queued) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist)) {
			return ReadMaildir(t, filepath.Join(e.dir, "mail", user))
		}
		if time.Now().After(end) {
			t.Fatalf("%d files are still in the queue: %v\n%s", len(queued), err, tail(e.Log(), 40))
		}
	}
}

// Empty removes what all users have got.
func (e *Exim) Empty(t testing.TB) {
	t.Helper()
	boxes, _ := filepath.Glob(filepath.Join(e.dir, "mail", "*"))
	for _, b := range boxes {
		if err := os.RemoveAll(b); err != nil {
			t.Fatal(err)
		}
	}
}
