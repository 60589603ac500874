package engine

import (
	"context"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// admission is one who waits for room in the line. They are let in in the order in which they came, and a Do's command is
// put in line by whoever makes the room: so however many wait and whatever they bring, each waits for those only who came
// before. (To wake all and let them race lets a crowd keep one out for ever.)
type admission struct {
	rows  int
	cmd   *scheduler.Command // of a Do; nil: an Admit
	done  doneFunc
	ready chan error // has room for one; nil: there was no need to wait
}

// wait ends when it is the admission's turn. If ctx ends first, nothing was put in line, unless both came at once.
func (a *admission) wait(ctx context.Context, e *Engine) error {
	if a.ready == nil {
		return nil
	}
	select {
	case err := <-a.ready:
		return err
	case <-ctx.Done():
	case <-e.stopped.Done():
	}
	e.qmu.Lock()
	i := slices.Index(e.queue, a)
	if i >= 0 {
		e.queue = slices.Delete(e.queue, i, i+1)
		e.makeRoom() // those behind it may be smaller
	}
	e.qmu.Unlock()
	switch {
	case i < 0:
		return <-a.ready
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return e.ended()
}

// admit takes a place in line, or among those who wait for one.
func (e *Engine) admit(a *admission) error {
	e.qmu.Lock()
	defer e.qmu.Unlock()
	if len(e.queue) > 0 || e.gate != nil || e.lineFull(a.rows) {
		a.ready = make(chan error, 1)
		e.queue = append(e.queue, a)
		return nil
	}
	return e.enter(a)
}

// enter puts a Do's command in line. Under qmu.
func (e *Engine) enter(a *admission) error {
	if a.cmd == nil {
		return nil
	}
	if err := e.reserved(a.cmd); err != nil {
		return err
	}
	return e.add(a.cmd, a.done)
}

// lineFull reports whether the line is too long for so many rows more. Under qmu.
func (e *Engine) lineFull(rows int) bool {
	return e.line.Rows() > 0 && e.line.Rows()+rows > LineRowsMax || e.line.Bytes() > LineBytesMax
}

// makeRoom lets those in who wait, as many as the line has room for. It waits until that is half empty, so that they come
// in crowds. Under qmu.
func (e *Engine) makeRoom() {
	if len(e.queue) == 0 || e.gate != nil || e.line.Rows() > LineRowsMax/2 || e.line.Bytes() > LineBytesMax/2 {
		return
	}
	n := 0
	for _, a := range e.queue {
		if e.lineFull(a.rows) {
			break
		}
		n++
		a.ready <- e.enter(a)
	}
	e.queue = slices.Delete(e.queue, 0, n)
}
