package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/yardmaster/yardmaster/internal/batch"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// flight is an entry that was proposed and is not yet applied.
type flight struct {
	number uint64 // of the proposal
	data   []byte // under qmu; nil until encoded
	batch  scheduler.Batch
	items  []batch.Item[doneFunc]
	term   uint64 // of a BeginTerm; else 0
	err    error  // set before it failed
}

// Propose puts a command in line for the next entry and returns at once. done runs exactly once: on the apply goroutine
// after the entry was applied, or, with an error, on any goroutine but the caller's. It must not block.
func (e *Engine) Propose(cmd scheduler.Command, done func(Result, error)) {
	if err := e.enqueue(cmd, done); err != nil {
		go done(Result{}, err)
	}
}

func (e *Engine) enqueue(cmd scheduler.Command, done doneFunc) error {
	e.qmu.Lock()
	defer e.qmu.Unlock()
	switch {
	case e.stopping:
		return ErrStopping
	case !e.leading || e.failed.Load():
		return ErrNotLeader
	}
	e.line.Add(cmd, done)
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
	if (cmd.Op == scheduler.OpSubmit || cmd.Op == scheduler.OpRetry) && e.diskLow.Load() {
		return Result{}, fmt.Errorf("%w: %d MiB free, %d MiB are held back for running tasks: free disk space or shorten retention",
			ErrDiskReserve, e.diskFree.Load()>>20, e.opts.DiskReserve>>20)
	}
	if err := e.Admit(ctx, batch.Rows(&cmd)); err != nil {
		return Result{}, err
	}
	type answer struct {
		res Result
		err error
	}
	got := make(chan answer, 1)
	if err := e.enqueue(cmd, func(r Result, err error) { got <- answer{r, err} }); err != nil {
		return Result{}, err
	}
	select {
	case a := <-got:
		return a.res, a.err
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	}
}

// Admit waits while the line is long, or while a second checkpoint is due before the first has ended: an unchecked backlog
// of changed rows would snowball into transactions of seconds.
func (e *Engine) Admit(ctx context.Context, rows int) error {
	for {
		e.mu.RLock()
		wait := e.gate
		e.mu.RUnlock()
		if wait == nil {
			e.qmu.Lock()
			if e.line.Rows()+rows > LineRowsMax && e.line.Rows() > 0 || e.line.Bytes() > LineBytesMax {
				if e.room == nil {
					e.room = make(chan struct{})
				}
				wait = e.room
			}
			e.qmu.Unlock()
		}
		if wait == nil {
			return nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-e.stopped.Done():
			return ErrStopping
		}
	}
}

// proposeLoop cuts entries off the line while fewer than FlightsMax are in flight, and ticks when the state's deadline is
// due.
func (e *Engine) proposeLoop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		f, wait := e.nextFlight()
		if f != nil {
			e.launch(f)
			continue
		}
		timer.Reset(wait)
		select {
		case <-e.wake:
		case <-timer.C:
		case <-e.stopped.Done():
			e.failLine(ErrStopping)
			return
		}
	}
}

// nextFlight cuts the next entry, or says how long to wait for one.
func (e *Engine) nextFlight() (*flight, time.Duration) {
	e.qmu.Lock()
	defer e.qmu.Unlock()
	if len(e.flights) >= FlightsMax || e.failed.Load() {
		return nil, time.Hour
	}
	f := &flight{}
	if b := e.begin; b != nil {
		e.begin = nil
		f.term = b.Term
		f.batch.Commands = []scheduler.Command{{Op: scheduler.OpBeginTerm, BeginTerm: &scheduler.BeginTerm{Term: b.Term, Limits: e.opts.Limits}}}
		f.batch.Now = scheduler.Time(e.clock.begin(0))
		e.addFlight(f)
		return f, 0
	}
	if !e.leading {
		return nil, time.Hour
	}
	now := e.clock.read()
	if e.line.Len() == 0 {
		if len(e.flights) > 0 {
			return nil, time.Hour // its landing wakes us
		}
		if wait := e.tickIn(now); wait > 0 {
			return nil, wait
		}
		f.batch.Commands = []scheduler.Command{{Op: scheduler.OpTick}}
	} else {
		f.items = e.line.Cut(make([]batch.Item[doneFunc], 0, min(e.line.Len(), batch.RowsMax)))
		f.batch.Commands = make([]scheduler.Command, len(f.items))
		for i := range f.items {
			f.batch.Commands[i] = f.items[i].Command
		}
		if e.room != nil && e.line.Rows() < LineRowsMax/2 && e.line.Bytes() < LineBytesMax/2 {
			close(e.room)
			e.room = nil
		}
	}
	f.batch.Now = scheduler.Time(now)
	e.lastStep = now
	e.addFlight(f)
	return f, 0
}

