package consensus

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/hashicorp/raft"
)

// snapshotVersion is the form of snapshotRecord.
const snapshotVersion = 1

// snapshotRecord is the blob kept in Disk: what raft needs to know of the only
// snapshot there is, the checkpoint itself.
type snapshotRecord struct {
	Version            int                `json:"version"`
	Index              uint64             `json:"index"`
	Term               uint64             `json:"term"`
	Configuration      raft.Configuration `json:"configuration"`
	ConfigurationIndex uint64             `json:"configuration_index"`

	// Floor is the index that an installed checkpoint held when it came. A
	// leader streams a file that may be ahead of the snapshot's index, so a
	// follower's disk may be ahead of its own log, up to here. 0 for a
	// checkpoint made here, which the log always reaches.
	Floor uint64 `json:"floor"`
}

// snapshots implements raft.SnapshotStore over Disk. There is at most one
// snapshot: the checkpoint, as of the last finished Persist.
//
// raft.FileSnapshotStore would leave folders behind after a kill and its
// metadata could disagree with the checkpoint's own index.
type snapshots struct {
	disk Disk
	dir  string // for the spool file of Open

	mu sync.Mutex
	// current is the last finished snapshot, nil if none.
	// Invariant: fsynced in Disk, and Disk.DurableIndex() >= current.Index.
	current *snapshotRecord
}

func openSnapshots(disk Disk, dir string) (*snapshots, error) {
	s := &snapshots{disk: disk, dir: dir}
	blob, err := disk.SnapshotMeta()
	if err != nil {
		return nil, fmt.Errorf("read the snapshot's record: %w", err)
	}
	if blob == nil {
		return s, nil
	}
	s.current = new(snapshotRecord)
	if err := json.Unmarshal(blob, s.current); err != nil {
		return nil, fmt.Errorf("decode the snapshot's record: %w", err)
	}
	if v := s.current.Version; v != snapshotVersion {
		return nil, fmt.Errorf("the snapshot's record has version %d, this build knows %d: start the build that wrote it", v, snapshotVersion)
	}
	return s, nil
}

// last is a copy of the current record, the zero record if there is none.
func (s *snapshots) last() snapshotRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return snapshotRecord{}
	}
	return *s.current
}

// Create implements raft.SnapshotStore. Nothing is written before Close.
func (s *snapshots) Create(_ raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	record := snapshotRecord{
		Version: snapshotVersion, Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}
	if floor := s.last().Floor; floor > index {
		record.Floor = floor
	}
	return &snapshotSink{store: s, record: record}, nil
}

// List implements raft.SnapshotStore.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	record := s.last()
	if record.Index == 0 {
		return nil, nil
	}
	return []*raft.SnapshotMeta{record.meta()}, nil
}

// Open implements raft.SnapshotStore: a leader calls it to stream the
// checkpoint to a follower. The copy goes to a local file first: raft must know
// the size, and no read transaction may last as long as a network does. The
// file is unlinked while open, so a kill leaves nothing behind.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	record := s.last()
	if record.Index == 0 || record.id() != id {
		return nil, nil, fmt.Errorf("no snapshot %q", id)
	}
	spool, err := os.CreateTemp(s.dir, "snapshot-*")
	if err != nil {
		return nil, nil, fmt.Errorf("spool snapshot %s: %w", id, err)
	}
	meta := record.meta()
	err = os.Remove(spool.Name())
	if err == nil {
		meta.Size, err = s.disk.WriteTo(spool)
	}
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = spool.Close()
		return nil, nil, fmt.Errorf("spool snapshot %s: %w", id, err)
	}
	return meta, spool, nil
}

func (r snapshotRecord) id() string { return fmt.Sprintf("%d-%d", r.Term, r.Index) }

func (r snapshotRecord) meta() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: r.id(), Index: r.Index, Term: r.Term,
		Configuration: r.Configuration, ConfigurationIndex: r.ConfigurationIndex,
	}
}

// snapshotSink is a snapshot in the making. It is invisible until Close.
type snapshotSink struct {
	store  *snapshots
	record snapshotRecord
	done   bool // closed or cancelled
}

// Write implements io.Writer. Persist writes nothing; a body can only come from
// a leader.
func (k *snapshotSink) Write([]byte) (int, error) { return 0, ErrClusterOfOne }

// ID implements raft.SnapshotSink.
func (k *snapshotSink) ID() string { return k.record.id() }

// Close implements io.Closer: it makes the record durable, then visible. Raft
// calls it after Persist and before it cuts the log.
func (k *snapshotSink) Close() error {
	if k.done {
		return nil
	}
	k.done = true
	blob, err := json.Marshal(k.record)
	if err != nil {
		return fmt.Errorf("encode the snapshot's record: %w", err)
	}
	if err := k.store.disk.PutSnapshotMeta(blob); err != nil {
		return fmt.Errorf("write the snapshot's record: %w", err)
	}
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	k.store.current = &k.record
	return nil
}

// Cancel implements raft.SnapshotSink.
func (k *snapshotSink) Cancel() error {
	k.done = true
	return nil
}
