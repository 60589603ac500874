package scheduler

// heap is a 4-ary min-heap that tells its elements where they are, so that any of them can be removed or moved.
// less must be a total order: equal elements would let the order of operations reach output.
type heap[E any] struct {
	items paged[E]
	less  func(a, b E) bool
	moved func(e E, pos int32) // pos is -1 when e left
}

const heapArity = 4

func (h *heap[E]) len() int { return h.items.len() }

func (h *heap[E]) min() E { return *h.items.at(0) }

func (h *heap[E]) at(pos int32) *E { return h.items.at(int(pos)) }

func (h *heap[E]) push(e E) {
	h.items.push(e)
	h.up(h.items.len() - 1)
}

// remove takes out the element at pos.
func (h *heap[E]) remove(pos int32) {
	gone := *h.at(pos)
	tail := h.items.pop()
	if int(pos) < h.items.len() {
		*h.at(pos) = tail
		h.fix(pos)
	}
	h.moved(gone, -1)
}

// fix restores order after the element at pos has changed.
func (h *heap[E]) fix(pos int32) {
	if i := int(pos); i == 0 || !h.less(*h.items.at(i), *h.items.at((i - 1) / heapArity)) {
		h.down(i)
	} else {
		h.up(i)
	}
}

func (h *heap[E]) up(i int) {
	e := *h.items.at(i)
	for i > 0 {
		parent := (i - 1) / heapArity
		p := *h.items.at(parent)
		if !h.less(e, p) {
			break
		}
		h.put(i, p)
		i = parent
	}
	h.put(i, e)
}

func (h *heap[E]) down(i int) {
	e := *h.items.at(i)
	n := h.items.len()
	for {
		first := heapArity*i + 1
		if first >= n {
			break
		}
		at, least := first, *h.items.at(first)
		for c := first + 1; c < min(first+heapArity, n); c++ {
			if o := *h.items.at(c); h.less(o, least) {
				at, least = c, o
			}
		}
		if !h.less(least, e) {
			break
		}
		h.put(i, least)
		i = at
	}
	h.put(i, e)
}

func (h *heap[E]) put(i int, e E) {
	*h.items.at(i) = e
	h.moved(e, int32(i))
}
