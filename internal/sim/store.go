package sim

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// finishedRow is a finished task as the store keeps it: enough to show its end and to retry a dead letter.
type finishedRow struct {
	id      scheduler.TaskID
	state   scheduler.TaskState
	cause   scheduler.Cause
	gen     uint32
	spec    scheduler.TaskSpec
	expires scheduler.Duration
	detail  string
}

// staging is what steps have done that the core's rows don't hold: bodies and ends. A nil value: it is to be deleted.
type staging struct {
	bodies   map[scheduler.TaskID][]byte
	finished map[scheduler.TaskID]*finishedRow
}

func newStaging() *staging {
	return &staging{bodies: map[scheduler.TaskID][]byte{}, finished: map[scheduler.TaskID]*finishedRow{}}
}

func (s *staging) empty() bool { return len(s.bodies)+len(s.finished) == 0 }

// checkpoint is what one checkpoint writes.
type checkpoint struct {
	index  uint64
	rows   []scheduler.Row
	staged *staging
}

// store is the file of checkpoints: the core's rows, bodies and finished tasks, as of one log index.
type store struct {
	index    uint64
	rows     [scheduler.TableDead + 1]map[uint64]scheduler.Row
	bodies   map[scheduler.TaskID][]byte
	finished map[scheduler.TaskID]*finishedRow
}

func newStore() *store {
	s := &store{bodies: map[scheduler.TaskID][]byte{}, finished: map[scheduler.TaskID]*finishedRow{}}
	for i := range s.rows {
		s.rows[i] = map[uint64]scheduler.Row{}
	}
	return s
}

// commit writes a checkpoint in one transaction.
func (s *store) commit(cp *checkpoint) {
	for i := range cp.rows {
		r := &cp.rows[i]
		if r.Deleted {
			delete(s.rows[r.Table], r.Key)
		} else {
			s.rows[r.Table][r.Key] = *r
		}
	}
	for id, body := range cp.staged.bodies {
		put(s.bodies, id, body, body != nil)
	}
	for id, row := range cp.staged.finished {
		put(s.finished, id, row, row != nil)
	}
	s.index = cp.index
}

func put[V any](m map[scheduler.TaskID]V, id scheduler.TaskID, v V, keep bool) {
	if keep {
		m[id] = v
	} else {
		delete(m, id)
	}
}

// load builds the state that the last checkpoint holds.
func (s *store) load() (*scheduler.State, error) {
	l := scheduler.NewLoader()
	for _, table := range scheduler.Tables() {
		for _, key := range slices.Sorted(maps.Keys(s.rows[table])) {
			row := s.rows[table][key]
			if err := l.Add(&row); err != nil {
				return nil, err
			}
		}
	}
	state, err := l.State()
	return state, errors.Join(err)
}

// expire deletes finished tasks whose retention is over, and names dead letters that are due, oldest first.
func (s *store) expire(served scheduler.Duration, most int) (dead []scheduler.DeadRef) {
	var due []*finishedRow
	for _, row := range s.finished {
		if row.expires <= served {
			due = append(due, row)
		}
	}
	slices.SortFunc(due, func(a, b *finishedRow) int { return cmp.Or(cmp.Compare(a.expires, b.expires), cmp.Compare(a.id, b.id)) })
	for _, row := range due[:min(len(due), most)] {
		if row.state == scheduler.Dead {
			dead = append(dead, scheduler.DeadRef{ID: row.id, Gen: row.gen})
		} else {
			delete(s.finished, row.id)
		}
	}
	return dead
}
