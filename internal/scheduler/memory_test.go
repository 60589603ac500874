package scheduler

import (
	"runtime"
	"testing"
	"unsafe"
)

// taskBytesMax is what a pending task may take in memory: its row of 88, its share of the index (4 in its line, 2 in the
// line's place that is half full), and its bits among the ids and among its shape's ready ones. Half a million tasks load the
// index as a million do.
const taskBytesMax = 96

// TestTaskBytes pins the memory of a backlog. What it finds too big is paid by every task that waits: the cure is a place
// beside the rows for what few tasks have, as State.unconfirmed is one.
func TestTaskBytes(t *testing.T) {
	if n := unsafe.Sizeof(task{}); n != 88 {
		t.Errorf("a task's row takes %d bytes, want 88", n)
	}
	const n = 500_000
	h := newHarness(t)
	h.submit(spec("a"))
	l := NewLoader()
	var row Row
	add := func() {
		if err := l.Add(&row); err != nil {
			t.Fatal(err)
		}
	}
	h.s.globals.LastTask = n
	before := heapInUse()
	h.s.eachRow(func(r *Row) {
		if row = *r; r.Table != TableTasks {
			add()
		}
	})
	first := h.s.taskRow(h.s.findTask(1))
	for id := TaskID(1); id <= n; id++ {
		row = Row{Table: TableTasks, Key: uint64(id), Task: first}
		row.Task.ID = id
		add()
	}
	s, err := l.State()
	if err != nil {
		t.Fatal(err)
	}
	bytes := float64(heapInUse()-before) / n
	t.Logf("%.1f bytes a task", bytes)
	if bytes > taskBytesMax {
		t.Errorf("%.1f bytes a task, want at most %d", bytes, taskBytesMax)
	}
	if s.counts[Pending] != n {
		t.Errorf("%d pending, want %d", s.counts[Pending], n)
	}
	runtime.KeepAlive(s)
}
