// Package consensus is the durable, ordered log of commands: hashicorp/raft on
// raft-wal, as a cluster of one (a lone voter) by default and of three or five
// with the same code later. Its one central type is Log.
//
// # What it does
//
// Propose hands an entry to raft and returns; once the entry is fsynced and
// committed, Machine.Apply gets it, in log order and once per process. Terms
// tells who leads. Cut lets go of the log's head once a checkpoint holds it.
//
// The checkpoint store (Disk) is the snapshot: Cut writes no body anywhere. It
// asks the machine to get its checkpoint past an index, records that index as
// raft's snapshot in Disk, and only then lets raft delete older entries. So
// starting needs no restore: entries up to Disk.DurableIndex are skipped, the
// rest is applied again.
//
// # Files
//
//	DIR/raft-state.db      current term and vote (bbolt, ours); its lock guards DIR
//	DIR/wal/wal-meta.db    which segments exist (raft-wal)
//	DIR/wal/*.wal          segments, preallocated to Options.SegmentBytes
//
// # Invariants
//
//   - snapshot index ≤ Disk.DurableIndex ≤ last log index (the snapshot's index
//     if the log is empty). Open refuses anything else, see position.check.
//   - All three are indices of commands, or 0. The state machine below raft is
//     a plain raft.FSM, without ApplyBatch and without StoreConfiguration, so
//     raft's snapshot index moves with commands only. A raft.BatchingFSM would
//     also count configuration entries and barriers, and raft's snapshot index
//     could then pass an index that the checkpoint, which knows commands only,
//     will never reach: a healthy node would refuse to start. Raft's Barrier
//     raises that index in either kind and is therefore never called.
//   - No entry leaves the log before a checkpoint that holds it is fsynced.
//   - Every proposal is answered once: applied, refused, or unknown.
//
// # Failure
//
// Raft logs an I/O error of its stores and goes on. Here the first failed
// write or sync of log, log metadata, term or vote, and a log write that takes
// longer than LogWriteMax, calls Options.Fatal, once; from then on every write
// fails, raft is stopped, proposals return ErrFailed and waits return
// ErrUnknown. The process is expected to end. There is one ugly corner: raft
// panics if it can't save a new term; Fatal has then been called before.
//
// A kill leaves nothing that the next Open can't read: raft-wal 0.4.1 alone
// doesn't give that (see healingMeta).
package consensus
