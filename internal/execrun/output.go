//go:build linux

package execrun

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// drainWait is how long output is still read after a task's end. What is
	// in the pipes takes microseconds; more is only held by a straggler.
	drainWait = time.Second
	// copySize is the buffer of one output stream, in bytes.
	copySize = 32 << 10
)

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// head keeps the first max bytes.
type head struct {
	max  int
	kept []byte
	size int64
}

func (h *head) write(p []byte) {
	h.size += int64(len(p))
	h.kept = append(h.kept, p[:min(len(p), h.max-len(h.kept))]...)
}

// tail keeps the last max bytes, in a ring once there are more.
type tail struct {
	max  int
	ring []byte
	next int // where the oldest byte is, once the ring is full
	size int64
}

func (t *tail) write(p []byte) {
	t.size += int64(len(p))
	if len(p) > t.max {
		p = p[len(p)-t.max:]
	}
	grow := min(len(p), t.max-len(t.ring))
	t.ring = append(t.ring, p[:grow]...)
	for p = p[grow:]; len(p) > 0; {
		n := copy(t.ring[t.next:], p)
		p = p[n:]
		t.next = (t.next + n) % t.max
	}
}

func (t *tail) bytes() []byte {
	return append(append(make([]byte, 0, len(t.ring)), t.ring[t.next:]...), t.ring[:t.next]...)
}

// streams are the pipes of a run.
type streams struct {
	in, out, err *os.File // the worker's ends
	progress     *os.File // likewise; nil: the task isn't asked for it
	theirs       []int    // the task's ends, in the order of its descriptors, until they are sent
	stdout       head
	stderr       tail
	copying      sync.WaitGroup // all outputs
	feeding      sync.WaitGroup // stdin
	ended        chan struct{}  // closed: the task is over, its progress is read without pauses
}

func newStreams(spec Spec) (*streams, error) {
	s := &streams{stdout: head{max: spec.StdoutMax}, stderr: tail{max: spec.StderrTail}, ended: make(chan struct{})}
	pairs := make([][2]int, standardFiles, frameFiles)
	if spec.Progress != nil {
		pairs = pairs[:ProgressFD+1]
	}
	for i := range pairs {
		if err := unix.Pipe2(pairs[i][:], unix.O_CLOEXEC); err != nil {
			for _, p := range pairs[:i] {
				closeFDs(p[:])
			}
			return nil, os.NewSyscallError("pipe2", err)
		}
	}
	s.theirs = []int{pairs[0][0], pairs[1][1], pairs[2][1]}
	s.in, s.out, s.err = ours(pairs[0][1], "stdin"), ours(pairs[1][0], "stdout"), ours(pairs[2][0], "stderr")
	if spec.Progress != nil {
		s.theirs = append(s.theirs, pairs[ProgressFD][1])
		s.progress = ours(pairs[ProgressFD][0], "progress")
	}
	return s, nil
}

// ours makes fd a file that the runtime polls. The task's end is another open
// file: it stays blocking, as programs expect.
func ours(fd int, name string) *os.File {
	_ = unix.SetNonblock(fd, true) // a valid descriptor: can't fail
	return os.NewFile(uintptr(fd), name)
}

// pump starts to feed stdin and to read the outputs.
func (s *streams) pump(spec Spec) {
	s.feeding.Go(func() {
		// A task may close its stdin or never read it: EPIPE, or the Close in
		// finish, ends the write, and neither is the task's failure.
		_, _ = s.in.Write(spec.Stdin)
		_ = s.in.Close()
	})
	s.copying.Go(func() { readAll(s.out, s.stdout.write) })
	s.copying.Go(func() { readAll(s.err, s.stderr.write) })
	if s.progress != nil {
		s.copying.Go(func() { readLines(s.progress, spec.Progress, s.rest) })
	}
}

// rest is the pause between two reads of progress.
func (s *streams) rest() {
	wait := time.NewTimer(ProgressPause)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-s.ended:
	}
}

func readAll(f io.Reader, write func([]byte)) {
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := f.Read(buf[:])
		write(buf[:n])
		if err != nil {
			return // EOF, or the deadline that finish sets
		}
	}
}

// outputs are the pipes that the task writes to.
func (s *streams) outputs() []*os.File {
	files := []*os.File{s.out, s.err}
	if s.progress != nil {
		files = append(files, s.progress)
	}
	return files
}

// finish waits for the end of all outputs, at most drainWait, and fills res.
func (s *streams) finish(res *Result) {
	close(s.ended)
	_ = s.in.Close()
	s.feeding.Wait()
	cut := time.AfterFunc(drainWait, func() {
		for _, f := range s.outputs() {
			_ = f.SetReadDeadline(time.Unix(1, 0))
		}
	})
	s.copying.Wait()
	res.OutputCut = !cut.Stop()
	for _, f := range s.outputs() {
		_ = f.Close()
	}
	res.Stdout, res.StdoutSize = s.stdout.kept, s.stdout.size
	res.StdoutTruncated = s.stdout.size > int64(len(s.stdout.kept))
	res.StderrTail, res.StderrSize = s.stderr.bytes(), s.stderr.size
}

// discard closes everything of a run that was never pumped.
func (s *streams) discard() {
	closeFDs(s.theirs)
	for _, f := range append(s.outputs(), s.in) {
		_ = f.Close()
	}
}
