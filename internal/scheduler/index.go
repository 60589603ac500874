package scheduler

// index maps keys to slots. Keys are counters, and those in use lie close together: so the slots of 16 keys in a row stand
// side by side in a line, the size of a cache line, and a hash of what the keys share finds the line. Keys that are used
// in turn so share the cache misses that one costs. Where every line holds but one key, that key takes 64 bytes, and 22 to
// 43 in a segment; where all are full, a key takes 6.
//
// The hash table is of open addressing with linear probing in segments that grow by themselves, so that growth never
// stalls for more than one segment.
//
// Rejected: a place for each key in the hash table, for the cache miss that each then costs; an array by key, for the few
// old keys that would make it span all that came since.
type index struct {
	segs  [indexSegs]segment
	lines [][]line
	high  uint32 // lines ever used
	free  uint32 // the first line that is free, + 1: the next is in its first slot; 0: none
}

// line holds slot + 1 of the keys with the same key / lineKeys; 0: the key has none.
type line [lineKeys]uint32

// place says where a line is. It is empty if live is 0.
type place struct {
	key  uint64 // of the index / lineKeys
	line uint32
	live uint32 // keys in the line
}

type segment struct {
	places []place
	used   int
}

const (
	lineBits      = 4
	lineKeys      = 1 << lineBits
	linePageBits  = 7
	linePageLines = 1 << linePageBits
	indexSegBits  = 9
	indexSegs     = 1 << indexSegBits
	indexSegShift = 64 - indexSegBits
	segmentMin    = 4
)

// at returns a key's place in a line.
func (x *index) at(n uint32, key uint64) *uint32 {
	return &x.lines[n>>linePageBits][n&(linePageLines-1)][key&(lineKeys-1)]
}

// find returns the slot of a key.
func (x *index) find(key uint64) (slot uint32, ok bool) {
	h := mix(key >> lineBits)
	seg := &x.segs[h>>indexSegShift]
	i := seg.find(key>>lineBits, h)
	if i < 0 {
		return 0, false
	}
	slot = *x.at(seg.places[i].line, key)
	return slot - 1, slot != 0
}

// put notes the slot of a key that has none.
func (x *index) put(key uint64, slot uint32) {
	h := mix(key >> lineBits)
	seg := &x.segs[h>>indexSegShift]
	i := seg.find(key>>lineBits, h)
	if i < 0 {
		i = seg.add(place{key: key >> lineBits, line: x.take()}, h)
	}
	p := &seg.places[i]
	p.live++
	*x.at(p.line, key) = slot + 1
}

// remove forgets a key that has a slot.
func (x *index) remove(key uint64) {
	h := mix(key >> lineBits)
	seg := &x.segs[h>>indexSegShift]
	i := seg.find(key>>lineBits, h)
	if i < 0 || *x.at(seg.places[i].line, key) == 0 {
		panic("scheduler: index misses a row")
	}
	p := &seg.places[i]
	*x.at(p.line, key) = 0
	if p.live--; p.live == 0 {
		*x.at(p.line, 0), x.free = x.free, p.line+1
		seg.remove(i)
	}
}

// take returns an empty line.
func (x *index) take() uint32 {
	if x.free != 0 {
		n := x.free - 1
		first := x.at(n, 0)
		x.free, *first = *first, 0
		return n
	}
	if int(x.high>>linePageBits) == len(x.lines) {
		x.lines = append(x.lines, make([]line, linePageLines))
	}
	x.high++
	return x.high - 1
}

// find returns the position of a line's place, or -1. h is the hash of its key.
func (g *segment) find(key, h uint64) int {
	if len(g.places) == 0 {
		return -1
	}
	mask := uint64(len(g.places) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch p := &g.places[i]; {
		case p.live == 0:
			return -1
		case p.key == key:
			return int(i)
		}
	}
}

// add stores the place of a line that has none, and returns its position. The caller puts a key into the line at once.
func (g *segment) add(p place, h uint64) int {
	if (g.used+1)*4 > len(g.places)*3 {
		old := g.places
		g.places = make([]place, max(segmentMin, 2*len(old)))
		for _, o := range old {
			if o.live != 0 {
				g.insert(o, mix(o.key))
			}
		}
	}
	g.used++
	return g.insert(p, h)
}

func (g *segment) insert(p place, h uint64) int {
	mask := uint64(len(g.places) - 1)
	i := h & mask
	for g.places[i].live != 0 {
		i = (i + 1) & mask
	}
	g.places[i] = p
	return int(i)
}

// remove empties a place.
func (g *segment) remove(at int) {
	mask := uint64(len(g.places) - 1)
	i := uint64(at)
	// Shift later places of the run back over the hole (Knuth, vol. 3, 6.4, algorithm R).
	for j := i; ; {
		j = (j + 1) & mask
		p := g.places[j]
		if p.live == 0 {
			break
		}
		if home := mix(p.key) & mask; (j-home)&mask >= (j-i)&mask {
			g.places[i] = p
			i = j
		}
	}
	g.places[i] = place{}
	g.used--
}

// mix is the finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64 bits whose output looks random.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
