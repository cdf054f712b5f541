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

// Wait returns when there may be new mail. Servers without IDLE are asked by NOOP from time to time.
func (s *Session) Wait(ctx context.Context) error {
	if err := s.free(ctx, protocols.Fetching); err != nil {
		return err
	}
	defer s.watch(ctx)()
	s.settle()
	s.flush()
	for !s.Announced() {
		var err error
		if s.CanWait() {
			err = s.idle()
		} else {
			err = s.noop()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// news waits for an EXISTS, the end of the connection, or the end of the time.
func (s *Session) news(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.filter.news:
	case <-s.client.Closed():
	case <-t.C:
	}
}

func (s *Session) noop() error {
	s.news(s.o.NoopInterval)
	return s.fault(protocols.Fetching, "NOOP", s.client.Noop().Wait())
}

// idle is one IDLE.
func (s *Session) idle() error {
	cmd, err := s.client.Idle()
	if err != nil {
		if !s.broken() {
			err = errors.New("the server refuses IDLE")
			return &protocols.Fault{Kind: protocols.Server, Phase: protocols.Fetching, Op: "IDLE", Err: err}
		}
		return s.fault(protocols.Fetching, "IDLE", err)
	}
	s.news(s.o.IdleTimeout)
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
	return s.fault(protocols.Fetching, "IDLE", err)
}
