package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
)

// drawLimits draws limits at which runs of a few ids are divided.

// runModel is what two buckets with runs hold.

// draw makes a checkpoint of new tasks, of changes, of ends and of returns.

// TestRunModel holds runs against maps, with limits that change from start to

// start, and rows as older formats have them.

// wantSame reads all, and then bodies of ids here and there.

// wantLimits holds that what was written last keeps to the limits, or to the

// widest there were: rows that nothing falls on stay as they are.

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
		if err := c.applyRuns(tx, &bodyRuns, &next.bodies, edits, nil); err != nil {
			return err
		}
		if len(c.ops) != 0 || next.bodies != 3 {
			t.Errorf("%d rows are written, %d bodies", len(c.ops), next.bodies)
		}
		edits = []edit{{key: 15, value: []byte("new")}}
		if err := c.applyRuns(tx, &bodyRuns, &next.bodies, edits, nil); err != nil {
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

// TestRunDamagedStored reads and writes round damaged runs.

// benchBodies is a checkpoint of n new tasks with bodies of 100 bytes.

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
	if got > 2*want {
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
