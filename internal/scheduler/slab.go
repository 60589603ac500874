package scheduler

// A slab keeps rows free of pointers in fixed pages, so that the garbage collector never walks a million tasks and growth
// copies nothing. Rows keep their address until deleted. Slots are reused; they never reach output.

// keyed is a row that knows its key.
type keyed[R any] interface {
	*R
	rowKey() uint64
}

type slab[R any, P keyed[R]] struct {
	pages [][]R
	free  paged[uint32]
	high  uint32 // slots ever used
	live  int
	index index
}

// at returns the row in a slot.
func (s *slab[R, P]) at(slot uint32) P {
	return &s.pages[slot>>pageBits][slot&(pageRows-1)]
}

// find returns the row of a key.
func (s *slab[R, P]) find(key uint64) (uint32, P) {
	slot, ok := s.index.find(key)
	if !ok {
		return 0, nil
	}
	return slot, s.at(slot)
}

// add stores a row under a key that isn't there yet.
func (s *slab[R, P]) add(row R) (uint32, P) {
	var slot uint32
	if s.free.len() > 0 {
		slot = s.free.pop()
	} else {
		slot = s.high
		if int(slot>>pageBits) == len(s.pages) {
			s.pages = append(s.pages, make([]R, pageRows))
		}
		s.high++
	}
	p := s.at(slot)
	*p = row
	s.index.put(p.rowKey(), slot)
	s.live++
	return slot, p
}

// remove deletes the row in a slot.
func (s *slab[R, P]) remove(slot uint32) {
	p := s.at(slot)
	s.index.remove(p.rowKey())
	var zero R
	*p = zero
	s.free.push(slot)
	s.live--
}

// each calls f for every row, in no order that may reach output.
func (s *slab[R, P]) each(f func(slot uint32, row P) bool) {
	for slot := uint32(0); slot < s.high; slot++ {
		if p := s.at(slot); p.rowKey() != 0 && !f(slot, p) {
			return
		}
	}
}
