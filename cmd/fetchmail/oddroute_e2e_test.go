package main_test

import (
	"fmt"
	"math/rand"
	"regexp"
	"strings"
	"testing"

	"fetchmail/deliver/reftest"
	"fetchmail/protocols/mailtest/real"
)

// routeConfigs is how many configurations are made up for each run; ODD_MESSAGES asks for more of them, too.
const routeConfigs = 12

// routeConfig makes up a multidrop configuration. Of each list one element is taken, "" as often as any other.
func routeConfig(r *rand.Rand) (server, user, locals string) {
	one := func(of ...string) string { return of[r.Intn(len(of))] + " " }
	server = "no dns bad-header accept " +
		one("", "", "envelope X-Envelope-To", "envelope 1 X-Envelope-To", "envelope 2 Delivered-To", "envelope Delivered-To", "envelope Received",
			"envelope 1 Received", "envelope 0 To", "no envelope") +
		one("", "", "qvirtual pre-", "qvirtual a", "qvirtual PRE-") +
		one("", "aka aka.example", "aka aka.example far.example", "aka example") +
		one("", "localdomains dom.example", "localdomains x.dom.example y.example", "localdomains localhost") +
		one("", "tracepolls")
	locals = one("a b=bob c", "a=joe b=sue *", "*", "a b", "x@y.example=joe a b", "d@dom.example=dan a *", "a=joe@elsewhere.example b=bob", "A=joe B=sue")
	user = one("", "", "no rewrite", "smtpaddress mda.example", "smtpname all@one.example")
	return server, user, locals
}

var (
	emptyName = regexp.MustCompile(`(^|["< ])@|^$|^ | $|  `) // it is nobody's
	// A folded address does not get into the warning.
	foldedWarning = regexp.MustCompile(`(X-Fetchmail-Warning: )recipient address [^\r\n]*\r?\n[ \t][^\r\n]*(\r?\n)`)
	bracket       = regexp.MustCompile(`:<[^\r\n]*[<>][^\r\n]*>\r|"[^ ]*[<>]`) // such a name goes to the postmaster
)

// TestOddRecipientsAsTheReference passes generated messages through made up multidrop configurations of the reference
// and ours and compares recipients, headers and what is said.
func TestOddRecipientsAsTheReference(t *testing.T) {
	t.Parallel()
	n, seed := oddAmount(t)
	reference, bin := real.Reference(t), binary(t)
	configs := routeConfigs * max(1, n/oddMessages)
	src := oddSources(t)[0]
	for i := range configs {
		r := rand.New(rand.NewSource(seed + int64(i)<<32))
		server, user, locals := routeConfig(r)
		sink := []string{"smtp", "lmtp", "bsmtp", "mda"}[i%4]
		if sink == "mda" || sink == "bsmtp" {
			user = strings.TrimPrefix(user, "smtpname all@one.example")
		}
		t.Run(fmt.Sprintf("%d %s", i, sink), func(t *testing.T) {
			var msgs [][]byte
			for len(msgs) < oddMessages {
				if m := reftest.Routed(r, len(msgs)); !reftest.Stale(m) {
					msgs = append(msgs, m)
				}
			}
			run := &oddRun{reference: reference, src: src, sink: sink, rc: fmt.Sprintf("set postmaster boss\npoll mylabel via %s proto POP3 port @PORT@ timeout 60 %s\n"+
				" user alice there with password secret is %s here fetchall %s sslproto ''\n @SINK@\n",
				[]string{"localhost", "localhost", "127.0.0.1"}[r.Intn(3)], server, locals, user)}
			t.Log(run.rc)
			run.compare(t, bin, msgs, func(theirs, ours arrival, raw []byte) arrival {
				if emptyName.MatchString(theirs.rest) || bracket.MatchString(theirs.rest) || sink == "mda" && strings.ContainsAny(theirs.rest, "<>") {
					return ours
				}
				theirs.text = foldedWarning.ReplaceAllString(theirs.text, "${1}no recipient addresses matched declared local names$2")
				return theirs.onPurpose(ours, raw, "POP3", sink, "")
			})
		})
	}
}
