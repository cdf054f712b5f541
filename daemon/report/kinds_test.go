package report

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"fetchmail/daemon/poll"
	"fetchmail/deliver"
	"fetchmail/protocols"
	"fetchmail/protocols/wire"
)

// evil is what a server, a message or a name service may try to get into a log: terminal commands in C0 and C1, forged
// lines, direction changes, broken UTF-8, and far too much of everything.
var evil = "x\x1b]0;title\x07\x1b[2J\r\nfetchmail: forged\n\u009b31m\u202etxt\u2066\u200b\xff\xfe\x00" + strings.Repeat("y", 5000)

// evilEvents has every kind of event with evil in each text.
func evilEvents() []poll.Event {
	a := poll.Account{Label: evil, Host: evil, User: evil}
	err := errors.New(evil)
	fault := func(kind protocols.Kind, phase protocols.Phase) poll.Event {
		return poll.Failed{Account: a, Protocol: "IMAP", Sink: evil, Timeout: 3, Err: &protocols.Fault{Kind: kind, Phase: phase, Reply: evil, Err: err, Detail: []string{evil}}}
	}
	reply := deliver.Status{To: evil, Stage: deliver.AtRcpt, Class: deliver.Refused, Reply: deliver.Reply{Code: 550, Text: "550-" + strings.ReplaceAll(evil, "\n", "\n550-")}}
	events := []poll.Event{
		poll.Started{Account: a, Protocol: "IMAP"}, poll.Counted{Account: a, Folder: evil, Total: 3, Seen: 1, Octets: 9}, poll.Counted{Account: a, Folder: evil},
		poll.Reading{Account: a, Num: 1, Total: 3, Header: 10, Size: 20, Read: 10}, poll.Body{Octets: 10}, poll.Progress{Text: []byte(evil)}, poll.Done{Flushed: true},
		poll.Reading{Account: a, Num: 2, Total: 3, Header: -1, Size: 20}, poll.BadHeader{Line: evil}, poll.Done{},
		poll.Reading{Account: a, Num: 3, Total: 3, Header: -1, Size: 20}, poll.Retained{},
		poll.Skipped{Account: a, Num: 1, Size: 7, Oversized: true}, poll.Limited{Account: a, Limit: 1, Left: 2},
		poll.Unavailable{Account: a, Num: 1, Size: 7, Err: err}, poll.Answered{Sink: evil, Status: reply}, poll.Answered{Sink: evil, LMTP: true, Status: reply},
		poll.Forwarded{Postmaster: evil}, poll.NoReceiver{Postmaster: evil}, poll.TextRefused{Sink: evil}, poll.Bounced{To: evil}, poll.Bounced{To: evil, Err: err},
		poll.Filed{Folder: evil}, poll.Filed{Folder: evil, Err: err}, poll.Restored{Account: a}, poll.Unsent{To: evil, Err: err},
		poll.Idling{Account: a, Folder: evil, On: true}, poll.Idling{Account: a, Folder: evil}, poll.Warned{Text: evil}, poll.Undecided{Account: a},
		poll.Failed{Account: a, Sink: evil, Err: &deliver.Fault{Kind: deliver.Unreachable, Err: err, Detail: []string{"name 0: " + evil, evil}}},
		poll.Failed{Account: a, Sink: evil, Err: &deliver.Fault{Kind: deliver.Local, Err: err}},
		poll.Failed{Account: a, Err: &poll.DNSError{Label: evil, Host: evil, Err: err}}, poll.Failed{Account: a, Err: &poll.LedgerError{Err: err}},
		poll.Failed{Account: a, Err: err}, poll.Failed{Account: a, Err: &poll.HookError{When: "pre", Err: err}},
		poll.Failed{Account: a, Protocol: "IMAP", Err: &protocols.Fault{Kind: protocols.Socket, Phase: protocols.Connecting, Err: &wire.DialError{Host: evil, Service: evil,
			Attempts: []wire.Attempt{{IP: evil, Port: evil, Err: err}}}}},
	}
	for kind := range protocols.Unavailable + 1 {
		for _, phase := range []protocols.Phase{protocols.Connecting, protocols.Opening, protocols.LoggingIn, protocols.Fetching, protocols.InMessage, protocols.Finishing} {
			events = append(events, fault(kind, phase))
		}
	}
	return append(events, poll.Finished{Account: a, Protocol: "IMAP", Status: poll.Socket})
}

// TestEveryKindOfEventIsTried keeps evilEvents complete: it is compared with the source of package poll.
func TestEveryKindOfEventIsTried(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "../poll/events.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	for _, e := range evilEvents() {
		tried[reflect.TypeOf(e).Name()] = true
	}
	n := 0
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "event" {
			continue
		}
		n++
		if name := fn.Recv.List[0].Type.(*ast.Ident).Name; !tried[name] {
			t.Errorf("no event of kind %s is tried", name)
		}
	}
	if n == 0 {
		t.Error("no kinds of events were found")
	}
}

