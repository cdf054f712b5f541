package rcfile

import (
	"slices"
	"sync"
)

// Scope says what an option belongs to.
type Scope uint8

// The scopes of fetchmail(1), KEYWORD/OPTION SUMMARY, and actions that exist on the command line alone.
const (
	Global Scope = iota
	PerServer
	PerUser
	CommandLineOnly
)

// Kind says what value an option takes.
type Kind uint8

// The kinds of value. The grammar knows kinds, not options.
const (
	Flag    Kind = iota // nothing; "no" before it turns it off
	Number              // a decimal number
	Text                // one string
	Path                // one string: a file, relative to the directory of the run control file
	Strings             // one or more strings
	Numbers             // one or more numbers
	Choice              // one word of Choices
	Skip                // envelope: an optional number, then one string
	Service             // a number, a string
	Port                // a number that is kept as a string
	Names               // is, to: names, mappings, "*"; here or there
)

// Option is one row of the table of options.
type Option struct {
	Name    string   // the keyword and long option that stand for it; unique
	Words   []string // how it is written in the run control file
	Flags   []string // long options
	Short   string   // short option
	NoFlags []string // long options that turn it off
	NoShort string
	Scope   Scope
	Kind    Kind
	Choices []string // words of a Choice
	Arg     string   // what stands for the value in help texts
	Help    string   // one line
	NoHelp  string   // one line for NoFlags

	New  bool   // not known to fetchmail 6.4: contextual keyword, reported only when given
	Dump string // key in --configdump, "" = not there

	On, Off, Say string // lines of -V: flag on, flag off, other kinds (a Printf format)

	negatable bool // "no" may stand before it
	joined    bool // ... even without a blank
	sticky    bool // the zero value counts as not given, so that it cannot override
	ownOnly   bool // not taken over from defaults
	secret    bool // the value is never shown
	at        func(target) any
	apply     func(t target, word string) // sets a Choice
	index     int
}

// target is the place that holds the fields of a row: one of the three.
type target struct {
	config *Config
	server *Server
	user   *User
}

func (t target) set() *optionSet {
	switch {
	case t.user != nil:
		return &t.user.set
	case t.server != nil:
		return &t.server.set
	}
	return &t.config.set
}

// Options lists every option in the order of --configdump, those of later releases and ours behind their scope.
func Options() []*Option { return table().rows }

type optionTable struct {
	rows  []*Option
	words map[string]*Option // by keyword of the run control file
	names map[string]*Option // by Name
	scope [4][]*Option
}

var (
	tableOnce sync.Once
	theTable  *optionTable
)

// table is built when it is first asked for.
func table() *optionTable {
	tableOnce.Do(func() { theTable = newTable() })
	return theTable
}

func newTable() *optionTable {
	t := &optionTable{words: map[string]*Option{}, names: map[string]*Option{}}
	for _, rows := range [][]Option{globalRows(), serverRows(), userRows(), actionRows()} {
		for i := range rows {
			o := &rows[i]
			o.index = len(t.rows)
			t.rows = append(t.rows, o)
			t.names[o.Name] = o
			t.scope[o.Scope] = append(t.scope[o.Scope], o)
			for _, w := range o.Words {
				t.words[w] = o
			}
		}
	}
	return t
}

func option(name string) *Option { return table().names[name] }

// newAuthTypes is how many of the choices of auth fetchmail 6.4 does not know; they are the last ones.
const newAuthTypes = 9

func w(words ...string) []string { return words }

