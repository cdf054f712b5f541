// Command fetchmail retrieves mail from POP3 and IMAP servers and hands it to the local mail system.
package main

import "os"

func main() {
	os.Exit(0)
}
