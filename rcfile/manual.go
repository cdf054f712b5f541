package rcfile

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// The prose of the manual page. What the table knows is not repeated here.
const (
	manualHead = `.\" Generated from the option table of package rcfile: do not edit.
.TH FETCHMAIL 1 "" "fetchmail in Go" "General Commands Manual"
.SH NAME
fetchmail \- fetch mail from a POP3, IMAP, ETRN or ODMR server
.SH SYNOPSIS
.B fetchmail
.RI [ option ...]
.RI [ server ...]
.SH DESCRIPTION
.B fetchmail
fetches mail from mail servers and hands it to the mail system of this machine: to an SMTP or LMTP listener, to a program,
or into a Maildir or mbox. What was handed over is deleted from the server, unless it is to be kept.
.PP
It reads
.IR ~/.fetchmailrc ,
the run control file, and polls every
.B poll
entry in it once, or again and again with
.BR \-\-daemon .
If servers are named as arguments, only those are polled,
.B skip
entries included. Options on the command line win over those in the file.
.PP
The language, the options and the exit codes are those of fetchmail 6.4.
.SH OPTIONS
Long options may be abbreviated as long as they are unambiguous. Options may follow arguments;
.B \-\-
ends them.
`
	manualSyntax = `.SH THE RUN CONTROL FILE
The file must be a regular file of yours that nobody else can read or write.
.PP
It is a list of statements in free format.
.BI set " option"
sets a global option.
.BI poll " label"
(or
.BR server )
begins the entry of a server,
.BI skip " label"
one that is polled only if it is named on the command line. Server options follow, then any number of accounts, each
.BI user " name"
and user options. An entry that begins with
.B defaults
comes first and lends its options to all others.
.PP
A
.B #
begins a comment. The words
.BR and ", " with ", " has ", " wants ", " options
and the characters
.B , ; :
are ignored. A string is a word without blanks and without any of
.BR "= , ; :" ,
or anything in double or single quotes. A keyword or a number as a value must be quoted, except behind
.BR user ", " is ", " to
and
.BR password .
Escapes in strings are \en, \et, \eb, \er, \e\fInnn\fP (decimal), \e0\fIoo\fP (octal), \ex\fIhh\fP, and a backslash before any other
character; at the end of a line it joins the next one.
.PP
.BI no " option"
turns an option off.
.BI user " a " there " is " b " here"
says that mail of the account
.I a
is for the local user
.IR b .
More than one local name, mappings
.IB remote = local
or a
.B *
make it a multidrop mailbox: recipients are taken from the messages.
`
	manualTail = `.SH FILES
.TP
.I ~/.fetchmailrc
the run control file
.TP
.I ~/.fetchids
what is known of messages on servers
.TP
.I ~/.fetchmail.pid
the lock file; for root
.I /var/run/fetchmail.pid
.TP
.I ~/.fetchmail.status
what the running daemon has done, for
.B \-\-status
.TP
.I ~/.netrc
passwords that the run control file does not have
.SH ENVIRONMENT
.TP
.B FETCHMAILHOME
directory of fetchmailrc, .fetchids and fetchmail.pid instead of the home directory
.TP
.B HOME_ETC
directory of .fetchmailrc, .fetchids, .fetchmail.pid and .netrc instead of
.B HOME
.TP
.BR NO_COLOR ", " TERM
progress on a terminal is shown without colors; not at all if TERM is dumb
.TP
.BR FETCHMAILUSER ", " LOGNAME ", " USER
name of the calling user, if it belongs to the user id
.TP
.B FETCHMAIL_POP3_FORCE_RETR
use RETR where TOP would be used
.TP
.B FETCHMAIL_INCLUDE_DEFAULT_X509_CA_CERTS
load the certificates of the system beside those of sslcertfile and sslcertpath
.SH SIGNALS
A daemon looks for mail now at SIGUSR1 (for root SIGHUP, too), opens its log file again at SIGUSR2, and ends at SIGTERM and
SIGINT when the messages in hand are done.
.SH "EXIT CODES"
0 mail was fetched; 1 there was none; 2 no connection; 3 login failed; 4 protocol error; 5 error in the arguments or the run
control file, or a failing pre- or postconnect command; 6 wrong permissions, or an error of a program that mail was handed to;
7 error of the server; 8 another fetchmail is in the way; 9 mailbox in use; 10 SMTP error; 11 DNS error; 12 BSMTP file;
13 fetch limit; 14 server busy; 23 internal error.
.PP
.B \-\-status
ends with 0 if all is well, 1 if the last poll of an account failed, 8 if no daemon is running and 6 if its status cannot be read;
.B \-\-healthcheck
with 0 or 1.
.SH "METRICS AND JSON"
.BI "set metrics" " address"
serves
.I /metrics
for Prometheus while a daemon runs, at
.BI unix: path
(mode 0600) or at a port of a loopback address. The word
.B public
behind it allows other addresses, the word
.B users
adds the names used for login to the label
.BR account .
.PP
.B set logformat json
makes each line a record; its field msg is the line, the other fields say the same for programs.
.SH EXAMPLES
.nf
poll pop.example.org proto pop3 uidl
     user 'joe' there with password 'secret' is joe here ssl keep

poll imap.example.org proto imap
     user 'joe@example.org' there is joe here
     ssl passwordeval 'pass show mail' folder INBOX, Lists
     maildir '~/Maildir'
.fi
.SH "SEE ALSO"
.BR maildrop (1),
.BR procmail (1),
.BR sendmail (8),
.BR netrc (5)
`
)

