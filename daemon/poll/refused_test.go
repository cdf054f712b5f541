package poll

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"fetchmail/deliver"
	"fetchmail/deliver/header"
	"fetchmail/deliver/route"
	"fetchmail/protocols"
)

// grave is a dead letter folder.
type grave struct {
	*world
	full bool
	text []string
}

func (g *grave) Name() string { return "/dead" }
func (g *grave) Close() error { return nil }
func (g *grave) Begin(_ context.Context, e deliver.Envelope) (deliver.Delivery, error) {
	if g.full {
		return nil, &deliver.Fault{Kind: deliver.File, Err: errors.New("disk full")}
	}
	return &buried{grave: g}, nil
}

type buried struct {
	*grave
	s strings.Builder
}

func (b *buried) Write(p []byte) (int, error) { return b.s.Write(p) }
func (b *buried) Recipients() deliver.Outcome { return deliver.Outcome{} }
func (b *buried) Abort() error                { b.note("grave abandoned"); return nil }
func (b *buried) Commit(context.Context) (deliver.Outcome, error) {
	b.text = append(b.text, b.s.String())
	b.note("buried")
	return deliver.AllAtEnd([]string{"joe"}, deliver.Accepted, deliver.Reply{}), nil
}

// refuseSecond makes the listener refuse the second of three messages.
func refuseSecond(stage deliver.Stage) *world {
	w := &world{mail: letters(3), begin: map[int]error{}, verdict: map[int]deliver.Class{}, bounced: map[string]bool{}}
	if stage == deliver.AtEnd {
		w.verdict[2] = deliver.Refused
	} else {
		w.begin[2] = refusal(stage, deliver.Refused)
	}
	return w
}

// first is how the log begins in every case; the verdict on message 2 is there only if its text was sent.
func first(stage deliver.Stage) string {
	second := ""
	if stage == deliver.AtEnd {
		second = "verdict 2; "
	}
	return "fetch 1; verdict 1; record u1; delete 1; fetch 2; " + second + "fetch 3; verdict 3; record u3; delete 3; "
}

var stages = []deliver.Stage{deliver.AtMail, deliver.AtRcpt, deliver.AtData, deliver.AtEnd}

func TestADeadLetterIsDeletedOnlyWhenItIsInItsFolder(t *testing.T) {
	for _, stage := range stages {
		for _, full := range []bool{false, true} {
			w := refuseSecond(stage)
			g := &grave{world: w, full: full}
			j := w.job(Rules{BounceMail: true, SoftBounce: true, OnReject: RejectDeadLetter})
			j.DeadLetter = func() deliver.Sink { return g }
			j.Bounce = func(context.Context, Failure) (string, error) { t.Error("the sender was told"); return "", nil }
			if res := j.Run(t.Context(), nil); res.Status != Success || res.Fetched != 3 {
				t.Errorf("%+v", res)
			}
			if full {
				w.expect(t, first(stage)+"fetch 2; sync; commit; forget u1; forget u3; sink closed")
				continue
			}
			w.expect(t, first(stage)+"fetch 2; buried; record u2; delete 2; sync; commit; forget u1; forget u3; forget u2; sink closed")
			if want := strings.ReplaceAll(w.mail[1], "\r", ""); len(g.text) != 1 || g.text[0] != want {
				t.Errorf("%q, want %q", g.text, want)
			}
		}
	}
}

// TestADeadLetterThatIsEmptyTheSecondTimeStays: the server had the text when the message was refused.
func TestADeadLetterThatIsEmptyTheSecondTimeStays(t *testing.T) {
	w := refuseSecond(deliver.AtEnd)
	w.vanish = 2
	g := &grave{world: w}
	j := w.job(Rules{OnReject: RejectDeadLetter})
	j.DeadLetter = func() deliver.Sink { return g }
	j.Run(t.Context(), nil)
	w.expect(t, first(deliver.AtEnd)+"fetch 2; sync; commit; forget u1; forget u3; sink closed")
}