func globalRows() []Option {
	return []Option{
		{Name: "daemon", Words: w("daemon"), Flags: w("daemon"), Short: "d", Kind: Number, Arg: "seconds", Dump: "poll_interval",
			Help: "run as a daemon once per n seconds", at: func(t target) any { return &t.config.PollInterval }},
		{Name: "logfile", Words: w("logfile"), Flags: w("logfile"), Short: "L", Kind: Path, Arg: "file", Dump: "logfile",
			Help: "specify logfile name", at: func(t target) any { return &t.config.LogFile }},
		{Name: "idfile", Words: w("idfile"), Flags: w("idfile"), Short: "i", Kind: Path, Arg: "file", Dump: "idfile",
			Help: "specify alternate UIDs file", at: func(t target) any { return &t.config.IDFile }},
		{Name: "pidfile", Words: w("pidfile"), Flags: w("pidfile"), Kind: Path, Arg: "file",
			Help: "specify alternate PID (lock) file", at: func(t target) any { return &t.config.PIDFile }},
		{Name: "postmaster", Words: w("postmaster"), Flags: w("postmaster"), Kind: Text, Arg: "name", Dump: "postmaster",
			Help: "specify recipient of last resort", at: func(t target) any { return &t.config.Postmaster }},
		{Name: "bouncemail", Words: w("bouncemail"), NoFlags: w("nobounce"), Dump: "bouncemail", negatable: true, joined: true,
			NoHelp: "redirect bounces from user to postmaster", at: func(t target) any { return &t.config.BounceMail }},
		{Name: "spambounce", Words: w("spambounce"), Dump: "spambounce", negatable: true, joined: true,
			at: func(t target) any { return &t.config.SpamBounce }},
		{Name: "softbounce", Words: w("softbounce"), Flags: w("softbounce"), NoFlags: w("nosoftbounce"), Dump: "softbounce", negatable: true,
			Help:   "keep permanently undeliverable messages on server (default)",
			NoHelp: "delete permanently undeliverable messages", at: func(t target) any { return &t.config.SoftBounce }},
		{Name: "set properties", Words: w("properties"), Kind: Text, Arg: "string", Dump: "properties",
			at: func(t target) any { return &t.config.Properties }},
		{Name: "invisible", Words: w("invisible"), Flags: w("invisible"), Dump: "invisible", negatable: true,
			Help: "don't write Received & enable host spoofing", at: func(t target) any { return &t.config.Invisible }},
		{Name: "showdots", Words: w("showdots"), Flags: w("showdots"), Dump: "showdots", negatable: true,
			Help: "show progress dots even in logfiles", at: func(t target) any { return &t.config.ShowDots }},
		{Name: "syslog", Words: w("syslog"), Flags: w("syslog"), NoFlags: w("nosyslog"), Dump: "syslog", negatable: true,
			Help: "use syslog(3) for most messages when running as a daemon", NoHelp: "turns off use of syslog(3)",
			at: func(t target) any { return &t.config.Syslog }},
		{Name: "jobs", Words: w("jobs"), Flags: w("jobs"), Kind: Number, Arg: "count", Dump: "jobs", New: true, Say: "Up to %d polls run side by side.",
			Help: "polls that run side by side (default 8, 1 is the classic order)", at: func(t target) any { return &t.config.Jobs }},
		{Name: "logformat", Words: w("logformat"), Flags: w("logformat"), Kind: Choice, Arg: "classic|json", Choices: w("classic", "json"), Dump: "logformat",
			New: true, Help: "classic lines, or a JSON record for each", Say: "Messages have the form %s.",
			at: func(t target) any { return &t.config.LogFormat }, apply: func(t target, word string) { t.config.LogFormat = word }},
		{Name: "metrics", Words: w("metrics"), Flags: w("metrics"), Kind: Text, Arg: "address", Dump: "metrics", New: true,
			Help: "serve metrics at unix:PATH or 127.0.0.1:PORT", Say: "Metrics are served at %s.",
			at: func(t target) any { return &t.config.Metrics }},
	}
}

