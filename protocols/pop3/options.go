package pop3

import (
	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
)

// Options say which mailbox is opened and how. The zero value of everything from Auth on is useful.
type Options struct {
	Dialer  *wire.Dialer
	Host    string // name or IP address
	Service string // port number or name in /etc/services
	User    string
	Secret  auth.Secret

	Auth     string // value of the option auth; "" is any
	Protocol string // "POP3" (also ""), "APOP", "RPOP" or "SDPS": fetchmail(1), --proto
	StartTLS wire.Upgrade
	TLS      *wire.TLS // for STLS; nil is the zero value of wire.TLS with CheckCert set

	Known     func(uid string) bool // UIDs that earlier sessions have fetched; nil: none
	FetchAll  bool                  // nothing is asked about old and new: option fetchall
	Keep      bool                  // RETR in place of TOP, unless UIDL: option keep
	UIDL      bool                  // option uidl: LAST is not asked
	ForceRETR bool                  // FETCHMAIL_POP3_FORCE_RETR is in the environment

	// Window is the number of messages that are asked for ahead of the reader where the server allows it (PIPELINING,
	// RFC 2449, section 6.6); 0 is 250, 1 turns it off. WindowOctets bounds their announced size; 0 is 8 MiB.
	Window       int
	WindowOctets int64
	// MaxHeader bounds the header block of a message in bytes; 0 is 8 MiB. A larger one makes the message unavailable.
	MaxHeader int

	Trace wire.Trace
	// Warn takes lines for standard error, Say for standard output, without prefix and line end. Both may be nil.
	Warn, Say func(line string)
}

const (
	defaultWindow       = 250
	defaultWindowOctets = 8 << 20
	defaultMaxHeader    = 8 << 20
	// maxAhead bounds the commands whose answers were not read yet, in bytes. A server that waits for us to read must
	// never make us wait for it to read: so much fits into the send buffer of our own end.
	maxAhead = 8000
)

func (o *Options) setDefaults() {
	if o.Protocol == "" {
		o.Protocol = "POP3"
	}
	if o.Window <= 0 {
		o.Window = defaultWindow
	}
	if o.WindowOctets <= 0 {
		o.WindowOctets = defaultWindowOctets
	}
	if o.MaxHeader <= 0 {
		o.MaxHeader = defaultMaxHeader
	}
	if o.TLS == nil {
		o.TLS = &wire.TLS{CheckCert: true}
	}
	if o.Known == nil {
		o.Known = func(string) bool { return false }
	}
}

func (o *Options) warn(line string) {
	if o.Warn != nil {
		o.Warn(line)
	}
}

func (o *Options) say(line string) {
	if o.Say != nil {
		o.Say(line)
	}
}

// note is a line for -v on standard output.
func (o *Options) note(line string) {
	if o.Trace != nil {
		o.Trace(wire.Note, "fetchmail: "+line)
	}
}

func (o *Options) dialect() auth.Protocol {
	switch o.Protocol {
	case "APOP":
		return auth.APOPOnly
	case "RPOP":
		return auth.RPOPOnly
	}
	return auth.POP3
}
