package rcfile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Env is what the package must know of the outside.
type Env struct {
	User     string // name of the calling user
	Root     bool   // the calling user is root
	IDFile   string // default UID ledger
	PIDFile  string // default lock file
	Dir      string // current directory: relative names of the command line are below it
	RCDir    string // directory of the run control file: relative names of the file are below it
	HostName string // fully qualified name of this machine

	// Netrc finds a password that is not in the run control file, by host and login name. nil finds none.
	Netrc func(host, login string) (password string, ok bool)
	// LookupService tells whether a service name is known, as getservbyname(3). nil knows none.
	LookupService func(name string) bool
	// LogFile tells whether a log file is there and can be written to. nil takes every one.
	LogFile func(path string) (exists, writable bool)
}

// Refusal is a configuration that parses but cannot be used: a check of fetchmail failed. Its lines are complete
// lines for standard error.
type Refusal struct {
	Lines []string
	Code  int // exit status
}

func (r *Refusal) Error() string { return strings.Join(r.Lines, "\n") }

// refuse makes a Refusal with exit status 5, fetchmail(1), EXIT CODES: a syntax error in the arguments.
func refuse(lines ...string) *Refusal { return &Refusal{Lines: lines, Code: 5} }

// Resolve merges a run control file (nil if there is none) and a command line (nil likewise) and makes the checks of
// fetchmail(1). The File becomes part of the Config and cannot be resolved again. Warnings are complete lines for standard
// error; they are valid even if the error, a *Refusal, is not nil.
func Resolve(f *File, c *CommandLine, env Env) (cfg *Config, warnings []string, err error) {
	if f == nil {
		f = &File{}
	}
	if c == nil {
		c = &CommandLine{}
	}
	r := &resolver{file: f, line: c, env: env, cfg: &Config{}}
	if r.err = r.misfits(); r.err == nil {
		r.globals()
		r.servers()
		r.check()
	}
	if r.err != nil {
		return nil, r.warnings, r.err
	}
	return r.cfg, r.warnings, nil
}

type resolver struct {
	file     *File
	line     *CommandLine
	env      Env
	cfg      *Config
	lineUser User // user options of the command line, paths absolute
	warnings []string
	err      error
}

// misfits refuses what no configuration can be made of.
func (r *resolver) misfits() error {
	if value := r.line.Server.Interface; r.line.Server.set.has(option("interface").index) && badInterface(value) != "" {
		return refuse("fetchmail: " + badInterface(value))
	}
	if r.file.misfit {
		return refuse(`fetchmail: Error: multiple "defaults" records in config file, or "defaults" is not the first record.`)
	}
	if d := r.file.defaults; d != nil && len(d.Users) > 1 {
		return refuse(`fetchmail: Error: more than one user in the "defaults" record.`)
	}
	return nil
}

func (r *resolver) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// globals makes the global part.
func (r *resolver) globals() {
	g := r.cfg
	file, line := r.file.global, r.line.Global
	absolute(target{config: &file}, Global, r.env.RCDir)
	absolute(target{config: &line}, Global, r.env.Dir)
	merge(target{config: g}, target{config: &file}, override)
	merge(target{config: g}, target{config: &line}, override)
	given := func(name string) bool { return g.set.has(option(name).index) }
	if !given("bouncemail") {
		g.BounceMail = true
	}
	if !given("softbounce") {
		g.SoftBounce = true
	}
	if !given("jobs") {
		g.Jobs = defaultJobs
	}
	if !given("idfile") {
		g.IDFile = r.env.IDFile
	}
	if !given("pidfile") {
		g.PIDFile = r.env.PIDFile
	}
	if !given("postmaster") {
		g.Postmaster = r.env.User
		if r.env.Root {
			g.Postmaster = "postmaster"
		}
	}
	g.set.add(option("idfile").index)
	g.set.add(option("pidfile").index)
	g.set.add(option("postmaster").index)
}

// absolute makes the paths of one stanza absolute. "-" and the empty string stay what they are.
func absolute(t target, scope Scope, dir string) {
	for _, o := range pathOptions()[scope] {
		if !t.set().has(o.index) {
			continue
		}
		p := o.at(t).(*string)
		if o.New && strings.HasPrefix(*p, "~/") { // the home directory; the reference knows no such thing
			continue
		}
		if *p == "" || *p == "-" && o.Name == "bsmtp" || filepath.IsAbs(*p) || dir == "" {
			continue
		}
		*p = dir + "/" + *p
	}
}

