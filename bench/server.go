package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// server is a coordinator process with temporary data.
type server struct {
	binary string
	flags  []string
	cmd    *exec.Cmd
	dir    string
	addr   string // the same after a restart
	admin  string
}

func startServer(ctx context.Context, o options, flags ...string) (*server, error) {
	dir, err := os.MkdirTemp(o.dir, "yardmaster-bench-")
	if err != nil {
		return nil, err
	}
	s := &server{binary: o.coordinator, flags: flags, dir: dir}
	if s.admin, err = freeAddress(); err == nil {
		s.addr, err = freeAddress()
	}
	if err == nil {
		err = s.start(ctx)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// start starts the process and waits until it serves. Only stop and kill end it, not ctx and not a signal to this process's
// group: workers that such an end stops too still have outcomes to report, and would wait in vain for their answers.
func (s *server) start(ctx context.Context) error {
	file := filepath.Join(s.dir, "address")
	_ = os.Remove(file)
	args := []string{"--data-dir", s.data(), "--listen", s.addr, "--admin-listen", s.admin, "--address-file", file, "--log-level", "warn"}
	s.cmd = exec.Command(s.binary, append(args, s.flags...)...)
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start coordinator: %w", err)
	}
	for range 60_000 {
		if data, err := os.ReadFile(file); err == nil {
			s.addr = strings.TrimSpace(string(data))
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("the coordinator didn't write %s", file)
}

func (s *server) data() string { return filepath.Join(s.dir, "data") }

func (s *server) pid() int { return s.cmd.Process.Pid }

// kill ends the process at once, without a word.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// freeAddress finds a loopback port that is free now.
func freeAddress() (string, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return lis.Addr().String(), lis.Close()
}

// stop ends the process in order and removes its data.
func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
	}
	_ = os.RemoveAll(s.dir)
}

// profile writes a CPU profile of the coordinator over a span.
func (s *server) profile(path string, span time.Duration) error {
	resp, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.admin, int(span.Seconds())))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the coordinator's profile: %s", resp.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, resp.Body)
	return err
}
