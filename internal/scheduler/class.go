package scheduler

// class is what matching needs to know of workers alike: kinds, queues, labels and the kinds of each pool. Sessions of
// one class differ in name and slots only.
type class struct {
	key   string
	info  *WorkerInfo
	pools []classPool
	refs  int
}

// classPool is one pool of a class: the sessions that have free slots in it.
type classPool struct {
	class    *class
	index    int8
	freePos  int // position + 1 in matcher.free; 0: not there
	sessions heap[*pool]
}

// pool is one pool of one session.
type pool struct {
	session *session
	home    *classPool
	index   int
	slots   int
	used    int   // Invariant: the sum of the weights of the session's leases in it
	heapPos int32 // in home.sessions; -1: not there
}

func (p *pool) free() int { return p.slots - p.used }

// admits reports whether the pool has room for a task of a weight.
func (p *pool) admits(weight uint16) bool { return p.free() >= int(weight) }

// poolLess orders pools by most free slots, then longest without a grant, then session.
func poolLess(a, b *pool) bool {
	if a.free() != b.free() {
		return a.free() > b.free()
	}
	if a.session.LastGrant != b.session.LastGrant {
		return a.session.LastGrant < b.session.LastGrant
	}
	return a.session.ID < b.session.ID
}

// mismatch is why workers of a class can't run a shape, as a negative fit.
type mismatch = int8

const (
	mismatchKind  mismatch = -1
	mismatchQueue mismatch = -2
	mismatchLabel mismatch = -3
)

// fit returns the pool of the class that runs a shape, or a mismatch.
func (c *class) fit(sh *shape) int8 {
	f, ok := sh.fits[c]
	if !ok {
		f = c.match(sh)
		sh.fits[c] = f
	}
	return f
}

func (c *class) match(sh *shape) int8 {
	w := c.info
	if !contains(w.Kinds, sh.Kind) {
		return mismatchKind
	}
	if len(w.Queues) > 0 && !contains(w.Queues, sh.queue.Name) {
		return mismatchQueue
	}
	if _, missing := missingLabel(sh.Require, w.Labels); missing {
		return mismatchLabel
	}
	for i := range w.Pools {
		if contains(w.Pools[i].Kinds, sh.Kind) {
			return int8(i)
		}
	}
	return 0
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

// classKey encodes what makes a class. Names hold no control characters; labels' values are length-prefixed.
func classKey(w *WorkerInfo) string {
	var b []byte
	list := func(names []string) {
		for _, n := range names {
			b = append(append(b, n...), 1)
		}
		b = append(b, 2)
	}
	list(w.Kinds)
	list(w.Queues)
	b = append(b, requireKey(w.Labels)...)
	b = append(b, 3)
	for i := range w.Pools {
		list(w.Pools[i].Kinds)
	}
	return string(b)
}

// join gives a session its class and pools.
func (m *matcher) join(x *session) {
	k := classKey(&x.Worker)
	c := m.classes[k]
	if c == nil {
		c = &class{key: k, info: &x.Worker, pools: make([]classPool, len(x.Worker.Pools))}
		for i := range c.pools {
			c.pools[i] = classPool{class: c, index: int8(i)}
			c.pools[i].sessions = heap[*pool]{less: poolLess, moved: func(p *pool, pos int32) { p.heapPos = pos }}
		}
		m.classes[k] = c
	}
	c.refs++
	x.class = c
	x.pools = make([]pool, len(x.Worker.Pools))
	for i := range x.pools {
		x.pools[i] = pool{session: x, home: &c.pools[i], index: i, slots: int(x.Worker.Pools[i].Slots), heapPos: -1}
	}
}

// quit takes a session out of its class; shapes forget a class that is gone.
func (m *matcher) quit(s *State, x *session) {
	if x.class.refs--; x.class.refs > 0 {
		return
	}
	delete(m.classes, x.class.key)
	for _, sh := range s.shapes {
		delete(sh.fits, x.class)
	}
}

// placeSession keeps a session's pools where matching looks for them.
func (m *matcher) placeSession(s *State, x *session) {
	if on := x.attachedIn(s.globals.Term); on != x.counted {
		x.counted = on
		if on {
			s.attached++
		} else {
			s.attached--
		}
	}
	for i := range x.pools {
		m.placePool(s, &x.pools[i])
	}
}

// placePool keeps one pool's place after its session or its use has changed.
func (m *matcher) placePool(s *State, p *pool) {
	h := &p.home.sessions
	want := p.free() > 0 && p.session.attachedIn(s.globals.Term)
	switch {
	case want && p.heapPos < 0:
		h.push(p)
	case want:
		h.fix(p.heapPos)
	case p.heapPos >= 0:
		h.remove(p.heapPos)
	}
	if want {
		m.gained = true
	}
	m.placeClassPool(p.home)
}

func (m *matcher) placeClassPool(cp *classPool) {
	switch {
	case cp.sessions.len() > 0 && cp.freePos == 0:
		m.free = append(m.free, cp)
		cp.freePos = len(m.free)
	case cp.sessions.len() == 0 && cp.freePos != 0:
		last := m.free[len(m.free)-1]
		m.free[cp.freePos-1] = last
		last.freePos = cp.freePos
		m.free = m.free[:len(m.free)-1]
		cp.freePos = 0
	}
}

// detachAll forgets every session's free slots: a new term has begun.
func (m *matcher) detachAll(s *State) {
	for _, x := range s.sessions {
		m.placeSession(s, x)
	}
}
