package store

import (
	"slices"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// openCapped opens a store that keeps few finished tasks of a queue.
func openCapped(tb testing.TB, dir string, most int) *Store {
	tb.Helper()
	s, err := Open(Options{Dir: dir, FinishedQueueMax: most})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
		checkTest(tb, dir)
	})
	return s
}

func inQueue(queue string, ids ...scheduler.TaskID) []FinishedRow {
	var rows []FinishedRow
	for _, id := range ids {
		f := finishedRow(id, scheduler.Day)
		f.Queue = queue
		rows = append(rows, f)
	}
	return rows
}

// TestTrim follows the bound: by queue, the first that finished first, attempts
// along, dead letters apart, and over a restart.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	s := openCapped(t, dir, 3)
	first := inQueue("a", 7, 8, 9)
	first[1].Attempts = true
	dead := deadLetter(1, 1, scheduler.Day)
	dead.Queue = "a"
	save(t, s, &Checkpoint{Finished: append(append(first, dead), inQueue("b", 4, 5)...),
		Failures: []Blob{{8, someAttempts("x")}, {9, someAttempts("y")}}})
	if n, _, more := expire(t, s, 0, 100); n != 0 || more {
		t.Errorf("%d deleted at the bound, more %v", n, more)
	}
	save(t, s, &Checkpoint{Finished: append(inQueue("a", 2, 3, 20), inQueue("", 30, 31, 32, 33)...)})
	if n, _, more := expire(t, s, 0, 1); n != 1 || !more {
		t.Errorf("%d deleted of at most 1, more %v", n, more)
	}
	s.Close()
	s = openCapped(t, dir, 3)
	if n, _, more := expire(t, s, 0, 100); n != 2 || more {
		t.Errorf("%d deleted, more %v", n, more)
	}
	if ids := finishedIDs(t, s); !slices.Equal(ids, []scheduler.TaskID{1, 2, 3, 4, 5, 20, 30, 31, 32, 33}) {
		t.Errorf("left %d", ids)
	}
	wantAttempts(t, s, 8, 0)
	wantAttempts(t, s, 9, 0, "y") // its finished row knew of none: the engine's to drop
	if st := s.Stats(); st.Finished != 10 || st.Dead != 1 || st.Failures != 1 {
		t.Errorf("%+v", st)
	}
	// What expires or is dropped makes room; its place is passed over.
	save(t, s, &Checkpoint{DropFinished: []scheduler.TaskID{2}, Finished: inQueue("a", 21)})
	if n, _, more := expire(t, s, 0, 100); n != 0 || more {
		t.Errorf("%d deleted after a drop, more %v", n, more)
	}
	save(t, s, &Checkpoint{Finished: inQueue("a", 22)})
	if n, _, _ := expire(t, s, 0, 100); n != 1 {
		t.Errorf("%d deleted, want 3 to go", n)
	}
	if data, err := s.Finished(3); data != nil || err != nil {
		t.Error("3 is still there", err)
	}
	if n, _, _ := expire(t, s, scheduler.Day, 100); n != 9 || s.queues.all()[0].count != 0 {
		t.Errorf("%d expired, %d counted", n, s.queues.all()[0].count)
	}
}

// TestTrimMany trims and sweeps over several transactions, with long-lived tasks
// between those that expire.
func TestTrimMany(t *testing.T) {
	dir := t.TempDir()
	const most = 5000
	s := openCapped(t, dir, most)
	next := scheduler.TaskID(1)
	rows := make([]FinishedRow, 3*ExpireTxRows)
	for round := range scheduler.Duration(3) {
		for i := range rows {
			rows[i] = inQueue("a", next)[0]
			if i%10 != 0 {
				rows[i].ExpiresAt = (round + 1) * scheduler.Second
			}
			next++
		}
		save(t, s, &Checkpoint{Finished: rows})
		if round == 1 {
			if n, _, more := expire(t, s, 0, ExpireTxRows+3); n != ExpireTxRows+3 || !more {
				t.Fatalf("%d deleted, more %v", n, more)
			}
			s.Close()
			s = openCapped(t, dir, most)
		}
		for more := true; more; {
			_, _, more = expire(t, s, (round+1)*scheduler.Second, 1<<20)
		}
		q := s.queues.all()[0]
		if q.count > most || q.places > 2*q.count+sweepSlack {
			t.Errorf("%d finished tasks in %d places", q.count, q.places)
		}
		if ids := finishedIDs(t, s); uint64(len(ids)) != q.count {
			t.Errorf("%d finished tasks, %d counted", len(ids), q.count)
		}
		checkOpen(t, s)
	}
	ids := finishedIDs(t, s)
	if n := len(ids); n != most || ids[n-1] != next-10 || ids[0] != next-10*most {
		t.Errorf("%d finished tasks, %d to %d, of %d", len(ids), ids[0], ids[len(ids)-1], next-1)
	}
}

