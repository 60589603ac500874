package sim

// event is something that will happen. Events are carried out in order of time; among equals in the order in which they
// were made, so that a seed has one history.
type event struct {
	at     int64
	number uint64
	do     func()
}

// agenda holds the events to come: a binary heap.
type agenda struct {
	heap []event
	made uint64
}

func (a *agenda) len() int { return len(a.heap) }

func (a *agenda) add(at int64, do func()) {
	a.made++
	a.heap = append(a.heap, event{at: at, number: a.made, do: do})
	h := a.heap
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h[i].before(&h[parent]) {
			break
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

// next takes the earliest event. There must be one.
func (a *agenda) next() event {
	h := a.heap
	first, last := h[0], len(h)-1
	h[0] = h[last]
	h[last] = event{}
	h = h[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if h[child].before(&h[least]) {
				least = child
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	a.heap = h
	return first
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.number < o.number }
