package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// healingMeta repairs, while raft-wal loads its metadata, a tail that raft-wal
// 0.4.1 can't: one whose file is sealed and whose metadata says it isn't. Every
// append to it would fail with "segment is sealed", after any restart.
//
// Three ways lead there:
//
//   - a kill, or raft-wal's own Close, after the append that seals a segment
//     and before the rotation in the background has committed the metadata;
//   - a kill or power loss that tears that append: raft-wal finds the seal's
//     header, drops the append, and still takes the segment for sealed;
//   - bytes left by a torn append that look like that header.
//
// In the first the index behind the seal is good: the metadata is brought up to
// the file. In the others it may not be: what was committed is copied to a new
// segment. Which it is, is found by reading every entry both ways.
type healingMeta struct {
	types.MetaStore
	filer  types.SegmentFiler
	now    func() time.Time
	logger hclog.Logger
}

// Load implements types.MetaStore. raft-wal calls it once, before it touches a
// segment.
//
// What it reads, the list and the tail, it makes durable first: a process that
// was killed may not have come to its fsync, and raft-wal believes what it reads.
func (m *healingMeta) Load(dir string) (types.PersistentState, error) {
	state, err := m.MetaStore.Load(dir)
	if err == nil {
		err = errors.Join(syncPath(filepath.Join(dir, metadb.FileName)), syncPath(dir))
	}
	if err != nil || len(state.Segments) == 0 {
		return state, err
	}
	tail := state.Segments[len(state.Segments)-1]
	if !tail.SealTime.IsZero() {
		return state, nil
	}
	if err := syncFile(dir, tail); err != nil {
		return state, err
	}
	w, err := m.filer.RecoverTail(tail)
	if errors.Is(err, os.ErrNotExist) {
		return state, nil // raft-wal makes the file anew
	}
	if err != nil {
		return state, fmt.Errorf("recover log segment %s: %w", segment.FileName(tail), err)
	}
	defer func() { _ = w.Close() }()
	sealed, indexStart, err := w.Sealed()
	if err == nil && !sealed {
		err = scrub(filepath.Join(dir, segment.FileName(tail)), w)
	}
	if err != nil || !sealed {
		return state, err
	}

	m.logger.Warn("log segment is sealed and recorded as open: repairing",
		"segment", segment.FileName(tail), "last-index", w.LastIndex())
	healed, err := m.heal(dir, state, w, indexStart)
	if err != nil {
		return state, fmt.Errorf("repair log segment %s: %w", segment.FileName(tail), err)
	}
	return healed, nil
}

func (m *healingMeta) heal(dir string, state types.PersistentState, w types.SegmentWriter, indexStart uint64) (types.PersistentState, error) {
	last := len(state.Segments) - 1
	segments := append([]types.SegmentInfo(nil), state.Segments...)
	state.Segments = segments

	sealed := segments[last]
	sealed.SealTime, sealed.IndexStart, sealed.MaxIndex = m.now(), indexStart, w.LastIndex()
	whole, err := m.indexed(sealed, w)
	if err == nil && !whole {
		err = checkTorn(filepath.Join(dir, segment.FileName(sealed)), w)
	}
	if err != nil {
		return state, err
	}
	switch {
	case whole:
		segments[last] = sealed
	case w.LastIndex() == 0:
		// Nothing in it was ever committed: raft-wal makes a new file.
		segments[last] = m.fresh(&state, sealed, sealed.BaseIndex)
	default:
		if segments[last], err = m.copyTail(&state, sealed, w); err != nil {
			return state, err
		}
	}
	// A new file's name and entries must be durable before the list tells of them.
	if err := syncFile(dir, segments[last]); err != nil {
		return state, err
	}
	if !segments[last].SealTime.IsZero() {
		segments = append(segments, m.fresh(&state, sealed, segments[last].MaxIndex+1))
		state.Segments = segments
	}
	if err := m.CommitState(state); err != nil {
		return state, fmt.Errorf("write the log's list of segments: %w", err)
	}
	return state, nil
}

// indexed reports whether every entry that w holds is also found through the
// sealed segment's index.
func (m *healingMeta) indexed(sealed types.SegmentInfo, w types.SegmentWriter) (bool, error) {
	if sealed.MaxIndex == 0 {
		return false, nil
	}
	r, err := m.filer.Open(sealed)
	if err != nil {
		return false, err
	}
	defer func() { _ = r.Close() }()
	for index := sealed.MinIndex; index <= sealed.MaxIndex; index++ {
		want, err := w.GetLog(index)
		if err != nil {
			return false, fmt.Errorf("read entry %d: %w", index, err)
		}
		got, err := r.GetLog(index)
		same := err == nil && bytes.Equal(got.Bs, want.Bs)
		if err == nil {
			_ = got.Close()
		}
		_ = want.Close()
		if !same {
			return false, nil
		}
	}
	return true, nil
}

// checkTorn holds that what stands behind the end of a sealed tail is torn.
// ErrDamaged: it isn't, and what passes for the seal was the commit before it.
func checkTorn(path string, w types.SegmentWriter) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = checkEnd(f, w)
	return err
}

// copyTail writes what w holds to a new segment, in one append: it fits, since
// it fitted before the seal.
func (m *healingMeta) copyTail(state *types.PersistentState, torn types.SegmentInfo, w types.SegmentWriter) (types.SegmentInfo, error) {
	info := m.fresh(state, torn, torn.MinIndex)
	var entries []types.LogEntry
	for index := info.BaseIndex; index <= w.LastIndex(); index++ {
		entry, err := w.GetLog(index)
		if err != nil {
			return info, fmt.Errorf("read entry %d: %w", index, err)
		}
		entries = append(entries, types.LogEntry{Index: index, Data: bytes.Clone(entry.Bs)})
		_ = entry.Close()
		// It begins with its index. Another one's means that an entry before it passes for a seal.
		if is, _ := binary.Uvarint(entries[len(entries)-1].Data); is != index {
			return info, fmt.Errorf("%w: entry %d stands where entry %d should: %s", ErrDamaged, is, index, damagedCure)
		}
	}
	// A repair that was itself killed may have left this file.
	if err := m.filer.Delete(info.BaseIndex, info.ID); err != nil && !errors.Is(err, os.ErrNotExist) {
		return info, err
	}
	to, err := m.filer.Create(info)
	if err != nil {
		return info, err
	}
	defer func() { _ = to.Close() }()
	if err := to.Append(entries); err != nil {
		return info, err
	}
	sealed, indexStart, err := to.Sealed()
	if sealed {
		info.SealTime, info.IndexStart, info.MaxIndex = m.now(), indexStart, to.LastIndex()
	}
	return info, err
}

// fresh describes an open segment with a new id, like another but empty.
func (m *healingMeta) fresh(state *types.PersistentState, like types.SegmentInfo, base uint64) types.SegmentInfo {
	id := state.NextSegmentID
	state.NextSegmentID++
	return types.SegmentInfo{
		ID: id, BaseIndex: base, MinIndex: base,
		Codec: like.Codec, SizeLimit: like.SizeLimit, CreateTime: m.now(),
	}
}

// syncFile fsyncs a segment and its folder. A segment that has no file yet is
// fine.
func syncFile(dir string, info types.SegmentInfo) error {
	err := syncPath(filepath.Join(dir, segment.FileName(info)))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	return syncPath(dir)
}
