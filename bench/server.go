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
	cmd   *exec.Cmd
	dir   string
	addr  string
	admin string
}

func startServer(ctx context.Context, o options) (*server, error) {
	dir, err := os.MkdirTemp(o.dir, "yardmaster-bench-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir}
	if o.profile != "" {
		if s.admin, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(dir, "address")
	s.cmd = exec.CommandContext(ctx, o.coordinator, "--data-dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0",
		"--admin-listen", s.admin, "--address-file", file, "--log-level", "warn")
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start coordinator: %w", err)
	}
	for range 1000 {
		if data, err := os.ReadFile(file); err == nil {
			s.addr = strings.TrimSpace(string(data))
			return s, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("the coordinator didn't write %s", file)
}

// freeAddress finds a loopback port that is free now.
func freeAddress() (string, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return lis.Addr().String(), lis.Close()
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}

// profile writes a CPU profile of the coordinator over a span.
func (s *server) profile(path string, span time.Duration) error {
	resp, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.admin, int(span.Seconds())))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, resp.Body)
	return err
}
