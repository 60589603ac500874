package engine

import "github.com/yardmaster/yardmaster/internal/scheduler"

// unsaved is what steps have staged since a checkpoint was sealed and storage doesn't hold yet. The engine has two: one
// that steps fill, and, while a checkpoint is being saved, the sealed one, which is only read.
type unsaved struct {
	bodies       bodyLine
	failures     map[scheduler.TaskID]failure
	dropBodies   []scheduler.TaskID // of tasks whose body or failure the sealed one or storage holds
	ended        endLine
	dropFinished map[scheduler.TaskID]struct{}
	late         []*late // to be read before storage drops it
	bytes        int
}

// failure is the last failed attempt of a live task.
type failure struct {
	cause   scheduler.Cause
	attempt uint32
	detail  []byte // encoded storagev1.Detail; empty: there was no report
}

func newUnsaved() *unsaved {
	return &unsaved{
		failures: map[scheduler.TaskID]failure{}, ended: endLine{at: map[scheduler.TaskID]int32{}},
		dropFinished: map[scheduler.TaskID]struct{}{},
	}
}

func (u *unsaved) empty() bool {
	return len(u.bodies.list)+len(u.failures)+len(u.dropBodies)+len(u.ended.list)+len(u.dropFinished) == 0
}

// spareMax bounds the lists and maps that are used again.
const spareMax = 4 * CheckpointRows

// reuse makes an empty one out of one that was saved. Its finished tasks may still be in readers' hands and are left alone.
func (u *unsaved) reuse() *unsaved {
	if len(u.bodies.list) > spareMax || len(u.dropBodies) > spareMax || len(u.ended.at) > spareMax || len(u.failures) > spareMax {
		return newUnsaved()
	}
	clear(u.bodies.list)
	clear(u.failures)
	clear(u.ended.at)
	clear(u.dropFinished)
	return &unsaved{
		bodies: bodyLine{list: u.bodies.list[:0]}, failures: u.failures, dropBodies: u.dropBodies[:0],
		ended: endLine{at: u.ended.at, list: make([]finished, 0, len(u.ended.list))}, dropFinished: u.dropFinished,
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
	for i := range eff.Failed {
		fd := &eff.Failed[i]
		f := failure{cause: fd.Cause, attempt: fd.Attempt, detail: detailOf(b, fd.Cmd, fd.Item)}
		u.bytes += len(f.detail) - len(u.failures[fd.Task].detail)
		u.failures[fd.Task] = f
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
		for p := range e.lists {
			p.revived = append(p.revived, id)
		}
	}
	for _, id := range eff.Forgotten {
		u.ended.remove(id)
		u.dropFinished[id] = struct{}{}
		e.dropBody(id)
	}
}

func (e *Engine) stageFinished(b *scheduler.Batch, fin *scheduler.Finished) {
	u := e.live
	ws, awaited := e.waiters[fin.Task]
	if awaited || fin.ExpiresAt != 0 {
		rec := e.finish(b, fin)
		if fin.ExpiresAt != 0 {
			u.ended.add(rec)
			u.bytes += len(rec.data)
		}
		for _, w := range ws {
			w.ended <- rec
		}
		delete(e.waiters, fin.Task)
	}
	if fin.State != scheduler.Dead || fin.ExpiresAt == 0 {
		e.dropBody(fin.Task)
	}
}

// dropBody lets go of a body and failure wherever they are. A failure is never older than its body, so that a body of
// this generation means that no earlier one and no storage holds either.
func (e *Engine) dropBody(id scheduler.TaskID) {
	u := e.live
	if f, ok := u.failures[id]; ok {
		u.bytes -= len(f.detail)
		delete(u.failures, id)
	}
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

func (e *Engine) stagedFailure(id scheduler.TaskID) (failure, bool) {
	if f, ok := e.live.failures[id]; ok {
		return f, true
	}
	if e.sealed != nil {
		f, ok := e.sealed.failures[id]
		return f, ok
	}
	return failure{}, false
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
