package consensus

import "time"

// Stats are a log's figures. Counters start at Open.
type Stats struct {
	// FirstIndex and LastIndex bound what the log holds; 0 if it is empty or
	// closed.
	FirstIndex, LastIndex uint64
	// SnapshotIndex is what the last Cut reached, 0 before the first.
	SnapshotIndex uint64
	// SeenIndex is the last command that raft handed to the machine's side,
	// those skipped at start included. LastIndex − SeenIndex is raft's lag.
	SeenIndex uint64
	// TailEntries is how many entries a start would read again.
	TailEntries uint64
	// InFlight is how many proposals are unanswered, InFlightBytes their size.
	InFlight      int
	InFlightBytes int64

	// SegmentBytes is the size of a preallocated segment file, FreeBytesMin the
	// free disk space below which an operator should be warned.
	SegmentBytes, FreeBytesMin int64

	// Writes counts appends, each one fsync; Entries and Bytes what was in them.
	Writes, Entries, Bytes uint64
	// WriteTime is the time spent in Writes, WriteTimeMax that of the slowest.
	WriteTime, WriteTimeMax time.Duration
}

// Stats reads the figures; cheap, but not one consistent moment.
func (l *Log) Stats() Stats {
	s := Stats{
		SnapshotIndex: l.snapshots.last().Index,
		SeenIndex:     l.fsm.seen.Load(),
		InFlight:      len(l.slots),
		InFlightBytes: l.inFlightBytes.Load(),
		SegmentBytes:  int64(l.options.SegmentBytes),
		FreeBytesMin:  SegmentsFreeMin * int64(l.options.SegmentBytes),
		Writes:        l.logs.writes.Load(),
		Entries:       l.logs.entries.Load(),
		Bytes:         l.logs.bytes.Load(),
		WriteTime:     time.Duration(l.logs.writeNanos.Load()),
		WriteTimeMax:  time.Duration(l.logs.writeSlowest.Load()),
	}
	// The only possible error says that the log is closed.
	s.FirstIndex, _ = l.logs.FirstIndex()
	s.LastIndex, _ = l.logs.LastIndex()
	if from := max(s.SnapshotIndex, s.FirstIndex-min(s.FirstIndex, 1)); s.LastIndex > from {
		s.TailEntries = s.LastIndex - from
	}
	return s
}
