package engine

import (
	"context"
	"fmt"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Apply is handed every committed entry above the checkpoint, in order, by one goroutine of the log.
func (e *Engine) Apply(index, _ uint64, entry []byte) {
	f := e.takeFlight(entry)
	b := &scheduler.Batch{}
	if f != nil {
		b = &f.batch
	} else if err := decodeEntry(entry, b); err != nil {
		e.halt(fmt.Errorf("log entry %d: %w", index, err))
	}
	e.step(index, b, len(entry))
	if f == nil {
		return
	}
	e.answer(f)
	if f.term != 0 {
		e.termBegan(f.term)
	}
	if e.observer != nil {
		e.observer.Applied(b.Now, &e.eff)
	}
	e.landed(f)
}

// step runs the core and stages what the next checkpoint must hold.
func (e *Engine) step(index uint64, b *scheduler.Batch, size int) {
	e.mu.Lock()
	e.state.Apply(b, &e.eff)
	e.applied = index
	e.stage(b)
	e.deliver()
	dirty := e.state.DirtyRows() + len(e.live.finished)
	due := dirty >= CheckpointRows || e.live.bytes >= CheckpointBytes
	if due && e.sealed != nil && e.gate == nil {
		e.gate = make(chan struct{})
	}
	deadline, ok := e.state.NextDeadline()
	e.mu.Unlock()
	if !ok {
		deadline = 0
	}
	e.qmu.Lock()
	e.deadline, e.more = deadline, e.eff.More
	e.qmu.Unlock()
	e.sinceCut.entries.Add(1)
	e.sinceCut.bytes.Add(int64(size))
	if due {
		e.pokeCheckpoint()
	}
}

// halt ends the process without going on: an entry that can't be applied is never skipped.
func (e *Engine) halt(err error) {
	e.fatal(err)
	select {}
}

// answer runs the callbacks of an applied flight, in order.
func (e *Engine) answer(f *flight) {
	now := e.state.Now() // only this goroutine changes it
	for i := range f.items {
		if done := f.items[i].Tag; done != nil {
			done(e.result(i, now), nil)
		}
	}
}

func (e *Engine) result(i int, now scheduler.Time) Result {
	r := Result{Reply: e.eff.Replies[i], Now: now}
	r.IDs = clip(e.eff.IDs, r.Reply.IDs)
	r.Old = clip(e.eff.Indexes, r.Reply.Old)
	r.Items = clip(e.eff.Items, r.Reply.Items)
	r.Stop = clip(e.eff.Tokens, r.Reply.Stop)
	r.Answers = clip(e.eff.Answers, r.Reply.Answers)
	return r
}

// clip copies a span out of the effects.
func clip[T any](all []T, s scheduler.Span) []T {
	if s.From == s.To {
		return nil
	}
	return append([]T(nil), all[s.From:s.To]...)
}

// termBegan opens for business: BeginTerm is durable and applied.
func (e *Engine) termBegan(term uint64) {
	e.mu.RLock()
	sessions, now := e.state.Sessions(), e.state.Now()
	e.mu.RUnlock()
	e.qmu.Lock()
	if term != e.term { // leadership changed meanwhile
		e.qmu.Unlock()
		return
	}
	e.clock.begin(int64(now))
	e.leading = true
	e.notify()
	e.qmu.Unlock()
	e.logger.Info("leading", "term", term, "index", e.applied, "sessions", len(sessions))
	if e.observer != nil {
		e.observer.TermBegan(term, now, sessions)
	}
}

// landed makes room for the next flight.
func (e *Engine) landed(*flight) {
	e.qmu.Lock()
	if e.line.Len() == 0 && len(e.flights) == 0 {
		e.notify()
	}
	e.poke()
	e.qmu.Unlock()
}

// Checkpoint returns once storage holds an index at or past the given one.
func (e *Engine) Checkpoint(ctx context.Context, index uint64) error {
	for {
		e.saved.mu.Lock()
		have, moved := e.saved.index, e.saved.moved
		e.saved.mu.Unlock()
		if have >= index {
			return nil
		}
		e.pokeCheckpoint()
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-e.stopped.Done():
			return ErrStopping
		}
	}
}

func (e *Engine) pokeCheckpoint() {
	select {
	case e.trigger <- struct{}{}:
	default:
	}
}
