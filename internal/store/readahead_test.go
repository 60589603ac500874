package store

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// readerSpy notes what is read of a file that isn't there.
type readerSpy struct {
	size int64
	fail error // of reads at the end

	mu   sync.Mutex
	read int64
}

func (r *readerSpy) ReadAt(p []byte, at int64) (int, error) {
	n := min(int64(len(p)), max(r.size-at, 0))
	r.mu.Lock()
	r.read += n
	r.mu.Unlock()
	if n < int64(len(p)) {
		return int(n), r.fail
	}
	return int(n), nil
}

func TestReadWhole(t *testing.T) {
	for _, size := range []int64{0, 1, readAheadPiece, 13*readAheadPiece + 5} {
		spy := &readerSpy{size: size, fail: errors.New("bad sector")}
		wantErr(t, readWhole(spy), spy.fail)
		if spy.read != size {
			t.Errorf("read %d bytes of %d", spy.read, size)
		}
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 3*readAheadPiece/2), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := readWhole(f); err != nil {
		t.Error(err)
	}
	f.Close()
	wantErr(t, readWhole(f), os.ErrClosed)
	wantErr(t, readAhead(path+"not"), os.ErrNotExist)
	if err := readAhead(path); err != nil {
		t.Error(err)
	}
}