func serverRows() []Option {
	rows := []Option{
		{Name: "via", Words: w("via"), Kind: Text, Arg: "host", Dump: "via", Help: "true name of the mail server",
			at: func(t target) any { return &t.server.Via }},
		{Name: "protocol", Words: w("proto", "protocol"), Flags: w("proto", "protocol"), Short: "p", Kind: Choice, Arg: "protocol", Dump: "protocol",
			Choices: w("auto", "pop2", "pop3", "apop", "rpop", "kpop", "sdps", "imap", "etrn", "odmr"),
			Help:    "specify retrieval protocol (see man page)", at: func(t target) any { return &t.server.Protocol }, apply: setProtocol},
		{Name: "service", Words: w("service"), Flags: w("service"), Short: "P", Kind: Service, Arg: "service", Dump: "service",
			Help: "TCP service to connect to (can be numeric TCP port)", at: func(t target) any { return &t.server.Service }},
		{Name: "port", Words: w("port"), Flags: w("port"), Kind: Port, Arg: "port",
			Help: "TCP port to connect to (obsolete, use --service)", at: func(t target) any { return &t.server.Service }},
		{Name: "timeout", Words: w("timeout"), Flags: w("timeout"), Short: "t", Kind: Number, Arg: "seconds", Dump: "timeout", sticky: true,
			Help: "server nonresponse timeout", at: func(t target) any { return &t.server.Timeout }},
		{Name: "interval", Words: w("interval"), Kind: Number, Arg: "count", Dump: "interval", sticky: true,
			Help: "poll this server every nth cycle only", Say: "Poll of this server will occur every %d intervals.",
			at: func(t target) any { return &t.server.Interval }},
		{Name: "envelope", Words: w("envelope"), Flags: w("envelope"), Short: "E", Kind: Skip, Arg: "header", Dump: "envelope", negatable: true, joined: true,
			Help: "envelope address header", at: func(t target) any { return &t.server.Envelope }},
		{Name: "envskip", Kind: Number, Dump: "envskip", sticky: true, at: func(t target) any { return &t.server.EnvSkip }},
		{Name: "qvirtual", Words: w("qvirtual"), Flags: w("qvirtual"), Short: "Q", Kind: Text, Arg: "prefix", Dump: "qvirtual",
			Help: "prefix to remove from local user id", at: func(t target) any { return &t.server.QVirtual }},
		{Name: "auth", Words: w("auth", "authenticate"), Flags: w("auth"), Kind: Choice, Arg: "type", Dump: "auth", sticky: true,
			Choices: w("any", "password", "kerberos", "kerberos_v4", "kerberos_v5", "gssapi", "cram-md5", "cram", "otp", "msn", "ntlm", "ssh", "external",
				"implicit", "apop", "oauthbearer", "xoauth2", "plain", "login", "scram", "scram-sha-1", "scram-sha-256"),
			Help: "authentication type (see manual)", at: func(t target) any { return &t.server.Auth }, apply: setAuth},
		{Name: "dns", Words: w("dns"), Dump: "dns", negatable: true, joined: true, Help: "enable DNS lookup for multidrop",
			at: func(t target) any { return &t.server.DNS }},
		{Name: "uidl", Words: w("uidl"), Flags: w("uidl"), Short: "U", Dump: "uidl", negatable: true, joined: true,
			Help: "tell old messages by their UIDs", at: func(t target) any { return &t.server.UIDL }},
		{Name: "checkalias", Words: w("checkalias"), negatable: true, joined: true, Help: "compare hosts by IP address for multidrop",
			at: func(t target) any { return &t.server.CheckAlias }},
		{Name: "aka", Words: w("aka"), Kind: Strings, Arg: "names", Dump: "aka", ownOnly: true, Help: "alternate DNS names of the mail server",
			at: func(t target) any { return &t.server.Aka }},
		{Name: "localdomains", Words: w("local", "localdomains"), Kind: Strings, Arg: "domains", Dump: "localdomains",
			Help: "domains to be regarded as local", at: func(t target) any { return &t.server.LocalDomains }},
		{Name: "interface", Words: w("interface"), Flags: w("interface"), Short: "I", Kind: Text, Arg: "interface/address[/mask]", Dump: "interface",
			Help: "interface required specification", Say: "Connection must be through interface %s.", at: func(t target) any { return &t.server.Interface }},
		{Name: "monitor", Words: w("monitor"), Flags: w("monitor"), Short: "M", Kind: Text, Arg: "interface", Dump: "monitor",
			Help: "monitor interface for activity", Say: "Polling loop will monitor %s.", at: func(t target) any { return &t.server.Monitor }},
		{Name: "plugin", Words: w("plugin"), Flags: w("plugin"), Kind: Text, Arg: "command", Dump: "plugin",
			Help: "specify external command to open connection", Say: "Server connections will be made via plugin %s (--plugin %[1]s).",
			at: func(t target) any { return &t.server.Plugin }},
		{Name: "plugout", Words: w("plugout"), Flags: w("plugout"), Kind: Text, Arg: "command", Dump: "plugout",
			Help: "specify external command to open smtp connection", Say: "Listener connections will be made via plugout %s (--plugout %[1]s).",
			at: func(t target) any { return &t.server.Plugout }},
		{Name: "principal", Words: w("principal"), Flags: w("principal"), Kind: Text, Arg: "principal", Dump: "principal",
			Help: "mail service principal", Say: "Mail service principal is: %s", at: func(t target) any { return &t.server.Principal }},
		{Name: "esmtpname", Words: w("esmtpname"), Kind: Text, Arg: "name", Dump: "esmtpname", Help: "user name for AUTH towards the SMTP listener",
			at: func(t target) any { return &t.server.EsmtpName }},
		{Name: "esmtppassword", Words: w("esmtppassword"), Kind: Text, Arg: "password", Dump: "esmtppassword", secret: true,
			Help: "password for AUTH towards the SMTP listener", at: func(t target) any { return &t.server.EsmtpPassword }},
		{Name: "tracepolls", Words: w("tracepolls"), Flags: w("tracepolls"), Dump: "tracepolls", negatable: true,
			Help: "add poll-tracing information to Received header", On: "Poll trace information will be added to the Received header.",
			at: func(t target) any { return &t.server.TracePolls }},
		{Name: "bad-header", Words: w("bad-header"), Flags: w("bad-header"), Kind: Choice, Arg: "reject|accept", Choices: w("reject", "accept"),
			Dump: "badheader", sticky: true, Help: "policy for handling messages with bad headers", On: "Messages with bad headers will be passed on.",
			at: func(t target) any { return &t.server.BadHeader }, apply: func(t target, word string) { t.server.BadHeader = word == "accept" }},
		{Name: "retrieve-error", Words: w("retrieve-error"), Flags: w("retrieve-error"), Kind: Choice, Arg: "abort|continue|markseen",
			Choices: w("abort", "continue", "markseen"), Dump: "retrieveerror", New: true, Help: "what to do if a message cannot be fetched",
			Say: "Policy for messages that cannot be fetched: %s.", at: func(t target) any { return &t.server.RetrieveError },
			apply: func(t target, word string) { t.server.RetrieveError = word }},
		{Name: "idletimeout", Words: w("idletimeout"), Flags: w("idletimeout"), Kind: Number, Arg: "seconds", Dump: "idletimeout", New: true,
			Help: "longest time that one IDLE may last", Say: "IDLE lasts at most %d seconds.", at: func(t target) any { return &t.server.IdleTimeout }},
		{Name: "maxconnections", Words: w("maxconnections"), Flags: w("maxconnections"), Kind: Number, Arg: "count", Dump: "maxconnections", New: true,
			Help: "polls of one host side by side, not counting idle ones (default 4)", Say: "At most %d polls of this host run side by side.",
			at: func(t target) any { return &t.server.MaxConnections }},
	}
	for i := range rows {
		rows[i].Scope = PerServer
	}
	return rows
}

