package rcfile

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Finding is one remark of --configcheck.
type Finding struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`   // counted from 1; 0 = the whole
	Column   int    `json:"column,omitempty"` // in characters, counted from 1
	Severity string `json:"severity"`         // "error": the configuration cannot be used; "warning"
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

// CheckInput is what --configcheck looks at. A field that there is nothing for stays empty.
type CheckInput struct {
	Name     string      // of the run control file
	Source   []byte      // its text
	Info     fs.FileInfo // its mode
	ParseErr error       // of Parse
	Config   *Config     // of Resolve, with every warning and the error
	Warnings []string
	Refused  error // why it cannot be used, a line for each reason
}

// Check looks for errors and doubtful spots, in the order of the file. Nothing but the input is looked at and nobody is
// contacted.
func Check(in CheckInput) []Finding {
	c := &checker{in: in, src: string(in.Source)}
	c.file()
	if errs, ok := in.ParseErr.(Errors); ok {
		for _, e := range errs {
			c.findings = append(c.findings, Finding{in.Name, e.TrueLine, e.Column, "error", e.Message + " at " + e.Near, e.Hint})
		}
	} else if in.ParseErr != nil {
		c.add(0, "error", in.ParseErr.Error(), "")
	}
	for _, line := range in.Warnings {
		if text := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "fetchmail: "), "warning: "), "WARNING: "); !strings.HasPrefix(text, "Do not ask") {
			c.add(0, "warning", text, "")
		}
	}
	if in.Refused != nil {
		for line := range strings.SplitSeq(in.Refused.Error(), "\n") {
			c.add(0, "error", strings.TrimPrefix(line, "fetchmail: "), "")
		}
	}
	if in.Config != nil {
		c.config(in.Config)
	}
	slices.SortStableFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return c.findings
}

// Failed tells whether a finding is an error: the exit status is then 5, else 0.
func Failed(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == "error" })
}

// WriteFindings writes findings as lines file:line:column: severity: message, or as a JSON list.
func WriteFindings(w io.Writer, findings []Finding, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(append([]Finding{}, findings...))
	}
	b := bufio.NewWriter(w)
	for _, f := range findings {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(b, ":%d:%d", f.Line, f.Column)
		}
		if f.File != "" {
			b.WriteString(": ")
		}
		fmt.Fprintf(b, "%s: %s\n", f.Severity, f.Message)
		if f.Hint != "" {
			fmt.Fprintf(b, "    hint: %s\n", f.Hint)
		}
	}
	return b.Flush()
}

type checker struct {
	in       CheckInput
	src      string
	findings []Finding
}

// add notes a finding at an offset of the source; 0 and below is the whole.
func (c *checker) add(offset int, severity, message, hint string) {
	f := Finding{File: c.in.Name, Severity: severity, Message: message, Hint: hint}
	if offset > 0 && offset <= len(c.src) {
		start := strings.LastIndexByte(c.src[:offset], '\n') + 1
		f.Line = 1 + strings.Count(c.src[:start], "\n")
		f.Column = 1 + utf8.RuneCountInString(c.src[start:offset])
	}
	c.findings = append(c.findings, f)
}

// file looks at the file as a whole and at its words.
func (c *checker) file() {
	if c.in.Info != nil {
		switch err := CheckFile(c.in.Name, c.in.Info); {
		case err == nil:
		case c.in.Info.Mode().IsRegular() && c.in.Info.Mode().Perm()&^0o700 != 0:
			c.add(0, "error", "the file is open to others: fetchmail will refuse it", "chmod 600 "+c.in.Name)
		default:
			c.add(0, "error", err.Error(), "")
		}
	}
	s := newScanner(c.src)
	list := false // the option at hand takes a list
	end := 0      // of the quoted string before
	for t := s.next(); t.kind != tokEOF; t = s.next() {
		if t.start == end && end > 0 && t.kind != tokEqual {
			c.add(t.start, "warning", "a quoted string ends directly before this", "is a quote missing, or one within the string? use quotes of the other kind then")
		}
		end = 0
		if t.kind == tokQuoted {
			end = t.end
		}
		if t.kind == tokKeyword {
			o := t.means.option
			list = o != nil && (o.Kind == Strings || o.Kind == Names)
			continue
		}
		c.word(t, list)
	}
}

// word finds strings that are not what they look like.
func (c *checker) word(t token, list bool) {
	raw := c.src[t.start:t.end]
	switch {
	case t.kind != tokWord:
	case strings.ContainsAny(raw[:1], `"'`):
		c.add(t.start, "warning", "the quotes are part of this unquoted string", "a quoted string ends at the next quote of its kind and needs a blank behind it")
	case typographic(raw):
		c.add(t.start, "warning", "typographic quotes are part of the string", "use \" or '")
	case strings.Contains(raw, `\`):
		c.add(t.start, "warning", "a backslash in an unquoted string begins an escape", `write \\ for a backslash`)
	case strings.HasPrefix(raw, "#"):
		c.add(t.start, "warning", "this is a string, not a comment: the last line has no line end", "")
	case list && t.means != nil && t.means.option.New && t.means.option.Kind != Number:
		c.add(t.start, "warning", "\""+raw+"\" is one more element of the list before it, no option", "end a list of names with \"here\", or put the option first")
	}
}

// at is the offset of an option of an account in the source; of its server's entry if it is not there.
func (c *checker) at(s *Server, user int, name string) int {
	if s.pos.line == 0 {
		return 0
	}
	scan := newScanner(c.src[s.pos.offset:])
	accounts := -1
	for t := scan.next(); t.kind != tokEOF; t = scan.next() {
		if t.start > 0 && begins(t) {
			break
		}
		if t.kind == tokKeyword && (t.value == "user" || t.value == "username") {
			accounts++
		}
		o := option(name)
		if t.means != nil && t.means.option == o && (o.Scope == PerServer || user == max(accounts, 0)) {
			return s.pos.offset + t.start
		}
	}
	return s.pos.offset
}

// config looks at the resolved configuration.
func (c *checker) config(cfg *Config) {
	seen := map[string]bool{}
	for _, s := range cfg.Servers {
		c.server(s)
		for i, u := range s.Users {
			key := s.Host() + "\x00" + s.Service + "\x00" + string(s.Protocol) + "\x00" + u.Remote
			if seen[key] {
				c.add(c.at(s, i, "username"), "warning", "user "+u.Remote+" at "+s.Host()+" comes twice",
					"the two would fetch from the same mailbox and share what is remembered of it")
			}
			seen[key] = true
			c.user(s, u, i)
		}
	}
}

// server looks at the options of one server.
func (c *checker) server(s *Server) {
	warn := func(name, message, hint string) {
		if s.set.has(option(name).index) {
			c.add(c.at(s, 0, name), "warning", message, hint)
		}
	}
	if s.Protocol == ETRN || s.Protocol == ODMR {
		warn("uidl", "uidl has no effect with "+string(s.Protocol), "")
	}
	switch s.Protocol {
	case POP2, RPOP, KPOP:
		warn("protocol", strings.ToLower(string(s.Protocol))+" is deprecated", "use pop3 with ssl")
	case APOP:
		warn("protocol", "apop is not safe against a man in the middle", "use pop3 with ssl")
	}
	for _, name := range []string{"interface", "monitor"} {
		warn(name, name+" is deprecated and knows IPv4 only", "")
	}
	if n := s.watched(); n > s.MaxConnections {
		warn("maxconnections", fmt.Sprintf("maxconnections does not count the %d connections that idle keeps open in a daemon", n),
			"let fewer folders idle, or poll them")
	}
	if c.wrote(s, "port") {
		c.add(c.at(s, 0, "port"), "warning", "port is deprecated", "use service")
	}
	if !slices.ContainsFunc(s.Users, (*User).Multidrop) {
		for _, name := range []string{"aka", "localdomains", "envelope", "qvirtual", "checkalias"} {
			warn(name, name+" has an effect in multidrop mode only", "more than one name behind \"is\", or a \"*\", makes it multidrop")
		}
	}
}

// watched is how many folders a daemon watches there, with a connection for each.
func (s *Server) watched() (n int) {
	for _, u := range s.Users {
		if u.Idle && (s.Protocol == IMAP || s.Protocol == Auto) {
			n += max(len(u.Folders), 1)
		}
	}
	return n
}

// wrote tells whether the entry has the keyword of an option that sets the field of another.
func (c *checker) wrote(s *Server, name string) bool { return c.at(s, 0, name) != s.pos.offset }

// user looks at the options of one account.
func (c *checker) user(s *Server, u *User, i int) {
	warn := func(name, message, hint string) {
		if u.set.has(option(name).index) {
			c.add(c.at(s, i, name), "warning", message, hint)
		}
	}
	for _, rule := range userRules {
		if rule.when(s, u) {
			for _, name := range strings.Fields(rule.options) {
				warn(name, strings.ReplaceAll(rule.message, "%s", name), rule.hint)
			}
		}
	}
	for _, o := range pathOptions()[PerUser] {
		if !o.New && strings.Contains(*o.at(target{user: u}).(*string), "/~/") {
			warn(o.Name, o.Name+": \"~\" does not mean the home directory here", "write the whole path")
		}
	}
}

// userRule is a doubtful combination: each of the options is remarked on where it was given.
type userRule struct {
	options string
	message string // with %s for the option
	hint    string
	when    func(*Server, *User) bool
}

func always(*Server, *User) bool { return true }

// private tells whether nobody can listen to the connection: it does not leave this machine, or a command has made it.
func (s *Server) private() bool {
	ip, err := netip.ParseAddr(s.Host())
	return s.Plugin != "" || s.Host() == "localhost" || err == nil && ip.IsLoopback()
}

// places counts the places without a listener that an account's mail is to go to.
func places(u *User) (n int) {
	for _, place := range []string{u.MDA, u.BSMTP, u.Maildir, u.Mbox} {
		if place != "" {
			n++
		}
	}
	return n
}

// colonPort tells whether a host of smtphost is written host:port, which is the name of a host to us.
func colonPort(host string) bool {
	_, port, found := strings.Cut(host, ":")
	_, err := strconv.Atoi(port)
	return found && err == nil
}

func push(s *Server, _ *User) bool { return s.Protocol == ETRN || s.Protocol == ODMR }

var userRules = []userRule{
	{"folder", "%s has no effect with this protocol", "only IMAP has folders",
		func(s *Server, _ *User) bool { return s.Protocol != IMAP && s.Protocol != Auto }},
	{"idle forceidle", "%s has an effect with IMAP only", "", func(s *Server, _ *User) bool { return s.Protocol != IMAP && s.Protocol != Auto }},
	{"fastuidl", "%s has an effect with POP3 only", "", func(s *Server, _ *User) bool { return s.Protocol == IMAP }},
	{"fetchall keep flush limit limitflush fetchlimit fetchsizelimit batchlimit expunge rewrite stripcr forcecr mimedecode dropstatus",
		"%s has no effect with this protocol", "the server delivers the mail itself", push},
	{"keep", "%s with POP3 needs uidl to tell old messages from new ones", "add uidl to the server options",
		func(s *Server, u *User) bool { return u.Keep && s.Protocol == POP3 && !s.UIDL }},
	{"flush", "%s deletes mail that other programs have marked as read", "without it messages are deleted once they are delivered",
		func(_ *Server, u *User) bool { return u.Flush }},
	{"fetchall", "%s with keep fetches every message at every poll", "", func(_ *Server, u *User) bool { return u.FetchAll && u.Keep }},
	{"smtphost smtpaddress smtpname lmtp", "%s has no effect: an MDA, a file or a mailbox is given, too", "",
		func(_ *Server, u *User) bool { return u.MDA != "" || u.BSMTP != "" || u.Maildir != "" || u.Mbox != "" }},
	{"mda bsmtp maildir mbox", "%s: mail can go to one place only, and another one is given, too", "of several bsmtp wins, then maildir, then mbox",
		func(_ *Server, u *User) bool { return places(u) > 1 }},
	{"smtphost", "%s: a port stands behind a slash", "write host/2525",
		func(_ *Server, u *User) bool { return slices.ContainsFunc(u.SMTPHosts, colonPort) }},
	{"sslcertck", "the server is not checked: anybody on the way can read the mail and the password", "remove \"no sslcertck\"",
		func(s *Server, u *User) bool { return !u.SSLCertCk && u.SSLFingerprint == "" && !s.private() }},
	{"sslproto", "%s asks for a protocol that is not safe any more", "use \"tls1.2+\" or \"auto\"",
		func(_ *Server, u *User) bool {
			return slices.Contains([]string{"ssl2", "ssl3", "ssl3+", "ssl23", "tls1", "tls1.1"}, strings.ToLower(u.SSLProto))
		}},
	{"sslproto", "%s '' sends the password in clear", "",
		func(s *Server, u *User) bool {
			return u.SSLProtoSet && u.SSLProto == "" && !u.SSL && u.SSLMode == "" && !s.private()
		}},
	{"sslmode", "%s none sends the password in clear", "", func(s *Server, u *User) bool { return u.SSLMode == "none" && !s.private() }},
	{"sslcommonname", "%s is deprecated", "ask for a certificate with the right name", always},
	{"mda", "%s: do not put %T or %F in quotes: they are quoted already", "",
		func(_ *Server, u *User) bool { return strings.Contains(u.MDA, "'%") || strings.Contains(u.MDA, `"%`) }},
	{"mda", "%s: this program takes the recipients from the header, which makes mail loops", "use sendmail -i -f %F -- %T",
		func(_ *Server, u *User) bool {
			return strings.Contains(u.MDA, "qmail-inject") || strings.Contains(u.MDA, "sendmail") && strings.Contains(u.MDA+" ", " -t ")
		}},
}
