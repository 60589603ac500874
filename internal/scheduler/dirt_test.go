package scheduler

import "testing"

// TestDirtyRows: what came and went between two checkpoints is looked at and not written.
func TestDirtyRows(t *testing.T) {
	m := newMill(t, 0, 100)
	checkpointOf(t, m.s)
	for range 5 {
		m.round()
	}
	told, looks := m.s.DirtyRows(), m.s.DirtyLooks()
	var rows []Row
	for c, done := m.s.Seal(), false; !done; {
		rows, done = m.s.Collect(c, 1000, rows)
	}
	if len(rows) > told || told > len(rows)+8 || looks < told+5*millBatch {
		t.Errorf("told %d rows and %d looks, a checkpoint wrote %d", told, looks, len(rows))
	}
	if n := m.s.DirtyRows(); n != 1 {
		t.Errorf("%d rows are told after it", n)
	}
}
