package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// reapMax is how long descendants have to end by themselves once the programs have ended.
const reapMax = 5 * time.Second

// reapRest waits for the descendants that were left to this process, which adopted them (see adoptOrphans): the helper of
// a worker that was killed, and whatever that left. What doesn't end by itself is killed, and named in the error. Every
// exec.Cmd must have been waited for by then.
func reapRest() error {
	deadline := time.Now().Add(reapMax)
	tick := time.NewTicker(addressPollEvery)
	defer tick.Stop()
	for ; ; <-tick.C {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.ECHILD):
			return nil
		case err != nil && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("wait for orphans: %w", err)
		case pid == 0 && time.Now().After(deadline):
			return killChildren()
		}
	}
}

// killChildren ends the children that are left, and says which they were.
func killChildren() error {
	var errs []error
	for _, c := range children(os.Getpid()) {
		if err := syscall.Kill(c.pid, syscall.SIGKILL); err == nil {
			_, _ = syscall.Wait4(c.pid, nil, 0, nil)
		}
		errs = append(errs, fmt.Errorf("process %d (%s) was left behind, and was killed", c.pid, c.name))
	}
	return errors.Join(errs...)
}

type child struct {
	pid  int
	name string
}

// children finds a process's children in /proc; where there is none, none are found.
func children(parent int) []child {
	var found []child
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // gone
		}
		// "pid (name) state ppid …": the name may hold anything, so what follows it begins at its last bracket.
		open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
		if open < 0 || end < open {
			continue
		}
		fields := bytes.Fields(data[end+1:])
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || len(fields) < 2 || string(fields[1]) != strconv.Itoa(parent) {
			continue
		}
		found = append(found, child{pid, string(data[open+1 : end])})
	}
	return found
}
