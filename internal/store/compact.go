package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// compactTxBytes bounds one transaction of Compact.
const compactTxBytes = 16 << 20

// Compact gives back to the file system what a checkpoint doesn't use, which
// bbolt itself never does. It needs the file to itself and room for a copy: the
// copy is checked and fsynced before it takes the file's name. It returns the
// sizes before and after, in bytes. On an error the file is as it was.
func Compact(dir string) (before, after int64, err error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return 0, 0, fmt.Errorf("there is no checkpoint %s: is %s the data directory?", path, dir)
	}
	// Opened for writing, as the lock for reading is shared with other readers.
	src, err := openFile(path, fileOptions{lockWait: LockWaitMax})
	if err != nil {
		return 0, 0, err
	}
	before, after, err = compact(dir, path, src)
	if err != nil {
		err = explainWrite(dir, "compact the checkpoint", errors.Join(err, removeIfThere(path+suffixCompact)))
	}
	// The lock is held until the copy has the name: whoever waits for it finds
	// the name gone from the file it locked (see verifyFile).
	return before, after, errors.Join(err, src.Close())
}

func compact(dir, path string, src *bbolt.DB) (before, after int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	var old Report
	if old, err = wholeFile(src); err != nil {
		return 0, 0, err
	}
	copied := path + suffixCompact
	if err := removeIfThere(copied); err != nil {
		return 0, 0, err
	}
	if err := copyCompact(src, copied); err != nil {
		return 0, 0, err
	}
	if after, err = verifyCopy(copied, old); err != nil {
		return 0, 0, err
	}
	if err := os.Rename(copied, path); err != nil {
		return 0, 0, err
	}
	return info.Size(), after, syncPath(dir)
}

// wholeFile checks a file and makes problems an error.
func wholeFile(db *bbolt.DB) (Report, error) {
	r, err := checkFile(db, nil)
	if err == nil && !r.OK() {
		err = fmt.Errorf("%w: %s has %d problems, which `coordinator check` lists; the first: %s",
			ErrDamaged, r.Path, len(r.Problems)+r.Omitted, r.Problems[0])
	}
	return r, err
}

// copyCompact copies a file, without syncing each transaction.
func copyCompact(src *bbolt.DB, to string) error {
	o := fileOptions{lockWait: LockWaitMax}
	dst, err := bbolt.Open(to, 0o600, o.bolt(nil))
	if err != nil {
		return explainOpen(to, err)
	}
	dst.NoSync, dst.AllocSize = true, 1<<20
	err = bbolt.Compact(dst, src, compactTxBytes)
	used := int64(0)
	if err == nil {
		err = dst.View(func(tx *bbolt.Tx) error {
			used = tx.Size()
			return nil
		})
	}
	if err := errors.Join(err, dst.Close()); err != nil {
		return err
	}
	if err := os.Truncate(to, used); err != nil {
		return err
	}
	return syncPath(to)
}

// verifyCopy checks that a copy is whole and holds what the original held, and
// tells its size.
func verifyCopy(path string, old Report) (bytes int64, err error) {
	db, err := openFile(path, fileOptions{lockWait: LockWaitMax, readOnly: true})
	if err != nil {
		return 0, err
	}
	r, err := wholeFile(db)
	if err := errors.Join(err, db.Close()); err != nil {
		return 0, err
	}
	bytes = r.Bytes
	r.Path, r.Bytes = old.Path, old.Bytes
	if fmt.Sprint(r) != fmt.Sprint(old) {
		return 0, fmt.Errorf("the copy %s differs from the original: this is a bug", path)
	}
	return bytes, nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
