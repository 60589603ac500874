package engine

import (
	"context"
	"fmt"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Admit waits while the line is long, or while a second checkpoint is due before the first has ended: an unchecked backlog
// of changed rows would snowball into transactions of seconds. Who waits for room is served in order: see admission.
func (e *Engine) Admit(ctx context.Context, rows int) error {
	a := &admission{rows: rows}
	if err := e.admit(a); err != nil {
		return err
	}
	return a.wait(ctx, e)
}

// pace holds the log back while a second checkpoint is due before the first has ended: an entry that this process didn't
// propose (a replay, another leader's) was admitted by nobody here.
func (e *Engine) pace() {
	e.qmu.Lock()
	gate := e.gate
	e.qmu.Unlock()
	if gate == nil {
		return
	}
	select {
	case <-gate:
	case <-e.stopped.Done():
	}
}

// closeGate makes admission wait until a checkpoint has been saved. Another is sure to come: it is due. Under qmu.
func (e *Engine) closeGate() {
	if e.gate == nil {
		e.gate = make(chan struct{})
		e.shut = e.opts.Now()
	}
}

// openGate ends that wait.
func (e *Engine) openGate() {
	e.qmu.Lock()
	defer e.qmu.Unlock()
	if e.gate == nil {
		return
	}
	close(e.gate)
	e.gate = nil
	e.opts.Meter.Stall(e.opts.Now().Sub(e.shut))
	e.makeRoom()
	e.poke() // ticks wait as well
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