func TestADeadLetterThatBreaksOffIsAbandoned(t *testing.T) {
	w := refuseSecond(deliver.AtMail)
	w.breakAt = 2
	g := &grave{world: w}
	j := w.job(Rules{OnReject: RejectDeadLetter})
	j.DeadLetter = func() deliver.Sink { return g }
	if res := j.Run(t.Context(), nil); res.Status != Socket {
		t.Errorf("%+v", res)
	}
	w.expect(t, first(deliver.AtMail)+"fetch 2; grave abandoned; sink closed")
}

func TestWithoutBouncemailTheWholeMessageReachesThePostmaster(t *testing.T) {
	for _, stage := range stages {
		for err, end := range map[error]string{
			nil:                "fetch 2; record u2; delete 2; sync; commit; forget u1; forget u3; forget u2; sink closed",
			errors.New("down"): "fetch 2; sync; commit; forget u1; forget u3; sink closed",
		} {
			w := refuseSecond(stage)
			j := w.job(Rules{})
			j.Edit.Postmaster = "boss"
			reports := 0
			j.Bounce = func(_ context.Context, f Failure) (string, error) {
				reports++
				text, _ := io.ReadAll(f.Whole)
				if whole := string(f.Header) + string(text); whole != w.mail[1] {
					t.Errorf("%q, want %q", whole, w.mail[1])
				}
				return "boss", err
			}
			j.Run(t.Context(), nil)
			if w.expect(t, first(stage)+end); reports != 1 {
				t.Errorf("%d reports", reports)
			}
		}
	}
}

func TestWithoutAPostmasterSuchAMessageIsDiscarded(t *testing.T) {
	w := refuseSecond(deliver.AtEnd)
	j := w.job(Rules{})
	j.Bounce = func(context.Context, Failure) (string, error) { t.Error("somebody was told"); return "", nil }
	j.Run(t.Context(), nil)
	w.expect(t, "fetch 1; verdict 1; record u1; delete 1; fetch 2; verdict 2; record u2; delete 2; fetch 3; verdict 3; record u3; delete 3; "+
		"sync; commit; forget u1; forget u2; forget u3; sink closed")
	warned := false
	for _, e := range w.events {
		_, is := e.(Warned)
		warned = warned || is
	}
	if !warned {
		t.Error("nothing was said about it")
	}
}

func TestOnrejectKeepTellsNobody(t *testing.T) {
	w := refuseSecond(deliver.AtEnd)
	j := w.job(Rules{BounceMail: true, OnReject: RejectKeep})
	j.Bounce = func(context.Context, Failure) (string, error) { t.Error("the sender was told"); return "", nil }
	j.Run(t.Context(), nil)
	w.expect(t, first(deliver.AtEnd)+"sync; commit; forget u1; forget u3; sink closed")
}

// TestWhoIsRefusedIsReportedThoughThePostmasterIsPutOff: the postmaster is asked in the same transaction, and may answer
// that it is too early.
func TestWhoIsRefusedIsReportedThoughThePostmasterIsPutOff(t *testing.T) {
	w := &world{mail: letters(1), begin: map[int]error{}, bounced: map[string]bool{}}
	for i := range 4 {
		f := refusal(deliver.AtRcpt, deliver.Refused).(*deliver.Fault)
		f.Outcome.Status = append(f.Outcome.Status, deliver.Status{To: "boss", Stage: deliver.AtRcpt, Reply: deliver.Reply{Code: 450, Text: "450 later"}})
		w.begin[i] = f
	}
	reports := 0
	for range 3 {
		j := w.job(Rules{BounceMail: true})
		j.Bounce = func(_ context.Context, f Failure) (string, error) {
			if reports++; len(f.Status) != 1 || f.Status[0].To != "joe@localhost" {
				t.Errorf("%+v", f)
			}
			return f.Sender, nil
		}
		j.Run(t.Context(), nil)
	}
	if reports != 1 || !w.bounced["u1"] {
		t.Errorf("%d reports, remembered: %v", reports, w.bounced)
	}
	for _, l := range w.log {
		if strings.HasPrefix(l, "delete") {
			t.Errorf("deleted: %v", w.log)
		}
	}
}

