package store

import (
	"slices"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// expire calls Expire and fails the test on an error.
func expire(tb testing.TB, s *Store, served scheduler.Duration, limit int) (deleted int, dead []scheduler.DeadRef, more bool) {
	tb.Helper()
	deleted, dead, more, err := s.Expire(served, limit)
	if err != nil {
		tb.Fatal(err)
	}
	return deleted, dead, more
}

// expiryRows counts the rows of both orders of expiry.
func expiryRows(tb testing.TB, s *Store) (live, dead int) {
	tb.Helper()
	err := s.read(func(tx *bbolt.Tx) error {
		live = tx.Bucket(bucketExpiry).Stats().KeyN
		dead = tx.Bucket(bucketExpiryDead).Stats().KeyN
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return live, dead
}

func TestExpireOrder(t *testing.T) {
	s := openTest(t, t.TempDir())
	// The later the id, the sooner it goes; two checkpoints, so that seconds mix.
	for _, ids := range [][]scheduler.TaskID{{1, 3, 5, 7, 9}, {2, 4, 6, 8, 10}} {
		var rows []FinishedRow
		for _, id := range ids {
			rows = append(rows, finishedRow(id, scheduler.Duration(20-id)*scheduler.Second))
		}
		save(t, s, &Checkpoint{Finished: rows})
	}
	for _, test := range []struct {
		served  scheduler.Duration
		max     int
		deleted int
		more    bool
		left    int // ids 1 to left
	}{
		{9*scheduler.Second + 999, 100, 0, false, 10},
		{12 * scheduler.Second, 2, 2, true, 8},
		{12 * scheduler.Second, 1, 1, false, 7},
		{12 * scheduler.Second, 1, 0, false, 7},
		{14 * scheduler.Second, 2, 2, false, 5},
		{-1, 100, 0, false, 5},
		{scheduler.Day, 0, 0, true, 5},
		{scheduler.Day, 100, 5, false, 0},
	} {
		deleted, dead, more := expire(t, s, test.served, test.max)
		if deleted != test.deleted || more != test.more || len(dead) > 0 {
			t.Errorf("at %d, at most %d: %d deleted, more %v, dead %v", test.served, test.max, deleted, more, dead)
		}
		ids := finishedIDs(t, s)
		if len(ids) != test.left || s.Stats().Finished != uint64(test.left) {
			t.Errorf("at %d: left %d, counted %d", test.served, ids, s.Stats().Finished)
		}
	}
	if live, dead := expiryRows(t, s); live+dead != 0 {
		t.Errorf("%d and %d rows left", live, dead)
	}
}

// TestExpireSecond holds that no task goes before its time.
func TestExpireSecond(t *testing.T) {
	s := openTest(t, t.TempDir())
	save(t, s, &Checkpoint{Finished: []FinishedRow{
		finishedRow(1, scheduler.Second-1), finishedRow(2, scheduler.Second), finishedRow(3, scheduler.Second+1), finishedRow(4, 0),
	}})
	if n, _, _ := expire(t, s, scheduler.Second-1, 10); n != 0 {
		t.Errorf("%d deleted", n)
	}
	if n, _, _ := expire(t, s, scheduler.Second, 10); n != 2 {
		t.Errorf("%d deleted", n)
	}
	if ids := finishedIDs(t, s); !slices.Equal(ids, []scheduler.TaskID{3}) {
		t.Errorf("left %d", ids)
	}
}

// TestExpireMany consumes rows of the order of expiry in part, over several
// transactions, with a restart between any two calls.
func TestExpireMany(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	const n = 2*ExpireTxRows + 3*placeRowIDs/2
	rows := make([]FinishedRow, n)
	for i := range rows {
		rows[i] = finishedRow(scheduler.TaskID(i+1), scheduler.Second)
	}
	slices.Reverse(rows)
	save(t, s, &Checkpoint{Finished: rows})
	if live, _ := expiryRows(t, s); live != (n+placeRowIDs-1)/placeRowIDs {
		t.Errorf("%d rows", live)
	}
	gone := 0
	for _, limit := range []int{1, placeRowIDs, placeRowIDs / 3, ExpireTxRows + 7, n} {
		deleted, _, more := expire(t, s, scheduler.Second, limit)
		if want := min(limit, n-gone); deleted != want || more != (gone+want < n) {
			t.Fatalf("%d deleted, more %v, want %d", deleted, more, want)
		}
		gone += deleted
		if ids := finishedIDs(t, s); len(ids) != n-gone || len(ids) > 0 && ids[0] != scheduler.TaskID(gone+1) {
			t.Fatalf("%d left after %d deleted", len(ids), gone)
		}
		s.Close()
		checkTest(t, dir)
		s = openTest(t, dir)
	}
}

// TestExpireDead follows dead letters: returned until dropped, never in the way
// of others, and again after a crash.
func TestExpireDead(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	save(t, s, &Checkpoint{Finished: []FinishedRow{
		deadLetter(1, 4, scheduler.Second), finishedRow(2, 2*scheduler.Second),
		deadLetter(3, 1, 2*scheduler.Second), deadLetter(4, 1, scheduler.Day),
	}})
	due := []scheduler.DeadRef{{ID: 1, Gen: 4}, {ID: 3, Gen: 1}}
	deleted, dead, more := expire(t, s, 3*scheduler.Second, 10)
	if deleted != 1 || !slices.Equal(dead, due) || more {
		t.Errorf("%d, %v, %v", deleted, dead, more)
	}
	s.Close()
	s = openTest(t, dir) // they were proposed, but no checkpoint dropped them
	if _, dead, _ := expire(t, s, 3*scheduler.Second, 10); !slices.Equal(dead, due) {
		t.Errorf("%v", dead)
	}
	save(t, s, &Checkpoint{DropFinished: []scheduler.TaskID{1}, DropBodies: []scheduler.TaskID{1}})
	if _, dead, _ := expire(t, s, 3*scheduler.Second, 10); !slices.Equal(dead, due[1:]) {
		t.Errorf("%v", dead)
	}
	save(t, s, &Checkpoint{DropFinished: []scheduler.TaskID{3}})
	if _, dead, _ := expire(t, s, 3*scheduler.Second, 10); len(dead) > 0 {
		t.Errorf("%v", dead)
	}
	if live, dead := expiryRows(t, s); live != 0 || dead != 1 {
		t.Errorf("%d and %d rows left", live, dead)
	}
	if ids := finishedIDs(t, s); !slices.Equal(ids, []scheduler.TaskID{4}) {
		t.Errorf("left %d", ids)
	}
}

// TestExpireDeadMany holds the bounds on one call, with and without letters that
// were dropped in between.
func TestExpireDeadMany(t *testing.T) {
	s := openTest(t, t.TempDir())
	const n = ExpireTxRows + 5*placeRowIDs
	rows := make([]FinishedRow, n)
	for i := range rows {
		rows[i] = deadLetter(scheduler.TaskID(i+1), 1, scheduler.Second)
	}
	save(t, s, &Checkpoint{Finished: rows})
	if _, dead, more := expire(t, s, scheduler.Day, 10); len(dead) != DeadDueMax || more || dead[0].ID != 1 {
		t.Errorf("%d dead letters, more %v", len(dead), more)
	}
	// All but the last two were dropped: there is more to look at than one call may.
	drop := make([]scheduler.TaskID, n-2)
	for i := range drop {
		drop[i] = scheduler.TaskID(i + 1)
	}
	save(t, s, &Checkpoint{DropFinished: drop})
	calls := 0
	for more := true; more; calls++ {
		var dead []scheduler.DeadRef
		if _, dead, more = expire(t, s, scheduler.Day, 10); !more && (len(dead) != 2 || dead[0].ID != n-1) {
			t.Errorf("%v", dead)
		}
	}
	if _, dead := expiryRows(t, s); calls < 2 || dead != 1 {
		t.Errorf("%d calls, %d rows left", calls, dead)
	}
}

// TestExpireAgain is about tasks that left a place behind: retried and finished
// again, with another expiry, the same one, or as another kind of end.
func TestExpireAgain(t *testing.T) {
	s := openTest(t, t.TempDir())
	save(t, s, &Checkpoint{Finished: []FinishedRow{
		deadLetter(1, 1, scheduler.Second), deadLetter(2, 1, scheduler.Second), deadLetter(3, 1, scheduler.Second),
		deadLetter(4, 1, scheduler.Second), finishedRow(5, scheduler.Second), deadLetter(6, 1, scheduler.Second),
	}})
	save(t, s, &Checkpoint{DropFinished: []scheduler.TaskID{1, 2, 3, 4, 5, 6}, Finished: []FinishedRow{
		deadLetter(1, 2, scheduler.Minute),   // dead again, later
		deadLetter(2, 2, scheduler.Second),   // dead again, at once
		finishedRow(3, scheduler.Minute),     // succeeded
		finishedRow(4, scheduler.Second),     // succeeded, short retention
		deadLetter(5, 2, 2*scheduler.Minute), // deleted, then the id again: can't be, must not hurt
	}}) // 6 lives
	deleted, dead, more := expire(t, s, scheduler.Second, 10)
	slices.SortFunc(dead, func(a, b scheduler.DeadRef) int { return int(a.ID) - int(b.ID) })
	if want := []scheduler.DeadRef{{ID: 2, Gen: 2}}; deleted != 1 || more || !slices.Equal(slices.Compact(dead), want) {
		t.Errorf("%d, %v, %v", deleted, dead, more)
	}
	if ids := finishedIDs(t, s); !slices.Equal(ids, []scheduler.TaskID{1, 2, 3, 5}) {
		t.Errorf("left %d", ids)
	}
	save(t, s, &Checkpoint{DropFinished: []scheduler.TaskID{2}})
	deleted, dead, _ = expire(t, s, scheduler.Minute, 10)
	if !slices.Equal(dead, []scheduler.DeadRef{{ID: 1, Gen: 2}}) || deleted != 1 {
		t.Errorf("%d, %v", deleted, dead)
	}
}

func TestExpiryIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOf(rapid.Uint64()).Draw(t, "ids")
		slices.Sort(ids)
		got, err := readIDs(appendIDs(nil, ids), nil)
		if err != nil || !slices.Equal(got, ids) {
			t.Fatalf("%d, %v, want %d", got, err, ids)
		}
	})
	if _, err := readIDs([]byte{0x80}, nil); err == nil {
		t.Error("read half an id")
	}
}

