package store

import (
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
