package sim

import "github.com/yardmaster/yardmaster/internal/scheduler"

// watcher follows the events from a position, over breaks of its stream and restarts of the coordinator.
type watcher struct {
	w        *World
	id       int
	position uint64
	lagged   uint64
	buf      [16]scheduler.Event
}

func newWatcher(w *World, id int) *watcher { return &watcher{w: w, id: id} }

// begin has the watcher ask for what is next, again and again.
func (x *watcher) begin() {
	w := x.w
	after := x.position
	w.call(func(c *coordinator, reply func(func())) {
		w.step()
		n, through, missed, _ := c.ring.Read(after, x.buf[:])
		if n > 0 {
			w.oracle.speaksEvents(c, x.buf[n-1].Position)
		}
		events := append([]scheduler.Event(nil), x.buf[:n]...)
		reply(func() { x.told(after, events, through, missed) })
	}, func(bool) {
		idle := w.between(5*millisecond, 200*millisecond)
		if !w.calm && w.chance(20_000) { // it looks away for so long that it may lag
			idle = w.between(0, 20*second)
		}
		w.after(idle, x.begin)
	})
}

// told takes events in. (12): they follow the last one without a gap, unless it is told how many it has missed; each is
// what the log's entry said, once.
func (x *watcher) told(after uint64, events []scheduler.Event, through, missed uint64) {
	o := x.w.oracle
	if after != x.position {
		return // of a call that it gave up
	}
	next := after + missed
	if missed > 0 {
		x.lagged += missed
		x.w.cover.Lagged++
	}
	for i := range events {
		next++
		ev := &events[i]
		if ev.Position != next || next > uint64(len(o.events)) || hashEvent(ev) != o.events[next-1] {
			o.fail(InvEvents, "watcher %d is told of event %d after %d, or of another one than was", x.id, ev.Position, next-1)
			return
		}
	}
	if next != through {
		o.fail(InvEvents, "watcher %d is told of events through %d, and that they are %d", x.id, next, through)
	}
	x.position = through
}

// speaksEvents (13): an event leaves after its entry is durable.
func (o *oracle) speaksEvents(c *coordinator, position uint64) {
	if position > uint64(len(o.events)) {
		o.fail(InvEvents, "event %d is let out, and there are %d", position, len(o.events))
	}
	o.speaks(c.applied, "an event")
}
