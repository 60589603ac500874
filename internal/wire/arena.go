package wire

const (
	arenaChunk = 16 << 10 // bytes taken at a time
	arenaShare = 4 << 10  // larger values own their memory
	slabChunk  = 64       // elements taken at a time
)

// arena copies parts of what was received. It copies a piece at a time, with whatever stands between the parts: that is one
// allocation, which needn't be cleared first, and one move for many of them. What still holds a part keeps its piece, and no
// more.
type arena struct {
	chunk []byte // a copy of what stands at data[from:to]
	from  int
	to    int
}

// keep copies what stands at data[from:to], where from never goes back. The copy has no room to grow into. The copy of
// nothing is nil.
func (a *arena) keep(data []byte, from, to int) []byte {
	switch {
	case from == to:
		return nil
	case to-from > arenaShare:
		return append([]byte(nil), data[from:to]...)
	case to > a.to:
		a.from, a.to = from, min(from+arenaChunk, len(data))
		a.chunk = append([]byte(nil), data[a.from:a.to]...)
	}
	return a.chunk[from-a.from : to-a.from : to-a.from]
}

// slab makes elements, at one allocation for many. What still holds one keeps its chunk, and no more.
type slab[T any] struct {
	chunk []T
	used  int
}

// take returns an element; about left, this one included, will be wanted.
func (s *slab[T]) take(left int) *T {
	if s.used == len(s.chunk) {
		s.chunk, s.used = make([]T, min(max(1, left), slabChunk)), 0
	}
	s.used++
	return &s.chunk[s.used-1]
}
