package engine

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// testStorage is a storage in memory, with the promises of package store: a checkpoint is all there or not at all.
type testStorage struct {
	mu       sync.Mutex
	index    uint64
	rows     map[rowAt]scheduler.Row
	bodies   map[scheduler.TaskID][]byte
	failures map[scheduler.TaskID][]byte
	finished map[scheduler.TaskID]FinishedRow
	saves    int
	expires  int                // calls of Expire
	soonest  scheduler.Duration // Invariant: nothing expires earlier

	pull   int    // rows pulled at a time; default 1000
	inSave func() // called when a Save has begun and pulled nothing
	inRows func() // called between pulls
	fail   error  // of Save

	stale      int // what Expire has to clear away, at its limit a call, before it deletes anything
	failExpire error
	inExpire   func()

	inBodies   func()             // called before Bodies
	inFailure  func()             // called before Failure
	inFinished func()             // called before and after FinishedAfter
	damaged    []scheduler.TaskID // bodies that can't be read
	keep       bool               // Save keeps nothing but its index (benchmarks)
}

type rowAt struct {
	table scheduler.Table
	key   uint64
}

func newTestStorage() *testStorage {
	return &testStorage{
		rows: map[rowAt]scheduler.Row{}, bodies: map[scheduler.TaskID][]byte{}, failures: map[scheduler.TaskID][]byte{},
		finished: map[scheduler.TaskID]FinishedRow{}, pull: 1000,
	}
}

// copied is what a restart would find.
func (s *testStorage) copied() *testStorage {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newTestStorage()
	c.index, c.rows, c.bodies = s.index, maps.Clone(s.rows), maps.Clone(s.bodies)
	c.failures, c.finished = maps.Clone(s.failures), maps.Clone(s.finished)
	return c
}

func (s *testStorage) DurableIndex() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index
}

func (s *testStorage) Load(add func(*scheduler.Row) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := slices.SortedFunc(maps.Values(s.rows), func(a, b scheduler.Row) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Key, b.Key))
	})
	for i := range rows {
		if err := add(&rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *testStorage) Save(c *Checkpoint) error {
	s.mu.Lock()
	inSave, inRows, pull := s.inSave, s.inRows, s.pull
	s.mu.Unlock()
	if inSave != nil {
		inSave()
	}
	var rows, buf []scheduler.Row
	for done := false; !done; {
		buf, done = c.Rows(pull, buf[:0])
		if len(buf) > pull {
			return errors.New("more rows than asked for")
		}
		if !s.keep {
			rows = append(rows, buf...)
		}
		if inRows != nil {
			inRows()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.saves++
	s.index = c.Index
	if s.keep {
		return nil
	}
	for i := range rows {
		at := rowAt{rows[i].Table, rows[i].Key}
		if rows[i].Deleted {
			delete(s.rows, at)
		} else {
			s.rows[at] = rows[i]
		}
	}
	for _, b := range c.Bodies {
		s.bodies[b.ID] = bytes.Clone(b.Data)
	}
	for _, id := range c.DropFailures {
		delete(s.failures, id)
	}
	for _, b := range c.Failures {
		merged, err := mergeAttempts(s.failures[b.ID], b.Data)
		if err != nil {
			return err
		}
		s.failures[b.ID] = merged
	}
	for _, id := range c.DropBodies {
		delete(s.bodies, id)
	}
	for _, id := range c.DropFinished {
		delete(s.finished, id)
	}
	for _, f := range c.Finished {
		f.Data = bytes.Clone(f.Data)
		s.soonest = min(s.soonest, f.ExpiresAt)
		s.finished[f.ID] = f
	}
	return nil
}

// mergeAttempts adds new attempts to those that are there.
func mergeAttempts(old, added []byte) ([]byte, error) {
	var a, b storagev1.Attempts
	if err := errors.Join(proto.Unmarshal(old, &a), proto.Unmarshal(added, &b)); err != nil {
		return nil, err
	}
	if a.Cause != 0 || a.Attempt != 0 || a.Detail != nil {
		a.List = append([]*storagev1.Attempt{{Cause: a.Cause, Attempt: a.Attempt, Detail: a.Detail}}, a.List...)
	}
	m := &storagev1.Attempts{List: append(a.List, b.List...), Earlier: a.Earlier + b.Earlier}
	if n := len(m.List) - AttemptsMax; n > 0 {
		m.List, m.Earlier = m.List[n:], m.Earlier+uint32(n)
	}
	return proto.Marshal(m)
}

func (s *testStorage) Bodies(ids []scheduler.TaskID, each func(i int, data []byte) error) error {
	if look := get(&s.mu, &s.inBodies); look != nil {
		look()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	order := make([]int, len(ids)) // of id, as the store walks
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(ids[a], ids[b]) })
	var bad damagedBodies
	for _, i := range order {
		id := ids[i]
		if slices.Contains(s.damaged, id) {
			bad = append(bad, id)
			continue
		}
		var data []byte
		if b, ok := s.bodies[id]; ok {
			data = append([]byte{}, b...)
		}
		if err := each(i, data); err != nil {
			return err
		}
		clear(data) // it was good during the call only
	}
	if bad != nil {
		return bad
	}
	return nil
}

// damagedBodies is an error of Bodies as the store's is.
type damagedBodies []scheduler.TaskID

func (d damagedBodies) Error() string                    { return "damaged" }
func (d damagedBodies) DamagedTasks() []scheduler.TaskID { return d }

func (s *testStorage) Failure(id scheduler.TaskID) ([]byte, error) {
	if look := get(&s.mu, &s.inFailure); look != nil {
		look()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.failures[id]), nil
}

func (s *testStorage) Finished(id scheduler.TaskID) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.finished[id].Data), nil
}

func (s *testStorage) FinishedAfter(after scheduler.TaskID, most int, each func(scheduler.TaskID, []byte) bool) error {
	if look := get(&s.mu, &s.inFinished); look != nil {
		look()
		defer look()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.finished)) {
		if id <= after {
			continue
		}
		if most--; most < 0 || !each(id, s.finished[id].Data) {
			return nil
		}
	}
	return nil
}

// Expire works as package store's does: dead letters that are due are named until a checkpoint drops them.
func (s *testStorage) Expire(served scheduler.Duration, most int) (deleted int, dead []scheduler.DeadRef, more bool, err error) {
	if step := get(&s.mu, &s.inExpire); step != nil {
		step()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expires++; s.failExpire != nil {
		return 0, nil, false, s.failExpire
	}
	if served < s.soonest {
		return 0, nil, false, nil
	}
	if s.stale > 0 {
		s.stale -= min(s.stale, most)
		return 0, nil, true, nil
	}
	s.soonest = math.MaxInt64
	for _, id := range slices.Sorted(maps.Keys(s.finished)) {
		f := s.finished[id]
		if f.ExpiresAt <= served && !f.Dead && deleted < most {
			delete(s.finished, id)
			if f.Attempts {
				delete(s.failures, id)
			}
			deleted++
			continue
		}
		s.soonest = min(s.soonest, f.ExpiresAt)
		if f.ExpiresAt <= served && f.Dead {
			dead = append(dead, scheduler.DeadRef{ID: id, Gen: f.Gen})
		}
		more = more || f.ExpiresAt <= served && !f.Dead
	}
	return deleted, dead, more, nil
}

func (s *testStorage) Bytes() uint64 { return 0 }

func (s *testStorage) counts() (bodies, failures, finished int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.bodies), len(s.failures), len(s.finished)
}
