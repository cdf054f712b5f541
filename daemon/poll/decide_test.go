package poll

import (
	"testing"

	"fetchmail/deliver"
	"fetchmail/protocols"
)

func TestChoose(t *testing.T) {
	const small, large = 100, 5000
	fresh, old := protocols.Item{Size: small}, protocols.Item{Size: small, Seen: true}
	big, oldBig := protocols.Item{Size: large}, protocols.Item{Size: large, Seen: true}
	for _, tt := range []struct {
		name    string
		item    protocols.Item
		pending bool
		rules   Rules
		want    Choice
	}{
		{"a new message is fetched", fresh, false, Rules{}, Fetch},
		{"an old message is left alone", old, false, Rules{}, Leave},
		{"fetchall fetches old messages", old, false, Rules{FetchAll: true}, Fetch},
		{"flush deletes old messages", old, false, Rules{Flush: true}, FlushOld},
		{"flush deletes old messages with keep", old, false, Rules{Flush: true, Keep: true}, FlushOld},
		{"flush leaves new messages to be fetched", fresh, false, Rules{Flush: true}, Fetch},
		{"fetchall leaves nothing for flush", old, false, Rules{Flush: true, FetchAll: true}, Fetch},
		{"a message of exactly the limit is fetched", fresh, false, Rules{MaxSize: small}, Fetch},
		{"a message above the limit stays", big, false, Rules{MaxSize: small}, SkipLarge},
		{"limitflush deletes it", big, false, Rules{MaxSize: small, LimitFlush: true}, FlushLarge},
		{"an old large message is only old", oldBig, false, Rules{MaxSize: small, LimitFlush: true}, Leave},
		{"limit holds for fetchall", oldBig, false, Rules{MaxSize: small, FetchAll: true}, SkipLarge},
		{"what a crash left behind is deleted unread", fresh, true, Rules{}, Remove},
		{"also if all are to be fetched", old, true, Rules{FetchAll: true}, Remove},
		{"with keep it is only marked", fresh, true, Rules{Keep: true}, Confirm},
		{"an unknown size is never too large", protocols.Item{Size: -1}, false, Rules{MaxSize: small}, Fetch},
	} {
		if got := choose(tt.item, tt.pending, tt.rules); got != tt.want {
			t.Errorf("%s: choose = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestSettle(t *testing.T) {
	at := func(c deliver.Class, st deliver.Stage, code int) deliver.Status {
		return deliver.Status{Class: c, Stage: st, Reply: deliver.Reply{Code: code}}
	}
	ok := at(deliver.Accepted, deliver.AtEnd, 250)
	gone := Verdict{Record: true, Delete: true, Seen: true}
	kept := Verdict{Record: true, Seen: true}
	elsewhere := Verdict{Record: true, Delete: true, Seen: true, Elsewhere: true}
	dead := Rules{SoftBounce: true, BounceMail: true, OnReject: RejectDeadLetter}
	soft, hard := Rules{SoftBounce: true, BounceMail: true}, Rules{BounceMail: true}
	for _, tt := range []struct {
		name  string
		st    []deliver.Status
		lmtp  bool
		rules Rules
		want  Verdict
	}{
		{"accepted is deleted", []deliver.Status{ok}, false, soft, gone},
		{"accepted is marked as read with keep", []deliver.Status{ok}, false, Rules{Keep: true}, kept},
		{"no verdict at all keeps it", nil, false, Rules{}, Verdict{}},
		{"4xx at the final dot keeps it", []deliver.Status{at(deliver.Deferred, deliver.AtEnd, 451)}, false, Rules{}, Verdict{}},
		{"4xx at one of two recipients keeps it", []deliver.Status{ok, at(deliver.Deferred, deliver.AtRcpt, 450)}, false, Rules{}, Verdict{}},
		{"5xx at one of two recipients deletes it", []deliver.Status{ok, at(deliver.Refused, deliver.AtRcpt, 550)}, false, soft, gone},
		{"5xx at the final dot keeps it with softbounce", []deliver.Status{at(deliver.Refused, deliver.AtEnd, 554)}, false, soft, Verdict{}},
		{"and deletes it without", []deliver.Status{at(deliver.Refused, deliver.AtEnd, 554)}, false, hard, gone},
		{"but without bouncemail it goes to the postmaster first", []deliver.Status{at(deliver.Refused, deliver.AtEnd, 554)}, false, Rules{}, elsewhere},
		{"so does one whose recipients were refused", []deliver.Status{at(deliver.Refused, deliver.AtRcpt, 550)}, false, Rules{}, elsewhere},
		{"and one that LMTP refuses, even with softbounce", []deliver.Status{at(deliver.Refused, deliver.AtEnd, 550)}, true, Rules{SoftBounce: true}, elsewhere},
		{"not one with 553", []deliver.Status{at(deliver.Refused, deliver.AtMail, 553)}, false, Rules{}, gone},
		{"spam only with spambounce", []deliver.Status{at(deliver.Spam, deliver.AtMail, 571)}, false, Rules{}, gone},
		{"with spambounce spam does, too", []deliver.Status{at(deliver.Spam, deliver.AtMail, 571)}, false, Rules{SpamBounce: true}, elsewhere},
		{"with softbounce it is kept without bouncemail as well", []deliver.Status{at(deliver.Refused, deliver.AtEnd, 554)}, false, Rules{SoftBounce: true}, Verdict{}},
		{"onreject keep is above no softbounce", []deliver.Status{at(deliver.Refused, deliver.AtEnd, 554)}, false, Rules{BounceMail: true, OnReject: RejectKeep}, Verdict{}},
		{"and holds for LMTP", []deliver.Status{at(deliver.Refused, deliver.AtEnd, 550)}, true, Rules{BounceMail: true, OnReject: RejectKeep}, Verdict{}},
		{"onreject bounce is above softbounce", []deliver.Status{at(deliver.Refused, deliver.AtEnd, 554)}, false, Rules{SoftBounce: true, BounceMail: true, OnReject: RejectBounce}, gone},
		{"onreject deadletter takes what is refused anywhere", []deliver.Status{at(deliver.Refused, deliver.AtMail, 553)}, false, dead, elsewhere},
		{"spam too", []deliver.Status{at(deliver.Spam, deliver.AtMail, 571)}, false, dead, elsewhere},
		{"not what is deferred", []deliver.Status{at(deliver.Deferred, deliver.AtMail, 451)}, false, dead, Verdict{}},
		{"nor what somebody has accepted", []deliver.Status{ok, at(deliver.Refused, deliver.AtRcpt, 550)}, false, dead, gone},
		{"with keep a refusal counts as handled", []deliver.Status{at(deliver.Refused, deliver.AtEnd, 554)}, false, Rules{Keep: true, BounceMail: true}, kept},
		{"spam is treated as refused", []deliver.Status{at(deliver.Spam, deliver.AtMail, 571)}, false, soft, Verdict{}},
		{"LMTP: a refusal for good deletes it even with softbounce", []deliver.Status{at(deliver.Refused, deliver.AtEnd, 550)}, true, soft, gone},
		{"LMTP: a refused RCPT is as in SMTP", []deliver.Status{at(deliver.Refused, deliver.AtRcpt, 550)}, true, soft, Verdict{}},
		{"LMTP: the postmaster has taken it", []deliver.Status{at(deliver.Refused, deliver.AtRcpt, 550), ok}, true, soft, gone},
		{"the postmaster would take it later", []deliver.Status{at(deliver.Refused, deliver.AtRcpt, 550), at(deliver.Deferred, deliver.AtRcpt, 450)}, false, hard, Verdict{}},
		{"LMTP: one deferred recipient keeps it", []deliver.Status{ok, at(deliver.Deferred, deliver.AtEnd, 451)}, true, soft, Verdict{}},
	} {
		if got := settle(deliver.Outcome{Status: tt.st}, tt.lmtp, tt.rules); got != tt.want {
			t.Errorf("%s: settle = %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestReportable(t *testing.T) {
	for _, tt := range []struct {
		class deliver.Class
		code  int
		spam  bool
		want  bool
	}{
		{deliver.Refused, 550, false, true},
		{deliver.Refused, 553, false, false}, // the sender's address is what was refused
		{deliver.Spam, 571, false, false},
		{deliver.Spam, 571, true, true},
		{deliver.Deferred, 450, true, false},
		{deliver.Accepted, 250, true, false},
	} {
		s := deliver.Status{Class: tt.class, Reply: deliver.Reply{Code: tt.code}}
		if got := reportable(s, Rules{SpamBounce: tt.spam}); got != tt.want {
			t.Errorf("reportable(%+v, spambounce %v) = %v", s, tt.spam, got)
		}
	}
}
