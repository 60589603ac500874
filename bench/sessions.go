package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// crowdProcess is the process that holds the idle sessions.
type crowdProcess struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func startCrowd(ctx context.Context, addr string, n int) (*crowdProcess, sessionsAnswer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, sessionsAnswer{}, err
	}
	p := &crowdProcess{cmd: exec.CommandContext(ctx, self, sessionsRole, "-addr", addr, "-n", strconv.Itoa(n))}
	p.cmd.Stderr = os.Stderr
	out, err1 := p.cmd.StdoutPipe()
	in, err2 := p.cmd.StdinPipe()
	if err := errors.Join(err1, err2, p.cmd.Start()); err != nil {
		return nil, sessionsAnswer{}, err
	}
	p.in, p.lines = in, bufio.NewScanner(out)
	a, err := p.answer()
	return p, a, err
}

func (p *crowdProcess) answer() (a sessionsAnswer, err error) {
	if !p.lines.Scan() {
		return a, errors.Join(errors.New("the process of the sessions ended"), p.lines.Err())
	}
	if err := json.Unmarshal(p.lines.Bytes(), &a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

func (p *crowdProcess) cut(n int) (sessionsAnswer, error) {
	if _, err := fmt.Fprintf(p.in, "cut %d\n", n); err != nil {
		return sessionsAnswer{}, err
	}
	return p.answer()
}

func (p *crowdProcess) stop() {
	_ = p.in.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// sessionsSuite measures many idle sessions: at rest, and cut.
func (b *bench) sessionsSuite(ctx context.Context) error {
	s, err := newSite(ctx, b.options)
	if err != nil {
		return err
	}
	defer s.close()
	heap, err1 := s.server.heapLive()
	memory, err2 := rss(s.server.pid())
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	p, opened, err := startCrowd(ctx, s.server.addr, b.sessions)
	if err != nil {
		return err
	}
	defer p.stop()
	name := func(what string) string { return fmt.Sprintf("%d sessions: %s", b.sessions, what) }
	b.add(name("to open all at once"), "ms", opened.Max)
	if err := b.atRest(s, name, heap, memory); err != nil {
		return err
	}
	for _, n := range []int{min(100, b.sessions), b.sessions} {
		if err := b.cutSessions(s, p, n); err != nil {
			return err
		}
	}
	return nil
}

// atRest measures what sessions cost that only send heartbeats.
func (b *bench) atRest(s *site, name func(string) string, heapBefore, rssBefore float64) error {
	const rest = 20 * time.Second
	time.Sleep(2 * time.Second) // the rush of Hellos is over
	cpu0, err1 := cpuTime(s.server.pid())
	appends0, err2 := s.server.metric("yardmaster_log_append_seconds_count")
	began := time.Now()
	time.Sleep(rest)
	cpu1, err3 := cpuTime(s.server.pid())
	appends1, err4 := s.server.metric("yardmaster_log_append_seconds_count")
	span := time.Since(began).Seconds()
	heap, err5 := s.server.heapLive()
	memory, err6 := rss(s.server.pid())
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return err
	}
	b.add(name("live heap a session"), "KiB", (heap-heapBefore)/1024/float64(b.sessions))
	b.add(name("resident memory a session"), "KiB", (memory-rssBefore)/1024/float64(b.sessions))
	b.add(name("coordinator's CPU at rest"), "% of one", 100*(cpu1-cpu0).Seconds()/span)
	b.add(name("heartbeats"), "a second", float64(b.sessions)/5) // TTL 15 s, one each 5 s
	b.add(name("log appends at rest"), "a second", (appends1-appends0)/span)
	return nil
}

func (b *bench) cutSessions(s *site, p *crowdProcess, n int) error {
	var slowest, median, appends, cpu []float64
	for range b.runs {
		a0, err1 := s.server.metric("yardmaster_log_append_seconds_count")
		c0, err2 := cpuTime(s.server.pid())
		answer, err3 := p.cut(n)
		a1, err4 := s.server.metric("yardmaster_log_append_seconds_count")
		c1, err5 := cpuTime(s.server.pid())
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			return err
		}
		slowest, median = append(slowest, answer.Max), append(median, answer.P50)
		appends, cpu = append(appends, a1-a0), append(cpu, millis(c1-c0))
	}
	name := func(what string) string { return fmt.Sprintf("%d of %d cut at once: %s", n, b.sessions, what) }
	b.add(name("until half have resumed"), "ms", median...)
	b.add(name("until all have resumed"), "ms", slowest...)
	b.add(name("log appends"), "", appends...)
	b.add(name("coordinator's CPU"), "ms", cpu...)
	return nil
}