// harmless tells what is wrong with text for a log or a terminal; "" if nothing is. SMTP answers of several lines keep
// CRLF between them, as in the reference.
func harmless(s string) string {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			return "invalid UTF-8"
		case r == '\r' && strings.HasPrefix(s, "\r\n"), r == '\n', r == '\t':
		case !unicode.IsPrint(r):
			return string([]rune{'U', '+'}) + strings.ToUpper(hex(r))
		}
		s = s[n:]
	}
	return ""
}

func hex(r rune) string {
	const digits = "0123456789abcdef"
	var b []byte
	for shift := 12; shift >= 0; shift -= 4 {
		b = append(b, digits[r>>shift&15])
	}
	return string(b)
}

// TestNothingFromOutsideHarmsTheLog sends hostile text through every kind of event in every form of the log.
func TestNothingFromOutsideHarmsTheLog(t *testing.T) {
	for _, form := range []struct {
		name string
		set  func(*Reporter)
	}{
		{"classic", func(*Reporter) {}},
		{"verbose", func(r *Reporter) { r.Verbose = 3 }},
		{"silent", func(r *Reporter) { r.Silent = true }},
		{"dots", func(r *Reporter) { r.Dots = true }},
		{"log file", func(r *Reporter) { r.Prefix = true }},
		{"JSON", func(r *Reporter) { r.JSON = true }},
		{"JSON, verbose", func(r *Reporter) { r.JSON, r.Verbose = true, 3 }},
	} {
		var out, errOut strings.Builder
		r := &Reporter{Out: &out, Err: &errOut, Host: "client.example.test", Version: "1", Now: func() time.Time { return time.Unix(0, 0) }}
		form.set(r)
		for _, e := range evilEvents() {
			r.Observe(e)
		}
		r.Trace("IMAP", '<', evil)
		r.Trace("IMAP", '*', evil)
		r.Warn(evil)
		r.Say(evil)
		r.Connections([]string{evil})
		for _, text := range []string{out.String(), errOut.String()} {
			if bad := harmless(text); bad != "" {
				t.Errorf("%s: %s comes through: %.300q", form.name, bad, text)
			}
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "fetchmail: forged") {
					t.Errorf("%s: a line was forged", form.name)
				}
				if len(line) > 16*maxLine {
					t.Errorf("%s: a line of %d octets", form.name, len(line))
				}
				if r.JSON {
					checkRecord(t, line)
				}
			}
		}
	}
}

// checkRecord checks one record of a log.
func checkRecord(t *testing.T, line string) map[string]any {
	t.Helper()
	var rec map[string]any
	if err := json.Unmarshal([]byte(line), &rec); err != nil {
		t.Errorf("%v: %.300q", err, line)
		return nil
	}
	for _, field := range []string{"time", "level", "msg", "event"} {
		if s, _ := rec[field].(string); s == "" {
			t.Errorf("no %s: %.300q", field, line)
		}
	}
	for name, v := range rec {
		if s, ok := v.(string); ok && harmless(s) != "" {
			t.Errorf("%s: %s in %.300q", name, harmless(s), s)
		}
	}
	return rec
}

// lines are the lines that a reporter writes for events, sorted by stream.
func lines(set func(*Reporter), events []poll.Event) (out, errOut []string) {
	o, e := told(set, events...)
	split := func(s string) (l []string) {
		for line := range strings.Lines(s) {
			l = append(l, strings.TrimRight(line, "\n"))
		}
		return l
	}
	return split(o), split(e)
}

