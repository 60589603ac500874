package scheduler

import "slices"

const (
	behindMax = 1000 // tasks ahead of another that are counted
	wantedMax = 64   // classes whose slots a task is taken to compete for
)

// Explain says why a live task is where it is. It asks the matcher's own predicates (fit, holds, admits, attachedIn, full):
// were the conditions it names gone, the task would be granted.
func (s *State) Explain(id TaskID) (Explanation, bool) {
	t := s.findTask(id)
	if t == nil {
		return Explanation{}, false
	}
	e := Explanation{Task: s.taskInfo(t)}
	switch t.State {
	case Scheduled:
		e.Reasons = []Reason{{Code: ReasonNotDue, Count: 1, Until: t.Due}}
	case Leased:
		e.Reasons = []Reason{{Code: ReasonLeased, Count: 1, Example: e.Task.Worker}}
	case Pending:
		e.Reasons = s.explainPending(t)
	}
	return e, true
}

func (s *State) explainPending(t *task) []Reason {
	return s.explainShape(t, s.shapeOf(t), s.sortedSessions())
}

// explainShape says what holds back a ready task of a shape; sessions are all there are, by id.
func (s *State) explainShape(t *task, sh *shape, sessions []*session) []Reason {
	reasons := s.explainLine(sh.queue, sh.Reserved != 0)
	var byWorker []Reason
	for _, x := range sessions {
		r, held := s.explainSession(x, sh)
		if !held {
			continue
		}
		i := slices.IndexFunc(byWorker, func(o Reason) bool { return o.Code == r.Code && o.Label == r.Label })
		if i < 0 {
			r.Example = x.Worker.Name
			byWorker = append(byWorker, r)
			i = len(byWorker) - 1
		}
		byWorker[i].Count++
	}
	slices.SortStableFunc(byWorker, func(a, b Reason) int { return b.Count - a.Count })
	reasons = append(reasons, byWorker...)
	if n := s.ahead(t, sh); n > 0 {
		reasons = append(reasons, Reason{Code: ReasonBehindOthers, Count: n})
	}
	return reasons
}

// explainLine says what holds back all of a queue's ready tasks, or its next one for which slots are kept.
func (s *State) explainLine(q *queue, reserved bool) (reasons []Reason) {
	kept := q.kept
	if reserved {
		kept = 0 // a lease is kept for it
	}
	if q.Paused {
		reasons = append(reasons, Reason{Code: ReasonQueuePaused, Count: 1})
	}
	if q.full(kept) {
		reasons = append(reasons, Reason{Code: ReasonQueueMaxLeases, Count: 1})
	}
	if len(s.sessions) == 0 {
		reasons = append(reasons, Reason{Code: ReasonNoWorkers, Count: 1})
	}
	return reasons
}

// explainSession says why one session can't be given a task of a shape now, by the order in which matching asks. held is
// false if it can.
func (s *State) explainSession(x *session, sh *shape) (r Reason, held bool) {
	switch f := x.class.fit(sh); {
	case f == mismatchKind:
		return Reason{Code: ReasonKindNotServed}, true
	case f == mismatchQueue:
		return Reason{Code: ReasonQueueNotServed}, true
	case f == mismatchLabel:
		l, _ := missingLabel(sh.Require, x.Worker.Labels)
		return Reason{Code: ReasonLabelMissing, Label: l}, true
	case x.pools[f].slots < int(sh.Weight):
		return Reason{Code: ReasonPoolTooSmall}, true
	case x.Draining:
		return Reason{Code: ReasonDraining}, true
	case !x.attachedIn(s.globals.Term):
		return Reason{Code: ReasonDetached}, true
	case !x.pools[f].holds(sh):
		return Reason{Code: ReasonSlotsBusy}, true
	case x.pools[f].keep != nil && x.pools[f].keep != sh:
		return Reason{Code: ReasonReserved}, true
	case x.pools[f].keep == nil && !x.pools[f].admits(sh):
		return Reason{Code: ReasonSuspectsApart}, true
	}
	return Reason{}, false
}

// ahead counts the ready tasks of t's queue that go before it and want slots that it wants, at most behindMax.
func (s *State) ahead(t *task, sh *shape) int {
	wanted := s.wantedPools(sh)
	n, mine := 0, readyKey(t)
	for _, other := range s.shapes {
		if other.queue == sh.queue && slices.ContainsFunc(wanted, func(cp *classPool) bool { return cp.class.fit(other) == cp.home.index }) {
			n += other.ready.before(mine, behindMax-n)
		}
	}
	return n
}

// wantedPools returns the pools of classes that run a shape; so many of them, in no order, that no more need be asked.
func (s *State) wantedPools(sh *shape) []*classPool {
	var wanted []*classPool
	for _, c := range s.matcher.classes {
		if i := c.fit(sh); i >= 0 {
			if wanted = append(wanted, &c.pools[i]); len(wanted) == wantedMax {
				break
			}
		}
	}
	return wanted
}