// userRows are in the order of --configdump.
func userRows() []Option {
	rows := slices.Concat(accountRows(), limitRows(), tlsRows(), deliveryRows(), newUserRows())
	for i := range rows {
		rows[i].Scope = PerUser
	}
	return rows
}

// accountRows are about the account and what is done with messages.
func accountRows() []Option {
	return []Option{
		{Name: "username", Words: w("user", "username"), Flags: w("user", "username"), Short: "u", Kind: Text, Arg: "name", Dump: "remote",
			Help: "specify user's login on server", at: func(t target) any { return &t.user.Remote }},
		{Name: "password", Words: w("pass", "password"), Kind: Text, Arg: "password", Dump: "password", secret: true,
			Help: "password of the account", at: func(t target) any { return &t.user.Password }},
		{Name: "is", Words: w("is", "to"), Kind: Names, Arg: "names", Dump: "localnames", Help: "local names that the mail is for",
			at: func(t target) any { return &t.user.LocalNames }},
		{Name: "*", at: func(t target) any { return &t.user.Wildcard }},
		{Name: "fetchall", Words: w("fetchall"), Flags: w("all", "fetchall"), Short: "a", Dump: "fetchall", negatable: true, joined: true,
			Help: "retrieve old and new messages", On: "All messages will be retrieved (--all on).",
			Off: "Only new messages will be retrieved (--all off).", at: func(t target) any { return &t.user.FetchAll }},
		{Name: "keep", Words: w("keep"), Flags: w("keep"), Short: "k", NoFlags: w("nokeep"), NoShort: "K", Dump: "keep", negatable: true, joined: true,
			Help: "save new messages after retrieval", NoHelp: "delete new messages after retrieval",
			On: "Fetched messages will be kept on the server (--keep on).", Off: "Fetched messages will not be kept on the server (--keep off).",
			at: func(t target) any { return &t.user.Keep }},
		{Name: "flush", Words: w("flush"), Flags: w("flush"), Short: "F", Dump: "flush", negatable: true, joined: true,
			Help: "delete old messages from server", On: "Old messages will be flushed before message retrieval (--flush on).",
			Off: "Old messages will not be flushed before message retrieval (--flush off).", at: func(t target) any { return &t.user.Flush }},
		{Name: "limitflush", Words: w("limitflush"), Flags: w("limitflush"), Dump: "limitflush", negatable: true, joined: true,
			Help: "delete oversized messages", On: "Oversized messages will be flushed before message retrieval (--limitflush on).",
			Off: "Oversized messages will not be flushed before message retrieval (--limitflush off).", at: func(t target) any { return &t.user.LimitFlush }},
		{Name: "rewrite", Words: w("rewrite"), NoFlags: w("norewrite"), NoShort: "n", Dump: "rewrite", negatable: true, joined: true,
			NoHelp: "don't rewrite header addresses", On: "Rewrite of server-local addresses is enabled (--norewrite off).",
			Off: "Rewrite of server-local addresses is disabled (--norewrite on).", at: func(t target) any { return &t.user.Rewrite }},
		{Name: "stripcr", Words: w("stripcr"), Dump: "stripcr", negatable: true, joined: true, Help: "strip carriage returns from ends of lines",
			On: "Carriage-return stripping is enabled (stripcr on).", Off: "Carriage-return stripping is disabled (stripcr off).",
			at: func(t target) any { return &t.user.StripCR }},
		{Name: "forcecr", Words: w("forcecr"), Dump: "forcecr", negatable: true, joined: true, Help: "force carriage returns at ends of lines",
			On: "Carriage-return forcing is enabled (forcecr on).", Off: "Carriage-return forcing is disabled (forcecr off).",
			at: func(t target) any { return &t.user.ForceCR }},
		{Name: "pass8bits", Words: w("pass8bits", "pass8"), Dump: "pass8bits", negatable: true, joined: true, Help: "force BODY=8BITMIME to ESMTP listener",
			On: "Interpretation of Content-Transfer-Encoding is disabled (pass8bits on).", Off: "Interpretation of Content-Transfer-Encoding is enabled (pass8bits off).",
			at: func(t target) any { return &t.user.Pass8Bits }},
		{Name: "dropstatus", Words: w("dropstatus"), Dump: "dropstatus", negatable: true, joined: true, Help: "strip Status and X-Mozilla-Status lines",
			On: "Nonempty Status lines will be discarded (dropstatus on)", Off: "Nonempty Status lines will be kept (dropstatus off)",
			at: func(t target) any { return &t.user.DropStatus }},
		{Name: "dropdelivered", Words: w("dropdelivered"), Dump: "dropdelivered", negatable: true, joined: true, Help: "strip Delivered-To lines",
			On: "Delivered-To lines will be discarded (dropdelivered on)", Off: "Delivered-To lines will be kept (dropdelivered off)",
			at: func(t target) any { return &t.user.DropDelivered }},
		{Name: "mimedecode", Words: w("mimedecode", "mimedec"), Dump: "mimedecode", negatable: true, joined: true, Help: "convert quoted-printable to 8-bit in MIME messages",
			On: "MIME decoding is enabled (mimedecode on).", Off: "MIME decoding is disabled (mimedecode off).", at: func(t target) any { return &t.user.MimeDecode }},
		{Name: "idle", Words: w("idle"), Flags: w("idle"), Dump: "idle", negatable: true, joined: true,
			Help: "tells the IMAP server to send notice of new messages", On: "Idle after poll is enabled (idle on).",
			Off: "Idle after poll is disabled (idle off).", at: func(t target) any { return &t.user.Idle }},
		{Name: "mda", Words: w("mda"), Flags: w("mda"), Short: "m", Kind: Text, Arg: "command", Dump: "mda", Help: "set MDA to use for forwarding",
			at: func(t target) any { return &t.user.MDA }},
		{Name: "bsmtp", Words: w("bsmtp"), Flags: w("bsmtp"), Kind: Path, Arg: "file", Dump: "bsmtp", Help: "set output BSMTP file",
			at: func(t target) any { return &t.user.BSMTP }},
		{Name: "lmtp", Words: w("lmtp"), Flags: w("lmtp"), Dump: "lmtp", Help: "use LMTP (RFC2033) for delivery", at: func(t target) any { return &t.user.LMTP }},
	}
}

