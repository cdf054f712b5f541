package poll

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"fetchmail/deliver"
	"fetchmail/deliver/header"
	"fetchmail/deliver/route"
	"fetchmail/protocols"
)

// world is a server, a receiver and a ledger in memory. It writes down what is done to them, in order.
type world struct {
	mail    []string // texts, number 1 first
	traits  protocols.Traits
	seen    map[int]bool
	pending map[string]bool
	bounced map[string]bool
	known   []string // as Finish has left them
	log     []string

	breakAt   int  // this message breaks off in the middle
	refuseTop int  // the server cannot give this message
	emptied   int  // of this message nothing comes
	vanish    int  // of this one nothing comes the second time
	cutAfter  int  // the connection ends after this many messages
	reverse   bool // messages come last first
	sameUID   bool // all messages have the same
	removes   bool // a commit removes messages in earnest
	sessions  int
	verdict   map[int]deliver.Class
	begin     map[int]error
	commitErr error
	acceptErr error
	readyErr  error
	finished  bool
	delivered []string
	events    []Event
	n         int // deliveries begun
}

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }
func (w *world) Observe(e Event) {
	if _, ok := e.(Progress); !ok {
		w.events = append(w.events, e)
	}
}

func uid(n int) string { return fmt.Sprint("u", n) }

