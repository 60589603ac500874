package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
)

// patternRestore names the unfinished file of a restore; the star is random.
const patternRestore = FileName + ".restore-*"

// Restore puts the checkpoint of a backup file into dir, which must be empty or
// absent. The copy is written under another name, compared with the backup's
// checksum, checked whole and prepared: its log index is 0, since a new log
// begins, and its state says that it comes from a backup. Only then it takes its
// name, fsynced. So a crash leaves an unfinished file, which the next Restore
// removes, or all of it. Errors: ErrNotEmpty, ErrNotBackup, ErrNewerFormat,
// ErrDamaged, or that of the disk.
func Restore(dir, backup string, progress func(done, total int)) (BackupHeader, Report, error) {
	f, h, err := openBackup(backup)
	if err != nil {
		return h, Report{}, err
	}
	defer f.Close()
	if err := emptyDir(dir); err != nil {
		return h, Report{}, err
	}
	unfinished, err := os.CreateTemp(dir, patternRestore)
	if err != nil {
		return h, Report{}, explainRestore(dir, h, err)
	}
	name := unfinished.Name()
	err = copyBackup(f, h, backup, unfinished)
	if err := errors.Join(err, unfinished.Sync(), unfinished.Close()); err != nil {
		return h, Report{}, errors.Join(explainRestore(dir, h, err), removeIfThere(name))
	}
	r, err := finishRestore(dir, name, h, progress)
	if err != nil {
		return h, r, errors.Join(explainRestore(dir, h, err), removeIfThere(name))
	}
	return h, r, nil
}

// finishRestore checks and prepares the copy and gives it its name.
func finishRestore(dir, name string, h BackupHeader, progress func(done, total int)) (r Report, err error) {
	db, err := openFile(name, fileOptions{lockWait: LockWaitMax})
	if err != nil {
		return r, err
	}
	if r, err = checkFile(db, progress); err == nil {
		switch {
		case !r.OK():
			err = fmt.Errorf("%w: the backup was made of a damaged checkpoint, with %d problems, the first: %s; use another backup",
				ErrDamaged, len(r.Problems)+r.Omitted, r.Problems[0])
		case r.Index != h.Index || r.Logic != h.Logic || r.Format != h.Format:
			err = fmt.Errorf("%w: the checkpoint in the backup isn't the one that its header tells of; use another backup", ErrDamaged)
		case r.Format != FormatVersion:
			err = fmt.Errorf("%w: format %d is older than any backup's", ErrNotBackup, r.Format)
		default:
			err = guard(nil, func() error { return db.Update(prepareRestored) })
		}
	}
	if err := errors.Join(err, db.Close(), syncPath(name)); err != nil {
		return r, err
	}
	// A link, other than a rename, never replaces what came meanwhile.
	path := filepath.Join(dir, FileName)
	if err := os.Link(name, path); errors.Is(err, fs.ErrExist) {
		return r, notEmpty(dir, FileName)
	} else if err != nil {
		return r, errors.Join(os.Rename(name, path), syncPath(dir)) // no links here
	}
	return r, errors.Join(syncPath(dir), os.Remove(name), syncPath(dir))
}

// prepareRestored makes a copied checkpoint the beginning of a new log.
func prepareRestored(tx *bbolt.Tx) error {
	t, err := readTally(tx)
	if err != nil {
		return err
	}
	b, err := openBucket(tx, tableBuckets[scheduler.TableGlobals])
	if err != nil {
		return err
	}
	data, whole := unseal(b.Get(rowKey(globalsKey)), place(tag(scheduler.TableGlobals), globalsKey))
	if !whole {
		return damagedAt(tableBuckets[scheduler.TableGlobals], globalsKey, errSum)
	}
	g, err := decodeGlobals(globalsKey, data)
	if err != nil {
		return damagedAt(tableBuckets[scheduler.TableGlobals], globalsKey, err)
	}
	g.Restoring = true
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(globalsToProto(g))
	if err != nil {
		return err
	}
	value = seal(value, 0, place(tag(scheduler.TableGlobals), globalsKey))
	if err := b.Put(rowKey(globalsKey), value); err != nil {
		return err
	}
	meta, err := openBucket(tx, bucketMeta)
	if err != nil {
		return err
	}
	if err := meta.Delete(keySnapshot); err != nil { // of the lost log
		return err
	}
	t.index = 0
	return t.put(tx)
}

// emptyDir makes a directory, or makes sure that there is nothing in it but what
// an unfinished restore has left, which it removes.
func emptyDir(dir string) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look into the data directory: %w", err)
	}
	var left []string
	for _, e := range entries {
		unfinished, _ := filepath.Match(patternRestore, e.Name()) // a constant: no error
		switch {
		case unfinished:
			left = append(left, filepath.Join(dir, e.Name()))
		case e.Name() != "lost+found": // of a file system of its own
			return notEmpty(dir, e.Name())
		}
	}
	for _, path := range left {
		if err := removeIfThere(path); err != nil {
			return err
		}
	}
	return nil
}

func notEmpty(dir, name string) error {
	return fmt.Errorf("%w: %s holds %s: a backup is restored into an empty directory or a new one; choose another, "+
		"or move this one away. If an earlier restore into it was complete, start the coordinator", ErrNotEmpty, dir, name)
}

// explainRestore adds to a full disk what can be done about it.
func explainRestore(dir string, h BackupHeader, err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return fmt.Errorf("no room left in %s: the backup takes %d MiB there: free some disk space (or raise the quota), then restore again: %w",
				dir, h.CheckpointBytes>>20+1, err)
		}
	}
	return err
}
