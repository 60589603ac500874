package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
)

// damagedStore is a file with some of everything.
func damagedStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := openTest(t, dir, true)
	shape := scheduler.Row{Table: scheduler.TableShapes, Key: 5, Shape: &scheduler.ShapeRow{ID: 5, Kind: "kind-to-find"}}
	save(t, s, &Checkpoint{
		Rows:     pulling([]scheduler.Row{shape, taskRow(1), taskRow(2), taskRow(3)}),
		Bodies:   []Blob{{2, []byte("body-to-find")}},
		Failures: []Blob{{2, someAttempts("failure-to-find")}},
		Finished: []FinishedRow{finishedRow(8, scheduler.Day), {ID: 9, ExpiresAt: scheduler.Day, Data: []byte("finished-to-find")}, {ID: 10, Queue: "mail", ExpiresAt: scheduler.Day}},
	})
	s.Close()
	return dir
}

// edit changes the bytes of a checkpoint file.
func editFile(t *testing.T, dir string, fn func(data []byte)) {
	t.Helper()
	path := filepath.Join(dir, FileName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fn(data)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func loadDir(t *testing.T, dir string) error {
	t.Helper()
	s := openTest(t, dir, true)
	defer s.Close()
	return s.Load(func(*scheduler.Row) error { return nil })
}

func wantProblem(t *testing.T, dir string, texts ...string) {
	t.Helper()
	r, err := Check(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(r.Problems, "\n")
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("problems %q don't say %q", r.Problems, text)
		}
	}
}

func TestDamagedValues(t *testing.T) {
	for _, test := range []struct {
		needle, place string
		read          func(*Store) error
	}{
		{"kind-to-find", "shapes, key 5", func(s *Store) error {
			return s.Load(func(*scheduler.Row) error { return nil })
		}},
		{"body-to-find", "bodies, key 2", func(s *Store) error {
			return s.Bodies([]scheduler.TaskID{2}, func(int, []byte) error { return nil })
		}},
		{"failure-to-find", "failures, key 2", func(s *Store) error { _, err := s.Failure(2); return err }},
		{"finished-to-find", "finished, key 9", func(s *Store) error { _, err := s.Finished(9); return err }},
		{"finished-to-find", "finished, key 9", func(s *Store) error {
			return s.FinishedAfter(8, 1, func(scheduler.TaskID, []byte) bool { return true })
		}},
	} {
		dir := damagedStore(t)
		editFile(t, dir, func(data []byte) { data[bytes.Index(data, []byte(test.needle))] ^= 4 })
		s := openTest(t, dir, true)
		wantErr(t, test.read(s), ErrDamaged, test.place, "coordinator check")
		s.Close()
		wantProblem(t, dir, test.place)
		if _, _, err := Compact(dir); !errors.Is(err, ErrDamaged) {
			t.Errorf("compacted damage: %v", err)
		}
	}
}

// TestMisplaced moves whole values to other keys and buckets.
func TestMisplaced(t *testing.T) {
	dir := damagedStore(t)
	tamper(t, dir, func(tx *bbolt.Tx) error {
		tasks := tx.Bucket([]byte("tasks"))
		v := bytes.Clone(tasks.Get(rowKey(1)))
		return errors.Join(tasks.Put(rowKey(2), v), tx.Bucket([]byte("leases")).Put(rowKey(1), v))
	})
	wantErr(t, loadDir(t, dir), ErrDamaged, "tasks, key 2")
	wantProblem(t, dir, "tasks, key 2", "leases, key 1", "leases has 1 rows and the manifest counts 0")
}

func TestMissing(t *testing.T) {
	for want, fn := range map[string]func(*bbolt.Tx) error{
		"tasks has 0 rows and the manifest counts 3":  func(tx *bbolt.Tx) error { return tx.Bucket([]byte("tasks")).Delete(rowKey(1)) },
		"bucket queues is missing":                    func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("queues")) },
		"bodies has 0 rows and the manifest counts 1": func(tx *bbolt.Tx) error { return tx.Bucket(bucketBodies).Delete(rowKey(2)) },
		"3 of 3 finished tasks have no place":         func(tx *bbolt.Tx) error { return emptyBucket(tx, bucketExpiry) },
		"manifest is missing":                         func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Delete(keyManifest) },
		"counts doesn't match":                        func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyCounts, make([]byte, 36)) },
		"1 dead letters, and the counts say 0": func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketFinished).Put(rowKey(30), sealedFinished(30, finishedHeader{dead: true}))
		},
		"queue mail has 1 finished tasks in 0 places, and":  func(tx *bbolt.Tx) error { return emptyBucket(tx, bucketOrder) },
		"1 of 1 finished tasks of queue mail have no place": func(tx *bbolt.Tx) error { return emptyBucket(tx, bucketOrder) },
		"finished, key 30: there is no queue 7": func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketFinished).Put(rowKey(30), sealedFinished(30, finishedHeader{queue: 7}))
		},
		"finished-order, key 7: there is no queue 7": func(tx *bbolt.Tx) error {
			return putPlaces(tx.Bucket(bucketOrder), tagOrder, placeKey{7, 1}, []uint64{1})
		},
		"finished-queues, key 2: it isn't what comes next": func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketQueues).Put(rowKey(2), seal(nil, 0, place(tagQueues, 2)))
		},
		"tasks, key 0": func(tx *bbolt.Tx) error { return tx.Bucket([]byte("tasks")).Put([]byte("odd"), []byte("odd value")) },
		"expiry, key 86400: it doesn't match": func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketExpiry).Put(placeKey{86400, 1}.bytes(), []byte("odd value"))
		},
		"expiry, key 0: its key can't be read":         func(tx *bbolt.Tx) error { return tx.Bucket(bucketExpiry).Put([]byte("odd"), []byte("odd value")) },
		"tasks, key 7: its payload of 9 bytes is miss": addTaskWithoutBody,
	} {
		dir := damagedStore(t)
		tamper(t, dir, fn)
		wantProblem(t, dir, want)
	}
}

