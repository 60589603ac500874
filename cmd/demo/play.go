package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// play runs a coordinator and workers until a signal.
func play(ctx, force context.Context, o *options, s *screen) (err error) {
	bin, err := programs()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "yardmaster-play-")
	if err != nil {
		return err
	}
	defer func() {
		if o.keep {
			s.say("data and logs are kept in %s", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	dataDir := filepath.Join(dir, "data")
	if o.dataDir != "" {
		if dataDir, err = filepath.Abs(o.dataDir); err != nil {
			return err
		}
	}
	if err := adoptOrphans(); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	f := newFleet(fleetOptions{
		bin: bin, dir: dir, dataDir: dataDir, listen: o.listen, workers: o.workers,
		coordinator: []string{"--admin-listen", o.adminListen, "--reflection", "--log-segment-bytes", "16777216"},
		worker:      []string{"--slots", fmt.Sprint(o.slots), "--drain-timeout", "5s"},
		handlers:    func(string) ([]byte, error) { return playHandlers(bin) },
		echo:        func(name string) io.Writer { return &prefixed{screen: s, prefix: name} },
	})
	if err = f.start(ctx); err == nil {
		s.say("%s", welcome(f, dataDir, o.dataDir == ""))
		if err = f.keepUp(ctx, s); err == nil {
			s.say("\nstopping; Ctrl-C again stops at once")
		}
	}
	if errors.Is(orCause(ctx, err), errInterrupted) {
		err = nil // Ctrl-C is how playing ends
	}
	return errors.Join(err, f.stop(force), reapRest())
}

// livedMin is how long a process must have lived to be started again when it ends: one that can't live is told instead.
const livedMin = 500 * time.Millisecond

// keepUp starts again what ends, until ctx does: whoever plays will kill something.
func (f *fleet) keepUp(ctx context.Context, s *screen) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-f.surprise:
			if time.Since(p.began) < livedMin {
				return p.obituary()
			}
			s.say("%-11s | ended: %v; starting it again", p.name, p.cmd.ProcessState)
			if err := f.startOne(ctx, p.name); err != nil {
				return err
			}
			s.say("%-11s | is pid %d", p.name, f.get(p.name).pid())
		}
	}
}

// welcome says what there is, and what to type.
func welcome(f *fleet, dataDir string, temporary bool) string {
	ctl := yardctl(f.bin)
	if f.address != "127.0.0.1:7420" {
		ctl += " --addr " + f.address
	}
	fate := "kept when this ends"
	if temporary {
		fate = "removed when this ends; --data-dir keeps it"
	}
	return fmt.Sprintf(`
Yardmaster runs at %s: %s
Its data is in %s (%s).
The workers run tasks of the kinds echo, sha256, sleep, flaky and fail. In another terminal:

  %[5]s submit echo --payload 'hello, yard' --wait --result
  %[5]s submit sha256 --payload @README.md --wait --result
  %[5]s submit sleep --payload 20 --count 8       # more than there are slots
  %[5]s task list                                 # watch them run
  %[5]s worker list
  kill -9 %[6]d                                   # %[7]s: started again; its tasks run anew after 15 s
  %[5]s submit flaky --payload lucky --wait       # fails until it doesn't
  %[5]s submit fail --payload why --max-attempts 2 --wait
  %[5]s submit dance                              # nobody runs this kind:
  %[5]s task explain ID                           # why it waits
  %[5]s queue pause default; %[5]s queue resume default
  %[5]s cluster status

Ctrl-C stops everything in order.
`, f.address, f.standing(), dataDir, fate, ctl, f.get(workerName(f.workers-1)).pid(), workerName(f.workers-1))
}

// yardctl is how to call it from here.
func yardctl(bin string) string {
	path := filepath.Join(bin, "yardctl")
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			return rel
		}
	}
	return path
}

// prefixed writes each line of a program's output to the screen, behind the program's name.
type prefixed struct {
	screen *screen
	prefix string

	mu   sync.Mutex
	rest []byte // a line not ended yet
}

func (p *prefixed) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, data...)
	for {
		line, rest, ended := bytes.Cut(p.rest, []byte("\n"))
		if !ended {
			return len(data), nil
		}
		p.screen.say("%-11s | %s", p.prefix, line)
		p.rest = rest
	}
}
