package sim

import "slices"

// Fault is a kind of fault.
type Fault uint8

// The kinds. Those before FaultLostTail come by the clock of faults; the others follow from rates or from them.
const (
	FaultCoordinatorCrash Fault = iota // the coordinator's process is killed
	FaultCoordinatorStop               // it is stopped in order
	FaultCoordinatorPause              // it stands still for a while
	FaultClockJump                     // its wall clock is set
	FaultConnCut                       // a connection breaks
	FaultHalfOpen                      // a connection carries nothing any more, and nobody is told
	FaultOneWay                        // likewise in one direction
	FaultPartition                     // a worker can't reach the coordinator for a while
	FaultWorkerCrash                   // a worker's process is killed
	FaultWorkerVanish                  // its machine goes, and nobody is told
	FaultWorkerPause                   // it stands still for a while
	FaultWorkerDrain                   // it is stopped in order
	FaultLostTail                      // a crash lost unsynced entries
	FaultTornTail                      // a crash kept some of them
	FaultCheckpointCrash               // a crash came upon a checkpoint under way
	FaultDiskError                     // a sync failed
	FaultDiskSlow                      // a sync took long
	FaultDelay                         // a message took long
	FaultSlowReader                    // a stream's peer didn't read
	FaultPoison                        // a task kills its worker
	FaultUnreadable                    // a task's payload can't be read
	FaultHandler                       // a handler fails
	FaultPanic                         // a handler panics
	FaultDeaf                          // a handler ignores its stop
	FaultLostRequest                   // a client's request didn't arrive
	FaultLostReply                     // the answer to one didn't
	FaultTimeout                       // a client gave up waiting
	FaultLateCopy                      // a request arrives once more, long after its answer
	faultKinds

	scheduledFaults = FaultLostTail
)

var faultNames = [faultKinds]string{
	"coordinator-crash", "coordinator-stop", "coordinator-pause", "clock-jump", "conn-cut", "half-open", "one-way", "partition",
	"worker-crash", "worker-vanish", "worker-pause", "worker-drain", "lost-tail", "torn-tail", "checkpoint-crash", "disk-error",
	"disk-slow", "delay", "slow-reader", "poison", "unreadable", "handler-fails", "handler-panics", "handler-deaf", "lost-request", "lost-reply",
	"call-timeout", "late-copy",
}

func (f Fault) String() string { return faultNames[f] }

// injected counts a fault.
func (w *World) injected(f Fault) { w.cover.Faults[f]++ }

// faults has faults come, again and again, until the world is calm.
func (w *World) faults() {
	w.after(w.between(w.plan.FaultEvery/4, 2*w.plan.FaultEvery), func() {
		if !w.calm {
			w.anyFault()
			w.faults()
		}
	})
}

// faultsBySteps has one come if as many steps have gone by as lie between two.
func (w *World) faultsBySteps() {
	if w.calm || w.steps < w.faultAt {
		return
	}
	w.faultAt = w.steps + int(w.between(w.plan.FaultSteps/4, 2*w.plan.FaultSteps))
	w.anyFault()
}

// anyFault draws a fault by the plan's weights and carries it out, or another if that one has nothing to strike.
func (w *World) anyFault() {
	total := 0
	for _, weight := range w.plan.Faults {
		total += weight
	}
	for try := 0; total > 0 && try < 5; try++ {
		at := w.intn(total)
		for kind, weight := range w.plan.Faults {
			if at -= weight; at < 0 {
				if w.inject(Fault(kind)) {
					return
				}
				break
			}
		}
	}
}

// inject carries out a fault. False: there is nothing for it to strike.
func (w *World) inject(f Fault) bool {
	k := w.workers[w.intn(len(w.workers))]
	if other := w.workers[w.intn(len(w.workers))]; len(other.handlers) > len(k.handlers) {
		k = other // who works is worth more
	}
	c := w.coord
	if !w.strikes(f, k) {
		return false
	}
	w.injected(f)
	w.note("fault: kind %d, worker %d", int64(f), int64(k.id))
	switch f {
	case FaultCoordinatorCrash:
		c.crash()
	case FaultCoordinatorStop:
		c.stop()
	case FaultCoordinatorPause:
		d := w.stillFor()
		w.oracle.stoodStill(d)
		c.pause()
		w.after(d, c.resume)
	case FaultClockJump:
		w.wall = w.between(-2*minute, 2*minute)
	case FaultConnCut:
		k.conn.cut()
	case FaultHalfOpen:
		k.conn.stall(true, true, w.stillFor())
	case FaultOneWay:
		up := w.chance(500_000)
		k.conn.stall(up, !up, w.stillFor())
	case FaultPartition:
		d := w.between(w.plan.TTL/2, 3*w.plan.TTL) // often for longer than its session lives
		k.blocked = w.now + d
		if k.conn != nil && w.chance(500_000) {
			k.blocked = 0
			k.conn.fade(d)
		} else if k.conn != nil {
			k.conn.stall(true, true, d)
		}
	case FaultWorkerCrash:
		k.crash(false)
	case FaultWorkerVanish:
		k.crash(true)
	case FaultWorkerPause:
		k.freeze(w.stillFor())
	case FaultWorkerDrain:
		k.drain()
	}
	return true
}

// strikes reports whether a fault would do anything.
func (w *World) strikes(f Fault, k *worker) bool {
	switch f {
	case FaultCoordinatorCrash:
		return w.coord.up
	case FaultCoordinatorStop:
		return w.coord.up && !w.coord.paused && w.coord.leading && !w.coord.stopping
	case FaultCoordinatorPause:
		return w.coord.up && !w.coord.paused
	case FaultConnCut, FaultHalfOpen, FaultOneWay:
		return k.up && k.conn != nil
	case FaultWorkerCrash, FaultWorkerVanish:
		return k.up
	case FaultPartition:
		return k.blocked <= w.now
	case FaultWorkerPause, FaultWorkerDrain:
		return k.up && !k.paused && !k.draining
	}
	return true
}

// stillFor draws how long something stands still: often for moments, sometimes for longer than sessions live.
func (w *World) stillFor() int64 {
	if w.chance(300_000) {
		return w.between(w.plan.TTL, 3*w.plan.TTL)
	}
	return w.between(0, w.plan.TTL)
}

// becalm ends the faults and heals all that is broken.
func (w *World) becalm() {
	w.calm, w.since = true, w.now
	w.note("the world is calm")
	w.coord.resume()
	for _, k := range w.workers {
		k.blocked = 0
		k.resume()
	}
	for _, x := range slices.Clone(w.net.conns) {
		x.heal()
	}
	for _, c := range w.clients {
		c.calmDown()
	}
}
