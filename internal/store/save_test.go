package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// model is a store without a disk.
type model struct {
	rows     map[scheduler.Table]map[uint64]scheduler.Row
	bodies   map[scheduler.TaskID]string
	failures map[scheduler.TaskID]*storagev1.Attempts
	finished map[scheduler.TaskID]FinishedRow
}

func newModel() *model {
	m := &model{
		rows:   map[scheduler.Table]map[uint64]scheduler.Row{},
		bodies: map[scheduler.TaskID]string{}, failures: map[scheduler.TaskID]*storagev1.Attempts{}, finished: map[scheduler.TaskID]FinishedRow{},
	}
	for _, t := range scheduler.Tables() {
		m.rows[t] = map[uint64]scheduler.Row{}
	}
	return m
}

func (m *model) save(cp *Checkpoint, rows []scheduler.Row) {
	for _, r := range rows {
		if r.Deleted {
			delete(m.rows[r.Table], r.Key)
		} else {
			m.rows[r.Table][r.Key] = r
		}
	}
	for _, b := range cp.Bodies {
		m.bodies[b.ID] = string(b.Data)
	}
	for _, id := range cp.DropBodies {
		delete(m.bodies, id)
	}
	for _, id := range cp.DropFailures {
		delete(m.failures, id)
	}
	for _, b := range cp.Failures {
		m.fail(b)
	}
	for _, id := range cp.DropFinished {
		delete(m.finished, id)
	}
	for _, f := range cp.Finished {
		if f.ExpiresAt > 0 {
			m.finished[f.ID] = f
		}
	}
}

func (m *model) fail(b Blob) {
	a := m.failures[b.ID]
	if a == nil {
		a = &storagev1.Attempts{}
		m.failures[b.ID] = a
	}
	more := new(storagev1.Attempts)
	if err := proto.Unmarshal(b.Data, more); err != nil {
		panic(err)
	}
	a.List, a.Earlier = append(a.List, more.List...), a.Earlier+more.Earlier
	if over := len(a.List) - AttemptsKept; over > 0 {
		a.List, a.Earlier = a.List[over:], a.Earlier+uint32(over)
	}
}

// sorted lists the rows as Load should.
func (m *model) sorted() []scheduler.Row {
	var all []scheduler.Row
	for _, t := range scheduler.Tables() {
		for _, key := range slices.Sorted(maps.Keys(m.rows[t])) {
			all = append(all, m.rows[t][key])
		}
	}
	return all
}

const modelIDs = 12 // few, so that they meet again

func drawCheckpoint(t *rapid.T) (*Checkpoint, []scheduler.Row) {
	type name struct {
		table scheduler.Table
		key   uint64
	}
	id := rapid.Custom(func(t *rapid.T) scheduler.TaskID {
		return scheduler.TaskID(rapid.IntRange(1, modelIDs).Draw(t, "id"))
	})
	ids := rapid.SliceOfN(id, 0, 4)
	blob := rapid.Custom(func(t *rapid.T) Blob {
		return Blob{id.Draw(t, "blob"), rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "data")}
	})
	names := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) name {
		table := rapid.SampledFrom(scheduler.Tables()).Draw(t, "table")
		key := uint64(globalsKey)
		if table != scheduler.TableGlobals {
			key = rapid.Uint64Range(1, modelIDs).Draw(t, "key")
		}
		return name{table, key}
	}), 0, 40, rapid.ID[name]).Draw(t, "names")
	var rows []scheduler.Row
	for _, n := range names {
		if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
			rows = append(rows, deletion(n.table, n.key))
		} else {
			row := drawRow(filler{t: t}, n.table, n.key)
			row.Task.PayloadBytes = 0 // or Check looks for the body
			rows = append(rows, row)
		}
	}
	cp := &Checkpoint{
		Logic:        rapid.Uint32().Draw(t, "logic"),
		Bodies:       rapid.SliceOfN(blob, 0, 6).Draw(t, "bodies"),
		DropFailures: ids.Draw(t, "drops"),
		DropBodies:   ids.Draw(t, "drops"),
		DropFinished: ids.Draw(t, "drops"),
	}
	for _, id := range ids.Draw(t, "failures") {
		cp.Failures = append(cp.Failures, Blob{id, marshal(drawAttempts(t))})
	}
	for _, b := range rapid.SliceOfN(blob, 0, 6).Draw(t, "finished") {
		cp.Finished = append(cp.Finished, FinishedRow{
			ID: b.ID, Dead: rapid.Bool().Draw(t, "dead"), Gen: rapid.Uint32().Draw(t, "gen"),
			Queue: rapid.SampledFrom([]string{"", "a", "mail"}).Draw(t, "queue"), Attempts: rapid.Bool().Draw(t, "attempts"),
			ExpiresAt: scheduler.Duration(rapid.Int64Range(0, 5).Draw(t, "expires")) * scheduler.Second / 2, Data: b.Data,
		})
	}
	return cp, rows
}