// limitRows are about commands and limits.
func limitRows() []Option {
	return []Option{
		{Name: "preconnect", Words: w("preconnect", "pre"), Kind: Text, Arg: "command", Dump: "preconnect", Help: "command to run before each connection",
			Say: "Server connection will be brought up with \"%s\".", at: func(t target) any { return &t.user.PreConnect }},
		{Name: "postconnect", Words: w("postconnect", "post"), Kind: Text, Arg: "command", Dump: "postconnect", Help: "command to run after each connection",
			Say: "Server connection will be taken down with \"%s\".", at: func(t target) any { return &t.user.PostConnect }},
		{Name: "limit", Words: w("limit"), Flags: w("limit"), Short: "l", Kind: Number, Arg: "octets", Dump: "limit",
			Help: "don't fetch messages over given size", at: func(t target) any { return &t.user.Limit }},
		{Name: "warnings", Words: w("warnings"), Flags: w("warnings"), Short: "w", Kind: Number, Arg: "seconds", Dump: "warnings",
			Help: "interval between warning mail notification", at: func(t target) any { return &t.user.Warnings }},
		{Name: "fetchlimit", Words: w("fetchlimit"), Flags: w("fetchlimit"), Short: "B", Kind: Number, Arg: "count", Dump: "fetchlimit",
			Help: "set fetch limit for server connections", at: func(t target) any { return &t.user.FetchLimit }},
		{Name: "fetchsizelimit", Words: w("fetchsizelimit"), Flags: w("fetchsizelimit"), Kind: Number, Arg: "count", Dump: "fetchsizelimit",
			Help: "set fetch message size limit", at: func(t target) any { return &t.user.FetchSizeLimit }},
		{Name: "fastuidl", Words: w("fastuidl"), Flags: w("fastuidl"), Kind: Number, Arg: "count", Dump: "fastuidl",
			Help: "do a binary search for UIDLs", at: func(t target) any { return &t.user.FastUIDL }},
		{Name: "batchlimit", Words: w("batchlimit"), Flags: w("batchlimit"), Short: "b", Kind: Number, Arg: "count", Dump: "batchlimit",
			Help: "set batch limit for SMTP connections", at: func(t target) any { return &t.user.BatchLimit }},
	}
}