// sealedFinished is a stored finished task without a message.
func sealedFinished(id uint64, h finishedHeader) []byte {
	return seal(h.append(nil), 0, place(tagFinished, id))
}

func emptyBucket(tx *bbolt.Tx, name []byte) error {
	_, err := tx.CreateBucket(append([]byte("x"), name...))
	return errors.Join(err, tx.DeleteBucket(name), func() error { _, err := tx.CreateBucket(name); return err }())
}

func addTaskWithoutBody(tx *bbolt.Tx) error {
	row := taskRow(7)
	row.Task.PayloadBytes = 9
	var c codec
	v, err := c.append(nil, &row)
	return errors.Join(err, tx.Bucket([]byte("tasks")).Put(rowKey(7), seal(v, 0, place(tag(row.Table), 7))))
}

// TestDamagedPages overwrites pages, one at a time: whatever is read of the file
// is either right or an error that says ErrDamaged.
func TestDamagedPages(t *testing.T) {
	whole := t.TempDir()
	s := openTest(t, whole)
	save(t, s, &Checkpoint{Rows: taskBatches(1, 9000)})
	s.Close()
	const pageSize = 4096
	var used int
	tamper(t, whole, func(tx *bbolt.Tx) error { used = int(tx.Size()) / pageSize; return nil })
	f, err := os.OpenFile(filepath.Join(whole, FileName), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	good := make([]byte, pageSize)
	refused, unseen := 0, 0
	for page := 2; page < used; page++ {
		at := int64(page * pageSize)
		_, readErr := f.ReadAt(good, at)
		for _, fill := range []byte{0x00, 0xff} {
			_, writeErr := f.WriteAt(bytes.Repeat([]byte{fill}, pageSize), at)
			rows, err := countRows(whole)
			if err != nil || rows != 9000 { // or else the page is free
				refused++
				if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotCheckpoint) {
					t.Fatalf("page %d of %d, filled with %#x: %d rows, %v", page, used, fill, rows, err)
				}
				if r, err := Check(whole, nil); err == nil && r.OK() {
					unseen++
				}
			}
			if _, err := f.WriteAt(good, at); err != nil || readErr != nil || writeErr != nil {
				t.Fatal(err, readErr, writeErr)
			}
		}
	}
	if refused < 50 || unseen > 0 {
		t.Errorf("%d pages were refused, Check missed %d of them", refused, unseen)
	}
}

// countRows opens and loads a store.
func countRows(dir string) (rows int, err error) {
	s, err := Open(Options{Dir: dir})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	err = s.Load(func(*scheduler.Row) error { rows++; return nil })
	return rows, err
}

// TestLoadPanics holds that a panic of add isn't taken for damage.
func TestLoadPanics(t *testing.T) {
	s := openTest(t, t.TempDir())
	saveRows(t, s, taskRow(1))
	defer func() {
		if r := recover(); fmt.Sprint(r) != "add's own" {
			t.Errorf("recovered %v", r)
		}
	}()
	_ = s.Load(func(*scheduler.Row) error { panic("add's own") })
}

func TestLoadStops(t *testing.T) {
	s := openTest(t, t.TempDir())
	saveRows(t, s, taskRow(1), taskRow(2))
	stop := errors.New("enough")
	wantErr(t, s.Load(func(*scheduler.Row) error { return stop }), stop)
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	save(t, s, &Checkpoint{Index: 44, Logic: 1, Rows: taskBatches(1, 500), Bodies: []Blob{{1, nil}, {2, nil}},
		Failures: []Blob{{1, nil}}, Finished: []FinishedRow{finishedRow(1000, scheduler.Day), {ID: 1001, Queue: "mail", ExpiresAt: scheduler.Day}}})
	s.Close()
	var calls [][2]int
	r, err := Check(dir, func(done, total int) { calls = append(calls, [2]int{done, total}) })
	if err != nil || !r.OK() || r.Index != 44 || r.Logic != 1 || r.Rows[scheduler.TableTasks] != 500 ||
		r.Bodies != 2 || r.Failures != 1 || r.Finished != 2 || r.Format != FormatVersion || r.Bytes == 0 || r.Path != filepath.Join(dir, FileName) {
		t.Errorf("%+v, %v", r, err)
	}
	if len(calls) != 2 || calls[0] != [2]int{0, 508} || calls[1] != [2]int{508, 508} {
		t.Errorf("progress %v", calls)
	}
	if _, err := Check(t.TempDir(), nil); err == nil {
		t.Error("checked nothing")
	}
}

func TestReportBound(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, true)
	save(t, s, &Checkpoint{Rows: taskBatches(1, ProblemsMax+50)})
	s.Close()
	tamper(t, dir, func(tx *bbolt.Tx) error {
		for id := uint64(1); id <= ProblemsMax+50; id++ {
			if err := tx.Bucket([]byte("tasks")).Put(rowKey(id), []byte("odd value")); err != nil {
				return err
			}
		}
		return nil
	})
	if r, err := Check(dir, nil); err != nil || len(r.Problems) != ProblemsMax || r.Omitted != 50 {
		t.Errorf("%d problems, %d omitted, %v", len(r.Problems), r.Omitted, err)
	}
}
