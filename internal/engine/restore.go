package engine

import (
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// A state that comes from a backup is set going before anything is served: OpRestored is committed alone, after BeginTerm
// and after a change of rules if there is one, and then as many empty steps as it takes to end the sessions that the backup
// held. A crash in between leaves a state that says so itself: the next term goes on.

// restoreStep is the next step of a restore.
type restoreStep struct {
	term uint64       // 0: none is to be proposed
	op   scheduler.Op // OpRestored, or OpTick
}

// goOnRestoring has the next step of a restore proposed. On the apply goroutine, under omu.
func (e *Engine) goOnRestoring(term uint64) {
	e.mu.RLock()
	restoring, sessions := e.state.Restoring(), e.state.Counts().Sessions
	e.mu.RUnlock()
	next := restoreStep{term: term, op: scheduler.OpTick}
	if restoring {
		next.op = scheduler.OpRestored
		e.logger.Info("the state comes from a backup: its sessions end, its leases go back, ids go on far above", "sessions", sessions)
	}
	e.qmu.Lock()
	if term == e.elected {
		e.restore = next
		e.poke()
	}
	e.qmu.Unlock()
}
