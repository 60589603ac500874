package scheduler

import (
	"cmp"
	"fmt"
	"slices"
)

// Loader builds a state from a checkpoint's rows.
type Loader struct {
	s     *State
	table Table
	key   uint64
}

// NewLoader returns a loader. Without any row it yields what New yields.
func NewLoader() *Loader { return &Loader{s: newState()} }

// Add takes the next row: tables in order, keys ascending in each. The row stays the caller's. An error means that the
// checkpoint contradicts itself.
func (l *Loader) Add(r *Row) error {
	if r.Table < l.table || r.Table == l.table && r.Key <= l.key || r.Table == 0 || r.Table >= tableEnd || r.Key == 0 {
		return fmt.Errorf("load state: row %s/%d comes out of order", r.Table, r.Key)
	}
	if l.table == 0 && r.Table != TableGlobals {
		return fmt.Errorf("load state: the first row is of %s, want globals", r.Table)
	}
	l.table, l.key = r.Table, r.Key
	if err := l.s.load(r); err != nil {
		return fmt.Errorf("load state: row %s/%d: %w", r.Table, r.Key, err)
	}
	if m := l.s.rowMarks(r.Table, r.Key); m.epoch != nil {
		*m.epoch, *m.stored = 0, true
	}
	return nil
}

// State finishes the load.
func (l *Loader) State() (*State, error) {
	if l.table == 0 {
		return New(), nil
	}
	s := l.s
	if len(s.queues) == 0 {
		return nil, fmt.Errorf("load state: the queue %q is missing", DefaultQueue)
	}
	for _, x := range s.sortedSessions() {
		if x.Ending {
			x.endQueue = s.tokensOf(x)
			s.dying = append(s.dying, x)
		}
		s.matcher.placeSession(s, x)
	}
	if err := s.findHeads(); err != nil {
		return nil, fmt.Errorf("load state: %w", err)
	}
	s.findIdle()
	if err := s.leasesWhole(); err != nil {
		return nil, fmt.Errorf("load state: %w", err)
	}
	s.rows = 0
	s.matcher.left = true // nothing has been matched yet
	return s, nil
}

// findIdle finds the shapes and policies without tasks.
func (s *State) findIdle() {
	for _, sh := range s.shapes {
		if sh.refs == 0 {
			sh.queue.idle = append(sh.queue.idle, sh)
		}
	}
	for _, q := range s.queues {
		slices.SortFunc(q.idle, func(a, b *shape) int { return cmp.Compare(a.ID, b.ID) })
	}
	s.policies.each(func(_ uint32, p *policy) bool {
		if p.refs == 0 {
			s.idlePolicies = append(s.idlePolicies, p.ID)
		}
		return true
	})
	slices.Sort(s.idlePolicies)
}

// leasesWhole checks that every leased task has its lease.
func (s *State) leasesWhole() (err error) {
	s.tasks.each(func(_ uint32, t *task) bool {
		if t.State == Leased && s.findLease(t.Token) == nil {
			err = fmt.Errorf("leased task %d: its lease %d is missing", t.ID, t.Token)
		}
		return err == nil
	})
	return err
}

func (s *State) load(r *Row) error {
	switch r.Table {
	case TableGlobals:
		s.globals = *r.Globals
		if s.globals.Logic == 0 {
			s.globals.Logic = 1 // the first releases didn't write it
		}
	case TableQueues:
		if r.Key != uint64(len(s.queues))+1 {
			return fmt.Errorf("queue %d is missing", len(s.queues)+1)
		}
		row := *r.Queue
		row.ID = uint32(r.Key)
		s.addQueue(row)
	case TableShapes:
		if r.Shape.Queue == 0 || int(r.Shape.Queue) > len(s.queues) {
			return fmt.Errorf("its queue %d is missing", r.Shape.Queue)
		}
		s.addShape(*r.Shape)
	case TablePolicies:
		s.addPolicy(*r.Policy)
	case TableSessions:
		row := *r.Session
		row.Answers, row.EndStarted = slices.Clone(row.Answers), slices.Clone(row.EndStarted)
		s.addSession(row)
	case TableTasks:
		return s.loadTask(&r.Task)
	case TableLeases:
		return s.loadLease(&r.Lease)
	case TableProducers:
		row := *r.Producer
		row.Answers = slices.Clone(row.Answers)
		s.addProducer(row)
	case TableKeys:
		s.putKey(r.Key128)
	case TableDead:
		if r.Dead.Queue == 0 || int(r.Dead.Queue) > len(s.queues) {
			return fmt.Errorf("its queue %d is missing", r.Dead.Queue)
		}
		s.putDead(r.Dead)
	}
	return nil
}

func (s *State) loadTask(row *TaskRow) error {
	sh := s.shapes[row.Shape]
	_, p := s.policies.find(uint64(row.Policy))
	switch {
	case sh == nil:
		return fmt.Errorf("its shape %d is missing", row.Shape)
	case p == nil:
		return fmt.Errorf("its policy %d is missing", row.Policy)
	case row.State != Scheduled && row.State != Pending && row.State != Leased:
		return fmt.Errorf("it is in state %d", row.State)
	}
	t := s.addTask(*row, sh, p)
	state := t.State
	if state == Pending {
		sh.queue.counts[Pending]++ // enter must not move the queue's place: it stands as stored
		s.enter(t, state)
		sh.queue.counts[Pending]--
	} else {
		s.enter(t, state)
	}
	return nil
}

func (s *State) loadLease(row *LeaseRow) error {
	x := s.sessions[row.Session]
	if x == nil || int(row.Pool) >= len(x.pools) {
		return fmt.Errorf("its session %d or pool %d is missing", row.Session, row.Pool)
	}
	if !row.Revoked {
		if t := s.findTask(row.Task); t == nil || t.State != Leased || t.Token != row.Token {
			return fmt.Errorf("its task %d doesn't have it", row.Task)
		}
	}
	s.addLease(x, *row)
	if !row.Revoked && s.shapeOf(s.findTask(row.Task)).Suspect {
		x.suspects++
	}
	return nil
}
