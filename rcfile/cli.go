package rcfile

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// CommandLine is a parsed command line.
type CommandLine struct {
	Global  Config   // global options that were given
	Server  Server   // server options that were given
	User    User     // user options that were given
	Servers []string // the arguments: only these are polled

	Help        bool // -?
	Version     bool // -V
	Check       bool // -c
	Silent      bool // -s
	Verbose     int  // -v, counted
	NoDetach    bool // -N
	Quit        bool // -q
	QuitOnly    bool // -q was the last option: nothing else is to be done
	YYDebug     bool // -y
	RCFile      string
	RCFileSet   bool   // -f was given
	ConfigDump  string // "python", "json" or ""
	ConfigCheck string // "text", "json" or ""
	Status      string // "text", "json" or ""
	HealthCheck bool   // --healthcheck

	sink    string   // the option that says where mail goes
	options []string // names of the options that were given, besides -v and -s
}

// Given tells whether any option was given besides -v and -s; fetchmail(1), "Awakening the background daemon".
func (c *CommandLine) Given() bool { return len(c.options) > 0 }

// UsageError is an error in the arguments; the exit status is 5.
type UsageError struct {
	Line string // complete line as fetchmail or getopt_long(3) prints it
	Hint string
}

func (e *UsageError) Error() string { return e.Line }

// ParseArgs parses the arguments without the program's name, in the manner of getopt_long(3): long options may be
// abbreviated, options may follow arguments, "--" ends them. The error is a *UsageError.
func ParseArgs(args []string) (*CommandLine, error) {
	c := &CommandLine{}
	fs := c.flags()
	full, err := expand(fs, args)
	if err == nil {
		err = fs.Parse(full)
	}
	if err != nil {
		return nil, usage(err, fs, args)
	}
	c.Servers = fs.Args()
	c.QuitOnly = c.Quit && len(c.options) > 0 && c.options[len(c.options)-1] == "quit"
	return c, nil
}

// usage finds the UsageError in what pflag makes of it. A long option with one dash is a cluster of short ones, which
// seldom makes sense.
func usage(err error, fs *pflag.FlagSet, args []string) error {
	u := &UsageError{Line: err.Error(), Hint: seeHelp}
	if _, own, ok := strings.Cut(u.Line, ownMark); ok {
		u.Line = own
	}
	errors.As(err, &u)
	for _, a := range args {
		if name, ok := strings.CutPrefix(a, "-"); ok && len(name) > 1 && fs.Lookup(name) != nil {
			u.Hint = "Did you mean '-" + a + "'? " + seeHelp
		}
	}
	return u
}

const seeHelp = "Try 'fetchmail --help' for the list of options."

// ownMark is put before our messages, so that they can be told from the words that pflag adds.
const ownMark = "\x00"

// flags builds the flag set from the table.
func (c *CommandLine) flags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("fetchmail", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for _, o := range Options() {
		c.addFlags(fs, o, o.Flags, o.Short, true)
		c.addFlags(fs, o, o.NoFlags, o.NoShort, false)
	}
	return fs
}

func (c *CommandLine) addFlags(fs *pflag.FlagSet, o *Option, names []string, short string, on bool) {
	for i, name := range names {
		f := &pflag.Flag{Name: name, Usage: o.Help, Value: &flagValue{line: c, option: o, on: on}}
		if i == 0 {
			f.Shorthand = short
		}
		if o.Kind == Flag {
			f.NoOptDefVal = "true"
		}
		fs.AddFlag(f)
	}
}

// flagValue sets one option of the command line.
type flagValue struct {
	line   *CommandLine
	option *Option
	on     bool
}

func (v *flagValue) String() string { return "" }

func (v *flagValue) Type() string { return v.option.Arg }

// Set is called by pflag for every occurrence; the last one wins.
func (v *flagValue) Set(value string) error {
	c, o := v.line, v.option
	if o.Name != "verbose" && o.Name != "silent" {
		c.options = append(c.options, o.Name)
	}
	if o.Scope == CommandLineOnly {
		return c.act(o, value)
	}
	if o.Kind == Flag {
		o.setFlag(c.target(o), v.on)
		return nil
	}
	if err := c.set(o, value); err != nil {
		return fmt.Errorf("%s%w", ownMark, err)
	}
	return nil
}

func (c *CommandLine) target(o *Option) target {
	switch o.Scope {
	case Global:
		return target{config: &c.Global}
	case PerServer:
		return target{server: &c.Server}
	}
	return target{user: &c.User}
}

