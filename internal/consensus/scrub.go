package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// Of raft-wal's segment format: a frame is a header of 8 bytes, of which the last
// four are its length, and that many bytes, padded to a multiple of 8. An append
// is a frame an entry, and a commit, which is a header alone. The file begins with
// a header of its own.
const (
	frameBytes  = 8
	headerBytes = 32
)

// scrubChunk is how much of a segment is read at a time.
const scrubChunk = 256 << 10

// scrubLooked is how many bytes behind the end are searched for appends, and
// scrubStarts among how many of what looks like commits.
const (
	scrubLooked = 16 << 20
	scrubStarts = 8
)

var zeros [scrubChunk]byte

// scrub zeroes what an append that a loss of power tore has left behind the end
// of an open tail.
//
// raft-wal 0.4.1 goes on before such bytes and leaves them there. If the next
// append is torn too and entries of the first follow it, raft-wal takes it for
// whole without looking at its checksum, since entries behind a commit prove to
// it that the commit was answered: an entry that nobody was told of then counts,
// with a hole in it, and no restart gets past it.
//
// ErrDamaged: what stands there isn't from a torn append.
func scrub(path string, w types.SegmentWriter) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	at, err := checkEnd(f, w)
	if err != nil {
		return err
	}
	buf, scrubbed := make([]byte, scrubChunk), false
	for {
		n, err := f.ReadAt(buf, at)
		if !bytes.Equal(buf[:n], zeros[:n]) {
			scrubbed = true
			if _, err := f.WriteAt(zeros[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if !scrubbed {
		return nil
	}
	return f.Sync()
}

// checkEnd returns where the last append ends that counts. ErrDamaged: it isn't
// the last one.
func checkEnd(f *os.File, w types.SegmentWriter) (int64, error) {
	at, err := tailEnd(f, w)
	if err != nil {
		return 0, fmt.Errorf("find the end of %s: %w", f.Name(), err)
	}
	whole, err := wholeAppend(f, at)
	if err != nil {
		return 0, fmt.Errorf("look behind the end of %s: %w", f.Name(), err)
	}
	if whole {
		return 0, fmt.Errorf("%w: %s: appends stand behind its end, so a frame before them has changed since it was written: %s",
			ErrDamaged, f.Name(), damagedCure)
	}
	return at, nil
}

// wholeAppend reports whether an append that was fsynced stands behind a tail's
// end. raft-wal takes a frame that it can't read for the log's end, also if a bit
// has flipped in it long after, and would write over what follows. A torn append
// is the last: it has one commit at most, whose checksum doesn't hold. So two
// commits of which the second proves what is between them tell of damage. So
// does one that proves what follows the first frame that is no entry: that was
// the commit before it.
func wholeAppend(f *os.File, from int64) (bool, error) {
	data, err := io.ReadAll(io.NewSectionReader(f, from, scrubLooked))
	if err != nil {
		return false, err
	}
	data = data[:min(len(data), (len(bytes.TrimRight(data, "\x00"))+frameBytes-1)/frameBytes*frameBytes)]
	first := int64(0)
	if from == 0 {
		first = headerBytes
	}
	starts := []int{int(entriesEnd(data, first)) + frameBytes} // of what a commit may prove: there, and behind the last few commits
	for at := 0; at+frameBytes <= len(data); at += frameBytes {
		header := data[at : at+frameBytes]
		if !bytes.Equal(header[:4], []byte{segment.FrameCommit, 0, 0, 0}) {
			continue
		}
		for _, start := range starts {
			if start < at && crc32.Checksum(data[start:at], sealTable) == binary.LittleEndian.Uint32(header[4:]) {
				return true, nil
			}
		}
		starts = append(starts, at+frameBytes)
		starts = starts[max(0, len(starts)-scrubStarts):]
	}
	return false, nil
}

// entriesEnd is where the frames stop being entries.
func entriesEnd(data []byte, at int64) int64 {
	for at+frameBytes <= int64(len(data)) && data[at] == segment.FrameEntry {
		at += frameBytes + padded(data[at:at+frameBytes])
	}
	return at
}

// padded is how many bytes follow the header of an entry.
func padded(header []byte) int64 {
	return (int64(binary.LittleEndian.Uint32(header[4:])) + frameBytes - 1) / frameBytes * frameBytes
}

// tailEnd is where the last append ends that counts.
func tailEnd(f *os.File, w types.SegmentWriter) (int64, error) {
	if w.LastIndex() == 0 {
		return 0, nil // raft-wal writes the file's header again
	}
	offset, err := w.(interface {
		OffsetForFrame(index uint64) (uint32, error)
	}).OffsetForFrame(w.LastIndex())
	if err != nil {
		return 0, err
	}
	var header [frameBytes]byte
	if _, err := f.ReadAt(header[:], int64(offset)); err != nil {
		return 0, err
	}
	return int64(offset) + frameBytes + padded(header[:]) + frameBytes, nil
}
