package workercore

// timers is a heap of the records that something happens to at a point in time, earliest first; equal times in order of
// token, so that a step's actions have one order.
type timers struct{ heap []*record }

const noTimer = -1

// set moves r to time at; TimeMax takes it out.
func (t *timers) set(r *record, at Time) {
	switch {
	case at == TimeMax:
		t.remove(r)
	case r.timerPos == noTimer:
		r.wake, r.timerPos = at, len(t.heap)
		t.heap = append(t.heap, r)
		t.up(r.timerPos)
	case at != r.wake:
		r.wake = at
		t.fix(r.timerPos)
	}
}

func (t *timers) remove(r *record) {
	i := r.timerPos
	if i == noTimer {
		return
	}
	last := len(t.heap) - 1
	t.swap(i, last)
	t.heap[last] = nil
	t.heap = t.heap[:last]
	r.timerPos = noTimer
	if i < last {
		t.fix(i)
	}
}

// next is the earliest time, or TimeMax.
func (t *timers) next() Time {
	if len(t.heap) == 0 {
		return TimeMax
	}
	return t.heap[0].wake
}

func (t *timers) less(i, j int) bool {
	a, b := t.heap[i], t.heap[j]
	return a.wake < b.wake || a.wake == b.wake && a.Token < b.Token
}

func (t *timers) swap(i, j int) {
	h := t.heap
	h[i], h[j] = h[j], h[i]
	h[i].timerPos, h[j].timerPos = i, j
}

func (t *timers) fix(i int) {
	t.up(i)
	t.down(i)
}

func (t *timers) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !t.less(i, parent) {
			return
		}
		t.swap(i, parent)
		i = parent
	}
}

func (t *timers) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(t.heap); child++ {
			if t.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		t.swap(i, least)
		i = least
	}
}
