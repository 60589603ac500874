package sim

import (
	"encoding/binary"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Traits of tasks, in their bodies: what their handlers do.
const (
	traitPoison   byte = 1 << iota // it kills its worker
	traitHopeless                  // it always fails
	traitSlow
	traitUnreadable // the coordinator can't read its body
)

// bodyOf is a task's body: it says whose it is, and its traits.
func bodyOf(client int, serial uint64, traits byte) []byte {
	b := make([]byte, 17)
	binary.BigEndian.PutUint64(b, uint64(client))
	binary.BigEndian.PutUint64(b[8:], serial)
	b[16] = traits
	return b
}

func traitsOf(body []byte) byte { return body[16] }

// resultOf is what a handler returns: it says by which token.
func resultOf(t scheduler.Token) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t)) }

// act does something.
func (c *client) act() {
	w := c.w
	if w.chance(w.plan.Flood) {
		c.flood()
		return
	}
	if w.chance(w.plan.Retries) {
		c.retry()
		return
	}
	switch n := w.intn(100); {
	case n < 70:
		c.submitSome()
	case n < 78:
		c.cancel()
	case n < 84:
		c.retry()
	case n < 87:
		c.delete()
	case n < 91:
		c.order(scheduler.OpPauseQueue)
	case n < 95:
		c.order(scheduler.OpResumeQueue)
	case n < 98:
		c.configure()
	default:
		c.purge()
	}
}

// submitSome submits a task or a batch.
func (c *client) submitSome() {
	w := c.w
	if w.oracle.live >= w.plan.Backlog {
		return
	}
	n := 1
	if w.chance(w.plan.Batches) {
		n = 1 + w.intn(20)
	}
	r := &request{}
	for range n {
		r.tasks = append(r.tasks, c.spec())
	}
	if w.chance(w.plan.UseProducer) && c.hasRoom() {
		c.number++
		r.number = c.number
		c.open = append(c.open, r)
	}
	c.submit(r)
}

// hasRoom reports whether another request may be numbered: the window counts from the lowest that is unanswered.
func (c *client) hasRoom() bool {
	return len(c.open) == 0 || len(c.open) < openMost && c.number+1-c.open[0].number < scheduler.ProducerWindow
}

// spec draws a task.
func (c *client) spec() scheduler.TaskSpec {
	w, p := c.w, &c.w.plan
	c.serial++
	var traits byte
	if w.chance(p.Poison) {
		traits |= traitPoison
	}
	if w.chance(p.Hopeless) {
		traits |= traitHopeless
	}
	if w.chance(p.Unreadable) {
		traits |= traitUnreadable
	}
	s := scheduler.TaskSpec{
		Kind: p.Kinds[w.intn(len(p.Kinds))], Queue: p.Queues[w.intn(len(p.Queues))], Weight: 1,
		Body: bodyOf(c.id, c.serial, traits), PayloadBytes: 17,
		Policy: scheduler.Policy{
			AttemptTimeout: scheduler.Duration(w.between(0, 3) * 2 * second), Backoff: scheduler.Duration(w.between(0, 500) * millisecond),
			BackoffMax: scheduler.Duration(w.between(50, 2000) * millisecond), Retention: scheduler.Hour, DeadRetention: scheduler.Hour,
			MaxAttempts: uint16(w.between(1, int64(p.Attempts))), MaxLosses: uint8(max(p.Losses, int(w.between(1, 4)))), Factor: 2,
		},
	}
	if w.chance(100_000) {
		s.Priority = int8(w.between(-5, 5))
	}
	if w.chance(p.Heavy) {
		s.Weight = uint16(w.between(2, heavyMost))
	}
	if w.chance(p.Unkept) {
		s.Policy.Retention = scheduler.Duration(max(0, w.between(-p.Keep/4, p.Keep)))
		s.Policy.DeadRetention = s.Policy.Retention
	}
	if w.chance(p.Require) {
		for _, l := range workerLabels {
			if l.Key == "zone" || w.chance(p.Heavy) {
				s.Require = append(s.Require, l)
			}
		}
	}
	if w.chance(p.Delayed) {
		if w.chance(500_000) {
			s.Delay = scheduler.Duration(w.between(millisecond, 5*second))
		} else {
			s.NotBefore = scheduler.Time(w.wallClock() + w.between(-second, 5*second))
		}
	}
	if w.chance(p.Bounded) {
		s.StartBy = scheduler.Time(w.wallClock() + w.between(0, 5*second))
	}
	if w.chance(p.Bounded) || s.StartBy != 0 && w.chance(500_000) {
		s.Deadline = scheduler.Time(w.wallClock() + w.between(0, 10*second))
	}
	if w.chance(p.UseKeys) {
		c.key(&s)
	}
	return s
}

// key gives a task one of a few keys, which it may share with others: some of those are another task, which is a conflict.
func (c *client) key(s *scheduler.TaskSpec) {
	s.HasKey = true
	s.Key[0], s.Key[1] = 1, 1
	binary.BigEndian.PutUint16(s.Key[2:], uint16(c.w.intn(c.w.plan.Keys)))
	s.KeyBody = s.Key
	if c.w.chance(100_000) {
		s.KeyBody[1] = 3
	}
}