// lmtpSink is a listener that accepts everybody at first and then takes the text for some.
type lmtpSink struct {
	*world
	end []deliver.Class
}

func (lmtpSink) Name() string { return "/lmtp" }
func (lmtpSink) Close() error { return nil }
func (lmtpSink) LMTP() bool   { return true }
func (s lmtpSink) Begin(context.Context, deliver.Envelope) (deliver.Delivery, error) {
	return &lmtpText{s}, nil
}

type lmtpText struct{ lmtpSink }

func (d *lmtpText) Write(p []byte) (int, error) { return len(p), nil }
func (d *lmtpText) Abort() error                { return nil }
func (d *lmtpText) Recipients() deliver.Outcome {
	return deliver.AllAtEnd([]string{"a", "b", "c"}, deliver.Accepted, deliver.Reply{Code: 250})
}
func (d *lmtpText) Commit(context.Context) (deliver.Outcome, error) {
	o := d.Recipients()
	for i, c := range d.end {
		o.Status[i].Class, o.Status[i].Reply = c, deliver.Reply{Code: 550, Text: "550 no"}
	}
	return o, nil
}

func TestAReportNamesThoseWhoWereRefusedAndNobodyElse(t *testing.T) {
	const a, r, d = deliver.Accepted, deliver.Refused, deliver.Deferred
	for _, tt := range []struct {
		end  []deliver.Class
		want string
	}{
		{[]deliver.Class{a, a, a}, ""},
		{[]deliver.Class{a, r, a}, "b"},
		{[]deliver.Class{r, a, r}, "ac"},
		{[]deliver.Class{r, r, r}, "abc"},
		{[]deliver.Class{d, r, a}, "b"},
		{[]deliver.Class{d, d, a}, ""},
	} {
		w := &world{mail: letters(1), bounced: map[string]bool{}}
		j := w.job(Rules{BounceMail: true, SoftBounce: true})
		j.Sink = func(string) deliver.Sink { return lmtpSink{w, tt.end} }
		got := ""
		j.Route = func(string) Router { return threeRoute{} }
		j.Bounce = func(_ context.Context, f Failure) (string, error) {
			for _, s := range f.Status {
				got += s.To
			}
			return f.Sender, nil
		}
		j.Run(t.Context(), nil)
		if got != tt.want {
			t.Errorf("%v: %q in the report, want %q", tt.end, got, tt.want)
		}
	}
}

type threeRoute struct{}

func (threeRoute) Route(context.Context, *header.Block, string) (route.Result, error) {
	return route.Result{Recipients: []string{"a", "b", "c"}}, nil
}

func TestReceivedNamesTheOneWhoWasAccepted(t *testing.T) {
	b := &box{run: &run{Job: &Job{}}}
	st := func(to string, c deliver.Class) deliver.Status {
		return deliver.Status{To: to, Class: c, Stage: deliver.AtRcpt}
	}
	for _, tt := range []struct {
		known []deliver.Status
		want  string
	}{
		{[]deliver.Status{st("a@h", deliver.Accepted)}, "a@h"},
		{[]deliver.Status{st("a@h", deliver.Accepted), st("b@h", deliver.Accepted)}, ""},
		{[]deliver.Status{st("a@h", deliver.Refused), st("b@h", deliver.Accepted)}, "b@h"},
		{[]deliver.Status{st("a@h", deliver.Accepted), st("b@h", deliver.Refused)}, "a@h"},
	} {
		if got := b.received(route.Result{Recipients: []string{"a", "b"}}, deliver.Outcome{Status: tt.known}).For; got != tt.want {
			t.Errorf("%v: for %q, want %q", tt.known, got, tt.want)
		}
	}
}

// smallDisk is a file that does not take messages with a word in them.
type smallDisk struct {
	receiver
	word    string
	atClose bool
}

func (s smallDisk) Begin(ctx context.Context, e deliver.Envelope) (deliver.Delivery, error) {
	d, err := s.receiver.Begin(ctx, e)
	if err != nil {
		return nil, err
	}
	return &onSmallDisk{d.(*delivery), s}, nil
}

