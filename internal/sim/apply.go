package sim

import "github.com/yardmaster/yardmaster/internal/scheduler"

// applyNext has the next durable entry applied, if there is one and none is about to be.
func (c *coordinator) applyNext() {
	if c.applying || c.applied >= c.disk.synced {
		return
	}
	c.applying = true
	c.after(c.w.between(0, 30*microsecond), func() {
		c.applying = false
		c.land()
		c.applyNext()
	})
}

// land applies the oldest flight, whose entry is durable, and tells everyone what it did.
func (c *coordinator) land() {
	f := c.flights[0]
	c.flights = append(c.flights[:0], c.flights[1:]...)
	c.step(f.index, &f.batch)
	if c.w.failure != nil {
		return
	}
	c.tell(f)
	c.poke()
}

// step runs the core and stages what the next checkpoint must hold.
func (c *coordinator) step(index uint64, b *scheduler.Batch) {
	c.w.step()
	c.state.Apply(b, &c.eff)
	c.applied = index
	c.stage(b)
	c.w.oracle.applied(c, index, b)
	c.deadline, c.more = 0, c.eff.More
	if at, ok := c.state.NextDeadline(); ok {
		c.deadline = at
	}
	c.ring.Append(c.eff.Events)
	if c.leading && c.state.DirtyRows() >= c.w.plan.CheckpointRows {
		if c.saving != nil {
			c.gate = true
		} else {
			c.after(0, c.save)
		}
	}
}

// tell answers the proposers of a step, then the sessions. Nothing of this happens before the entry is durable.
func (c *coordinator) tell(f *flight) {
	c.w.oracle.speaks(f.index, "a step's effects")
	for i := range f.items {
		c.told++
		if done := f.items[i].Tag; done != nil {
			done(c.result(i, f.index), nil)
		}
	}
	if f.term != 0 {
		c.leading = true
		c.w.note("coordinator: leads in term %d", int64(f.term))
		c.reg.termBegan()
	}
	c.reg.applied(&c.eff)
	c.ended(&f.batch)
}

func (c *coordinator) result(i int, index uint64) *result {
	e := &c.eff
	r := &result{Reply: e.Replies[i], index: index}
	r.ids = clip(e.IDs, r.IDs)
	r.old = clip(e.Indexes, r.Old)
	r.items = clip(e.Items, r.Items)
	r.stop = clip(e.Tokens, r.Stop)
	r.answers = clip(e.Answers, r.Answers)
	return r
}

// clip copies a span out of the effects.
func clip[T any](all []T, s scheduler.Span) []T {
	if s.From == s.To {
		return nil
	}
	return append([]T(nil), all[s.From:s.To]...)
}

// waiter is one who awaits a task's end.
type waiter struct {
	id   scheduler.TaskID
	done func(*finishedRow)
}

// ended hands the ends of a step to who awaits them: also those of which nothing is kept.
func (c *coordinator) ended(b *scheduler.Batch) {
	for i := range c.eff.Finished {
		f := &c.eff.Finished[i]
		ws := c.waiters[f.Task]
		if len(ws) == 0 {
			continue
		}
		delete(c.waiters, f.Task)
		row := finishedOf(f, b)
		for _, w := range ws {
			w.done(row)
		}
	}
}
