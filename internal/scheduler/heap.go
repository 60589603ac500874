package scheduler

// heap is a 4-ary min-heap that tells its elements where they are, so that any of them can be removed or moved.
// less must be a total order: equal elements would let the order of operations reach output.
type heap[E any] struct {
	items []E
	less  func(a, b E) bool
	moved func(e E, pos int32) // pos is -1 when e left
}

const heapArity = 4

func (h *heap[E]) len() int { return len(h.items) }

func (h *heap[E]) min() E { return h.items[0] }

func (h *heap[E]) push(e E) {
	h.items = append(h.items, e)
	h.up(len(h.items) - 1)
}

// remove takes out the element at pos.
func (h *heap[E]) remove(pos int32) {
	i, last := int(pos), len(h.items)-1
	gone, tail := h.items[i], h.items[last]
	var zero E
	h.items[last] = zero
	h.items = h.items[:last]
	if i < last {
		h.items[i] = tail
		h.fix(int32(i))
	}
	h.moved(gone, -1)
}

// fix restores order after the element at pos has changed.
func (h *heap[E]) fix(pos int32) {
	if i := int(pos); i == 0 || !h.less(h.items[i], h.items[(i-1)/heapArity]) {
		h.down(i)
	} else {
		h.up(i)
	}
}

func (h *heap[E]) up(i int) {
	e := h.items[i]
	for i > 0 {
		parent := (i - 1) / heapArity
		if !h.less(e, h.items[parent]) {
			break
		}
		h.items[i] = h.items[parent]
		h.moved(h.items[i], int32(i))
		i = parent
	}
	h.items[i] = e
	h.moved(e, int32(i))
}

func (h *heap[E]) down(i int) {
	e := h.items[i]
	for {
		first := heapArity*i + 1
		if first >= len(h.items) {
			break
		}
		least := first
		for c := first + 1; c < min(first+heapArity, len(h.items)); c++ {
			if h.less(h.items[c], h.items[least]) {
				least = c
			}
		}
		if !h.less(h.items[least], e) {
			break
		}
		h.items[i] = h.items[least]
		h.moved(h.items[i], int32(i))
		i = least
	}
	h.items[i] = e
	h.moved(e, int32(i))
}