func tlsRows() []Option {
	return []Option{
		{Name: "ssl", Words: w("ssl"), Flags: w("ssl"), Dump: "ssl", negatable: true, Help: "enable ssl encrypted session",
			On: "SSL encrypted sessions enabled.", at: func(t target) any { return &t.user.SSL }},
		{Name: "sslkey", Words: w("sslkey"), Flags: w("sslkey"), Kind: Path, Arg: "file", Dump: "sslkey", Help: "ssl private key file",
			at: func(t target) any { return &t.user.SSLKey }},
		{Name: "sslcert", Words: w("sslcert"), Flags: w("sslcert"), Kind: Path, Arg: "file", Dump: "sslcert", Help: "ssl client certificate",
			at: func(t target) any { return &t.user.SSLCert }},
		{Name: "sslproto", Words: w("sslproto"), Flags: w("sslproto"), Kind: Text, Arg: "protocol", Dump: "sslproto",
			Help: "force ssl protocol (see manual)", Say: "SSL protocol: %s.", at: func(t target) any { return &t.user.SSLProto }},
		{Name: "sslcertck", Words: w("sslcertck"), Flags: w("sslcertck"), NoFlags: w("nosslcertck"), Dump: "sslcertck", negatable: true,
			Help: "do strict server certificate check (recommended)", NoHelp: "skip strict server certificate check (insecure)",
			On: "SSL server certificate checking enabled.", Off: "SSL server certificate checking disabled.", at: func(t target) any { return &t.user.SSLCertCk }},
		{Name: "sslcertfile", Words: w("sslcertfile"), Flags: w("sslcertfile"), Kind: Path, Arg: "file", Dump: "sslcertfile",
			Help: "path to trusted-CA ssl certificate file", Say: "SSL trusted certificate file: %s", at: func(t target) any { return &t.user.SSLCertFile }},
		{Name: "sslcertpath", Words: w("sslcertpath"), Flags: w("sslcertpath"), Kind: Path, Arg: "directory", Dump: "sslcertpath",
			Help: "path to trusted-CA ssl certificate directory", Say: "SSL trusted certificate directory: %s", at: func(t target) any { return &t.user.SSLCertPath }},
		{Name: "sslcommonname", Words: w("sslcommonname"), Flags: w("sslcommonname"), Kind: Text, Arg: "name", Dump: "sslcommonname",
			Help: "expect this CommonName from server (discouraged)", Say: "SSL server CommonName: %s", at: func(t target) any { return &t.user.SSLCommonName }},
		{Name: "sslfingerprint", Words: w("sslfingerprint"), Flags: w("sslfingerprint"), Kind: Text, Arg: "fingerprint", Dump: "sslfingerprint",
			Help: "fingerprint that must match that of the server's cert", Say: "SSL key fingerprint (checked against the server key): %s",
			at: func(t target) any { return &t.user.SSLFingerprint }},
	}
}