// tickIn is how long until a tick is due; at most 0: now.
func (e *Engine) tickIn(now int64) time.Duration {
	if e.more {
		return 0
	}
	next := e.lastStep + IdleTick.Nanoseconds()
	if e.deadline != 0 {
		next = min(next, int64(e.deadline))
	}
	return time.Duration(next - now)
}

func (e *Engine) addFlight(f *flight) {
	f.batch.Logic = scheduler.LogicVersion
	e.proposal++
	f.number = e.proposal
	e.flights = append(e.flights, f)
}

// launch encodes a flight and hands it to the log. Only the propose loop launches, so proposals go out in order.
func (e *Engine) launch(f *flight) {
	data, err := encodeEntry(&f.batch, e.proposer, f.number)
	if err != nil {
		e.fatal(fmt.Errorf("encode log entry: %w", err))
		return
	}
	e.qmu.Lock()
	f.data = data
	e.qmu.Unlock()
	wait, err := e.log.Propose(data)
	if err != nil {
		e.failFlight(f, err)
		return
	}
	go func() {
		if err := wait(); err != nil {
			e.failFlight(f, err)
		}
	}()
}

// takeFlight removes and returns the flight of an applied entry; nil: another process's or an earlier life's.
func (e *Engine) takeFlight(entry []byte) *flight {
	e.qmu.Lock()
	defer e.qmu.Unlock()
	for i, f := range e.flights {
		if len(f.data) == len(entry) && len(entry) > 0 && sameEntry(f.data, entry) {
			e.flights = append(e.flights[:i], e.flights[i+1:]...)
			return f
		}
	}
	return nil
}

// sameEntry compares what makes entries distinct: they carry the proposer's number and their own.
func sameEntry(a, b []byte) bool {
	return &a[0] == &b[0] || entryIdentity(a) == entryIdentity(b)
}

// failFlight answers a flight's proposers with an error, unless it was applied meanwhile.
func (e *Engine) failFlight(f *flight, err error) {
	if !errors.Is(err, ErrNotLeader) {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	e.qmu.Lock()
	found := false
	for i, g := range e.flights {
		if g == f {
			e.flights = append(e.flights[:i], e.flights[i+1:]...)
			found = true
			break
		}
	}
	e.notify()
	e.poke()
	e.qmu.Unlock()
	if !found {
		return
	}
	if !e.failed.Load() {
		e.logger.Warn("a log entry failed", "commands", len(f.batch.Commands), "error", err)
	}
	for i := range f.items {
		if done := f.items[i].Tag; done != nil {
			done(Result{}, err)
		}
	}
}

// failLine answers everything in line with an error.
func (e *Engine) failLine(err error) {
	for {
		e.qmu.Lock()
		items := e.line.Cut(nil)
		if e.room != nil {
			close(e.room)
			e.room = nil
		}
		e.qmu.Unlock()
		if len(items) == 0 {
			return
		}
		for i := range items {
			if items[i].Tag != nil {
				items[i].Tag(Result{}, err)
			}
		}
	}
}

// termLoop follows the log's leadership: a new term is begun before anything else, a lost one ends at once.
func (e *Engine) termLoop() {
	for {
		var l Leadership
		var ok bool
		select {
		case l, ok = <-e.log.Leadership():
			if !ok {
				return
			}
		case <-e.stopped.Done():
			return
		}
		e.qmu.Lock()
		was := e.leading
		e.leading, e.begin = false, nil
		if l.Leader {
			e.begin, e.term = &l, l.Term
			e.poke()
		}
		e.notify()
		e.qmu.Unlock()
		if was {
			e.logger.Warn("leadership lost", "term", l.Term)
			e.failLine(ErrNotLeader)
			if e.observer != nil {
				e.observer.TermEnded()
			}
		}
	}
}
