package odmr

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// passAll lets a text through in pieces of n bytes.
func passAll(in string, n int) (out, rest string, ended bool) {
	t := newText()
	var b []byte
	for at := 0; at < len(in); at += n {
		piece := []byte(in[at:min(at+n, len(in))])
		var left []byte
		if b, left, ended = t.pass(b, piece); ended {
			return string(b), string(left) + in[min(at+n, len(in)):], true
		}
	}
	return string(b), "", false
}

// SECURITY: SMTP smuggling. Only CRLF . CRLF is the end, for everybody.
func TestOnlyTheEndIsADotAlone(t *testing.T) {
	for _, tt := range []struct{ in, out, rest string }{
		{"a\r\n.\r\nQUIT\r\n", "a\r\n.\r\n", "QUIT\r\n"},
		{".\r\n", ".\r\n", ""},
		{"..\r\n.\r\n", "..\r\n.\r\n", ""},
		{"a\r\n..\r\n..b\r\n...\r\n.\r\n", "a\r\n..\r\n..b\r\n...\r\n.\r\n", ""},
		{"a\n.\nb\r\n.\r\n", "a\n..\nb\r\n.\r\n", ""},
		{"a\n.\r\nb\r\n.\r\n", "a\n..\r\nb\r\n.\r\n", ""},
		{"a\r\n.\nb\r\n.\r\n", "a\r\n..\nb\r\n.\r\n", ""},
		{"a\r\n.\rb\r\n.\r\n", "a\r\n..\rb\r\n.\r\n", ""},
		{"a\r\n.\r\r\n.\r\n", "a\r\n..\r\r\n.\r\n", ""},
		{"a\r.\rb\r\n.\r\n", "a\r..\rb\r\n.\r\n", ""},
		{"a\r.\r\nb\r\n.\r\n", "a\r..\r\nb\r\n.\r\n", ""},
		{"a\r.b\n.c.\r\nd.\r\n.\r\n", "a\r.b\n.c.\r\nd.\r\n.\r\n", ""},
		{"\xff\x00\x01\x80 8 bits\r\n.\r\n", "\xff\x00\x01\x80 8 bits\r\n.\r\n", ""},
	} {
		for n := 1; n <= len(tt.in); n++ {
			if out, rest, ended := passAll(tt.in, n); out != tt.out || rest != tt.rest || !ended {
				t.Errorf("%q in pieces of %d: %q, rest %q, ended %v", tt.in, n, out, rest, ended)
			}
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\nx", "\n.\n", "\r.\r", "..\r\n.\r\r\n", ".\r", "\r\n.\r\n.\r\n"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, in string, n int) {
		if n < 1 || n > 1000 {
			return
		}
		out, rest, ended := passAll(in, n)
		whole, wholeRest, wholeEnded := passAll(in, len(in)+1)
		if out != whole || rest != wholeRest || ended != wholeEnded {
			t.Fatalf("%q: in pieces %q, at once %q", in, out, whole)
		}
		body := "\r\n" + out
		if ended {
			var ok bool
			if body, ok = strings.CutSuffix(body, "\r\n.\r\n"); !ok {
				t.Fatalf("%q ended with %q", in, out)
			}
			body += "\r\n"
		}
		for _, end := range []string{"\n.\n", "\n.\r", "\r.\r", "\r.\n"} {
			if strings.Contains(body, end) {
				t.Fatalf("%q: %q contains %q", in, out, end)
			}
		}
		if strings.ReplaceAll(out+rest, ".", "") != strings.TrimRight(strings.ReplaceAll(in, ".", ""), "\r") && strings.ReplaceAll(out+rest, ".", "") != strings.ReplaceAll(in, ".", "") {
			t.Fatalf("%q became %q", in, out+rest)
		}
	})
}

// follow plays a dialogue: lines that begin with "> " are the listener's.
func follow(d *dialog, lines ...string) (toListener string, shown []string) {
	d.pending = []kind{greeting}
	d.showCommand = func(l string) { shown = append(shown, "< "+l) }
	d.showReply = func(l string) { shown = append(shown, "> "+l) }
	d.begins = func() { shown = append(shown, "text") }
	var out []byte
	for _, l := range lines {
		if reply, ok := strings.CutPrefix(l, "> "); ok {
			d.fromListener([]byte(reply + "\r\n"))
		} else {
			out, _ = d.fromHost(out, []byte(l+"\r\n"))
		}
	}
	return string(out), shown
}

func TestADialogueIsFollowed(t *testing.T) {
	d := &dialog{}
	out, shown := follow(d, "> 220-multi", "> 220 hi", "EHLO a", "> 250-x", "> 250 PIPELINING", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA",
		"> 250 ok", "> 250 ok", "> 354 go", "QUIT", "354 no", ".", "> 250 taken", "RSET", "> 250 ok", "QUIT", "> 221 bye")
	want := []string{"> 220-multi", "> 220 hi", "< EHLO a", "> 250-x", "> 250 PIPELINING", "< MAIL FROM:<a@b>", "< RCPT TO:<c@d>", "< DATA",
		"> 250 ok", "> 250 ok", "> 354 go", "text", "> 250 taken", "< RSET", "> 250 ok", "< QUIT", "> 221 bye"}
	if !slices.Equal(shown, want) {
		t.Errorf("shown %q", shown)
	}
	if !strings.HasSuffix(out, "QUIT\r\n354 no\r\n.\r\nRSET\r\nQUIT\r\n") || d.accepted != 1 || !d.quit || d.inHand() || len(d.pending) != 0 {
		t.Errorf("%q %+v", out, d)
	}
}

