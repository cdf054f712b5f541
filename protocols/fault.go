package protocols

import (
	"errors"
	"fmt"
	"os"
)

// Kind says what sort of trouble a Fault is. It becomes the exit status in one table of cmd/fetchmail; the comments
// give the numbers of fetchmail(1), EXIT CODES.
type Kind int

const (
	Socket      Kind = iota + 1 // 2: connection refused, lost, TLS failed
	Timeout                     // 2: no progress within the time-out
	Auth                        // 3: login refused
	Protocol                    // 4: the server does not speak the protocol
	Config                      // 5: the options cannot work with this server
	Server                      // 7: the server refused something that it must grant
	Lock                        // 9: mailbox locked by another session
	Busy                        // 14: server says that it is busy
	Unavailable                 // this message could not be fetched; the session goes on
)

var kindNames = [...]string{Socket: "socket error", Timeout: "timeout", Auth: "authorization failure",
	Protocol: "client/server protocol error", Config: "configuration error", Server: "client/server synchronization error",
	Lock: "lock busy on server error", Busy: "server busy error", Unavailable: "message unavailable"}

func (k Kind) String() string {
	if k > 0 && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Phase says how far a session had come.
type Phase int

const (
	Connecting Phase = iota // name look-up, TCP, plugin
	Securing                // TLS handshake, certificate checks, STLS and STARTTLS
	LoggingIn               // greeting, capabilities, login
	Opening                 // counting and listing a mailbox
	Fetching                // everything between messages
	InMessage               // within the text of a message
	Finishing               // EXPUNGE, QUIT
)

// Fault is what went wrong with a server. It is matched with errors.As and wraps its cause.
type Fault struct {
	Kind  Kind
	Phase Phase
	Op    string // the command, "" if there was none; never contains a secret
	Reply string // the server's answer, without line end; may contain any byte: clean it before printing
	// Detail are lines that explain the fault, for people, without prefix and line end (certificate checks).
	Detail []string
	// Told: Detail says it all, no other line about the fault is in place.
	Told bool
	// Forced: the mechanism was fixed by the option auth (no advice about other ways is in place).
	Forced bool
	Err    error
}

func (f *Fault) Error() string {
	s := f.Kind.String()
	if f.Op != "" {
		s += " at " + f.Op
	}
	if f.Reply != "" {
		s += fmt.Sprintf(": server answered %q", f.Reply)
	}
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

func (f *Fault) Unwrap() error { return f.Err }

// Undialed is the fault of a connection that did not come about, for an error of package wire: a time-out is one that
// matches os.ErrDeadlineExceeded, and trouble with TLS one that has lines for people.
func Undialed(err error) *Fault {
	f := &Fault{Kind: Socket, Phase: Connecting, Err: err}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		f.Kind = Timeout
	}
	var tls interface {
		error
		TLSLines() []string
	}
	if errors.As(err, &tls) {
		f.Phase, f.Detail = Securing, tls.TLSLines()
	}
	return f
}

// AsFault finds the Fault in err; any other error becomes one of kind Socket.
func AsFault(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{Kind: Socket, Err: err}
}