// TestSaveModel holds the store against its model: rows, bodies, failures,
// finished tasks, counts, over checkpoints and restarts.
func TestSaveModel(t *testing.T) {
	base := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		dir := filepath.Join(base, fmt.Sprint(run))
		s, err := Open(Options{Dir: dir, hooks: hooks{runs: drawLimits(rt)}})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { s.Close() }()
		m := newModel()
		for range rapid.IntRange(1, 4).Draw(rt, "checkpoints") {
			cp, rows := drawCheckpoint(rt)
			m.save(cp, rows)
			cp.Index, cp.Rows = s.DurableIndex()+rapid.Uint64Range(0, 9).Draw(rt, "step"), pulling(rows)
			if err := s.Save(cp); err != nil {
				rt.Fatal(err)
			}
			if s.DurableIndex() != cp.Index || s.Logic() != cp.Logic {
				rt.Fatalf("index %d, logic %d, want %d, %d", s.DurableIndex(), s.Logic(), cp.Index, cp.Logic)
			}
		}
		sameAsModel(rt, s, m)
		s.Close()
		if r, err := Check(dir, nil); err != nil || !r.OK() {
			rt.Fatal(err, r.Problems)
		}
		if s, err = Open(Options{Dir: dir}); err != nil {
			rt.Fatal(err)
		}
		sameAsModel(rt, s, m)
		s.Close()
		if err := os.RemoveAll(dir); err != nil {
			rt.Fatal(err)
		}
	})
}

func sameAsModel(t *rapid.T, s *Store, m *model) {
	var rows []scheduler.Row
	err := s.Load(func(r *scheduler.Row) error { rows = append(rows, *r); return nil })
	if want := m.sorted(); err != nil || !reflect.DeepEqual(rows, want) {
		t.Fatalf("rows %+v, %v, want %+v", rows, err, want)
	}
	var ids []scheduler.TaskID
	for id := scheduler.TaskID(modelIDs + 1); id > 0; id-- {
		ids = append(ids, id)
	}
	err = s.Bodies(ids, func(i int, data []byte) error {
		if want, ok := m.bodies[ids[i]]; (data != nil) != ok || string(data) != want {
			t.Fatalf("body of %d is %q, want %q, %v", ids[i], data, want, ok)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		data, err := s.Failure(id)
		a := new(storagev1.Attempts)
		if err == nil {
			err = proto.Unmarshal(data, a)
		}
		if want, ok := m.failures[id]; err != nil || (data != nil) != ok || ok && !proto.Equal(a, want) {
			t.Fatalf("attempts of %d are %v, %v, want %v", id, a, err, want)
		}
		data, err = s.Finished(id)
		if want, ok := m.finished[id]; err != nil || (data != nil) != ok || string(data) != string(want.Data) {
			t.Fatalf("finished %d is %q, %v, want %q", id, data, err, want.Data)
		}
	}
	st := s.Stats()
	for table, rows := range m.rows {
		if st.Rows[table] != uint64(len(rows)) {
			t.Fatalf("%d %v counted, want %d", st.Rows[table], table, len(rows))
		}
	}
	dead, queues := uint64(0), map[string]uint64{}
	for _, f := range m.finished {
		if f.Dead {
			dead++
		} else {
			queues[f.Queue]++
		}
	}
	for _, q := range s.queues.all() {
		if q.count != queues[q.name] {
			t.Fatalf("%d finished tasks of queue %s counted, want %d", q.count, q.name, queues[q.name])
		}
	}
	if got, want := []uint64{st.Bodies, st.Failures, st.Finished, st.Dead},
		[]uint64{uint64(len(m.bodies)), uint64(len(m.failures)), uint64(len(m.finished)), dead}; !slices.Equal(got, want) {
		t.Fatalf("counts %d, want %d", got, want)
	}
}

func TestSaveBounds(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), RowsMax: 2000})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	save(t, s, &Checkpoint{Rows: taskBatches(1, 2000)})
	pulled := 0
	rows := taskBatches(1, 1<<30)
	err = s.Save(&Checkpoint{Index: 2, Rows: func(limit int, buf []scheduler.Row) ([]scheduler.Row, bool) {
		pulled++
		if limit > PullRows || cap(buf) < limit {
			t.Errorf("asked for %d rows into a buffer of %d", limit, cap(buf))
		}
		return rows(limit, buf)
	}})
	wantErr(t, err, ErrTooLarge, "2000 rows")
	if pulled > 3 {
		t.Errorf("pulled %d times", pulled)
	}
	wantErr(t, s.Save(&Checkpoint{Index: 2}), ErrFailed)
}

