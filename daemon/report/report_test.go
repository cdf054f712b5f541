package report

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"fetchmail/daemon/poll"
	"fetchmail/deliver"
	"fetchmail/protocols"
	"fetchmail/protocols/wire"
)

var alice = poll.Account{Label: "mylabel", Host: "mail.example.test", User: "alice"}

// told is what a Reporter makes of events, on its two streams.
func told(set func(*Reporter), events ...poll.Event) (out, errOut string) {
	var o, e strings.Builder
	r := &Reporter{Out: &o, Err: &e, Host: "client.example.test", Version: "1.2", Now: func() time.Time { return time.Unix(0, 0).UTC() }}
	if set != nil {
		set(r)
	}
	for _, ev := range events {
		r.Observe(ev)
	}
	return o.String(), e.String()
}

// The wording was recorded from fetchmail 6.4.37.
func TestProgress(t *testing.T) {
	reading := poll.Reading{Account: alice, Num: 1, Total: 3, Header: -1, Size: 400}
	for _, tt := range []struct {
		name   string
		set    func(*Reporter)
		events []poll.Event
		want   string
	}{
		{"counts of POP3", nil, []poll.Event{poll.Counted{Account: alice, Total: 3, Octets: 1200}},
			"3 messages for alice at mylabel (1200 octets).\n"},
		{"one message, seen, in a folder", nil, []poll.Event{poll.Counted{Account: alice, Folder: "work", Total: 1, Seen: 1, Octets: -1}},
			"1 message (1 seen) for alice at mylabel (folder work).\n"},
		{"nothing", nil, []poll.Event{poll.Counted{Account: alice}}, "fetchmail: No mail for alice at mylabel\n"},
		{"nothing, daemon", func(r *Reporter) { r.Daemon = true }, []poll.Event{poll.Counted{Account: alice}}, ""},
		{"POP3 message", nil, []poll.Event{reading, poll.Body{Octets: -1}, poll.Done{Flushed: true}},
			"reading message alice@mail.example.test:1 of 3 (400 octets) flushed\n"},
		{"IMAP message", nil, []poll.Event{poll.Reading{Account: alice, Num: 2, Total: 3, Header: 366, Size: 400}, poll.Body{Octets: 34}, poll.Done{}},
			"reading message alice@mail.example.test:2 of 3 (366 header octets) (34 body octets) not flushed\n"},
		{"unknown size", nil, []poll.Event{poll.Reading{Account: alice, Num: 1, Total: 1, Header: -1}, poll.Done{Flushed: true}},
			"reading message alice@mail.example.test:1 of 1 flushed\n"},
		{"too large", nil, []poll.Event{poll.Skipped{Account: alice, Num: 2, Size: 3390, Oversized: true}},
			"skipping message alice@mail.example.test:2 (3390 octets) (oversized) not flushed\n"},
		{"old, flush", nil, []poll.Event{poll.Skipped{Account: alice, Num: 1, Size: 10, Flushed: true}},
			"skipping message alice@mail.example.test:1 flushed\n"},
		{"limit", nil, []poll.Event{poll.Limited{Account: alice, Limit: 2, Left: 1}},
			"fetchmail: fetchlimit 2 reached; 1 message left on server mail.example.test account alice\n"},
		{"bad header in the open line", nil, []poll.Event{reading, poll.BadHeader{}, poll.Done{}},
			"reading message alice@mail.example.test:1 of 3 (400 octets)fetchmail: incorrect header line found - see manpage for bad-header option\n not flushed\n"},
		{"bad header, with -v", func(r *Reporter) { r.Verbose = 1 }, []poll.Event{reading, poll.BadHeader{Line: "no\x1b field"}, poll.Done{}},
			"reading message alice@mail.example.test:1 of 3 (400 octets)fetchmail: incorrect header line found - see manpage for bad-header option\n" +
				"fetchmail: line: no\\x1b field\n not flushed\n"},
		{"status", nil, []poll.Event{poll.Finished{Account: alice, Status: poll.AuthFail}}, "fetchmail: Query status=3 (AUTHFAIL)\n"},
		{"status without a name", nil, []poll.Event{poll.Finished{Account: alice, Status: poll.ServerBusy}}, "fetchmail: Query status=14\n"},
		{"no mail is no status", nil, []poll.Event{poll.Finished{Account: alice, Status: poll.NoMail}}, ""},
		{"silent", func(r *Reporter) { r.Silent = true }, []poll.Event{poll.Counted{Account: alice}, poll.Counted{Account: alice, Total: 1},
			reading, poll.BadHeader{}, poll.Done{}, poll.Skipped{Account: alice}, poll.Finished{Status: poll.SMTP}}, "fetchmail: Query status=10 (SMTP)\n"},
		{"log file", func(r *Reporter) { r.Prefix = true }, []poll.Event{reading, poll.Done{Flushed: true}},
			"fetchmail: reading message alice@mail.example.test:1 of 3 (400 octets) flushed\n"},
		{"dots", func(r *Reporter) { r.Dots = true }, []poll.Event{poll.Reading{Account: alice, Num: 1, Total: 1, Header: 1000, Size: 1200, Read: 1000},
			poll.Body{Octets: 200}, poll.Progress{Text: []byte("ten octets\nten oct")}, poll.Progress{Text: []byte("ets\n")}, poll.Progress{Text: []byte("x\n")}, poll.Done{Flushed: true}},
			"reading message alice@mail.example.test:1 of 1 (1000 header octets) # (200 body octets) **.* flushed\n"},
		{"verbose", func(r *Reporter) { r.Verbose = 1 }, []poll.Event{poll.Started{Account: alice, Protocol: "POP3"}},
			"fetchmail: 1.2 querying mylabel (protocol POP3) at Thu Jan  1 00:00:00 1970: poll started\n"},
	} {
		if out, _ := told(tt.set, tt.events...); out != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, out, tt.want)
		}
	}
}

