package route

import (
	"context"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fetchmail/deliver/header"
	"fetchmail/deliver/reftest"
)

// TestRecipientsAsTheReference routes generated messages and compares the recipients with those of the reference.
func TestRecipientsAsTheReference(t *testing.T) {
	for _, c := range []struct {
		server, user, locals string
		rules                Rules
	}{
		{"no dns", "", "a b=bob c", Rules{}},
		{"no dns", "no rewrite", "a b=bob *", Rules{NoRewrite: true}},
		{"no dns no envelope aka aka.example localdomains dom.example", "", "a b=bob x@y.example=joe",
			Rules{NoEnvelope: true, Aka: []string{"aka.example"}, LocalDomains: []string{"dom.example"}}},
		{"no dns envelope X-Envelope-To qvirtual pre- aka aka.example", "", "a b=bob *",
			Rules{Envelope: "X-Envelope-To", QVirtual: "pre-", Aka: []string{"aka.example"}}},
		{"no dns envelope 1 Received localdomains dom.example", "", "a b=bob *",
			Rules{Envelope: "Received", Skip: 1, LocalDomains: []string{"dom.example"}}},
	} {
		t.Run(c.server+" "+c.user, func(t *testing.T) {
			r := rand.New(rand.NewSource(seed(t)))
			msgs := make([][]byte, 1500)
			for i := range msgs {
				msgs[i] = reftest.Routed(r, i)
			}
			c.rules.Users, c.rules.Wildcard = users(c.locals)
			c.rules.Names, c.rules.Postmaster = []string{"localhost"}, "boss"
			router := New(c.rules, nil)
			bad, seen := 0, 0
			for _, got := range reftest.Run(t, reftest.Config{Global: "set postmaster boss", Server: c.server, User: c.user, Locals: c.locals}, msgs) {
				_, mark, _ := strings.Cut(string(got.Text), "\nX-Mark: ")
				mark, _, _ = strings.Cut(mark, "\r\n")
				n, err := strconv.Atoi(mark)
				if err != nil {
					t.Fatalf("no mark in %q", got.Text)
				}
				seen++
				b, _ := header.Parse(msgs[n][:len(msgs[n])-len("text\r\n")])
				res, err := router.Route(context.Background(), b, "")
				for i, to := range res.Recipients {
					if !strings.Contains(to, "@") {
						res.Recipients[i] = to + "@localhost"
					}
				}
				_, warning, _ := strings.Cut(string(got.Text), "\nX-Fetchmail-Warning: ")
				warning, _, _ = strings.Cut(warning, "\r\n")
				switch {
				case slices.Contains(got.To, "@localhost"):
					continue // an empty local name, to which we send nothing
				case slices.ContainsFunc(got.To, func(to string) bool { return strings.ContainsAny(to, "<>") }):
					continue // which we do not pass on
				case reftest.Stale(msgs[n]):
					continue // the reference sends it where the message before it went
				case !strings.HasSuffix(warning, "name") && !strings.HasSuffix(warning, "names"):
					warning = res.Warning // it has put a folded address into the warning
				}
				if bad < 10 && (err != nil || !slices.Equal(res.Recipients, got.To) || warning != res.Warning) {
					bad++
					t.Errorf("message %q\nreference %q %q\nours      %q %q %v", msgs[n], got.To, warning, res.Recipients, res.Warning, err)
				}
			}
			if seen < len(msgs)/2 {
				t.Errorf("only %d of %d messages came through the reference", seen, len(msgs))
			}
			t.Logf("%d messages compared", seen)
		})
	}
}

// seed is fixed, so that a failure can be repeated, unless the environment asks for another.
func seed(t *testing.T) int64 {
	n, err := strconv.ParseInt(os.Getenv("HOSTILE_SEED"), 10, 64)
	if err != nil {
		return 1
	}
	t.Logf("seed %d", n)
	return n
}
