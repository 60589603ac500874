package store

import (
	"fmt"
	"testing"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

const checkpointRows = 32_768 // what triggers a checkpoint

// benchOpen opens a store whose file isn't checked at the end.
func benchOpen(b *testing.B) *Store {
	b.Helper()
	return openTest(b, b.TempDir(), true)
}

func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
}

// taskBatches pulls n new tasks from id on, in chunks.
func taskBatches(from uint64, n int) func(int, []scheduler.Row) ([]scheduler.Row, bool) {
	row := taskRow(0)
	done := 0
	return func(limit int, buf []scheduler.Row) ([]scheduler.Row, bool) {
		for ; limit > 0 && done < n; limit-- {
			id := from + uint64(done)
			row.Key, row.Task.ID = id, scheduler.TaskID(id)
			buf = append(buf, row)
			done++
		}
		return buf, done == n
	}
}

func BenchmarkSaveTasks(b *testing.B) {
	s := benchOpen(b)
	next := uint64(1)
	for b.Loop() {
		save(b, s, &Checkpoint{Rows: taskBatches(next, checkpointRows)})
		next += checkpointRows
	}
	perRow(b, checkpointRows)
}

// BenchmarkSaveTasksBodies is what a stream of submits costs: a row and a body
// of 256 bytes each.
func BenchmarkSaveTasksBodies(b *testing.B) {
	s := benchOpen(b)
	body := make([]byte, 256)
	bodies := make([]Blob, checkpointRows/2)
	next := uint64(1)
	for b.Loop() {
		for i := range bodies {
			bodies[i] = Blob{ID: scheduler.TaskID(next) + scheduler.TaskID(i), Data: body}
		}
		save(b, s, &Checkpoint{Rows: taskBatches(next, len(bodies)), Bodies: bodies})
		next += uint64(len(bodies))
	}
	perRow(b, checkpointRows)
}

func benchFinished(from scheduler.TaskID, n int, expires scheduler.Duration) []FinishedRow {
	data := make([]byte, 64+60) // a result of 64 bytes, and what stands around it
	rows := make([]FinishedRow, n)
	for i := range rows {
		rows[i] = FinishedRow{ID: from + scheduler.TaskID(i), Gen: 1, ExpiresAt: expires, Data: data}
	}
	return rows
}

func BenchmarkEncodeTask(b *testing.B) {
	row := taskRow(1)
	b.Run("byhand", func(b *testing.B) {
		var c scratch
		for b.Loop() {
			if err := c.addRow(&row); err != nil {
				b.Fatal(err)
			}
			if len(c.rows[row.Table]) == checkpointRows {
				c.reset()
			}
		}
	})
	b.Run("generated", func(b *testing.B) {
		m := storagev1.Task{Submitted: int64(row.Task.Submitted), Gen: 1, Shape: 3, Policy: 2, State: uint32(row.Task.State)}
		var buf []byte
		for b.Loop() {
			var err error
			if buf, err = (proto.MarshalOptions{}).MarshalAppend(buf[:0], &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecodeTask(b *testing.B) {
	var c codec
	row := taskRow(1_000_000)
	data, err := c.append(nil, &row)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("byhand", func(b *testing.B) {
		for b.Loop() {
			if err := c.decode(row.Table, row.Key, data, &row); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("generated", func(b *testing.B) {
		var m storagev1.Task
		for b.Loop() {
			if err := proto.Unmarshal(data, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	const n = 1_000_000
	s := benchOpen(b)
	for from := uint64(1); from < n; from += 100_000 {
		save(b, s, &Checkpoint{Rows: taskBatches(from, 100_000)})
	}
	for b.Loop() {
		seen := 0
		if err := s.Load(func(*scheduler.Row) error { seen++; return nil }); err != nil || seen != n {
			b.Fatal(seen, err)
		}
	}
	perRow(b, n)
}

func BenchmarkBodies(b *testing.B) {
	const n = 200_000
	s := benchOpen(b)
	bodies := make([]Blob, n)
	for i := range bodies {
		bodies[i] = Blob{ID: scheduler.TaskID(i + 1), Data: make([]byte, 256)}
	}
	save(b, s, &Checkpoint{Bodies: bodies})
	ids := make([]scheduler.TaskID, 100)
	next := scheduler.TaskID(1)
	for b.Loop() {
		for i := range ids {
			ids[i] = next
			if next++; next > n {
				next = 1
			}
		}
		err := s.Bodies(ids, func(_ int, data []byte) error {
			if len(data) != 256 {
				return fmt.Errorf("%d bytes", len(data))
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, len(ids))
}

func BenchmarkExpire(b *testing.B) {
	const n = 100_000
	s := benchOpen(b)
	next := scheduler.TaskID(1)
	for b.Loop() {
		b.StopTimer()
		save(b, s, &Checkpoint{Finished: benchFinished(next, n, scheduler.Day)})
		next += n
		b.StartTimer()
		deleted, _, more, err := s.Expire(2*scheduler.Day, n)
		if deleted != n || more || err != nil {
			b.Fatal(deleted, more, err)
		}
	}
	perRow(b, n)
}
