package store

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

const (
	readAheadPiece   = 4 << 20 // what one reader takes at a time
	readAheadReaders = 4       // one alone leaves a virtual disk idle half the time

	cacheSamples    = 64
	cacheSampleSize = 512
)

// readAhead reads a file from end to end, unless the page cache holds it: bbolt
// then finds its pages there. A tree walked cold costs a seek a page, as bbolt
// tells the kernel not to read ahead. On a local SSD the two take about as long
// (0.8 s a million tasks); on a network disk or one that turns, the walk takes
// ten times as long. A disk that can't read its sectors says so here, and not by
// a signal.
func readAhead(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || looksCached(f, info.Size()) {
		return err
	}
	return readWhole(f)
}

// readWhole reads a file from end to end and throws away what it reads.
func readWhole(f io.ReaderAt) error {
	var next atomic.Int64
	var readers sync.WaitGroup
	errs := make([]error, readAheadReaders)
	for i := range errs {
		readers.Go(func() {
			buf := make([]byte, readAheadPiece)
			for errs[i] == nil {
				_, errs[i] = f.ReadAt(buf, next.Add(readAheadPiece)-readAheadPiece)
			}
			if errors.Is(errs[i], io.EOF) {
				errs[i] = nil
			}
		})
	}
	readers.Wait()
	return errors.Join(errs...)
}
