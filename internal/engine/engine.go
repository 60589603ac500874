package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/yardmaster/yardmaster/internal/batch"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// Bounds of the engine.
const (
	FlightsMax         = 2                // entries proposed and not yet applied: one is made durable, one forms
	CheckpointRows     = 32_768           // changed rows that start a checkpoint
	CheckpointBytes    = 32 << 20         // staged bytes that start a checkpoint
	CheckpointInterval = time.Second      // between checkpoints of a state that changes little
	CutEntries         = 8192             // entries after which the log is cut
	CutBytes           = 128 << 20        // bytes after which the log is cut
	LineRowsMax        = 100_000          // rows waiting in the line above which Admit waits
	LineBytesMax       = 64 << 20         // bytes likewise
	IdleTick           = 30 * time.Second // the log's time is carried on at least so often
	ExpireStepMax      = 5000             // finished tasks deleted between two looks at the checkpoint's trigger
	DiskReserveDefault = 1 << 30          // bytes; submits are refused below it
)

// Options configure an Engine.
type Options struct {
	Storage     Storage                // required
	Fatal       func(error)            // required; called once: the process is to end
	Logger      hclog.Logger           // default: none
	Limits      scheduler.Limits       // zero fields: the core's defaults
	Now         func() time.Time       // default: the machine's clock
	DiskFree    func() (uint64, error) // free bytes of the data directory's file system; nil: not watched
	DiskReserve uint64                 // default DiskReserveDefault
}

// Engine runs the state machine. Make it with New, hand it to the log as its machine, then Start it.
type Engine struct {
	opts     Options
	logger   hclog.Logger
	log      Log
	observer Observer
	proposer uint64 // random; tells this process's entries from others'
	started  time.Time

	qmu      sync.Mutex
	line     batch.Batcher[doneFunc]
	flights  []*flight // in order of proposal
	clock    logClock
	proposal uint64
	begin    *Leadership // a term to begin, not yet proposed
	leading  bool        // BeginTerm of the current term is applied
	term     uint64      // of the last leadership heard of
	stopping bool
	deadline scheduler.Time // the state's next deadline; 0: none
	more     bool           // the last step left work over
	lastStep int64          // log time of the last proposal
	room     chan struct{}  // closed when the line has room again; nil: it has
	idle     chan struct{}  // closed when stopping and nothing is in flight
	wake     chan struct{}

	mu      sync.RWMutex
	state   *scheduler.State
	eff     scheduler.Effects // owned by the apply goroutine
	live    *unsaved          // staged since the last seal
	sealed  *unsaved          // being saved; nil: none
	applied uint64
	waiters map[scheduler.TaskID][]*waiter
	ended   []*finished   // by the step under way, with waiters
	gate    chan struct{} // closed when the checkpoint that admission waits for has ended; nil: none

	saved    saveMark
	trigger  chan struct{}
	cutting  atomic.Bool
	sinceCut struct{ entries, bytes atomic.Int64 }
	diskLow  atomic.Bool
	diskFree atomic.Uint64

	stop     context.CancelFunc
	stopped  context.Context
	loops    sync.WaitGroup
	failed   atomic.Bool
	fatalOne sync.Once
}

type doneFunc func(Result, error)

// saveMark is the index of the last checkpoint, with a signal for who waits for it.
type saveMark struct {
	mu    sync.Mutex
	index uint64
	moved chan struct{} // closed and replaced at each move
}

