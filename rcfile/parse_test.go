package rcfile

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// understood resolves a text for the user joe at client.example.org.
func understood(t testing.TB, rc string, args ...string) (*Config, []string, error) {
	t.Helper()
	line, err := ParseArgs(args)
	if err != nil {
		return nil, nil, err
	}
	f, err := Parse("rc", []byte(rc))
	if err != nil {
		return nil, nil, err
	}
	return Resolve(f, line, Env{User: "joe", HostName: "client.example.org", RCDir: "/rc", Dir: "/cwd", IDFile: "/home/joe/.fetchids"})
}

// changed are the lines of the dump that differ from those of an entry without options.
func changed(t testing.TB, c *Config) string {
	t.Helper()
	plain, _, err := understood(t, "poll x")
	if err != nil {
		t.Fatal(err)
	}
	var base, got bytes.Buffer
	if err := plain.Dump(&base); err != nil {
		t.Fatal(err)
	}
	if err := c.Dump(&got); err != nil {
		t.Fatal(err)
	}
	usual := map[string]bool{}
	for _, l := range strings.Split(base.String(), "\n") {
		usual[l] = true
	}
	var lines []string
	for _, l := range strings.Split(got.String(), "\n") {
		if l = strings.TrimSuffix(l, ","); !usual[l] && !usual[l+","] && !strings.HasPrefix(l, "\t# Entry") {
			lines = append(lines, strings.TrimSpace(l))
		}
	}
	return strings.Join(lines, " ")
}

func TestMeaning(t *testing.T) {
	for _, c := range []struct{ rc, want string }{
		{"poll x user u", `"remote":"u"`},
		{"poll x user u there is l here", `"remote":"u" 'localnames':["l"]`},
		{"poll x user l here is u there", `"remote":"u" 'localnames':["l"]`},
		{"poll x user a b here", `'localnames':["a", "b"]`},
		{"poll x user u is a=b * c here", `"remote":"u" 'localnames':[("a", "b"), "c", '*']`},
		{"poll x user u is a there is b", `"remote":"a" 'localnames':["b"]`},
		{"poll x is l here pass p keep", `"password":"p" 'localnames':["l"] 'keep':TRUE`},
		{"poll x user u keep no keep nokeep", `"remote":"u"`},
		{"poll x port 007", `"service":"7"`},
		{"poll x proto kpop", `"protocol":"POP3" "service":"kpop"`},
		{"poll x proto Pop3", `"protocol":"POP3"`},
		{"poll x auth external", `"auth":"external" "password":"joe"`},
		{"poll x auth cram", `"auth":"cram-md5"`},
		{"poll x envelope 2 X-To", `"envelope":"X-To" 'envskip':2`},
		{"poll x no envelope", `"envelope":None`},
		{"poll x envelope a envelope b no dns", `"envelope":"b" 'dns':FALSE`},
		{"poll x tracepolls no tracepolls", ``},
		{"set no showdots poll x", ``},
		{"set no bouncemail set no softbounce poll x", `'bouncemail':FALSE 'softbounce':FALSE`},
		{"set idfile ids poll x", `"idfile":"/rc/ids"`},
		{"set postmaster = pm poll x", `"postmaster":"pm"`},
		{"poll x user u folder a,b c folder d", `"remote":"u" "mailboxes":["a", "b", "c", "d"]`},
		{"poll x antispam 1,2 -1", `'antispam':'1 2 -1'`},
		{"poll x mda m", `'stripcr':TRUE "mda":"m"`},
		{"poll x mda m no stripcr", `"mda":"m"`},
		{"poll x sslproto ''", `"sslproto":""`},
		{"poll x bsmtp - sslcert c sslkey /k", `"bsmtp":"-" "sslkey":"/k" "sslcert":"/rc/c"`},
		{"poll x limit 9000000000", `'limit':9000000000`},
		{"poll x timeout -5 limit -5", `'timeout':0`},
		{"poll x proto etrn", `"protocol":"ETRN" "password":"joe" "fetchdomains":["client.example.org"]`},
		{"skip x", `'active':FALSE`},
		{"poll x pass \"\\x01\\xe9\\n\"", `"password":"\x01\xe9\n"`},
		// defaults
		{"defaults proto imap keep poll x no keep", `"protocol":"IMAP"`},
		{"defaults timeout 5 auth password poll x timeout 0 auth any", `'timeout':5 "auth":"password"`},
		{"defaults aka b folder a poll x folder c", `"mailboxes":["c"]`},
		{"defaults aka b local c poll x", `"localdomains":["c"]`},
		{"defaults user u is a here poll x user v is *", `"remote":"v" 'localnames':["a", '*']`},
		{"defaults mda m poll x mda ''", `'stripcr':TRUE "mda":""`},
		// later names and ours; a word is a string wherever a string can stand
		{"poll x user u is l here maildir M", `"remote":"u" 'localnames':["l"] "maildir":"/rc/M"`},
		{"poll x user u maildir M keep", `"remote":"u" 'keep':TRUE "maildir":"/rc/M"`},
		{"poll x user u noforceidle", `"remote":"u" 'forceidle':FALSE`},
		{"poll x user u maildir M here", `'localnames':["u", "maildir", "M"]`},
		{"poll x user mbox pass jobs", `"remote":"mbox" "password":"jobs"`},
		{"poll x folder search maildir", `"mailboxes":["search", "maildir"]`},
		{"poll x folder a passwordfd 3", `"mailboxes":["a"] 'passwordfd':3`},
		{"poll x sslmode starttls=must", `"sslmode":"starttls=must"`},
		{"set metrics 'unix:/m' set logformat json poll x user metrics pass status", `"logformat":"json" "metrics":"unix:/m" "remote":"metrics" "password":"status"`},
		{"set jobs 4 poll x idletimeout 60 maildir '~/M' no forceidle", `'jobs':4 'idletimeout':60 "maildir":"~/M" 'forceidle':FALSE`},
		{"poll x auth xoauth2 user u", `"auth":"oauthbearer" "remote":"u"`},
		{"poll x auth implicit", `"auth":"ssh" "password":"joe"`},
		{"poll x keep moveto Done noforceidle passeval 'pass show x'", `'keep':TRUE "passwordeval":"pass show x" "moveto":"Done" 'forceidle':FALSE`},
		{"poll x user u onreject keep keep", `"remote":"u" 'keep':TRUE "onreject":"keep"`},
		{"poll x onreject deadletter D keep", `'keep':TRUE "onreject":"deadletter" "deadletter":"/rc/D"`},
		{"defaults onreject deadletter D poll x user u", `"remote":"u" "onreject":"deadletter" "deadletter":"/rc/D"`},
		{"poll x retrieve-error markseen tlsmode 'starttls=may'", `"retrieveerror":"markseen" "sslmode":"starttls=may"`},
	} {
		cfg, _, err := understood(t, c.rc)
		if err != nil {
			t.Errorf("%s: %v", c.rc, err)
			continue
		}
		if got := changed(t, cfg); got != c.want {
			t.Errorf("%s:\n     %s\nwant %s", c.rc, got, c.want)
		}
	}
}

