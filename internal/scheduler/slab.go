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
	h := mix(key)
	seg := &s.index.segs[h>>indexSegShift]
	if len(seg.slots) == 0 {
		return 0, nil
	}
	mask := uint64(len(seg.slots) - 1)
	tag := h & indexTagMask
	for i := tag & mask; ; i = (i + 1) & mask {
		e := seg.slots[i]
		if e == 0 {
			return 0, nil
		}
		if e>>32 == tag {
			slot := uint32(e) - 1
			if row := s.at(slot); row.rowKey() == key {
				return slot, row
			}
		}
	}
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
	s.index.put(mix(p.rowKey()), slot)
	s.live++
	return slot, p
}

// remove deletes the row in a slot.
func (s *slab[R, P]) remove(slot uint32) {
	p := s.at(slot)
	s.index.remove(mix(p.rowKey()), slot)
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

// index maps hashes to slots: open addressing with linear probing in segments that grow by themselves, so that growth
// never stalls for more than one segment. An entry is the hash's low 32 bits and slot + 1.
type index struct {
	segs [indexSegs]segment
}

type segment struct {
	slots []uint64
	used  int
}

const (
	indexSegBits  = 9
	indexSegs     = 1 << indexSegBits
	indexSegShift = 64 - indexSegBits
	indexTagMask  = 1<<32 - 1
	segmentMin    = 8
)

func (x *index) put(h uint64, slot uint32) {
	seg := &x.segs[h>>indexSegShift]
	if (seg.used+1)*4 > len(seg.slots)*3 {
		seg.grow()
	}
	seg.insert((h&indexTagMask)<<32 | uint64(slot+1))
	seg.used++
}

func (g *segment) insert(e uint64) {
	mask := uint64(len(g.slots) - 1)
	i := e >> 32 & mask
	for g.slots[i] != 0 {
		i = (i + 1) & mask
	}
	g.slots[i] = e
}

func (g *segment) grow() {
	old := g.slots
	g.slots = make([]uint64, max(segmentMin, 2*len(old)))
	for _, e := range old {
		if e != 0 {
			g.insert(e)
		}
	}
}

func (x *index) remove(h uint64, slot uint32) {
	seg := &x.segs[h>>indexSegShift]
	mask := uint64(len(seg.slots) - 1)
	want := (h&indexTagMask)<<32 | uint64(slot+1)
	i := h & indexTagMask & mask
	for seg.slots[i] != want {
		if seg.slots[i] == 0 {
			panic("scheduler: index misses a row")
		}
		i = (i + 1) & mask
	}
	// Shift later entries of the run back over the hole (Knuth, vol. 3, 6.4, algorithm R).
	for j := i; ; {
		j = (j + 1) & mask
		e := seg.slots[j]
		if e == 0 {
			break
		}
		home := e >> 32 & mask
		if (j-home)&mask >= (j-i)&mask {
			seg.slots[i] = e
			i = j
		}
	}
	seg.slots[i] = 0
	seg.used--
}

// mix is the finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64 bits whose output looks random.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
