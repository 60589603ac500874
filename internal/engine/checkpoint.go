package engine

import (
	"fmt"
	"time"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
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
		if e.failed.Load() {
			continue
		}
		if err := e.save(); err != nil {
			continue
		}
		if err := e.expire(); err != nil {
			e.fatal(fmt.Errorf("expire finished tasks: %w", err))
		}
		e.cut()
	}
}

// save writes one checkpoint of the state as it is now, if anything changed.
func (e *Engine) save() error {
	e.mu.Lock()
	if e.applied == e.opts.Storage.DurableIndex() && e.live.empty() {
		e.mu.Unlock()
		return nil
	}
	sealed := e.state.Seal()
	e.sealed, e.live = e.live, newUnsaved()
	u := e.sealed
	index := e.applied
	e.mu.Unlock()

	cp := &Checkpoint{Index: index, Logic: scheduler.LogicVersion, DropBodies: u.dropBodies}
	cp.Rows = func(maxRows int, buf []scheduler.Row) ([]scheduler.Row, bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.state.Collect(sealed, maxRows-1, buf) // it may add the globals
	}
	err := e.fillCheckpoint(cp, u)
	if err == nil {
		err = e.opts.Storage.Save(cp)
	}
	if err != nil {
		e.fatal(fmt.Errorf("write checkpoint at log index %d: %w", index, err))
		return err
	}
	e.mu.Lock()
	e.sealed = nil
	if e.gate != nil {
		close(e.gate)
		e.gate = nil
	}
	e.mu.Unlock()
	e.saved.mu.Lock()
	e.saved.index = index
	close(e.saved.moved)
	e.saved.moved = make(chan struct{})
	e.saved.mu.Unlock()
	return nil
}

// fillCheckpoint encodes what a sealed generation holds. It is only read, so no lock is needed.
func (e *Engine) fillCheckpoint(cp *Checkpoint, u *unsaved) error {
	cp.Bodies = make([]Blob, 0, len(u.bodies))
	for id, b := range u.bodies {
		cp.Bodies = append(cp.Bodies, Blob{ID: id, Data: b})
	}
	for id, f := range u.failures {
		a, err := f.proto()
		if err != nil {
			return fmt.Errorf("task %d: %w", id, err)
		}
		data, err := proto.Marshal(a)
		if err != nil {
			return fmt.Errorf("encode failure of task %d: %w", id, err)
		}
		cp.Failures = append(cp.Failures, Blob{ID: id, Data: data})
	}
	for id := range u.dropFinished {
		cp.DropFinished = append(cp.DropFinished, id)
	}
	cp.Finished = make([]FinishedRow, 0, len(u.finished))
	var arena []byte
	for id, rec := range u.finished {
		f, err := e.buildFinished(rec)
		if err != nil {
			return err
		}
		if cap(arena)-len(arena) < 4096 {
			arena = make([]byte, 0, 1<<18)
		}
		from := len(arena)
		if arena, err = (proto.MarshalOptions{}).MarshalAppend(arena, f); err != nil {
			return fmt.Errorf("encode finished task %d: %w", id, err)
		}
		cp.Finished = append(cp.Finished, FinishedRow{
			ID: id, Dead: rec.State == scheduler.Dead, Gen: rec.Gen, ExpiresAt: rec.ExpiresAt, Data: arena[from:len(arena):len(arena)],
		})
	}
	return nil
}

// expire deletes finished tasks whose retention is over by served time, and proposes the end of dead letters that are due.
// Between steps it looks whether a checkpoint waits: that goes first, the rest follows it.
func (e *Engine) expire() error {
	for e.stopped.Err() == nil {
		e.mu.RLock()
		served := e.state.Served()
		e.mu.RUnlock()
		_, dead, more, err := e.opts.Storage.Expire(served, ExpireStepMax)
		if err != nil {
			return err
		}
		if len(dead) > 0 && e.Leading() {
			e.forget(dead)
		}
		if !more || len(dead) > 0 || len(e.trigger) > 0 {
			return nil
		}
	}
	return nil
}

// forget proposes the end of dead letters, a batch at a time.
func (e *Engine) forget(dead []scheduler.DeadRef) {
	for len(dead) > 0 {
		n := min(len(dead), scheduler.BatchTasksMax)
		e.Propose(scheduler.Command{Op: scheduler.OpForget, Forget: &scheduler.Forget{Items: dead[:n]}}, func(Result, error) {})
		dead = dead[n:]
	}
}

// cut lets the log forget what checkpoints hold, once enough has gathered. It runs beside the loop, because the log asks
// for a checkpoint while it cuts.
func (e *Engine) cut() {
	if e.sinceCut.entries.Load() < CutEntries && e.sinceCut.bytes.Load() < CutBytes || !e.cutting.CompareAndSwap(false, true) {
		return
	}
	e.sinceCut.entries.Store(0)
	e.sinceCut.bytes.Store(0)
	e.loops.Go(func() {
		defer e.cutting.Store(false)
		if err := e.log.Cut(e.stopped); err != nil && e.stopped.Err() == nil {
			e.logger.Warn("the log was not cut; it will be tried again", "error", err)
		}
	})
}

// watchDisk looks at the free space that submits may not use up.
func (e *Engine) watchDisk() {
	if e.opts.DiskFree == nil {
		return
	}
	free, err := e.opts.DiskFree()
	if err != nil {
		e.logger.Warn("can't read the free disk space", "error", err)
		return
	}
	e.diskFree.Store(free)
	low := free < e.opts.DiskReserve
	if e.diskLow.Swap(low) != low {
		if low {
			e.logger.Warn("submits are refused: free disk space is below the reserve", "free", free, "reserve", e.opts.DiskReserve)
		} else {
			e.logger.Info("submits are taken again", "free", free)
		}
	}
}
