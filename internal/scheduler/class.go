package scheduler

// group is the kinds that workers serve and by which of their pools. Few differ, whatever labels tell workers apart.
type group struct {
	key    string
	poolOf map[string]int // kind → index of the pool that runs it
	pools  []groupPool
	refs   int // classes
}

// groupPool is one pool of a group: the classes with room in it.
type groupPool struct {
	group   *group
	index   int
	freePos int // position + 1 in matcher.free; 0: not there
	classes heap[*classPool]
}

// class is the queues and labels that sessions of a group share: they differ in name and slots only.
type class struct {
	key    string
	group  *group
	queues []string // sorted; empty: all
	labels []Label
	pools  []classPool

	members []*session // order never reaches output
}

// classPool is one pool of a class: the sessions with room in it.
type classPool struct {
	class    *class
	home     *groupPool
	sessions heap[*pool]
	pos      int32 // in home.classes; -1: not there
	gained   bool  // in matcher.gained
}

// pool is one pool of one session.
type pool struct {
	session  *session
	home     *classPool
	index    int
	slots    int
	prefetch int
	used     int    // Invariant: the sum of the weights of the session's leases in it
	keep     *shape // whose task its freed slots are kept for; nil: none's
	heapPos  int32  // in home.sessions; -1: not there
	overPos  int    // position + 1 in matcher.over; 0: not there
}

// free is how many slots are left. It is negative where leases were sent ahead, or a Hello brought more tokens than there
// are slots.
func (p *pool) free() int { return p.slots - p.used }

// room is how many leases of weight 1 it may still be given, those sent ahead included.
func (p *pool) room() int { return p.free() + p.prefetch }

// holds reports whether the pool has room for a shape's task, its session aside. Only tasks of weight 1 that aren't
// suspects are sent ahead of free slots. Among pools with room it is monotone in free: what the one with most free slots
// doesn't hold, none does.
func (p *pool) holds(sh *shape) bool {
	if sh.Weight == 1 && !sh.Suspect {
		return p.room() > 0
	}
	return p.free() >= int(sh.Weight)
}

// admits reports whether the pool may be given a shape's task now, reservations aside: suspects are kept apart.
func (p *pool) admits(sh *shape) bool { return p.holds(sh) && !(sh.Suspect && p.session.suspects > 0) }

// poolLess orders pools of different sessions by most free slots (so that slots everywhere are filled before anything is
// sent ahead), then longest without a grant, then session. Two pools of
// one session never meet: heaps hold pools of one index, and one pool of a session runs a kind.
func poolLess(a, b *pool) bool {
	if a.free() != b.free() {
		return a.free() > b.free()
	}
	if a.session.LastGrant != b.session.LastGrant {
		return a.session.LastGrant < b.session.LastGrant
	}
	return a.session.ID < b.session.ID
}

func classPoolLess(a, b *classPool) bool { return poolLess(a.sessions.min(), b.sessions.min()) }

// Why workers of a class can't run a shape, as a negative fit.
const (
	mismatchKind  = -1
	mismatchQueue = -2
	mismatchLabel = -3
)

// fit returns the index of the pool that runs a shape at workers of the class, or a mismatch.
func (c *class) fit(sh *shape) int {
	index, ok := c.group.poolOf[sh.Kind]
	if !ok {
		return mismatchKind
	}
	if len(c.queues) > 0 && !contains(c.queues, sh.queue.Name) {
		return mismatchQueue
	}
	if len(sh.Require) > 0 {
		if _, missing := missingLabel(sh.Require, c.labels); missing {
			return mismatchLabel
		}
	}
	return index
}

// admits reports whether one of the sessions has room for a shape's task in this pool. Of suspects it says so too early
// where each of these sessions has one already.
func (cp *classPool) admits(sh *shape) bool {
	return cp.sessions.len() > 0 && cp.sessions.min().holds(sh) && cp.class.fit(sh) == cp.home.index
}

