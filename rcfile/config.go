package rcfile

// Config is everything the user asked for, resolved: command line over file over defaults. It is not changed after
// Resolve has returned it. Field names are the keywords of fetchmail(1), THE RUN CONTROL FILE; durations are seconds
// and sizes octets.
type Config struct {
	PollInterval int    // set daemon, -d: seconds between polls; 0 = foreground, one poll
	LogFile      string // set logfile, -L
	IDFile       string // set idfile, -i: absolute path of the UID ledger
	PIDFile      string // set pidfile: absolute path of the lock file
	Postmaster   string // set postmaster; "" = mail without recipient is discarded
	BounceMail   bool   // set bouncemail: error mail goes to the sender
	SpamBounce   bool   // set spambounce
	SoftBounce   bool   // set softbounce: permanently refused mail stays on the server
	Properties   string // set properties: for extension scripts, not used here
	Invisible    bool   // set invisible: no Received line, the server's name in EHLO
	ShowDots     bool   // set showdots
	Syslog       bool   // set syslog
	Jobs         int    // set jobs (ours): polls side by side; below 1 = 1; default 8
	LogFormat    string // set logformat (ours): classic or json; "" = classic
	Metrics      string // set metrics (ours): where they are served; "" = nowhere

	Servers []*Server // in the order of the file, then those named only on the command line

	set       optionSet // which global options were given
	belowZero int       // a negative poll interval, which means zero but is reported as it was written
}

// Server is one poll or skip entry.
type Server struct {
	Name          string // the label after poll or skip
	Active        bool   // to be polled in this run: a poll entry, or any entry named on the command line
	Skip          bool   // written with skip
	Via           string // true name of the host if it differs from Name
	Protocol      Protocol
	Service       string   // port number or service name, "" = the protocol's
	Timeout       int      // seconds without an answer, 0 = wait for ever
	Interval      int      // poll every Nth cycle; up to 1 = each
	Envelope      string   // header that holds the envelope recipient, "" = not given
	NoEnvelope    bool     // no envelope: do not look for one
	EnvSkip       int      // number of envelope headers to skip; none if below 1
	QVirtual      string   // prefix to remove from local parts
	Auth          Auth     // auth
	DNS           bool     // dns
	UIDL          bool     // uidl
	CheckAlias    bool     // checkalias
	Aka           []string // aka
	LocalDomains  []string // localdomains
	Interface     string
	Monitor       string
	Plugin        string
	Plugout       string
	Principal     string
	EsmtpName     string // user name for AUTH towards the SMTP listener
	EsmtpPassword string
	TracePolls    bool
	BadHeader     bool   // bad-header accept: messages with a broken header are passed on
	RetrieveError string // retrieve-error (later name): abort, continue or markseen; "" = abort
	IdleTimeout   int    // idletimeout (later name): seconds an IDLE may last, default 1680
	// MaxConnections is maxconnections (ours): polls of this host side by side; below 1 = 1; default 4.
	MaxConnections int
	Users          []*User

	pos position
	set optionSet
}

// Host is the name to connect to: Via if given, else Name.
func (s *Server) Host() string {
	if s.Via != "" {
		return s.Via
	}
	return s.Name
}

// EnvelopeHeader is the header that may hold the envelope recipient: the one that was given or, without any, Received;
// fetchmail(1), "--envelope". It is "" with no envelope.
func (s *Server) EnvelopeHeader() string {
	switch {
	case s.NoEnvelope:
		return ""
	case s.set.has(option("envelope").index):
		return s.Envelope
	}
	return "Received"
}

