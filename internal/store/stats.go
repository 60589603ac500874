package store

import (
	"os"
	"time"
)

// Stats are figures of an open store, as of the last write.
type Stats struct {
	Index uint64 // DurableIndex

	FileBytes int64 // the file never shrinks but by Compact

	// FreePages are pages that hold nothing, or nothing that is still wanted;
	// FreeBytes is their size. FreelistBytes is what each commit writes to list
	// them.
	FreePages     int
	FreeBytes     int64
	FreelistBytes int64

	Rows     [tableCount]uint64 // by scheduler.Table
	Bodies   uint64
	Failures uint64
	Finished uint64 // dead letters included
	Dead     uint64 // dead letters

	SaveRows int           // rows, bodies, attempts, finished tasks and drops of the last Save; 0: none yet
	SaveTook time.Duration // how long it took, its fsync included; 0 without Options.Now
}

// Stats returns figures. It reads no table.
func (s *Store) Stats() Stats {
	s.tallyMu.Lock()
	t, last := s.tally, s.saved
	s.tallyMu.Unlock()
	b := s.db.Stats()
	st := Stats{
		Index:         t.index,
		FreePages:     b.FreePageN + b.PendingPageN,
		FreelistBytes: int64(b.FreelistInuse),
		Rows:          t.rows,
		Bodies:        t.bodies, Failures: t.failures, Finished: t.finished, Dead: t.dead,
		SaveRows: last.rows, SaveTook: last.took,
	}
	st.FreeBytes = int64(st.FreePages) * int64(s.pageSize)
	st.FileBytes = int64(s.Bytes())
	return st
}

// Bytes is the size of the file; 0 if it can't be told.
func (s *Store) Bytes() uint64 {
	info, err := os.Stat(s.path)
	if err != nil {
		return 0
	}
	return uint64(info.Size())
}
