// Command fetchmail retrieves mail from POP3 and IMAP servers and hands it to the local mail system.
//
// It takes the options, files and signals of fetchmail 6.4, and exits with its statuses: see fetchmail(1).
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
