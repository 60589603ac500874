package scheduler

import (
	"cmp"
	"slices"
)

// ExplainQueue says why a queue's tasks wait: what holds back all of them, and for each of its shapes what holds back the
// next task. False: there is no such queue.
func (s *State) ExplainQueue(name string) (QueueExplanation, bool) {
	q := s.queueByName[name]
	if q == nil {
		return QueueExplanation{}, false
	}
	e := QueueExplanation{Queue: s.queueInfo(q)}
	if q.depth() == 0 {
		e.Reasons = append(e.Reasons, Reason{Code: ReasonQueueEmpty, Count: 1})
	}
	e.Reasons = append(e.Reasons, s.explainLine(q, false)...)
	var shapes []*shape
	for _, sh := range s.shapes {
		if sh.queue == q && sh.ready.len() > 0 {
			shapes = append(shapes, sh)
		}
	}
	slices.SortFunc(shapes, func(a, b *shape) int {
		return cmp.Or(cmp.Compare(b.ready.len(), a.ready.len()), compareShapes(a, b))
	})
	sessions := s.sortedSessions()
	for _, sh := range shapes[:min(len(shapes), ShapesMax)] {
		t := s.firstReady(sh)
		e.Shapes = append(e.Shapes, ShapeExplanation{
			ShapeRow: sh.ShapeRow, Pending: uint64(sh.ready.len()), Next: s.taskInfo(t), Reasons: s.explainShape(t, sh, sessions),
		})
	}
	return e, true
}
