package consensus

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// raft-wal proves what it appended last, to tell a torn write from a whole one; of an entry that was damaged later, on the
// disk, it says nothing. So each command carries a checksum of its own, in raft's Extensions, and is applied only if that
// still holds. Commands of releases before this one carry none, and are taken as they are.

var sealTable = crc32.MakeTable(crc32.Castagnoli)

func sealOf(entry []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(entry, sealTable))
}

// checkSeal refuses a command that isn't what was proposed.
func checkSeal(dir string, entry *raft.Log) error {
	if len(entry.Extensions) == 0 || string(entry.Extensions) == string(sealOf(entry.Data)) {
		return nil
	}
	return damagedEntry(dir, entry.Index, "doesn't match its checksum")
}

// checkKind refuses an entry that is of another kind than was written: raft's own have no checksum, and never reach the
// machine. Raft writes no other kinds here.
func checkKind(dir string, entry *raft.Log) error {
	bytes, sealed := len(entry.Data), len(entry.Extensions) > 0
	switch {
	case entry.Type == raft.LogCommand && (bytes > 0 || sealed),
		entry.Type == raft.LogNoop && bytes == 0 && !sealed,
		entry.Type == raft.LogConfiguration && bytes > 0 && !sealed:
		return nil
	}
	return damagedEntry(dir, entry.Index, fmt.Sprintf("isn't what was written: a %s of %d bytes", entry.Type, bytes))
}

func damagedEntry(dir string, index uint64, why string) error {
	return fmt.Errorf("%w: entry %d in %s %s: %s", ErrDamaged, index, walDir(dir), why, damagedCure)
}
