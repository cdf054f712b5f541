package header

import (
	"strings"
	"time"
)

// Mode says how the recipients of a message were found; the Received line tells it.
type Mode int

const (
	Single    Mode = iota // one recipient declared
	Multi                 // found in the header
	ByDefault             // everybody refused; the postmaster took it
)

// ReceivedInfo are the facts for the Received line (fetchmail(1), "--invisible", "--tracepolls").
type ReceivedInfo struct {
	Host    string // canonical name of the mail server
	Addr    string // its address, without brackets; "" is left out (no dns)
	By      string // our own host name
	Proto   string // "POP3", "IMAP" ...
	Version string // of the program: "6.4.37"
	Poll    string // label of the poll with tracepolls, otherwise ""
	Account string // remote user, with tracepolls
	Folder  string // with tracepolls, and only if it was named in the options
	For     string // the recipient with its domain; "" if there are several
	Mode    Mode
	Time    time.Time
}

// Received is the line to put in front of a message, CRLF ends included.
func Received(r ReceivedInfo) []byte {
	var s strings.Builder
	s.WriteString("Received: from " + r.Host)
	if r.Addr != "" {
		s.WriteString(" [" + r.Addr + "]")
	}
	s.WriteString("\r\n\tby " + r.By + " with " + r.Proto + " (fetchmail-" + r.Version)
	if r.Poll != "" {
		s.WriteString(" polling " + r.Poll + " account " + r.Account)
		if r.Folder != "" {
			s.WriteString(" folder " + r.Folder)
		}
	}
	s.WriteString(")\r\n\t")
	if r.For != "" {
		s.WriteString("for <" + r.For + "> " + [...]string{"(single-drop)", "(multi-drop)", "(by default)"}[r.Mode] + "; ")
	}
	s.WriteString(Date(r.Time) + "\r\n")
	return []byte(s.String())
}

// Date is t in the form of RFC 5322, with the name of the time zone as a comment.
func Date(t time.Time) string {
	s := t.Format("Mon, 02 Jan 2006 15:04:05 -0700")
	if name, _ := t.Zone(); name != "" {
		s += " (" + name + ")"
	}
	return s
}