// apart returns the best session's pool for a suspect, if it is better than best. It descends the heap only past sessions
// that have a suspect.
func (cp *classPool) apart(sh *shape, best *pool) *pool {
	stack := []int{0}
	for len(stack) > 0 {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		p := *cp.sessions.items.at(i)
		if !p.holds(sh) || best != nil && !poolLess(p, best) {
			continue
		}
		if p.admits(sh) {
			best = p
			continue
		}
		first := heapArity*i + 1
		for c := first; c < min(first+heapArity, cp.sessions.len()); c++ {
			stack = append(stack, c)
		}
	}
	return best
}

// missingLabel returns the first required label that a worker lacks.
func missingLabel(require, labels []Label) (Label, bool) {
	i := 0
	for _, want := range require {
		for i < len(labels) && labels[i].Key < want.Key {
			i++
		}
		if i == len(labels) || labels[i] != want {
			return want, true
		}
	}
	return Label{}, false
}

// contains searches sorted names.
func contains(names []string, name string) bool {
	lo, hi := 0, len(names)
	for lo < hi {
		if mid := (lo + hi) / 2; names[mid] < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(names) && names[lo] == name
}

// appendNames encodes names; they hold no control characters.
func appendNames(b []byte, names []string) []byte {
	for _, n := range names {
		b = append(append(b, n...), 1)
	}
	return append(b, 2)
}

func groupKey(w *WorkerInfo) string {
	b := appendNames(nil, w.Kinds)
	for i := range w.Pools {
		b = appendNames(b, w.Pools[i].Kinds)
	}
	return string(b)
}

func classKey(group string, w *WorkerInfo) string {
	b := appendNames([]byte(group), w.Queues)
	return string(appendLabels(append(b, 3), w.Labels))
}

func newGroup(key string, w *WorkerInfo) *group {
	g := &group{key: key, poolOf: make(map[string]int, len(w.Kinds)), pools: make([]groupPool, len(w.Pools))}
	for _, kind := range w.Kinds {
		g.poolOf[kind] = 0 // unless a pool names it
		for i := range w.Pools {
			if contains(w.Pools[i].Kinds, kind) {
				g.poolOf[kind] = i
				break
			}
		}
	}
	for i := range g.pools {
		g.pools[i] = groupPool{group: g, index: i, classes: heap[*classPool]{
			less: classPoolLess, moved: func(cp *classPool, pos int32) { cp.pos = pos },
		}}
	}
	return g
}

func newClass(key string, g *group, w *WorkerInfo) *class {
	c := &class{key: key, group: g, queues: w.Queues, labels: w.Labels, pools: make([]classPool, len(w.Pools))}
	for i := range c.pools {
		c.pools[i] = classPool{class: c, home: &g.pools[i], pos: -1, sessions: heap[*pool]{
			less: poolLess, moved: func(p *pool, pos int32) { p.heapPos = pos },
		}}
	}
	return c
}

// join gives a session its class and pools.
func (m *matcher) join(x *session) {
	w := &x.Worker
	gk := groupKey(w)
	ck := classKey(gk, w)
	c := m.classes[ck]
	if c == nil {
		g := m.groups[gk]
		if g == nil {
			g = newGroup(gk, w)
			m.groups[gk] = g
		}
		g.refs++
		c = newClass(ck, g, w)
		m.classes[ck] = c
	}
	x.class, x.classPos = c, len(c.members)
	c.members = append(c.members, x)
	x.pools = make([]pool, len(w.Pools))
	for i := range x.pools {
		x.pools[i] = pool{
			session: x, home: &c.pools[i], index: i, slots: int(w.Pools[i].Slots), prefetch: int(w.Pools[i].Prefetch), heapPos: -1,
		}
	}
}

// quit takes a session that is in no heap any more out of its class.
func (m *matcher) quit(x *session) {
	c := x.class
	last := len(c.members) - 1
	moved := c.members[last]
	c.members[x.classPos], moved.classPos = moved, x.classPos
	c.members[last] = nil
	if c.members = c.members[:last]; last > 0 {
		return
	}
	delete(m.classes, c.key)
	if c.group.refs--; c.group.refs == 0 {
		delete(m.groups, c.group.key)
	}
}
