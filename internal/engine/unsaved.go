package engine

import "github.com/yardmaster/yardmaster/internal/scheduler"

// unsaved is what steps have staged since a checkpoint was sealed and storage doesn't hold yet. The engine has two: one
// that steps fill, and, while a checkpoint is being saved, the sealed one, which is only read.
type unsaved struct {
	bodies       bodyLine
	attempts     map[scheduler.TaskID]attempts
	dropBodies   []scheduler.TaskID // of tasks whose body the sealed one or storage holds
	dropAttempts []scheduler.TaskID // of tasks of which nothing is kept, and whose attempts they may hold
	ended        endLine
	dropFinished map[scheduler.TaskID]struct{}
	late         []*late // to be read before storage drops it
	encoded      arena   // of ends and attempts
	bytes        int
}

func newUnsaved() *unsaved {
	return &unsaved{
		attempts: map[scheduler.TaskID]attempts{}, ended: endLine{at: map[scheduler.TaskID]uint32{}},
		dropFinished: map[scheduler.TaskID]struct{}{},
	}
}

func (u *unsaved) empty() bool {
	return len(u.bodies.list)+len(u.attempts)+len(u.dropBodies)+len(u.dropAttempts)+len(u.ended.list)+len(u.dropFinished) == 0
}

// spareMax bounds the lists and maps that are used again.
const spareMax = 4 * CheckpointRows

// reuse makes an empty one out of one that was saved. Its finished tasks may still be in readers' hands and are left alone.
func (u *unsaved) reuse() *unsaved {
	if len(u.bodies.list) > spareMax || len(u.dropBodies) > spareMax || len(u.ended.groups) > spareMax || len(u.attempts) > spareMax {
		return newUnsaved()
	}
	clear(u.bodies.list)
	clear(u.attempts)
	clear(u.ended.at)
	clear(u.dropFinished)
	return &unsaved{
		bodies: bodyLine{list: u.bodies.list[:0]}, attempts: u.attempts, dropBodies: u.dropBodies[:0],
		dropAttempts: u.dropAttempts[:0],
		ended:        endLine{at: u.ended.at, groups: u.ended.groups[:0], list: make([]finished, 0, len(u.ended.list))},

		dropFinished: u.dropFinished,
	}
}

// stage notes what a step did that the next checkpoint must hold, and hands ends to who awaits them. Under mu.
func (e *Engine) stage(b *scheduler.Batch) {
	u, eff := e.live, &e.eff
	for i := range eff.Staged {
		st := &eff.Staged[i]
		body := b.Commands[st.Cmd].Submit.Tasks[st.Item].Body
		u.bodies.add(st.Task, body)
		u.bytes += len(body)
	}
	now := e.state.Now()
	for i := range eff.Failed {
		e.stageFailed(b, &eff.Failed[i], now)
	}
	for i := range eff.Finished {
		e.stageFinished(b, &eff.Finished[i])
	}
	for _, id := range eff.Revived {
		u.dropFinished[id] = struct{}{}
		// A step may revive a dead letter and then end it, or end and then revive it: only a task that lives has no end.
		if _, live := e.state.Task(id); live {
			u.ended.remove(id)
		}
		for p := range e.finds {
			p.revived = append(p.revived, id)
		}
	}
	for _, id := range eff.Forgotten {
		u.ended.remove(id)
		u.dropFinished[id] = struct{}{}
		e.dropAttempts(id)
		e.dropBody(id)
	}
}

func (e *Engine) stageFinished(b *scheduler.Batch, fin *scheduler.Finished) {
	u := e.live
	ws, awaited := e.waiters[fin.Task]
	if awaited || fin.ExpiresAt != 0 || e.events.watched(fin.Task) {
		rec := e.finish(b, fin)
		e.events.ended(rec)
		if fin.ExpiresAt != 0 {
			u.ended.add(rec)
			u.bytes += len(rec.data)
		}
		for _, w := range ws {
			w.ended <- rec
		}
		delete(e.waiters, fin.Task)
	}
	if fin.ExpiresAt == 0 && e.hasAttempts(fin) {
		e.dropAttempts(fin.Task)
	}
	if fin.State != scheduler.Dead || fin.ExpiresAt == 0 {
		e.dropBody(fin.Task)
	}
}

// hasAttempts reports whether attempts of a task that ends may be kept: of this generation, or of one before that a dead
// letter was retried from.
func (e *Engine) hasAttempts(fin *scheduler.Finished) bool {
	if fin.HasFailure || fin.Gen > 1 {
		return true
	}
	return len(e.live.attempts) > 0 && e.live.attempts[fin.Task].list != nil
}

// dropAttempts lets go of attempts wherever they are. An attempt is never older than its task's body, so that a body in
// the live buffer means that nothing else holds any: it goes before dropBody.
func (e *Engine) dropAttempts(id scheduler.TaskID) {
	u := e.live
	if a, ok := u.attempts[id]; ok {
		u.bytes -= a.bytes
		delete(u.attempts, id)
	}
	if _, here := u.bodies.get(id); !here {
		u.dropAttempts = append(u.dropAttempts, id)
	}
}

// dropBody lets go of a body wherever it is.
func (e *Engine) dropBody(id scheduler.TaskID) {
	u := e.live
	if size, here := u.bodies.drop(id); here {
		u.bytes -= size
		return
	}
	u.dropBodies = append(u.dropBodies, id)
}

func detailOf(b *scheduler.Batch, cmd, item int32) []byte {
	if cmd < 0 {
		return nil
	}
	return b.Commands[cmd].Outcomes.List[item].Detail
}

// stagedBody returns a body that storage doesn't hold yet.
func (e *Engine) stagedBody(id scheduler.TaskID) ([]byte, bool) {
	if b, ok := e.live.bodies.get(id); ok {
		return b, true
	}
	if e.sealed != nil {
		return e.sealed.bodies.get(id)
	}
	return nil, false
}

// stagedFinished looks a finished task up in the buffers. known: the answer is final, !ok means that there is none.
func (e *Engine) stagedFinished(id scheduler.TaskID) (rec finished, ok, known bool) {
	for _, u := range [...]*unsaved{e.live, e.sealed} {
		if u == nil {
			continue
		}
		if rec, ok := u.ended.get(id); ok {
			return rec, true, true
		}
		if _, gone := u.dropFinished[id]; gone {
			return finished{}, false, true
		}
	}
	return finished{}, false, false
}
