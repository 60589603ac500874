package store

import (
	"bytes"
	"fmt"
	"testing"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func marshal(m proto.Message) []byte {
	data, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return data
}

// someAttempts are encoded attempts, one for each worker.
func someAttempts(workers ...string) []byte {
	m := &storagev1.Attempts{}
	for i, w := range workers {
		m.List = append(m.List, &storagev1.Attempt{Cause: 1, Attempt: uint32(i + 1), Worker: w})
	}
	return marshal(m)
}

// wantAttempts compares a task's attempts by their workers.
func wantAttempts(tb testing.TB, s *Store, id scheduler.TaskID, earlier uint32, workers ...string) {
	tb.Helper()
	data, err := s.Failure(id)
	if err != nil {
		tb.Fatal(err)
	}
	if (data == nil) != (workers == nil) {
		tb.Fatalf("attempts of %d are %v, want %q", id, data, workers)
	}
	m := new(storagev1.Attempts)
	if err := proto.Unmarshal(data, m); err != nil {
		tb.Fatal(err)
	}
	var got []string
	for _, a := range m.GetList() {
		got = append(got, a.GetWorker())
	}
	if fmt.Sprint(got) != fmt.Sprint(workers) || m.GetEarlier() != earlier {
		tb.Fatalf("attempts of %d are %q after %d, want %q after %d", id, got, m.GetEarlier(), workers, earlier)
	}
}

func TestAttemptsGather(t *testing.T) {
	s := openTest(t, t.TempDir())
	save(t, s, &Checkpoint{Failures: []Blob{{1, someAttempts("a")}, {2, someAttempts("x")}, {1, someAttempts("b", "c")}}})
	wantAttempts(t, s, 1, 0, "a", "b", "c")
	save(t, s, &Checkpoint{Failures: []Blob{{1, someAttempts("d", "e", "f", "g", "h", "i", "j")}}})
	wantAttempts(t, s, 1, 0, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
	save(t, s, &Checkpoint{Failures: []Blob{{1, someAttempts("k", "l")}}})
	wantAttempts(t, s, 1, 2, "c", "d", "e", "f", "g", "h", "i", "j", "k", "l")
	m := new(storagev1.Attempts) // a step may bring more than are kept, and count the rest itself
	if err := proto.Unmarshal(someAttempts("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"), m); err != nil {
		t.Fatal(err)
	}
	m.Earlier = 3
	save(t, s, &Checkpoint{Failures: []Blob{{1, marshal(m)}}})
	wantAttempts(t, s, 1, 15, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	wantAttempts(t, s, 2, 0, "x")
	wantAttempts(t, s, 3, 0)
}

// TestAttemptsGo is about which drops take attempts along.
func TestAttemptsGo(t *testing.T) {
	s := openTest(t, t.TempDir())
	ids := []scheduler.TaskID{1, 2, 3, 4, 5, 6}
	cp := &Checkpoint{}
	for _, id := range ids {
		cp.Failures = append(cp.Failures, Blob{id, someAttempts("a")})
		cp.Bodies = append(cp.Bodies, Blob{id, []byte("body")})
		f := finishedRow(id, scheduler.Second)
		f.Attempts = id != 6
		cp.Finished = append(cp.Finished, f)
	}
	cp.Finished[0].Dead, cp.Finished[1].ExpiresAt = true, scheduler.Day
	save(t, s, cp)
	// 1 is revived and fails again: it goes on with what it had. 3 is deleted. 4
	// loses its attempts and has new ones.
	save(t, s, &Checkpoint{
		DropFinished: []scheduler.TaskID{1, 3}, DropFailures: []scheduler.TaskID{9, 4, 3}, DropBodies: ids,
		Failures: []Blob{{4, someAttempts("c")}, {1, someAttempts("b")}},
	})
	wantAttempts(t, s, 1, 0, "a", "b")
	wantAttempts(t, s, 3, 0)
	wantAttempts(t, s, 4, 0, "c")
	wantAttempts(t, s, 5, 0, "a")
	if n, _, _ := expire(t, s, scheduler.Second, 10); n != 3 || s.Stats().Failures != 3 {
		t.Errorf("%d deleted, %d rows of attempts left", n, s.Stats().Failures)
	}
	wantAttempts(t, s, 1, 0, "a", "b")
	wantAttempts(t, s, 2, 0, "a")
	wantAttempts(t, s, 4, 0)
	wantAttempts(t, s, 5, 0)
	wantAttempts(t, s, 6, 0, "a") // the finished row didn't say that it has any
}

// TestAttemptsOfFormat1 reads and adds to what format 1 kept.
func TestAttemptsOfFormat1(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	save(t, s, &Checkpoint{Failures: []Blob{{1, someAttempts("a")}, {2, someAttempts("a")}}})
	s.Close()
	old := &storagev1.Attempt{Cause: 3, Attempt: 2, Detail: &storagev1.Detail{Text: "it broke"}}
	tamper(t, dir, func(tx *bbolt.Tx) error {
		for id := range uint64(2) {
			if err := tx.Bucket(bucketFailures).Put(rowKey(id+1), seal(marshal(old), 0, place(tagFailures, id+1))); err != nil {
				return err
			}
		}
		return nil
	})
	s = openTest(t, dir)
	save(t, s, &Checkpoint{Failures: []Blob{{2, someAttempts("new")}}})
	for id, want := range map[scheduler.TaskID]*storagev1.Attempts{
		1: {List: []*storagev1.Attempt{old}},
		2: {List: []*storagev1.Attempt{old, {Cause: 1, Attempt: 1, Worker: "new"}}},
	} {
		data, err := s.Failure(id)
		m := new(storagev1.Attempts)
		if err := proto.Unmarshal(data, m); err != nil {
			t.Fatal(err)
		}
		if err != nil || !proto.Equal(m, want) {
			t.Errorf("attempts of %d are %v, %v, want %v", id, m, err, want)
		}
	}
}

// TestAttemptsDamaged goes on without attempts that can't be read.
func TestAttemptsDamaged(t *testing.T) {
	dir := damagedStore(t)
	editFile(t, dir, func(data []byte) { data[bytes.Index(data, []byte("failure-to-find"))] ^= 4 })
	s := openTest(t, dir)
	save(t, s, &Checkpoint{Failures: []Blob{{2, someAttempts("after")}}})
	wantAttempts(t, s, 2, 0, "after")
}

// TestAttemptsModel holds the merge at the level of fields against messages.
func TestAttemptsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a attempts
		want := new(storagev1.Attempts)
		for range rapid.IntRange(0, 6).Draw(t, "blobs") {
			m := drawAttempts(t)
			want.List = append(want.List, m.GetList()...)
			want.Earlier += m.GetEarlier()
			if err := a.add(marshal(m)); err != nil {
				t.Fatal(err)
			}
		}
		a.trim()
		if over := len(want.List) - AttemptsKept; over > 0 {
			want.List, want.Earlier = want.List[over:], want.Earlier+uint32(over)
		}
		data := a.append(nil)
		got := new(storagev1.Attempts)
		if err := proto.Unmarshal(data, got); err != nil || !proto.Equal(got, want) {
			t.Fatalf("%v, %v, want %v", got, err, want)
		}
		if len(data) > a.size() {
			t.Fatalf("%d bytes, at most %d said", len(data), a.size())
		}
	})
	for _, data := range [][]byte{{0x08}, {0x22, 5, 1}, {0xff}, {0, 0}, {0x22, 0, 0x0f}} {
		if err := new(attempts).add(data); err == nil {
			t.Errorf("took %x", data)
		}
	}
}

func drawAttempts(t *rapid.T) *storagev1.Attempts {
	m := &storagev1.Attempts{Earlier: rapid.Uint32Range(0, 3).Draw(t, "earlier")}
	for range rapid.IntRange(0, 4).Draw(t, "attempts") {
		m.List = append(m.List, &storagev1.Attempt{Attempt: rapid.Uint32().Draw(t, "attempt"), Worker: rapid.StringN(0, 3, -1).Draw(t, "worker")})
	}
	return m
}