// TestTrimMiscounted ends although a damaged queue counts more than it has.
func TestTrimMiscounted(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, true)
	save(t, s, &Checkpoint{Finished: inQueue("a", 1, 2, 3)})
	s.Close()
	tamper(t, dir, func(tx *bbolt.Tx) error { return emptyBucket(tx, bucketOrder) })
	s, err := Open(Options{Dir: dir, FinishedQueueMax: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, _, more := expire(t, s, 0, 10); n != 0 || more {
		t.Errorf("%d deleted, more %v", n, more)
	}
}

// checkOpen checks an open store's file.
func checkOpen(tb testing.TB, s *Store) {
	tb.Helper()
	r, err := checkFile(s.db, nil)
	if err != nil || !r.OK() {
		tb.Fatal(err, r.Problems)
	}
}

// TestTrimModel holds Expire with bounds against a list: a queue's tasks go in
// order of the checkpoints they came in.
func TestTrimModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		most := rapid.IntRange(1, 5).Draw(rt, "most")
		s, err := Open(Options{Dir: t.TempDir(), FinishedQueueMax: most})
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		queues := map[string][]FinishedRow{} // in order of finishing
		next := scheduler.TaskID(1)
		for round := range scheduler.Duration(rapid.IntRange(1, 6).Draw(rt, "rounds")) {
			cp := &Checkpoint{Index: s.DurableIndex() + 1}
			for range rapid.IntRange(0, 8).Draw(rt, "ends") {
				f := inQueue(rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "queue"), next)[0]
				f.ExpiresAt = (round + scheduler.Duration(rapid.IntRange(1, 4).Draw(rt, "expires"))) * scheduler.Second
				queues[f.Queue] = append(queues[f.Queue], f)
				cp.Finished = append(cp.Finished, f)
				next++
			}
			gone := scheduler.TaskID(rapid.IntRange(1, 40).Draw(rt, "drop"))
			if !slices.ContainsFunc(cp.Finished, func(f FinishedRow) bool { return f.ID == gone }) {
				cp.DropFinished = []scheduler.TaskID{gone}
			}
			if err := s.Save(cp); err != nil {
				rt.Fatal(err)
			}
			for more := true; more; {
				if _, _, more, err = s.Expire(round*scheduler.Second, rapid.IntRange(1, 9).Draw(rt, "limit")); err != nil {
					rt.Fatal(err)
				}
			}
			var want []scheduler.TaskID
			for name, q := range queues {
				q = slices.DeleteFunc(q, func(f FinishedRow) bool {
					return f.ExpiresAt <= round*scheduler.Second || slices.Contains(cp.DropFinished, f.ID)
				})
				queues[name] = q[max(0, len(q)-most):]
				for _, f := range queues[name] {
					want = append(want, f.ID)
				}
			}
			slices.Sort(want)
			if got := finishedIDs(t, s); !slices.Equal(got, want) {
				rt.Fatalf("left %d, want %d", got, want)
			}
		}
		if r, err := checkFile(s.db, nil); err != nil || !r.OK() {
			rt.Fatal(err, r.Problems)
		}
	})
}

func TestSorter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shift := rapid.IntRange(0, 60).Draw(t, "shift")
		keys := rapid.SliceOf(rapid.Custom(func(t *rapid.T) uint64 { return rapid.Uint64().Draw(t, "key") >> shift << (shift / 2) })).Draw(t, "keys")
		var want []sortKey
		for i, k := range keys {
			want = append(want, sortKey{k, int32(i)})
		}
		slices.SortStableFunc(want, func(a, b sortKey) int {
			switch {
			case a.key < b.key:
				return -1
			case a.key > b.key:
				return 1
			}
			return 0
		})
		var s sorter
		for range 2 { // the second time in memory used before
			if got := s.keys(len(keys), func(i int) uint64 { return keys[i] }); !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	})
}