// TestBadFiles has a file for every way to be wrong: testdata/rc/bad/NN-why.rc, and in .want what is said about it,
// the lines of fetchmail 6.4 first, then the explanation. RCFILE_UPDATE=1 writes the latter anew.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("../testdata/rc/bad/*.rc")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		_, err = Parse(name, src)
		errs, ok := err.(Errors)
		if !ok {
			t.Errorf("%s: accepted", name)
			continue
		}
		var got bytes.Buffer
		got.WriteString(errs.Error() + "\n\n")
		errs.Explain(&got)
		wantFile := strings.TrimSuffix(path, ".rc") + ".want"
		if os.Getenv("RCFILE_UPDATE") != "" {
			if err := os.WriteFile(wantFile, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(wantFile)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s:\n%swant:\n%s", name, got.String(), want)
		}
		if strings.Contains(got.String(), "s3cret") {
			t.Errorf("%s: a password is shown:\n%s", name, got.String())
		}
	}
}

func TestChecksAfterParsing(t *testing.T) {
	for _, c := range []struct{ rc, warnings, err string }{
		{"poll x is a b", "fetchmail: warning: multidrop for x requires envelope option!\nfetchmail: warning: Do not ask for support if all mail goes to postmaster!", ""},
		{"poll x envelope E is a b", "", ""},
		{"poll x lmtp", "", "x configuration invalid, LMTP can't use default SMTP port"},
		{"poll x lmtp smtphost h/24,/sock", "", ""},
		{"poll x port 0", "", "fetchmail: Cannot resolve service 0 to port number.\nfetchmail: Please specify the service as decimal port number.\n" +
			"fetchmail: x configuration invalid, specify positive port number for service or port"},
		{"poll x proto rpop port 2000", "", "fetchmail: x configuration invalid, RPOP requires a privileged port"},
		{"poll x proto imap port 993", "fetchmail: WARNING: x configuration invalid, you normally need --ssl for port 993/service imaps.", ""},
		{"poll x proto pop3 port 110 ssl", "fetchmail: WARNING: x configuration invalid, you normally need port 995/service pop3s for --ssl.", ""},
		{"poll x auth kerberos", "", "fetchmail: KERBEROS v4 support is configured, but not compiled in."},
		{"poll x idle folder a b", "", "fetchmail: Error: idle mode does not work for multiple folders or accounts!"},
		{"set daemon 60 poll x idle folder a b", "", ""},
		{"poll x idle keep fetchall", "Both fetchall and keep on in daemon or idle mode is a mistake!", ""},
		{"poll x defaults keep", "", `fetchmail: Error: multiple "defaults" records in config file, or "defaults" is not the first record.`},
		{"defaults user a user b", "", `fetchmail: Error: more than one user in the "defaults" record.`},
	} {
		_, warnings, err := understood(t, c.rc)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got := strings.Join(warnings, "\n"); got != c.warnings || text != c.err {
			t.Errorf("%s:\n%s\n%s\nwant\n%s\n%s", c.rc, got, text, c.warnings, c.err)
		}
	}
}

