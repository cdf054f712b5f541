package header

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recorded reads pairs of quoted strings.
func recorded(t *testing.T, name string, each func(in, want string)) {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		q, err := strconv.QuotedPrefix(s.Text())
		if err != nil {
			t.Fatalf("%s: %v", s.Text(), err)
		}
		in, _ := strconv.Unquote(q)
		want := strings.TrimSpace(s.Text()[len(q):])
		if u, err := strconv.Unquote(want); err == nil {
			want = u
		}
		each(in, want)
		n++
	}
	if n < 1000 {
		t.Errorf("only %d lines in %s", n, name)
	}
}

func TestRewritingAsRecorded(t *testing.T) {
	recorded(t, "rewrite.txt", func(in, want string) {
		if got := rewrite(nil, []byte(in+"\r\n"), "mail.example.test"); string(got) != want+"\r\n" {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	})
}

func TestReversePathsAsRecorded(t *testing.T) {
	recorded(t, "sender.txt", func(in, want string) {
		b, _ := Parse([]byte("From:" + in + "\r\nX: y\r\n\r\n"))
		got, ok := b.LocalSender(false, "mail.example.test")
		if !ok {
			got = "none"
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	})
}

func TestRewriting(t *testing.T) {
	for in, want := range map[string]string{ // § is where @host has to be
		"dora": "dora§", `"x y" <dora>`: `"x y" <dora§>`, "dora (a b)": "dora§ (a b)", "(c) dora": "(c) dora§", "a,b , c": "a§,b , c§",
		"group: d, e@y.example.org;": "group: d§, e@y.example.org;", "undisclosed-recipients:;": "undisclosed-recipients:;",
		"uu!cp": "uu!cp", "<>": "<>", "@d": "@d", `"quoted local"`: `"quoted local"`, "a b": "a b§", "a\r\n b": "a\r\n b§",
		"a <b@c>, d": "a <b@c>, d", "<@x,@y:z@w>": "<@x,@y:z@w>", "=?utf-8?q?a_b?= <c>": "=?utf-8?q?a_b?= <c§>", "": "", ",": ",",
		"list:;, b": "list:;§, b§", "a!b, c": "a!b, c§",
	} {
		want = strings.ReplaceAll(want, "§", "@h")
		if got := rewrite(nil, []byte(" "+in+"\r\n"), "h"); string(got) != " "+want+"\r\n" {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestEdit(t *testing.T) {
	for _, c := range []struct {
		name string
		edit Edit
		in   string
		want string
	}{
		{"nothing", Edit{}, "A: 1\r\nb:2\n c\r\n\r\n", "A: 1\r\nb:2\n c\r\n\r\n"},
		{"From_ lines with their folds", Edit{}, "From x 1:2\r\n y\r\nA: 1\r\n>from z:\r\nFrom : q\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n"},
		{"empty status", Edit{}, "Status:\r\nStatus: \t\r\nX-Mozilla-Status:\r\nStatus:x\r\nX-Status:\r\nStatus:\r\n y\r\nStatus :\r\n\r\n",
			"Status:x\r\nX-Status:\r\nStatus:\r\n y\r\nStatus :\r\n\r\n"},
		{"dropstatus", Edit{DropStatus: true}, "STATUS: RO\r\n x\r\nX-Mozilla-Status: 1\r\nX-Mozilla-Status2: 1\r\n\r\n", "X-Mozilla-Status2: 1\r\n\r\n"},
		{"dropdelivered", Edit{DropDelivered: true}, "Delivered-To: x\r\n y\r\nA: 1\r\n\r\n", "A: 1\r\n\r\n"},
		{"first Return-Path", Edit{}, "Return-Path:\r\nreturn-path: <a@b>\r\nReturn-Path: <c@d>\r\n\r\n", "Return-Path:\r\nReturn-Path: <c@d>\r\n\r\n"},
		{"Return-Path stays for an MDA", Edit{ReturnPath: true, Rewrite: true, Host: "h"}, "A: 1\r\nReturn-Path: <a>\r\n\r\n", "A: 1\r\nReturn-Path: <a@h>\r\n\r\n"},
		{"rewrite", Edit{Rewrite: true, Host: "h"}, "From: a\r\nX-From: a\r\nTo : a\r\nResent-Reply-To: a\r\n\r\n",
			"From: a@h\r\nX-From: a\r\nTo : a\r\nResent-Reply-To: a\r\n\r\n"},
		{"Received in front", Edit{Received: []byte("R\r\n")}, "A: 1\r\n\r\n", "R\r\nA: 1\r\n\r\n"},
		{"Received before others", Edit{Received: []byte("R\r\n"), ReturnPath: true}, "Return-Path: <a@b>\r\nX: 1\r\nReceived: x\r\nReceived: y\r\n\r\n",
			"Return-Path: <a@b>\r\nX: 1\r\nR\r\nReceived: x\r\nReceived: y\r\n\r\n"},
		{"warning", Edit{Warning: "w"}, "A: 1\r\n\r\n", "A: 1\r\nX-Fetchmail-Warning: w\r\n\r\n"},
		{"no line end", Edit{Rewrite: true, Host: "h"}, "To: a", "To: a@h\r\n\r\n"},
		{"no empty line", Edit{}, "A: 1\r\n", "A: 1\r\n\r\n"},
		{"only line feeds", Edit{}, "A: 1\n\n", "A: 1\n\r\n"},
		{"NULs", Edit{Rewrite: true, Host: "h"}, "Fr\x00om: a\r\nX: \x00\r\n\r\n", "From: a@h\r\nX: \r\n\r\n"},
		{"a line that seems blank", Edit{Rewrite: true, Host: "h"}, "A: 1\r\n\x00\r\nTo: a\x00\r\n\r\n", "A: 1\r\n\r\nTo: a\x00\r\n\r\n"},
		{"headerless", Edit{Host: "h", RemoteUser: "joe", Invoker: "i@l", Received: []byte("R\r\n")}, "\r\n",
			"R\r\nFrom: FETCHMAIL-DAEMON\r\nTo: i@l\r\nSubject: Headerless mail from joe's mailbox on h\r\n\r\n"},
		{"nothing left", Edit{Host: "h", RemoteUser: "joe", Invoker: "i@l"}, "Return-Path: <a@b>\r\n\r\n",
			"From: FETCHMAIL-DAEMON\r\nTo: i@l\r\nSubject: Headerless mail from joe's mailbox on h\r\n\r\n"},
		{"8bit", Edit{MimeDecode: true}, "MIME-Version: 1.0\r\nContent-Type: text/x\r\ncontent-transfer-encoding:\r\n Quoted-Printable (x)\r\n\r\n",
			"MIME-Version: 1.0\r\nContent-Type: text/x\r\nContent-Transfer-Encoding: 8bit                  \r\n\r\n"},
		{"not 8bit without a type", Edit{MimeDecode: true}, "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
			"MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := []byte(c.in)
			b, _ := Parse(raw)
			if got := string(b.Edit(c.edit)) + string(b.Rest()); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if string(raw) != c.in {
				t.Error("the header as received was changed")
			}
		})
	}
}

func TestBadHeaders(t *testing.T) {
	for in, bad := range map[string]bool{
		"A: 1\r\ngarbage\r\n\r\n": true, "From x y\r\nA: 1\r\n\r\n": true, "X\r\n folded: y\r\n\r\n": true, "X": true,
		"From x 1:2\r\nA: 1\r\n\r\n": false, "a b: c\r\n\r\n": false, ": c\r\n\r\n": false, " fold\r\nA: 1\r\n\r\n": false, "": false,
		"\r\n": false, "A: 1\r\n \r\nB: 2\r\n\r\n": false, "A: 1\r\n\r\r\ngarbage\r\n": false, "\xe9: 1\r\n\r\n": false,
	} {
		b, err := Parse([]byte(in))
		if (err != nil) != bad || b == nil {
			t.Errorf("%q: %v", in, err)
		}
	}
	if _, err := Parse([]byte("A: 1\r\nB: 2\r\nbad\r\n\r\n")); err != BadLine("bad") {
		t.Errorf("%v", err)
	}
}

// RFC 5321, section 4.1.3: behind the "@" of the envelope an address stands in brackets. In the header the reference
// has none.
func TestSenderAtAServerWithoutAName(t *testing.T) {
	for in, want := range map[string]string{"From: joe\r\n": "joe@[192.0.2.1]", "Subject: x\r\n": "alice@[192.0.2.1]", "From: joe@h\r\n": "joe@h"} {
		b, _ := Parse([]byte(in + "\r\n"))
		if got := b.Sender(false, "192.0.2.1", "alice"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	b, _ := Parse([]byte("From: joe\r\n\r\n"))
	if got := b.Sender(true, "192.0.2.1", "alice"); got != "joe@192.0.2.1" {
		t.Errorf("rewritten: %q", got)
	}
}

func TestSender(t *testing.T) {
	for _, c := range []struct {
		in                string
		rewritten, not    string
		localNotRewritten string // for an MDA
	}{
		{"Return-Path: <r@p>\r\nSender: s@h\r\nFrom: f@h\r\n", "r@p", "r@p", "r@p"},
		{"Return-Path: <>\r\nFrom: f@h\r\n", "", "", ""},
		{"Return-Path:\r\nFrom: f@h\r\n", "f@h", "f@h", "f@h"},
		{"Return-Path: loc\r\nFrom: f@h\r\n", "loc@host", "loc@host", "loc"},
		{"Return-Path: <\"a\r\n b\"@c>\r\nFrom: f@h\r\n", "f@h", "f@h", "f@h"},
		{"Resent-Sender: c@d\r\nSender: a@b\r\nFrom: f@h\r\n", "c@d", "c@d", "c@d"},
		{"Sender: loc\r\nFrom: f@h\r\n", "loc@host", "f@h", "f@h"},
		{"Resent-From: loc\r\nFrom: f@h\r\n", "loc@host", "loc@host", "loc"},
		{"From: one@h\r\nFrom: two@h\r\n", "two@h", "two@h", "two@h"},
		{"From: two@h\r\nFrom:\r\n", "none@host", "none@host", "none"},
		{"From:\r\nReply-To: r@h\r\n", "r@h", "r@h", "r@h"},
		{"From: <>\r\nReply-To: r@h\r\n", "none@host", "none@host", "none"},
		{"Apparently-From: a@h\r\n", "a@h", "a@h", "a@h"},
		{"From: u!x\r\n", "u!x", "u!x", "u!x"},
		{"From: a@b, c@d\r\n", "a@b", "a@b", "a@b"},
		{"From: \"a, b\" <c@d>\r\n", "c@d", "c@d", "c@d"},
		{"Subject: x\r\n", "none@host", "none@host", "none"},
	} {
		b, _ := Parse([]byte(c.in + "\r\n"))
		if got := b.Sender(true, "host", "none"); got != c.rewritten {
			t.Errorf("%q rewritten: %q, want %q", c.in, got, c.rewritten)
		}
		if got := b.Sender(false, "host", "none"); got != c.not {
			t.Errorf("%q not rewritten: %q, want %q", c.in, got, c.not)
		}
		got, ok := b.LocalSender(false, "host")
		if !ok {
			got = "none"
		}
		if got != c.localNotRewritten {
			t.Errorf("%q for an MDA: %q, want %q", c.in, got, c.localNotRewritten)
		}
	}
}

func TestBodyType(t *testing.T) {
	const mime = "MIME-Version: 1.0\r\n"
	for in, want := range map[string]string{
		"": "", mime: "", "Content-Transfer-Encoding: 8bit\r\n": "", mime + "Content-Transfer-Encoding: 7bit (x)\r\n": "7BIT",
		mime + "Content-Transfer-Encoding: 8BIT\r\n": "8BITMIME", mime + "Content-Transfer-Encoding: quoted-printable\r\n": "8BITMIME",
		mime + "Content-Transfer-Encoding: base64\r\n": "", mime + "Content-Transfer-Encoding: \"8bit\"\r\n": "",
		mime + "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n":                 "8BITMIME",
		mime + "Content-Type: multipart/signed; boundary=b\r\n":                                                   "",
		mime + "Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: base64\r\n":                         "",
		mime + "Content-Type: text/x\r\nContent-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n": "7BIT",
		"MIME-Version: 2\r\nContent-Transfer-Encoding: 8bit\r\n":                                                  "",
		"MIME-Version: 2\r\n" + mime + "Content-Transfer-Encoding: 8bit\r\n":                                      "8BITMIME",
		mime + "Content-Type: text/x\r\nContent-Type: text/x\r\nContent-Transfer-Encoding: 8bit\r\n":              "",
		"Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 7bit\r\n" + mime:                           "7BIT",
		"Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 7bit\r\nContent-Type: text/x\r\n" + mime:   "",
	} {
		b, _ := Parse([]byte(in + "\r\n"))
		if got := b.BodyType(false); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if got := b.BodyType(true); got != "8BITMIME" {
			t.Errorf("pass8bits: %q", got)
		}
	}
}

func TestEncodedWords(t *testing.T) {
	for in, want := range map[string]string{
		"a =?utf-8?q?b?= c": "a b c", "=?u?q?a?=\r\n =?u?q?b?=": "ab", "=?u?q?a?= b =?u?q?c?=": "a b c", "x=?u?Q?a_b=20=C3=BC?=y": "xa b üy",
		"=?u?b?YWJj?=": "abc", "=?u?B?YQ==?=": "a", "=?u?b?YW!j?=": "", "=?u?q?a=zz?=": "a=zz", "=?u?x?=41?=": "=41", "=?u?qq?a?=": "u?qq?a?=",
		"=?u?q?a": "a", "=?u?b?YWJj\r\n": "abc\r\n", "=?u?q?a\r\n": "a\r\n", "=?": "", "?=": "?=", "=?=?utf-8?q?a?=": "a", "=?u?q?a?= =?": "a",
	} {
		if got := AppendWords(nil, []byte(in)); string(got) != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	b, _ := Parse([]byte("=?u?q?To?=: =?u?q?loc?=\r\nSender: =?u?q?a=40b?=\r\n\r\n"))
	b.DecodeWords()
	if got := string(b.Edit(Edit{Rewrite: true, Host: "h"})); got != "To: loc@h\r\nSender: a@b\r\n\r\n" {
		t.Errorf("%q", got)
	}
	if got := b.Sender(false, "h", ""); got != "a@b" {
		t.Errorf("%q", got)
	}
}

// TestReceived: fetchmail(1), "--invisible", "--tracepolls", "dns".
func TestReceived(t *testing.T) {
	at := time.Date(2025, 11, 2, 13, 3, 0, 0, time.FixedZone("CET", 3600))
	const date = "Sun, 02 Nov 2025 13:03:00 +0100 (CET)\r\n"
	r := ReceivedInfo{Host: "mail.example.test", Addr: "127.0.0.1", By: "client.example.test", Proto: "POP3", Version: "6.4.37",
		For: "joe@localhost", Time: at}
	for _, c := range []struct {
		change func(*ReceivedInfo)
		want   string
	}{
		{func(*ReceivedInfo) {}, "Received: from mail.example.test [127.0.0.1]\r\n\tby client.example.test with POP3 (fetchmail-6.4.37)\r\n" +
			"\tfor <joe@localhost> (single-drop); " + date},
		{func(r *ReceivedInfo) { r.Addr, r.Mode = "", Multi }, "Received: from mail.example.test\r\n\tby client.example.test with POP3 (fetchmail-6.4.37)\r\n" +
			"\tfor <joe@localhost> (multi-drop); " + date},
		{func(r *ReceivedInfo) { r.For, r.Mode = "", Multi }, "Received: from mail.example.test [127.0.0.1]\r\n\tby client.example.test with POP3 (fetchmail-6.4.37)\r\n\t" + date},
		{func(r *ReceivedInfo) { r.Mode = ByDefault }, "Received: from mail.example.test [127.0.0.1]\r\n\tby client.example.test with POP3 (fetchmail-6.4.37)\r\n" +
			"\tfor <joe@localhost> (by default); " + date},
		{func(r *ReceivedInfo) { r.Poll, r.Account, r.Folder = "label", "alice", "work" }, "Received: from mail.example.test [127.0.0.1]\r\n" +
			"\tby client.example.test with POP3 (fetchmail-6.4.37 polling label account alice folder work)\r\n\tfor <joe@localhost> (single-drop); " + date},
	} {
		x := r
		c.change(&x)
		if got := string(Received(x)); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// TestHostileHeadersTakeLinearTime: a header of a million lines, and lines of megabytes, within seconds.
func TestHostileHeadersTakeLinearTime(t *testing.T) {
	for name, raw := range map[string][]byte{
		"lines":     bytes.Repeat([]byte("X: y\r\n"), 1<<20),
		"fields":    bytes.Repeat([]byte("To: a, b\r\n"), 1<<17),
		"folds":     append([]byte("To: a\r\n"), bytes.Repeat([]byte(" (, <b\r\n"), 1<<18)...),
		"names":     bytes.Repeat([]byte("\r\r"), 1<<21),
		"addresses": append(append([]byte("Cc: "), bytes.Repeat([]byte("aa(\","), 1<<20)...), '\r', '\n'),
		"comments":  append(append([]byte("From: "), bytes.Repeat([]byte("("), 4<<20)...), '\r', '\n'),
		"words":     append(append([]byte("Subject: "), bytes.Repeat([]byte("=?"), 2<<20)...), '\r', '\n'),
		"words 2":   append(append([]byte("Subject: "), bytes.Repeat([]byte("=?u?q?"), 1<<20)...), '\r', '\n'),
		"types":     append(append([]byte("MIME-Version: 1.0\r\nContent-Type: multipart/mixed"), bytes.Repeat([]byte(";"), 2<<20)...), '\r', '\n'),
	} {
		start := time.Now()
		b, _ := Parse(append(raw, '\r', '\n'))
		b.DecodeWords()
		b.Edit(Edit{Rewrite: true, Host: "mail.example.test", MimeDecode: true})
		b.Sender(true, "mail.example.test", "")
		b.BodyType(false)
		for _, v := range b.Recipients(true, "mail.example.test") {
			Addresses(v)
		}
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("%s: %v", name, d)
		} else {
			t.Logf("%s: %v", name, d)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("From: a\r\nTo: \"b\" <c>, d (e), f:g;\r\nReceived: x\r\nSubject: =?u?q?=41?=\r\n\r\n"), true)
	f.Add([]byte("Return-Path: <a\x00>\r\n\tb\nX\r\n\r\r\n"), false)
	f.Fuzz(func(t *testing.T, raw []byte, all bool) {
		keep := bytes.Clone(raw)
		b, _ := Parse(raw)
		if all {
			b.DecodeWords()
		}
		out := b.Edit(Edit{Host: "h", Rewrite: all, MimeDecode: all, DropStatus: all, DropDelivered: all, ReturnPath: all,
			Received: []byte("Received: ours\r\n")})
		if !bytes.Equal(raw, keep) {
			t.Fatal("the header as received was changed")
		}
		if bytes.Count(out, []byte("Received: ours\r\n")) < 1 {
			t.Errorf("no trace in %q", out)
		}
		local, _ := b.LocalSender(all, "h")
		for _, s := range []string{b.Sender(all, "h", "fallback"), local} {
			if strings.ContainsAny(s, "\r\n\x00") {
				t.Errorf("sender %q", s)
			}
		}
		if !all && b.rest == 0 && bytes.IndexByte(raw, 0) < 0 { // nothing is changed but dropped
			again, _ := Parse(out)
			if twice := again.Edit(Edit{Host: "h"}); len(twice) > len(out) && len(again.fields) > 1 {
				t.Errorf("grows: %q, %q", out, twice)
			}
		}
	})
}

func BenchmarkEdit(b *testing.B) {
	var s strings.Builder
	for i := range 30 {
		fmt.Fprintf(&s, "X-Field-%d: some value of a usual length, and then some\r\n\tmore of it on a second line\r\n", i)
	}
	raw := []byte("Return-Path: <a@b.example>\r\nReceived: from x by y; Sun\r\nFrom: \"A B\" <a@b.example>\r\nTo: joe, \"C\" <c@d.example>\r\n" + s.String() + "\r\n")
	e := Edit{Host: "mail.example.test", Rewrite: true, Received: []byte("Received: from a by b\r\n\tfor <c>; Sun\r\n")}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		h, _ := Parse(raw)
		h.Sender(true, "mail.example.test", "x")
		h.BodyType(false)
		h.Edit(e)
	}
}

// What fetchmail 6.4.37 was seen to do with damaged padding.
func TestEncodedWordsInBase64(t *testing.T) {
	for in, want := range map[string]string{
		"=?x?b?YQ==\xfc?=!": "a!", "=?x?b?YQ=x?=!": "a!", "=?x?b?YQ==YWJj?=!": "a!", "=?x?b?YWI=x?=!": "ab!", "=?x?b?YWJjYR==?=!": "abca!",
		"=?x?b?YQ?=!": "!", "=?x?b?YWJjY?=!": "!", "=?x?b?YWJj*WJj?=!": "!", "=?x?b?Y===?=!": "!", "=?x?b?=YQ=?=!": "!",
		"=?x?b?YQ==?=\v=?x?b?YQ==?=": "aa",
	} {
		if got := string(AppendWords(nil, []byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestLinesThatBeginWithWhiteSpaceAreNotBad(t *testing.T) {
	for _, in := range []string{"A: b\r\n\rX\r\n\r\n", "A: b\r\n\vX\r\n\r\n", "A: b\r\n\f X\r\n\r\n", "A: b\r\n\r \r\n\r\n"} {
		if _, err := Parse([]byte(in)); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestNULsOutOfEncodedWordsAreWarnedOf(t *testing.T) {
	b, _ := Parse([]byte("X: =?x?q?a=00b?=\r\n\r\n"))
	b.DecodeWords()
	if got, want := string(b.Edit(Edit{})), "X: a\x00b\r\nX-Fetchmail-Warning: message has embedded NULs\r\n\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMultipartIsSeenOnTheFirstLineOnly(t *testing.T) {
	for in, want := range map[string]string{
		"multipart/mixed; boundary=b1\r\n": "b1\r", "multipart/mixed; boundary=b1\n": "b1", "multipart/mixed; \fboundary=\v\"b1\"\r\n": "b1",
		"\r\n multipart/mixed; boundary=b1\r\n": "", "multipart/mixed;\r\n boundary=b1;\r\n": "b1",
	} {
		b, _ := Parse([]byte("MIME-Version: 1.0\r\nContent-Type: " + in + "\r\n"))
		if got := b.MIME().Boundary; got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestTheRestOfAVeryLongHeaderPassesAsItIs: fields beyond a number are neither looked at nor lost.
func TestTheRestOfAVeryLongHeaderPassesAsItIs(t *testing.T) {
	const rest = "Status: \r\nTo: late\r\n\tfolded\r\nX: =?u?q?=41?=\r\n"
	head := "To: a\r\n" + strings.Repeat("X:\r\n", mostFields-1) + rest
	b, err := Parse([]byte(head + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(b.Edit(Edit{Host: "h", Rewrite: true})); got != strings.Replace(head, "To: a", "To: a@h", 1)+"\r\n" {
		t.Errorf("%.40q ... %q", got, got[max(0, len(got)-100):])
	}
	b.DecodeWords()
	if n := len(b.Recipients(true, "h")); n != 1 {
		t.Errorf("%d fields with recipients", n)
	}
	if _, err := Parse([]byte(head + "no field\r\n\r\n")); err != BadLine("no field") {
		t.Errorf("a bad line at the end: %v", err)
	}
}
