package header

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/user"
	"regexp"
	"strings"
	"testing"

	"fetchmail/deliver/reftest"
)

var (
	trailer = regexp.MustCompile(`mark (\d+)\r\n$`)
	ours    = regexp.MustCompile(`Received: from localhost[^\n]*\n\tby [^\n]*\n\tfor <joe@localhost> \(single-drop\); [^\n]*\n`)
)

// TestHostileHeadersAsTheReference runs generated messages through the reference and through Parse, Edit and
// LocalSender, under several options, and compares every octet.
func TestHostileHeadersAsTheReference(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		conf reftest.Config
		edit Edit
	}{
		{"default", reftest.Config{Server: "bad-header accept"}, Edit{Rewrite: true}},
		{"no rewrite", reftest.Config{Server: "bad-header accept", User: "no rewrite"}, Edit{}},
		{"drop", reftest.Config{Server: "bad-header accept", User: "dropstatus dropdelivered"},
			Edit{Rewrite: true, DropStatus: true, DropDelivered: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewSource(seed(t)))
			msgs := make([][]byte, 2000)
			for i := range msgs {
				msgs[i] = reftest.Hostile(r, i)
			}
			e := c.edit
			e.Host, e.RemoteUser, e.Received = "localhost", "alice", []byte("Received: TRACE\r\n")
			bad, seen := 0, 0
			for _, got := range reftest.Run(t, c.conf, msgs) {
				m := trailer.FindSubmatch(got.Text)
				if m == nil {
					t.Errorf("no mark in %q", got.Text)
					continue
				}
				raw := msgs[atoi(m[1])]
				seen++
				h := head(raw)
				b, _ := Parse(h)
				text := ours.ReplaceAllString(string(reftest.Unstuffed(got.Text)), "Received: TRACE\r\n")
				text = invoker.ReplaceAllString(text, "To: \r\nSubject: Headerless")
				want := string(b.Edit(e)) + string(b.Rest()) + string(raw[len(h):])
				from, ok := b.LocalSender(e.Rewrite, e.Host)
				if !ok {
					from = me.Username
				}
				if text != want && bad < 10 {
					bad++
					t.Errorf("message %q\nreference %q\nours      %q", raw, text, want)
				}
				body := b.BodyType(false)
				if body != "" {
					body = "BODY=" + body
				}
				if body != got.Params && bad < 10 {
					bad++
					t.Errorf("message %q\nreference %q\nours      %q", raw, got.Params, body)
				}
				if from != got.From && safe(got.From) && bad < 10 {
					bad++
					t.Errorf("message %q\nreference MAIL FROM %q\nours                %q", raw, got.From, from)
				}
			}
			t.Logf("%d messages compared", seen)
			if seen < len(msgs)*9/10 {
				t.Errorf("only %d of %d messages came through the reference", seen, len(msgs))
			}
		})
	}
}

// TestManyMIMEFieldsAsTheReference: of fields that stand there several times, in any order, the same ones count.
func TestManyMIMEFieldsAsTheReference(t *testing.T) {
	fields := []string{"MIME-Version: 1.0", "MIME-Version: 2.0", "Content-Type: text/plain", "Content-Type: image/png",
		"Content-Type: multipart/mixed; boundary=b", "Content-Transfer-Encoding: 7bit", "Content-Transfer-Encoding: 8bit",
		"Content-Transfer-Encoding: quoted-printable", "Content-Transfer-Encoding: base64"}
	for _, user := range []string{"", "mimedecode"} {
		r := rand.New(rand.NewSource(seed(t)))
		msgs := make([][]byte, 800)
		for i := range msgs {
			var head string
			for _, n := range append(r.Perm(4), r.Perm(len(fields))[:2]...) {
				head += fields[min(len(fields)-1, n*2+r.Intn(3))] + "\r\n"
			}
			msgs[i] = fmt.Appendf(nil, "From: x@y.example\r\n%s\r\nb=6Fdy\r\nmark %d\r\n", head, i)
		}
		all := reftest.Run(t, reftest.Config{User: user}, msgs)
		if len(all) != len(msgs) {
			t.Errorf("%d of %d messages came through the reference", len(all), len(msgs))
		}
		for _, got := range all {
			raw := msgs[atoi(trailer.FindSubmatch(got.Text)[1])]
			b, _ := Parse(head(raw))
			want := string(b.Edit(Edit{Received: []byte("Received: TRACE\r\n"), MimeDecode: user != ""}))
			quoted := user != "" && b.MIME().Quoted
			text := ours.ReplaceAllString(string(got.Text), "Received: TRACE\r\n")
			kind := strings.TrimPrefix(got.Params, "BODY=")
			if kind != b.BodyType(false) || !strings.HasPrefix(text, want) || strings.Contains(text, "body") != quoted {
				t.Fatalf("message %q\nreference %s %q\nours      %s %q", raw, kind, text, b.BodyType(false), want)
			}
		}
	}
}

var invoker = regexp.MustCompile(`To: [^\n]*\r\nSubject: Headerless`)

// head is the part of a message that a server would hand out as its header.
func head(raw []byte) []byte {
	for pos := 0; pos < len(raw); {
		next := lineEnd(raw, pos)
		if isBlank(raw[pos:next]) {
			return raw[:next]
		}
		pos = next
	}
	return raw
}

func atoi(b []byte) int {
	n := 0
	for _, c := range b {
		n = n*10 + int(c-'0')
	}
	return n
}

// seed is fixed, so that a failure can be repeated, unless the environment asks for another.
func seed(t *testing.T) int64 {
	if s := os.Getenv("HOSTILE_SEED"); s != "" {
		t.Logf("seed %s", s)
		return int64(atoi(bytes.TrimSpace([]byte(s))))
	}
	return 1
}
