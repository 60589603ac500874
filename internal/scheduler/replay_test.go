package scheduler

import (
	"bytes"
	"cmp"
	"slices"
	"testing"
)

// disk is what a store would hold: the rows of all checkpoints written so far.
type disk struct {
	rows  map[rowRef]Row
	bytes map[rowRef][]byte // each row as it was when collected: nothing may change it afterwards
}

func newDisk() *disk { return &disk{rows: map[rowRef]Row{}, bytes: map[rowRef][]byte{}} }

func encodeRow(r *Row) []byte {
	var e rowEncoder
	e.row(r)
	return e.b
}

// write applies a checkpoint. A store sorts it by key: so it may name a row only once.
func (d *disk) write(t testing.TB, rows []Row) {
	t.Helper()
	named := make(map[rowRef]bool, len(rows))
	for i := range rows {
		r := rows[i]
		ref := rowRef{r.Table, r.Key}
		if named[ref] {
			t.Fatalf("a checkpoint names row %s/%d twice", ref.table, ref.key)
		}
		named[ref] = true
		if r.Deleted {
			delete(d.rows, ref)
			continue
		}
		d.rows[ref], d.bytes[ref] = r, encodeRow(&r)
	}
}

// load builds a state from the rows, in order.
func (d *disk) load(t testing.TB) *State {
	t.Helper()
	refs := make([]rowRef, 0, len(d.rows))
	for ref := range d.rows {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b rowRef) int { return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.key, b.key)) })
	l := NewLoader()
	for _, ref := range refs {
		r := d.rows[ref]
		if !bytes.Equal(encodeRow(&r), d.bytes[ref]) {
			t.Fatalf("row %s/%d changed after it was collected", ref.table, ref.key)
		}
		if err := l.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	s, err := l.State()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatalf("after load: %v", err)
	}
	if n := s.DirtyRows(); n != 1 {
		t.Fatalf("a loaded state has %d dirty rows, want 1, the globals", n)
	}
	return s
}

// checkpointOf seals and collects in one go.
func checkpointOf(t testing.TB, s *State) *disk {
	t.Helper()
	d := newDisk()
	var rows []Row
	told := s.DirtyRows()
	for c, done := s.Seal(), false; !done; {
		rows, done = s.Collect(c, 1000, rows)
	}
	if n := len(rows); n > told || told > n+n/4+8 { // a row that was dropped and made again counts twice
		t.Errorf("a checkpoint wrote %d rows, %d were told", n, told)
	}
	d.write(t, rows)
	s.eachRow(func(r *Row) { d.write(t, []Row{*r}) }) // also those that earlier checkpoints hold
	return d
}

// TestReplay shows that the state is a function of the log. Three copies live through the same random log: one that
// never saw a checkpoint, one that is checkpointed in small pieces while the log goes on and is now and then replaced by
// what a restart would load, and at the end one replayed from nothing. Hashes and effects must be equal throughout.
func TestReplay(t *testing.T) {
	for _, seed := range seeds(10) {
		replayOnce(t, seed, 700)
	}
}

func replayOnce(t *testing.T, seed uint64, steps int) {
	g := &gen{source: newSeeded(seed), s: New(), now: testEpoch, hostile: 4, deadly: 30 * int(seed%2)}
	c := &checkpointed{t: t, seed: seed, s: New(), disk: newDisk(), src: newSeeded(seed + 1000)}
	var eff Effects
	grants := 0
	b := g.first()
	for range steps {
		g.s.Apply(b, &eff)
		c.apply(b, &eff, g.s.Hash())
		grants += len(eff.Grants)
		b = g.step()
	}
	if got, want := replay(c.log).Hash(), g.s.Hash(); got != want {
		t.Fatalf("seed %d: replay from nothing gives hash %x, live is %x", seed, got, want)
	}
	if c.restarts < 5 || grants < 50 {
		t.Fatalf("seed %d: %d restarts, %d grants: the test shows too little", seed, c.restarts, grants)
	}
}

// checkpointed is a copy with checkpoints and restarts.
type checkpointed struct {
	t        *testing.T
	seed     uint64
	s        *State
	src      source
	log      []*Batch
	disk     *disk
	sealed   *Sealed
	rows     []Row
	sealHash uint64
	sealAt   int // length of the log when sealed
	restarts int
	eff      Effects
}

func (c *checkpointed) apply(b *Batch, want *Effects, hash uint64) {
	c.t.Helper()
	c.log = append(c.log, b)
	c.s.Apply(b, &c.eff)
	if !same(&c.eff, want) {
		c.t.Fatalf("seed %d: step %d: effects of a reloaded state differ; replay with -run TestReplay -seed %d", c.seed, len(c.log), c.seed)
	}
	if got := c.s.Hash(); got != hash {
		c.t.Fatalf("seed %d: step %d: hash of a reloaded state is %x, want %x; replay with -run TestReplay -seed %d", c.seed, len(c.log), got, hash, c.seed)
	}
	switch {
	case c.sealed == nil && c.src.n(4) == 0:
		c.sealed, c.sealHash, c.sealAt = c.s.Seal(), hash, len(c.log)
	case c.sealed != nil:
		var done bool
		if c.rows, done = c.s.Collect(c.sealed, 1+c.src.n(8), c.rows); done {
			c.disk.write(c.t, c.rows)
			c.rows, c.sealed = c.rows[:0], nil
			c.restart()
		}
	}
}

// restart compares what the checkpoint holds with the state when it was sealed, and half of the time goes on with that.
func (c *checkpointed) restart() {
	c.t.Helper()
	s := c.disk.load(c.t)
	if got := s.Hash(); got != c.sealHash {
		c.t.Fatalf("seed %d: the checkpoint sealed after step %d has hash %x, the state had %x", c.seed, c.sealAt, got, c.sealHash)
	}
	if c.src.n(2) == 0 {
		return
	}
	c.restarts++
	for _, b := range c.log[c.sealAt:] {
		s.Apply(b, &c.eff)
	}
	c.s = s
}

// TestReload loads a cold copy of random states, of many and soon after one another, and wants each to go on as the
// original does: the same effects, the same hash.
func TestReload(t *testing.T) {
	met := seen{}
	for _, seed := range seeds(6) {
		g := &gen{source: newSeeded(seed), s: New(), now: testEpoch, hostile: 2, deadly: 30 * int(seed%2)}
		var twins []*State
		var eff, twinEff Effects
		b := &Batch{Logic: LogicVersion, Now: g.now, Commands: []Command{g.beginTerm()}}
		for i := range 500 {
			g.s.Apply(b, &eff)
			met.note(g.s, &eff)
			for _, twin := range twins {
				if twin.Apply(b, &twinEff); !same(&eff, &twinEff) || twin.Hash() != g.s.Hash() {
					t.Fatalf("seed %d: step %d: a loaded state does otherwise; replay with -run TestReload -seed %d\n%s", seed, i, seed, describe(b))
				}
				if !slices.Equal(twin.Recallable(100, nil), g.s.Recallable(100, nil)) {
					t.Fatalf("seed %d: step %d: a loaded state recalls others", seed, i)
				}
				if err := twin.Check(); err != nil {
					t.Fatalf("seed %d: step %d: a loaded state: %v", seed, i, err)
				}
			}
			if i%3 == 0 {
				if len(twins) == 6 {
					twins = twins[1:]
				}
				twins = append(twins, checkpointOf(t, g.s).load(t))
			}
			b = g.step()
		}
	}
	met.enough(t, 10)
}
