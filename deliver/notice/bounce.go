package notice

import (
	"bytes"
	"crypto/rand"
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
	Filtered = "spam filter or virus scanner rejected message because:" // the reply follows on a line of its own
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
	Reason   string // may have several lines
	Failures []Failure
	// Header is that of the message that failed, as it was to be handed on: header.Block.Edit without a Received line.
	Header []byte
	// Whole is the text behind Header, which has its empty line then, if the report is to hold all of the message.
	Whole io.Reader
	Time  time.Time
	PID   int
	PPID  int
}

// WriteTo writes the report (RFC 3464).
func (b Bounce) WriteTo(w io.Writer) (int64, error) {
	if b.To == "" {
		return 0, ErrNullSender
	}
	bound := fmt.Sprintf("--foo-mani-padme-hum-%d-%d-%d", b.PID, b.PPID, b.Time.Unix())
	if b.Whole != nil {
		bound += "-" + rand.Text() // which no text can have foreseen
	}
	var s strings.Builder
	s.WriteString("Subject: Mail delivery failed: returning message to sender\r\n" +
		"From: Mail Delivery System <MAILER-DAEMON@" + clean(b.Host) + ">\r\n" +
		"To: " + clean(b.To) + "\r\n" +
		"MIME-Version: 1.0\r\n" +
		"Content-Type: multipart/report; report-type=delivery-status;\r\n" +
		"\tboundary=\"" + bound[2:] + "\"\r\n\r\n")
	b.writeText(&s, bound)
	b.writeStatus(&s, bound)
	if b.Whole != nil {
		return b.writeWhole(w, &s, bound)
	}
	s.WriteString(bound + "\r\nContent-Type: text/rfc822-headers\r\n\r\n")
	s.Write(lines(b.Header))
	s.WriteString("\r\n" + bound + "--\r\n")
	n, err := io.WriteString(w, s.String())
	return int64(n), err
}

// writeWhole writes what was written so far, then the message, of which no more than a buffer is held, as the last part.
func (b Bounce) writeWhole(w io.Writer, s *strings.Builder, bound string) (int64, error) {
	s.WriteString(bound + "\r\nContent-Type: message/rfc822\r\n\r\n")
	s.Write(b.Header)
	n, err := io.WriteString(w, s.String())
	if err != nil {
		return int64(n), err
	}
	m, err := io.Copy(w, b.Whole)
	if err != nil {
		return int64(n) + m, err
	}
	k, err := io.WriteString(w, "\r\n"+bound+"--\r\n")
	return int64(n) + m + int64(k), err
}

// writeText writes the part for people.
func (b Bounce) writeText(s *strings.Builder, bound string) {
	s.WriteString(bound + "\r\nContent-Type: text/plain\r\n\r\n" +
		"This message was created automatically by mail delivery software.\r\n\r\n" +
		"A message that you sent could not be delivered to one or more of its\r\n" +
		"recipients. This is a permanent error.\r\n\r\n" +
		"Reason: " + several(b.Reason) + "\r\n\r\n" +
		"The following address(es) failed:\r\n")
	for _, f := range b.Failures {
		s.WriteString(clean(f.To) + "\r\n   SMTP error: " + several(f.Reply) + "\r\n\r\n")
	}
}

// writeStatus writes the part for programs (RFC 3464, section 2).
func (b Bounce) writeStatus(s *strings.Builder, bound string) {
	s.WriteString(bound + "\r\nContent-Type: message/delivery-status\r\n\r\n" +
		"Reporting-MTA: dns; " + clean(b.Host) + "\r\n\r\n")
	for _, f := range b.Failures {
		s.WriteString("Final-Recipient: rfc822; " + clean(f.To) + "\r\n" +
			"Last-Attempt-Date: " + header.Date(b.Time) + "\r\n" +
			"Action: failed\r\n" +
			"Status: " + status(f.Reply) + "\r\n" +
			"Diagnostic-Code: " + several(f.Reply) + "\r\n\r\n")
	}
}

// status is the enhanced code behind the code of a reply (RFC 2034), where its three numbers have one digit each as the
// reference reads them; 5.0.0 otherwise.
func status(reply string) string {
	if len(reply) < 10 {
		return "5.0.0"
	}
	code := reply[4:9]
	if digit(code[0]) && code[1] == '.' && digit(code[2]) && code[3] == '.' && digit(code[4]) {
		return code
	}
	return "5.0.0"
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// clean makes text that a stranger wrote fit on one line of ours. Octets above 0x7f stay as they are.
func clean(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}

// several is clean for text of several lines. The reference does not fold them either where they stand in a field; each
// begins with the code of a reply, which can be no field name that matters.
func several(s string) string {
	ls := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, l := range ls {
		ls[i] = clean(l)
	}
	return strings.Join(ls, "\r\n")
}

// lines is a header without its empty line, each line ended by CRLF.
func lines(head []byte) []byte {
	head = bytes.TrimRight(head, "\r\n")
	if len(head) == 0 {
		return nil
	}
	head = bytes.ReplaceAll(head, []byte("\r\n"), []byte("\n"))
	return append(bytes.ReplaceAll(head, []byte("\n"), []byte("\r\n")), '\r', '\n')
}