// TestExpireModel holds Expire against a map: in the end exactly what isn't due
// is left, whatever was saved, dropped and retried on the way.
func TestExpireModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, err := Open(Options{Dir: t.TempDir()})
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		want := map[scheduler.TaskID]FinishedRow{}
		var served scheduler.Duration
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			cp := &Checkpoint{Index: s.DurableIndex() + 1}
			for range rapid.IntRange(0, 20).Draw(rt, "rows") {
				id := scheduler.TaskID(rapid.IntRange(1, 15).Draw(rt, "id"))
				if rapid.IntRange(0, 3).Draw(rt, "drop") == 0 {
					if !slices.ContainsFunc(cp.Finished, func(f FinishedRow) bool { return f.ID == id }) {
						cp.DropFinished = append(cp.DropFinished, id)
						delete(want, id)
					}
					continue
				}
				f := finishedRow(id, served+scheduler.Duration(rapid.Int64Range(1, 40).Draw(rt, "expires"))*scheduler.Second/10)
				f.Dead, f.Gen = rapid.Bool().Draw(rt, "dead"), rapid.Uint32().Draw(rt, "gen")
				cp.Finished = append(cp.Finished, f)
				want[id] = f
			}
			if err := s.Save(cp); err != nil {
				rt.Fatal(err)
			}
			served += scheduler.Duration(rapid.Int64Range(0, 3000).Draw(rt, "served")) * scheduler.Millisecond
			expireModel(rt, s, served, rapid.IntRange(1, 30).Draw(rt, "max"), want)
		}
	})
}

