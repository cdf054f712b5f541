package rcfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// checked runs --configcheck over a text and writes what it finds as LINE:COLUMN SEVERITY MESSAGE.
func checked(t *testing.T, rc string, mode fs.FileMode) []string {
	t.Helper()
	in := CheckInput{Name: "rc", Source: []byte(rc), Info: info{mode}}
	f, err := Parse("rc", in.Source)
	if err != nil {
		in.ParseErr = err
	} else {
		in.Config, in.Warnings, in.Refused = Resolve(f, nil, Env{User: "joe", RCDir: "/rc"})
	}
	var b bytes.Buffer
	if err := WriteFindings(&b, Check(in), false); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if !strings.HasPrefix(l, "    hint: ") && l != "" {
			lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(l, "rc:"), " "))
		}
	}
	return lines
}

type info struct{ mode fs.FileMode }

func (i info) Name() string       { return "rc" }
func (i info) Size() int64        { return 0 }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }

func TestCheck(t *testing.T) {
	for _, c := range []struct{ rc, want string }{
		{"poll x proto imap user u pass p ssl", ""},
		{"poll x proto imap port 993 user u pass p",
			"warning: x configuration invalid, you normally need --ssl for port 993/service imaps.|1:19: warning: port is deprecated"},
		{"poll x proto pop3\n  user u folder f", "2:10: warning: folder has no effect with this protocol"},
		{"poll x proto imap uidl user u", ""},
		{"poll x proto pop3 user u pass p sslproto '' keep", "1:33: warning: sslproto '' sends the password in clear|" +
			"1:45: warning: keep with POP3 needs uidl to tell old messages from new ones"},
		{"poll x proto imap user u sslproto '' sslmode wrapped", ""},
		{"poll x proto imap user u sslmode none", "1:26: warning: sslmode none sends the password in clear"},
		{"poll localhost proto imap user u sslproto '' no sslcertck", ""},
		{"poll x via 127.0.0.2 proto imap user u sslproto ''\npoll y via '::1' proto imap user u sslmode none", ""},
		{"poll x proto imap plugin 'ssh %h nc localhost %p' user u sslproto ''", ""},
		{"poll x proto etrn uidl", "1:19: warning: uidl has no effect with ETRN"},
		{"poll x proto pop3 user u keep", "1:26: warning: keep with POP3 needs uidl to tell old messages from new ones"},
		{"poll x proto pop3 uidl user u keep", ""},
		{"poll x proto imap user u\npoll y via x proto imap user u", "2:25: warning: user u at x comes twice"},
		{"poll x proto imap user u no sslcertck", "1:29: warning: the server is not checked: anybody on the way can read the mail and the password"},
		{"poll x proto imap user u user v sslproto 'ssl3'", "1:33: warning: sslproto asks for a protocol that is not safe any more"},
		{"poll x proto imap user u sslcert ~/c", `1:26: warning: sslcert: "~" does not mean the home directory here`},
		{"poll x proto imap user u mda \"sendmail -t '%T'\"", `1:26: warning: mda: do not put %T or %F in quotes: they are quoted already|` +
			"1:26: warning: mda: this program takes the recipients from the header, which makes mail loops"},
		{"poll x proto imap user u is l maildir M", `warning: multidrop for x requires envelope option!|1:31: warning: "maildir" is one more element of the list before it, no option`},
		{"poll x proto imap user u is l here maildir M", ""},
		{`poll x proto imap user u pass "a"b`, "1:31: warning: the quotes are part of this unquoted string"},
		{`poll x proto imap user u pass a\b`, "1:31: warning: a backslash in an unquoted string begins an escape"},
		{`poll x proto imap user u folder "a b"c`, "1:38: warning: a quoted string ends directly before this"},
		{`poll x proto imap user "u" is "r"="l" here`, ""},
		{"poll x proto imap user u pass “p”", "1:31: warning: typographic quotes are part of the string"},
		{"poll x proto imap user u smtphost 'h:25'", "1:26: warning: smtphost: a port stands behind a slash"},
		{"poll x proto imap user u smtphost '[::1]/25'", ""},
		{"poll x proto imap user u mda cat maildir M", "1:26: warning: mda: mail can go to one place only, and another one is given, too|" +
			"1:34: warning: maildir: mail can go to one place only, and another one is given, too"},
		{"poll x service nosuch user u", "error: getaddrinfo(NULL, \"nosuch\") error: Servname not supported for ai_socktype|" +
			"error: Cannot resolve service nosuch to port number.|error: Please specify the service as decimal port number.|" +
			"error: x configuration invalid, specify positive port number for service or port"},
		{"poll x proto imap aka y user u", "1:19: warning: aka has an effect in multidrop mode only"},
		{"poll x proto etrn user u keep limit 5", "1:26: warning: keep has no effect with this protocol|1:31: warning: limit has no effect with this protocol"},
		{"set daemon 9 poll x proto imap maxconnections 2 user u idle folder a, b, c",
			"1:32: warning: maxconnections does not count the 3 connections that idle keeps open in a daemon"},
		{"set daemon 9 poll x proto imap maxconnections 3 user u idle folder a, b, c user v", ""},
		{"set daemon 9 poll x proto imap user u idle folder a, b, c, d, e", ""},
		{"poll x proto imap user u keep fetchall", "1:31: warning: fetchall with keep fetches every message at every poll"},
		{"poll x proto imap user u smtphost h maildir M", `1:37: warning: "maildir" is one more element of the list before it, no option`},
		{"poll x proto imap user u maildir M smtphost h", "1:36: warning: smtphost has no effect: an MDA, a file or a mailbox is given, too"},
		{"poll x proto foo\npoll y bar", "1:14: error: syntax error at foo|2:8: error: syntax error at bar"},
		{"poll x proto imap user u lmtp", "error: x configuration invalid, LMTP can't use default SMTP port"},
	} {
		got := checked(t, c.rc, 0o600)
		want := strings.Split(c.want, "|")
		if c.want == "" {
			want = nil
		}
		ok := len(got) == len(want)
		for i := range min(len(got), len(want)) {
			ok = ok && got[i] == want[i]
		}
		if !ok {
			t.Errorf("%s:\n%s\nwant\n%s", c.rc, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if got := checked(t, "", fs.ModeDir|0o755); len(got) != 1 || got[0] != "error: File rc must be a regular file." {
		t.Errorf("a folder: %q", got)
	}
	if got := checked(t, "poll x", 0o644); len(got) != 1 || !strings.Contains(got[0], "error: the file is open to others") {
		t.Errorf("mode 0644: %q", got)
	}
}

func TestFindingsAsJSON(t *testing.T) {
	_, err := Parse("rc", []byte("poll x proto foo"))
	found := Check(CheckInput{Name: "rc", Source: []byte("poll x proto foo"), ParseErr: err})
	var b bytes.Buffer
	if err := WriteFindings(&b, found, true); err != nil {
		t.Fatal(err)
	}
	var back []Finding
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || len(back) != 1 || back[0] != found[0] || !Failed(back) {
		t.Errorf("%v: %s", err, b.String())
	}
	b.Reset()
	if err := WriteFindings(&b, nil, true); err != nil || strings.TrimSpace(b.String()) != "[]" || Failed(nil) {
		t.Errorf("nothing found: %s", b.String())
	}
}

func TestCheckFile(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{
		0o600: "", 0o700: "", 0o400: "",
		0o640:              "File rc must have no more than -rwx------ (0700) permissions.",
		0o710:              "File rc must have no more than -rwx------ (0700) permissions.",
		0o601:              "File rc must have no more than -rwx------ (0700) permissions.",
		fs.ModeDir | 0o700: "File rc must be a regular file.",
		fs.ModeNamedPipe:   "File rc must be a regular file.",
	} {
		err := CheckFile("rc", info{mode})
		var refused *Refusal
		if want == "" && err != nil || want != "" && (!errors.As(err, &refused) || err.Error() != want || refused.Code != 6) {
			t.Errorf("%v: %v, want %s", mode, err, want)
		}
	}
	if err := CheckFile("/dev/null", info{fs.ModeDevice | 0o666}); err != nil {
		t.Error(err)
	}
}

func TestLocate(t *testing.T) {
	dirs := fstest.MapFS{"home/joe": {Mode: fs.ModeDir}, "etc/joe": {Mode: fs.ModeDir}, "fm": {Mode: fs.ModeDir}}
	at := func(uid int, env map[string]string) (Places, error) {
		return Locate(Surroundings{
			Getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
			RealPath: func(dir string) (string, error) {
				if st, err := fs.Stat(dirs, strings.TrimPrefix(dir, "/")); err != nil || !st.IsDir() {
					return "", fs.ErrNotExist
				}
				return dir, nil
			},
			LookupUser: func(name string) (int, bool) {
				return map[string]int{"joe": 5, "jack": 5, "root": 0}[name], name != "nobody"
			},
			Passwd: func(uid int) (string, string, bool) { return "joe", "/home/joe", true },
			UID:    uid,
		})
	}
	for _, c := range []struct {
		env  map[string]string
		want Places
	}{
		{nil, Places{"joe", "/home/joe", "/home/joe/.fetchmailrc", "/home/joe/.fetchids", "/home/joe/.fetchmail.pid", "/home/joe/.netrc"}},
		{map[string]string{"HOME_ETC": "/etc/joe", "HOME": "/home/joe"},
			Places{"joe", "/etc/joe", "/etc/joe/.fetchmailrc", "/etc/joe/.fetchids", "/etc/joe/.fetchmail.pid", "/etc/joe/.netrc"}},
		{map[string]string{"FETCHMAILHOME": "/fm", "LOGNAME": "jack"},
			Places{"jack", "/home/joe", "/fm/fetchmailrc", "/fm/.fetchids", "/fm/fetchmail.pid", "/home/joe/.netrc"}},
		{map[string]string{"LOGNAME": "root", "USER": "jack"},
			Places{"jack", "/home/joe", "/home/joe/.fetchmailrc", "/home/joe/.fetchids", "/home/joe/.fetchmail.pid", "/home/joe/.netrc"}},
	} {
		if got, err := at(5, c.env); err != nil || got != c.want {
			t.Errorf("%v: %v %v", c.env, got, err)
		}
	}
	for variable, want := range map[string]string{
		"HOME": "fetchmail: Cannot find absolute path for user's home directory.", "FETCHMAILHOME": "fetchmail: Cannot find absolute path for fetchmail's home directory.",
	} {
		for _, dir := range []string{"", "/absent"} {
			if _, err := at(5, map[string]string{variable: dir}); err == nil || err.Error() != want {
				t.Errorf("%s=%s: %v", variable, dir, err)
			}
		}
	}
	if p, err := at(0, nil); err != nil || p.PIDFile != "/var/run/fetchmail.pid" {
		t.Errorf("root: %v %v", p, err)
	}
	for rc, dir := range map[string]string{"-": "", "/a/b/rc": "/a/b", "/rc": "/", "rc": "."} {
		if got := RCDir(rc); got != dir {
			t.Errorf("RCDir(%s) = %s", rc, got)
		}
	}
}

func TestDumpAsJSON(t *testing.T) {
	c, _, err := understood(t, "set postmaster pm poll x envelope E user u pass \"p\\xe9\\n\" is a=b c * here antispam 1 2 poll y auth ssh poll z no envelope")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.DumpJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Postmaster string
		Logfile    *string
		Servers    []struct {
			Pollname string
			Envelope *string
			Timeout  int
			Users    []struct {
				Password   *string
				Localnames []any
				Antispam   []int
				Keep       bool
				Rewrite    bool
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	u := back.Servers[0].Users[0]
	if back.Postmaster != "pm" || back.Logfile != nil || len(back.Servers) != 3 || *u.Password != "p\u00e9\n" || len(u.Antispam) != 2 || !u.Rewrite ||
		len(u.Localnames) != 3 || *back.Servers[1].Users[0].Password != "joe" || back.Servers[2].Envelope != nil || *back.Servers[0].Envelope != "E" {
		t.Errorf("%s", b.String())
	}
}
