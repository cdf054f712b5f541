package imap

import (
	"context"
	"errors"
	"time"

	"fetchmail/protocols"
)

// doneTime is how long the server has for its answer to DONE where there is no other limit.
const doneTime = time.Minute

// CanWait tells whether the server offers IDLE (RFC 2177). Wait works without it too.
func (s *Session) CanWait() bool { return s.has("IDLE") || s.o.ForceIdle }

// Wait returns when there may be new mail, or somebody wants to know. Servers without IDLE are asked by NOOP from time
// to time.
func (s *Session) Wait(ctx context.Context, wake <-chan struct{}) error {
	if err := s.free(ctx, protocols.Fetching); err != nil {
		return err
	}
	defer s.watch(ctx)()
	s.settle()
	s.flush()
	woken := false
	for !s.Announced() && !woken {
		var err error
		if s.CanWait() {
			woken, err = s.idle(wake)
		} else {
			woken, err = s.noop(wake)
		}
		if err != nil {
			return repoll(err)
		}
	}
	return nil
}

// repoll adds the words of the reference to a failure while it waits.
func repoll(err error) error {
	var f *protocols.Fault
	if errors.As(err, &f) && f.Kind != protocols.Timeout {
		f.Detail = append(f.Detail, "re-poll failed")
	}
	return err
}

// news waits for an EXISTS, the end of the connection, or the end of the time. It tells whether somebody wants to know.
func (s *Session) news(d time.Duration, wake <-chan struct{}) (woken bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.filter.news:
	case <-s.client.Closed():
	case <-t.C:
	case <-wake:
		return true
	}
	return false
}

func (s *Session) noop(wake <-chan struct{}) (woken bool, err error) {
	woken = s.news(s.o.NoopInterval, wake)
	return woken, s.fault(protocols.Fetching, "NOOP", s.client.Noop().Wait())
}

// idle is one IDLE.
func (s *Session) idle(wake <-chan struct{}) (woken bool, err error) {
	cmd, err := s.client.Idle()
	if err != nil {
		if !s.broken() {
			err = errors.New("the server refuses IDLE")
			return false, &protocols.Fault{Kind: protocols.Server, Phase: protocols.Fetching, Op: "IDLE", Err: err}
		}
		return false, s.fault(protocols.Fetching, "IDLE", err)
	}
	woken = s.news(s.o.IdleTimeout, wake)
	// The reader waits with the patience of IDLE; the answer to DONE must come sooner.
	limit := s.o.Dialer.Timeout
	if limit <= 0 {
		limit = doneTime
	}
	late := time.AfterFunc(limit, s.filter.tooLate)
	defer late.Stop()
	err = cmd.Close()
	if e := cmd.Wait(); err == nil {
		err = e
	}
	return woken, s.fault(protocols.Fetching, "IDLE", err)
}
