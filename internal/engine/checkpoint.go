package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// checkpointLoop writes checkpoints as they are due, lets retention take its course, and cuts the log.
func (e *Engine) checkpointLoop() {
	every := time.NewTicker(CheckpointInterval)
	defer every.Stop()
	for {
		select {
		case <-e.trigger:
		case <-every.C:
			e.watchDisk()
		case <-e.stopped.Done():
			return
		}
		if err := e.save(); err != nil {
			return // fatal has ended everything
		}
		e.upgradeSaved()
		if err := e.expire(); err != nil {
			e.fatal(fmt.Errorf("expire finished tasks: %w", err))
			return
		}
		e.cut()
	}
}

// save writes one checkpoint of the state as it is now, if anything changed.
func (e *Engine) save() error {
	e.saving.Lock()
	defer e.saving.Unlock()
	began := e.opts.Now()
	next := e.spare
	if next == nil {
		next = newUnsaved()
	}
	e.mu.Lock()
	if e.failed.Load() {
		e.mu.Unlock()
		return e.failure
	}
	if e.applied == e.opts.Storage.DurableIndex() && e.live.empty() {
		e.spare = next
		e.mu.Unlock()
		e.openGate() // a step may close it late, when what it waits for is saved
		return nil
	}
	rows := e.state.Seal()
	e.sealed, e.live, e.spare = e.live, next, nil
	u, index, logic := e.sealed, e.applied, e.state.Logic()
	e.mu.Unlock()

	n, err := e.write(index, logic, rows, u)
	if err != nil {
		err = fmt.Errorf("write checkpoint at log index %d: %w", index, err)
		e.fatal(err)
		return err
	}
	e.mu.Lock()
	e.sealed = nil
	e.mu.Unlock()
	e.openGate()
	e.added += u.ended.valid
	e.spare = u.reuse()
	e.opts.Meter.Checkpoint(n, e.opts.Now().Sub(began))
	e.saved.mu.Lock()
	e.saved.index = index
	close(e.saved.moved)
	e.saved.moved = make(chan struct{})
	e.saved.mu.Unlock()
	return nil
}

// write hands a sealed state and what was staged with it to storage, and says how many rows that were. What was staged is
// only read, so no lock is needed.
func (e *Engine) write(index uint64, logic uint32, rows *scheduler.Sealed, u *unsaved) (n int, err error) {
	if err := e.readLate(u.late); err != nil {
		return 0, err
	}
	cp := &Checkpoint{
		Index: index, Logic: logic, Bodies: u.bodies.kept(), DropBodies: u.dropBodies, DropFailures: u.dropAttempts,
		DropFinished: slices.Collect(maps.Keys(u.dropFinished)), Finished: make([]FinishedRow, 0, u.ended.valid),
	}
	cp.Rows = func(maxRows int, buf []scheduler.Row) ([]scheduler.Row, bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		had := len(buf)
		buf, done := e.state.Collect(rows, maxRows-1, buf) // it may add the globals
		n += len(buf) - had
		return buf, done
	}
	for id, a := range u.attempts {
		cp.Failures = append(cp.Failures, Blob{ID: id, Data: a.append(nil)})
	}
	for i := range u.ended.list {
		rec := &u.ended.list[i]
		if !u.ended.isValid(i) {
			continue
		}
		data := rec.data
		if rec.late != nil {
			data = append(data, *rec.late.fields.Load()...) // copies: data has no room
		}
		cp.Finished = append(cp.Finished, FinishedRow{
			ID: rec.id, Dead: rec.state == scheduler.Dead, Gen: rec.gen, Queue: rec.queue, Attempts: rec.tried, ExpiresAt: rec.expires,
			Data: data,
		})
	}
	return n, e.opts.Storage.Save(cp)
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
			return e.ended()
		}
	}
}

func (e *Engine) pokeCheckpoint() {
	select {
	case e.trigger <- struct{}{}:
	default:
	}
}

// cut lets the log forget what checkpoints hold, once enough has gathered. It runs beside the loop, because the log asks
// for a checkpoint while it cuts.
func (e *Engine) cut() {
	entries, bytes := e.sinceCut.entries.Load(), e.sinceCut.bytes.Load()
	if entries < CutEntries && bytes < CutBytes || !e.cutting.CompareAndSwap(false, true) {
		return
	}
	e.loops.Go(func() {
		defer e.cutting.Store(false)
		if err := e.log.Cut(e.stopped); err != nil {
			if e.stopped.Err() == nil {
				e.logger.Warn("the log was not cut; it will be tried again", "error", err)
			}
			return
		}
		e.sinceCut.entries.Add(-entries)
		e.sinceCut.bytes.Add(-bytes)
	})
}
