package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// process is one start of one program.
type process struct {
	name    string // "coordinator", "worker-1"
	runs    string // where its handlers note their runs; "" for the coordinator
	logPath string
	began   time.Time
	cmd     *exec.Cmd

	asked  atomic.Bool // its end was asked for
	killed atomic.Bool // by SIGKILL

	// Closed once it has been waited for; err is how it ended, set before.
	ended chan struct{}
	err   error
}

// launch starts a program. Its output is appended to the log, and copied to echo if there is one. It gets a process group
// of its own, so that a Ctrl-C at the terminal reaches this process alone, which then stops the others in order.
func launch(p *process, echo io.Writer, argv ...string) error {
	log, err := os.OpenFile(p.logPath, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env = environment(os.Environ())
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if echo != nil {
		both := io.MultiWriter(log, echo)
		p.cmd.Stdout, p.cmd.Stderr = both, both
		p.cmd.WaitDelay = time.Second // whoever inherited its output must not hold up Wait
	}
	if err := p.cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", p.name, err), log.Close())
	}
	p.began, p.ended = time.Now(), make(chan struct{})
	go func() {
		p.err = p.cmd.Wait()
		_ = log.Close()
		close(p.ended)
	}()
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends it by SIGKILL, as a power cut or the kernel's out-of-memory killer would.
func (p *process) kill() {
	p.asked.Store(true)
	p.killed.Store(true)
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
}

// stop asks it to end in order, and ends it when ctx does.
func (p *process) stop(ctx context.Context, patience time.Duration) error {
	p.asked.Store(true)
	if !p.alive() {
		return nil // told when it happened
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("%s (pid %d) did not stop cleanly: %w%s", p.name, p.pid(), p.err, p.lastWords())
		}
		return nil
	case <-ctx.Done():
		p.kill()
		return fmt.Errorf("%s (pid %d) had to be killed: %w", p.name, p.pid(), ctx.Err())
	}
}

// obituary says how it ended unasked.
func (p *process) obituary() error {
	return fmt.Errorf("%s (pid %d) ended unasked: %v%s", p.name, p.pid(), p.cmd.ProcessState, p.lastWords())
}

// lastWords is the end of its log, to be put behind an error.
func (p *process) lastWords() string {
	const lines = 5
	data, err := os.ReadFile(p.logPath)
	data = bytes.TrimRight(data, "\n")
	if err != nil || len(data) == 0 {
		return ""
	}
	all := strings.Split(string(data), "\n")
	return "\n    " + strings.Join(all[max(0, len(all)-lines):], "\n    ")
}
