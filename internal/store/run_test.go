package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// drawLimits draws limits at which runs of a few ids are divided.
func drawLimits(t *rapid.T) runLimits {
	return runLimits{members: rapid.IntRange(1, 6).Draw(t, "members"), bytes: rapid.IntRange(20, 150).Draw(t, "bytes")}
}

// runModel is what two buckets with runs hold.
type runModel struct {
	tasks  map[uint64]scheduler.TaskRow
	bodies map[scheduler.TaskID]string
	next   uint64 // a new task's id
}

// draw makes a checkpoint of new tasks, of changes, of ends and of returns.
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

// TestRunModel holds runs against maps, with limits that change from start to
// start, and rows as older formats have them.
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

// wantSame reads all, and then bodies of ids here and there.
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

// wantLimits holds that what was written last keeps to the limits, or to the
// widest there were: rows that nothing falls on stay as they are.
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

// rowsStored counts rows of bbolt.
func rowsStored(t *testing.T, s *Store) (tasks, bodies int) {
	t.Helper()
	eachStored(t, s, func(k *runKind, _ uint64, _ []byte) {
		if k == &taskRuns {
			tasks++
		} else {
			bodies++
		}
	})
	return tasks, bodies
}

// TestRunRows follows how many rows there are as tasks come and go.
func TestRunRows(t *testing.T) {
	s := openTest(t, t.TempDir())
	want := func(tasks, bodies int) {
		t.Helper()
		if gotTasks, gotBodies := rowsStored(t, s); gotTasks != tasks || gotBodies != bodies {
			t.Errorf("%d rows of tasks and %d of bodies, want %d and %d", gotTasks, gotBodies, tasks, bodies)
		}
	}
	add := func(from scheduler.TaskID, n, length int) {
		cp := &Checkpoint{Rows: taskBatches(uint64(from), n)}
		for id := range scheduler.TaskID(n) {
			cp.Bodies = append(cp.Bodies, Blob{from + id, make([]byte, length)})
		}
		save(t, s, cp)
	}
	remove := func(ids ...scheduler.TaskID) {
		var rows []scheduler.Row
		for _, id := range ids {
			rows = append(rows, deletion(scheduler.TableTasks, uint64(id)))
		}
		save(t, s, &Checkpoint{Rows: pulling(rows), DropBodies: ids})
	}
	add(1, 64, 100)
	want(2, 4)
	add(65, 1, 100)
	want(3, 5)
	for id := scheduler.TaskID(66); id <= 80; id++ { // one at a time, they fill up the last run
		add(id, 1, 100)
	}
	want(3, 5)
	add(81, 1, runBytesMax) // too large for a run, and its successors begin another
	add(82, 1, 100)
	want(3, 7)
	remove(1, 2, 3, 16, 17, 18, 33) // of the first, the second and the third run
	want(3, 7)
	add(2, 1, 100) // it comes back into its run, whose key has gone
	want(3, 7)
	remove(2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
	want(3, 6)
	add(1, 1, 100) // before all others
	want(3, 7)
	var rest []scheduler.TaskID
	for id := scheduler.TaskID(1); id <= 90; id++ {
		rest = append(rest, id)
	}
	remove(rest...)
	want(0, 0)
}

// TestRunUnchanged holds that rows that edits fall on and don't change aren't
// written.
func TestRunUnchanged(t *testing.T) {
	s := openTest(t, t.TempDir())
	save(t, s, &Checkpoint{Bodies: []Blob{{10, []byte("a")}, {11, []byte("b")}, {14, make([]byte, 5000)}}})
	err := s.write("try", func(tx *bbolt.Tx, next *tally) error {
		c := scratch{}
		edits := []edit{{key: 1}, {key: 12}, {key: 15}, {key: 1 << 40}}
		if err := c.applyRuns(tx, &bodyRuns, &next.bodies, edits); err != nil {
			return err
		}
		if len(c.ops) != 0 || next.bodies != 3 {
			t.Errorf("%d rows are written, %d bodies", len(c.ops), next.bodies)
		}
		edits = []edit{{key: 15, value: []byte("new")}}
		if err := c.applyRuns(tx, &bodyRuns, &next.bodies, edits); err != nil {
			return err
		}
		if len(c.ops) != 1 || c.ops[0].key != 15 {
			t.Errorf("%d rows are written", len(c.ops))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRunDamaged changes a run a byte at a time: no change goes unseen, and
// what is named is the bucket and the key.
func TestRunDamaged(t *testing.T) {
	var piece []member
	for id := uint64(20); id < 36; id++ {
		piece = append(piece, member{id, []byte("body")})
	}
	w := runWriter{kind: &bodyRuns, arena: &arena{}, bytes: 200}
	value := w.pack(20, piece)
	read := func(key uint64, v []byte) (n int, err error) {
		m, err := bodyRuns.open(key, v)
		for ok := err == nil; ok; n++ {
			ok, err = m.next()
		}
		return n - 1, err
	}
	if n, err := read(20, value); n != 16 || err != nil {
		t.Fatal(n, err)
	}
	for i := range value {
		for _, bit := range []byte{1, 0x80} {
			v := bytes.Clone(value)
			v[i] ^= bit
			if _, err := read(20, v); err == nil {
				t.Errorf("byte %d changed, and nobody saw", i)
			} else {
				wantErr(t, err, ErrDamaged, "bodies, key 20: ")
			}
			if _, err := read(20, v[:i]); err == nil {
				t.Errorf("cut at %d, and nobody saw", i)
			}
		}
	}
	_, err := read(21, value)
	wantErr(t, err, ErrDamaged, "bodies, key 21: the first of a run of 16: it doesn't match its checksum")
	if _, err := taskRuns.open(20, value); err == nil {
		t.Error("bodies passed for tasks")
	}
	// What a bug might write under a right checksum.
	for _, data := range []string{"\x07\x00", "\x07\x01", "\x07\x01\x00", "\x07\x01\x00\x05abcd", "\x07\x01\x00\x01ab",
		"\x07\x02\x00\x01a\x00\x01b", "\x07\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "\x07\x02\x00\x00"} {
		if n, err := read(20, seal([]byte(data), 0, place(tagBodyRun, 20))); err == nil {
			t.Errorf("%q has %d members", data, n)
		} else {
			wantErr(t, err, ErrDamaged, "bodies, key 20: ", "its members can't be read")
		}
	}
}

// TestRunDamagedStored reads and writes round damaged runs.
func TestRunDamagedStored(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, true)
	save(t, s, benchBodies(1, 64))
	s.Close()
	tamper(t, dir, func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{bucketBodies, tableBuckets[scheduler.TableTasks]} {
			v := bytes.Clone(tx.Bucket(b).Get(rowKey(33)))
			v[len(v)-1] ^= 1
			if err := tx.Bucket(b).Put(rowKey(33), v); err != nil {
				return err
			}
		}
		return nil
	})
	wantProblem(t, dir, "bodies, key 33: the first of a run of 16", "tasks, key 33: the first of a run of 32")
	if r, err := Check(dir, nil); err != nil || len(r.Problems) != 2 || r.Bodies != 64 || r.Rows[scheduler.TableTasks] != 32 {
		t.Errorf("%+v, %v", r, err)
	}
	s = openTest(t, dir, true)
	read := func(ids ...scheduler.TaskID) error {
		return s.Bodies(ids, func(_ int, data []byte) error {
			if data == nil {
				return fmt.Errorf("no body")
			}
			return nil
		})
	}
	if err := read(1, 32, 49, 64); err != nil {
		t.Error("bodies beside the damage:", err)
	}
	wantErr(t, read(1, 40), ErrDamaged, "bodies, key 33")
	save(t, s, &Checkpoint{DropBodies: []scheduler.TaskID{5, 60}})
	err := s.Save(&Checkpoint{Index: 9, DropBodies: []scheduler.TaskID{40}})
	wantErr(t, err, ErrDamaged, "bodies, key 33", "coordinator check")
	wantErr(t, s.Save(&Checkpoint{Index: 10}), ErrFailed)
	s.Close()

	// A whole row that begins before the end of the one before it.
	tamper(t, dir, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketBodies).Put(rowKey(20), seal([]byte("x"), 0, place(tagBodies, 20)))
	})
	wantProblem(t, dir, "bodies, key 20: it begins before the end of the row before it")
}

// benchBodies is a checkpoint of n new tasks with bodies of 100 bytes.
func benchBodies(from scheduler.TaskID, n int) *Checkpoint {
	cp := &Checkpoint{Rows: taskBatches(uint64(from), n)}
	for i := range scheduler.TaskID(n) {
		cp.Bodies = append(cp.Bodies, Blob{from + i, make([]byte, 100)})
	}
	return cp
}

// TestRunWaste holds that what is left of many tasks takes up little more than
// if it had been alone from the beginning.
func TestRunWaste(t *testing.T) {
	const n, left = 20_000, 16
	s := openTest(t, t.TempDir())
	for from := scheduler.TaskID(1); from < n; from += 5000 {
		save(t, s, benchBodies(from, 5000))
	}
	rng := rand.New(rand.NewPCG(3, 4))
	ids := rng.Perm(n)
	for part := range slices.Chunk(ids[:n-n/left], 3000) {
		cp := &Checkpoint{}
		var rows []scheduler.Row
		for _, i := range part {
			id := scheduler.TaskID(i + 1)
			cp.DropBodies = append(cp.DropBodies, id)
			rows = append(rows, deletion(scheduler.TableTasks, uint64(id)))
		}
		cp.Rows = pulling(rows)
		save(t, s, cp)
	}
	alone := openTest(t, t.TempDir())
	cp := &Checkpoint{}
	var rows []scheduler.Row
	for _, i := range ids[n-n/left:] {
		cp.Bodies = append(cp.Bodies, Blob{scheduler.TaskID(i + 1), make([]byte, 100)})
		rows = append(rows, taskRow(uint64(i+1)))
	}
	cp.Rows = pulling(rows)
	save(t, alone, cp)
	got, want := leafPages(t, s), leafPages(t, alone)
	t.Logf("%d pages, %d if alone", got, want)
	if got > 5*want {
		t.Errorf("%d pages hold what takes %d alone", got, want)
	}
}

// leafPages counts the pages of both buckets.
func leafPages(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.read(func(tx *bbolt.Tx) error {
		for _, k := range []*runKind{&taskRuns, &bodyRuns} {
			st := tx.Bucket(k.bucket).Stats()
			n += st.LeafPageN + st.LeafOverflowN
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// format2 makes a data directory of format 2: a row for each task and body.
func format2(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, hooks: hooks{runs: runLimits{members: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	cp := benchBodies(1, n)
	cp.Finished = inQueue("a", 5001, 5002)
	save(t, s, cp)
	if tasks, bodies := rowsStored(t, s); tasks != n || bodies != n {
		t.Fatalf("%d rows of tasks, %d of bodies", tasks, bodies)
	}
	s.Close()
	tamper(t, dir, func(tx *bbolt.Tx) error {
		data, err := getMeta(tx, keyManifest, placeManifest)
		m := new(storagev1.Manifest)
		if err == nil {
			err = proto.Unmarshal(data, m)
		}
		if err != nil {
			return err
		}
		m.Format = 2
		if data, err = proto.Marshal(m); err != nil {
			return err
		}
		return putMeta(tx, keyManifest, data, placeManifest)
	})
	return dir
}

// TestUpgradeRows carries a file of format 2 over: it says so at once, and its
// rows go into runs as something beside them is written.
func TestUpgradeRows(t *testing.T) {
	dir := format2(t, 100)
	if got := formatOf(t, dir); got != 2 {
		t.Fatalf("format %d before", got)
	}
	openTest(t, dir).Close()
	if got := formatOf(t, dir); got != FormatVersion {
		t.Fatalf("format %d after a start", got)
	}
	s := openTest(t, dir)
	if ids := finishedIDs(t, s); len(ids) != 2 || len(s.queues.all()) != 1 || s.queues.all()[0].count != 2 {
		t.Errorf("finished %d of %d queues", ids, len(s.queues.all()))
	}
	save(t, s, benchBodies(101, 100))
	save(t, s, &Checkpoint{Rows: pulling([]scheduler.Row{deletion(scheduler.TableTasks, 50)}), DropBodies: []scheduler.TaskID{50}})
	if tasks, bodies := rowsStored(t, s); tasks != 99+3 || bodies != 99+6 {
		t.Errorf("%d rows of tasks, %d of bodies", tasks, bodies)
	}
	if rows := loadAll(t, s); len(rows) != 199 {
		t.Errorf("%d tasks", len(rows))
	}
}
