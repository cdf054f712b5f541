package rcfile

import (
	"strings"

	"github.com/spf13/pflag"
)

// flagOrder is the order in which fetchmail knows its long options: that of --help and of the message about an
// ambiguous abbreviation. Options that are not here come behind.
var flagOrder = strings.Fields(`help version check silent verbose daemon nodetach quit logfile showdots syslog nosyslog invisible
fetchmailrc idfile pidfile postmaster nobounce nosoftbounce softbounce bad-header protocol proto uidl idle port service auth timeout
envelope qvirtual user username all fetchall nokeep keep flush limitflush norewrite limit warnings folder smtphost fetchdomains
smtpaddress smtpname antispam batchlimit fetchlimit fetchsizelimit fastuidl expunge mda bsmtp lmtp interface monitor ssl sslkey
sslcert sslproto sslcertck nosslcertck sslcertfile sslcertpath sslcommonname sslfingerprint principal plugin plugout configdump
tracepolls yydebug`)

// expand rewrites arguments for pflag: abbreviated long options in full, and errors as getopt_long(3) words them.
func expand(fs *pflag.FlagSet, args []string) ([]string, error) {
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		a := args[i]
		value := false // the next argument is the value of this one
		var err error
		switch {
		case a == "--":
			return append(out, args[i:]...), nil
		case strings.HasPrefix(a, "--"):
			a, value, err = expandLong(fs, a[2:], i+1 < len(args))
		case strings.HasPrefix(a, "-") && a != "-":
			value, err = checkShort(fs, a[1:], i+1 < len(args))
		}
		if err != nil {
			return nil, err
		}
		out = append(out, a)
		if value {
			i++
			out = append(out, args[i])
		}
	}
	return out, nil
}

func usageError(line string) error {
	return &UsageError{Line: "fetchmail: " + line, Hint: seeHelp}
}

// expandLong finds the option that a long name means. It tells whether the next argument is its value.
func expandLong(fs *pflag.FlagSet, a string, more bool) (full string, value bool, err error) {
	name, _, assigned := strings.Cut(a, "=")
	f, err := lookupLong(fs, name)
	if err != nil {
		return "", false, err
	}
	o := f.Value.(*flagValue).option
	switch {
	case o.Kind == Flag && assigned && o.Arg == "":
		return "", false, usageError("option '--" + f.Name + "' doesn't allow an argument")
	case o.Kind != Flag && !assigned && !more:
		return "", false, usageError("option '--" + f.Name + "' requires an argument")
	}
	return "--" + f.Name + strings.TrimPrefix(a, name), o.Kind != Flag && !assigned, nil
}

// lookupLong resolves an abbreviation. Options that fetchmail 6.4 does not know count only if no other one fits, so
// that an abbreviation keeps its meaning.
func lookupLong(fs *pflag.FlagSet, name string) (*pflag.Flag, error) {
	if f := fs.Lookup(name); f != nil {
		return f, nil
	}
	for _, fresh := range []bool{false, true} {
		found := candidates(fs, name, fresh)
		if len(found) == 0 {
			continue
		}
		for _, f := range found[1:] {
			if !sameFlag(f, found[0]) {
				return nil, usageError(ambiguous(name, found))
			}
		}
		return found[0], nil
	}
	err := &UsageError{Line: "fetchmail: unrecognized option '--" + name + "'", Hint: seeHelp}
	var known []string
	fs.VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := closest(name, known); near != "" {
		err.Hint = "Did you mean '--" + near + "'? " + seeHelp
	}
	return nil, err
}

func ambiguous(name string, found []*pflag.Flag) string {
	text := "option '--" + name + "' is ambiguous; possibilities:"
	for _, f := range found {
		text += " '--" + f.Name + "'"
	}
	return text
}

// candidates are the flags that begin with name in their order.
func candidates(fs *pflag.FlagSet, name string, fresh bool) (found []*pflag.Flag) {
	if !fresh {
		for _, n := range flagOrder {
			if f := fs.Lookup(n); f != nil && strings.HasPrefix(n, name) {
				found = append(found, f)
			}
		}
		return found
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if strings.HasPrefix(f.Name, name) {
			found = append(found, f)
		}
	})
	return found
}

func sameFlag(a, b *pflag.Flag) bool {
	x, y := a.Value.(*flagValue), b.Value.(*flagValue)
	return x.option == y.option && x.on == y.on
}

// checkShort walks a cluster of short options and tells whether the next argument is the value of the last.
func checkShort(fs *pflag.FlagSet, cluster string, more bool) (value bool, err error) {
	for i := range len(cluster) {
		f := shorthand(fs, cluster[i])
		if f == nil {
			return false, usageError("invalid option -- '" + cluster[i:i+1] + "'")
		}
		if f.Value.(*flagValue).option.Kind == Flag {
			continue
		}
		if i+1 < len(cluster) {
			return false, nil
		}
		if !more {
			return false, usageError("option requires an argument -- '" + cluster[i:] + "'")
		}
		return true, nil
	}
	return false, nil
}

func shorthand(fs *pflag.FlagSet, c byte) *pflag.Flag {
	if c <= ' ' || c >= 0x7f || c == '-' || c == '=' {
		return nil
	}
	return fs.ShorthandLookup(string(c))
}
