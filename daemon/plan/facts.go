package plan

import (
	"fetchmail/daemon/ledger"
	"fetchmail/daemon/report"
	"fetchmail/protocols/wire"
	"fetchmail/rcfile"
)

// SystemCertificates are the file and the folder of trusted certificates where no option names others.
func SystemCertificates() (file, dir string) { return wire.SystemCertificates() }

// SavedUIDs lists the messages that the record knows of each account, as text for a terminal; nil if there is no record.
func SavedUIDs(c *rcfile.Config) func(*rcfile.Server, *rcfile.User) []string {
	led, err := ledger.Open(c.IDFile)
	if err != nil {
		return nil
	}
	return func(s *rcfile.Server, u *rcfile.User) []string {
		uids := led.Account(u.Remote, s.Host(), "").UIDs()
		for i, uid := range uids {
			uids[i] = report.Clean(uid)
		}
		return uids
	}
}