// User is one account of a server.
type User struct {
	Remote      string // login name
	Password    string // meaningful if HasPassword
	HasPassword bool   // a password was written in the run control file

	LocalNames []Mapping // is, to: in order, without the "*"
	Wildcard   bool      // the list had a "*": names that are not mapped pass through

	Folders      []string // folder; none = the default mailbox
	SMTPHosts    []string // smtphost: hunt list; never empty after Resolve
	FetchDomains []string // fetchdomains (ETRN, ODMR)
	SMTPAddress  string
	SMTPName     string
	Antispam     []int // antispam: reply codes; none = off
	MDA          string
	MDATimeout   int // mdatimeout (ours): seconds for one message, default 1000, 0 = without end
	BSMTP        string
	LMTP         bool
	Maildir      string // maildir (ours): path of a Maildir
	Mbox         string // mbox (ours): path of an mbox file
	OnReject     string // onreject (ours): keep, bounce or deadletter; "" = as softbounce and bouncemail say
	DeadLetter   string // path of a Maildir, for onreject deadletter

	Keep           bool
	FetchAll       bool
	Flush          bool
	LimitFlush     bool
	Rewrite        bool
	StripCR        bool // default: on with mda, off otherwise
	ForceCR        bool
	Pass8Bits      bool
	DropStatus     bool
	DropDelivered  bool
	MimeDecode     bool
	Idle           bool
	ForceIdle      bool // forceidle (later name): IDLE though it is not advertised
	PreConnect     string
	PostConnect    string
	Limit          int64 // octets, 0 = none
	Warnings       int   // seconds between size warnings
	FetchLimit     int   // messages, 0 = none
	FetchSizeLimit int   // sizes asked for at once, 0 = all
	FastUIDL       int
	BatchLimit     int
	Expunge        int  // meaningful if ExpungeSet
	ExpungeSet     bool // expunge was given
	MoveTo         string

	SSL            bool // wrapped TLS
	SSLMode        string
	SSLKey         string
	SSLCert        string
	SSLProto       string // meaningful if SSLProtoSet: "" given differs from not given
	SSLProtoSet    bool
	SSLCertCk      bool // default on
	SSLCertFile    string
	SSLCertPath    string
	SSLCommonName  string
	SSLFingerprint string
	Properties     string

	PasswordFile string // passwordfile (later name)
	PasswordFD   int    // passwordfd (later name): descriptor, meaningful if PasswordFDSet
	PasswordEval string // passwordeval (later name): command

	PasswordFDSet bool

	set optionSet
}

// Multidrop tells whether the recipients are to be found in the message, fetchmail(1), CONCEPTS: more than one local
// name or a wildcard.
func (u *User) Multidrop() bool { return len(u.LocalNames) > 1 || u.Wildcard }

// Mapping is one name of an is or to list: mail for Remote at the server goes to Local. A plain name has both equal.
type Mapping struct {
	Remote, Local string

	written bool // as a mapping, with "="
}

// Protocol is the retrieval protocol in the capitals of --configdump; the zero value means auto.
type Protocol string

// The protocols of fetchmail(1), "--protocol".
const (
	Auto Protocol = "AUTO" // IMAP, then POP3
	POP2 Protocol = "POP2"
	POP3 Protocol = "POP3"
	APOP Protocol = "APOP"
	RPOP Protocol = "RPOP"
	KPOP Protocol = "KPOP"
	SDPS Protocol = "SDPS"
	IMAP Protocol = "IMAP"
	ETRN Protocol = "ETRN"
	ODMR Protocol = "ODMR"
)

// Auth is an authentication type by its keyword; the zero value means any.
type Auth string

// The types of fetchmail(1), "--auth", and those of later releases.
const (
	AuthAny         Auth = "any"
	AuthPassword    Auth = "password"
	AuthOTP         Auth = "otp"
	AuthKerberosV4  Auth = "kerberos_v4"
	AuthKerberosV5  Auth = "kerberos_v5"
	AuthGSSAPI      Auth = "gssapi"
	AuthCRAMMD5     Auth = "cram-md5"
	AuthNTLM        Auth = "ntlm"
	AuthMSN         Auth = "msn"
	AuthSSH         Auth = "ssh" // also implicit: the connection is authenticated already
	AuthExternal    Auth = "external"
	AuthAPOP        Auth = "apop"
	AuthOAuthBearer Auth = "oauthbearer" // also xoauth2

	// Ours: SASL mechanisms by their name; AuthSCRAM is the best of its family that the server has.
	AuthPlain       Auth = "plain"
	AuthLogin       Auth = "login"
	AuthSCRAM       Auth = "scram"
	AuthSCRAMSHA1   Auth = "scram-sha-1"
	AuthSCRAMSHA256 Auth = "scram-sha-256"
)

// position is a place in a run control file; a zero line means the command line.
type position struct{ offset, line int }

// optionSet holds the rows of the option table that were given, by index.
type optionSet [2]uint64

func (s *optionSet) add(i int)      { s[i>>6] |= 1 << (i & 63) }
func (s *optionSet) remove(i int)   { s[i>>6] &^= 1 << (i & 63) }
func (s *optionSet) has(i int) bool { return s[i>>6]&(1<<(i&63)) != 0 }
