package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"go.etcd.io/bbolt"
)

// backupLookBytes is after how many bytes of a backup's copy the free space is
// looked at again.
const backupLookBytes = 16 << 20

// BackupOptions configure a backup.
type BackupOptions struct {
	// Release and Created, nanoseconds since the Unix epoch, are noted in it.
	Release string
	Created int64

	// Free tells the free bytes of the data directory's disk, of which the copy
	// leaves Reserve. Default: it isn't asked.
	Free    func() (uint64, error)
	Reserve uint64
}

// Backup is a backup file on the data directory's disk, with no name: it is
// gone when it is closed, or when the process ends. Read it from its beginning.
type Backup struct {
	Header BackupHeader
	Bytes  int64             // of the file
	Sum    [sha256.Size]byte // of all of it
	file   *os.File
}

// Read implements io.Reader.
func (b *Backup) Read(p []byte) (int, error) { return b.file.Read(p) }

// Close lets go of the file.
func (b *Backup) Close() error { return b.file.Close() }

// Backup makes a backup file of the last checkpoint, fsynced. Saves go on
// meanwhile, but can't use again the space of what they replace. It ends when
// ctx does. Errors: ErrNoRoom, or that of the disk; none of them is the store's
// last.
func (s *Store) Backup(ctx context.Context, o BackupOptions) (*Backup, error) {
	path := s.path + suffixBackup
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = os.Remove(path)
	}
	b := &Backup{file: f}
	if err == nil {
		err = s.fillBackup(ctx, b, o)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a backup file in %s: %w", s.o.Dir, err), f.Close())
	}
	return b, nil
}

func (s *Store) fillBackup(ctx context.Context, b *Backup, o BackupOptions) error {
	w := &backupWriter{ctx: ctx, to: bufio.NewWriterSize(b.file, 1<<20), sum: sha256.New(), o: o}
	err := s.read(func(tx *bbolt.Tx) error {
		t, err := readTally(tx)
		if err != nil {
			return err
		}
		b.Header = BackupHeader{
			Version: BackupVersion, Format: t.format, Index: t.index, Logic: t.logic, CheckpointBytes: tx.Size(),
			Created: o.Created, Release: o.Release,
		}
		w.size = tx.Size()
		_, err = tx.WriteTo(w)
		if w.err != nil {
			return w.err // which bbolt passes on as text
		}
		return err
	})
	if err != nil {
		return err
	}
	footer, err := b.Header.footer()
	if err != nil {
		return err
	}
	if _, err := w.Write(footer); err != nil {
		return err
	}
	w.sum.Sum(b.Sum[:0]) // of what came so far: the file ends in it
	if _, err := w.Write(b.Sum[:]); err != nil {
		return err
	}
	w.sum.Sum(b.Sum[:0])
	b.Bytes = w.n
	return w.to.Flush()
}

// backupWriter writes and sums up a backup file, and looks at the room.
type backupWriter struct {
	ctx  context.Context
	to   *bufio.Writer
	sum  hash.Hash
	o    BackupOptions
	size int64 // of the checkpoint
	n    int64
	look int64 // the next look at the room, by n
	err  error // the first
}

// Write implements io.Writer.
func (w *backupWriter) Write(p []byte) (int, error) {
	w.err = context.Cause(w.ctx)
	if w.err == nil && w.n >= w.look {
		w.look += backupLookBytes
		w.err = w.room(uint64(max(0, w.size-w.n)))
	}
	if w.err != nil {
		return 0, w.err
	}
	w.sum.Write(p)
	n, err := w.to.Write(p)
	w.n += int64(n)
	return n, err
}

// room asks whether so many bytes may be taken.
func (w *backupWriter) room(bytes uint64) error {
	if w.o.Free == nil {
		return nil
	}
	free, err := w.o.Free()
	if err != nil {
		return err
	}
	if free < w.o.Reserve || free-w.o.Reserve < bytes {
		return fmt.Errorf("%w: %d MiB are free, the copy takes %d MiB more and %d MiB are held back for running tasks: "+
			"free disk space, or shorten retention and compact", ErrNoRoom, free>>20, bytes>>20+1, w.o.Reserve>>20)
	}
	return nil
}
