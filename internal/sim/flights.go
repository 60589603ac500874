package sim

import (
	"github.com/yardmaster/yardmaster/internal/batch"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// flight is an entry that was proposed and is not yet applied.
type flight struct {
	index uint64
	batch scheduler.Batch
	items []batch.Item[doneFunc]
	term  uint64 // of a BeginTerm: it opens the term; else 0
}

// propose puts a command in line for the next entry. done runs once, later, unless the process dies first.
func (c *coordinator) propose(cmd scheduler.Command, done doneFunc) {
	var err error
	switch {
	case c.stopping:
		err = errStopping
	case !c.leading:
		err = errNotLeader
	}
	if err != nil {
		c.after(0, func() { done(nil, err) })
		return
	}
	c.line.Add(cmd, done)
	c.asked++
	if len(c.flights) < engine.FlightsMax {
		c.poke()
	}
}

// poke has the line looked at, a little later: what comes until then goes into the same entry.
func (c *coordinator) poke() {
	if c.poked {
		return
	}
	c.poked = true
	c.after(c.w.between(0, 50*microsecond), func() {
		c.poked = false
		c.launchAll()
	})
}

// launchAll cuts entries off the line while there may be more in flight, or sees to it that a Tick comes in time.
func (c *coordinator) launchAll() {
	for {
		f := c.nextFlight()
		if f == nil {
			return
		}
		data, err := c.codec.Encode(&f.batch, c.life, c.proposal)
		if err != nil {
			c.w.fail(InvReplay, "a batch can't be encoded: %v", err)
			return
		}
		f.index = c.disk.append(data)
		c.w.step()
		c.w.note("log: entry %d of %d commands, log time %d ms", int64(f.index), int64(len(f.batch.Commands)), int64(f.batch.Now)/millisecond-epoch/millisecond)
		c.syncLog()
	}
}

// syncLog makes what is written durable; the process ends at the disk's first error.
func (c *coordinator) syncLog() {
	c.disk.sync(func() { c.run(c.committed) }, c.crash)
}

// committed goes on once more entries are durable.
func (c *coordinator) committed() {
	if c.disk.synced < c.disk.written() {
		c.syncLog()
	}
	c.applyNext()
}

// nextFlight cuts the next entry; nil: there is none for now.
func (c *coordinator) nextFlight() *flight {
	if len(c.flights) >= engine.FlightsMax {
		return nil
	}
	if c.begins {
		c.begins = false
		f := &flight{term: c.term}
		f.batch.Commands = []scheduler.Command{{Op: scheduler.OpBeginTerm, BeginTerm: &scheduler.BeginTerm{Term: c.term, Limits: c.w.plan.Limits}}}
		return c.addFlight(f, c.beginClock())
	}
	if !c.leading {
		return nil
	}
	now := c.readClock()
	if c.line.Len() > 0 {
		f := &flight{items: c.line.Cut(nil)}
		f.batch.Commands = make([]scheduler.Command, len(f.items))
		for i := range f.items {
			f.batch.Commands[i] = f.items[i].Command
		}
		return c.addFlight(f, now)
	}
	if len(c.flights) > 0 || c.stopping || c.gate {
		return nil // a landing wakes us, or the gate
	}
	if wait := c.tickIn(); wait > 0 {
		c.tickLater(wait)
		return nil
	}
	return c.addFlight(&flight{batch: scheduler.Batch{Commands: []scheduler.Command{{Op: scheduler.OpTick}}}}, now)
}

// tickIn is how long after the clock's last reading a Tick is due.
func (c *coordinator) tickIn() int64 {
	if c.more {
		return 0
	}
	next := c.lastStep + engine.IdleTick.Nanoseconds()
	if c.deadline != 0 {
		next = min(next, int64(c.deadline))
	}
	return c.clock.Until(next)
}

// tickLater has the line looked at when a Tick is due, unless that is so anyway.
func (c *coordinator) tickLater(wait int64) {
	at := c.w.now + wait
	if c.tickAt > c.w.now && c.tickAt <= at {
		return
	}
	c.tickAt = at
	c.after(wait, func() {
		if c.tickAt == at {
			c.tickAt = 0
		}
		c.poke()
	})
}

func (c *coordinator) addFlight(f *flight, now int64) *flight {
	c.proposal++
	f.batch.Logic, f.batch.Now = scheduler.LogicVersion, scheduler.Time(now)
	c.lastStep = now
	c.flights = append(c.flights, f)
	return f
}
