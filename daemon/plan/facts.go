package plan

import (
	"fetchmail/daemon/ledger"
	"fetchmail/protocols/wire"
	"fetchmail/rcfile"
)

// SystemCertificates are the file and the folder of trusted certificates where no option names others.
func SystemCertificates() (file, dir string) { return wire.SystemCertificates() }

// SavedUIDs counts the messages that the record knows of each account; nil if there is no record.
func SavedUIDs(c *rcfile.Config) func(*rcfile.Server, *rcfile.User) int {
	led, err := ledger.Open(c.IDFile)
	if err != nil {
		return nil
	}
	return func(s *rcfile.Server, u *rcfile.User) int { return led.Account(u.Remote, s.Host(), "").Len() }
}