// servers makes the entries of the file, then those that only the command line names.
func (r *resolver) servers() {
	r.lineUser = r.line.User
	absolute(target{user: &r.lineUser}, PerUser, r.env.Dir)
	if d := r.file.defaults; d != nil && len(d.Users) > 0 {
		absolute(target{user: d.Users[0]}, PerUser, r.env.RCDir)
	}
	for _, e := range r.file.entries {
		r.cfg.Servers = append(r.cfg.Servers, r.server(e))
	}
	for _, name := range r.line.Servers {
		if d := r.file.defaults; d != nil && slices.Contains(d.Aka, name) {
			continue // the reference takes it for a mention of "defaults", which is no server
		}
		if n := r.mentions(name); n > 0 {
			for ; n > 1 && r.line.Verbose > 0; n-- {
				r.warn("Warning: multiple mentions of host %s in config file", name)
			}
		} else {
			s := &Server{Name: name, Via: name, Users: []*User{{}}}
			s.set.add(option("via").index)
			r.cfg.Servers = append(r.cfg.Servers, r.server(s))
		}
	}
}

// mentions counts the accounts of the servers that a name on the command line means.
func (r *resolver) mentions(name string) (n int) {
	for _, s := range r.cfg.Servers {
		if s.called(name) {
			n += len(s.Users)
		}
	}
	return n
}

// called tells whether a name on the command line means this server: its label or one of its aka names.
func (s *Server) called(name string) bool { return s.Name == name || slices.Contains(s.Aka, name) }

// server resolves one entry: command line over entry over defaults.
func (r *resolver) server(s *Server) *Server {
	t := target{server: s}
	defaults := r.file.defaults
	if defaults != nil {
		merge(t, target{server: defaults}, fill)
		s.Skip = s.Skip || defaults.Skip
	}
	merge(t, target{server: &r.line.Server}, extend)
	r.serverDefaults(s)
	s.Active = !s.Skip && len(r.line.Servers) == 0 || slices.ContainsFunc(r.line.Servers, s.called)
	for _, u := range s.Users {
		r.user(s, u, defaults)
	}
	return s
}

// defaultTimeout is in seconds, fetchmail(1), KEYWORD/OPTION SUMMARY.
const defaultTimeout = 300

// Polls side by side, in all and of one host.
const (
	defaultJobs        = 8
	defaultConnections = 4
)

func (r *resolver) serverDefaults(s *Server) {
	given := func(name string) bool { return s.set.has(option(name).index) }
	if !given("timeout") {
		s.Timeout = defaultTimeout
	}
	if !given("dns") {
		s.DNS = true
	}
	if s.Protocol == "" {
		s.Protocol = Auto
	}
	if s.Auth == "" {
		s.Auth = AuthAny
	}
	if !given("esmtpname") {
		s.EsmtpName = r.env.User
		s.set.add(option("esmtpname").index)
	}
	if !given("idletimeout") {
		s.IdleTimeout = 1680 // fetchmail 6.5: 28 minutes
	}
	if !given("maxconnections") {
		s.MaxConnections = defaultConnections
	}
}

// user resolves one account of a resolved server.
func (r *resolver) user(s *Server, u *User, defaults *Server) {
	t := target{user: u}
	absolute(t, PerUser, r.env.RCDir)
	if defaults != nil && len(defaults.Users) > 0 {
		merge(t, target{user: defaults.Users[0]}, fill)
	}
	merge(t, target{user: &r.lineUser}, extend)
	r.userDefaults(s, u)
}