type onSmallDisk struct {
	*delivery
	disk smallDisk
}

var errDiskFull = errors.New("no space left on device")

func (d *onSmallDisk) Write(p []byte) (int, error) {
	if !d.disk.atClose && strings.Contains(string(p), d.disk.word) {
		return 0, &deliver.Fault{Kind: deliver.File, Stage: deliver.AtText, Err: errDiskFull}
	}
	return d.delivery.Write(p)
}

func (d *onSmallDisk) Commit(ctx context.Context) (deliver.Outcome, error) {
	if d.disk.atClose && strings.Contains(d.text.String(), d.disk.word) {
		d.note("unwritten %d", d.num)
		return deliver.Outcome{}, &deliver.Fault{Kind: deliver.File, Stage: deliver.AtEnd, Err: errDiskFull}
	}
	return d.delivery.Commit(ctx)
}

// TestAMessageThatCannotBeWrittenDoesNotHoldUpTheOthers: it stays, they come, and the poll tells of it at its end.
func TestAMessageThatCannotBeWrittenDoesNotHoldUpTheOthers(t *testing.T) {
	for _, atClose := range []bool{false, true} {
		w := &world{mail: letters(3)}
		j := w.job(Rules{})
		j.Folders = []string{"one", "two"}
		j.Sink = func(string) deliver.Sink { return smallDisk{receiver{w}, "text 1", atClose} }
		res := j.Run(t.Context(), nil)
		if res.Status != BSMTP || !errors.Is(res.Err, errDiskFull) || res.Fetched != 6 {
			t.Errorf("%+v", res)
		}
		first := "fetch 1; abort 1; "
		if atClose {
			first = "fetch 1; unwritten 1; "
		}
		want := first + "fetch 2; verdict 2; record u2; delete 2; fetch 3; verdict 3; record u3; delete 3; sync; commit; forget u2; forget u3; "
		if got := strings.Join(w.log, "; "); !strings.HasPrefix(got, want) || strings.Count(got, "sync") != 2 {
			t.Errorf("what was done:\n got %s\nwant %s and the same again", got, want)
		}
		told := 0
		for _, e := range w.events {
			if _, is := e.(Failed); is {
				told++
			}
		}
		if told != 1 || strings.Contains(strings.Join(w.log, "; "), "delete 1") {
			t.Errorf("told %d times; %v", told, w.log)
		}
	}
}

// TestADiskThatIsFullEndsThePoll: it is not tried with each of many messages.
func TestADiskThatIsFullEndsThePoll(t *testing.T) {
	w := &world{mail: letters(20)}
	j := w.job(Rules{})
	j.Sink = func(string) deliver.Sink { return smallDisk{receiver{w}, "text", true} }
	if res := j.Run(t.Context(), nil); res.Status != BSMTP || res.Fetched != mostFailures {
		t.Errorf("%+v", res)
	}
	w = &world{mail: letters(20), begin: map[int]error{2: &deliver.Fault{Kind: deliver.File, Err: errDiskFull}}}
	if res := w.job(Rules{}).Run(t.Context(), nil); res.Status != BSMTP || res.Fetched != 2 {
		t.Errorf("a folder that cannot be opened: %+v", res)
	}
	w.expect(t, "fetch 1; verdict 1; record u1; delete 1; fetch 2; sync; commit; forget u1; sink closed")
}

// TestWhatTheNullSenderSentGoesToThePostmaster: nobody can be told that it was refused, so that deleted would be lost.
func TestWhatTheNullSenderSentGoesToThePostmaster(t *testing.T) {
	for err, end := range map[error]string{
		nil:                "fetch 2; record u2; delete 2; sync; commit; forget u1; forget u3; forget u2; sink closed",
		errors.New("down"): "fetch 2; sync; commit; forget u1; forget u3; sink closed",
	} {
		w := refuseSecond(deliver.AtEnd)
		w.mail[1] = "Return-Path: <>\r\n" + w.mail[1]
		j := w.job(Rules{BounceMail: true})
		j.Edit.Postmaster = "boss"
		j.Bounce = func(_ context.Context, f Failure) (string, error) {
			if f.Whole == nil || f.Sender != "" {
				t.Errorf("%+v", f)
			}
			return "boss", err
		}
		j.Run(t.Context(), nil)
		w.expect(t, first(deliver.AtEnd)+end)
	}
}

