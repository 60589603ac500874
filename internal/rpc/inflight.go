package rpc

import (
	"context"
	"sync/atomic"
)

// inFlight counts calls under way, and lets one wait until there are none. It costs a call two additions.
type inFlight struct {
	n     atomic.Int64
	waits atomic.Bool
	none  chan struct{} // holds one signal: there was none for a moment
}

func newInFlight() *inFlight { return &inFlight{none: make(chan struct{}, 1)} }

func (f *inFlight) begin() { f.n.Add(1) }

// end comes after begin. It looks for who waits after it has counted, and who waits counts after it has said so: so one of
// the two sees the other.
func (f *inFlight) end() {
	if f.n.Add(-1) > 0 || !f.waits.Load() {
		return
	}
	select {
	case f.none <- struct{}{}:
	default:
	}
}

// wait ends once no call is under way; the error says why ctx ended first. One at a time may wait.
func (f *inFlight) wait(ctx context.Context) error {
	f.waits.Store(true)
	for f.n.Load() > 0 {
		select {
		case <-f.none:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