// ManPage writes the manual page, fetchmail.1.
func ManPage(w io.Writer) error {
	b := bufio.NewWriter(w)
	b.WriteString(manualHead)
	for _, f := range flagList() {
		manualFlag(b, f)
	}
	b.WriteString(manualSyntax)
	for _, s := range [...]struct {
		scope Scope
		title string
	}{{Global, "Global options"}, {PerServer, "Server options"}, {PerUser, "User options"}} {
		fmt.Fprintf(b, ".SS %s\n", s.title)
		for _, o := range table().scope[s.scope] {
			manualKeyword(b, o)
		}
	}
	b.WriteString(manualTail)
	return b.Flush()
}

func manualFlag(w io.Writer, f flagHelp) {
	names := make([]string, 0, len(f.names)+1)
	if f.short != "" {
		names = append(names, `\fB\-`+f.short+`\fP`)
	}
	for _, name := range f.names {
		names = append(names, `\fB\-\-`+roff(name)+`\fP`)
	}
	line := strings.Join(names, ", ")
	switch {
	case strings.HasPrefix(f.arg, "[="):
		line += roff(f.arg)
	case f.arg != "":
		line += ` \fI` + roff(f.arg) + `\fP`
	}
	fmt.Fprintf(w, ".TP\n%s\n%s\n", line, roff(withChoices(f.help, f.o)))
}

// withChoices adds the words that an option can have, if its argument does not name them. The advice to look into the
// manual is for other places.
func withChoices(help string, o *Option) string {
	help, _, _ = strings.Cut(help, " (see man")
	if o.Kind == Choice && len(o.Choices) > 4 {
		help += ": " + strings.Join(o.Choices, ", ")
	}
	return help
}

// manualKeyword describes a keyword of the run control file.
func manualKeyword(w io.Writer, o *Option) {
	if len(o.Words) == 0 {
		return
	}
	line := `\fB` + strings.Join(o.Words, `\fP, \fB`) + `\fP`
	if o.negatable {
		line = `[\fBno\fP] ` + line
	}
	if o.Kind == Skip {
		line += ` [\fIcount\fP]`
	}
	if o.Arg != "" {
		line += ` \fI` + roff(o.Arg) + `\fP`
	}
	help := o.Help
	if help == "" {
		help = globalHelp[o.Name]
	}
	if o.NoHelp != "" && help == "" {
		help = "if off: " + o.NoHelp
	}
	help = withChoices(help, o)
	if note := notes[o.Name]; note != "" {
		help += "; " + note
	}
	fmt.Fprintf(w, ".TP\n%s\n%s\n", roffDash(line), roff(help))
}

// globalHelp is the help for keywords that are no options of the command line.
var globalHelp = map[string]string{
	"bouncemail":     "error mail goes to the sender (default); if off, to the postmaster",
	"spambounce":     "mail that antispam blocks is bounced, too",
	"set properties": "string for extension scripts",
	"rewrite":        "complete local addresses in headers with the name of the server (default)",
}

// notes are what the help of a keyword has no room for.
var notes = map[string]string{
	"smtphost": "each is a host, host/port, or the path of an LMTP socket, and the first that answers is used; behind /tls or " +
		"/starttls at its end the listener must have a valid certificate",
	"mda":      "%T in it stands for the recipients, %F for the sender, both in quotes already",
	"sslproto": "tls1.2, tls1.2+, tls1.3, tls1.3+ or auto; an empty string is no TLS at all",
	"maildir":  "~/ is the home directory",
	"mbox":     "~/ is the home directory",
}

// roff escapes what means something to the formatter.
func roff(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return roffDash(s)
}

func roffDash(s string) string { return strings.ReplaceAll(s, "-", `\-`) }
