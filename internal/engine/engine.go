package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/yardmaster/yardmaster/internal/batch"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/watch"
)

// Bounds of the engine.
const (
	FlightsMax         = 2                // entries proposed and not yet applied: one is made durable, one forms
	CheckpointRows     = 32_768           // rows to be written that start a checkpoint
	CheckpointLooks    = 1 << 20          // rows that came and went, and others, that start one too: they take memory
	CheckpointBytes    = 32 << 20         // staged bytes that start a checkpoint
	CheckpointInterval = time.Second      // between checkpoints of a state that changes little
	CutEntries         = 8192             // entries after which the log is cut
	CutBytes           = 128 << 20        // bytes after which the log is cut
	LineRowsMax        = 100_000          // rows waiting in the line above which Admit waits
	LineBytesMax       = 64 << 20         // bytes likewise
	IdleTick           = 30 * time.Second // the log's time is carried on at least so often
	ExpireStepMax      = 5000             // finished tasks deleted, or looked at, between two looks at the checkpoint's trigger
	ExpireStepsMax     = 1000             // such steps between two checkpoints
	DiskReserveDefault = 1 << 30          // bytes; submits are refused below it
)

// Options configure an Engine.
type Options struct {
	Proposer    uint64                 // required; drawn at random by each process: tells its log entries from others'
	Storage     Storage                // required
	Fatal       func(error)            // required; called once: the process is to end
	Logger      hclog.Logger           // default: none
	Limits      scheduler.Limits       // zero fields: the core's defaults
	Now         func() time.Time       // default: the machine's clock
	DiskFree    func() (uint64, error) // free bytes of the data directory's file system; nil: not watched
	DiskReserve uint64                 // default DiskReserveDefault
	Meter       Meter                  // default: none
}

// Engine runs the state machine. Make it with New, hand it to the log as its machine, then Start it.
type Engine struct {
	opts     Options
	logger   hclog.Logger
	log      Log
	observer Observer
	proposer uint64 // random; tells this process's entries from others'
	started  time.Time

	// qmu guards the line and who waits for it, the flights, the term and the clock.
	qmu      sync.Mutex
	line     batch.Batcher[doneFunc]
	flights  []*flight // in order of proposal
	landing  bool      // one was taken from flights, and its step isn't wholly told yet
	clock    logClock
	proposal uint64
	elected  uint64 // term in which the log says that this node leads; 0: it doesn't
	begin    uint64 // elected, if its BeginTerm is not yet proposed; else 0
	leading  bool   // BeginTerm of elected is applied, under the newest rules, and no restore is under way
	upgrade  upgrade
	restore  restoreStep
	logic    uint32 // version of the rules in force, as of the last step; 0: the log is empty
	stopping bool
	deadline scheduler.Time // the state's next deadline; 0: none
	more     bool           // the last step left work over
	lastStep int64          // log time of the last proposal
	queue    []*admission   // who waits to be let into the line, in the order they came
	gate     chan struct{}  // closed when the checkpoint that admission waits for has ended; nil: none
	shut     time.Time      // since when there is a gate
	changed  chan struct{}  // closed when leading changes or nothing is in flight; nil: nobody waits
	wake     chan struct{}

	// omu is held while the observer is told something, so that it is told one thing at a time. mu and qmu may be taken
	// under it, not the other way round.
	omu       sync.Mutex
	observing bool // TermBegan was told, TermEnded not yet

	// mu guards the state, the buffers and the waiters.
	mu      sync.RWMutex
	state   *scheduler.State
	eff     scheduler.Effects // owned by the apply goroutine
	decoder decoder           // likewise
	live    *unsaved          // staged since the last seal
	sealed  *unsaved          // being saved; nil: none
	applied uint64
	waiters map[scheduler.TaskID][]*waiter
	finds   map[*page]struct{} // under way
	scratch []byte             // of one end's encoding
	policy  policyCode         // likewise

	saving   sync.Mutex // one checkpoint at a time
	spare    *unsaved   // maps of an earlier checkpoint, for the next; under saving
	added    int        // finished tasks that checkpoints have put since expire last looked; under saving
	saved    saveMark
	trigger  chan struct{}
	forgets  atomic.Int64 // Forget commands proposed and not answered
	cutting  atomic.Bool
	sinceCut struct{ entries, bytes atomic.Int64 }
	diskLow  atomic.Bool
	diskFree atomic.Uint64
	totals   totals
	events   events

	stop     context.CancelFunc
	stopped  context.Context
	loops    sync.WaitGroup
	failed   atomic.Bool // Invariant: once true nothing more is applied, answered with success or saved
	fatalOne sync.Once
	failure  error // set before stopped ends
}