func TestErrors(t *testing.T) {
	fault := func(f protocols.Fault) poll.Event {
		return poll.Failed{Account: alice, Protocol: "POP3", Sink: "localhost/25", Timeout: 7, Err: &f}
	}
	const fetching = "while fetching from alice@mylabel\n"
	for _, tt := range []struct {
		name     string
		event    poll.Event
		out, err string
	}{
		{"login refused", fault(protocols.Fault{Kind: protocols.Auth, Reply: "-ERR no"}), "",
			"fetchmail: Authorization failure on alice@mail.example.test\nfetchmail: " + faq + "\n"},
		{"login refused, forced", fault(protocols.Fault{Kind: protocols.Auth, Forced: true}), "",
			"fetchmail: Authorization failure on alice@mail.example.test\n"},
		{"lost in login", fault(protocols.Fault{Kind: protocols.Socket, Phase: protocols.LoggingIn}), "",
			"fetchmail: Socket or TLS error on alice@mail.example.test\nfetchmail: socket error " + fetching},
		{"lost later", fault(protocols.Fault{Kind: protocols.Socket, Phase: protocols.Fetching}), "", "fetchmail: socket error " + fetching},
		{"time-out", fault(protocols.Fault{Kind: protocols.Timeout, Phase: protocols.Fetching}),
			"fetchmail: timeout after 7 seconds waiting for server mylabel.\n", "fetchmail: socket error " + fetching},
		{"time-out in a message", fault(protocols.Fault{Kind: protocols.Timeout, Phase: protocols.InMessage}),
			"fetchmail: timeout after 7 seconds.\n", "fetchmail: socket error " + fetching},
		{"lock", fault(protocols.Fault{Kind: protocols.Lock, Reply: "-ERR maildrop lock is busy"}), "",
			"fetchmail: maildrop lock is busy\nfetchmail: lock busy!  Is another session active?\n" +
				"fetchmail: Lock-busy error on alice@mail.example.test\nfetchmail: lock busy on server error " + fetching},
		{"busy", fault(protocols.Fault{Kind: protocols.Busy}), "", "fetchmail: Server busy error on alice@mail.example.test\n"},
		{"protocol", fault(protocols.Fault{Kind: protocols.Protocol}), "", "fetchmail: client/server protocol error " + fetching},
		{"server", fault(protocols.Fault{Kind: protocols.Server, Detail: []string{"mailbox selection failed"}}), "",
			"fetchmail: mailbox selection failed\nfetchmail: client/server synchronization error " + fetching},
		{"refused connection", fault(protocols.Fault{Kind: protocols.Socket, Phase: protocols.Connecting, Err: &wire.DialError{Host: "mail.example.test",
			Service: "110", Attempts: []wire.Attempt{{IP: "127.0.0.1", Port: "110", Err: syscall.ECONNREFUSED}}}}), "",
			"fetchmail: Connection errors for this poll:\n" +
				"name 0: connection to mail.example.test:110 [127.0.0.1/110] failed: Connection refused.\n" +
				"POP3 connection to mail.example.test failed: Connection refused\n"},
		{"no listener", poll.Failed{Account: alice, Sink: "localhost/25", Err: &deliver.Fault{Kind: deliver.Unreachable,
			Detail: []string{"Connection errors for this poll:", "name 0: x", "SMTP connect to localhost/25 failed"}}}, "",
			"fetchmail: Connection errors for this poll:\nname 0: x\nfetchmail: SMTP connect to localhost/25 failed\n" +
				"fetchmail: SMTP transaction error while fetching from alice@mylabel and delivering to SMTP host localhost/25\n"},
		{"hook", poll.Failed{Err: &poll.HookError{When: "pre", Code: 3}}, "", "fetchmail: pre-connection command failed with status 3\n"},
		{"SMTP answer of two lines", poll.Answered{Sink: "localhost", Status: deliver.Status{Reply: deliver.Reply{Code: 550, Text: "550-no\n550 never"}}}, "",
			"fetchmail: SMTP error: 550-no\r\n550 never\n"},
		{"LMTP answer", poll.Answered{LMTP: true, Status: deliver.Status{Reply: deliver.Reply{Code: 550, Text: "550 no"}}}, "", "fetchmail: LMTP error: 550 no\n"},
		{"MDA", poll.Answered{Status: deliver.Status{Reply: deliver.Reply{Code: 75, Text: "MDA returned nonzero status 75"}}}, "",
			"fetchmail: MDA returned nonzero status 75\n"},
		{"bounce", poll.Bounced{To: "dora@far.example.org"}, "", "fetchmail: mail from MAILER-DAEMON@client.example.test bounced to dora@far.example.org\n"},
		{"bounce that could not be sent", poll.Bounced{To: "x", Err: &deliver.Fault{Detail: []string{"Connection errors for this poll:", "name 0: y",
			"SMTP connect to localhost failed"}}}, "", "fetchmail: Connection errors for this poll:\nname 0: y\n"},
		{"nobody", poll.NoReceiver{Postmaster: "joe"}, "", "fetchmail: can't even send to joe!\n"},
		{"login refused after others", poll.Failed{Account: alice, Authorized: true, Err: &protocols.Fault{Kind: protocols.Auth}}, "",
			"fetchmail: Authorization failure on alice@mail.example.test (previously authorized)\n"},
		{"login again", poll.Restored{Account: alice}, "", "fetchmail: Authorization OK on alice@mail.example.test\n"},
		{"notice lost", poll.Unsent{To: "joe", Err: errors.New("cut\x1b")}, "", "fetchmail: cannot send a notice to joe: cut\\x1b\n"},
		{"notice, no listener", poll.Unsent{To: "joe", Err: &deliver.Fault{Detail: []string{"Connection errors for this poll:", "name 0: y",
			"SMTP connect to localhost failed"}}}, "", "fetchmail: Connection errors for this poll:\nname 0: y\nfetchmail: SMTP connect to localhost failed\n"},
		{"dead letter", poll.Filed{Folder: "/dead"}, "", "fetchmail: the refused message is in /dead now\n"},
		{"dead letter that is none", poll.Filed{Folder: "/dead", Err: errors.New("full")}, "", "fetchmail: cannot put the refused message into /dead: full\n"},
		{"record", poll.Failed{Err: &poll.LedgerError{Err: errors.New("disk full")}}, "", "fetchmail: cannot record fetched messages: disk full\n"},
	} {
		if out, err := told(nil, tt.event); out != tt.out || err != tt.err {
			t.Errorf("%s:\n got %q and %q\nwant %q and %q", tt.name, out, err, tt.out, tt.err)
		}
	}
}

