package rcfile

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args string
		ok   func(*CommandLine) bool
	}{
		{"-vvv", func(c *CommandLine) bool { return c.Verbose == 3 }},
		{"-v --verbose -s", func(c *CommandLine) bool { return c.Verbose == 0 && c.Silent }},
		{"-s -v", func(c *CommandLine) bool { return c.Verbose == 1 && !c.Silent }},
		{"-d0", func(c *CommandLine) bool {
			return c.Global.PollInterval == 0 && c.Global.set.has(option("daemon").index)
		}},
		{"-d 60 host -k other", func(c *CommandLine) bool {
			return c.Global.PollInterval == 60 && c.User.Keep && slices.Equal(c.Servers, []string{"host", "other"})
		}},
		{"-vkd0 host", func(c *CommandLine) bool { return c.Verbose == 1 && c.User.Keep && len(c.Servers) == 1 }},
		{"-k -K", func(c *CommandLine) bool { return !c.User.Keep }},
		{"-ujoe", func(c *CommandLine) bool { return c.User.Remote == "joe" }},
		{"--use joe", func(c *CommandLine) bool { return c.User.Remote == "joe" }},
		{"--userna=joe", func(c *CommandLine) bool { return c.User.Remote == "joe" }},
		{"--prot Pop3", func(c *CommandLine) bool { return c.Server.Protocol == POP3 }},
		{"--limitf --timeo 7", func(c *CommandLine) bool { return c.User.LimitFlush && c.Server.Timeout == 7 }},
		{"-- -v", func(c *CommandLine) bool { return c.Verbose == 0 && c.Servers[0] == "-v" }},
		{"-f -", func(c *CommandLine) bool { return c.RCFile == "-" && c.RCFileSet }},
		{"-u --x", func(c *CommandLine) bool { return c.User.Remote == "--x" }},
		{"-?", func(c *CommandLine) bool { return c.Help }},
		{"--configd", func(c *CommandLine) bool { return c.ConfigDump == "python" }},
		{"--configdump=json", func(c *CommandLine) bool { return c.ConfigDump == "json" }},
		{"--status=json", func(c *CommandLine) bool { return c.Status == "json" }},
		{"--status", func(c *CommandLine) bool { return c.Status == "text" }},
		{"--healthcheck", func(c *CommandLine) bool { return c.HealthCheck }},
		{"--logformat json --metrics unix:/m", func(c *CommandLine) bool { return c.Global.LogFormat == "json" && c.Global.Metrics == "unix:/m" }},
		{"--configcheck=json", func(c *CommandLine) bool { return c.ConfigCheck == "json" }},
		{"--conf", func(c *CommandLine) bool { return c.ConfigDump == "python" && c.ConfigCheck == "" }}, // as before --configcheck came
		{"-q", func(c *CommandLine) bool { return c.Quit && c.QuitOnly }},
		{"-q -k", func(c *CommandLine) bool { return c.Quit && !c.QuitOnly }},
		{"-l 0x10 -w 010 -B +5", func(c *CommandLine) bool { return c.User.Limit == 16 && c.User.Warnings == 8 && c.User.FetchLimit == 5 }},
		{"-l 5000000000", func(c *CommandLine) bool { return c.User.Limit == 5000000000 }},
		{"-Z 571,550", func(c *CommandLine) bool { return slices.Equal(c.User.Antispam, []int{571, 550}) }},
		{"-Z ,", func(c *CommandLine) bool { return len(c.User.Antispam) == 0 }},
		{"--sslmode starttls=must --maildir M", func(c *CommandLine) bool { return c.User.SSLMode == "starttls=must" && c.User.Maildir == "M" }},
		{"--onreject deadletter --deadletter D", func(c *CommandLine) bool { return c.User.OnReject == "deadletter" && c.User.DeadLetter == "D" }},
		{"-E X-To --auth ssh -P imaps", func(c *CommandLine) bool {
			return c.Server.Envelope == "X-To" && c.Server.Auth == AuthSSH && c.Server.Service == "imaps"
		}},
		{"-p kpop", func(c *CommandLine) bool { return c.Server.Service == "kpop" && c.Server.Auth == AuthKerberosV5 }},
		{"-v host", func(c *CommandLine) bool { return !c.Given() }},
		{"-k host", func(c *CommandLine) bool { return c.Given() }},
	} {
		line, err := ParseArgs(strings.Fields(c.args))
		if err != nil || !c.ok(line) {
			t.Errorf("%s: %v, %+v", c.args, err, line)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--foo", "fetchmail: unrecognized option '--foo'"},
		{"-j", "fetchmail: invalid option -- 'j'"},
		{"-l", "fetchmail: option requires an argument -- 'l'"},
		{"-vl", "fetchmail: option requires an argument -- 'l'"},
		{"--limit", "fetchmail: option '--limit' requires an argument"},
		{"--ssl=1", "fetchmail: option '--ssl' doesn't allow an argument"},
		{"--q", "fetchmail: option '--q' is ambiguous; possibilities: '--quit' '--qvirtual'"},
		{"--lim 5", "fetchmail: option '--lim' is ambiguous; possibilities: '--limitflush' '--limit'"},
		{"-l many", "String 'many' is not a valid number string."},
		{"-l 5x", "String '5x' is not a valid number string."},
		{"-l 1_0", "String '1_0' is not a valid number string."},
		{"-t 99999999999", "Value of string '99999999999' is larger than 2147483647."},
		{"-p pop9", "Invalid protocol `pop9' specified."},
		{"--auth foo", "Invalid authentication `foo' specified."},
		{"--bad-header foo", "Invalid bad-header policy `foo' specified."},
		{"-S a -S b", "fetchmail: option '--smtphost' cannot follow '--smtphost': mail can go to one place only"},
		{"-m a --maildir b", "fetchmail: option '--maildir' cannot follow '--mda': mail can go to one place only"},
		{"--configdump=xml", "fetchmail: option '--configdump' knows no form 'xml'; it can be json"},
	} {
		_, err := ParseArgs(strings.Fields(c.args))
		u, ok := err.(*UsageError)
		if !ok || u.Line != c.want || u.Hint == "" {
			t.Errorf("%s: %v, want %s", c.args, err, c.want)
		}
	}
}

