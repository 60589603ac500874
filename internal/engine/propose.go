package engine

import (
	"context"

	"github.com/yardmaster/yardmaster/internal/batch"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Propose puts a command in line for the next entry and returns at once. done runs exactly once: on the apply goroutine
// after the entry was applied, or, with an error, on any goroutine but the caller's. It must not block. Whoever proposes
// much asks Admit first.
func (e *Engine) Propose(cmd scheduler.Command, done func(Result, error)) {
	err := e.takes(&cmd)
	if err == nil {
		e.qmu.Lock()
		err = e.add(&cmd, done)
		e.qmu.Unlock()
	}
	if err != nil {
		go done(Result{}, err)
	}
}

// takes refuses what mustn't be proposed at all.
func (e *Engine) takes(cmd *scheduler.Command) error {
	if err := encodable(cmd); err != nil {
		return err
	}
	return e.reserved(cmd)
}

// add puts a command at the end of the line. Under qmu.
func (e *Engine) add(cmd *scheduler.Command, done doneFunc) error {
	switch {
	case e.stopping:
		return ErrStopping
	case !e.leading || e.failed.Load():
		return ErrNotLeader
	}
	e.line.Add(*cmd, done)
	if len(e.flights) < FlightsMax {
		e.poke()
	}
	return nil
}

// poke wakes the propose loop.
func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Do admits and proposes a command and waits until it is durable and applied. If ctx ends first its fate is unknown.
func (e *Engine) Do(ctx context.Context, cmd scheduler.Command) (Result, error) {
	type answer struct {
		res Result
		err error
	}
	if err := e.takes(&cmd); err != nil {
		return Result{}, err
	}
	got := make(chan answer, 1)
	a := &admission{rows: batch.Rows(&cmd), cmd: &cmd, done: func(r Result, err error) { got <- answer{r, err} }}
	if err := e.admit(a); err != nil {
		return Result{}, err
	}
	if err := a.wait(ctx, e); err != nil {
		return Result{}, err
	}
	select {
	case a := <-got:
		return a.res, a.err
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	}
}

// failLine answers everything in line with an error.
func (e *Engine) failLine(err error) {
	for {
		e.qmu.Lock()
		items := e.line.Cut(nil)
		e.makeRoom()
		e.qmu.Unlock()
		if len(items) == 0 {
			return
		}
		failItems(items, err)
	}
}

func failItems(items []batch.Item[doneFunc], err error) {
	for i := range items {
		if done := items[i].Tag; done != nil {
			done(Result{}, err)
		}
	}
}
