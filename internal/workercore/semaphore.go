package workercore

import "fmt"

// Semaphore is a weighted, resizable, strictly first-in-first-out semaphore. A heavy waiter at the head blocks the lighter
// ones behind it, or it would starve. It has no goroutines: who wants a permit enqueues a Waiter, and the owner asks Next
// for those that are admitted.
//
// A list of waiters that a light one may overtake was rejected: under steady light load the heavy one never runs.
type Semaphore struct {
	capacity int
	used     int // Invariant: the weights of the admitted; above capacity only after a shrink
	waiting  int
	head     *Waiter
	tail     *Waiter
}

// Waiter is one place in a Semaphore: it waits, or holds Weight permits, or neither.
type Waiter struct {
	Token  Token
	Weight int

	state      waiterState
	prev, next *Waiter
}

type waiterState uint8

const (
	waiterOut waiterState = iota
	waiterWaiting
	waiterAdmitted
)

// NewSemaphore returns a semaphore with so many permits.
func NewSemaphore(capacity int) Semaphore { return Semaphore{capacity: capacity} }

// Capacity is the number of permits.
func (s *Semaphore) Capacity() int { return s.capacity }

// Used is the number of permits that are out. It exceeds Capacity only after a shrink, until enough have come back.
func (s *Semaphore) Used() int { return s.used }

// Waiting is the number of waiters.
func (s *Semaphore) Waiting() int { return s.waiting }

// Enqueue puts w at the end of the line. It reports false, and does nothing, if w weighs more than there are permits: it
// would block the line for good.
func (s *Semaphore) Enqueue(w *Waiter) bool {
	w.must(waiterOut, "enqueue")
	if w.Weight < 1 {
		panic(fmt.Sprintf("workercore: waiter of weight %d", w.Weight))
	}
	if w.Weight > s.capacity {
		return false
	}
	w.state, w.prev, w.next = waiterWaiting, s.tail, nil
	if s.tail == nil {
		s.head = w
	} else {
		s.tail.next = w
	}
	s.tail = w
	s.waiting++
	return true
}

// Next admits the waiter at the head if its permits are free, and returns it; else nil.
func (s *Semaphore) Next() *Waiter {
	w := s.head
	if w == nil || s.used+w.Weight > s.capacity {
		return nil
	}
	s.unlink(w)
	w.state = waiterAdmitted
	s.used += w.Weight
	return w
}

// Withdraw takes a waiter out of the line.
func (s *Semaphore) Withdraw(w *Waiter) {
	w.must(waiterWaiting, "withdraw")
	s.unlink(w)
	w.state = waiterOut
}

// Release gives an admitted waiter's permits back.
func (s *Semaphore) Release(w *Waiter) {
	w.must(waiterAdmitted, "release")
	w.state = waiterOut
	s.used -= w.Weight
}

// Resize sets the number of permits. Growth counts at the next Next; a shrink takes permits that are out as they come
// back. Waiters that weigh more than the new capacity leave the line; they are appended to misfits.
func (s *Semaphore) Resize(capacity int, misfits []*Waiter) []*Waiter {
	s.capacity = capacity
	for w := s.head; w != nil; {
		next := w.next
		if w.Weight > capacity {
			s.Withdraw(w)
			misfits = append(misfits, w)
		}
		w = next
	}
	return misfits
}

func (s *Semaphore) unlink(w *Waiter) {
	if w.prev == nil {
		s.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		s.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	s.waiting--
}

func (w *Waiter) must(state waiterState, what string) {
	if w.state != state {
		panic(fmt.Sprintf("workercore: %s of token %d in state %d", what, w.Token, w.state))
	}
}
