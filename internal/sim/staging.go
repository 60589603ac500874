package sim

import "github.com/yardmaster/yardmaster/internal/scheduler"

// stage notes what a step did that the core's rows don't hold.
func (c *coordinator) stage(b *scheduler.Batch) {
	u, e := c.live, &c.eff
	for _, st := range e.Staged {
		u.bodies[st.Task] = b.Commands[st.Cmd].Submit.Tasks[st.Item].Body
	}
	for i := range e.Finished {
		f := &e.Finished[i]
		if f.ExpiresAt != 0 {
			u.finished[f.Task] = finishedOf(f, b)
		}
		if f.State != scheduler.Dead || f.ExpiresAt == 0 {
			u.bodies[f.Task] = nil
		}
	}
	for _, id := range e.Revived {
		// A step may revive a dead letter and then end it: only a task that lives has no end.
		if _, live := c.state.Task(id); live {
			u.finished[id] = nil
		}
	}
	for _, id := range e.Forgotten {
		u.finished[id], u.bodies[id] = nil, nil
	}
}

// finishedOf is what is kept of a task's end.
func finishedOf(f *scheduler.Finished, b *scheduler.Batch) *finishedRow {
	row := &finishedRow{
		id: f.Task, state: f.State, cause: f.Cause, gen: f.Gen, expires: f.ExpiresAt,
		spec: scheduler.TaskSpec{
			Kind: f.Kind, Queue: f.Queue, Require: f.Require, Policy: f.Policy, Priority: f.Priority, Weight: f.Weight,
			HasLabels: f.HasLabels, PayloadBytes: f.PayloadBytes,
		},
	}
	if f.Cmd >= 0 {
		row.detail = string(b.Commands[f.Cmd].Outcomes.List[f.Item].Detail)
	}
	return row
}

// body returns a task's body: nil if there is none any more.
func (c *coordinator) body(id scheduler.TaskID) []byte {
	for _, u := range [...]*staging{c.live, c.sealed} {
		if u != nil {
			if body, ok := u.bodies[id]; ok {
				return body
			}
		}
	}
	return c.disk.store.bodies[id]
}

// finished returns what is kept of a task's end: nil if nothing is.
func (c *coordinator) finished(id scheduler.TaskID) *finishedRow {
	for _, u := range [...]*staging{c.live, c.sealed} {
		if u != nil {
			if row, ok := u.finished[id]; ok {
				return row
			}
		}
	}
	return c.disk.store.finished[id]
}

// collectRows is how many rows of a sealed checkpoint are copied at a time, beside steps.
const collectRows = 16

// checkpointTick writes a checkpoint now and then.
func (c *coordinator) checkpointTick() {
	c.save()
	c.after(c.w.plan.CheckpointEvery, c.checkpointTick)
}

// save begins a checkpoint of the state as it is now, unless one is under way or nothing has changed.
func (c *coordinator) save() {
	if c.saving != nil {
		return
	}
	if c.applied == c.disk.store.index && c.live.empty() {
		c.openGate()
		return
	}
	c.w.step()
	cp := &checkpoint{index: c.applied, staged: c.live}
	c.w.oracle.sealed(c)
	c.saving = c.state.Seal()
	c.sealed, c.live = c.live, newStaging()
	c.collect(cp)
}

// collect copies some rows; the state changes between two calls.
func (c *coordinator) collect(cp *checkpoint) {
	c.after(c.w.span(c.w.plan.Copy), func() {
		var done bool
		if cp.rows, done = c.state.Collect(c.saving, collectRows, cp.rows); !done {
			c.collect(cp)
			return
		}
		c.write(cp)
	})
}

// write has the disk commit a checkpoint. A crash meanwhile leaves all of it or nothing.
func (c *coordinator) write(cp *checkpoint) {
	mount := c.disk.mounts
	latency := c.disk.latency()
	landsAt := c.w.between(0, latency)
	c.w.after(landsAt, func() {
		if c.disk.mounts == mount {
			c.disk.store.commit(cp)
		}
	})
	c.w.after(latency, func() {
		if c.disk.mounts != mount {
			return
		}
		if c.w.fault(c.w.plan.DiskError) {
			c.w.injected(FaultDiskError)
			c.crash()
			return
		}
		c.run(func() { c.saved(cp) })
	})
}

// saved goes on after a checkpoint: retention takes its course, the log is cut.
func (c *coordinator) saved(cp *checkpoint) {
	c.w.step()
	c.w.note("store: checkpoint at index %d, %d rows", int64(cp.index), int64(len(cp.rows)))
	c.saving, c.sealed = nil, nil
	c.w.oracle.saved(c)
	c.openGate()
	c.forget(c.disk.store.expire(c.state.Served(), 100))
	c.disk.cut(c.disk.store.index)
}

// openGate lets those in who wait for a checkpoint.
func (c *coordinator) openGate() {
	if !c.gate {
		return
	}
	c.gate = false
	waiting := c.waiting
	c.waiting = nil
	for _, do := range waiting {
		c.after(0, do)
	}
	c.poke()
}

// admit calls do when there is room in the line.
func (c *coordinator) admit(do func()) {
	if c.gate || len(c.waiting) > 0 {
		c.waiting = append(c.waiting, do)
		return
	}
	do()
}

// forget proposes the end of dead letters whose retention is over, unless an earlier one is on its way.
func (c *coordinator) forget(dead []scheduler.DeadRef) {
	if c.forgets > 0 || !c.leading {
		return
	}
	var due []scheduler.DeadRef
	for _, ref := range dead {
		if gen, ok := c.state.DeadGen(ref.ID); ok && gen == ref.Gen {
			due = append(due, ref)
		}
	}
	if len(due) == 0 {
		return
	}
	c.forgets++
	wait := int64(0)
	if c.w.chance(500_000) { // it stands in line for long
		wait = c.w.between(0, 3*second)
	}
	c.after(wait, func() {
		c.propose(scheduler.Command{Op: scheduler.OpForget, Forget: &scheduler.Forget{Items: due}}, func(*result, error) { c.forgets-- })
	})
}