func (r *resolver) userDefaults(s *Server, u *User) {
	d := userIndex()
	if !u.set.has(d.remote) {
		u.Remote = r.env.User
		u.set.add(d.remote)
	}
	u.HasPassword = u.set.has(d.password)
	if !u.HasPassword && r.env.Netrc != nil && !needsNoPassword(s) && s.Active {
		r.netrc(s, u)
	}
	if len(u.LocalNames) == 0 {
		u.LocalNames = []Mapping{{Remote: r.env.User, Local: r.env.User}}
	}
	if !u.set.has(d.rewrite) {
		u.Rewrite = true
	}
	if !u.set.has(d.stripcr) {
		u.StripCR = u.set.has(d.mda)
	}
	if !u.set.has(d.sslcertck) {
		u.SSLCertCk = true
	}
	if !u.set.has(d.warnings) {
		u.Warnings = 3600
	}
	if !u.set.has(d.fetchsizelimit) {
		u.FetchSizeLimit = 100
	}
	if !u.set.has(d.fastuidl) {
		u.FastUIDL = 4
	}
	if !u.set.has(option("mdatimeout").index) {
		u.MDATimeout = 1000 // as long as Postfix's command_time_limit
	}
	u.ExpungeSet = u.set.has(d.expunge)
	u.SSLProtoSet = u.set.has(d.sslproto)
	u.PasswordFDSet = u.set.has(d.passwordfd)
	if len(u.SMTPHosts) == 0 {
		u.SMTPHosts = []string{"localhost"}
	}
	if len(u.FetchDomains) == 0 && (s.Protocol == ETRN || s.Protocol == ODMR) {
		u.FetchDomains = []string{r.env.HostName}
	}
}

// netrc looks for the password by the label first, then by the true name; fetchmail(1), "Using netrc files".
func (r *resolver) netrc(s *Server, u *User) {
	for _, host := range []string{s.Name, s.Via} {
		if word, ok := r.env.Netrc(host, u.Remote); ok && host != "" {
			u.Password, u.HasPassword = word, true
			return
		}
	}
}

// check makes the checks that fetchmail makes after parsing, in its order. A dump is checked as if every server were
// to be polled.
func (r *resolver) check() {
	accounts, idle := 0, false
	for _, s := range r.cfg.Servers {
		if !s.Active && !r.dumping() {
			continue
		}
		if r.err = r.checkServer(s); r.err != nil {
			return
		}
		for _, u := range s.Users {
			if r.err = r.checkUser(s, u); r.err != nil {
				return
			}
			accounts += max(len(u.Folders), 1)
			idle = idle || u.Idle
		}
	}
	// A daemon watches each folder on a connection of its own; a single run stays with the first, as in the reference.
	if idle && accounts > 1 && r.cfg.PollInterval <= 0 {
		r.err = refuse("fetchmail: Error: idle mode does not work for multiple folders or accounts!")
		return
	}
	r.checkLogFile()
}

// dumping tells whether the configuration is to be shown and not to be used.
func (r *resolver) dumping() bool { return r.line.ConfigDump != "" && !r.line.Version }

func (r *resolver) checkLogFile() {
	g := r.cfg
	index := option("logfile").index
	if !g.set.has(index) || r.env.LogFile == nil {
		return
	}
	if r.line.NoDetach {
		if !r.line.Silent {
			r.warn("The nodetach option is in effect, ignoring logfile option.")
		}
		g.LogFile = ""
		g.set.remove(index)
		return
	}
	exists, writable := r.env.LogFile(g.LogFile)
	switch {
	case !exists:
		if !r.line.Silent {
			r.warn("Logfile \"%s\" does not exist, ignoring logfile option.", g.LogFile)
		}
		g.LogFile = ""
		g.set.remove(index)
	case !writable && r.err == nil:
		r.err = &Refusal{Lines: []string{"Logfile \"" + g.LogFile + "\" is not writable, aborting."}, Code: 23}
	}
}

func (r *resolver) checkUser(s *Server, u *User) error {
	if u.Multidrop() && !s.set.has(option("envelope").index) {
		r.warn("fetchmail: warning: multidrop for %s requires envelope option!", s.Name)
		r.warn("fetchmail: warning: Do not ask for support if all mail goes to postmaster!")
	}
	if err := r.checkService(s, u); err != nil {
		return err
	}
	if u.LMTP {
		for _, host := range u.SMTPHosts {
			if err := r.checkLMTP(s, host); err != nil {
				return err
			}
		}
	}
	if u.FetchAll && u.Keep && (u.Idle || r.cfg.PollInterval > 0) && !r.dumping() {
		r.warn("Both fetchall and keep on in daemon or idle mode is a mistake!")
	}
	return nil
}

