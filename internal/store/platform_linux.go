package store

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// looksCached samples whether the page cache holds a file: a read that may not
// wait succeeds then. Where the file system can't tell, it doesn't look cached.
func looksCached(f *os.File, size int64) bool {
	var buf [cacheSampleSize]byte
	for i := int64(0); i < cacheSamples; i++ {
		n, err := unix.Preadv2(int(f.Fd()), [][]byte{buf[:]}, size/cacheSamples*i, unix.RWF_NOWAIT)
		if n <= 0 || err != nil {
			return false
		}
	}
	return true
}

// unlock gives up the lock of a file that bbolt has left mapped: closing it
// isn't enough then.
func unlock(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) }

// inspect checks the tree of pages of a file that nobody has open for writing; one that somebody has is left to bbolt, which
// refuses it. leaves: look into leaves too.
func inspect(path string, leaves bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil {
		return nil
	}
	defer unlock(f)
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	if err := readAhead(path); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	file, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil // address space is limited: bbolt tells if it is too small
	}
	err = guard(nil, func() error { return checkPages(file, leaves) })
	_ = unix.Munmap(file)
	return err
}
