package rcfile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// reference runs fetchmail 6.4 as an ordinary user in a directory of its own.
type reference struct {
	bin, dir, home string
	user, host     string
	credential     *syscall.Credential
}

// findReference is a reference to compare with. Without one the test is skipped, in CI it fails.
func findReference(t testing.TB) *reference {
	t.Helper()
	bin := "/usr/bin/fetchmail"
	if out, err := exec.Command(bin, "-V").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("fetchmail release 6.4")) {
		if os.Getenv("CI") != "" {
			t.Fatalf("no fetchmail 6.4 at %s to compare with", bin)
		}
		t.Skipf("no fetchmail 6.4 at %s to compare with", bin)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	r := &reference{bin: bin, user: me.Username}
	if os.Getuid() == 0 {
		for _, name := range []string{"fmtest", "nobody"} {
			u, err := user.Lookup(name)
			if err != nil {
				continue
			}
			uid, _ := strconv.Atoi(u.Uid)
			gid, _ := strconv.Atoi(u.Gid)
			r.user, r.credential = name, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
			break
		}
	}
	if r.dir, err = os.MkdirTemp("", "rcfile"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(r.dir) })
	r.home = filepath.Join(r.dir, "home")
	if err := os.Mkdir(r.home, 0o755); err != nil {
		t.Fatal(err)
	}
	os.Chmod(r.dir, 0o755)
	r.own(t, r.home)
	dump := r.run(t, 0, []byte("poll x proto etrn"), "--configdump")
	if m := regexp.MustCompile(`"fetchdomains":\["(.*?)"\]`).FindStringSubmatch(dump.out); m != nil {
		r.host = m[1]
	}
	return r
}

func (r *reference) own(t testing.TB, path string) {
	if r.credential == nil {
		return
	}
	if err := os.Chown(path, int(r.credential.Uid), int(r.credential.Gid)); err != nil {
		t.Fatal(err)
	}
}

// answer is what a program says about a run control file.
type answer struct {
	code     int
	out, err string
}

func (r *reference) rc(slot int) string { return filepath.Join(r.dir, "rc"+strconv.Itoa(slot)) }

// controlEscape is how the reference dumps control characters, which is no Python.
var controlEscape = regexp.MustCompile(`\\0x([01][0-9a-f])`)

var featureLine = regexp.MustCompile(`(?m)^feature_options = .*$`)