// New loads the last checkpoint. The log replays the rest through Apply.
func New(opts Options) (*Engine, error) {
	if opts.Storage == nil || opts.Fatal == nil {
		return nil, errors.New("engine: Storage and Fatal are required")
	}
	if opts.Logger == nil {
		opts.Logger = hclog.NewNullLogger()
	}
	if opts.Now == nil {
		opts.Now = wallNow
	}
	if opts.Limits.MaxTasks == 0 {
		opts.Limits.MaxTasks = scheduler.MaxTasksDefault
	}
	if opts.Limits.Depth == 0 {
		opts.Limits.Depth = scheduler.QueueDepth
	}
	if opts.DiskReserve == 0 {
		opts.DiskReserve = DiskReserveDefault
	}
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("engine: draw the proposer's number: %w", err)
	}
	began := opts.Now()
	loader := scheduler.NewLoader()
	if err := opts.Storage.Load(loader.Add); err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	state, err := loader.State()
	if err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	e := &Engine{
		opts: opts, logger: opts.Logger.Named("engine"), proposer: binary.LittleEndian.Uint64(seed[:]),
		wake: make(chan struct{}, 1), trigger: make(chan struct{}, 1), state: state, live: newUnsaved(),
		waiters: map[scheduler.TaskID][]*waiter{}, clock: logClock{now: opts.Now},
	}
	e.stopped, e.stop = context.WithCancel(context.Background())
	e.applied = opts.Storage.DurableIndex()
	e.saved = saveMark{index: e.applied, moved: make(chan struct{})}
	c := state.Counts()
	e.logger.Info("checkpoint loaded", "index", e.applied, "tasks", c.Scheduled+c.Pending+c.Leased, "sessions", c.Sessions,
		"took", opts.Now().Sub(began).Round(time.Millisecond))
	return e, nil
}

// SetObserver says who is told what happens. Before Start.
func (e *Engine) SetObserver(o Observer) { e.observer = o }

// Start runs the engine on a log that replays into it, and returns once it leads and serves, or ctx ends.
func (e *Engine) Start(ctx context.Context, log Log) error {
	e.log = log
	e.started = e.opts.Now()
	e.watchDisk()
	e.loops.Go(e.proposeLoop)
	e.loops.Go(e.termLoop)
	e.loops.Go(e.checkpointLoop)
	for {
		e.qmu.Lock()
		leading := e.leading
		if !leading && e.idle == nil {
			e.idle = make(chan struct{})
		}
		changed := e.idle
		e.qmu.Unlock()
		if leading {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("start engine: wait to lead: %w", context.Cause(ctx))
		case <-e.stopped.Done():
			return ErrStopping
		}
	}
}

// Stop refuses new proposals, lets those in line be carried out, writes a last checkpoint and ends the loops. The log may
// be closed afterwards. It may be called twice.
func (e *Engine) Stop(ctx context.Context) error {
	e.qmu.Lock()
	e.stopping = true
	e.qmu.Unlock()
	err := e.settle(ctx)
	e.stop()
	e.loops.Wait()
	if err == nil && !e.failed.Load() {
		err = e.save()
	}
	return err
}

// settle waits until nothing is in line or in flight.
func (e *Engine) settle(ctx context.Context) error {
	for {
		e.qmu.Lock()
		if e.line.Len() == 0 && len(e.flights) == 0 || !e.leading {
			e.qmu.Unlock()
			return nil
		}
		if e.idle == nil {
			e.idle = make(chan struct{})
		}
		idle := e.idle
		e.qmu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return fmt.Errorf("stop engine: proposals are still in flight: %w", context.Cause(ctx))
		case <-e.stopped.Done():
			return nil
		}
	}
}

// notify wakes whoever waits for a change of leadership or for the line to empty. Under qmu.
func (e *Engine) notify() {
	if e.idle != nil {
		close(e.idle)
		e.idle = nil
	}
}

// fatal reports the first error that the process must not outlive.
func (e *Engine) fatal(err error) {
	e.failed.Store(true)
	e.fatalOne.Do(func() {
		e.logger.Error("the process must end", "error", err)
		e.opts.Fatal(err)
	})
}

// Leading reports whether this node leads and serves.
func (e *Engine) Leading() bool {
	e.qmu.Lock()
	defer e.qmu.Unlock()
	return e.leading && !e.failed.Load()
}

// Now is the log's time as the leader estimates it.
func (e *Engine) Now() scheduler.Time {
	e.qmu.Lock()
	defer e.qmu.Unlock()
	return scheduler.Time(e.clock.read())
}
