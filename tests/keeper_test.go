//go:build e2e

package tests

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// keeper is a process that kills what a test run leaves running when it dies without its clean-up (a time-out's panic, a
// kill -9 of the tests): it is told of every child, and acts at the end of its input.
var keeper struct {
	sync.Mutex
	cmd *exec.Cmd
	in  io.WriteCloser // guarded by the mutex
}

func startKeeper() error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = environment(roleVariable + "=keeper")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C isn't for it
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	keeper.cmd, keeper.in = cmd, in
	return cmd.Start()
}

func stopKeeper() {
	keeper.in.Close()
	_ = keeper.cmd.Wait() // it has nothing to report
}

// keep tells the keeper that a child runs, or that it has been waited for.
func keep(pid int, running bool) {
	keeper.Lock()
	defer keeper.Unlock()
	fmt.Fprintf(keeper.in, "%d %t\n", pid, running)
}

// playKeeper is the keeper's process.
func playKeeper() int {
	children := map[int]bool{}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var pid int
		var running bool
		if _, err := fmt.Sscan(in.Text(), &pid, &running); err != nil {
			fmt.Fprintln(os.Stderr, "keeper:", err)
			return 1
		}
		if running {
			children[pid] = true
		} else {
			delete(children, pid)
		}
	}
	var killed []string
	for pid := range children {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed = append(killed, fmt.Sprint(pid))
		}
	}
	if len(killed) > 0 {
		fmt.Fprintln(os.Stderr, "keeper: the tests died; killed", strings.Join(killed, ", "))
	}
	return 0
}
