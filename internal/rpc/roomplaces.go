package rpc

import "slices"

// places are what waiters take of the line: each one, and its size.
type places struct {
	waiters, bytes int
}

func (p *places) add(w *waiter, sign int) {
	p.waiters += sign
	p.bytes += sign * w.bytes
}

// makePlace makes a place for a newcomer. When the line is full, the newest waiter of the producer that takes most of what
// is short (places, else bytes) gives way, if that producer still takes as much as the newcomer's then. So producers that
// fill the line end up with equal shares, and no place goes to and fro. Who tries is left alone: its fate isn't known.
// False, and nothing has changed: there is no place for it.
func (l *roomLine) makePlace(w *waiter) bool {
	var out []*waiter // what will give way
	left := l.places
	var own places
	if p := l.byKey[w.producer]; p != nil {
		own = p.places
	}
	own.add(w, 1)
	for {
		short := func(p places) int { return p.waiters }
		switch {
		case left.waiters >= l.most.waiters:
		case left.bytes+w.bytes > l.most.bytes:
			short = func(p places) int { return p.bytes }
		default:
			for _, o := range out {
				l.leave(o)
				close(o.out)
			}
			return true
		}
		o := l.richest(short, own)
		if o == nil {
			for _, o := range out {
				o.yields = false
			}
			return false
		}
		o.yields = true
		out = append(out, o)
		left.add(o, -1)
	}
}

// richest returns the waiter that gives way next, or nil: the newest that doesn't try, of the producer that takes most; of
// several such producers, the newest of all. own is what the newcomer's takes with it.
func (l *roomLine) richest(short func(places) int, own places) *waiter {
	var found *waiter
	most := 0
	for _, p := range l.producers {
		if short(p.places) < short(own) {
			continue
		}
		has, newest := p.places, (*waiter)(nil)
		for _, o := range slices.Backward(p.waiters) {
			if o.yields {
				has.add(o, -1)
			} else if newest == nil && !o.trying {
				newest = o
			}
		}
		if newest == nil {
			continue
		}
		n, rest := short(has), has
		rest.add(newest, -1)
		if short(rest) >= short(own) && (found == nil || n > most || n == most && newest.arrival > found.arrival) {
			found, most = newest, n
		}
	}
	return found
}

// isOut reports whether a waiter's place was given to another.
func (w *waiter) isOut() bool {
	select {
	case <-w.out:
		return true
	default:
		return false
	}
}
