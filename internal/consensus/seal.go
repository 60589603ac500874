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
	return fmt.Errorf("%w: entry %d in %s doesn't match its checksum: %s", ErrDamaged, entry.Index, walDir(dir), damagedCure)
}
