package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// A backup file is a checkpoint with a footer behind it, so that it can be
// checked as it is:
//
//	the checkpoint          BackupHeader.CheckpointBytes
//	storagev1.BackupHeader  its length stands behind it
//	length                  4 bytes, big-endian
//	backupMagic             16 bytes
//	SHA-256                 32 bytes, of all before it

// BackupVersion is the newest version of a backup file's form.
const BackupVersion = 1

var backupMagic = []byte("yardmaster bkp\x00\n")

// backupHeaderMax bounds an encoded header.
const backupHeaderMax = 4096

const backupEndBytes = 4 + 16 + sha256.Size

// BackupHeader says what a backup file holds.
type BackupHeader struct {
	Version         uint32 // of the file's form
	Format          uint32 // of the checkpoint
	Index           uint64 // log index that it holds
	Logic           uint32 // logic version in force
	CheckpointBytes int64
	Created         int64  // nanoseconds since the Unix epoch
	Release         string // of the coordinator
}

// footer is what follows the checkpoint, but for the sum.
func (h *BackupHeader) footer() ([]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&storagev1.BackupHeader{
		Version: h.Version, Format: h.Format, Index: h.Index, Logic: h.Logic, CheckpointBytes: uint64(h.CheckpointBytes),
		Created: h.Created, Release: h.Release,
	})
	if err != nil || len(data) > backupHeaderMax {
		return nil, errors.Join(fmt.Errorf("a header of %d bytes", len(data)), err)
	}
	data = binary.BigEndian.AppendUint32(data, uint32(len(data)))
	return append(data, backupMagic...), nil
}

// openBackup opens a backup file and reads its header, and refuses what isn't
// one, isn't whole or is newer than this build.
func openBackup(path string) (f *os.File, h BackupHeader, err error) {
	if f, err = os.Open(path); err != nil {
		return nil, h, fmt.Errorf("open the backup: %w", err)
	}
	if h, err = readHeader(f, path); err != nil {
		return nil, h, errors.Join(err, f.Close())
	}
	return f, h, nil
}

// readHeader reads the header of a backup file.
func readHeader(f *os.File, path string) (h BackupHeader, err error) {
	info, err := f.Stat()
	if err != nil {
		return h, fmt.Errorf("open the backup: %w", err)
	}
	no := func(why string) error {
		return fmt.Errorf("%w: %s %s: name a file that `yardctl cluster backup` wrote, whole", ErrNotBackup, path, why)
	}
	size := info.Size()
	if !info.Mode().IsRegular() {
		return h, no("is no file; a data directory is named with --data-dir")
	}
	end := make([]byte, backupEndBytes)
	if size < backupEndBytes {
		return h, no("is too short")
	}
	if _, err := f.ReadAt(end, size-backupEndBytes); err != nil {
		return h, fmt.Errorf("read the backup: %w", err)
	}
	length := int64(binary.BigEndian.Uint32(end))
	if !bytes.Equal(end[4:4+len(backupMagic)], backupMagic) || length > backupHeaderMax || size < length+backupEndBytes {
		return h, no("doesn't end as a backup does: it is something else, or its end is missing")
	}
	data := make([]byte, length)
	if _, err := f.ReadAt(data, size-backupEndBytes-length); err != nil {
		return h, fmt.Errorf("read the backup: %w", err)
	}
	m := new(storagev1.BackupHeader)
	if err := proto.Unmarshal(data, m); err != nil {
		return h, damagedBackup(path, "its header can't be read")
	}
	h = BackupHeader{
		Version: m.GetVersion(), Format: m.GetFormat(), Index: m.GetIndex(), Logic: m.GetLogic(),
		CheckpointBytes: int64(m.GetCheckpointBytes()), Created: m.GetCreated(), Release: m.GetRelease(),
	}
	if err := h.known(path); err != nil {
		return h, err
	}
	if want := h.CheckpointBytes + length + backupEndBytes; size != want {
		return h, damagedBackup(path, fmt.Sprintf("it has %d bytes and should have %d", size, want))
	}
	return h, nil
}

// known refuses what a newer build wrote.
func (h *BackupHeader) known(path string) error {
	for _, v := range []struct {
		what      string
		has, most uint32
	}{
		{"form", h.Version, BackupVersion}, {"format", h.Format, FormatVersion}, {"logic version", h.Logic, scheduler.LogicVersion},
	} {
		if v.has > v.most {
			return fmt.Errorf("%w: the backup %s has %s %d, this build knows 1 to %d: restore it with the build that wrote it (%s), or a newer one",
				ErrNewerFormat, path, v.what, v.has, v.most, h.Release)
		}
	}
	return nil
}

func damagedBackup(path, why string) error {
	return fmt.Errorf("%w: the backup %s: %s: copy it again from where it was made, or use another one", ErrDamaged, path, why)
}

// copyBackup reads a backup file from end to end, writes its checkpoint to w,
// and compares the sum.
func copyBackup(f *os.File, h BackupHeader, path string, w io.Writer) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	sum := sha256.New()
	buf := make([]byte, 1<<20)
	both := io.MultiWriter(sum, w)
	if _, err := io.CopyBuffer(both, io.LimitReader(f, h.CheckpointBytes), buf); err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	if _, err := io.CopyBuffer(sum, io.LimitReader(f, info.Size()-h.CheckpointBytes-sha256.Size), buf); err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	var want [sha256.Size]byte
	if _, err := io.ReadFull(f, want[:]); err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	if !bytes.Equal(sum.Sum(nil), want[:]) {
		return damagedBackup(path, "it doesn't match its checksum")
	}
	return nil
}

// CheckBackup checks a backup file as Check does a checkpoint, after its
// checksum. It changes nothing and needs no room.
func CheckBackup(path string, progress func(done, total int)) (BackupHeader, Report, error) {
	f, h, err := openBackup(path)
	if err != nil {
		return h, Report{}, err
	}
	err = copyBackup(f, h, path, io.Discard)
	if err := errors.Join(err, f.Close()); err != nil {
		return h, Report{}, err
	}
	db, err := openFile(path, fileOptions{lockWait: LockWaitMax, readOnly: true})
	if err != nil {
		return h, Report{}, err
	}
	r, err := checkFile(db, progress)
	return h, r, errors.Join(err, db.Close())
}