// act notes what is to be done.
func (c *CommandLine) act(o *Option, value string) error {
	switch o.Name {
	case "help":
		c.Help = true
	case "version":
		c.Version = true
	case "check":
		c.Check = true
	case "silent":
		c.Silent, c.Verbose = true, 0 // the later of -s and -v wins
	case "verbose":
		c.Verbose++
		c.Silent = false
	case "nodetach":
		c.NoDetach = true
	case "quit":
		c.Quit = true
	case "yydebug":
		c.YYDebug = true
	case "fetchmailrc":
		c.RCFile, c.RCFileSet = value, true
	case "configdump":
		return form(&c.ConfigDump, o, value, "python")
	case "configcheck":
		return form(&c.ConfigCheck, o, value, "text")
	case "status":
		return form(&c.Status, o, value, "text")
	case "healthcheck":
		c.HealthCheck = true
	}
	return nil
}

// form sets the form of a report: the usual one or JSON.
func form(field *string, o *Option, value, usual string) error {
	switch value {
	case "true":
		*field = usual
	case "json":
		*field = "json"
	default:
		return fmt.Errorf("%sfetchmail: option '--%s' knows no form '%s'; it can be json", ownMark, o.Name, value)
	}
	return nil
}

// set stores an option that takes a value.
func (c *CommandLine) set(o *Option, value string) error {
	if err := c.oneSink(o); err != nil {
		return err
	}
	t := c.target(o)
	switch o.Kind {
	case Number:
		n, err := commandLineNumber(value, o.Name == "limit")
		if err != nil {
			return err
		}
		if o.Name == "timeout" && n == 0 {
			n = defaultTimeout // here it overrides; in the run control file it counts as not given
		}
		o.setNumber(t, n)
		return nil
	case Numbers:
		return o.setNumbers(t, value)
	case Choice:
		return o.choose(t, value)
	case Strings:
		list := o.at(t).(*[]string)
		*list = append(*list, commaSeparated(value)...)
	case Skip:
		c.Server.NoEnvelope, c.Server.Envelope = false, value
	case Service, Port:
		c.Server.Service = value
		o = option("service")
	default:
		*o.at(t).(*string) = value
	}
	t.set().add(o.index)
	return nil
}

// oneSink refuses a second of the options that say where mail goes, as fetchmail does; the same one twice, too.
func (c *CommandLine) oneSink(o *Option) error {
	switch o.Name {
	case "smtphost", "mda", "bsmtp", "maildir", "mbox":
		if c.sink != "" {
			return fmt.Errorf("fetchmail: option '--%s' cannot follow '--%s': mail can go to one place only", o.Name, c.sink)
		}
		c.sink = o.Name
	}
	return nil
}

// commaSeparated are the elements of a list that has commas between them.
func commaSeparated(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
}

func (o *Option) setNumbers(t target, value string) error {
	list := o.at(t).(*[]int)
	t.set().add(o.index)
	for _, word := range commaSeparated(value) {
		n, err := commandLineNumber(word, false)
		if err != nil {
			return err
		}
		*list = append(*list, int(n))
	}
	return nil
}

// choose sets a Choice. Protocols are known in any case.
func (o *Option) choose(t target, value string) error {
	word := value
	if o.Name == "protocol" {
		word = strings.ToLower(value)
	}
	if !slices.Contains(o.Choices, word) {
		what := map[string]string{"protocol": "protocol", "auth": "authentication", "bad-header": "bad-header policy"}[o.Name]
		if what == "" {
			what = o.Name
		}
		return fmt.Errorf("Invalid %s `%s' specified.", what, value) //lint:ignore ST1005 the line that fetchmail prints
	}
	if o.Name == "auth" && word == "kerberos" {
		word = "kerberos_v5" // here, not in the run control file, kerberos means version 5
	}
	o.setChoice(t, word)
	if word == "kpop" {
		option("auth").setChoice(t, "kerberos_v5")
	}
	return nil
}

// commandLineNumber reads a number as strtol(3) with base 0 does. Sizes may have 64 bits.
func commandLineNumber(s string, size bool) (int64, error) {
	digits := strings.TrimLeft(s, " \t\n\v\f\r")
	n, err := strconv.ParseInt(strings.TrimPrefix(digits, "+"), 0, 64)
	if number, ok := err.(*strconv.NumError); ok && number.Err == strconv.ErrRange || err == nil && !size && n > 1<<31-1 {
		return 0, fmt.Errorf("Value of string '%s' is larger than %d.", s, 1<<31-1) //lint:ignore ST1005 the line that fetchmail prints
	}
	if err != nil || strings.ContainsAny(digits, "_oOb") {
		return 0, fmt.Errorf("String '%s' is not a valid number string.", s) //lint:ignore ST1005 the line that fetchmail prints
	}
	return n, nil
}
