package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Suffixes of files that are not yet, or no longer, the checkpoint. A crash may
// leave one behind; the next Open removes it.
const (
	suffixNew     = ".new"
	suffixCompact = ".compact"
	suffixBackup  = ".backup"
)

type openFileFunc func(name string, flag int, mode os.FileMode) (*os.File, error)

// fileOptions are how to open a checkpoint file.
type fileOptions struct {
	lockWait time.Duration
	mmapSize int
	readOnly bool
	openFile openFileFunc // nil: os.OpenFile
}

// bolt are the options for bbolt.
//
// The free list is written with each commit, other than NoFreelistSync would
// have it. Measured on a file of 460 MB: with a full file there is no
// difference; drained of a million tasks (97,000 free pages, a list of 780 KB)
// a commit of one row takes 1.3 ms against 0.3, one of 1,000 rows 2.3 against
// 1.3, one of 32,768 rows 28 either way. Checkpoints come a few times a second,
// so that is nothing; in return Open takes 5 ms in place of 58, and damaged
// pages are an error of Open and Check. Without the list bbolt looks for free
// pages by walking the tree in a goroutine of its own, where a damaged page ends
// the process with a stack, and Check can't tell a lost page from a free one.
//
// The list is kept as an array, which gives out the first page that is free, or
// the first pages in a row. bbolt's map gives out any. So it cuts up the long
// gaps, and as the list itself must be written to pages in a row, at each commit,
// a file with 30 MB of free pages under a steady load soon had no gap for it, and
// grew by 33 MB in ten minutes, the list with it. With the array it stays as it
// is (BenchmarkSteady), and costs no more: with 68,000 free pages a commit of one
// row takes 0.5 to 0.6 ms against 0.6 to 0.9, one of 32,768 rows 4.2 to 6.2
// against 6.2 to 6.6, one of 2,000 payloads of 12 KiB 32 to 33 ms either way.
//
// NoGrowSync stays false: ext4 may lose a file's new length with it.
func (o fileOptions) bolt(open openFileFunc) *bbolt.Options {
	return &bbolt.Options{
		Timeout:         o.lockWait,
		FreelistType:    bbolt.FreelistArrayType,
		InitialMmapSize: o.mmapSize,
		ReadOnly:        o.readOnly,
		OpenFile:        open,
	}
}

// openFile opens an existing checkpoint file and takes its lock: alone, or
// shared with other readers. It makes sure that the file locked is the one that
// has the name now: Compact may have put another there while this process
// waited.
func openFile(path string, o fileOptions) (*bbolt.DB, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	if info.Size() == 0 || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is empty or no file; restore a backup, or move it away to start with no tasks at all",
			ErrNotCheckpoint, path)
	}
	if !o.readOnly { // Check looks closer
		if err := inspect(path, false); err != nil {
			return nil, fmt.Errorf("open checkpoint %s: %w", path, err)
		}
	}
	if o.openFile == nil {
		o.openFile = os.OpenFile
	}
	var locked *os.File
	capture := func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := o.openFile(name, flag&^os.O_CREATE, mode)
		locked = f
		return f, err
	}
	var db *bbolt.DB
	err = guard(nil, func() (err error) {
		db, err = bbolt.Open(path, 0o600, o.bolt(capture))
		return err
	})
	if err != nil && locked != nil {
		unlock(locked) // bbolt has closed it, unless it panicked
		_ = locked.Close()
	}
	if errors.Is(err, syscall.ENOMEM) && o.mmapSize > 0 {
		o.mmapSize = 0 // address space is limited: grow as need be
		return openFile(path, o)
	}
	if err != nil {
		return nil, explainOpen(path, err)
	}
	if err := verifyFile(path, db, locked); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// verifyFile refuses a file that lost its name or its end.
func verifyFile(path string, db *bbolt.DB, locked *os.File) error {
	named, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("open checkpoint: %w", err)
	}
	info, err := locked.Stat()
	if err != nil {
		return fmt.Errorf("open checkpoint: %w", err)
	}
	if !os.SameFile(named, info) {
		return fmt.Errorf("%w: %s was replaced while this process waited for it, most likely by `coordinator compact` or `restore`: start again",
			ErrInUse, path)
	}
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("%w: %s has %d bytes and should have %d: its end is missing, restore a backup",
				ErrDamaged, path, info.Size(), tx.Size())
		}
		return nil
	})
}

func explainOpen(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%w: %s is locked, most likely by another coordinator on this data directory, "+
			"or by `coordinator check` or `compact` (`fuser %s` names the process): stop it, or choose another --data-dir",
			ErrInUse, path, path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %s: %w; restore a backup", ErrNotCheckpoint, path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open checkpoint: %w: it must belong to the user that the coordinator runs as", err)
	}
	return fmt.Errorf("open checkpoint %s: %w", path, err)
}

// makeDir makes the data directory and those above it, and their names durable.
func makeDir(dir string) error {
	dir = filepath.Clean(dir)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the data directory: %w", err)
	}
	return syncPath(parent)
}

// createFile makes an empty checkpoint, under another name first: bbolt can't
// open a file whose first pages were torn by a power loss. If another process
// was quicker, its file stands: a link, other than a rename, never replaces.
func createFile(path string, lockWait time.Duration) error {
	unfinished := path + suffixNew
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	o := fileOptions{lockWait: lockWait}
	db, err := bbolt.Open(unfinished, 0o600, o.bolt(nil))
	if err != nil {
		return explainOpen(unfinished, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range allBuckets() {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return new(tally).put(tx)
	})
	if err := errors.Join(err, db.Close(), syncPath(unfinished)); err != nil {
		return err
	}
	err = os.Link(unfinished, path)
	if err != nil && !errors.Is(err, fs.ErrExist) { // no links here
		err = os.Rename(unfinished, path)
	} else {
		err = os.Remove(unfinished)
	}
	return errors.Join(err, syncPath(filepath.Dir(path)))
}

// syncPath fsyncs a file or a directory.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// explainWrite adds to a failed write what a person can do about it. bbolt
// passes some errors on as text only.
func explainWrite(dir, what string, err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return fmt.Errorf("%s: no room left in %s: free some disk space (or raise the quota), then start the coordinator again; "+
				"nothing that was acknowledged is lost: %w", what, dir, err)
		}
	}
	return fmt.Errorf("%s in %s: %w", what, dir, err)
}

// guard turns a fault of the mapped file and a panic of bbolt, which damaged
// pages cause, into an error. A panic while *callback is set is the caller's
// own and goes on.
func guard(callback *bool, fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if callback != nil && *callback {
			return
		}
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: unreadable page: %v; restore a backup", ErrDamaged, r)
		}
	}()
	return fn()
}
