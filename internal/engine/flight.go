package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/yardmaster/yardmaster/internal/batch"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// flight is an entry that was proposed and is not yet applied. Whoever removes it from Engine.flights answers it: so each
// is answered once.
type flight struct {
	number uint64 // of the proposal
	data   []byte // under qmu; nil until encoded
	began  time.Time
	rows   int // that it changes, estimated
	batch  scheduler.Batch
	items  []batch.Item[doneFunc]
	term   uint64 // of a BeginTerm, a SetLogic or a restore's step: it may open the term; else 0
}

// never is how long the propose loop sleeps if only a wake can give it work.
const never = time.Hour

// proposeLoop cuts entries off the line while fewer than FlightsMax are in flight, and ticks when the state's deadline is
// due.
func (e *Engine) proposeLoop() {
	timer := time.NewTimer(never)
	defer timer.Stop()
	enc := &encoder{}
	for {
		f, wait := e.nextFlight()
		if f != nil {
			e.launch(f, enc)
			continue
		}
		timer.Reset(wait)
		select {
		case <-e.wake:
		case <-timer.C:
		case <-e.stopped.Done():
			e.failLine(e.ended())
			return
		}
	}
}

// nextFlight cuts the next entry, or says how long to wait for one.
func (e *Engine) nextFlight() (*flight, time.Duration) {
	e.qmu.Lock()
	defer e.qmu.Unlock()
	if len(e.flights) >= FlightsMax || e.failed.Load() {
		return nil, never
	}
	if e.begin != 0 {
		f := &flight{term: e.begin}
		e.begin = 0
		f.batch.Commands = []scheduler.Command{
			{Op: scheduler.OpBeginTerm, BeginTerm: &scheduler.BeginTerm{Term: f.term, Limits: e.opts.Limits}},
		}
		return e.addFlight(f, e.clock.begin()), 0
	}
	if e.upgrade.saved {
		f := &flight{term: e.upgrade.term}
		e.upgrade = upgrade{}
		f.batch.Commands = []scheduler.Command{
			{Op: scheduler.OpSetLogic, SetLogic: &scheduler.SetLogic{Logic: scheduler.LogicVersion}},
		}
		return e.addFlight(f, e.clock.read()), 0
	}
	if e.restore.term != 0 && e.gate == nil {
		f := &flight{term: e.restore.term}
		f.batch.Commands = []scheduler.Command{{Op: e.restore.op}}
		e.restore = restoreStep{}
		return e.addFlight(f, e.clock.read()), 0
	}
	if !e.leading {
		return nil, never
	}
	now := e.clock.read()
	if e.line.Len() > 0 {
		return e.addFlight(e.cutLine(), now), 0
	}
	if len(e.flights) > 0 || e.stopping || e.gate != nil {
		return nil, never // a landing wakes us, or the gate when it opens: due tasks mustn't outrun the checkpoints
	}
	if wait := e.tickIn(); wait > 0 {
		return nil, wait
	}
	return e.addFlight(&flight{batch: scheduler.Batch{Commands: []scheduler.Command{{Op: scheduler.OpTick}}}}, now), 0
}

// cutLine makes a flight of the head of the line.
func (e *Engine) cutLine() *flight {
	f := &flight{rows: e.line.Rows()}
	f.items = e.line.Cut(make([]batch.Item[doneFunc], 0, min(e.line.Len(), batch.RowsMax)))
	f.rows -= e.line.Rows()
	f.batch.Commands = make([]scheduler.Command, len(f.items))
	for i := range f.items {
		f.batch.Commands[i] = f.items[i].Command
	}
	e.makeRoom()
	return f
}

// tickIn is how long after the clock's last reading a tick is due; at most 0: now.
func (e *Engine) tickIn() time.Duration {
	if e.more {
		return 0
	}
	next := e.lastStep + IdleTick.Nanoseconds()
	if e.deadline != 0 {
		next = min(next, int64(e.deadline))
	}
	return e.clock.until(next)
}

func (e *Engine) addFlight(f *flight, now int64) *flight {
	e.proposal++
	f.number = e.proposal
	f.batch.Logic, f.batch.Now = e.entryLogic(), scheduler.Time(now)
	e.lastStep = now
	e.flights = append(e.flights, f)
	return f
}

// launch encodes a flight and hands it to the log. Only the propose loop launches, so proposals go out in order.
func (e *Engine) launch(f *flight, enc *encoder) {
	data, err := enc.entry(&f.batch, identity{proposer: e.proposer, proposal: f.number})
	if err != nil {
		e.fatal(fmt.Errorf("encode log entry: %w", err)) // a bug: encodable let it pass
		e.failFlight(f, e.ended())
		return
	}
	f.began = e.opts.Now()
	e.qmu.Lock()
	f.data = data
	e.qmu.Unlock()
	e.opts.Meter.Batch(len(f.batch.Commands), max(f.rows, 1), len(data))
	wait, err := e.log.Propose(data)
	if err != nil {
		e.failFlight(f, fmt.Errorf("propose to the log: %w", err))
		return
	}
	go func() {
		err := wait()
		if err != nil && !errors.Is(err, ErrNotLeader) {
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		if err != nil {
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
			e.removeFlight(i)
			e.landing = true
			return f
		}
	}
	return nil
}

// sameEntry compares what makes entries distinct: they carry the proposer's number and their own.
func sameEntry(a, b []byte) bool {
	return &a[0] == &b[0] || entryIdentity(a) == entryIdentity(b)
}

func (e *Engine) removeFlight(i int) {
	copy(e.flights[i:], e.flights[i+1:])
	e.flights[len(e.flights)-1] = nil
	e.flights = e.flights[:len(e.flights)-1]
}

// failFlight answers a flight's proposers with an error, unless it was applied meanwhile.
func (e *Engine) failFlight(f *flight, err error) {
	e.qmu.Lock()
	found := false
	for i, g := range e.flights {
		if g == f {
			e.removeFlight(i)
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
	if !e.failed.Load() && e.stopped.Err() == nil {
		e.logger.Warn("a log entry failed", "commands", len(f.batch.Commands), "error", err)
	}
	failItems(f.items, err)
}

// landed makes room for the next flight.
func (e *Engine) landed() {
	e.qmu.Lock()
	e.landing = false
	if e.line.Len() == 0 && len(e.flights) == 0 {
		e.notify()
	}
	e.poke()
	e.qmu.Unlock()
}