// deliveryRows are about the listener, and what was left.
func deliveryRows() []Option {
	return []Option{
		{Name: "expunge", Words: w("expunge"), Flags: w("expunge"), Short: "e", Kind: Number, Arg: "count", Dump: "expunge",
			Help: "set max deletions between expunges", at: func(t target) any { return &t.user.Expunge }},
		{Name: "properties", Words: w("properties"), Kind: Text, Arg: "string", Dump: "properties", Help: "string for extension scripts",
			Say: "Pass-through properties \"%s\".", at: func(t target) any { return &t.user.Properties }},
		{Name: "smtphost", Words: w("smtp", "smtphost"), Flags: w("smtphost"), Short: "S", Kind: Strings, Arg: "hosts", Dump: "smtphunt",
			Help: "set SMTP forwarding host", at: func(t target) any { return &t.user.SMTPHosts }},
		{Name: "fetchdomains", Words: w("fetchdomains"), Flags: w("fetchdomains"), Kind: Strings, Arg: "domains", Dump: "fetchdomains",
			Help: "fetch mail for specified domains", at: func(t target) any { return &t.user.FetchDomains }},
		{Name: "smtpaddress", Words: w("smtpaddress"), Flags: w("smtpaddress"), Short: "D", Kind: Text, Arg: "domain", Dump: "smtpaddress",
			Help: "set SMTP delivery domain to use", Say: "Host part of MAIL FROM line will be %s", at: func(t target) any { return &t.user.SMTPAddress }},
		{Name: "smtpname", Words: w("smtpname"), Flags: w("smtpname"), Kind: Text, Arg: "user@domain", Dump: "smtpname",
			Help: "set SMTP full name username@domain", Say: "Address to be put in RCPT TO lines shipped to SMTP will be %s",
			at: func(t target) any { return &t.user.SMTPName }},
		{Name: "antispam", Words: w("antispam"), Flags: w("antispam"), Short: "Z", Kind: Numbers, Arg: "codes", Dump: "antispam",
			Help: "set antispam response values", at: func(t target) any { return &t.user.Antispam }},
		{Name: "folder", Words: w("folder", "folders"), Flags: w("folder"), Short: "r", Kind: Strings, Arg: "names", Dump: "mailboxes",
			Help: "specify remote folder name", at: func(t target) any { return &t.user.Folders }},
	}
}

// newUserRows are the options that fetchmail 6.4 does not know: names of its later releases and our own.
func newUserRows() []Option {
	rows := []Option{
		{Name: "passwordfile", Words: w("passwordfile"), Flags: w("passwordfile"), Kind: Path, Arg: "file", Dump: "passwordfile",
			Help: "read the password from the first line of a file", Say: "Password will be read from %s.", at: func(t target) any { return &t.user.PasswordFile }},
		{Name: "passwordfd", Words: w("passwordfd"), Flags: w("passwordfd"), Kind: Number, Arg: "descriptor", Dump: "passwordfd",
			Help: "read the password from a descriptor", Say: "Password will be read from descriptor %d.", at: func(t target) any { return &t.user.PasswordFD }},
		{Name: "passwordeval", Words: w("passwordeval", "passeval"), Kind: Text, Arg: "command", Dump: "passwordeval",
			Help: "read the password from the output of a command", Say: "Password will be read from the command \"%s\".",
			at: func(t target) any { return &t.user.PasswordEval }},
		{Name: "maildir", Words: w("maildir"), Flags: w("maildir"), Kind: Path, Arg: "directory", Dump: "maildir",
			Help: "deliver into a Maildir", Say: "Messages will be delivered into the Maildir %s.", at: func(t target) any { return &t.user.Maildir }},
		{Name: "mbox", Words: w("mbox"), Flags: w("mbox"), Kind: Path, Arg: "file", Dump: "mbox",
			Help: "append to an mbox file", Say: "Messages will be appended to the mbox %s.", at: func(t target) any { return &t.user.Mbox }},
		{Name: "mdatimeout", Words: w("mdatimeout"), Flags: w("mdatimeout"), Kind: Number, Arg: "seconds", Dump: "mdatimeout",
			Help: "longest time that an MDA may work on one message", Say: "An MDA may work on a message for %d seconds.",
			at: func(t target) any { return &t.user.MDATimeout }},
		{Name: "onreject", Words: w("onreject"), Flags: w("onreject"), Kind: Choice, Arg: "keep|bounce|deadletter", Choices: w("keep", "bounce", "deadletter"),
			Dump: "onreject", Help: "what to do with refused messages (deadletter: name a Maildir)", Say: "Messages that are refused for good: %s.",
			at: func(t target) any { return &t.user.OnReject }, apply: func(t target, word string) { t.user.OnReject = word }},
		{Name: "deadletter", Flags: w("deadletter"), Kind: Path, Arg: "directory", Dump: "deadletter",
			Help: "Maildir for refused messages (with onreject deadletter)", Say: "Refused messages go into the Maildir %s.",
			at: func(t target) any { return &t.user.DeadLetter }},
		{Name: "moveto", Words: w("moveto"), Flags: w("moveto"), Kind: Text, Arg: "folder", Dump: "moveto",
			Help: "move messages to this folder instead of deleting them", Say: "Fetched messages will be moved to the folder %s.",
			at: func(t target) any { return &t.user.MoveTo }},
		{Name: "sslmode", Words: w("sslmode", "tlsmode"), Flags: w("sslmode", "tlsmode"), Kind: Choice, Arg: "none|wrapped|starttls=may|starttls=must",
			Choices: w("none", "wrapped", "starttls=may", "starttls=must"), Dump: "sslmode", Help: "how the connection is encrypted",
			Say: "Encryption of the connection: %s.", at: func(t target) any { return &t.user.SSLMode },
			apply: func(t target, word string) { t.user.SSLMode = word }},
		{Name: "forceidle", Words: w("forceidle"), Flags: w("forceidle"), NoFlags: w("noforceidle"), Dump: "forceidle", negatable: true, joined: true,
			Help: "use IDLE though it is not advertised", NoHelp: "use IDLE only if it is advertised", On: "IDLE will be used even if it is not advertised.",
			Off: "IDLE will be used only if it is advertised.", at: func(t target) any { return &t.user.ForceIdle }},
	}
	for i := range rows {
		rows[i].New = true
	}
	return rows
}

