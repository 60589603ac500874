package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
)

// ofFormat1 is the stored form that format 1 gave a finished task.
func ofFormat1(f *FinishedRow) []byte {
	var v []byte
	v = append(v, 0)
	if f.Dead {
		v[0] = 1
	}
	v = binary.BigEndian.AppendUint32(v, f.Gen)
	v = binary.BigEndian.AppendUint64(v, uint64(f.ExpiresAt))
	return seal(append(v, f.Data...), 0, place(tagFinished, uint64(f.ID)))
}

// format1 makes a data directory of format 1 with finished tasks: of queue a all
// even ids up to n, of queue b all odd ones, but for dead letters: the ids that
// end in 7. Those of 5 or less expire after a second.
func format1(t *testing.T, n scheduler.TaskID) string {
	t.Helper()
	dir := t.TempDir()
	s := openTest(t, dir, true)
	var rows []FinishedRow
	for id := scheduler.TaskID(1); id <= n; id++ {
		f := FinishedRow{ID: id, Gen: 1, Dead: id%10 == 7, Queue: []string{"a", "b"}[id%2], ExpiresAt: scheduler.Day}
		if id <= 5 {
			f.ExpiresAt = scheduler.Second
		}
		f.Data = marshal(&storagev1.Finished{State: 6, Spec: &storagev1.TaskSpec{Kind: "k", Queue: f.Queue}})
		rows = append(rows, f)
	}
	save(t, s, &Checkpoint{Index: 5, Logic: 1, Finished: rows})
	s.Close()
	tamper(t, dir, func(tx *bbolt.Tx) error {
		for i := range rows {
			if err := tx.Bucket(bucketFinished).Put(rowKey(uint64(rows[i].ID)), ofFormat1(&rows[i])); err != nil {
				return err
			}
		}
		m, err := proto.Marshal(&storagev1.Manifest{Format: 1, Index: 5, Logic: 1, Rows: map[uint32]uint64{1: 0}})
		if err != nil {
			return err
		}
		counts := binary.BigEndian.AppendUint64(make([]byte, 16), uint64(n))
		for _, err := range []error{
			putMeta(tx, keyManifest, m, placeManifest), putMeta(tx, keyCounts, counts, placeCounts),
			tx.DeleteBucket(bucketQueues), tx.DeleteBucket(bucketOrder),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	return dir
}

func formatOf(tb testing.TB, dir string) uint32 {
	tb.Helper()
	return checkTest(tb, dir).Format
}

func TestUpgrade(t *testing.T) {
	const n, most = 6 * placeRowIDs, 1000
	dir := format1(t, n)
	if got := formatOf(t, dir); got != 1 {
		t.Fatalf("format %d before", got)
	}
	if _, _, err := Compact(dir); err != nil {
		t.Fatal(err)
	}
	if got := formatOf(t, dir); got != 1 {
		t.Fatalf("format %d after compacting", got)
	}
	s := openCapped(t, dir, most)
	if st := s.Stats(); st.Finished != n || st.Dead != (n+3)/10 || st.Index != 5 || s.Logic() != 1 {
		t.Errorf("%+v", st)
	}
	checkOpen(t, s)
	// New ones come after the old ones, which go first, in order of id.
	save(t, s, &Checkpoint{Finished: inQueue("a", n+1, n+2), DropFinished: []scheduler.TaskID{100, 101}})
	for more := true; more; {
		_, _, more = expire(t, s, scheduler.Second, 1<<20)
	}
	var a, b []scheduler.TaskID
	dead := 0
	err := s.FinishedAfter(0, 1<<30, func(id scheduler.TaskID, _ []byte) bool {
		switch {
		case id%10 == 7:
			dead++
		case id%2 == 0 || id > n:
			a = append(a, id)
		default:
			b = append(b, id)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != most || a[most-1] != n+2 || a[0] != n-2*(most-3) || dead != (n+3)/10 {
		t.Errorf("%d of queue a, %v to %v, %d dead letters", len(a), a[0], a[len(a)-1], dead)
	}
	if len(b) != most || b[most-1] != n-1 {
		t.Errorf("%d of queue b, up to %d", len(b), b[len(b)-1])
	}
	s.Close()
	if got := formatOf(t, dir); got != FormatVersion {
		t.Errorf("format %d in the end", got)
	}
}

// TestUpgradeCrash cuts the carrying over off at every stage that a crash can
// leave: the file is still one of format 1, and is carried over again.
func TestUpgradeCrash(t *testing.T) {
	dir := format1(t, 3*placeRowIDs)
	before, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	s := openTest(t, dir)
	after := readFile(t, s)
	s.Close()
	var data, meta []int
	for at := 0; at < len(after); at += crashPage {
		if at < len(before) && bytes.Equal(before[at:at+crashPage], after[at:at+crashPage]) {
			continue
		}
		if at < 2*crashPage {
			meta = append(meta, at)
		} else {
			data = append(data, at)
		}
	}
	if len(meta) != 1 || len(data) < 3 {
		t.Fatalf("carrying over wrote pages %d and %d", meta, data)
	}
	for i, written := range [][]int{nil, data[:len(data)/2], data[len(data)/2:], data, append(slices.Clone(data), meta...)} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			crashed := t.TempDir()
			if err := os.WriteFile(filepath.Join(crashed, FileName), overlay(before, after, written), 0o600); err != nil {
				t.Fatal(err)
			}
			want := uint32(1)
			if i == 4 {
				want = FormatVersion
			}
			if got := formatOf(t, crashed); got != want {
				t.Errorf("format %d, want %d", got, want)
			}
			s := openTest(t, crashed)
			if q := s.queues.all(); s.Stats().Finished != 3*placeRowIDs || len(q) != 2 || q[0].count+q[1].count+s.Stats().Dead != 3*placeRowIDs {
				t.Errorf("%+v", s.Stats())
			}
		})
	}
}

// TestUpgradeDamaged carries over what can't be read, for Check to report.
func TestUpgradeDamaged(t *testing.T) {
	dir := format1(t, 20)
	tamper(t, dir, func(tx *bbolt.Tx) error { return tx.Bucket(bucketFinished).Put(rowKey(10), []byte("odd value")) })
	s := openTest(t, dir, true)
	if q := s.queues.all(); len(q) != 2 || q[0].count+q[1].count != 17 {
		t.Errorf("%d queues", len(q))
	}
	s.Close()
	wantProblem(t, dir, "finished, key 10")
}
