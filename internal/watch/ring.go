package watch

import "sync"

// Ring keeps the last elements of a sequence that is numbered from 1 without gaps, but for a Skip. Readers ask for what follows a number;
// one that is too far behind is told how much it has missed.
type Ring[E any] struct {
	mu    sync.Mutex
	slots []E
	size  uint64
	base  uint64        // number of the first element ever; its place is 0
	first uint64        // number of the oldest element kept; last + 1: none is
	last  uint64        // number of the newest
	moved chan struct{} // closed at the next Append; nil: nobody waits
}

// NewRing returns a ring that keeps at most size elements, the next of which has the number last + 1. Its memory is taken
// as it fills.
func NewRing[E any](size int, last uint64) *Ring[E] {
	return &Ring[E]{size: uint64(size), base: last + 1, first: last + 1, last: last}
}

// Append adds elements. It keeps copies.
func (r *Ring[E]) Append(elements []E) {
	if len(elements) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(elements) > 0 {
		var n int
		if room := r.size - uint64(len(r.slots)); room > 0 {
			n = int(min(room, uint64(len(elements))))
			r.slots = append(r.slots, elements[:n]...)
		} else {
			n = copy(r.slots[r.place(r.last+1):], elements)
		}
		r.last += uint64(n)
		elements = elements[n:]
	}
	r.first = max(r.first, r.last+1-uint64(len(r.slots)))
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// Skip goes on after a number beyond the last one: those between were never there. What was kept is forgotten, and a reader
// has missed all up to it. Nothing happens if it is the last one.
func (r *Ring[E]) Skip(last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last == r.last {
		return
	}
	clear(r.slots)
	r.slots, r.base, r.first, r.last = r.slots[:0], last+1, last+1, last
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// place is the slot of an element, by its number.
func (r *Ring[E]) place(number uint64) uint64 { return (number - r.base) % r.size }

// Read copies elements that follow number after into buf. through is the number of the last one it has dealt with: where to
// go on. missed counts elements after after that aren't kept any more; then reading goes on with the oldest one kept. If
// after is ahead of the sequence, it waits there. With n and missed 0 there is nothing yet: moved is closed at the next
// Append.
func (r *Ring[E]) Read(after uint64, buf []E) (n int, through, missed uint64, moved <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	through = after
	if after < r.first-1 { // after+1 may be 0: a reader may name any position
		missed = r.first - 1 - after
		through = r.first - 1
	}
	for through < r.last && n < len(buf) {
		through++
		buf[n] = r.slots[r.place(through)]
		n++
	}
	if n > 0 || missed > 0 {
		return n, through, missed, nil
	}
	if r.moved == nil {
		r.moved = make(chan struct{})
	}
	return 0, through, 0, r.moved
}

// Last is the number of the newest element.
func (r *Ring[E]) Last() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}