// actionRows exist on the command line alone; the CommandLine has a field for each.
func actionRows() []Option {
	rows := []Option{
		{Name: "help", Flags: w("help"), Short: "?", Help: "display this option help"},
		{Name: "version", Flags: w("version"), Short: "V", Help: "display version info"},
		{Name: "check", Flags: w("check"), Short: "c", Help: "check for messages without fetching"},
		{Name: "silent", Flags: w("silent"), Short: "s", Help: "work silently"},
		{Name: "verbose", Flags: w("verbose"), Short: "v", Help: "work noisily (diagnostic output)"},
		{Name: "nodetach", Flags: w("nodetach"), Short: "N", Help: "don't detach daemon process"},
		{Name: "quit", Flags: w("quit"), Short: "q", Help: "kill daemon process"},
		{Name: "fetchmailrc", Flags: w("fetchmailrc"), Short: "f", Kind: Text, Arg: "file", Help: "specify alternate run control file"},
		{Name: "configdump", Flags: w("configdump"), Arg: "[=json]", Help: "show how the configuration is understood, as Python or JSON"},
		{Name: "configcheck", Flags: w("configcheck"), Arg: "[=json]", New: true, Help: "check the configuration and tell doubtful spots"},
		{Name: "status", Flags: w("status"), Arg: "[=json]", New: true, Help: "tell what the running daemon has done"},
		{Name: "healthcheck", Flags: w("healthcheck"), New: true, Help: "exit with 0 if the daemon is alive and polls, else with 1"},
		{Name: "yydebug", Flags: w("yydebug"), Short: "y", Help: "show how the run control file is read"},
	}
	for i := range rows {
		rows[i].Scope = CommandLineOnly
	}
	return rows
}

// pathOptions are the rows of kind Path by scope.
var pathOptions = sync.OnceValue(func() (paths [4][]*Option) {
	for _, o := range Options() {
		if o.Kind == Path {
			paths[o.Scope] = append(paths[o.Scope], o)
		}
	}
	return paths
})

// userIndex holds the rows that every account needs: looking them up by name for each of ten thousand accounts
// would take longer than parsing them.
var userIndex = sync.OnceValue(func() (d struct {
	remote, password, rewrite, stripcr, mda, sslcertck, warnings, fetchsizelimit, fastuidl, expunge, sslproto, passwordfd, is, wildcard, service int
}) {
	for name, field := range map[string]*int{
		"username": &d.remote, "password": &d.password, "rewrite": &d.rewrite, "stripcr": &d.stripcr, "mda": &d.mda, "sslcertck": &d.sslcertck,
		"warnings": &d.warnings, "fetchsizelimit": &d.fetchsizelimit, "fastuidl": &d.fastuidl, "expunge": &d.expunge,
		"sslproto": &d.sslproto, "passwordfd": &d.passwordfd,
		"is": &d.is, "*": &d.wildcard, "service": &d.service,
	} {
		*field = option(name).index
	}
	return d
})
