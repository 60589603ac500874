package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// A submit gives up in the very moment in which it is handed its ticket, and by the time it hands that back its number is
// all that holds the window: whoever waits behind it must be woken.
func TestTicketHandedToOneWhoHasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newProducers()
		p := s.current
		p.accepted = true
		for range SubmitsInFlightMax {
			p.issue()
		}
		life := t.Context()
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error), make(chan ticket)
		go func() {
			_, err := s.begin(ctx, life)
			first <- err
		}()
		synctest.Wait()
		go func() {
			got, _ := s.begin(life, life)
			second <- got
		}()
		synctest.Wait()

		s.mu.Lock()
		cancel()
		p.end(1, true)
		s.wake() // 257 goes to the first
		for number := range uint64(SubmitsInFlightMax - 1) {
			p.end(number+2, true)
		}
		for range SubmitsInFlightMax - 1 {
			later, _ := p.issue()
			p.end(later.number, true)
		}
		s.mu.Unlock()

		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first got %v", err)
		}
		if got := <-second; got.number != 2*SubmitsInFlightMax+1 || got.lowest != got.number {
			t.Errorf("the second got number %d, lowest %d", got.number, got.lowest)
		}
	})
}