// TestEveryLineHasItsRecord compares the two forms of the log: each line stands as msg of a record on the same stream, and
// what the record says otherwise is right.
func TestEveryLineHasItsRecord(t *testing.T) {
	reading := func(n int) poll.Event {
		return poll.Reading{Account: alice, Num: n, Total: 3, Header: 90, Size: 100, Read: 90}
	}
	events := []poll.Event{poll.Started{Account: alice, Protocol: "IMAP"}, poll.Counted{Account: alice, Total: 3, Seen: 1, Octets: -1},
		reading(1), poll.Body{Octets: 10}, poll.Progress{Text: []byte("ten octets")}, poll.Done{Flushed: true},
		poll.Skipped{Account: alice, Num: 2, Size: 5000, Oversized: true},
		reading(3), poll.Answered{Sink: "localhost", Status: deliver.Status{To: "joe", Reply: deliver.Reply{Code: 550, Text: "550 no"}}}, poll.Done{},
		poll.Failed{Account: alice, Protocol: "IMAP", Err: &protocols.Fault{Kind: protocols.Socket, Phase: protocols.Fetching}},
		poll.Finished{Account: alice, Protocol: "IMAP", Status: poll.Socket}}
	out, errOut := lines(nil, events)
	jout, jerr := lines(func(r *Reporter) { r.JSON = true }, events)
	compare := func(classic, records []string) (all []map[string]any) {
		if len(classic) != len(records) {
			t.Fatalf("lines\n%s\nrecords\n%s", strings.Join(classic, "\n"), strings.Join(records, "\n"))
		}
		for i := range classic {
			rec := checkRecord(t, records[i])
			if want := strings.TrimPrefix(classic[i], program); rec["msg"] != want {
				t.Errorf("msg is %q, want %q", rec["msg"], want)
			}
			all = append(all, rec)
		}
		return all
	}
	recs := compare(out, jout)
	errs := compare(errOut, jerr)
	for _, tt := range []struct {
		rec  map[string]any
		want map[string]any
	}{
		{recs[0], map[string]any{"event": "mailbox", "account": "mylabel", "user": "alice", "messages": 3.0, "seen": 1.0, "level": "INFO"}},
		{recs[1], map[string]any{"event": "message", "number": 1.0, "total": 3.0, "size": 100.0, "flushed": true}},
		{recs[2], map[string]any{"event": "skipped", "number": 2.0, "oversized": true, "flushed": false}},
		{recs[3], map[string]any{"event": "message", "number": 3.0, "flushed": false}},
		{recs[4], map[string]any{"event": "finished", "status": 2.0, "result": "SOCKET", "fetched": 2.0, "octets": 190.0, "level": "ERROR"}},
		{errs[0], map[string]any{"event": "refused", "code": 550.0, "recipient": "joe", "number": 3.0, "level": "WARN"}},
		{errs[1], map[string]any{"event": "failed", "account": "mylabel", "level": "ERROR"}},
	} {
		for k, v := range tt.want {
			if tt.rec[k] != v {
				t.Errorf("%s is %v, want %v, in %v", k, tt.rec[k], v, tt.rec)
			}
		}
	}
}

func TestRecordsOfADaemonAreNoNoise(t *testing.T) {
	empty := []poll.Event{poll.Started{Account: alice}, poll.Counted{Account: alice}, poll.Finished{Account: alice, Status: poll.NoMail}}
	for _, tt := range []struct {
		name string
		set  func(*Reporter)
		want int
	}{
		{"daemon", func(r *Reporter) { r.Daemon = true }, 0},
		{"daemon -v", func(r *Reporter) { r.Daemon, r.Verbose = true, 1 }, 3},
		{"single run", func(*Reporter) {}, 2},
		{"-s", func(r *Reporter) { r.Silent = true }, 0},
	} {
		out, errOut := lines(func(r *Reporter) { r.JSON = true; tt.set(r) }, empty)
		if len(out) != tt.want || len(errOut) != 0 {
			t.Errorf("%s: %d records, want %d: %q", tt.name, len(out), tt.want, out)
		}
	}
}

// TestBrokenOffMessageHasARecord is about a session that ends within a message.
func TestBrokenOffMessageHasARecord(t *testing.T) {
	out, _ := lines(func(r *Reporter) { r.JSON = true }, []poll.Event{poll.Started{Account: alice}, poll.Reading{Account: alice, Num: 1, Total: 1, Header: -1, Size: 5},
		poll.Failed{Account: alice, Err: &protocols.Fault{Kind: protocols.Socket}}, poll.Finished{Account: alice, Status: poll.Socket}})
	if len(out) != 2 {
		t.Fatalf("%q", out)
	}
	if rec := checkRecord(t, out[0]); rec["complete"] != false || rec["number"] != 1.0 {
		t.Errorf("%v", rec)
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&protocols.Fault{Kind: protocols.Auth}, "Authorization failure on alice@mail.example.test"},
		{&protocols.Fault{Kind: protocols.Timeout, Phase: protocols.Fetching},
			"timeout after 7 seconds waiting for server mylabel.; socket error while fetching from alice@mylabel"},
		{&protocols.Fault{Kind: protocols.Socket, Phase: protocols.Finishing, Err: errors.New("EOF")}, "EOF"},
		{errors.New("disk\x1b full"), `disk\x1b full`},
	} {
		got := strings.Join(Words(poll.Failed{Account: alice, Protocol: "POP3", Timeout: 7, Err: tt.err}), "; ")
		if !strings.Contains(got, tt.want) {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

func FuzzLog(f *testing.F) {
	f.Add(evil[:80])
	f.Add("\u2028\u2029\x7f\ufeff")
	f.Fuzz(func(t *testing.T, text string) {
		var out strings.Builder
		NewLog(&out, 0).Info(text, "event", "x"+text, "user", text)
		if strings.Count(out.String(), "\n") != 1 || harmless(out.String()) != "" {
			t.Fatalf("%s: %q", harmless(out.String()), out.String())
		}
		var rec map[string]any
		if err := json.Unmarshal([]byte(out.String()), &rec); err != nil {
			t.Fatal(err)
		}
	})
}