func TestMisspelledOptionsAreGuessed(t *testing.T) {
	for args, want := range map[string]string{
		"--deamon 300": "'--daemon'", "--nokepp": "'--nokeep'", "-keep": "'--keep'", "-help": "'--help'", "--xyzzy": "", "-l many": "",
	} {
		_, err := ParseArgs(strings.Fields(args))
		u, ok := err.(*UsageError)
		if !ok || !strings.HasSuffix(u.Hint, seeHelp) || want == "" && u.Hint != seeHelp || !strings.Contains(u.Hint, want) {
			t.Errorf("%s: %+v", args, u)
		}
	}
}

// TestAbbreviationsStayUnambiguous holds that no option that fetchmail 6.4 does not know takes part in the meaning of
// an abbreviation that had one.
func TestAbbreviationsStayUnambiguous(t *testing.T) {
	fs := (&CommandLine{}).flags()
	for _, name := range flagOrder {
		for n := 1; n <= len(name); n++ {
			f, err := lookupLong(fs, name[:n])
			if err == nil && f.Value.(*flagValue).option.New {
				t.Errorf("--%s means --%s", name[:n], f.Name)
			}
			if err != nil && strings.Contains(err.Error(), "unrecognized") {
				t.Errorf("--%s: %v", name[:n], err)
			}
		}
	}
}

