package sim

import (
	"errors"

	"github.com/yardmaster/yardmaster/internal/batch"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/watch"
)

// What a proposer is told if its command wasn't carried out, or may not have been.
var (
	errNotLeader = errors.New("not the leader")
	errStopping  = errors.New("the coordinator is stopping")
)

// coordinator is the coordinator's process: the glue that internal/engine and internal/rpc are for the real one, round the
// same core, batcher and session machines. Its files: flights (the line, entries in flight), apply (steps and who is told),
// staging (checkpoints), registry and stream (workers), serve (clients).
type coordinator struct {
	process
	disk *disk

	state   *scheduler.State
	eff     scheduler.Effects
	codec   engine.EntryEncoder
	applied uint64

	line     batch.Batcher[doneFunc]
	flights  []*flight
	proposal uint64
	asked    int // commands that were put in line
	told     int // of them: whose proposers were told
	term     uint64
	begins   bool // the BeginTerm of term is not yet proposed
	leading  bool // it is applied
	stopping bool
	deadline scheduler.Time // the state's next deadline; 0: none
	more     bool           // the last step left work over
	lastStep int64          // log time of the last proposal
	poked    bool           // a look at the line is to come
	applying bool           // a step is to come
	tickAt   int64          // when the next look for a Tick is to come; 0: none is

	clock     engine.LogTime
	clockRead int64 // true time of its last reading
	clockRuns bool  // a term was begun

	live    *staging
	sealed  *staging
	saving  *scheduler.Sealed
	gate    bool     // a checkpoint is due before the last has ended: admission waits
	waiting []func() // for the gate
	forgets int      // Forgets in flight

	waiters map[scheduler.TaskID][]*waiter
	ring    *watch.Ring[scheduler.Event]
	reg     *registry
}

// doneFunc is told what became of a proposal.
type doneFunc func(*result, error)

// result is what a command did.
type result struct {
	scheduler.Reply
	index   uint64 // of its entry
	ids     []scheduler.TaskID
	old     []int32
	items   []scheduler.ItemResult
	stop    []scheduler.Token
	answers []scheduler.Answer
}

func newCoordinator(w *World) *coordinator {
	c := &coordinator{process: process{w: w}, disk: w.disk}
	return c
}

// boot starts the process: it loads the last checkpoint, replays the rest of the log, and begins a term.
func (c *coordinator) boot() {
	c.start()
	w := c.w
	state, err := c.disk.store.load()
	if err != nil {
		w.fail(InvReplay, "the checkpoint at index %d can't be loaded: %v", c.disk.store.index, err)
		return
	}
	*c = coordinator{
		process: c.process, disk: c.disk, state: state, applied: c.disk.store.index,
		live: newStaging(), waiters: map[scheduler.TaskID][]*waiter{},
		ring:  watch.NewRing[scheduler.Event](w.plan.EventRing, state.LastPosition()),
		clock: engine.LogTimeAt(int64(state.Now())),
	}
	c.reg = newRegistry(c)
	w.note("coordinator: starts from checkpoint %d, log %d to %d", int64(c.applied), int64(c.disk.first), int64(c.disk.written()))
	w.oracle.loaded(c)
	if !c.replay() {
		return
	}
	w.oracle.recovered(c)
	c.disk.terms++
	c.term, c.begins = c.disk.terms, true
	c.clock.Raise(int64(c.state.Now()))
	c.poke()
	c.after(w.plan.CheckpointEvery, c.checkpointTick)
	c.reg.tickAt = w.now
	c.after(tickPeriod, c.reg.tick)
}

// replay applies the entries that the checkpoint doesn't hold.
func (c *coordinator) replay() bool {
	w := c.w
	for index := c.applied + 1; index <= c.disk.written(); index++ {
		data, ok := c.disk.read(index)
		if !ok {
			w.fail(InvReplay, "entry %d is needed after the checkpoint at %d, and the log begins at %d", index, c.applied, c.disk.first)
			return false
		}
		var b scheduler.Batch
		if err := engine.DecodeEntry(data, &b); err != nil {
			w.fail(InvReplay, "entry %d can't be decoded: %v", index, err)
			return false
		}
		c.step(index, &b)
		w.oracle.passing(c)
		if w.failure != nil {
			return false
		}
	}
	return true
}

// crash ends the process at once. Workers' and clients' connections break; the disk loses what wasn't synced.
func (c *coordinator) crash() {
	if !c.up {
		return
	}
	c.w.note("coordinator: crashes at index %d, written %d, synced %d", int64(c.applied), int64(c.disk.written()), int64(c.disk.synced))
	if c.saving != nil {
		c.w.injected(FaultCheckpointCrash)
	}
	c.w.oracle.crashed(c)
	c.die()
	c.disk.crash()
	c.w.net.serverGone()
	c.w.after(c.w.span(c.w.plan.Restart), c.restart)
}

func (c *coordinator) restart() {
	if !c.up {
		c.boot()
	}
}

// stop ends the process in order: what is in line is carried out, a last checkpoint is written.
func (c *coordinator) stop() {
	if !c.up || c.stopping || !c.leading {
		return
	}
	c.w.note("coordinator: stops at index %d", int64(c.applied))
	c.stopping = true
	c.reg.endStreams()
	c.after(millisecond, c.stopped)
}

func (c *coordinator) stopped() {
	if len(c.flights) > 0 || c.line.Len() > 0 || c.saving != nil {
		c.after(5*millisecond, c.stopped)
		return
	}
	if c.applied != c.disk.store.index {
		c.save()
		c.after(5*millisecond, c.stopped)
		return
	}
	c.w.oracle.crashed(c)
	c.die()
	c.w.net.serverGone()
	c.w.after(c.w.span(c.w.plan.Restart), c.restart)
}

// readClock advances the log's time by the machine's clocks.
func (c *coordinator) readClock() int64 {
	if !c.clockRuns {
		return int64(c.state.Now())
	}
	passed := c.w.now - c.clockRead
	c.clockRead = c.w.now
	return c.clock.Advance(passed, c.w.wallClock())
}

// beginClock starts a term's time.
func (c *coordinator) beginClock() int64 {
	if c.clockRuns {
		c.readClock()
	}
	c.clockRuns, c.clockRead = true, c.w.now
	return c.clock.Begin(c.w.wallClock())
}
