package rpc

import (
	"cmp"
	"slices"
	"time"
)

// roomLine is the line of submits that wait for room: who may try next. It reads no clock and starts no goroutine; room
// drives it under its lock.
//
// Waiters of one producer stand in the order in which they came. Producers take turns: each look goes round them, lets the
// first of each try if the counts leave room for it, and passes over those that don't fit. So a small batch isn't kept
// waiting by a large one for which there is no room. For the large one there is the hold: a first waiter that doesn't fit,
// the one that has waited longest of those that meet the same bound (a queue's depth, or the tasks in all), has the room
// that comes free kept for it for RoomPatience, once the others had their way for RoomPatience. Each further hold
// for the same waiter lasts twice as long as the one before, and after each the others have as long. So a batch that can fit
// at all gets in some time, if tasks end, and nobody is held up without end.
//
// The rejected design was to try each waiter by a timer of its own: whoever asked first after a task ended got the room,
// and a batch of a thousand never did beside a producer of single tasks.
type roomLine struct {
	producers []*producerLine // by turn: the next first
	byKey     map[string]*producerLine
	gates     map[string]*gate // by bound: a queue's name, or "" for the tasks in all
	wanted    map[string]int   // by queue: waiters that need it
	places    places           // taken
	most      places           // bound of those taken
	arrivals  uint64
}

// producerLine is one producer's waiters. Invariant: never empty.
type producerLine struct {
	key     string
	waiters []*waiter // in order of arrival
	places  places    // that they take
}

// queueNeed is how many tasks a submit adds to a queue.
type queueNeed struct {
	queue string
	tasks uint64
}

// waiter is a submit that waits.
type waiter struct {
	producer string
	need     []queueNeed // sorted by queue
	total    uint64
	bytes    int
	let      chan struct{} // room for one: it may try now
	out      chan struct{} // closed: its place was given to another producer's
	arrival  uint64        // order of arrival
	trying   bool          // its room is spoken for until it is back or leaves
	holds    int           // how often room was kept for it
	yields   bool          // it is about to give its place to a newcomer
}

// gate is where waiters meet one bound.
type gate struct {
	holder *waiter       // room is kept for it; nil: for nobody
	until  time.Time     // holder: its hold ends; else: no hold begins before
	first  *waiter       // of the look under way: the longest waiting that met this bound
	lasted time.Duration // of the last hold
	seen   bool          // met in the look under way
}

// roomCounts says how many more tasks there is room for.
type roomCounts struct {
	total  uint64
	queues map[string]uint64 // of every queue that somebody waits for
}

// fits returns the bound that a waiter meets; ok: none.
func (c *roomCounts) fits(w *waiter) (bound string, ok bool) {
	if c.total < w.total {
		return "", false
	}
	for _, n := range w.need {
		if c.queues[n.queue] < n.tasks {
			return n.queue, false
		}
	}
	return "", true
}

// take notes that room is spoken for.
func (c *roomCounts) take(w *waiter) {
	c.total -= min(c.total, w.total)
	for _, n := range w.need {
		c.queues[n.queue] -= min(c.queues[n.queue], n.tasks)
	}
}

func newRoomLine() *roomLine {
	return &roomLine{
		byKey: map[string]*producerLine{}, gates: map[string]*gate{}, wanted: map[string]int{},
		most: places{SubmitWaiters, SubmitWaitersBytes},
	}
}

// enter puts a waiter at the end of its producer's line, if need be in place of others', who are told. False: the bounds on
// waiters are met, and no other producer has so much that it should give way.
func (l *roomLine) enter(w *waiter) bool {
	if !l.makePlace(w) {
		return false
	}
	l.arrivals++
	w.arrival = l.arrivals
	p := l.byKey[w.producer]
	if p == nil {
		p = &producerLine{key: w.producer}
		l.byKey[w.producer] = p
		l.producers = append(l.producers, p)
	}
	p.waiters = append(p.waiters, w)
	l.places.add(w, 1)
	p.places.add(w, 1)
	for _, n := range w.need {
		l.wanted[n.queue]++
	}
	return true
}

// leave takes a waiter out.
func (l *roomLine) leave(w *waiter) {
	p := l.byKey[w.producer]
	l.places.add(w, -1)
	p.places.add(w, -1)
	p.waiters = slices.DeleteFunc(p.waiters, func(o *waiter) bool { return o == w })
	if len(p.waiters) == 0 {
		delete(l.byKey, p.key)
		l.producers = slices.DeleteFunc(l.producers, func(o *producerLine) bool { return o == p })
	}
	for _, n := range w.need {
		if l.wanted[n.queue]--; l.wanted[n.queue] == 0 {
			delete(l.wanted, n.queue)
		}
	}
	if l.places.waiters == 0 {
		clear(l.gates)
	}
}

