//go:build e2e && crash

package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An injector lets a chosen system call of a process fail: the n-th of a kind on the files of its data directory, counted
// over all its threads. The process runs under a seccomp filter that hands such calls to the test, which answers each: go
// on, or this error. (strace counts calls for each thread by itself, and Go's goroutines change threads: its "n-th" is
// another call in each run, and most of what it counts are writes to sockets.)
type injector struct {
	t    *testing.T
	dir  string // only calls on files at or below it count
	plan plan
	over chan struct{} // closed once the process has ended

	mu    sync.Mutex
	calls []call // guarded by mu: those that counted, in order
	hit   *call  // guarded by mu: the one that was made to fail
	err   error  // guarded by mu
}

// plan is what shall fail.
type plan struct {
	kind  callKind
	nth   int // 1 is the first; 0: none
	errno syscall.Errno
}

// callKind is a set of system calls.
type callKind struct {
	name    string
	numbers []uint32
}

var (
	callsSync  = callKind{"sync", []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC}}
	callsWrite = callKind{"write", []uint32{unix.SYS_WRITE, unix.SYS_PWRITE64}}
	callsSize  = callKind{"size", []uint32{unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE}}
	callsAll   = callKind{"any", slices.Concat(callsSync.numbers, callsWrite.numbers, callsSize.numbers)}
)

// has reports whether a call is of the kind.
func (k callKind) has(c call) bool {
	return slices.ContainsFunc(k.numbers, func(nr uint32) bool { return callNames[nr] == c.name })
}

var callNames = map[uint32]string{
	unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64",
	unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FALLOCATE: "fallocate",
}

// call is one system call on a file.
type call struct {
	name, file string // of the file: its name, or that of a directory
	number     int    // from 1 on
}

func (c *call) String() string {
	if c == nil {
		return "no call"
	}
	return fmt.Sprintf("call %d, %s of %s", c.number, c.name, c.file)
}

// roleInjected is the test binary's role that puts itself under the filter and becomes the program.
const roleInjected = "injected"

// injectedPart is its settings.
type injectedPart struct {
	Socket string // where the filter's other end is sent
	Calls  []uint32
	Argv   []string
}

// launchInjected launches the coordinator under a plan and doesn't wait.
func (c *coordinator) launchInjected(p plan) *injector {
	c.t.Helper()
	if err := os.Remove(c.file); err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "yi") // a socket's path must be short
	if err != nil {
		c.t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	lis, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		c.t.Fatal(err)
	}
	defer lis.Close()
	c.proc = startRole(c.t, roleInjected, "coordinator", injectedPart{socket, p.kind.numbers, c.argv()})
	fd, err := receiveFD(lis)
	if err != nil {
		c.t.Fatalf("no filter for system calls: %v", err)
	}
	i := &injector{t: c.t, dir: c.data, plan: p, over: make(chan struct{})}
	go i.answer(fd)
	c.t.Cleanup(func() {
		c.proc.kill()
		<-i.over
	})
	return i
}

// receiveFD takes the descriptor that the other side sends.
func receiveFD(lis *net.UnixListener) (int, error) {
	_ = lis.SetDeadline(time.Now().Add(patience))
	conn, err := lis.AcceptUnix()
	if err != nil {
		return -1, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	data, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(data, rights)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("%d messages: %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("%d descriptors: %w", len(fds), err)
	}
	return fds[0], nil
}

// seccompNotif and seccompAnswer are struct seccomp_notif and struct seccomp_notif_resp of linux/seccomp.h.
type seccompNotif struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type seccompAnswer struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// answer answers each call until the process has ended.
func (i *injector) answer(fd int) {
	defer close(i.over)
	defer unix.Close(fd)
	for {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			i.fail(err)
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return // nobody is under the filter any more
		}
		var n seccompNotif
		if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err != nil {
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) {
				continue // a thread that was killed meanwhile, or a signal
			}
			i.fail(err)
			return
		}
		a := seccompAnswer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if i.fails(&n) {
			a.flags, a.error = 0, -int32(i.plan.errno)
		}
		if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)); err != nil && !errors.Is(err, unix.ENOENT) {
			i.fail(err)
			return
		}
	}
}

// fails counts a call, and says whether it is the one.
func (i *injector) fails(n *seccompNotif) bool {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, int32(n.args[0])))
	if err != nil || path != i.dir && !strings.HasPrefix(path, i.dir+"/") {
		return false // a socket, a pipe, a file elsewhere
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	c := call{callNames[uint32(n.nr)], fileKind(i.dir, path), len(i.calls) + 1}
	i.calls = append(i.calls, c)
	if c.number != i.plan.nth {
		return false
	}
	i.hit = &c
	return true
}

// fileKind names a file of a data directory without what differs from one to the next.
func fileKind(dir, path string) string {
	rel, _ := filepath.Rel(dir, path) // path is at or below dir
	rel = strings.TrimSuffix(rel, " (deleted)")
	switch {
	case rel == ".":
		return "the data directory"
	case rel == "raft" || rel == "raft/wal":
		return "the directory " + rel
	case strings.HasSuffix(rel, ".wal"):
		return "a log segment"
	}
	return filepath.Base(rel)
}

func (i *injector) fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
}

// found is what was counted and what failed, once the process has ended.
func (i *injector) found() (calls []call, hit *call) {
	i.t.Helper()
	<-i.over
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		i.t.Fatalf("the injector: %v", i.err)
	}
	return i.calls, i.hit
}

// tally says how many calls there were of each kind on each file.
func tallyCalls(calls []call) string {
	counts := map[string]int{}
	for _, c := range calls {
		counts[c.name+" of "+c.file]++
	}
	var list []string
	for what, n := range counts {
		list = append(list, fmt.Sprintf("%d %s", n, what))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// playInjected is the role. After the filter is there it makes no call that the filter knows before its other end is sent.
func playInjected() int {
	var part injectedPart
	if err := json.Unmarshal([]byte(os.Getenv(rolesVariable)), &part); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	runtime.LockOSThread() // the filter is this thread's, and that of what it becomes
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(sock, &unix.SockaddrUnix{Name: part.Socket})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "connect to the injector:", err)
		return 1
	}
	listener, err := filterCalls(part.Calls)
	if err != nil {
		fmt.Fprintln(os.Stderr, "install the filter:", err)
		return 1
	}
	if err := unix.Sendmsg(sock, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return 1
	}
	return become(part.Argv)
}

// filterCalls installs a filter that hands calls to whoever has the descriptor that it returns.
func filterCalls(numbers []uint32) (int, error) {
	n := len(numbers)
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the call's number
	for i, nr := range numbers {
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(n - i), K: nr})
	}
	program = append(program,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}