// TestTheNullSenderIsNeverTold: a report of a report would never come to an end.
func TestTheNullSenderIsNeverTold(t *testing.T) {
	for _, stage := range []deliver.Stage{deliver.AtMail, deliver.AtRcpt, deliver.AtEnd} {
		for _, soft := range []bool{true, false} {
			w := refuseSecond(stage)
			w.mail[1] = "Return-Path: <>\r\n" + w.mail[1]
			j := w.job(Rules{BounceMail: true, SoftBounce: soft})
			j.Bounce = func(_ context.Context, f Failure) (string, error) {
				t.Errorf("%v, %v: report to %q", stage, soft, f.Sender)
				return "", nil
			}
			j.Run(t.Context(), nil)
		}
	}
}

// TestWhoIsRefusedWhileOthersHaveTheMessageIsAlwaysReported: it is deleted, so that nobody would hear of it.
func TestWhoIsRefusedWhileOthersHaveTheMessageIsAlwaysReported(t *testing.T) {
	const a, r = deliver.Accepted, deliver.Refused
	for _, sender := range []string{"", "Return-Path: <>\r\n"} {
		for _, tt := range []struct {
			end     []deliver.Class
			partial bool
		}{{[]deliver.Class{a, r, a}, true}, {[]deliver.Class{r, r, r}, false}} {
			w := &world{mail: letters(1), bounced: map[string]bool{}}
			w.mail[0] = sender + w.mail[0]
			j := w.job(Rules{SoftBounce: true})
			j.Edit.Postmaster = "boss"
			j.Sink = func(string) deliver.Sink { return lmtpSink{w, tt.end} }
			j.Route = func(string) Router { return threeRoute{} }
			var told []Failure
			j.Bounce = func(_ context.Context, f Failure) (string, error) {
				told = append(told, f)
				return "boss", nil
			}
			j.Run(t.Context(), nil)
			if len(told) != 1 || told[0].Partial != tt.partial || tt.partial == (told[0].Whole != nil) {
				t.Errorf("%q, %v: %+v", sender, tt.end, told)
			}
		}
	}
}

// waiting is a server that tells of a new message once.
type waiting struct {
	*world
	waits int
	stop  chan struct{}
}

func (w *waiting) CanWait() bool { return true }
func (w *waiting) Wait(ctx context.Context, _ <-chan struct{}) error {
	if w.waits++; w.waits == 1 {
		w.mail = append(w.mail, letters(4)[3])
		w.note("wait")
		return nil
	}
	close(w.stop)
	<-ctx.Done()
	return ctx.Err()
}

// TestAPollThatWaitsLeavesWhatCannotBeWritten: mail goes on to come at once, and the message is not fetched each time.
func TestAPollThatWaitsLeavesWhatCannotBeWritten(t *testing.T) {
	w := &waiting{world: &world{mail: letters(2), removes: true, traits: protocols.Traits{Protocol: "IMAP", ServerSeen: true}}, stop: make(chan struct{})}
	j := w.job(Rules{Idle: true})
	j.Open = func(context.Context) (protocols.Session, error) { w.sessions++; return w, nil }
	j.Sink = func(string) deliver.Sink { return smallDisk{receiver{w.world}, "text 1", true} }
	if res := j.Run(t.Context(), w.stop); res.Err != nil || res.Fetched != 3 || w.sessions != 1 || w.waits != 2 {
		t.Errorf("%+v, %d sessions, %d waits", res, w.sessions, w.waits)
	}
	if len(w.delivered) != 2 || !strings.Contains(w.delivered[1], "text 4") || len(w.mail) != 1 {
		t.Errorf("delivered %q, left %q", w.delivered, w.mail)
	}
	told := 0
	for _, e := range w.events {
		if _, is := e.(Failed); is {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}