// The reference keeps the server's words to itself unless it is verbose; people are told.
func TestPeopleAreToldWhatTheServerSays(t *testing.T) {
	for _, tt := range []struct {
		fault protocols.Fault
		says  string
	}{
		{protocols.Fault{Kind: protocols.Auth, Reply: "NO [AUTHENTICATIONFAILED] wrong\x1b"}, `NO [AUTHENTICATIONFAILED] wrong\x1b`},
		{protocols.Fault{Kind: protocols.Server, Reply: "NO no such folder", Detail: []string{"mailbox selection failed"}}, "NO no such folder"},
		{protocols.Fault{Kind: protocols.Protocol, Reply: "* OK this is IMAP"}, "* OK this is IMAP"},
		{protocols.Fault{Kind: protocols.Socket, Phase: protocols.LoggingIn, Op: "STARTTLS", Reply: "BAD no such command"}, "BAD no such command"},
	} {
		event := poll.Failed{Account: alice, Err: &tt.fault}
		want := "fetchmail: the server says: " + tt.says + "\n"
		if _, err := told(func(r *Reporter) { r.Explain = true }, event); !strings.Contains(err, want) {
			t.Errorf("%q is missing: %q", want, err)
		}
		if _, err := told(nil, event); strings.Contains(err, "the server says") {
			t.Errorf("programs are told: %q", err)
		}
	}
}

