package notice

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"fetchmail/deliver/header"
)

// ErrNullSender is returned for a bounce of a message whose sender is null: it must never be answered (RFC 5321,
// section 6.1).
var ErrNullSender = errors.New("the null sender is never answered")

// Reasons that the reference gives for a bounce.
const (
	General  = "General SMTP/ESMTP error."
	Rejected = "Some addresses were rejected by the MDA fetchmail forwards to."
	TooLarge = "This message was too large (SMTP error 552)."
	Filtered = "spam filter or virus scanner rejected message because:"
)

// Failure is one recipient that refused a message.
type Failure struct {
	To    string // with its domain
	Reply string // what the listener said, code first; lines joined with "\n"
}

// Bounce are the facts of a report.
type Bounce struct {
	Host     string // our own host name
	To       string // reverse path of the message that failed
	Reason   string
	Failures []Failure
	Header   []byte // of the message that failed, CRLF line ends
	Time     time.Time
	PID      int
	PPID     int
}

// WriteTo writes the report (RFC 3464).
func (b Bounce) WriteTo(w io.Writer) (int64, error) {
	if b.To == "" {
		return 0, ErrNullSender
	}
	bound := fmt.Sprintf("foo-mani-padme-hum-%d-%d-%d", b.PID, b.PPID, b.Time.Unix())
	var s strings.Builder
	s.WriteString("Subject: Mail delivery failed: returning message to sender\r\n")
	s.WriteString("From: Mail Delivery System <MAILER-DAEMON@" + clean(b.Host) + ">\r\n")
	s.WriteString("To: " + clean(b.To) + "\r\n")
	s.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n")
	s.WriteString("\tboundary=\"" + bound + "\"\r\n\r\n")
	b.writeText(&s, bound)
	b.writeStatus(&s, bound)
	s.WriteString("--" + bound + "\r\nContent-Type: text/rfc822-headers\r\n\r\n")
	s.Write(b.Header)
	s.WriteString("\r\n--" + bound + "--\r\n")
	n, err := io.WriteString(w, s.String())
	return int64(n), err
}

// writeText writes the part for people.
func (b Bounce) writeText(s *strings.Builder, bound string) {
	s.WriteString("--" + bound + "\r\nContent-Type: text/plain\r\n\r\n")
	s.WriteString("This message was created automatically by mail delivery software.\r\n\r\n")
	s.WriteString("A message that you sent could not be delivered to one or more of its\r\n")
	s.WriteString("recipients. This is a permanent error.\r\n\r\n")
	s.WriteString("Reason: " + b.Reason + "\r\n\r\nThe following address(es) failed:\r\n")
	for _, f := range b.Failures {
		s.WriteString(clean(f.To) + "\r\n   SMTP error: " + clean(f.Reply) + "\r\n")
	}
}

// writeStatus writes the part for programs (RFC 3464, section 2).
func (b Bounce) writeStatus(s *strings.Builder, bound string) {
	s.WriteString("\r\n--" + bound + "\r\nContent-Type: message/delivery-status\r\n\r\n")
	s.WriteString("Reporting-MTA: dns; " + clean(b.Host) + "\r\n")
	for _, f := range b.Failures {
		s.WriteString("\r\nFinal-Recipient: rfc822; " + clean(f.To) + "\r\n")
		s.WriteString("Last-Attempt-Date: " + header.Date(b.Time) + "\r\n")
		s.WriteString("Action: failed\r\nStatus: " + status(f.Reply) + "\r\n")
		s.WriteString("Diagnostic-Code: " + clean(f.Reply) + "\r\n")
	}
	s.WriteString("\r\n")
}

// status is the enhanced code in a reply (RFC 2034), 5.0.0 if there is none.
func status(reply string) string {
	words := strings.Fields(reply)
	if len(words) > 1 {
		if p := strings.Split(words[1], "."); len(p) == 3 && digits(p[0]) && digits(p[1]) && digits(p[2]) {
			return words[1]
		}
	}
	return "5.0.0"
}

func digits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 3
}

// clean makes text that a stranger wrote fit on one line of ours.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
