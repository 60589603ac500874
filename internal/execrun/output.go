//go:build linux

package execrun

import (
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

// streams are the three pipes of a run.
type streams struct {
	in, out, err *os.File // the worker's ends; in is nil without a payload
	theirs       []int    // the task's ends, until they are sent
	stdout       head
	stderr       tail
	copying      sync.WaitGroup // both outputs
	feeding      sync.WaitGroup // stdin
}

func newStreams(spec Spec) (*streams, error) {
	s := &streams{stdout: head{max: spec.StdoutMax}, stderr: tail{max: spec.StderrTail}}
	var pairs [3][2]int
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
	return s, nil
}

// ours makes fd a file that the runtime polls. The task's end is another open
// file: it stays blocking, as programs expect.
func ours(fd int, name string) *os.File {
	_ = unix.SetNonblock(fd, true) // a valid descriptor: can't fail
	return os.NewFile(uintptr(fd), name)
}

// pump starts to feed stdin and to read the outputs.
func (s *streams) pump(stdin []byte) {
	s.feeding.Go(func() {
		// A task may close its stdin or never read it: EPIPE, or the Close in
		// finish, ends the write, and neither is the task's failure.
		_, _ = s.in.Write(stdin)
		_ = s.in.Close()
	})
	s.copying.Go(func() { readAll(s.out, s.stdout.write) })
	s.copying.Go(func() { readAll(s.err, s.stderr.write) })
}

func readAll(f *os.File, write func([]byte)) {
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

// finish waits for the end of both outputs, at most drainWait, and fills res.
func (s *streams) finish(res *Result) {
	_ = s.in.Close()
	s.feeding.Wait()
	cut := time.AfterFunc(drainWait, func() {
		_ = s.out.SetReadDeadline(time.Unix(1, 0))
		_ = s.err.SetReadDeadline(time.Unix(1, 0))
	})
	s.copying.Wait()
	res.OutputCut = !cut.Stop()
	_ = s.out.Close()
	_ = s.err.Close()
	res.Stdout, res.StdoutSize = s.stdout.kept, s.stdout.size
	res.StdoutTruncated = s.stdout.size > int64(len(s.stdout.kept))
	res.StderrTail, res.StderrSize = s.stderr.bytes(), s.stderr.size
}

// discard closes everything of a run that was never pumped.
func (s *streams) discard() {
	closeFDs(s.theirs)
	for _, f := range []*os.File{s.in, s.out, s.err} {
		_ = f.Close()
	}
}