type doneFunc func(Result, error)

// saveMark is the index of the last checkpoint, with a signal for who waits for it.
type saveMark struct {
	mu    sync.Mutex
	index uint64
	moved chan struct{} // closed and replaced at each move
}

func (o *Options) fill() error {
	if o.Storage == nil || o.Fatal == nil {
		return errors.New("engine: Options.Storage and Options.Fatal are required")
	}
	if o.Proposer == 0 {
		return errors.New("engine: Options.Proposer is 0: draw it at random, it tells this process's log entries from others'")
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Now == nil {
		o.Now = wallNow
	}
	if o.Limits.MaxTasks == 0 {
		o.Limits.MaxTasks = scheduler.MaxTasksDefault
	}
	if o.Limits.Depth == 0 {
		o.Limits.Depth = scheduler.QueueDepth
	}
	if o.Meter == nil {
		o.Meter = noMeter{}
	}
	if o.DiskReserve == 0 {
		o.DiskReserve = DiskReserveDefault
	}
	return nil
}

// New loads the last checkpoint. The log replays the rest through Apply.
func New(opts Options) (*Engine, error) {
	if err := opts.fill(); err != nil {
		return nil, err
	}
	began := opts.Now()
	loader := scheduler.NewLoader()
	if err := opts.Storage.Load(loader.Add); err != nil {
		return nil, err
	}
	state, err := loader.State()
	if err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	if v := state.Logic(); v > scheduler.LogicVersion {
		return nil, fmt.Errorf("load checkpoint: it was written under logic version %d and this build knows 1 to %d: use the build that wrote it",
			v, scheduler.LogicVersion)
	}
	e := &Engine{
		opts: opts, logger: opts.Logger.Named("engine"), proposer: opts.Proposer, started: began,
		wake: make(chan struct{}, 1), trigger: make(chan struct{}, 1), state: state, live: newUnsaved(),
		waiters: map[scheduler.TaskID][]*waiter{}, finds: map[*page]struct{}{}, clock: logClock{now: opts.Now, LogTime: LogTimeAt(int64(state.Now()))},
		logic: state.Logic(),
	}
	e.stopped, e.stop = context.WithCancel(context.Background())
	e.events.ring = watch.NewRing[Event](scheduler.EventsKept, state.LastPosition())
	e.events.tasks = map[scheduler.TaskID][]*taskWatch{}
	e.applied = opts.Storage.DurableIndex()
	e.saved = saveMark{index: e.applied, moved: make(chan struct{})}
	c := state.Counts()
	e.logger.Info("checkpoint loaded", "index", e.applied, "tasks", c.Scheduled+c.Pending+c.Leased, "sessions", c.Sessions,
		"took", opts.Now().Sub(began).Round(time.Millisecond))
	return e, nil
}

// SetObserver says who is told what happens. Before Start, and before the log has elected this node.
func (e *Engine) SetObserver(o Observer) { e.observer = o }

// Leading reports whether this node leads and serves.
func (e *Engine) Leading() bool {
	e.qmu.Lock()
	defer e.qmu.Unlock()
	return e.leading && !e.failed.Load()
}

// Now is the log's time as the leader estimates it; elsewhere that of the last step.
func (e *Engine) Now() scheduler.Time {
	e.qmu.Lock()
	defer e.qmu.Unlock()
	return scheduler.Time(e.clock.read())
}
