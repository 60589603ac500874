package engine

import "github.com/yardmaster/yardmaster/internal/scheduler"

// expire deletes finished tasks whose retention is over by served time, and proposes the end of dead letters that are due.
// Between steps it looks whether a checkpoint waits: that goes first, the rest follows it. But it doesn't give way before it
// has looked at as many tasks as checkpoints have added since, twice over: a task may have a place to be cleared away in the
// order of expiry and one among its queue's. So what is stored stays bounded under any load.
func (e *Engine) expire() error {
	e.saving.Lock()
	owed := 2 * e.added
	e.added = 0
	e.saving.Unlock()
	for step := 0; step < ExpireStepsMax && e.stopped.Err() == nil; step++ {
		e.mu.RLock()
		served := e.state.Served()
		e.mu.RUnlock()
		_, dead, more, err := e.opts.Storage.Expire(served, ExpireStepMax)
		if err != nil {
			return err
		}
		e.forget(dead)
		owed -= ExpireStepMax
		if !more || owed <= 0 && len(e.trigger) > 0 {
			return nil
		}
	}
	return nil
}

// forget proposes the end of dead letters, a batch at a time. Storage names them until a checkpoint has dropped them, so
// only those count that the core still has, and none is proposed while an earlier batch is on its way.
func (e *Engine) forget(dead []scheduler.DeadRef) {
	if len(dead) == 0 || e.forgets.Load() > 0 || !e.Leading() {
		return
	}
	due := make([]scheduler.DeadRef, 0, len(dead))
	e.mu.RLock()
	for _, ref := range dead {
		if gen, ok := e.state.DeadGen(ref.ID); ok && gen == ref.Gen {
			due = append(due, ref)
		}
	}
	e.mu.RUnlock()
	for len(due) > 0 {
		n := min(len(due), scheduler.BatchTasksMax)
		e.forgets.Add(1)
		e.Propose(scheduler.Command{Op: scheduler.OpForget, Forget: &scheduler.Forget{Items: due[:n:n]}}, func(Result, error) {
			e.forgets.Add(-1)
		})
		due = due[n:]
	}
}
