package engine

import (
	"fmt"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Apply is handed every committed entry above the checkpoint, in order, by one goroutine of the log.
func (e *Engine) Apply(index, _ uint64, entry []byte) {
	f := e.takeFlight(entry)
	if f == nil {
		e.pace()
	}
	b, err := e.batchOf(f, entry)
	if err == nil && index <= e.applied {
		err = fmt.Errorf("it comes after entry %d", e.applied)
	}
	if err == nil {
		err = e.ruled(b)
	}
	if err != nil {
		e.fatal(fmt.Errorf("log entry %d: %w", index, err)) // and so it is not skipped: nothing after it is applied
	}
	if e.failed.Load() {
		if f != nil {
			failItems(f.items, fmt.Errorf("%w: %w", ErrUnknown, e.failure))
			e.landed()
		}
		return
	}
	e.step(index, b, len(entry))
	e.tell(f)
	if f != nil {
		e.landed()
		e.opts.Meter.Commit(e.opts.Now().Sub(f.began))
	}
}

// batchOf is the batch that the flight still holds decoded, or else decodes the entry.
func (e *Engine) batchOf(f *flight, entry []byte) (*scheduler.Batch, error) {
	if f != nil {
		return &f.batch, nil
	}
	b := &scheduler.Batch{}
	return b, e.decoder.entry(entry, b)
}

// step runs the core and stages what the next checkpoint must hold.
func (e *Engine) step(index uint64, b *scheduler.Batch, size int) {
	e.mu.Lock()
	e.state.Apply(b, &e.eff)
	e.applied = index
	e.stage(b)
	due := e.state.DirtyRows()+e.live.ended.len() >= CheckpointRows || e.live.bytes >= CheckpointBytes ||
		e.state.DirtyLooks() >= CheckpointLooks
	full := due && e.sealed != nil
	now, logic, position := e.state.Now(), e.state.Logic(), e.state.LastPosition()
	deadline, ok := e.state.NextDeadline()
	e.mu.Unlock()
	if !ok {
		deadline = 0
	}
	e.qmu.Lock()
	e.deadline, e.more, e.logic = deadline, e.eff.More, logic
	if full {
		e.closeGate()
	}
	if !e.leading {
		e.clock.raise(int64(now))
	}
	e.qmu.Unlock()
	e.events.publish(e.eff.Events, now)
	e.events.ring.Skip(position) // if a restore has let it jump
	e.sinceCut.entries.Add(1)
	e.sinceCut.bytes.Add(int64(size))
	if due {
		e.pokeCheckpoint()
	}
}

// tell answers the proposers of a step, and then tells the observer, who sees every step of its term whoever proposed it.
func (e *Engine) tell(f *flight) {
	e.omu.Lock()
	defer e.omu.Unlock()
	now := e.state.Now() // only this goroutine changes it
	if e.observing || f != nil && f.term != 0 {
		e.totals.count(&e.eff) // first, so that whoever has an answer finds it counted
	}
	if f != nil {
		for i := range f.items {
			if done := f.items[i].Tag; done != nil {
				done(e.result(i, now), nil)
			}
		}
		if f.term != 0 {
			e.termBegan(f.term)
		}
	}
	if e.observing {
		e.observer.Applied(now, &e.eff)
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
