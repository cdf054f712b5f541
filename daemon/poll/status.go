package poll

import (
	"errors"
	"fmt"

	"fetchmail/deliver"
	"fetchmail/protocols"
)

// Status is the result of a poll with the numbers of fetchmail(1), EXIT CODES. It is what "Query status=" lines show;
// the exit status of the program is made of the statuses of all polls.
type Status int

const (
	Success    Status = 0  // one or more messages were retrieved
	NoMail     Status = 1  // nothing new
	Socket     Status = 2  // connection refused, lost, timed out; TLS failed
	AuthFail   Status = 3  // login refused
	Protocol   Status = 4  // the server does not speak the protocol
	Syntax     Status = 5  // options that cannot work, a failed preconnect or postconnect command
	IOErr      Status = 6  // local trouble: MDA, permissions
	ServerErr  Status = 7  // the server refused something that it must grant
	Exclude    Status = 8  // another fetchmail is running
	LockBusy   Status = 9  // mailbox locked
	SMTP       Status = 10 // no listener, listener lost
	DNS        Status = 11 // a host name does not resolve
	BSMTP      Status = 12 // the BSMTP file cannot be opened
	MaxFetch   Status = 13 // fetchlimit reached, more is there
	ServerBusy Status = 14 // server says that it is busy
	Undefined  Status = 23 // internal error
)

var statusNames = map[Status]string{Success: "SUCCESS", NoMail: "NOMAIL", Socket: "SOCKET", AuthFail: "AUTHFAIL",
	Protocol: "PROTOCOL", Syntax: "SYNTAX", IOErr: "IOERR", ServerErr: "ERROR", Exclude: "EXCLUDE", LockBusy: "LOCKBUSY",
	SMTP: "SMTP", DNS: "DNS", BSMTP: "BSMTP", MaxFetch: "MAXFETCH"}

// String is the name that "Query status=" lines give, or "" for statuses without one.
func (s Status) String() string { return statusNames[s] }

var faultStatus = map[protocols.Kind]Status{
	protocols.Socket: Socket, protocols.Timeout: Socket, protocols.Auth: AuthFail, protocols.Protocol: Protocol,
	protocols.Config: Syntax, protocols.Server: ServerErr, protocols.Lock: LockBusy, protocols.Busy: ServerBusy,
	protocols.Unavailable: ServerErr,
}

var sinkStatus = map[deliver.Kind]Status{
	deliver.Refusal: SMTP, deliver.Unreachable: SMTP, deliver.Lost: SMTP, deliver.Local: SMTP, deliver.Pipe: SMTP, deliver.File: BSMTP,
}

// StatusOf tells the status of a poll that ended with err.
func StatusOf(err error) Status {
	var (
		hook *HookError
		src  *protocols.Fault
		dst  *deliver.Fault
		led  *LedgerError
		dns  *DNSError
	)
	switch {
	case err == nil:
		return Success
	case errors.As(err, &hook):
		return Syntax
	case errors.As(err, &led):
		return IOErr
	case errors.As(err, &dns):
		return DNS
	case errors.As(err, &src):
		return faultStatus[src.Kind]
	case errors.As(err, &dst):
		return sinkStatus[dst.Kind]
	}
	return Socket
}

// HookError is a preconnect or postconnect command that failed.
type HookError struct {
	When string // "pre" or "post"
	Code int    // its exit status
	Err  error  // why it has none
}

func (e *HookError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s-connection command failed: %v", e.When, e.Err)
	}
	return fmt.Sprintf("%s-connection command failed with status %d", e.When, e.Code)
}

func (e *HookError) Unwrap() error { return e.Err }

// LedgerError is a record of fetched messages that could not be written. The poll stops: what is not recorded is not
// deleted.
type LedgerError struct{ Err error }

func (e *LedgerError) Error() string { return "cannot record fetched messages: " + e.Err.Error() }

func (e *LedgerError) Unwrap() error { return e.Err }

// DNSError is a server whose canonical name cannot be found.
type DNSError struct {
	Label, Host string
	Err         error
}

func (e *DNSError) Error() string {
	return fmt.Sprintf("couldn't find canonical DNS name of %s (%s): %v", e.Label, e.Host, e.Err)
}

func (e *DNSError) Unwrap() error { return e.Err }
