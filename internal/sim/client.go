package sim

import (
	"encoding/binary"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// client submits tasks and does what operators do. Submits under its producer's numbers it repeats until they are answered;
// others it sends once, and doesn't know what became of those that weren't answered.
type client struct {
	w        *World
	id       int
	producer scheduler.Hash128
	number   uint64     // of the last numbered request
	open     []*request // numbered and unanswered, by number
	serial   uint64     // of its last task
	calls    int        // without an answer
	wants    int        // calls that it repeats until they are answered
}

// request is a Submit.
type request struct {
	number   uint64 // 0: not under the producer's numbers
	tasks    []scheduler.TaskSpec
	settled  bool
	attempts int
}

func newClient(w *World, id int) *client {
	c := &client{w: w, id: id}
	binary.BigEndian.PutUint64(c.producer[:], uint64(id)+1)
	return c
}

// openMost is how many numbered requests a client has open.
const openMost = 40

// callsMost is how many calls without an answer keep a client from doing anything else.
const callsMost = 60

// call is World.call, counted.
func (c *client) call(serve func(c *coordinator, reply func(func())), done func(answered bool)) {
	c.calls++
	c.w.call(serve, func(answered bool) {
		c.calls--
		done(answered)
	})
}

// begin has the client do something, again and again, until the world is calm.
func (c *client) begin() {
	c.w.after(c.w.span(c.w.plan.Think), func() {
		if c.w.calm {
			return
		}
		if c.calls < callsMost {
			c.act()
		}
		c.begin()
	})
}

// call carries a request to the coordinator and what it replies back. done runs once: false means that no answer came, and
// that nobody knows what became of the request. To give up is a fault: how long an answer takes is up to the disk, and may
// always be longer than CallTimeout. So once the world is calm a caller waits, as package client does, for as long as the
// process lives that has its request. An answer that never comes is found then.
func (w *World) call(serve func(c *coordinator, reply func(func())), done func(answered bool)) {
	settled, life := false, uint64(0) // of the coordinator that has the request; 0: none has
	settle := func(answered bool) {
		if !settled {
			settled = true
			done(answered)
		}
	}
	var giveUp func()
	giveUp = func() {
		switch {
		case settled:
		case w.calm && w.coord.up && w.coord.life == life:
			w.after(w.plan.CallTimeout, giveUp)
		default:
			w.injected(FaultTimeout)
			settle(false)
		}
	}
	w.after(w.plan.CallTimeout, giveUp)
	if w.fault(w.plan.LostRequest) {
		w.injected(FaultLostRequest)
		w.after(w.span(w.plan.Latency), func() { settle(false) })
		return
	}
	w.after(w.span(w.plan.Latency), func() {
		c := w.coord
		if !c.up {
			w.after(w.span(w.plan.Latency), func() { settle(false) })
			return
		}
		life = c.life
		c.run(func() {
			serve(c, func(receive func()) {
				if w.fault(w.plan.LostReply) {
					w.injected(FaultLostReply)
					w.after(w.span(w.plan.Latency), func() { settle(false) })
					return
				}
				w.after(w.span(w.plan.Latency), func() {
					if !settled {
						receive()
					}
					settle(true)
				})
			})
		})
	})
}

// do proposes a command for a client, and replies with what it did.
func (c *coordinator) do(cmd scheduler.Command, reply func(func()), answer func(*result, error)) {
	c.w.step()
	c.admit(func() {
		c.propose(cmd, func(res *result, err error) {
			if err == nil {
				c.w.oracle.speaks(res.index, "a reply")
			}
			reply(func() { answer(res, err) })
		})
	})
}

// submit sends a request, and repeats a numbered one until it is answered.
func (c *client) submit(r *request) {
	w := c.w
	r.attempts++
	s := &scheduler.Submit{Tasks: r.tasks}
	if r.number != 0 {
		s.Producer, s.Number, s.Lowest = c.producer, r.number, c.open[0].number
	}
	w.note("client %d: submits %d tasks, request %d, attempt %d", int64(c.id), int64(len(r.tasks)), int64(r.number), int64(r.attempts))
	c.call(func(co *coordinator, reply func(func())) {
		co.do(scheduler.Command{Op: scheduler.OpSubmit, Submit: s}, reply, func(res *result, err error) {
			if err == nil && !r.settled {
				c.answered(r, res)
				c.lateCopy(r, s)
			}
		})
	}, func(bool) {
		if !r.settled && r.number != 0 {
			w.after(w.between(20*millisecond, 500*millisecond), func() {
				if !r.settled {
					c.submit(r)
				}
			})
		}
	})
}

// lateCopy has a numbered request arrive once more, long after its answer: the network may have kept it.
func (c *client) lateCopy(r *request, s *scheduler.Submit) {
	w := c.w
	if r.number == 0 || !w.fault(w.plan.LateCopy) {
		return
	}
	w.injected(FaultLateCopy)
	w.after(w.between(0, 10*second), func() {
		w.coord.run(func() {
			w.coord.do(scheduler.Command{Op: scheduler.OpSubmit, Submit: s}, func(func()) {}, func(*result, error) {})
		})
	})
}

// answered takes note of a request's answer: a refusal is one too.
func (c *client) answered(r *request, res *result) {
	r.settled = true
	c.open = slices.DeleteFunc(c.open, func(o *request) bool { return o == r })
	ids := res.ids
	if len(ids) == 0 {
		for i := range res.Count {
			ids = append(ids, res.First+scheduler.TaskID(i))
		}
	}
	c.w.note("client %d: request %d is answered, code %d, first task %d", int64(c.id), int64(r.number), int64(res.Code), int64(res.First))
	c.w.oracle.acknowledged(c, r, res, ids)
	if res.Code == scheduler.CodeOK && c.w.chance(300_000) {
		for _, id := range ids {
			c.await(id)
		}
	}
}

// until repeats a call until it is answered, at calm: the operator's last orders.
func (c *client) until(cmd scheduler.Command) {
	c.wants++
	ok := false
	c.call(func(co *coordinator, reply func(func())) {
		co.do(cmd, reply, func(_ *result, err error) { ok = err == nil })
	}, func(bool) {
		c.wants--
		if !ok {
			c.wants++
			c.w.after(100*millisecond, func() {
				c.wants--
				c.until(cmd)
			})
		}
	})
}

// calmDown ends the client's doings; the first lets all queues go on, again and again: a pause may still be under way.
func (c *client) calmDown() {
	if c.id != 0 {
		return
	}
	for _, q := range c.w.plan.Queues {
		c.until(scheduler.Command{Op: scheduler.OpResumeQueue, Queue: &scheduler.QueueCommand{Name: q}})
	}
	c.w.after(20*second, c.calmDown)
}

// idle reports whether the client waits for nothing that it repeats.
func (c *client) idle() bool { return len(c.open) == 0 && c.wants == 0 }
