package notice

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// recorded is what fetchmail 6.4.37 has sent in the same situation (TZ=UTC).
func recorded(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var ids = regexp.MustCompile(`padme-hum-(\d+)-(\d+)-(\d+)`)

func TestBounceAsTheReference(t *testing.T) {
	joe := []byte("Received: a\r\nFrom: Joe <a@b.example>\r\nTo: loc@mail.example.test\r\nStatus: O\r\nSubject: x\r\n\r\n")
	for name, b := range map[string]Bounce{
		"bounce-552": {To: "s@t.example", Reason: TooLarge, Header: joe, Failures: []Failure{{"fmtest@localhost", "552 5.3.4 too big"}}},
		"bounce-rcpt-lines": {To: "s@t.example", Reason: Rejected, Header: joe,
			Failures: []Failure{{"fmtest@localhost", "550-first\n550-5.1.1 second\n550 last"}}},
		"bounce-spam": {To: "s@t.example", Reason: Filtered + "\n571 spam", Header: joe, Failures: []Failure{{"fmtest@localhost", "571 spam"}}},
		"bounce-two": {To: "a@b.example", Reason: Rejected, Header: []byte("From: a@b.example\nTo: a@mail.example.test, b@mail.example.test"),
			Failures: []Failure{{"a@localhost", "550 5.1.1 nobody"}, {"b@localhost", "550 5.1.2 noone"}}},
	} {
		t.Run(name, func(t *testing.T) {
			want := recorded(t, name)
			m := ids.FindSubmatch(want)
			b.PID, _ = strconv.Atoi(string(m[1]))
			b.PPID, _ = strconv.Atoi(string(m[2]))
			sec, _ := strconv.ParseInt(string(m[3]), 10, 64)
			b.Host, b.Time = "client.example.test", time.Unix(sec, 0).UTC()
			var got bytes.Buffer
			if n, err := b.WriteTo(&got); err != nil || n != int64(got.Len()) {
				t.Fatalf("%d, %v", n, err)
			}
			same(t, got.Bytes(), want)
		})
	}
}

func same(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestWarningsAsTheReference(t *testing.T) {
	for name, write := range map[string]func(Warning) []byte{
		"oversized": func(w Warning) []byte {
			return w.TooLarge("mail.example.test", "alice", []Oversized{{261, 1}, {2501, 1}}, false)
		},
		"oversized-deleted": func(w Warning) []byte {
			return w.TooLarge("mail.example.test", "alice", []Oversized{{261, 2}, {2501, 1}}, true)
		},
		"login-failed":       func(w Warning) []byte { return w.LoginFailed(false) },
		"login-failed-later": func(w Warning) []byte { return w.LoginFailed(true) },
		"login-restored":     Warning.LoginRestored,
	} {
		t.Run(name, func(t *testing.T) {
			want := recorded(t, name)
			_, date, _ := strings.Cut(string(want), "Date: ")
			date, _, _ = strings.Cut(date, " (UTC)")
			at, err := time.Parse(time.RFC1123Z, date)
			if err != nil {
				t.Fatal(err)
			}
			w := Warning{Host: "client.example.test", Account: "alice@mail.example.test", Time: at.UTC()}
			same(t, write(w), want)
		})
	}
}

func TestTimedOutNamesTheAccount(t *testing.T) {
	got := string(Warning{Host: "h", Account: "joe@x\r\nBcc: evil", Time: time.Unix(0, 0).UTC()}.TimedOut(20))
	if !strings.Contains(got, "20 timeouts") || !strings.Contains(got, "joe@x  Bcc: evil") || strings.Contains(got, "\nBcc:") {
		t.Errorf("%q", got)
	}
}

func TestTheNullSenderIsNeverAnswered(t *testing.T) {
	var out bytes.Buffer
	if _, err := (Bounce{Host: "h", Reason: General}).WriteTo(&out); !errors.Is(err, ErrNullSender) || out.Len() > 0 {
		t.Errorf("%v, wrote %q", err, out.Bytes())
	}
}

// TestStrangersCannotAddFields: addresses and replies come from outside.
func TestStrangersCannotAddFields(t *testing.T) {
	var out bytes.Buffer
	b := Bounce{Host: "h", To: "a@b\r\nBcc: x@y", Reason: General, Failures: []Failure{{"u\r\nBcc: z", "550 no\r550 \x1b[2J\x00"}},
		Header: []byte("Subject: x\nX: y\r\n\r\n\r\n"), Time: time.Unix(0, 0).UTC()}
	if _, err := b.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"\nBcc:", "\x1b", "\x00", "\r550"} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("%q in %q", bad, out.String())
		}
	}
	if n := strings.Count(strings.ReplaceAll(out.String(), "\r\n", ""), "\n"); n > 0 {
		t.Errorf("%d bare line feeds in %q", n, out.String())
	}
}

func TestStatus(t *testing.T) {
	for reply, want := range map[string]string{ // as the reference reads them
		"550-5.1.1 a\n550 5.1.1 b": "5.1.1", "550-first\n550 5.1.1 last": "5.0.0", "550 5.1 x": "5.0.0", "550 5.1.1": "5.0.0",
		"550 4.1.1 x": "4.1.1", "550 5.1.1x y": "5.1.1", "550 5.10.200 z": "5.0.0", "550 x 5.1.1": "5.0.0", "550  5.1.1 two": "5.0.0",
		"550 5..1 z": "5.0.0", "": "5.0.0", "550 ": "5.0.0",
	} {
		if got := status(reply); got != want {
			t.Errorf("%q: %s, want %s", reply, got, want)
		}
	}
}

func TestAReportMayHoldTheWholeMessage(t *testing.T) {
	const head, text = "From: a@b\r\nSubject: x\r\n\r\n", "text\r\n\r\n--foo-mani-padme-hum-1-2-0--\r\n"
	b := Bounce{Host: "h", To: "boss", Reason: General, Failures: []Failure{{"joe@h", "554 no"}}, Header: []byte(head), Time: time.Unix(0, 0).UTC(), PID: 1, PPID: 2}
	var bounds []string
	for range 2 {
		var out bytes.Buffer
		b.Whole = strings.NewReader(text)
		if n, err := b.WriteTo(&out); err != nil || n != int64(out.Len()) {
			t.Fatalf("%d of %d, %v", n, out.Len(), err)
		}
		_, bound, _ := strings.Cut(out.String(), "boundary=\"")
		bound, _, _ = strings.Cut(bound, "\"")
		if !strings.HasSuffix(out.String(), "\r\nContent-Type: message/rfc822\r\n\r\n"+head+text+"\r\n--"+bound+"--\r\n") || strings.Count(out.String(), bound) != 5 {
			t.Errorf("%q", out.String())
		}
		bounds = append(bounds, bound)
	}
	if bounds[0] == bounds[1] {
		t.Error("the boundary can be foreseen")
	}
	b.Whole = iotest.ErrReader(errors.New("cut"))
	if _, err := b.WriteTo(io.Discard); err == nil {
		t.Error("a message that broke off is a whole one")
	}
}