// wants reports whether somebody waits for what a newcomer needs: then it has to stand in line too.
func (l *roomLine) wants(need []queueNeed) bool {
	if l.gates[""] != nil {
		return true
	}
	return slices.ContainsFunc(need, func(n queueNeed) bool { return l.wanted[n.queue] > 0 })
}

// look lets those try that fit, in turn, and returns how many. free is used up.
func (l *roomLine) look(now time.Time, free *roomCounts) int {
	l.speak(free)
	l.endHolds(now)
	n := l.letHolders(free)
	for l.round(free, &n) {
	}
	l.beginHolds(now)
	return n
}

// speak takes the room of those that try now.
func (l *roomLine) speak(free *roomCounts) {
	for _, p := range l.producers {
		for _, w := range p.waiters {
			if w.trying {
				free.take(w)
			}
		}
	}
}

// endHolds ends the holds whose time is over or whose waiter has gone or tries; the others then have as long.
func (l *roomLine) endHolds(now time.Time) {
	for _, g := range l.gates {
		g.first, g.seen = nil, false
		w := g.holder
		if w == nil || now.Before(g.until) && l.standing(w) {
			continue
		}
		g.holder, g.until = nil, now.Add(g.lasted)
	}
}

// standing reports whether a waiter is in line and doesn't try.
func (l *roomLine) standing(w *waiter) bool {
	p := l.byKey[w.producer]
	return p != nil && !w.trying && slices.Contains(p.waiters, w)
}

// letHolders lets those try for whom room was kept, if it is there now, the longest waiting first, and keeps it for the
// others.
func (l *roomLine) letHolders(free *roomCounts) (n int) {
	var held []*gate
	for _, g := range l.gates {
		if g.holder != nil {
			held = append(held, g)
		}
	}
	slices.SortFunc(held, func(a, b *gate) int { return cmp.Compare(a.holder.arrival, b.holder.arrival) })
	for _, g := range held {
		if bound, ok := free.fits(g.holder); ok {
			l.letTry(g.holder)
			n++
		} else {
			l.meet(bound, g.holder)
			g.seen = true
		}
		free.take(g.holder)
	}
	return n
}

// round goes once round the producers. False: nobody fitted.
func (l *roomLine) round(free *roomCounts, n *int) bool {
	var passed, served []*producerLine
	for _, p := range l.producers {
		i := slices.IndexFunc(p.waiters, func(w *waiter) bool { return !w.trying })
		if i < 0 {
			passed = append(passed, p)
			continue
		}
		w := p.waiters[i]
		bound, ok := free.fits(w)
		if !ok {
			l.meet(bound, w)
			passed = append(passed, p)
			continue
		}
		free.take(w)
		l.letTry(w)
		*n++
		served = append(served, p)
	}
	l.producers = slices.Concat(passed, served)
	return len(served) > 0
}

// letTry tells a waiter that it may try.
func (l *roomLine) letTry(w *waiter) {
	w.trying = true
	select {
	case w.let <- struct{}{}:
	default:
	}
}

// meet notes that a waiter met a bound.
func (l *roomLine) meet(bound string, w *waiter) {
	g := l.gates[bound]
	if g == nil {
		g = &gate{}
		l.gates[bound] = g
	}
	g.seen = true
	if g.first == nil || w.arrival < g.first.arrival {
		g.first = w
	}
}

// beginHolds keeps room for the longest waiting at each bound, once the others have had their time.
func (l *roomLine) beginHolds(now time.Time) {
	for bound, g := range l.gates {
		switch {
		case g.holder != nil:
		case !g.seen:
			delete(l.gates, bound)
		case g.until.IsZero(): // newly met
			g.until = now.Add(RoomPatience)
		case !now.Before(g.until) && !l.holds(g.first):
			g.holder, g.lasted = g.first, RoomPatience<<min(g.first.holds, holdsMax)
			g.holder.holds++
			g.until = now.Add(g.lasted)
		}
	}
}

// holds reports whether room is kept for a waiter already, at another bound.
func (l *roomLine) holds(w *waiter) bool {
	for _, g := range l.gates {
		if g.holder == w {
			return true
		}
	}
	return false
}
