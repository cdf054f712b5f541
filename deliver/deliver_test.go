package deliver

import (
	"context"
	"errors"
	"io"
	"testing"
)

// scripted is a sink that does one thing.
type scripted struct {
	begin, write, commit error
	out                  Outcome
	aborted              bool
}

func (s *scripted) Name() string                                      { return "" }
func (s *scripted) Close() error                                      { return nil }
func (s *scripted) Begin(context.Context, Envelope) (Delivery, error) { return s, s.begin }
func (s *scripted) Write(p []byte) (int, error)                       { return len(p), s.write }
func (s *scripted) Recipients() Outcome                               { return s.out }
func (s *scripted) Commit(context.Context) (Outcome, error)           { return s.out, s.commit }
func (s *scripted) Abort() error                                      { s.aborted = true; return nil }

func TestSend(t *testing.T) {
	no := AllAtEnd([]string{"joe"}, Refused, Reply{Code: 550})
	yes := AllAtEnd([]string{"joe"}, Accepted, Reply{Code: 250})
	refusal, lost := &Fault{Kind: Refusal, Outcome: no}, &Fault{Kind: Lost, Outcome: yes}
	text := func(err error) func(io.Writer) error {
		return func(w io.Writer) error {
			if _, werr := io.WriteString(w, "x"); werr != nil {
				return werr
			}
			return err
		}
	}
	broken := errors.New("broken text")
	for _, tt := range []struct {
		name      string
		sink      *scripted
		text      error
		delivered bool
		answers   int
		err       error
		aborted   bool
	}{
		{name: "accepted", sink: &scripted{out: yes}, delivered: true, answers: 1},
		{name: "refused at the end", sink: &scripted{out: no}, answers: 1},
		{name: "refused at once", sink: &scripted{begin: refusal}, answers: 1},
		{name: "no listener", sink: &scripted{begin: lost}, err: lost},
		{name: "lost in the text", sink: &scripted{write: lost}, err: lost, aborted: true},
		{name: "the text breaks off", sink: &scripted{}, text: broken, err: broken, aborted: true},
		{name: "lost at the end", sink: &scripted{out: yes, commit: lost}, err: lost, answers: 1, delivered: true},
	} {
		out, err := Send(t.Context(), tt.sink, Envelope{To: []string{"joe"}}, text(tt.text))
		if out.Delivered() != tt.delivered || len(out.Status) != tt.answers || !errors.Is(err, tt.err) || tt.sink.aborted != tt.aborted {
			t.Errorf("%s: %+v, %v, aborted %v", tt.name, out, err, tt.sink.aborted)
		}
	}
}
