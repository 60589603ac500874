//go:build linux

package execrun

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// process is one line of the process table.
type process struct {
	pid, ppid, pgid, sid int
	start                uint64 // ticks since boot: tells two bearers of a pid apart
	state                byte
}

type processID struct {
	pid   int
	start uint64
}

func (p process) id() processID { return processID{p.pid, p.start} }

// live says whether p still executes; a zombie is only waited for.
func (p process) live() bool { return p.state != 'Z' && p.state != 'X' && p.state != 'x' }

// readProcess returns the table's line for pid; false if there is no such process.
func readProcess(pid int) (process, bool, error) {
	var buf [1024]byte
	n, err := readProcFile(pid, "stat", buf[:])
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return process{}, false, nil
	}
	if err != nil {
		return process{}, false, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
	}
	p, ok := parseStat(pid, buf[:n])
	if !ok {
		return process{}, false, fmt.Errorf("read /proc/%d/stat: unknown format %q", pid, buf[:n])
	}
	return p, true, nil
}

// readProcFile reads a small file of /proc with bare system calls: a look at
// all processes makes hundreds of these, and the poller can't help with them.
func readProcFile(pid int, name string, buf []byte) (int, error) {
	for {
		fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		n, err := unix.Read(fd, buf)
		_ = unix.Close(fd)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// parseStat reads "pid (any text) state ppid pgrp session … starttime …".
func parseStat(pid int, b []byte) (process, bool) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return process{}, false
	}
	f := bytes.Fields(b[end+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return process{}, false
	}
	p := process{pid: pid, state: f[0][0]}
	for i, to := range []*int{&p.ppid, &p.pgid, &p.sid} {
		v, err := strconv.Atoi(string(f[i+1]))
		if err != nil {
			return process{}, false
		}
		*to = v
	}
	start, err := strconv.ParseUint(string(f[19]), 10, 64)
	p.start = start
	return p, err == nil
}

// descendants returns all processes below root, parents before their children.
// Invariant: a process below root that is there when the pids are last listed,
// and while they are, is in it.
func descendants(root int) ([]process, error) {
	table, err := readTable()
	if err != nil {
		return nil, err
	}
	if err := table.settle(); err != nil {
		return nil, err
	}
	children := make(map[int][]process)
	for _, p := range table {
		children[p.ppid] = append(children[p.ppid], p)
	}
	found := append([]process(nil), children[root]...)
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].pid]...)
	}
	return found, nil
}

type processTable map[int]process

// readTable reads all processes, then those that came meanwhile, until none
// did: a process can't hide by passing itself on to a child while its turn is
// still to come.
func readTable() (processTable, error) {
	table := make(processTable)
	seen := make(map[int]bool)
	for range 10 {
		pids, err := listPids()
		if err != nil {
			return nil, err
		}
		news := false
		for _, pid := range pids {
			if seen[pid] {
				continue
			}
			seen[pid], news = true, true
			if err := table.read(pid); err != nil {
				return nil, err
			}
		}
		if !news {
			break
		}
	}
	return table, nil
}

func listPids() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close()
	if err != nil {
		return nil, err
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func (t processTable) read(pid int) error {
	p, ok, err := readProcess(pid)
	if ok {
		t[pid] = p
	} else {
		delete(t, pid)
	}
	return err
}

// settle re-reads every process whose parent had ended when its turn came: its
// line names the old parent, and the chain to root would be broken there.
func (t processTable) settle() error {
	for range 10 {
		var torn []int
		for pid, p := range t {
			if _, ok := t[p.ppid]; !ok && p.ppid != 0 {
				torn = append(torn, pid)
			}
		}
		if len(torn) == 0 {
			return nil
		}
		for _, pid := range torn {
			if err := t.read(pid); err != nil {
				return err
			}
			if parent := t[pid].ppid; parent != 0 {
				if err := t.read(parent); err != nil {
					return err
				}
			}
		}
	}
	return errors.New("process table did not settle in 10 reads")
}

// environValue returns the value of the variable name in pid's environment as
// it was executed. It is "" if there is none or the file may not be read.
func environValue(pid int, name string) string {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 4*ArgvEnvMax)) // a partial environment is as good as it gets
	for entry := range bytes.SplitSeq(b, []byte{0}) {
		if v, ok := bytes.CutPrefix(entry, []byte(name+"=")); ok {
			return string(v)
		}
	}
	return ""
}

// pipeID names a pipe, whichever descriptors hold it.
type pipeID struct{ dev, ino uint64 }

func pipeIDOf(st *unix.Stat_t) pipeID {
	return pipeID{uint64(st.Dev), st.Ino} //nolint:unconvert // 32 bits on MIPS
}

func pipesOf(fds []int) []pipeID {
	ids := make([]pipeID, 0, len(fds))
	for _, fd := range fds {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			ids = append(ids, pipeIDOf(&st))
		}
	}
	return ids
}

// heldPipes returns what pid's stdout and stderr are; zero if that can't be seen.
func heldPipes(pid int) (ids [2]pipeID) {
	for i := range ids {
		var st unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", pid, i+1), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
			ids[i] = pipeIDOf(&st)
		}
	}
	return ids
}

// killProcess sends SIGKILL to p, and to no later bearer of its pid.
func killProcess(p process) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if err == nil {
		defer unix.Close(fd)
	}
	now, ok, rerr := readProcess(p.pid)
	if rerr != nil || !ok || now.start != p.start {
		return errors.Join(rerr, unix.ESRCH)
	}
	if err != nil { // Linux before 5.3: the window is a few microseconds
		return unix.Kill(p.pid, unix.SIGKILL)
	}
	return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}

// reap takes pid's status if it has ended.
func reap(pid int) (status unix.WaitStatus, ended bool) {
	for {
		got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		if err != unix.EINTR {
			return status, err == nil && got > 0
		}
	}
}

// peek says whether the child pid has ended and leaves it to be reaped, so that
// its pid, group and session ids stay taken. With pid 0 it names any such child.
// It returns ECHILD if there is no such child, ended or not.
func peek(pid int) (ended int, err error) {
	idType := unix.P_PID
	if pid == 0 {
		idType = unix.P_ALL
	}
	for {
		var info unix.Siginfo
		err := unix.Waitid(idType, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		return siginfoPid(&info), err
	}
}

// siginfoPid is si_pid, which x/sys does not name: it follows three int32,
// aligned to a pointer's size.
func siginfoPid(info *unix.Siginfo) int {
	const offset = (12 + unsafe.Sizeof(uintptr(0)) - 1) &^ (unsafe.Sizeof(uintptr(0)) - 1)
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), offset)))
}
