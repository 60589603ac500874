package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// coordinatorName is the coordinator's, among the workers'.
const coordinatorName = "coordinator"

// Bounds of starts and stops.
const (
	serveMax         = 40 * time.Second // from a coordinator's start until it serves
	startsMax        = 5                // of a coordinator whose port is briefly taken by an outgoing connection
	stopPatience     = 35 * time.Second // the programs' own deadlines come first
	addressPollEvery = 5 * time.Millisecond
)

// fleetOptions say what a fleet is made of.
type fleetOptions struct {
	bin     string // where the programs are
	dir     string // for address, handlers, runs and logs
	dataDir string // the coordinator's
	listen  string // its address; with port 0 the one it gets is kept for later starts

	coordinator, worker []string // further flags
	workers             int
	handlers            func(runs string) ([]byte, error) // a worker's handlers file, noting its runs there
	echo                func(name string) io.Writer       // gets a program's output besides its log; nil: nobody does
}

// fleet is the coordinator and the workers: real programs, known by their process ids. Its methods but stop may be called
// by one goroutine at a time beside readers of standing.
type fleet struct {
	fleetOptions
	address  string        // where the coordinator serves; "" before it first did
	surprise chan *process // ended unasked

	mu      sync.Mutex
	current map[string]*process // the last start of each, by name
	all     []*process          // every start
}

func newFleet(o fleetOptions) *fleet {
	return &fleet{fleetOptions: o, surprise: make(chan *process, workersMax+1), current: make(map[string]*process)}
}

// names lists coordinator and workers in their order.
func (f *fleet) names() []string {
	names := []string{coordinatorName}
	for i := range f.workers {
		names = append(names, workerName(i))
	}
	return names
}

func workerName(i int) string { return fmt.Sprintf("worker-%d", i+1) }

// start starts all.
func (f *fleet) start(ctx context.Context) error {
	for _, name := range f.names() {
		if err := f.startOne(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// startOne starts one that isn't running: for the first time, or again.
func (f *fleet) startOne(ctx context.Context, name string) error {
	if name != coordinatorName {
		return f.startWorker(name)
	}
	for starts := 1; ; starts++ {
		again := f.address != ""
		err := f.startCoordinator(ctx)
		if err == nil || !again || starts == startsMax || ctx.Err() != nil {
			return err
		}
	}
}

// startCoordinator starts it and waits until it serves.
func (f *fleet) startCoordinator(ctx context.Context) error {
	file := filepath.Join(f.dir, "address")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listen := f.listen
	if f.address != "" {
		listen = f.address
	}
	p, err := f.launch(coordinatorName, "", append([]string{
		"--data-dir", f.dataDir, "--listen", listen, "--address-file", file,
	}, f.coordinator...))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, serveMax, fmt.Errorf("it does not serve after %v", serveMax))
	defer cancel()
	tick := time.NewTicker(addressPollEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("the coordinator ended before it served: %w%s", p.err, p.lastWords())
		case <-ctx.Done():
			p.kill()
			return fmt.Errorf("start the coordinator: %w%s", context.Cause(ctx), p.lastWords())
		}
		if data, err := os.ReadFile(file); err == nil {
			f.address = strings.TrimSpace(string(data))
			f.watch(p)
			return nil
		}
	}
}

// startWorker starts a worker. It connects by itself, and goes on trying.
func (f *fleet) startWorker(name string) error {
	f.mu.Lock()
	base := filepath.Join(f.dir, fmt.Sprintf("%s.%d", name, len(f.all)))
	f.mu.Unlock()
	runs, handlers := base+".runs", base+".yaml"
	data, err := f.handlers(runs)
	if err != nil {
		return err
	}
	if err := os.WriteFile(handlers, data, 0o600); err != nil {
		return err
	}
	p, err := f.launch(name, runs, append([]string{
		"--coordinator", f.address, "--name", name, "--handlers", handlers,
	}, f.worker...))
	if err != nil {
		return err
	}
	f.watch(p)
	return nil
}

func (f *fleet) launch(name, runs string, args []string) (*process, error) {
	program := coordinatorName
	if name != coordinatorName {
		program = "worker"
	}
	p := &process{name: name, runs: runs, logPath: filepath.Join(f.dir, name+".log")}
	var echo io.Writer
	if f.echo != nil {
		echo = f.echo(name)
	}
	if err := launch(p, echo, append([]string{filepath.Join(f.bin, program)}, args...)...); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current[name] = p
	f.all = append(f.all, p)
	return p, nil
}

// watch reports an end that nobody asked for.
func (f *fleet) watch(p *process) {
	go func() {
		<-p.ended
		if p.asked.Load() {
			return
		}
		select {
		case f.surprise <- p:
		default: // one of them is enough
		}
	}()
}

// get returns the last start of a program.
func (f *fleet) get(name string) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current[name]
}

// starts returns every process started so far.
func (f *fleet) starts() []*process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*process(nil), f.all...)
}

// standing says which processes live: "coordinator 411  worker-1 down".
func (f *fleet) standing() string {
	var words []string
	for _, name := range f.names() {
		word := "down"
		if p := f.get(name); p != nil && p.alive() {
			word = fmt.Sprint(p.pid())
		}
		words = append(words, name+" "+word)
	}
	return strings.Join(words, "  ")
}

// stop ends what still runs: workers first, so that they can hand back what they hold, then the coordinator. When ctx
// ends, those left are killed. It may be called twice.
func (f *fleet) stop(ctx context.Context) error {
	var workers []*process
	var coordinators []*process
	for _, p := range f.starts() {
		if p.name == coordinatorName {
			coordinators = append(coordinators, p)
		} else {
			workers = append(workers, p)
		}
	}
	return errors.Join(stopAll(ctx, workers), stopAll(ctx, coordinators))
}

func stopAll(ctx context.Context, processes []*process) error {
	errs := make([]error, len(processes))
	var wg sync.WaitGroup
	for i, p := range processes {
		wg.Go(func() { errs[i] = p.stop(ctx, stopPatience) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
