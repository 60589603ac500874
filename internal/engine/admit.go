package engine

import (
	"context"
	"fmt"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Admit waits while the line is long, or while a second checkpoint is due before the first has ended: an unchecked backlog
// of changed rows would snowball into transactions of seconds.
func (e *Engine) Admit(ctx context.Context, rows int) error {
	for {
		wait := e.barrier(rows)
		if wait == nil {
			return nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-e.stopped.Done():
			return e.ended()
		}
	}
}

// barrier is what an Admit has to wait for; nil: nothing.
func (e *Engine) barrier(rows int) <-chan struct{} {
	e.mu.RLock()
	gate := e.gate
	e.mu.RUnlock()
	if gate != nil {
		return gate
	}
	e.qmu.Lock()
	defer e.qmu.Unlock()
	if !e.lineFull(rows) {
		return nil
	}
	if e.room == nil {
		e.room = make(chan struct{})
	}
	return e.room
}

// lineFull reports whether the line is too long for so many rows more. Under qmu.
func (e *Engine) lineFull(rows int) bool {
	return e.line.Rows() > 0 && e.line.Rows()+rows > LineRowsMax || e.line.Bytes() > LineBytesMax
}

// makeRoom lets those go on who wait for a shorter line. Under qmu.
func (e *Engine) makeRoom() {
	if e.room != nil && e.line.Rows() <= LineRowsMax/2 && e.line.Bytes() <= LineBytesMax/2 {
		close(e.room)
		e.room = nil
	}
}

// pace holds the log back while a second checkpoint is due before the first has ended: an entry that this process didn't
// propose (a replay, another leader's) was admitted by nobody here.
func (e *Engine) pace() {
	e.mu.RLock()
	gate := e.gate
	e.mu.RUnlock()
	if gate == nil {
		return
	}
	select {
	case <-gate:
	case <-e.stopped.Done():
	}
}

// closeGate makes Admit wait for the checkpoint that is being saved. Under mu.
func (e *Engine) closeGate() {
	if e.sealed != nil && e.gate == nil {
		e.gate = make(chan struct{})
	}
}

// openGate ends that wait. Under mu.
func (e *Engine) openGate() {
	if e.gate != nil {
		close(e.gate)
		e.gate = nil
	}
}

// reserved refuses what would take the disk space that running tasks need to end.
func (e *Engine) reserved(cmd *scheduler.Command) error {
	if cmd.Op != scheduler.OpSubmit && cmd.Op != scheduler.OpRetry || !e.diskLow.Load() {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free, %d MiB are held back for running tasks: free disk space or shorten retention",
		ErrDiskReserve, e.diskFree.Load()>>20, e.opts.DiskReserve>>20)
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
	if e.diskLow.Swap(low) == low {
		return
	}
	if low {
		e.logger.Warn("submits are refused: free disk space is below the reserve", "free", free, "reserve", e.opts.DiskReserve)
	} else {
		e.logger.Info("submits are taken again", "free", free)
	}
}