func TestWhatIsInHand(t *testing.T) {
	begin := []string{"> 220 hi", "EHLO a", "> 250 x", "MAIL FROM:<a@b>", "> 250 ok", "RCPT TO:<c@d>", "> 250 ok"}
	for _, tt := range []struct {
		name   string
		then   []string
		inHand bool
		taken  int
	}{
		{"before DATA", nil, false, 0},
		{"DATA refused", []string{"DATA", "> 554 no"}, false, 0},
		{"in the text", []string{"DATA", "> 354 go", "a"}, true, 0},
		{"before the verdict", []string{"DATA", "> 354 go", "."}, true, 0},
		{"a verdict of two lines", []string{"DATA", "> 354 go", ".", "> 250-a"}, true, 0},
		{"taken", []string{"DATA", "> 354 go", ".", "> 250 a"}, false, 1},
		{"refused", []string{"DATA", "> 354 go", ".", "> 550 a"}, false, 0},
		{"in a chunk", []string{"BDAT 10", "abc"}, true, 0},
		{"behind a chunk", []string{"BDAT 5", "abc", "> 250 ok"}, false, 0},
		{"behind the last chunk", []string{"BDAT 5 LAST", "abc"}, true, 0},
		{"the last chunk was taken", []string{"BDAT 5 LAST", "abc", "> 250 ok"}, false, 1},
		{"an empty last chunk", []string{"BDAT 0 LAST", "> 250 ok"}, false, 1},
		{"a chunk without a length", []string{"BDAT", "> 501 what"}, false, 0},
		{"a negative chunk", []string{"BDAT -5", "> 501 what"}, false, 0},
	} {
		d := &dialog{}
		if follow(d, append(slices.Clone(begin), tt.then...)...); d.inHand() != tt.inHand || d.accepted != tt.taken {
			t.Errorf("%s: in hand %v, taken %d", tt.name, d.inHand(), d.accepted)
		}
	}
}

// SECURITY: secrets and texts stay out of traces.
func TestNothingSecretIsShown(t *testing.T) {
	d := &dialog{}
	_, shown := follow(d, "> 220 hi", "AUTH PLAIN c2VjcmV0", "> 235 ok", "AUTH LOGIN", "> 334 VXNlcg==", "c2VjcmV0", "> 334 UGFzcw==", "c2VjcmV0", "> 235 ok",
		"BDAT 10 LAST", "c2VjcmV0", "> 250 ok", "DATA", "> 354 go", "c2VjcmV0", ".", "> 250 ok", "STARTTLS", "> 220 go", "c2VjcmV0", "> c2VjcmV0")
	if all := strings.Join(shown, "\n"); strings.Contains(all, "c2VjcmV0") || strings.Count(all, "*") != 4 {
		t.Errorf("shown %q", shown)
	}
	if !d.unseen {
		t.Error("TLS was not noticed")
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	d := &dialog{}
	follow(d)
	if _, err := d.fromHost(nil, bytes.Repeat([]byte("NOOP\r\n"), maxPending+2)); err != errFlood {
		t.Errorf("%v", err)
	}
	d = &dialog{}
	follow(d)
	long := bytes.Repeat([]byte("x"), 1<<20)
	if out, err := d.fromHost(nil, long); err != nil || !bytes.Equal(out, long) || len(d.line) > maxLine {
		t.Errorf("%d of a line are kept, %v", len(d.line), err)
	}
	d.fromListener(long)
	if len(d.reply) > maxLine {
		t.Errorf("%d of a reply are kept", len(d.reply))
	}
}

func TestChooseMechanisms(t *testing.T) {
	for _, tt := range []struct {
		option, offered string
		private         bool
		want            string
		err             error
	}{
		{"", "", false, "CRAM-MD5", nil},
		{"any", "PLAIN CRAM-MD5 LOGIN", true, "CRAM-MD5", nil},
		{"password", "cram-md5", false, "CRAM-MD5", nil},
		{"any", "SCRAM-SHA-1 SCRAM-SHA-256", false, "SCRAM-SHA-256", nil},
		{"any", "PLAIN LOGIN", true, "PLAIN", nil},
		{"any", "PLAIN LOGIN", false, "", errNone},
		{"cram-md5", "", false, "CRAM-MD5", nil},
		{"scram", "SCRAM-SHA-1", false, "SCRAM-SHA-1", nil},
		{"oauthbearer", "OAUTHBEARER XOAUTH2", true, "OAUTHBEARER", nil},
		{"oauthbearer", "XOAUTH2", true, "XOAUTH2", nil},
		{"xoauth2", "XOAUTH2", false, "", errInClear},
		{"plain", "", false, "", errInClear},
		{"login", "", true, "LOGIN", nil},
		{"external", "", false, "EXTERNAL", nil},
		{"kerberos_v5", "", false, "GSSAPI", nil},
		{"ntlm", "NTLM", false, "NTLM", nil},
		{"ssh", "CRAM-MD5", false, "", nil},
		{"msn", "", false, "", errUnknown},
		{"apop", "", false, "", errUnknown},
	} {
		got, err := choose(tt.option, strings.Fields(tt.offered), tt.private)
		if strings.Join(got, " ") != tt.want || err != tt.err {
			t.Errorf("%q of %q, private %v: %q, %v", tt.option, tt.offered, tt.private, got, err)
		}
	}
}