// checkLMTP refuses the SMTP port, RFC 2033, section 5.
func (r *resolver) checkLMTP(s *Server, host string) error {
	if strings.HasPrefix(host, "/") {
		return nil
	}
	service := "smtp"
	if i := strings.LastIndexByte(host, '/'); i >= 0 {
		service = host[i+1:]
	}
	if n, err := strconv.Atoi(service); service == "smtp" || service == "mail" || err == nil && n == 25 {
		return refuse(s.Name + " configuration invalid, LMTP can't use default SMTP port")
	}
	if !r.knownService(service) {
		r.warnings = append(r.warnings, unknownService(service)...)
	}
	return nil
}

func (r *resolver) checkServer(s *Server) error {
	if s.Auth == AuthKerberosV4 {
		return refuse("fetchmail: KERBEROS v4 support is configured, but not compiled in.")
	}
	return nil
}

func (r *resolver) checkService(s *Server, u *User) error {
	if !s.set.has(option("service").index) {
		return nil
	}
	if !r.knownService(s.Service) {
		return refuse(append(unknownService(s.Service),
			"fetchmail: "+s.Name+" configuration invalid, specify positive port number for service or port")...)
	}
	if n, err := strconv.Atoi(s.Service); (err == nil && n >= 1024 || s.Service == "kpop") && s.Protocol == RPOP {
		return refuse("fetchmail: " + s.Name + " configuration invalid, RPOP requires a privileged port")
	}
	r.checkPort(s, u)
	return nil
}

// checkPort warns of a port for wrapped TLS that is used without, and the other way round.
func (r *resolver) checkPort(s *Server, u *User) {
	wrapped, plain := "", ""
	switch s.Protocol {
	case POP3, APOP, KPOP, SDPS:
		wrapped, plain = "995/pop3s", "110/pop3/pop-3"
	case IMAP:
		wrapped, plain = "993/imaps", "143/imap/imap2"
	}
	port, service, _ := strings.Cut(wrapped, "/")
	is := func(list string) bool { return slices.Contains(strings.Split(list, "/"), s.Service) }
	switch ssl := u.SSL || u.SSLMode == "wrapped"; {
	case wrapped == "":
	case !ssl && is(wrapped):
		r.warn("fetchmail: WARNING: %s configuration invalid, you normally need --ssl for port %s/service %s.", s.Name, port, service)
	case ssl && is(plain):
		r.warn("fetchmail: WARNING: %s configuration invalid, you normally need port %s/service %s for --ssl.", s.Name, port, service)
	}
}

// badInterface tells what is wrong with the value of interface; "" if nothing. fetchmail(1), "--interface".
func badInterface(value string) string {
	_, rest, found := strings.Cut(value, "/")
	if !found {
		return "missing IP interface address"
	}
	address, mask, masked := strings.Cut(rest, "/")
	switch {
	case !inetAton(address):
		return "invalid IP interface address"
	case masked && !inetAton(mask):
		return "invalid IP interface mask"
	}
	return ""
}

// inetAton tells whether inet_aton(3) takes an address: up to four numbers, the last of which fills what is left.
func inetAton(s string) bool {
	s, _, _ = strings.Cut(s, " ") // what follows a blank is ignored
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 0, 32)
		if err != nil || i < len(parts)-1 && n > 255 || n>>(8*(5-len(parts))) > 0 && i == len(parts)-1 {
			return false
		}
	}
	return true
}

// knownService tells whether a service can be turned into a port number.
func (r *resolver) knownService(name string) bool {
	if n, err := strconv.Atoi(name); err == nil {
		return n > 0 && n < 65536
	}
	switch name {
	case "":
		return false
	case "kpop":
		return true // fetchmail knows its own protocol
	}
	return r.env.LookupService != nil && r.env.LookupService(name)
}

func unknownService(name string) []string {
	var lines []string
	if _, err := strconv.Atoi(name); err != nil && name != "" {
		why := "Servname not supported for ai_socktype"
		if name == "*" {
			why = "Name or service not known"
		}
		lines = append(lines, "fetchmail: getaddrinfo(NULL, \""+name+"\") error: "+why)
	}
	return append(lines, "fetchmail: Cannot resolve service "+name+" to port number.",
		"fetchmail: Please specify the service as decimal port number.")
}
