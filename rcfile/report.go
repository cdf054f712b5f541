package rcfile

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// ReportEnv is what -V tells besides the configuration.
type ReportEnv struct {
	RCFile   string // the run control file that was read, "" if there is none
	CertFile string // where the certificates of the system are
	CertPath string
	Verbose  bool // -v was given: defaults are told too

	// SavedUIDs tells which messages of an account are in the ledger, as text for a terminal; nil knows none.
	SavedUIDs func(s *Server, u *User) []string
}

// reporter writes the lines of -V.
type reporter struct {
	w   *bufio.Writer
	env ReportEnv
}

// Report writes what -V says about the configuration, from "Taking options" on. The banner before it is the caller's.
func (c *Config) Report(w io.Writer, env ReportEnv) error {
	r := &reporter{w: bufio.NewWriter(w), env: env}
	if env.RCFile == "-" {
		env.RCFile = ""
	}
	r.line("Taking options from command line%s", prefixed(" and ", env.RCFile))
	if len(c.Servers) > 0 {
		r.globals(c)
	}
	for _, s := range c.Servers {
		if !s.Active {
			continue
		}
		for _, u := range s.Users {
			r.account(c, s, u)
		}
	}
	return r.w.Flush()
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func (r *reporter) line(format string, args ...any) {
	fmt.Fprintf(r.w, format, args...)
	r.w.WriteByte('\n')
}

// verbose writes a line that only -v shows.
func (r *reporter) verbose(format string, args ...any) {
	if r.env.Verbose {
		r.line(format, args...)
	}
}

func (r *reporter) globals(c *Config) {
	if interval := c.PollInterval + c.belowZero; interval != 0 {
		r.line("Poll interval is %d seconds", interval)
	}
	if c.LogFile != "" {
		r.line("Logfile is %s", c.LogFile)
	}
	r.line("Idfile is %s", c.IDFile)
	if c.Syslog {
		r.line("Progress messages will be logged via syslog")
	}
	if c.Invisible {
		r.line("Fetchmail will masquerade and will not generate Received")
	}
	if c.ShowDots {
		r.line("Fetchmail will show progress dots even in logfiles.")
	}
	r.line("Fetchmail will forward misaddressed multidrop messages to %s.", c.Postmaster)
	if !c.BounceMail {
		r.line("Fetchmail will direct error mail to the postmaster.")
	} else {
		r.verbose("Fetchmail will direct error mail to the sender.")
	}
	if !c.SoftBounce {
		r.line("Fetchmail will treat permanent errors as permanent (drop messages).")
	} else {
		r.verbose("Fetchmail will treat permanent errors as temporary (keep messages).")
	}
	r.newOptions(Global, target{config: c}, "")
}

// newOptions writes the lines of those options of a scope that fetchmail 6.4 does not know.
func (r *reporter) newOptions(scope Scope, t target, indent string) {
	for _, o := range table().scope[scope] {
		if o.New && t.set().has(o.index) {
			r.say(o, t, indent)
		}
	}
}

// given writes the lines of those options that were given.
func (r *reporter) given(t target, names ...string) {
	for _, name := range names {
		if o := option(name); t.set().has(o.index) {
			r.say(o, t, "  ")
		}
	}
}

// givenOr writes the line of an option, or with -v another one if it was not given.
func (r *reporter) givenOr(t target, name, none string) {
	if t.set().has(option(name).index) {
		r.given(t, name)
	} else {
		r.verbose("  %s", none)
	}
}

// say writes the line of an option that has no other form than its value in it.
func (r *reporter) say(o *Option, t target, indent string) {
	switch field := o.at(t).(type) {
	case *string:
		switch {
		case strings.Contains(o.Say, `"`): // what is shown in quotes is shown with escapes
			r.line(indent+o.Say, escaped(*field))
		case o.Say != "":
			r.line(indent+o.Say, *field)
		}
	case *int:
		if o.Say != "" {
			r.line(indent+o.Say, *field)
		}
	case *bool:
		r.flag(o, *field, indent)
	}
}

func (r *reporter) flag(o *Option, on bool, indent string) {
	switch {
	case on && o.On != "":
		r.line("%s", indent+o.On)
	case !on && o.Off != "":
		r.line("%s", indent+o.Off)
	}
}

// account writes the block of one user.
func (r *reporter) account(c *Config, s *Server, u *User) {
	t := target{user: u}
	r.line("Options for retrieving from %s@%s:", u.Remote, escaped(s.Name))
	r.server(s, u)
	r.given(t, "ssl")
	r.ssl(u)
	r.timeout(s)
	if s.Protocol == ETRN || s.Protocol == ODMR {
		r.domains(u)
	} else {
		r.retrieval(c, u)
	}
	r.delivery(s, u)
	r.givenOr(t, "preconnect", "No pre-connection command.")
	r.givenOr(t, "postconnect", "No post-connection command.")
	if s.Protocol != ETRN && s.Protocol != ODMR {
		r.names(s, u)
	}
	r.route(s)
	r.ledger(s, u)
	r.trailer(s)
	r.given(t, "properties")
	r.newOptions(PerServer, target{server: s}, "  ")
	r.newOptions(PerUser, t, "  ")
}

// server writes name, password, protocol and authentication.
func (r *reporter) server(s *Server, u *User) {
	if s.set.has(option("via").index) && s.Protocol != ETRN && s.Protocol != ODMR {
		r.line("  Mail will be retrieved via %s", s.Via)
	}
	if s.Interval == 1 {
		r.line("  Poll of this server will occur every 1 interval.")
	} else if s.Interval != 0 {
		r.say(option("interval"), target{server: s}, "  ")
	}
	host := s.Name
	if s.set.has(option("via").index) {
		host = s.Via
	}
	r.line("  True name of server is %s.", host)
	if s.Skip {
		r.line("  This host will not be queried when no host is specified.")
	} else {
		r.verbose("  This host will be queried when no host is specified.")
	}
	r.password(s, u)
	r.protocol(s)
	r.auth(s)
	r.given(target{server: s}, "principal")
}

// password says whether there is one. With -v it shows it, as --configdump does: who can read the run control file may
// see what is in it.
func (r *reporter) password(s *Server, u *User) {
	if needsNoPassword(s) {
		return
	}
	what := "Password"
	switch {
	case !u.HasPassword:
		r.line("  Password will be prompted for.")
		return
	case s.Protocol == APOP:
		what = "APOP secret"
	case s.Protocol == RPOP:
		what = "RPOP id"
	}
	r.verbose("  %s = \"%s\".", what, escaped(u.Password))
}

func (r *reporter) protocol(s *Server) {
	name := s.Protocol.dumped()
	if s.Auth == AuthKerberosV5 && s.Service == "kpop" && (s.Protocol == KPOP || s.Protocol == POP3) {
		name = "KPOP with Kerberos V authentication"
	}
	line := "  Protocol is " + name
	if s.Service != "" {
		line += " (using service " + s.Service + ")"
	} else if r.env.Verbose {
		line += " (using default port)"
	}
	if s.UIDL && s.Protocol != ETRN && s.Protocol != ODMR {
		line += " (forcing UIDL use)"
	}
	r.line("%s.", line)
}

// authLines are the lines of -V about authentication.
var authLines = map[Auth]string{
	AuthAny:         "All available authentication methods will be tried.",
	AuthPassword:    "Password authentication will be forced.",
	AuthMSN:         "MSN authentication will be forced.",
	AuthNTLM:        "NTLM authentication will be forced.",
	AuthOTP:         "OTP authentication will be forced.",
	AuthCRAMMD5:     "CRAM-MD5 authentication will be forced.",
	AuthGSSAPI:      "GSSAPI authentication will be forced.",
	AuthKerberosV4:  "Kerberos V4 authentication will be forced.",
	AuthKerberosV5:  "Kerberos V5 authentication will be forced.",
	AuthSSH:         "End-to-end encryption assumed.",
	AuthAPOP:        "APOP authentication will be forced.",
	AuthOAuthBearer: "OAUTHBEARER authentication will be forced.",
	AuthPlain:       "PLAIN authentication will be forced.",
	AuthLogin:       "LOGIN authentication will be forced.",
	AuthSCRAM:       "SCRAM authentication will be forced.",
	AuthSCRAMSHA1:   "SCRAM-SHA-1 authentication will be forced.",
	AuthSCRAMSHA256: "SCRAM-SHA-256 authentication will be forced.",
}

func (r *reporter) auth(s *Server) {
	if line := authLines[s.Auth]; line != "" {
		r.line("  %s", line)
	}
}

func (r *reporter) ssl(u *User) {
	t := target{user: u}
	r.given(t, "sslproto")
	r.say(option("sslcertck"), t, "  ")
	r.line("  SSL default trusted certificate file: %s", r.env.CertFile)
	r.given(t, "sslcertfile")
	r.line("  SSL default trusted certificate directory: %s", r.env.CertPath)
	r.given(t, "sslcertpath", "sslcommonname", "sslfingerprint")
}

func (r *reporter) timeout(s *Server) {
	if s.Timeout <= 0 {
		r.line(".") // as the reference has it
		return
	}
	line := fmt.Sprintf("  Server nonresponse timeout is %d seconds", s.Timeout)
	if s.Timeout == defaultTimeout {
		line += " (default)"
	}
	r.line("%s.", line)
}

// retrieval writes what is fetched, kept and changed.
func (r *reporter) retrieval(c *Config, u *User) {
	if len(u.Folders) == 0 {
		r.line("  Default mailbox selected.")
	} else {
		r.line("  Selected mailboxes are: %s", strings.Join(u.Folders, " "))
	}
	for _, name := range []string{"fetchall", "keep", "flush", "limitflush", "rewrite", "stripcr", "forcecr", "pass8bits", "mimedecode",
		"idle", "dropstatus", "dropdelivered"} {
		r.say(option(name), target{user: u}, "  ")
	}
	r.limits(c, u)
}

func (r *reporter) limits(c *Config, u *User) {
	if u.Limit > 0 {
		r.line("  Message size limit is %d octets (--limit %[1]d).", u.Limit)
		if interval := u.Warnings; c.PollInterval > 0 {
			if interval == 0 {
				interval = -1 // as the reference shows it
			}
			r.line("  Message size warning interval is %d seconds (--warnings %[1]d).", interval)
		} else {
			r.verbose("  Size warnings on every poll (--warnings 0).")
		}
	}
	r.count("  Received-message limit is %d (--fetchlimit %[1]d).", "  No received-message limit (--fetchlimit 0).", u.FetchLimit)
	r.count("  Fetch message size limit is %d (--fetchsizelimit %[1]d).", "  No fetch message size limit (--fetchsizelimit 0).", u.FetchSizeLimit)
	switch {
	case u.FastUIDL == 1:
		r.line("  Do binary search of UIDs during each poll (--fastuidl 1).")
	case u.FastUIDL > 1:
		r.line("  Do binary search of UIDs during %d out of %d polls (--fastuidl %[2]d).", u.FastUIDL-1, u.FastUIDL)
	default:
		r.verbose("   Do linear search of UIDs during each poll (--fastuidl 0).")
	}
	r.count("  SMTP message batch limit is %d.", "  No SMTP message batch limit (--batchlimit 0).", u.BatchLimit)
	r.count("  Deletion interval between expunges forced to %d (--expunge %[1]d).", "  No forced expunges (--expunge 0).", u.Expunge)
}

// count writes one of two lines; that for zero only with -v.
func (r *reporter) count(some, none string, n int) {
	if n > 0 {
		r.line(some, n)
	} else {
		r.verbose("%s", none)
	}
}

func (r *reporter) domains(u *User) {
	line := "  Domains for which mail will be fetched are: " + strings.Join(u.FetchDomains, " ")
	if !u.set.has(option("fetchdomains").index) {
		line += " (default)"
	}
	r.line("%s", line)
}

// delivery writes where messages go.
func (r *reporter) delivery(s *Server, u *User) {
	push := s.Protocol == ETRN || s.Protocol == ODMR
	switch {
	case u.Maildir != "" || u.Mbox != "":
	case u.set.has(option("bsmtp").index):
		r.line("  Messages will be appended to %s as BSMTP", escaped(u.BSMTP))
	case u.set.has(userIndex().mda) && !push:
		r.line("  Messages will be delivered with \"%s\".", escaped(u.MDA))
	default:
		r.forwarding(u)
	}
	if push {
		return
	}
	if len(u.Antispam) > 0 {
		r.line("  Recognized listener spam block responses are: %s", joinNumbers(u.Antispam))
	} else {
		r.verbose("  Spam-blocking disabled")
	}
}

func (r *reporter) forwarding(u *User) {
	kind := "SMTP"
	if u.LMTP {
		kind = "LMTP"
	}
	line := "  Messages will be " + kind + "-forwarded to: " + strings.Join(u.SMTPHosts, " ")
	if !u.set.has(option("smtphost").index) {
		line += " (default)"
	}
	r.line("%s", line)
	r.given(target{user: u}, "smtpaddress", "smtpname")
}

// names writes the local names and how recipients are found.
func (r *reporter) names(s *Server, u *User) {
	kind := "Single"
	if u.Multidrop() {
		kind = "Multi"
	}
	plural := "s"
	if len(u.LocalNames) == 1 {
		plural = ""
	}
	r.line("  %s-drop mode: %d local name%s recognized.", kind, len(u.LocalNames), plural)
	for _, m := range u.LocalNames {
		if !m.written {
			r.verbose("\t%s", m.Remote)
		} else {
			r.verbose("\t%s -> %s", m.Remote, m.Local)
		}
	}
	if u.Wildcard {
		r.verbose("\t*")
	}
	if u.Multidrop() {
		r.multidrop(s)
	}
}

func (r *reporter) multidrop(s *Server) {
	if s.DNS {
		r.line("  DNS lookup for multidrop addresses is enabled.")
		how := "name"
		if s.CheckAlias {
			how = "IP address"
		}
		r.line("  Server aliases will be compared with multidrop addresses by %s.", how)
	} else {
		r.line("  DNS lookup for multidrop addresses is disabled.")
	}
	r.envelope(s)
	if len(s.Aka) > 0 {
		r.line("  Predeclared mailserver aliases: %s", strings.Join(s.Aka, " "))
	}
	if len(s.LocalDomains) > 0 {
		r.line("  Local domains: %s", strings.Join(s.LocalDomains, " "))
	}
}

func (r *reporter) envelope(s *Server) {
	if s.NoEnvelope {
		r.line("  Envelope-address routing is disabled")
		return
	}
	r.line("  Envelope header is assumed to be: %s", s.EnvelopeHeader())
	if s.EnvSkip != 0 || r.env.Verbose {
		r.line("  Number of envelope headers to be skipped over: %d", s.EnvSkip)
	}
	if s.set.has(option("qvirtual").index) {
		r.line("  Prefix %s will be removed from user id", s.QVirtual)
	} else {
		r.verbose("  No prefix stripping")
	}
}

// route writes how connections are made.
func (r *reporter) route(s *Server) {
	t := target{server: s}
	r.givenOr(t, "interface", "No interface requirement specified.")
	r.givenOr(t, "monitor", "No monitor interface specified.")
	r.givenOr(t, "plugin", "No plugin command specified.")
	r.givenOr(t, "plugout", "No plugout command specified.")
}

func (r *reporter) ledger(s *Server, u *User) {
	switch s.Protocol {
	case POP3, APOP, RPOP, KPOP, SDPS, IMAP:
	default:
		return
	}
	var uids []string
	if r.env.SavedUIDs != nil {
		uids = r.env.SavedUIDs(s, u)
	}
	if len(uids) == 0 {
		r.line("  No UIDs saved from this host.")
		return
	}
	r.line("  %d UIDs saved.", len(uids))
	for _, uid := range uids {
		r.line("\t%s", uid)
	}
}

func (r *reporter) trailer(s *Server) {
	if s.TracePolls {
		r.line("  Poll trace information will be added to the Received header.")
	} else {
		r.verbose("  No poll trace information will be added to the Received header.")
	}
	if s.BadHeader {
		r.line("  Messages with bad headers will be passed on.")
	} else {
		r.verbose("  Messages with bad headers will be rejected.")
	}
}

// escaped is a string with what cannot be printed as escapes.
func escaped(s string) string {
	var b []byte
	for i := range len(s) {
		b = appendEscaped(b, s[i])
	}
	return string(b)
}