func expireModel(t *rapid.T, s *Store, served scheduler.Duration, limit int, want map[scheduler.TaskID]FinishedRow) {
	var dead []scheduler.DeadRef
	for more := true; more; {
		var n int
		var err error
		if n, dead, more, err = s.Expire(served, limit); err != nil || n > limit {
			t.Fatal(n, err)
		}
	}
	refs := 0
	for id, f := range want {
		due := dueSecond(f.ExpiresAt) <= horizon(served)
		if due && f.Dead {
			refs++
			if !slices.Contains(dead, scheduler.DeadRef{ID: id, Gen: f.Gen}) {
				t.Fatalf("dead letter %d isn't returned: %v", id, dead)
			}
		}
		if due && !f.Dead {
			delete(want, id)
		}
		if due && f.ExpiresAt > served {
			t.Fatalf("%d is early", id)
		}
	}
	slices.SortFunc(dead, func(a, b scheduler.DeadRef) int { return int(a.ID) - int(b.ID) })
	if n := len(slices.Compact(dead)); n != refs {
		t.Fatalf("%d dead letters returned, %d idPlace", n, refs)
	}
	if s.Stats().Finished != uint64(len(want)) {
		t.Fatalf("%d left, want %d", s.Stats().Finished, len(want))
	}
}
