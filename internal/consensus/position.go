package consensus

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// position is how far each of the things that must agree has come, as found at
// start. Indices are 0 for none.
type position struct {
	dir string

	snapshot snapshotRecord
	disk     uint64 // the checkpoint's index
	first    uint64 // the log's first entry
	last     uint64 // the log's last entry
	lastTerm uint64 // its term
	term     uint64 // raft's current term
}

func findPosition(dir string, logs raft.LogStore, terms raft.StableStore, snaps *snapshots, disk Disk) (position, error) {
	p := position{dir: dir, snapshot: snaps.last(), disk: disk.DurableIndex()}
	var err error
	if p.first, err = logs.FirstIndex(); err != nil {
		return p, fmt.Errorf("find the log's first entry: %w", err)
	}
	if p.last, err = logs.LastIndex(); err != nil {
		return p, fmt.Errorf("find the log's last entry: %w", err)
	}
	if p.last > 0 {
		var entry raft.Log
		if err := logs.GetLog(p.last, &entry); err != nil {
			return p, fmt.Errorf("read the log's last entry, %d: %w", p.last, err)
		}
		p.lastTerm = entry.Term
	}
	if p.term, err = terms.GetUint64(keyCurrentTerm); err != nil {
		return p, fmt.Errorf("read raft's term: %w", err)
	}
	return p, nil
}

// end is the index that log and snapshot reach together. A cut may have emptied
// the log.
func (p position) end() uint64 {
	if p.last == 0 {
		return p.snapshot.Index
	}
	return p.last
}

// check refuses a start that would lose commands or apply them twice. It never
// refuses what a kill or power loss can leave:
//
//   - snapshot ≤ disk, since the record of a snapshot is written after the
//     checkpoint that holds it was fsynced, and a checkpoint never goes back;
//   - disk ≤ end, since a command is applied after its entry was fsynced, and
//     entries are cut only up to the snapshot; Floor covers a follower whose
//     checkpoint was streamed to it;
//   - the log begins at or before snapshot+1 for the same reason;
//   - raft saves a term before it writes an entry of that term.
//
// Raft's own entries (no-op, configuration) don't disturb this: snapshot and
// disk are both indices of commands, and end may only be higher.
func (p position) check() error {
	snapshot, end := p.snapshot.Index, p.end()
	switch {
	case p.disk < snapshot:
		return fmt.Errorf("%w: the checkpoint holds index %d, but the log was cut up to %d, so commands %d to %d are in neither. "+
			"The checkpoint file is older than the log: put back the newer one, or restore a backup into an empty directory",
			ErrMismatch, p.disk, snapshot, p.disk+1, snapshot)

	case end < snapshot:
		return fmt.Errorf("%w: the log in %s ends at index %d, before the snapshot at %d. "+
			"The log is older than the checkpoint: put back the log that belongs to it, or restore a backup into an empty directory",
			ErrMismatch, p.dir, end, snapshot)

	case p.disk > max(end, p.snapshot.Floor):
		return fmt.Errorf("%w: the checkpoint holds index %d, but the log in %s ends at %d. "+
			"The log was deleted or is older than the checkpoint: put back the log that belongs to it, or restore a backup into an empty directory",
			ErrMismatch, p.disk, p.dir, end)

	case p.last > 0 && p.first > snapshot+1:
		return fmt.Errorf("%w: the log in %s begins at index %d, but the snapshot ends at %d, so commands %d to %d are missing. "+
			"Put back the checkpoint file that belongs to this log, or restore a backup into an empty directory",
			ErrMismatch, p.dir, p.first, snapshot, snapshot+1, p.first-1)

	case p.term < max(p.lastTerm, p.snapshot.Term):
		return fmt.Errorf("%w: raft's saved term is %d, but log and snapshot reach term %d. "+
			"raft-state.db in %s was deleted or is older than the log: put back the newer one, or restore a backup into an empty directory",
			ErrMismatch, p.term, max(p.lastTerm, p.snapshot.Term), p.dir)

	case p.empty() && p.term > 1:
		return fmt.Errorf("%w: raft's saved term is %d, but there is neither log nor checkpoint. "+
			"The log in %s was deleted: put it back, or begin with an empty directory",
			ErrMismatch, p.term, p.dir)
	}
	return nil
}

// empty reports that there is nothing yet. Term 1 without a log is a bootstrap
// that was cut short: nothing was ever written, so it is begun again.
func (p position) empty() bool { return p.last == 0 && p.snapshot.Index == 0 }
