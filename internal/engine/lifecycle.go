package engine

import (
	"context"
	"fmt"
)

// Start runs the engine on a log that replays into it, and returns once it leads and serves, or ctx ends. Stop ends what
// it has started, also after an error.
func (e *Engine) Start(ctx context.Context, log Log) error {
	e.log = log
	e.watchDisk()
	e.loops.Go(e.proposeLoop)
	e.loops.Go(e.termLoop)
	e.loops.Go(e.checkpointLoop)
	for {
		e.qmu.Lock()
		leading, changed := e.leading, e.awaitChange()
		e.qmu.Unlock()
		if leading {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("start engine: wait to lead: %w", context.Cause(ctx))
		case <-e.stopped.Done():
			return e.ended()
		}
	}
}

// Stop refuses new proposals, lets those in line be carried out, writes a last checkpoint and ends the loops. The log may
// be closed afterwards. It may be called twice. If ctx ends first, what is in line is refused and nothing is written.
func (e *Engine) Stop(ctx context.Context) error {
	err := e.Quiesce(ctx)
	e.stop()
	e.loops.Wait()
	switch {
	case e.failed.Load():
		return fmt.Errorf("stop engine: it has failed: %w", e.failure)
	case err != nil:
		return err
	}
	return e.save()
}

// Quiesce refuses new proposals and returns once those in line are carried out and wholly told, or ctx ends: after that the
// state doesn't change any more, nor does another event come. It is the first part of a Stop, for who has something to do
// between its parts; it may be called more than once.
func (e *Engine) Quiesce(ctx context.Context) error {
	e.qmu.Lock()
	e.stopping = true
	e.qmu.Unlock()
	return e.settle(ctx)
}

// settle waits until nothing is in line or in flight.
func (e *Engine) settle(ctx context.Context) error {
	for {
		e.qmu.Lock()
		settled, changed := len(e.flights) == 0 && !e.landing && (e.line.Len() == 0 || !e.leading), e.awaitChange()
		e.qmu.Unlock()
		if settled {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("stop engine: proposals are still in flight: %w", context.Cause(ctx))
		case <-e.stopped.Done():
			return nil
		}
	}
}

// awaitChange returns a channel that is closed at the next notify. Under qmu.
func (e *Engine) awaitChange() <-chan struct{} {
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed
}

// notify wakes whoever waits for a change of leadership or for the line to empty. Under qmu.
func (e *Engine) notify() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// fatal reports the first error that the process must not outlive. Should Fatal return, everything has ended: nothing is
// applied, saved or answered with success any more.
func (e *Engine) fatal(err error) {
	e.fatalOne.Do(func() {
		e.failure = err
		e.failed.Store(true)
		e.logger.Error("the process must end", "error", err)
		e.opts.Fatal(err)
		e.stop()
	})
}

// ended says why the engine doesn't run any more. After stopped has ended.
func (e *Engine) ended() error {
	if e.failed.Load() {
		return fmt.Errorf("%w: it has failed: %w", ErrStopping, e.failure)
	}
	return ErrStopping
}
