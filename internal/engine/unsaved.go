package engine

import (
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// unsaved is what steps have staged since a checkpoint was sealed and storage doesn't hold yet. The engine has two: one
// that steps fill, and, while a checkpoint is being saved, the sealed one, which is only read.
type unsaved struct {
	bodies       map[scheduler.TaskID][]byte // encoded storagev1.Body
	failures     map[scheduler.TaskID]failure
	dropBodies   []scheduler.TaskID // of tasks whose body or failure an earlier generation or storage holds
	finished     map[scheduler.TaskID]*finished
	dropFinished map[scheduler.TaskID]struct{}
	bytes        int
}

// failure is the last failed attempt of a live task.
type failure struct {
	cause   scheduler.Cause
	attempt uint32
	detail  []byte // encoded storagev1.Detail; nil: there was no report
}

// finished is a task that ended. What body and failure hold is nil if an earlier generation or storage holds it, or if
// there is none (see HasLabels and HasFailure).
type finished struct {
	scheduler.Finished
	detail  []byte // of the accepted outcome, encoded storagev1.Detail
	body    []byte
	failure *failure
}

func newUnsaved() *unsaved {
	return &unsaved{
		bodies: map[scheduler.TaskID][]byte{}, failures: map[scheduler.TaskID]failure{},
		finished: map[scheduler.TaskID]*finished{}, dropFinished: map[scheduler.TaskID]struct{}{},
	}
}

func (u *unsaved) empty() bool {
	return len(u.bodies)+len(u.failures)+len(u.dropBodies)+len(u.finished)+len(u.dropFinished) == 0
}

// stage notes what a step did that the next checkpoint must hold. Under mu.
func (e *Engine) stage(b *scheduler.Batch) {
	u, eff := e.live, &e.eff
	for i := range eff.Staged {
		st := &eff.Staged[i]
		body := b.Commands[st.Cmd].Submit.Tasks[st.Item].Body
		u.bodies[st.Task] = body
		u.bytes += len(body)
	}
	for i := range eff.Failed {
		fd := &eff.Failed[i]
		f := failure{cause: fd.Cause, attempt: fd.Attempt, detail: detailOf(b, fd.Cmd, fd.Item)}
		u.failures[fd.Task] = f
		u.bytes += len(f.detail)
	}
	for i := range eff.Finished {
		e.stageFinished(b, &eff.Finished[i])
	}
	for _, id := range eff.Revived {
		delete(u.finished, id)
		u.dropFinished[id] = struct{}{}
	}
	for _, id := range eff.Forgotten {
		delete(u.finished, id)
		u.dropFinished[id] = struct{}{}
		e.dropBody(id)
	}
}

func (e *Engine) stageFinished(b *scheduler.Batch, fin *scheduler.Finished) {
	u := e.live
	rec := &finished{Finished: *fin, detail: detailOf(b, fin.Cmd, fin.Item)}
	if fin.HasLabels {
		rec.body = e.stagedBody(fin.Task)
	}
	if fin.HasFailure {
		if f, ok := e.stagedFailure(fin.Task); ok {
			rec.failure = &f
		}
	}
	if fin.State != scheduler.Dead || fin.ExpiresAt == 0 {
		e.dropBody(fin.Task)
	}
	if ws := e.waiters[fin.Task]; ws != nil {
		e.ended = append(e.ended, rec)
	}
	if fin.ExpiresAt != 0 {
		u.finished[fin.Task] = rec
		u.bytes += len(rec.detail)
	}
}

// dropBody lets go of a body and failure wherever they are. A failure is never older than its body, so that a body of
// this generation means that no earlier one and no storage holds either.
func (e *Engine) dropBody(id scheduler.TaskID) {
	delete(e.live.failures, id)
	if body, inLive := e.live.bodies[id]; inLive {
		e.live.bytes -= len(body)
		delete(e.live.bodies, id)
		return
	}
	e.live.dropBodies = append(e.live.dropBodies, id)
}

func detailOf(b *scheduler.Batch, cmd, item int32) []byte {
	if cmd < 0 {
		return nil
	}
	return b.Commands[cmd].Outcomes.List[item].Detail
}

// stagedBody returns a body that storage doesn't hold yet, or nil.
func (e *Engine) stagedBody(id scheduler.TaskID) []byte {
	if b, ok := e.live.bodies[id]; ok {
		return b
	}
	if e.sealed != nil {
		return e.sealed.bodies[id]
	}
	return nil
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

// stagedFinished looks a finished task up in the buffers. known: the answer is final, rec nil means that there is none.
func (e *Engine) stagedFinished(id scheduler.TaskID) (rec *finished, known bool) {
	for _, u := range [...]*unsaved{e.live, e.sealed} {
		if u == nil {
			continue
		}
		if rec, ok := u.finished[id]; ok {
			return rec, true
		}
		if _, gone := u.dropFinished[id]; gone {
			return nil, true
		}
	}
	return nil, false
}