// anyTask draws a task's id: also of one that doesn't exist yet.
func (c *client) anyTask() scheduler.TaskID {
	return scheduler.TaskID(c.w.between(1, int64(c.w.oracle.lastTask)+1))
}

// once sends a command and doesn't care for the answer.
func (c *client) once(cmd scheduler.Command) {
	c.w.note("client %d: operation %d", int64(c.id), int64(cmd.Op))
	c.call(func(co *coordinator, reply func(func())) {
		co.do(cmd, reply, func(*result, error) {})
	}, func(bool) {})
}

func (c *client) cancel() {
	x := &scheduler.Cancel{Force: c.w.chance(300_000)}
	for range 1 + c.w.intn(4) {
		x.IDs = append(x.IDs, c.anyTask())
	}
	c.once(scheduler.Command{Op: scheduler.OpCancel, Cancel: x})
}

// flood cancels so many tasks at once, none of which there is, that several entries are needed for it.
func (c *client) flood() {
	n := 3 + c.w.intn(12)
	c.w.note("client %d: floods with %d cancels", int64(c.id), int64(n))
	c.call(func(co *coordinator, reply func(func())) {
		for i := range n {
			x := &scheduler.Cancel{}
			for j := range 300 + c.w.intn(700) {
				x.IDs = append(x.IDs, co.state.LastTask()+scheduler.TaskID(1000*(i+1)+j))
			}
			co.do(scheduler.Command{Op: scheduler.OpCancel, Cancel: x}, reply, func(*result, error) {})
		}
	}, func(bool) {})
}

// retry gives dead letters a new generation; the coordinator reads their rows into the command.
func (c *client) retry() {
	id := c.w.oracle.anyDead()
	if id == 0 {
		return
	}
	c.call(func(co *coordinator, reply func(func())) {
		it := scheduler.RetryItem{ID: id}
		if row := co.finished(id); row != nil && row.state == scheduler.Dead {
			it.Gen, it.Found, it.Spec = row.gen, true, row.spec
		}
		co.do(scheduler.Command{Op: scheduler.OpRetry, Retry: &scheduler.Retry{Items: []scheduler.RetryItem{it}}}, reply, func(*result, error) {})
	}, func(bool) {})
}

// delete removes a finished task; the coordinator reads its row into the command.
func (c *client) delete() {
	id := c.anyTask()
	c.call(func(co *coordinator, reply func(func())) {
		it := scheduler.DeleteItem{ID: id}
		if row := co.finished(id); row != nil {
			it.Gen, it.Found = row.gen, true
		}
		co.do(scheduler.Command{Op: scheduler.OpDelete, Delete: &scheduler.Delete{Items: []scheduler.DeleteItem{it}}}, reply, func(*result, error) {})
	}, func(bool) {})
}

func (c *client) order(op scheduler.Op) {
	c.once(scheduler.Command{Op: op, Queue: &scheduler.QueueCommand{Name: c.w.plan.Queues[c.w.intn(len(c.w.plan.Queues))]}})
}

func (c *client) configure() {
	w := c.w
	q := &scheduler.QueueCommand{Name: w.plan.Queues[w.intn(len(w.plan.Queues))], Weight: uint16(w.between(0, 10))}
	if w.chance(500_000) {
		q.Fields |= scheduler.QueueMaxLeasesSet
		q.MaxLeases = uint32(w.between(0, 8))
	}
	if w.chance(300_000) {
		q.Fields |= scheduler.QueueDepthSet
		q.Depth = uint64(w.between(0, int64(w.plan.Backlog)*2))
	}
	c.once(scheduler.Command{Op: scheduler.OpConfigureQueue, Queue: q})
}

// purge empties a queue of what isn't leased.
func (c *client) purge() {
	queue := c.w.plan.Queues[c.w.intn(len(c.w.plan.Queues))]
	c.call(func(co *coordinator, reply func(func())) {
		x := &scheduler.Cancel{Purge: true}
		co.state.WalkTasks(0, scheduler.BatchTasksMax, func(t scheduler.TaskInfo) {
			if t.Queue == queue {
				x.IDs = append(x.IDs, t.ID)
			}
		})
		co.do(scheduler.Command{Op: scheduler.OpCancel, Cancel: x}, reply, func(*result, error) {})
	}, func(bool) {})
}

// await asks for a task's end until it is told.
func (c *client) await(id scheduler.TaskID) {
	w := c.w
	told := false
	c.call(func(co *coordinator, reply func(func())) {
		if !co.leading {
			return
		}
		answer := func(row *finishedRow) {
			reply(func() {
				told = true
				w.oracle.awaited(id, row)
			})
		}
		if _, live := co.state.Task(id); live {
			co.waiters[id] = append(co.waiters[id], &waiter{id: id, done: answer})
			return
		}
		answer(co.finished(id))
	}, func(bool) {
		if !told && !w.calm {
			w.after(200*millisecond, func() { c.await(id) })
		}
	})
}
