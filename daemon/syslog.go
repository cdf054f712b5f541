package daemon

import (
	"io"
	"log/syslog"
)

// Syslog writes to the system's log with the facility LOG_MAIL under the name fetchmail; fetchmail(1), --syslog.
type Syslog struct {
	Out io.Writer // LOG_INFO
	Err io.Writer // LOG_ERR
}

// program is the name in the log, and what stands before lines that are not in the log.
const program = "fetchmail"

// OpenSyslog connects to the system's log; network and address are as for syslog.Dial, "" is the local one. A connection
// that breaks is made again with the next line.
func OpenSyslog(network, address string) (*Syslog, error) {
	w, err := syslog.Dial(network, address, syslog.LOG_MAIL|syslog.LOG_INFO, program)
	if err != nil {
		return nil, err
	}
	prefix := program + ": "
	return &Syslog{Lines(prefix, w.Info), Lines(prefix, w.Err)}, nil
}
