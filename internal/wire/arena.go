package wire

const (
	arenaChunk = 16 << 10 // bytes taken at a time
	arenaShare = 4 << 10  // larger values own their memory
	slabChunk  = 64       // elements taken at a time
)

// arena copies bytes into chunks, at one allocation for many. What still holds a part keeps its chunk, and no more.
type arena struct {
	chunk []byte
	most  int // no more bytes than this are still to come
}

// keep copies data. Nobody may append to the copy in place; it has no room. The copy of nothing is nil.
func (a *arena) keep(data []byte) []byte {
	if len(data) == 0 {
		return nil
	}
	if len(data) > arenaShare {
		a.most -= len(data)
		return append([]byte(nil), data...)
	}
	if cap(a.chunk)-len(a.chunk) < len(data) {
		a.chunk = make([]byte, 0, min(arenaChunk, a.most))
	}
	a.most -= len(data)
	from := len(a.chunk)
	a.chunk = append(a.chunk, data...)
	return a.chunk[from:len(a.chunk):len(a.chunk)]
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
