package client

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// awaitWork waits until there is something to send. It reports false when the Submitter is over: closed and empty, or
// aborted.
func (s *Submitter) awaitWork() bool {
	for s.life.Err() == nil {
		s.mu.Lock()
		wait := s.promote()
		work := len(s.flight) > 0 || s.first() != nil
		over := s.closed && !s.waits()
		s.asleep, s.full = !work, false
		s.mu.Unlock()
		if work || over {
			return work
		}
		s.sleep(wait, nil)
	}
	return false
}

// waits reports whether anything isn't answered yet. The caller holds mu.
func (s *Submitter) waits() bool {
	return len(s.flight) > 0 || len(s.delayed) > 0 || s.first() != nil
}

// holds is waits for those who don't hold mu.
func (s *Submitter) holds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waits()
}

func (s *Submitter) answers() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered
}

func (s *Submitter) byUnary() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unary
}

func (s *Submitter) setUnary(unary bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unary = unary
}

// failAll gives up all that is held: what was sent may be stored, the rest is not.
func (s *Submitter) failAll(e *Error) {
	s.mu.Lock()
	all := slices.Concat(s.flight, s.ready, s.delayed)
	if s.gather != nil {
		all = append(all, s.gather)
	}
	for _, r := range s.flight {
		r.ticket.p.end(r.ticket.number, false)
	}
	s.flight, s.ready, s.delayed, s.gather, s.sent = nil, nil, nil, nil, 0
	for _, r := range all {
		if r.ticket.p == nil {
			r.left = true
			s.free(r.live, r.liveBytes)
		}
	}
	s.mu.Unlock()
	for _, r := range all {
		r.fail(e)
	}
}

// sweep is the end of the sending goroutine: nothing is taken in any more, and what is left fails.
func (s *Submitter) sweep() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.shut)
	}
	s.mu.Unlock()
	s.failAll(newError(submitterOp, status.Error(codes.Canceled, ErrClosed.Error())).gaveUp(ErrClosed))
	s.abort()
}

// elapsedSince is measured by both clocks: the monotonic one stands still while the machine sleeps.
func elapsedSince(start time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(start), now.Round(0).Sub(start.Round(0)))
}
