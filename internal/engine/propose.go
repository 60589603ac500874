package engine

import (
	"context"
	"errors"

	"github.com/yardmaster/yardmaster/internal/batch"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Propose puts a command in line for the next entry and returns at once. done runs exactly once: on the apply goroutine
// after the entry was applied, or, with an error, on any goroutine but the caller's. It must not block. Whoever proposes
// much asks Admit first.
func (e *Engine) Propose(cmd scheduler.Command, done func(Result, error)) {
	if err := e.enqueue(&cmd, done, false); err != nil {
		go done(Result{}, err)
	}
}

// errLineFull says that Admit has to be asked again.
var errLineFull = errors.New("the line is full")

func (e *Engine) enqueue(cmd *scheduler.Command, done doneFunc, bounded bool) error {
	if err := encodable(cmd); err != nil {
		return err
	}
	if err := e.reserved(cmd); err != nil {
		return err
	}
	e.qmu.Lock()
	defer e.qmu.Unlock()
	switch {
	case e.stopping:
		return ErrStopping
	case !e.leading || e.failed.Load():
		return ErrNotLeader
	case bounded && e.lineFull(batch.Rows(cmd)):
		return errLineFull
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
	got := make(chan answer, 1)
	for rows := batch.Rows(&cmd); ; {
		if err := e.reserved(&cmd); err != nil {
			return Result{}, err
		}
		if err := e.Admit(ctx, rows); err != nil {
			return Result{}, err
		}
		err := e.enqueue(&cmd, func(r Result, err error) { got <- answer{r, err} }, true)
		if err == nil {
			break
		}
		if !errors.Is(err, errLineFull) {
			return Result{}, err
		}
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