func (r *reference) run(t testing.TB, slot int, rc []byte, args ...string) answer {
	t.Helper()
	path := r.rc(slot)
	if err := os.WriteFile(path, rc, 0o600); err != nil {
		t.Fatal(err)
	}
	r.own(t, path)
	cmd := exec.Command(r.bin, append([]string{"-f", path}, args...)...)
	cmd.Dir = r.home
	cmd.Env = []string{"HOME=" + r.home, "USER=" + r.user, "LOGNAME=" + r.user, "PATH=/usr/bin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.credential}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	text := featureLine.ReplaceAllString(out.String(), "")
	text = controlEscape.ReplaceAllString(text, `\x$1`)
	if i := strings.Index(text, "Taking options from"); i >= 0 {
		text = text[i:]
	} else if strings.HasPrefix(text, "This is fetchmail") {
		text = ""
	}
	return answer{cmd.ProcessState.ExitCode(), text, strings.TrimSuffix(errOut.String(), "\n")}
}

// ours gives our answer without starting a program.
func (r *reference) ours(slot int, rc []byte, args ...string) (a answer, cfg *Config) {
	line, err := ParseArgs(args)
	if err != nil {
		return answer{5, "", err.Error()}, nil
	}
	file, err := Parse(r.rc(slot), rc)
	if err != nil {
		return answer{5, "", err.Error()}, nil
	}
	cfg, warnings, err := Resolve(file, line, Env{
		User: r.user, IDFile: r.home + "/.fetchids", PIDFile: r.home + "/.fetchmail.pid", Dir: r.home, RCDir: r.dir, HostName: r.host,
		LookupService: func(name string) bool { _, err := net.LookupPort("tcp", name); return err == nil },
		LogFile:       func(string) (bool, bool) { return false, false },
	})
	a.err = strings.Join(warnings, "\n")
	if err != nil {
		a.err = strings.TrimPrefix(a.err+"\n"+err.Error(), "\n")
		a.code = err.(*Refusal).Code
		return a, nil
	}
	var out bytes.Buffer
	if line.Version {
		err = cfg.Report(&out, ReportEnv{RCFile: r.rc(slot), CertFile: "/usr/lib/ssl/cert.pem", CertPath: "/usr/lib/ssl/certs", Verbose: line.Verbose > 0})
		if len(cfg.Servers) == 0 {
			a.err = strings.TrimPrefix(a.err+"\nNo mailservers set up -- perhaps "+r.rc(slot)+" is missing?", "\n")
		}
	} else {
		err = cfg.Dump(&out)
	}
	if err != nil {
		a.err += err.Error()
	}
	a.out = featureLine.ReplaceAllString(out.String(), "")
	return a, cfg
}

// TestReference asks the reference and us about generated files. RCFILE_COUNT and RCFILE_SEED (a number, or "new") change
// how many and which; a plain run has always the same files.
func TestReference(t *testing.T) {
	r := findReference(t)
	count, seed := 2000, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("RCFILE_COUNT")); err == nil {
		count = n
	}
	if n, err := strconv.ParseUint(os.Getenv("RCFILE_SEED"), 10, 64); err == nil {
		seed = n
	} else if os.Getenv("RCFILE_SEED") == "new" {
		seed = rand.Uint64()
	}
	t.Logf("%d files, seed %d", count, seed)
	var wait sync.WaitGroup
	var mu sync.Mutex
	failures, skipped, refused := 0, 0, 0
	jobs := make(chan int)
	for slot := range 3 {
		wait.Go(func() {
			for i := range jobs {
				g := &generator{rand.New(rand.NewPCG(seed, uint64(i)))}
				rc := g.file()
				args := []string{"--configdump"}
				if i%8 == 7 {
					args = []string{"-V"}
				} else if i%8 == 3 {
					args = []string{"-V", "-v"}
				}
				if g.chance(25) {
					args = append(args, g.arguments()...)
				}
				want := r.run(t, slot, rc, args...)
				got, cfg := r.ours(slot, rc, args...)
				mu.Lock()
				switch {
				case want == got:
					if want.code != 0 {
						refused++
					}
				case deviates(rc, want, got, cfg):
					skipped++
				default:
					if failures++; failures <= 5 {
						t.Errorf("file %d, %v:\n%s\n%s", i, args, rc, compare(want, got))
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range count {
		jobs <- i
	}
	close(jobs)
	wait.Wait()
	t.Logf("%d files, %d refused by both, %d differ on purpose, %d differ", count, refused, skipped, failures)
	if skipped > count/5 {
		t.Errorf("%d of %d files differ on purpose: the generator tests too little", skipped, count)
	}
	if refused < count/20 || refused > count*2/3 {
		t.Errorf("%d of %d files are refused: the generator tests one side only", refused, count)
	}
}

// deviates tells whether answers differ where we differ from the reference on purpose: doc/differences.md.
func deviates(rc []byte, want, got answer, cfg *Config) bool {
	if want.code == 5 { // a word of later releases, or ours, as an option
		near := want.err[strings.LastIndexByte(want.err, ' ')+1:]
		if o := table().words[strings.TrimPrefix(near, "no")]; o != nil && o.New || strings.HasPrefix(near, "#") {
			return true
		}
	}
	if want.code == 5 && got.code == 5 && ownWordBehindUser(rc) {
		return true // both refuse the file, the reference where the list of names ends, which lacks its "here"
	}
	if last := rc[bytes.LastIndexByte(rc, '\n')+1:]; bytes.Contains(last, []byte("#")) {
		return true // a comment that is not ended, which the reference reads as words
	}
	if cfg != nil {
		if cfg.PollInterval > 0 && strings.HasSuffix(want.err, "fetchmail: Error: idle mode does not work for multiple folders or accounts!") {
			return true // our daemon waits in each of them
		}
		for _, s := range cfg.Servers {
			for _, u := range s.Users {
				if slices.ContainsFunc(u.LocalNames, func(m Mapping) bool { return len(m.Remote) > 60 }) {
					return true // cut in the reference's dump
				}
			}
		}
	}
	switch {
	case strings.Contains(want.out, `\0x`): // bytes above 0x7e, which the reference does not dump as they are
		return true
	case want.code < 0, unsets.Match(rc): // the reference crashed
		return true
	case strings.Contains(got.err, "number out of range"), strings.Contains(got.err, `more than one user in the "defaults"`):
		return true
	}
	return false
}

// ownWordBehindUser tells whether user NAME is followed by one of our options, or one of later releases, which fetchmail
// 6.4 takes as one name more.
func ownWordBehindUser(rc []byte) bool {
	s := newScanner(string(rc))
	for before, t := (token{}), s.next(); t.kind != tokEOF; before, t = t, s.next() {
		if before.kind != tokKeyword || before.value != "user" && before.value != "username" {
			continue
		}
		t = s.next()
		if o := table().words[strings.TrimPrefix(t.value, "no")]; t.kind == tokWord && o != nil && o.New {
			return true
		}
	}
	return false
}

// unsets finds what sets an option in the reference although there is a "no" before it.
var unsets = regexp.MustCompile(`\bno\s+(showdots|tracepolls)`)

func compare(want, got answer) string {
	var b strings.Builder
	if want.code != got.code {
		fmt.Fprintf(&b, "exit status: reference %d, ours %d\n", want.code, got.code)
	}
	if want.err != got.err {
		fmt.Fprintf(&b, "stderr: reference %q\n          ours    %q\n", want.err, got.err)
	}
	w, g := strings.Split(want.out, "\n"), strings.Split(got.out, "\n")
	for i := range max(len(w), len(g)) {
		var x, y string
		if i < len(w) {
			x = w[i]
		}
		if i < len(g) {
			y = g[i]
		}
		if x != y {
			fmt.Fprintf(&b, "line %d: reference %q\n          ours    %q\n", i+1, x, y)
			break
		}
	}
	return b.String()
}

// generator makes run control files from the option table.
type generator struct{ *rand.Rand }

func (g *generator) one(list ...string) string { return list[g.IntN(len(list))] }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

// file makes a file: mostly a legal one, some with one or two tokens removed, doubled, exchanged or added.
func (g *generator) file() []byte {
	if g.chance(12) {
		return g.soup()
	}
	var tokens []string
	if g.chance(15) {
		tokens = append(tokens, g.defaults()...)
	}
	for range g.IntN(4) {
		if g.chance(40) {
			tokens = append(tokens, g.set()...)
		} else {
			tokens = append(tokens, g.entry()...)
		}
	}
	for g.chance(22) && len(tokens) > 1 {
		tokens = g.mutate(tokens)
	}
	return g.layout(tokens)
}

// soup makes an entry with all kinds of characters where strings stand.
func (g *generator) soup() []byte {
	var b bytes.Buffer
	b.WriteString(g.one("poll ", "poll x\nuser ", "poll x user u password ", "poll x user u is ", "poll x user u folder ", "set postmaster ", "poll x via ", ""))
	for range 1 + g.IntN(12) {
		b.WriteString(g.one("a", "b", "user", "keep", " ", " ", "\n", "\r\n", "\t", `"`, `"`, "'", "'", `\`, `\\`, "=", ",", ";", ":", "#", "0", "7", "65", "x41", "n", "-", "*",
			"here ", "there ", "is ", "no", "nokeep ", "with ", "\f", "\v", `\x`, `\0`, `\1`, "%", "@"))
	}
	b.WriteString(g.one(" keep\n", "\n", " here fetchall\n", "\nport 5 timeout\n"))
	return b.Bytes()
}

func (g *generator) mutate(tokens []string) []string {
	i, j := g.IntN(len(tokens)), g.IntN(len(tokens))
	switch g.IntN(4) {
	case 0:
		return append(tokens[:i:i], tokens[i+1:]...)
	case 1:
		return append(tokens[:i+1:i+1], tokens[i:]...)
	case 2:
		tokens[i], tokens[j] = tokens[j], tokens[i]
		return tokens
	}
	extra := g.one("keep", "here", "there", "no", "is", "to", "user", "=", "*", "5", "foo", "set", "poll", "defaults", "uidl", "\"", "password", "auth", "any",
		"#x", "-1", "nokeep", "envelope", "\\", "skip", "via", "auto", "folder", "nodns", "mimedec")
	return append(tokens[:i:i], append([]string{extra}, tokens[i:]...)...)
}

// layout puts blanks, line ends, comments, noise and punctuation between tokens.
func (g *generator) layout(tokens []string) []byte {
	var b bytes.Buffer
	for _, token := range tokens {
		b.WriteString(token)
		switch g.IntN(24) {
		case 0, 1:
			b.WriteString("\n")
		case 2:
			b.WriteString(" # " + g.one("comment", "poll x", "\"", "it's", "") + "\n")
		case 3:
			b.WriteString(g.one(",", ";", ":", " , ", "\t", "\r\n", "  ", "\n\n", " \\\n ") + " ")
		case 4:
			b.WriteString(" " + g.one("and", "with", "has", "wants", "options") + " ")
		default:
			b.WriteString(" ")
		}
	}
	if b.Len() > 0 && g.chance(80) {
		b.WriteString("\n")
	}
	return b.Bytes()
}

func (g *generator) set() []string {
	rows := table().scope[Global]
	o := rows[g.IntN(len(rows))]
	if o.New {
		return nil
	}
	tokens := []string{"set"}
	if o.negatable && o.Name != "showdots" && g.chance(40) {
		tokens = append(tokens, "no")
	}
	tokens = append(tokens, g.one(o.Words...))
	if o.Kind != Flag && g.chance(20) {
		tokens = append(tokens, "=")
	}
	return append(tokens, g.value(o)...)
}

func (g *generator) defaults() []string {
	tokens := append([]string{"defaults"}, g.options(PerServer, 3)...)
	if g.chance(60) {
		if g.chance(50) {
			tokens = append(tokens, g.account()...)
		} else {
			tokens = append(tokens, g.options(PerUser, 4)...)
		}
	}
	return tokens
}

func (g *generator) entry() []string {
	tokens := []string{g.one("poll", "poll", "poll", "skip", "server"), g.string()}
	tokens = append(tokens, g.options(PerServer, 5)...)
	if g.chance(15) {
		return append(tokens, g.options(PerUser, 4)...)
	}
	for range 1 + g.IntN(2) {
		tokens = append(tokens, g.account()...)
	}
	return tokens
}

func (g *generator) account() []string {
	tokens := []string{g.one("user", "user", "username")}
	switch g.IntN(5) {
	case 0:
		tokens = append(tokens, g.names()...)
		tokens = append(tokens, "here")
		if g.chance(50) {
			tokens = append(tokens, "is", g.name(), "there")
		}
	case 1:
		tokens = append(tokens, g.name(), "there")
	default:
		tokens = append(tokens, g.name())
	}
	return append(tokens, g.options(PerUser, 7)...)
}

func (g *generator) names() []string {
	tokens := []string{g.name()}
	for g.chance(40) {
		if g.chance(30) {
			tokens = append(tokens, "=", g.name())
		} else {
			tokens = append(tokens, g.string())
		}
	}
	if g.chance(10) {
		tokens = append(tokens, "*")
	}
	return tokens
}

// name is a string where even a keyword is one.
func (g *generator) name() string {
	if g.chance(15) {
		return g.one("keep", "user", "10", "-5", "is", "here", "no", "nokeep", "with", "poll", "set", "auto", "any")
	}
	return g.string()
}

// string is a string in one of the ways to write it. Bytes that the reference dumps wrongly are left out.
func (g *generator) string() string {
	plain := g.one("joe", "joe@example.org", "mail.example.org", "a/25", "/usr/bin/x", "INBOX.Sent", "x%Ty", "maildir", "search", "jobs", "mbox",
		"Received", "tls1.2+", "a+b", "5k", "[192.0.2.1]", "*", "it's", "~/x", "user@", "$HOME", "a#b", "Keep", "defaultsx", "noserver", "a\"b")
	switch g.IntN(10) {
	case 0, 1, 2:
		return `"` + strings.ReplaceAll(plain, `"`, "") + `"`
	case 3:
		return `'` + strings.ReplaceAll(plain, `'`, "") + `'`
	case 4:
		return `"` + g.one("a b", "keep", "10", "", "a=b,c", "x\\\ny", "x\ny", "\\x41\\65\\0101\\n\\t", "\\q\\\\", "it's", "\\x41g\\1234") + `"`
	case 5:
		return g.one("a\\x41b", "\\65", "x\\0101y", "a\\\\b", "\\'q", "x\\", "\"a b\"", "'a b'", "\"", "'")
	}
	return plain
}

// options makes up to n options of a scope.
func (g *generator) options(scope Scope, n int) (tokens []string) {
	rows := table().scope[scope]
	for range g.IntN(n + 1) {
		o := rows[g.IntN(len(rows))]
		if o.New || o.Words == nil || o.Name == "username" {
			continue
		}
		word := g.one(o.Words...)
		if o.negatable && o.Name != "tracepolls" && g.chance(30) {
			if o.joined && word != "pass8" && word != "mimedec" && g.chance(50) {
				tokens = append(tokens, "no"+word)
			} else {
				tokens = append(tokens, "no", word)
			}
			if o.Kind == Flag || o.Name == "envelope" {
				continue
			}
		} else {
			tokens = append(tokens, word)
		}
		tokens = append(tokens, g.value(o)...)
	}
	return tokens
}

func (g *generator) number() string {
	return g.one("0", "1", "5", "25", "110", "007", "-1", "-5", "100", "2147483647", "571", "99999")
}

func (g *generator) value(o *Option) (tokens []string) {
	switch o.Kind {
	case Number:
		return []string{g.number()}
	case Text, Path:
		if o.Name == "password" {
			return []string{g.name()}
		}
		if o.Name == "interface" {
			return []string{g.one("eth0/192.0.2.1", "ppp0/192.0.2.0/255.255.255.0", g.string())}
		}
		return []string{g.string()}
	case Strings:
		for range 1 + g.IntN(3) {
			tokens = append(tokens, g.string())
		}
	case Numbers:
		for range 1 + g.IntN(3) {
			tokens = append(tokens, g.number())
		}
	case Choice:
		for {
			word := g.one(o.Choices...)
			switch {
			case word == "external", o.Name == "auth" && (meanings()[word] == nil || meanings()[word].what != reserved), word == "apop" && o.Name == "auth":
				continue
			case o.Name == "protocol" && g.chance(30):
				word = strings.ToUpper(word)
			}
			return []string{word}
		}
	case Skip:
		if g.chance(30) {
			tokens = append(tokens, g.number())
		}
		tokens = append(tokens, g.string())
	case Service:
		return []string{g.one("110", "pop3s", "\"imap\"", "25", "smtp", g.number(), g.string())}
	case Port:
		return []string{g.number()}
	case Names:
		tokens = g.names()
		if g.chance(60) {
			tokens = append(tokens, "here")
		}
	}
	return tokens
}

// arguments makes options and server names for the command line. Usage errors are left out: there the reference shows
// its help.
func (g *generator) arguments() (args []string) {
	sink, sinks := false, []string{"smtphost", "mda", "bsmtp"}
	for range 1 + g.IntN(4) {
		f := flagList()[g.IntN(len(flagList()))]
		if f.o.Scope == CommandLineOnly || f.o.New || sink && slices.Contains(sinks, f.o.Name) || f.o.Name == "pidfile" || f.o.Name == "logfile" {
			continue
		}
		sink = sink || slices.Contains(sinks, f.o.Name)
		name := "--" + g.one(f.names...)
		short := f.short != "" && g.chance(40)
		if short {
			name = "-" + f.short
		}
		value, takes := g.argument(f)
		switch {
		case !takes:
			args = append(args, name)
		case short && value != "" && g.chance(50):
			args = append(args, name+value)
		case !short && g.chance(50):
			args = append(args, name+"="+value)
		default:
			args = append(args, name, value)
		}
	}
	if g.chance(30) {
		args = append(args, g.one("joe", "mail.example.org", "other.example.org"))
	}
	return args
}

func (g *generator) argument(f flagHelp) (value string, takes bool) {
	switch f.o.Kind {
	case Flag:
		return "", false
	case Number:
		return g.one("0", "1", "5", "0x10", "010", "100"), true
	case Numbers:
		return g.one("571", "1,2,3", "550,,551"), true
	case Strings:
		return g.one("a", "a,b", "a/24,b/2525", "/x"), true
	case Service, Port:
		return g.one("110", "pop3", "995", "0"), true
	case Choice:
		for {
			word := g.one(f.o.Choices...)
			if word == "external" || f.o.Name == "auth" && ((meanings()[word] == nil || meanings()[word].what != reserved) || word == "apop" || word == "cram") {
				continue
			}
			return word, true
		}
	}
	if f.o.Name == "interface" {
		return "eth0/192.0.2.1", true
	}
	return g.one("joe", "/x/y", "a b", "", "x%T", "rel/x"), true
}
