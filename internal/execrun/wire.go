//go:build linux

package execrun

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// frameMax bounds a frame's body, in bytes. The largest is a start.
	frameMax = ArgvEnvMax + 64<<10
	// frameFiles is how many descriptors a frame carries at most.
	frameFiles = ProgressFD + 1
	// standardFiles is how many a start carries at least: stdin, stdout, stderr.
	standardFiles = 3
)

type op uint8

const (
	opStart   op = iota + 1 // request: run it; carries stdin, stdout, stderr, and where progress is reported if it is
	opStop                  // request: SIGTERM, after Grace SIGKILL; 0 is SIGKILL at once
	opReady                 // reply: the helper is set up
	opStarted               // reply: the task executes as Pid
	opEnded                 // reply: the run is over, by whichever way
)

// request goes from worker to helper.
type request struct {
	Op    op
	Run   uint64
	Path  string
	Argv  []string
	Dir   string
	Env   []string
	Grace time.Duration
}

// reply goes from helper to worker.
type reply struct {
	Op         op
	Run        uint64
	Pid        int
	Errno      int  // the start failed
	BadDir     bool // … because of Dir
	Status     uint32
	Stopped    bool
	Killed     bool
	Unstarted  bool // ended before it was executed
	Unended    bool // the first process is still there: Status says nothing
	Closing    bool // ended because the socket closed
	Stragglers int
}

// wire carries frames over a stream socket: four bytes of length, to which
// descriptors are attached, then a gob. Each frame is encoded on its own, so
// that a frame's size is bounded and a reader needs no history. One goroutine
// sends and one receives.
type wire struct{ sock *net.UnixConn }

// newWire takes over fd, a connected unix stream socket.
func newWire(fd int) (*wire, error) {
	f := os.NewFile(uintptr(fd), "execrun-socket")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	sock, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("not a unix socket"), c.Close())
	}
	return &wire{sock: sock}, nil
}

// send writes one frame with files. The caller still owns them.
func (w *wire) send(v any, files []int) error {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(v); err != nil {
		panic("execrun: encode frame: " + err.Error()) // our own types
	}
	if body.Len() > frameMax {
		return fmt.Errorf("execrun: frame of %d bytes, the limit is %d", body.Len(), frameMax)
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(body.Len()))
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	if n, _, err := w.sock.WriteMsgUnix(head, rights, nil); err != nil || n != len(head) {
		return errors.Join(err, shortWrite(n, len(head)))
	}
	_, err := w.sock.Write(body.Bytes())
	return err
}

func shortWrite(n, want int) error {
	if n == want {
		return nil
	}
	return io.ErrShortWrite
}

// recv reads one frame into v and returns the descriptors that came with it,
// close-on-exec; the caller owns them. io.EOF is the end between two frames.
func (w *wire) recv(v any) (files []int, err error) {
	defer func() {
		if err != nil {
			closeFDs(files)
			files = nil
		}
	}()
	head := make([]byte, 4)
	rights := make([]byte, unix.CmsgSpace(frameFiles*4))
	for got := 0; got < len(head); {
		n, rn, flags, _, err := w.sock.ReadMsgUnix(head[got:], rights)
		if err != nil {
			if got > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return files, err
		}
		more, err := parseRights(rights[:rn])
		files = append(files, more...)
		if err != nil {
			return files, err
		}
		if flags&unix.MSG_CTRUNC != 0 {
			return files, errors.New("execrun: descriptors were cut off (too many open files?)")
		}
		got += n
	}
	size := binary.BigEndian.Uint32(head)
	if size > frameMax {
		return files, fmt.Errorf("execrun: frame of %d bytes, the limit is %d", size, frameMax)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(w.sock, body); err != nil {
		return files, err
	}
	return files, gob.NewDecoder(bytes.NewReader(body)).Decode(v)
}

func parseRights(b []byte) ([]int, error) {
	if len(b) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return nil, err
	}
	var files []int
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return files, err
		}
		files = append(files, fds...)
	}
	return files, nil
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd) // pipes: nothing to flush, nothing to tell
	}
}