func TestPeopleAreToldTheAlertsOfTheServer(t *testing.T) {
	for _, tt := range []struct {
		explain bool
		verbose int
		want    string
	}{
		{true, 0, "fetchmail: the server says: disk full\\x1b\n"},
		{true, 1, ""}, // the dialogue shows it
		{false, 0, ""},
	} {
		var err strings.Builder
		r := Reporter{Err: &err, Explain: tt.explain, Verbose: tt.verbose}
		if r.Alert("disk full\x1b"); err.String() != tt.want {
			t.Errorf("%+v: %q", tt, err.String())
		}
	}
}

// With -v each attempt to connect is told as it fails, and once more in the list of them.
func TestAttemptsAreToldTwiceWithV(t *testing.T) {
	for _, e := range []poll.Event{poll.Bounced{To: "x", Err: noListener}, poll.Unsent{To: "joe", Err: noListener}, poll.Failed{Account: alice, Err: noListener}} {
		_, err := told(func(r *Reporter) { r.Verbose = 1 }, e)
		if want := "fetchmail: y\nfetchmail: Connection errors for this poll:\nname 0: y\n"; !strings.HasPrefix(err, want) {
			t.Errorf("%T: %s", e, err)
		}
	}
}

var noListener = &deliver.Fault{Kind: deliver.Unreachable, Detail: []string{"Connection errors for this poll:", "name 0: y", "SMTP connect to localhost failed"}}

func TestAnAlertIsToldOnce(t *testing.T) {
	for reply, want := range map[string]int{"[ALERT] disk full": 1, "NO [ALERT] disk full": 1, "NO other": 2, "": 1} {
		_, err := told(func(r *Reporter) { r.Explain = true; r.Alert("disk full") }, poll.Failed{Account: alice, Err: &protocols.Fault{Kind: protocols.Auth, Reply: reply}})
		if n := strings.Count(err, "the server says: "); n != want {
			t.Errorf("%q: %s", reply, err)
		}
	}
}

func TestTextFromOutsideIsHarmless(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"plain + text\t!", "plain + text\t!"},
		{"grüße", "grüße"},
		{"\x1b[2J\r\n", `\x1b[2J\x0d\x0a`},
		{"\u009b1m", `\x9b1m`},
		{"a\u202eb\u200bc", `a\u202eb\u200bc`},
		{"\xff\xfe", `\xff\xfe`},
		{strings.Repeat("x", 2000), strings.Repeat("x", 1000) + "... (2000 octets)"},
	} {
		if got := Clean(tt.in); got != tt.want {
			t.Errorf("Clean(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	_, err := told(nil, poll.Failed{Account: poll.Account{User: "a\x1b]0;x\a", Host: "h"}, Err: &protocols.Fault{Kind: protocols.Auth}})
	if strings.ContainsAny(err, "\x1b\a") {
		t.Errorf("control characters came through: %q", err)
	}
}
