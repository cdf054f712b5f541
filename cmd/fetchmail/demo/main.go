// Command demo shows a mail run from end to end: it starts a POP3, an IMAP and an SMTP server on loopback, writes an
// rcfile, runs the fetchmail binary named on its command line on it, and lists what has arrived. Nothing else is
// needed or touched. It exits with 1 if a message is not delivered byte for byte.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// limit ends a demo that hangs; it takes about a second.
const limit = time.Minute

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo PATH-OF-FETCHMAIL")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, out io.Writer) (err error) {
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	home, err := os.MkdirTemp("", "fetchmail-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()

	mails, err := corpus()
	if err != nil {
		return err
	}
	s, err := startServers(home, mails)
	if err != nil {
		return err
	}
	defer s.close()
	fmt.Fprintf(out, "Three mail servers are listening on 127.0.0.1: POP3 on port %s, IMAP on port %s, SMTP on port %s.\n",
		s.pop3.Port(), s.imap.Port(), s.smtp.Port())

	text := rcfile(s, home)
	path := filepath.Join(home, ".fetchmailrc")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s:\n\n%s\n", path, indent(text))
	if err := fetch(ctx, binary, home, out); err != nil {
		return err
	}
	return report(out, s, home, mails)
}

// fetch runs the binary and shows what it says.
func fetch(ctx context.Context, binary, home string, out io.Writer) error {
	fmt.Fprintf(out, "$ fetchmail\n")
	cmd := exec.CommandContext(ctx, binary)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "LC_ALL=C", "PATH=" + os.Getenv("PATH"), "USER=you", "LOGNAME=you"}
	cmd.Stdout, cmd.Stderr = out, out
	begin := time.Now()
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("fetchmail: %w", err)
	}
	fmt.Fprintf(out, "\nIt took %v.\n", time.Since(begin).Round(time.Millisecond))
	return nil
}

const rc = `set postmaster "you"
set pidfile "@HOME@/pid"

# POP3, in clear since it is loopback; into a Maildir
poll pop.demo.example via 127.0.0.1 protocol pop3 port @POP3@
     user "ada" there with password "analytical" is "you" here
     sslproto ''
     maildir "@HOME@/Maildir"

# IMAP, with STARTTLS and a certificate that is checked; into the same Maildir
poll imap.demo.example via 127.0.0.1 protocol imap port @IMAP@
     user "hedy" there with password "frequency" is "you" here
     sslcertck sslcertfile "@CA@"
     maildir "@HOME@/Maildir"

# POP3 again; handed to an SMTP server
poll shop.demo.example via 127.0.0.1 protocol pop3 port @POP3@
     user "meier" there with password "werkzeug" is "you" here
     sslproto ''
     smtphost 127.0.0.1/@SMTP@ smtpaddress demo.example
`

func rcfile(s *servers, home string) string {
	return strings.NewReplacer("@HOME@", home, "@CA@", s.caFile, "@POP3@", s.pop3.Port(), "@IMAP@", s.imap.Port(),
		"@SMTP@", s.smtp.Port()).Replace(rc)
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}