func TestInterface(t *testing.T) {
	for value, want := range map[string]string{
		"eth0/192.0.2.1": "", "eth0/192.0.2": "", "eth0/192.0.2.0/255.255.255.0": "", "eth0/0x7f.1": "", "/1.2.3.4 rest": "",
		"eth0": "missing IP interface address", "": "missing IP interface address",
		"eth0/": "invalid IP interface address", "eth0/a.b": "invalid IP interface address", "eth0/1.2.3.4.5": "invalid IP interface address",
		"eth0/256.1.1.1": "invalid IP interface address", "eth0/1.2.3.256": "invalid IP interface address",
		"eth0/1.2.3.4/": "invalid IP interface mask", "eth0/1.2.3.4/x": "invalid IP interface mask",
	} {
		if got := badInterface(value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

func TestPasswordsOfNetrc(t *testing.T) {
	netrc := func(host, login string) (string, bool) {
		return "from " + host + " for " + login, host == "v" || host == "x"
	}
	for rc, want := range map[string]string{
		"poll x user u":        "from x for u",
		"poll l via v user u":  "from v for u",
		"poll y user u":        "",
		"poll x user u pass p": "p",
		"poll x auth ssh":      "",
		"skip x user u":        "",
	} {
		f, err := Parse("rc", []byte(rc))
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := Resolve(f, nil, Env{User: "joe", Netrc: netrc})
		if err != nil {
			t.Fatal(err)
		}
		if u := c.Servers[0].Users[0]; u.Password != want || u.HasPassword != (want != "") {
			t.Errorf("%s: %q, %v", rc, u.Password, u.HasPassword)
		}
	}
}

// FuzzParse holds that no input makes the parser panic, that errors stand within the file and passwords stay hidden,
// and that what is accepted can be resolved and dumped.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../testdata/rc/bad/*.rc", "../testdata/rc/good/*.rc"} {
		files, _ := filepath.Glob(pattern)
		for _, path := range files {
			if src, err := os.ReadFile(path); err == nil {
				f.Add(src)
			}
		}
	}
	for _, seed := range []string{"", "poll x user u pass \"a\\x00\" is a=b * here", "set daemon=5", "defaults\npoll x no", "poll x\\", "#", "poll x user u nokeep\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		file, err := Parse("rc", src)
		if err != nil {
			errs, ok := err.(Errors)
			if !ok || len(errs) == 0 {
				t.Fatalf("%T %v", err, err)
			}
			lines := bytes.Count(src, []byte("\n")) + 1
			for _, e := range errs {
				if e.TrueLine < 1 || e.TrueLine > lines || e.Line > e.TrueLine || e.Column < 1 {
					t.Fatalf("line %d (%d) column %d of %d lines", e.TrueLine, e.Line, e.Column, lines)
				}
			}
			errs.Explain(&bytes.Buffer{})
			Check(CheckInput{Name: "rc", Source: src, ParseErr: err})
			return
		}
		c, warnings, err := Resolve(file, nil, Env{User: "joe", HostName: "h", RCDir: "/r"})
		Check(CheckInput{Name: "rc", Source: src, Config: c, Warnings: warnings, Refused: err})
		if err != nil {
			return
		}
		var a, b, v bytes.Buffer
		if c.Dump(&a) != nil || c.DumpJSON(&b) != nil || c.Report(&v, ReportEnv{Verbose: true}) != nil {
			t.Fatal("cannot be written")
		}
	})
}
