package main

import (
	"context"
	"fmt"
	"time"

	"github.com/yardmaster/yardmaster/client"
)

// stallMax is how long the demo waits for the next outcome before it calls the rest lost.
const stallMax = 2 * time.Minute

// errStalled ends the wait: what has no outcome by then is lost.
var errStalled = fmt.Errorf("no outcome for %v", stallMax)

// watch is the time between the submit and the last outcome: it shows progress, kills when it is time, and enters the
// outcomes into the ledger. One goroutine owns it; awaiting and killing run beside it and send what they have.
type watch struct {
	screen *screen
	fleet  *fleet
	ledger *ledger
	meter  *meter
	kills  []*kill

	outcomes chan *client.Outcome // closed once awaiting has ended
	awaited  chan error           // then has its error
	heldBy   func(context.Context, string) []uint64
	steps    chan killStep
	killing  *kill // being carried out; nil: none
	last     time.Time
	took     time.Duration // from the first moment to the last outcome
}

// run waits for all ids. It returns errStalled, the end of a process that nobody asked to end, what awaiting failed with,
// or the cause of ctx.
func (w *watch) run(ctx context.Context, c *client.Client, ids []uint64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.outcomes = make(chan *client.Outcome, len(ids)) // awaiting never waits for this loop
	w.awaited = make(chan error, 1)
	w.steps, w.heldBy = make(chan killStep), heldBy(c)
	go func() {
		w.awaited <- c.AwaitAll(ctx, ids, func(_ uint64, out *client.Outcome) error {
			w.outcomes <- out
			return nil
		})
		close(w.outcomes)
	}()
	began := time.Now()
	w.last = began
	tick := time.NewTicker(w.screen.every())
	defer tick.Stop()
	outcomes := w.outcomes
	for outcomes != nil || w.killing != nil {
		select {
		case out, more := <-outcomes:
			if !more {
				outcomes = nil
				break
			}
			w.outcome(ctx, out)
			w.took = w.last.Sub(began)
		case step := <-w.steps:
			w.step(step, cancel)
		case now := <-tick.C:
			w.tick(now, cancel)
		case p := <-w.fleet.surprise:
			cancel(p.obituary())
		}
	}
	w.screen.end()
	if err := <-w.awaited; err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// outcome takes one, and begins the kill that is due with it.
func (w *watch) outcome(ctx context.Context, out *client.Outcome) {
	w.last = time.Now()
	w.ledger.awaited(out)
	w.meter.add(out.Attempts)
	for _, k := range w.kills {
		k.note(out, w.last)
	}
	if w.killing != nil || ctx.Err() != nil {
		return
	}
	if k := due(w.kills, w.meter.done, w.meter.total); k != nil {
		w.killing = k
		go carryOut(ctx, k.name, w.fleet, w.heldBy, w.steps)
	}
}

func (w *watch) step(s killStep, cancel context.CancelCauseFunc) {
	k := w.killing
	k.take(s)
	percent := 100 * w.meter.done / w.meter.total
	switch {
	case !s.back:
		w.screen.say("  %3d%%  kill -9 %s (pid %d)", percent, k.name, s.pid)
		return
	case s.err != nil:
		cancel(fmt.Errorf("start %s again: %w", k.name, s.err))
	default:
		w.screen.say("  %3d%%  %s started again (pid %d), %s after the kill", percent, k.name, s.backPID, span(s.backAfter))
	}
	w.killing = nil
}

func (w *watch) tick(now time.Time, cancel context.CancelCauseFunc) {
	w.meter.tick(now)
	w.screen.progress(w.meter.line(w.fleet.standing()))
	if now.Sub(w.last) >= stallMax {
		cancel(errStalled)
	}
}
