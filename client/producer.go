package client

import (
	"container/list"
	"context"
	"crypto/rand"
	"sync"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// SubmitsInFlightMax is how many submits of one client may be in flight: the coordinator keeps the answers of so many
// numbers of a producer. Further ones wait.
const SubmitsInFlightMax = 256

// producer numbers requests, so that the coordinator can tell a repeat from a new request.
//
// The window [lowest, next) holds the numbers that may be unanswered. A number that was given up counts as answered: if
// it held the window open, one lost request would stop all others 255 numbers later. Once the
// numbers before it have ended too, the next request carries a lowest beyond it, and when that is accepted the coordinator
// refuses whatever copy of it is still on the way: its fate is sealed, though unknown here.
//
// The lowest is told as 1 until a request was accepted: the coordinator makes a producer's acquaintance by a request that
// says 1 and knows nothing of those it refused before it looked at the number. So, too, a producer that has numbered a
// window full of requests of which none was accepted is laid aside for a new one.
type producer struct {
	id       []byte
	next     uint64
	lowest   uint64                   // Invariant: next-lowest <= SubmitsInFlightMax; every number below it has ended
	ended    [SubmitsInFlightMax]bool // of the numbers in the window, by number modulo its size
	accepted bool                     // the coordinator has answered one of them
}

func newProducer() *producer {
	p := &producer{id: make([]byte, 16), next: 1, lowest: 1}
	rand.Read(p.id) // never fails: crypto/rand ends the process instead
	return p
}

// ticket is a request's place in its producer's window.
type ticket struct {
	p      *producer
	number uint64
	lowest uint64 // as it was when the request was numbered: a repeat says the same
}

func (t ticket) proto() *yardmasterv1.Producer {
	return &yardmasterv1.Producer{Id: t.p.id, Number: t.number, LowestUnanswered: t.lowest}
}

// issue numbers a request, if the window has room.
func (p *producer) issue() (ticket, bool) {
	if p.next-p.lowest >= SubmitsInFlightMax {
		return ticket{}, false
	}
	t := ticket{p: p, number: p.next, lowest: 1}
	if p.accepted {
		t.lowest = p.lowest
	}
	p.ended[p.next%SubmitsInFlightMax] = false
	p.next++
	return t, true
}

// end moves the window past what has ended.
func (p *producer) end(number uint64, accepted bool) {
	p.accepted = p.accepted || accepted
	p.ended[number%SubmitsInFlightMax] = true
	for p.lowest < p.next && p.ended[p.lowest%SubmitsInFlightMax] {
		p.lowest++
	}
}

// spent reports whether the producer can't number another request for want of an accepted one.
func (p *producer) spent() bool { return !p.accepted && p.next > SubmitsInFlightMax }

// producers issues tickets from the current producer, in the order in which they were asked for.
type producers struct {
	mu      sync.Mutex
	current *producer
	waiting list.List // of chan ticket, each with room for one
}

func newProducers() *producers { return &producers{current: newProducer()} }

// begin issues a ticket, waiting for room in the window. Each ticket must be ended.
func (s *producers) begin(ctx, life context.Context) (ticket, error) {
	s.mu.Lock()
	if s.waiting.Len() == 0 {
		if t, ok := s.issue(); ok {
			s.mu.Unlock()
			return t, nil
		}
	}
	turn := make(chan ticket, 1)
	place := s.waiting.PushBack(turn)
	s.mu.Unlock()

	var err error
	select {
	case t := <-turn:
		return t, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-life.Done():
		err = ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case t := <-turn: // issued while giving up
		t.p.end(t.number, false)
		s.wake()
	default:
		s.waiting.Remove(place)
	}
	return ticket{}, err
}

// issue issues a ticket. The caller holds mu.
func (s *producers) issue() (ticket, bool) {
	if s.current.spent() {
		s.current = newProducer()
	}
	return s.current.issue()
}

// wake hands tickets to those who wait. The caller holds mu.
func (s *producers) wake() {
	for s.waiting.Len() > 0 {
		t, ok := s.issue()
		if !ok {
			return
		}
		s.waiting.Remove(s.waiting.Front()).(chan ticket) <- t
	}
}

// end says that the request was answered, refused or given up.
func (s *producers) end(t ticket, accepted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.p.end(t.number, accepted)
	s.wake()
}

// renew lays the ticket's producer aside, if it is still the current one, and numbers the request anew. It doesn't wait:
// a new producer's window is empty. In the rare case that others have filled it at once, one more is made.
func (s *producers) renew(t ticket) ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.p.end(t.number, false)
	if s.current == t.p {
		s.current = newProducer()
	}
	renewed, ok := s.issue()
	for !ok {
		s.current = newProducer()
		renewed, ok = s.issue()
	}
	s.wake()
	return renewed
}