func (w *world) Traits() protocols.Traits { return w.traits }
func (w *world) List(context.Context) (protocols.Listing, error) {
	l := protocols.Listing{Total: len(w.mail), SeenKnown: true, ByUID: !w.traits.ServerSeen}
	for i, m := range w.mail {
		it := protocols.Item{Num: i + 1, UID: uid(i + 1), Size: int64(len(m)), Seen: w.seen[i+1]}
		if w.sameUID {
			it.UID = uid(1)
		}
		l.Items = append(l.Items, it)
	}
	return l, nil
}
func (w *world) Fetch(_ context.Context, items []protocols.Item) iter.Seq2[*protocols.Message, error] {
	return func(yield func(*protocols.Message, error) bool) {
		n := 0
		items = slices.Clone(items)
		if w.reverse {
			slices.Reverse(items)
		}
		for _, it := range items {
			w.note("fetch %d", it.Num)
			m := &protocols.Message{Item: it, HeaderSize: -1, BodySize: -1, Close: func() error { return nil }}
			if it.Num == w.refuseTop {
				if !yield(m, &protocols.Fault{Kind: protocols.Unavailable}) {
					return
				}
				continue
			}
			head, body, _ := strings.Cut(w.mail[it.Num-1], "\r\n\r\n")
			m.Header, m.Body = []byte(head+"\r\n\r\n"), strings.NewReader(body)
			again := strings.Count(strings.Join(w.log, ";"), fmt.Sprint("fetch ", it.Num)) > 1
			if it.Num == w.emptied || it.Num == w.vanish && again {
				m.Header, m.Body = nil, strings.NewReader("")
			}
			if it.Num == w.breakAt {
				m.Body = io.MultiReader(strings.NewReader(body[:1]), broken{})
			}
			if !yield(m, nil) {
				return
			}
			if n++; n == w.cutAfter {
				yield(nil, &protocols.Fault{Kind: protocols.Socket, Phase: protocols.InMessage, Err: io.ErrUnexpectedEOF})
				return
			}
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) {
	return 0, &protocols.Fault{Kind: protocols.Socket, Phase: protocols.InMessage, Err: io.ErrUnexpectedEOF}
}

func (w *world) MarkSeen(_ context.Context, it protocols.Item) error {
	w.note("seen %d", it.Num)
	return nil
}
func (w *world) Delete(_ context.Context, it protocols.Item) error {
	w.note("delete %d", it.Num)
	return nil
}
func (w *world) Commit(context.Context) ([]protocols.Item, error) {
	w.note("commit")
	if w.commitErr != nil {
		return nil, w.commitErr
	}
	var gone []protocols.Item
	for _, l := range w.log {
		var n int
		if _, err := fmt.Sscanf(l, "delete %d", &n); err == nil {
			gone = append(gone, protocols.Item{Num: n, UID: uid(n)})
		}
	}
	if w.removes {
		w.log = nil
		for _, it := range slices.Backward(gone) {
			w.mail = slices.Delete(w.mail, it.Num-1, it.Num)
		}
	}
	return gone, nil
}
func (w *world) Close() error { return nil }

// receiver is the sink of a world.
type receiver struct{ *world }

func (r receiver) Name() string { return "localhost" }
func (r receiver) Close() error { r.note("sink closed"); return nil }
func (r receiver) Begin(_ context.Context, e deliver.Envelope) (deliver.Delivery, error) {
	r.n++
	if err := r.begin[r.n]; err != nil {
		return nil, err
	}
	return &delivery{world: r.world, num: r.n, to: e.To}, nil
}

type delivery struct {
	*world
	num  int
	to   []string
	text strings.Builder
}

func (d *delivery) Write(p []byte) (int, error) { return d.text.Write(p) }
func (d *delivery) Recipients() deliver.Outcome {
	return deliver.Outcome{Status: []deliver.Status{{To: d.to[0], Class: deliver.Accepted, Stage: deliver.AtRcpt}}}
}
func (d *delivery) Commit(context.Context) (deliver.Outcome, error) {
	class, ok := d.verdict[d.num]
	if !ok {
		class = deliver.Accepted
		d.delivered = append(d.delivered, d.text.String())
	}
	d.note("verdict %d", d.num)
	return deliver.Outcome{Status: []deliver.Status{{To: d.to[0], Class: class, Stage: deliver.AtEnd}}}, nil
}
func (d *delivery) Abort() error { d.note("abort %d", d.num); return nil }

// book is the ledger of a world.
type book struct{ *world }

func (b book) Known(u string) bool   { return slices.Contains(b.world.known, u) }
func (b book) Empty() bool           { return len(b.world.known) == 0 }
func (b book) Pending(u string) bool { return b.pending[u] }
func (b book) Bounced(u string) bool { return b.bounced[u] }
func (b book) Bounce(u string) error { b.bounced[u] = true; return nil }
func (b book) Ready() error          { return b.readyErr }
func (b book) Accept(u string) error { b.note("record %s", u); return b.acceptErr }
func (b book) Sync() error           { b.note("sync"); return nil }
func (b book) Removed(u ...string) error {
	b.note("forget %s", strings.Join(u, " "))
	return nil
}
func (b book) Finish(known []string, _ func(string) bool) error {
	b.world.known, b.finished = known, true
	return nil
}

type onlyRoute struct{}

func (onlyRoute) Route(context.Context, *header.Block, string) (route.Result, error) {
	return route.Result{Recipients: []string{"joe"}}, nil
}

func (w *world) job(r Rules) *Job {
	if w.traits.Protocol == "" {
		w.traits = protocols.Traits{Protocol: "POP3", CommitEnds: true}
	}
	return &Job{
		Account: Account{Label: "mail", Host: "mail", User: "alice"}, Protocol: "POP3", Folders: []string{""}, Rules: r,
		Open:   func(context.Context) (protocols.Session, error) { w.sessions++; return w, nil },
		Sink:   func(string) deliver.Sink { return receiver{w} },
		Route:  func(string) Router { return onlyRoute{} },
		Ledger: func(string) Ledger { return book{w} },
		Edit:   Edit{Invisible: true}, Observer: w,
	}
}

func letters(n int) []string {
	var l []string
	for i := range n {
		l = append(l, fmt.Sprintf("From: a@b.example\r\nSubject: %d\r\n\r\ntext %d\r\n", i+1, i+1))
	}
	return l
}

func (w *world) expect(t *testing.T, want string) {
	t.Helper()
	if got := strings.Join(w.log, "; "); got != want {
		t.Errorf("what was done:\n got %s\nwant %s", got, want)
	}
}

func TestRecordComesBeforeDeletionAndSyncBeforeCommit(t *testing.T) {
	w := &world{mail: letters(2)}
	if res := w.job(Rules{}).Run(t.Context(), nil); res.Status != Success || res.Fetched != 2 {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "fetch 1; verdict 1; record u1; delete 1; fetch 2; verdict 2; record u2; delete 2; sync; commit; forget u1; forget u2; sink closed")
	if len(w.known) != 0 || !w.finished {
		t.Errorf("confirmed messages are still known: %v", w.known)
	}
}

func TestABrokenSourceAbortsTheDelivery(t *testing.T) {
	w := &world{mail: letters(3), breakAt: 2}
	res := w.job(Rules{}).Run(t.Context(), nil)
	if res.Status != Socket || res.Fetched != 2 {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "fetch 1; verdict 1; record u1; delete 1; fetch 2; abort 2; sink closed")
	if want := []string{"u1"}; !slices.Equal(w.known, want) {
		t.Errorf("old from now on: %v, want %v", w.known, want)
	}
}

func TestALostAnswerToCommitKeepsTheRecord(t *testing.T) {
	w := &world{mail: letters(1), commitErr: &protocols.Fault{Kind: protocols.Socket, Phase: protocols.Finishing}}
	if res := w.job(Rules{}).Run(t.Context(), nil); res.Status != Socket {
		t.Fatalf("%+v", res)
	}
	if want := []string{"u1"}; !slices.Equal(w.known, want) {
		t.Errorf("old from now on: %v, want %v", w.known, want)
	}
}

func TestWhatIsPendingStaysSoWhereTheServerKnowsWhatIsRead(t *testing.T) {
	w := &world{mail: letters(2), breakAt: 2, traits: protocols.Traits{Protocol: "IMAP", ServerSeen: true}}
	w.job(Rules{}).Run(t.Context(), nil)
	if w.finished {
		t.Error("the record of message 1 was settled although its deletion is not confirmed")
	}
}

func TestNothingIsDeletedWithoutARecord(t *testing.T) {
	w := &world{mail: letters(1), acceptErr: errors.New("disk full")}
	if res := w.job(Rules{}).Run(t.Context(), nil); res.Status != IOErr {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "fetch 1; verdict 1; record u1; sink closed")
}

func TestNothingIsFetchedThatCouldNotBeRecorded(t *testing.T) {
	w := &world{mail: letters(1), readyErr: errors.New("disk full")}
	if res := w.job(Rules{}).Run(t.Context(), nil); res.Status != IOErr || res.Fetched != 0 {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "")
}

func TestDeferredAndRefusedMessagesStayAndTheOthersGoOn(t *testing.T) {
	w := &world{mail: letters(3), verdict: map[int]deliver.Class{1: deliver.Deferred, 2: deliver.Refused}}
	if res := w.job(Rules{SoftBounce: true}).Run(t.Context(), nil); res.Status != Success {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "fetch 1; verdict 1; fetch 2; verdict 2; fetch 3; verdict 3; record u3; delete 3; sync; commit; forget u3; sink closed")
}

func TestTheSenderOfAKeptMessageIsToldOnce(t *testing.T) {
	w := &world{mail: letters(1), verdict: map[int]deliver.Class{1: deliver.Refused, 2: deliver.Refused}, bounced: map[string]bool{}}
	reports := 0
	for range 2 {
		j := w.job(Rules{SoftBounce: true})
		j.Bounce = func(_ context.Context, f Failure) (string, error) { reports++; return f.Sender, nil }
		j.Run(t.Context(), nil)
	}
	if reports != 1 {
		t.Errorf("%d reports", reports)
	}
}

func TestWhatIsRefusedStaysIfItsSenderCannotBeTold(t *testing.T) {
	for err, want := range map[error]string{
		nil:                "fetch 1; verdict 1; record u1; delete 1; sync; commit; forget u1; sink closed",
		errors.New("down"): "fetch 1; verdict 1; sync; commit; sink closed",
	} {
		w := &world{mail: letters(1), verdict: map[int]deliver.Class{1: deliver.Refused}}
		j := w.job(Rules{BounceMail: true})
		j.Bounce = func(_ context.Context, f Failure) (string, error) { return f.Sender, err }
		j.Run(t.Context(), nil)
		w.expect(t, want)
	}
}

func TestAMessageThatTheServerCannotGiveDoesNotHoldUpTheOthers(t *testing.T) {
	w := &world{mail: letters(2), refuseTop: 1}
	if res := w.job(Rules{}).Run(t.Context(), nil); res.Status != Success || res.Fetched != 1 {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "fetch 1; fetch 2; verdict 1; record u2; delete 2; sync; commit; forget u2; sink closed")
}

func TestAMessageOfWhichNothingComesIsNotTakenForAnEmptyOne(t *testing.T) {
	w := &world{mail: letters(2), emptied: 1}
	if res := w.job(Rules{}).Run(t.Context(), nil); res.Status != Success || res.Fetched != 1 {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "fetch 1; fetch 2; verdict 1; record u2; delete 2; sync; commit; forget u2; sink closed")
}

func TestALostListenerKeepsTheMessageAndANextOneIsTried(t *testing.T) {
	w := &world{mail: letters(2), begin: map[int]error{1: &deliver.Fault{Kind: deliver.Lost}}}
	if res := w.job(Rules{}).Run(t.Context(), nil); res.Status != Success {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "fetch 1; fetch 2; verdict 2; record u2; delete 2; sync; commit; forget u2; sink closed")
}

func TestNoListenerEndsThePollAndCommitsWhatWasDelivered(t *testing.T) {
	w := &world{mail: letters(3), begin: map[int]error{2: &deliver.Fault{Kind: deliver.Unreachable}}}
	if res := w.job(Rules{}).Run(t.Context(), nil); res.Status != SMTP {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "fetch 1; verdict 1; record u1; delete 1; fetch 2; sync; commit; forget u1; sink closed")
}

func TestWhatACrashLeftBehindIsDeletedWithoutBeingFetched(t *testing.T) {
	w := &world{mail: letters(3), pending: map[string]bool{"u1": true, "u3": true}}
	if res := w.job(Rules{}).Run(t.Context(), nil); res.Status != Success || res.Fetched != 1 {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "fetch 2; delete 1; verdict 1; record u2; delete 2; delete 3; sync; commit; forget u1; forget u2; forget u3; sink closed")
}

func TestStepsComeInMailboxOrder(t *testing.T) {
	w := &world{mail: letters(4), seen: map[int]bool{1: true, 3: true, 4: true}}
	w.job(Rules{Flush: true}).Run(t.Context(), nil)
	w.expect(t, "fetch 2; delete 1; verdict 1; record u2; delete 2; delete 3; delete 4; sync; commit; "+
		"forget u1; forget u2; forget u3; forget u4; sink closed")
}

func TestKeepMarksAndRemembers(t *testing.T) {
	w := &world{mail: letters(2), seen: map[int]bool{1: true}, known: []string{"u1"}}
	w.job(Rules{Keep: true}).Run(t.Context(), nil)
	w.expect(t, "fetch 2; verdict 1; record u2; seen 2; sync; commit; sink closed")
	if want := []string{"u1", "u2"}; !slices.Equal(w.known, want) {
		t.Errorf("old from now on: %v, want %v", w.known, want)
	}
}

func TestFetchLimit(t *testing.T) {
	for _, tt := range []struct {
		mail, limit int
		seen        []int
		want        Status
		left        int
	}{
		{3, 2, nil, MaxFetch, 1},
		{2, 2, nil, Success, 0},
		{3, 2, []int{3}, MaxFetch, 1}, // an old message behind the last one counts as left
		{3, 2, []int{1}, Success, 0},  // one before it does not
		{3, 1, []int{1}, MaxFetch, 2},
	} {
		w := &world{mail: letters(tt.mail), seen: map[int]bool{}}
		for _, n := range tt.seen {
			w.seen[n] = true
		}
		res := w.job(Rules{FetchLimit: tt.limit, Keep: true}).Run(t.Context(), nil)
		left := 0
		for _, e := range w.events {
			if l, ok := e.(Limited); ok {
				left = l.Left
			}
		}
		if res.Status != tt.want || left != tt.left {
			t.Errorf("%+v: status %d, %d left", tt, res.Status, left)
		}
	}
}

func TestNewsOfAnEmptyOrOldMailboxIsNoMail(t *testing.T) {
	for _, w := range []*world{{}, {mail: letters(1), seen: map[int]bool{1: true}}} {
		if res := w.job(Rules{}).Run(t.Context(), nil); res.Status != NoMail {
			t.Errorf("%+v", res)
		}
	}
}

func TestCheckOnlyCounts(t *testing.T) {
	w := &world{mail: letters(1), traits: protocols.Traits{Protocol: "IMAP", ServerSeen: true}}
	if res := w.job(Rules{Check: true}).Run(t.Context(), nil); res.Status != Success {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "")
}

func TestAStopFinishesTheMessageInHandAndLeavesInOrder(t *testing.T) {
	w := &world{mail: letters(3)}
	stop := make(chan struct{})
	j := w.job(Rules{})
	j.Sink = func(string) deliver.Sink { return stopper{receiver{w}, stop} }
	if res := j.Run(t.Context(), stop); res.Status != Success || res.Fetched != 1 || res.Err != nil {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "fetch 1; verdict 1; record u1; delete 1; sync; commit; forget u1; sink closed")
}

// stopper asks the poll to stop when the first delivery begins.
type stopper struct {
	receiver
	stop chan struct{}
}

func (s stopper) Begin(ctx context.Context, e deliver.Envelope) (deliver.Delivery, error) {
	close(s.stop)
	return s.receiver.Begin(ctx, e)
}

func TestMessagesMayComeInAnyOrder(t *testing.T) {
	w := &world{mail: letters(4), seen: map[int]bool{4: true}, reverse: true, cutAfter: 3}
	if res := w.job(Rules{Flush: true}).Run(t.Context(), nil); res.Status != Socket || res.Fetched != 3 {
		t.Fatalf("%+v", res)
	}
	w.expect(t, "fetch 3; verdict 1; record u3; delete 3; fetch 2; delete 4; verdict 2; record u2; delete 2; "+
		"fetch 1; verdict 3; record u1; delete 1; sink closed")
}

func TestShortSessionsEnd(t *testing.T) {
	deferred := map[int]deliver.Class{1: deliver.Deferred, 2: deliver.Deferred}
	for _, tt := range []struct {
		name     string
		rules    Rules
		verdict  map[int]deliver.Class
		removes  bool // the server keeps its word
		sessions int
		fetched  int
	}{
		{"as many as it takes", Rules{Expunge: 2}, nil, true, 3, 5},
		{"with keep one", Rules{Expunge: 2, Keep: true, FetchAll: true}, nil, true, 1, 5},
		{"with keep and flush as many as it takes", Rules{Expunge: 2, Keep: true, Flush: true}, nil, false, 2, 4},
		{"what nobody takes does not come again at once", Rules{Expunge: 2}, deferred, true, 3, 7},
		{"if nothing was taken, in one session", Rules{Expunge: 2},
			map[int]deliver.Class{1: deliver.Deferred, 2: deliver.Deferred, 3: deliver.Deferred, 4: deliver.Deferred, 5: deliver.Deferred}, true, 1, 5},
		{"if the server removes nothing, after the second", Rules{Expunge: 2}, nil, false, 2, 4},
		{"fetchlimit ends the poll even so", Rules{Expunge: 2, FetchLimit: 3}, nil, true, 2, 3},
	} {
		w := &world{mail: letters(5), verdict: tt.verdict, removes: tt.removes}
		res := w.job(tt.rules).Run(t.Context(), nil)
		if w.sessions != tt.sessions || res.Fetched != tt.fetched {
			t.Errorf("%s: %d sessions, %d messages fetched", tt.name, w.sessions, res.Fetched)
		}
	}
}

func TestAMessageThatWasOnlyMarkedIsNeverRecordedAsDelivered(t *testing.T) {
	w := &world{mail: letters(2), refuseTop: 1}
	w.job(Rules{RetrieveError: "markseen"}).Run(t.Context(), nil)
	w.expect(t, "fetch 1; seen 1; fetch 2; verdict 1; record u2; delete 2; sync; commit; forget u2; sink closed")
	if want := []string{"u1"}; !slices.Equal(w.known, want) {
		t.Errorf("old from now on: %v, want %v", w.known, want)
	}
}

func TestARepeatedUIDIsNotRecorded(t *testing.T) {
	w := &world{mail: letters(2), sameUID: true, verdict: map[int]deliver.Class{2: deliver.Deferred}}
	w.job(Rules{}).Run(t.Context(), nil)
	w.expect(t, "fetch 1; verdict 1; delete 1; fetch 2; verdict 2; sync; commit; forget u1; sink closed")
}

// A record that outlives a crash must not delete the message that has the number next.
func TestANumberIsNoUID(t *testing.T) {
	got := repeated([]protocols.Item{{Num: 1, UID: "1"}, {Num: 2, UID: "3"}, {Num: 3, UID: "2a"}, {Num: 4}})
	if !got["1"] || got["3"] || got["2a"] || got[""] {
		t.Errorf("%v", got)
	}
}

// chatty announces new mail after every round.
type chatty struct {
	*world
	rounds *int
}

func (c chatty) Announced() bool { *c.rounds++; return true }

func TestNewsWithoutEndDoNotHoldAPoll(t *testing.T) {
	w := &world{mail: letters(1), traits: protocols.Traits{Protocol: "IMAP", ServerSeen: true}}
	j, rounds := w.job(Rules{Keep: true}), 0
	j.Open = func(context.Context) (protocols.Session, error) { return chatty{w, &rounds}, nil }
	if res := j.Run(t.Context(), nil); res.Err != nil || res.Status != Success || rounds != mostRounds {
		t.Errorf("%d rounds, %+v", rounds, res)
	}
}

// TestPostconnectFollowsEverySession: whatever has come of it. That the command fails counts only where nothing else did.
func TestPostconnectFollowsEverySession(t *testing.T) {
	failed := func(when string) func(context.Context) error {
		return func(context.Context) error { return &HookError{When: when, Code: 2} }
	}
	for _, c := range []struct {
		name   string
		mail   int
		rules  Rules
		change func(*world, *Job)
		status Status
		told   string // the failures, in order, "|" where the command ran
	}{
		{"mail", 2, Rules{}, nil, Syntax, "|post"},
		{"no mail", 0, Rules{}, nil, NoMail, "|post"},
		{"fetchlimit", 2, Rules{FetchLimit: 1}, nil, MaxFetch, "|post"},
		{"session after session", 2, Rules{Expunge: 1}, nil, Syntax, "|post|post"},
		{"preconnect failed", 2, Rules{}, func(_ *world, j *Job) { j.Before = failed("pre") }, Syntax, "pre|post"},
		{"no such host", 2, Rules{}, func(_ *world, j *Job) {
			j.Resolve = func(context.Context) (string, error) { return "", errors.New("no such host") }
		}, DNS, "DNS|post"},
		{"a name that preconnect makes known", 0, Rules{}, func(_ *world, j *Job) {
			err := errors.New("no such host")
			j.Before = func(context.Context) error { err = nil; return nil }
			j.Resolve = func(context.Context) (string, error) { return "mail", err }
		}, NoMail, "|post"},
		{"cut off", 2, Rules{}, func(w *world, _ *Job) { w.cutAfter = 1 }, Socket, "other|post"},
		{"stopped", 2, Rules{}, func(_ *world, j *Job) {
			j.Open = func(ctx context.Context) (protocols.Session, error) { <-ctx.Done(); return nil, ctx.Err() }
		}, NoMail, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{mail: letters(c.mail), removes: true}
			j := w.job(c.rules)
			stop := make(chan struct{})
			if c.name == "stopped" {
				close(stop)
			}
			if c.change != nil {
				c.change(w, j)
			}
			told := func() (s string) {
				for _, e := range w.events {
					var hook *HookError
					var dns *DNSError
					switch f, is := e.(Failed); {
					case is && errors.As(f.Err, &hook):
						s += hook.When
					case is && errors.As(f.Err, &dns):
						s += "DNS"
					case is:
						s += "other"
					}
				}
				return s
			}
			got, seen := "", 0
			j.After = func(ctx context.Context) error {
				got, seen = got+told()[seen:]+"|", len(told())
				return failed("post")(ctx)
			}
			res := j.Run(t.Context(), stop)
			if got += told()[seen:]; res.Status != c.status || got != c.told {
				t.Errorf("status %v, told %q; want %v, %q", res.Status, got, c.status, c.told)
			}
		})
	}
}

// TestStoppedInPostconnect: that we end the command ourselves is no failure of it.
func TestStoppedInPostconnect(t *testing.T) {
	for _, mail := range []int{0, 1} {
		w := &world{mail: letters(mail)}
		j := w.job(Rules{})
		stop := make(chan struct{})
		j.After = func(ctx context.Context) error {
			close(stop)
			<-ctx.Done()
			return &HookError{When: "post", Err: context.Cause(ctx)}
		}
		res := j.Run(t.Context(), stop)
		if failed := slices.ContainsFunc(w.events, func(e Event) bool { _, is := e.(Failed); return is }); failed || res.Err != nil {
			t.Errorf("%d messages: %+v, %v", mail, res, w.events)
		}
	}
}

// TestABadHeaderIsNoRefusal: nobody has got the message, and so it stays, with no softbounce, too.
func TestABadHeaderIsNoRefusal(t *testing.T) {
	for _, soft := range []bool{true, false} {
		w := &world{mail: []string{"From: a@b.example\r\nno field\r\n\r\ntext\r\n"}}
		res := w.job(Rules{SoftBounce: soft}).Run(t.Context(), nil)
		if res.Status != Success || !slices.Contains(w.events, Event(BadHeader{"no field"})) || !slices.Contains(w.events, Event(Done{})) {
			t.Errorf("%+v; %v", res, w.events)
		}
		if strings.Contains(strings.Join(w.log, " "), "record") || strings.Contains(strings.Join(w.log, " "), "delete") {
			t.Errorf("%v", w.log)
		}
	}
}