func TestCommandLineWinsOverFile(t *testing.T) {
	const rc = "set postmaster pm poll a proto imap timeout 9 user u pass p is l here keep limit 5 smtphost s folder f poll b user v"
	for _, c := range []struct{ args, want string }{
		{"-p pop3 -t 7 -K -l 0 a", `"protocol":"POP3" 'timeout':7`},
		{"-S s1,s2 -r f1", `"smtphunt":["s", "s1", "s2"]`},
		{"--idfile rel", `"idfile":"/cwd/rel"`},
		{"other", `"pollname":"other"`},
		{"--nobounce --postmaster x", `'bouncemail':FALSE`},
	} {
		cfg, _, err := understood(t, rc, strings.Fields(c.args)...)
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		if got := changed(t, cfg); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n%s\nwithout %s", c.args, got, c.want)
		}
	}
	cfg, _, err := understood(t, rc, "a")
	if err != nil || !cfg.Servers[0].Active || cfg.Servers[1].Active {
		t.Errorf("only a was named: %v", err)
	}
	if cfg, _, err = understood(t, "skip a poll b", "a"); err != nil || !cfg.Servers[0].Active || cfg.Servers[1].Active {
		t.Errorf("a skip entry was named: %v", err)
	}
}

func TestHelpListsEveryOption(t *testing.T) {
	var b bytes.Buffer
	if err := Help(&b); err != nil {
		t.Fatal(err)
	}
	for _, o := range Options() {
		for _, name := range append(slices.Clone(o.Flags), o.NoFlags...) {
			if !strings.Contains(b.String(), "--"+name) {
				t.Errorf("--%s is not in the help", name)
			}
		}
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if len(line) > 100 {
			t.Errorf("long line: %s", line)
		}
	}
}

// TestTableIsSound holds what every row must be.
func TestTableIsSound(t *testing.T) {
	words, flags := map[string]bool{}, map[string]bool{}
	for _, o := range Options() {
		if o.Scope != CommandLineOnly && o.at == nil {
			t.Errorf("%s has no field", o.Name)
		}
		for _, w := range o.Words {
			key := w
			if o.Scope == Global {
				key = "set " + w
			}
			if words[key] {
				t.Errorf("the word %s is in two rows", w)
			}
			words[key] = true
		}
		for _, f := range append(slices.Clone(o.Flags), o.NoFlags...) {
			if flags[f] {
				t.Errorf("the option --%s is in two rows", f)
			}
			flags[f] = true
		}
		if len(o.Flags)+len(o.Words) > 0 && o.Help == "" && o.NoHelp == "" && o.Scope != Global {
			t.Errorf("%s has no help", o.Name)
		}
		if o.New && o.Kind != Flag && o.Scope != CommandLineOnly && o.Say == "" {
			t.Errorf("-V says nothing about %s", o.Name)
		}
	}
	if len(Options()) > 128 {
		t.Errorf("%d rows do not fit into an optionSet", len(Options()))
	}
}

func FuzzParseArgs(f *testing.F) {
	for _, s := range []string{"-v\x00-d0\x00host", "--limit=5\x00--s", "-Z\x001,2\x00-f\x00-", "-u", "--", "-l\x000x", "--=", "-\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, args string) {
		c, err := ParseArgs(strings.Split(args, "\x00"))
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err != nil {
			if _, ok := err.(*UsageError); !ok {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		file, err := Parse("rc", []byte("defaults keep poll x user u"))
		if err != nil {
			t.Fatal(err)
		}
		if cfg, _, err := Resolve(file, c, Env{User: "joe"}); err == nil && cfg.Dump(&bytes.Buffer{}) != nil {
			t.Fatal("cannot be dumped")
		}
	})
}

// TestSilentIsSilentAboutTheLogfile: -s holds back that a log file is not used; everybody else is told.
func TestSilentIsSilentAboutTheLogfile(t *testing.T) {
	file, err := Parse("rc", []byte("poll mail.example.test proto pop3 user joe password x\n"))
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]int{"-L /nowhere": 1, "-s -L /nowhere": 0, "-N -L /nowhere": 1, "-s -N -L /nowhere": 0} {
		line, err := ParseArgs(strings.Fields(args))
		if err != nil {
			t.Fatal(err)
		}
		c, warnings, err := Resolve(file, line, Env{User: "joe", LogFile: func(string) (exists, writable bool) { return false, false }})
		if err != nil || c.LogFile != "" || len(warnings) != want {
			t.Errorf("%s: %q, %v", args, warnings, err)
		}
	}
}