func TestSaveOrder(t *testing.T) {
	s := openTest(t, t.TempDir())
	save(t, s, &Checkpoint{Index: 5})
	save(t, s, &Checkpoint{Index: 5}) // a last one at shutdown may bring nothing new
	if err := s.Save(&Checkpoint{Index: 4}); err == nil {
		t.Error("went back")
	}
}

// TestSaveLarge saves values that don't fit a slab's rest, or a page.
func TestSaveLarge(t *testing.T) {
	s := openTest(t, t.TempDir())
	var bodies []Blob
	for i, size := range []int{3 << 20, 1 << 20, 10, 700_000, 700_000, 5000, slabBytes - sumBytes, 0} {
		bodies = append(bodies, Blob{scheduler.TaskID(i + 1), bytes.Repeat([]byte{byte(i + 1)}, size)})
	}
	for range 2 { // the second time in memory used before
		save(t, s, &Checkpoint{Bodies: bodies})
		for i, b := range bodies {
			err := s.Bodies([]scheduler.TaskID{b.ID}, func(_ int, data []byte) error {
				if data == nil || !bytes.Equal(data, b.Data) {
					t.Errorf("body %d has %d bytes, want %d", i, len(data), len(b.Data))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestBodiesStops(t *testing.T) {
	s := openTest(t, t.TempDir())
	save(t, s, &Checkpoint{Bodies: []Blob{{1, []byte("a")}, {3, []byte("c")}}})
	stop, calls := errors.New("enough"), 0
	err := s.Bodies([]scheduler.TaskID{1, 1, 2, 3, 3, 4}, func(i int, data []byte) error {
		if want := []string{"a", "a", "", "c", "c", ""}[i]; string(data) != want || (want == "") != (data == nil) {
			t.Errorf("body %d is %q", i, data)
		}
		if calls++; i == 4 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || calls != 5 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}

func TestFinishedAfter(t *testing.T) {
	s := openTest(t, t.TempDir())
	var rows []FinishedRow
	for id := scheduler.TaskID(10); id > 0; id-- {
		rows = append(rows, finishedRow(id*10, scheduler.Day))
	}
	save(t, s, &Checkpoint{Finished: rows})
	for _, test := range []struct {
		after scheduler.TaskID
		max   int
		stop  scheduler.TaskID
		want  []scheduler.TaskID
	}{
		{0, 3, 0, []scheduler.TaskID{10, 20, 30}},
		{30, 2, 0, []scheduler.TaskID{40, 50}},
		{31, 100, 60, []scheduler.TaskID{40, 50, 60}},
		{90, 100, 0, []scheduler.TaskID{100}},
		{100, 100, 0, nil},
		{0, 0, 0, nil},
	} {
		var got []scheduler.TaskID
		err := s.FinishedAfter(test.after, test.max, func(id scheduler.TaskID, data []byte) bool {
			if !bytes.Equal(data, finishedRow(id, 0).Data) {
				t.Errorf("%d: %q", id, data)
			}
			got = append(got, id)
			return id != test.stop
		})
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("after %d: %d, %v, want %d", test.after, got, err, test.want)
		}
	}
}
