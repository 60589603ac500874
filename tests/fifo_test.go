//go:build e2e

package tests

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// fifo is a named pipe that processes hold open for writing. Its end of file proves that none of them is left.
type fifo struct {
	path string
	file *os.File
	in   *bufio.Reader
	hold *os.File // keeps the end of file away until the first line
}

func newFifo(t *testing.T) *fifo {
	t.Helper()
	f := &fifo{path: filepath.Join(t.TempDir(), "fifo")}
	if err := syscall.Mkfifo(f.path, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.file, err = os.OpenFile(f.path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		t.Fatal(err)
	}
	if f.hold, err = os.OpenFile(f.path, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	f.in = bufio.NewReader(f.file)
	t.Cleanup(func() { f.hold.Close(); f.file.Close() })
	return f
}

// lines waits for n lines, which is n processes that hold the pipe.
func (f *fifo) lines(t *testing.T, n int) {
	t.Helper()
	f.bound(t, patience)
	for range n {
		if _, err := f.in.ReadString('\n'); err != nil {
			t.Fatalf("waited for %d processes: %v", n, err)
		}
	}
	f.hold.Close()
}

// held reports that somebody holds the pipe.
func (f *fifo) held(t *testing.T) bool {
	t.Helper()
	f.bound(t, 50*time.Millisecond)
	_, err := f.in.ReadByte()
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// ends waits until nobody holds the pipe, and returns how long that took.
func (f *fifo) ends(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	f.bound(t, patience)
	for {
		_, err := f.in.ReadByte()
		if errors.Is(err, io.EOF) {
			return time.Since(began)
		}
		if err != nil {
			t.Fatalf("processes are left that hold the pipe: %v", err)
		}
	}
}

func (f *fifo) bound(t *testing.T, d time.Duration) {
	t.Helper()
	if err := f.file.SetReadDeadline(time.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
}
