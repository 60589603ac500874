package scheduler

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// checkRecall says what is wrong with what a state would recall, by looking at every lease and session.
func checkRecall(s *State) error {
	const most = 1000
	items := s.Recallable(most, nil)
	if few := s.Recallable(2, items[:0:0]); !slices.Equal(few, items[:min(2, len(items))]) {
		return fmt.Errorf("the first two are %v, of all %v", few, items)
	}
	taken := 0
	for i, it := range items {
		x, l := s.sessions[it.Session], s.findLease(it.Token)
		switch {
		case i > 0 && items[i-1].Token <= it.Token:
			return fmt.Errorf("token %d comes after %d", it.Token, items[i-1].Token)
		case x == nil || l == nil || l.Session != it.Session || x.Attach != it.Attach || !sentAhead(s, l):
			return fmt.Errorf("%+v isn't a lease beyond slots", it)
		}
		if sh := s.shapeOf(s.findTask(l.Task)); !sh.queue.Paused {
			taken++
			if freeFor(s, sh) == 0 {
				return fmt.Errorf("token %d is recalled for no slot", it.Token)
			}
		}
	}
	var err error
	s.leases.each(func(_ uint32, l *lease) bool {
		if !sentAhead(s, l) || slices.ContainsFunc(items, func(it RecallItem) bool { return it.Token == l.Token }) {
			return true
		}
		sh := s.shapeOf(s.findTask(l.Task))
		if sh.queue.Paused || freeFor(s, sh) > taken {
			err = fmt.Errorf("token %d isn't recalled: its queue is paused: %v, %d slots are free, %d are recalled", l.Token,
				sh.queue.Paused, freeFor(s, sh), taken)
		}
		return true
	})
	return err
}

// sentAhead reports whether a lease is one of the newest of its pool's that are beyond the slots.
func sentAhead(s *State, l *lease) bool {
	x := s.sessions[l.Session]
	if l.Revoked || l.Weight != 1 || s.ofSuspect(l) && !s.shapeOf(s.findTask(l.Task)).queue.Paused || s.globals.Term == 0 ||
		x.AttachTerm != s.globals.Term || x.Superseded || x.Ending {
		return false
	}
	used, newer, behind := 0, 0, false
	for at := x.head; at != 0; at = s.leases.at(at - 1).next {
		o := s.leases.at(at - 1)
		if o.Pool != l.Pool {
			continue
		}
		used += int(o.Weight)
		if behind && o.Weight == 1 && !o.Revoked {
			newer++
		}
		behind = behind || o == l
	}
	return newer < used-int(x.Worker.Pools[l.Pool].Slots)
}

// freeFor counts the free slots that a shape's task could go to.
func freeFor(s *State, sh *shape) (n int) {
	for _, x := range s.sessions {
		if i := x.class.fit(sh); i >= 0 && x.attachedIn(s.globals.Term) && x.pools[i].keep == nil {
			n += max(0, x.pools[i].free())
		}
	}
	return n
}

// TestReadersShare lets readers look at a state at the same time: they change nothing, not even memory that is kept for
// the next call.
func TestReadersShare(t *testing.T) {
	g := &gen{source: newSeeded(3), s: New(), now: testEpoch, deadly: 30}
	h := &harness{t: t, s: g.s}
	h.step(&Batch{Logic: LogicVersion, Now: g.now, Commands: []Command{g.beginTerm()}})
	for range 300 {
		h.step(g.step())
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				h.s.Recallable(10, nil)
				for _, name := range genQueues {
					h.s.ExplainQueue(name)
				}
				h.s.ids.walk(0, func(id TaskID) bool {
					h.s.Explain(id)
					return true
				})
			}
		})
	}
	wg.Wait()
}
