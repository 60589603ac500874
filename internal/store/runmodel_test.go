package store

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

func drawLimits(t *rapid.T) runLimits {
	return runLimits{members: rapid.IntRange(1, 6).Draw(t, "members"), bytes: rapid.IntRange(20, 150).Draw(t, "bytes")}
}

type runModel struct {
	tasks  map[uint64]scheduler.TaskRow
	bodies map[scheduler.TaskID]string
	next   uint64 // a new task's id
}

func (m *runModel) draw(t *rapid.T) *Checkpoint {
	rows := map[uint64]scheduler.Row{}
	cp := &Checkpoint{}
	put := func(id uint64) {
		row := taskRow(id)
		row.Task.Token = scheduler.Token(rapid.Uint64().Draw(t, "token") >> rapid.IntRange(0, 63).Draw(t, "shift"))
		rows[id], m.tasks[id] = row, row.Task
		body := make([]byte, rapid.SampledFrom([]int{0, 1, 9, 10, 40, 139, 140, 3000}).Draw(t, "length"))
		for i := range body {
			body[i] = byte(id) + byte(i) // some begin as runs do
		}
		cp.Bodies = append(cp.Bodies, Blob{scheduler.TaskID(id), body})
		m.bodies[scheduler.TaskID(id)] = string(body)
	}
	for range rapid.IntRange(0, 20).Draw(t, "new") {
		m.next += rapid.SampledFrom([]uint64{1, 1, 1, 2, 200}).Draw(t, "gap")
		put(m.next)
	}
	old := rapid.Custom(func(t *rapid.T) uint64 { return rapid.Uint64Range(1, max(1, m.next)).Draw(t, "id") })
	for _, id := range rapid.SliceOfNDistinct(old, 0, 6, rapid.ID[uint64]).Draw(t, "again") {
		if _, there := rows[id]; !there {
			put(id)
		}
	}
	first, n := old.Draw(t, "first"), rapid.SampledFrom([]int{0, 0, 1, 3, 30}).Draw(t, "ends")
	for id := first; id < first+uint64(n); id++ {
		cp.DropBodies = append(cp.DropBodies, scheduler.TaskID(id))
		delete(m.bodies, scheduler.TaskID(id))
		rows[id] = deletion(scheduler.TableTasks, id)
		delete(m.tasks, id)
	}
	var list []scheduler.Row
	for id := uint64(0); len(list) < len(rows); id++ {
		if row, ok := rows[id]; ok {
			list = append(list, row)
		}
	}
	cp.Rows = pulling(list)
	return cp
}

func TestRunModel(t *testing.T) {
	base, run := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		o := Options{Dir: filepath.Join(base, fmt.Sprint(run)), InitialMmapSize: 1 << 20}
		m := &runModel{tasks: map[uint64]scheduler.TaskRow{}, bodies: map[scheduler.TaskID]string{}}
		for range rapid.IntRange(1, 3).Draw(rt, "starts") {
			o.hooks.runs = drawLimits(rt)
			s, err := Open(o)
			if err != nil {
				rt.Fatal(err)
			}
			for range rapid.IntRange(0, 4).Draw(rt, "checkpoints") {
				cp := m.draw(rt)
				cp.Index = s.DurableIndex() + 1
				if err := s.Save(cp); err != nil {
					rt.Fatal(err)
				}
				m.wantSame(rt, s)
				wantLimits(rt, s, o.hooks.runs)
			}
			s.Close()
			if r, err := Check(o.Dir, nil); err != nil || !r.OK() {
				rt.Fatal(err, r.Problems)
			}
		}
	})
}

func (m *runModel) wantSame(t *rapid.T, s *Store) {
	got := map[uint64]scheduler.TaskRow{}
	last := uint64(0)
	err := s.Load(func(r *scheduler.Row) error {
		if r.Key <= last {
			t.Fatalf("task %d comes after %d", r.Key, last)
		}
		last, got[r.Key] = r.Key, r.Task
		return nil
	})
	if err != nil || fmt.Sprint(got) != fmt.Sprint(m.tasks) {
		t.Fatalf("tasks %v, %v, want %v", got, err, m.tasks)
	}
	if st := s.Stats(); st.Bodies != uint64(len(m.bodies)) || st.Rows[scheduler.TableTasks] != uint64(len(m.tasks)) {
		t.Fatalf("%d bodies and %d tasks counted, want %d and %d", st.Bodies, st.Rows[scheduler.TableTasks], len(m.bodies), len(m.tasks))
	}
	every := rapid.Uint64Range(1, 9).Draw(t, "every")
	var ids []scheduler.TaskID
	for id := uint64(0); id <= m.next+2; id += every {
		ids = append(ids, scheduler.TaskID(id), scheduler.TaskID(id)) // asked twice
	}
	seen := 0
	err = s.Bodies(ids, func(i int, data []byte) error {
		seen++
		if want, ok := m.bodies[ids[i]]; (data != nil) != ok || string(data) != want {
			t.Fatalf("body of %d is %q, want %q, %v", ids[i], data, want, ok)
		}
		return nil
	})
	if err != nil || seen != len(ids) {
		t.Fatal(seen, err)
	}
}

func wantLimits(t *rapid.T, s *Store, l runLimits) {
	eachStored(t, s, func(k *runKind, key uint64, value []byte) {
		m, err := k.open(key, value)
		if err != nil || m.run != nil && (m.left > 6 || len(value) > 150) {
			t.Fatalf("%s, key %d: %d members in %d bytes, %v, with limits %+v", k.bucket, key, m.left, len(value), err, l)
		}
	})
}

func eachStored(t interface{ Fatal(...any) }, s *Store, fn func(k *runKind, key uint64, value []byte)) {
	err := s.read(func(tx *bbolt.Tx) error {
		for _, k := range []*runKind{&taskRuns, &bodyRuns} {
			err := tx.Bucket(k.bucket).ForEach(func(key, v []byte) error {
				fn(k, parseKey(key), v)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
