package imap

import (
	"time"

	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
)

// Options are what a Session needs to know of the user's settings. Numbers that are 0 stand for the defaults.
type Options struct {
	Dialer  *wire.Dialer // its TLS, if set, wraps the connection at once; then StartTLS is not looked at
	Host    string
	Service string // port number or name of a service
	User    string
	Secret  auth.Secret // nil if there is none
	Auth    string      // value of the option auth; "" is any

	StartTLS wire.Upgrade
	TLS      *wire.TLS // for STARTTLS

	Keep     bool // messages stay: nothing is expunged before it is looked at
	FetchAll bool // nothing is asked about old and new
	// Known tells, for a folder, which UIDs (UIDVALIDITY, a dot, UID) are old: option uidl. nil: \Seen tells.
	Known func(folder string) func(uid string) bool
	// Expunge is the value of the option expunge, where ExpungeSet: after how many deletions deleted messages are
	// removed, 0 for only at the end. It steers the message by message way; otherwise Commit alone removes.
	Expunge    int
	ExpungeSet bool
	// FetchSizeLimit is how many sizes are asked for in one command in the message by message way; 0 is no limit.
	FetchSizeLimit int
	// MaxHeader is the longest header block that is accepted, octets.
	MaxHeader int64
	// BatchMessages and BatchOctets bound what is asked for at once.
	BatchMessages int
	BatchOctets   int64
	// LargeMessage is the size from which on a message is asked for by its header first, octets.
	LargeMessage int64
	// MoveTo is a folder to which messages go instead of being removed; "" if there is none.
	MoveTo string
	// ForceIdle: IDLE is used though it is not offered.
	ForceIdle bool
	// IdleTimeout is how long one IDLE lasts before it is begun anew; always less than 29 minutes (RFC 2177).
	IdleTimeout time.Duration
	// NoopInterval is how often a server without IDLE is asked for news.
	NoopInterval time.Duration

	classicOnly bool // for tests: the message by message way, whatever the server can do

	// Trace takes the dialogue for -v, clean of secrets and of message text. It is called from several goroutines,
	// one at a time.
	Trace wire.Trace
	// Warn takes lines for standard error that do not end the session; Alert the texts that a server wants shown
	// (RFC 3501, section 7.1, ALERT), which may contain any byte. Both may be nil.
	Warn, Alert func(text string)
}

const (
	defaultMaxHeader     = 8 << 20
	defaultBatchMessages = 250
	defaultBatchOctets   = 50e6
	defaultLargeMessage  = 4 << 20
	defaultIdle          = 28 * time.Minute
	longestIdle          = 29*time.Minute - 10*time.Second
	defaultNoop          = 30 * time.Second
)

// withDefaults fills in what was left open.
func (o Options) withDefaults() Options {
	orElse(&o.MaxHeader, defaultMaxHeader)
	orElse(&o.BatchMessages, defaultBatchMessages)
	orElse(&o.BatchOctets, defaultBatchOctets)
	orElse(&o.LargeMessage, defaultLargeMessage)
	orElse(&o.IdleTimeout, defaultIdle)
	orElse(&o.NoopInterval, defaultNoop)
	o.IdleTimeout = min(o.IdleTimeout, longestIdle)
	if !o.ExpungeSet {
		o.Expunge = 1
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.Alert == nil {
		o.Alert = func(string) {}
	}
	return o
}

func orElse[T int | int64 | time.Duration](p *T, value T) {
	if *p <= 0 {
		*p = value
	}
}
