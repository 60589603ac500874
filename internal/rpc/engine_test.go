package rpc

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/watch"
)

// fakeEngine is the real core behind the Engine interface, without log and store: a step is durable at once. It can be
// held, made to refuse admission, and scripted.
type fakeEngine struct {
	observer engine.Observer
	kick     chan struct{}
	done     chan struct{}

	mu       sync.Mutex
	core     *scheduler.State
	eff      scheduler.Effects
	line     []proposed
	held     bool
	gate     chan struct{} // not nil: Admit waits
	saves    atomic.Int64  // Checkpoint calls
	script   func(scheduler.Command) (engine.Result, error, bool)
	commands []scheduler.Command // applied
	bodies   map[scheduler.TaskID][]byte
	damaged  map[scheduler.TaskID]bool // bodies that can't be read
	reading  func()                    // called before each body is read
	finished map[scheduler.TaskID]*storagev1.Finished
	ends     map[scheduler.TaskID]*storagev1.Finished // ends of all tasks, those with retention 0 too
	waiters  []chan struct{}                          // closed after each step
	limits   scheduler.Limits

	recallable []scheduler.RecallItem             // scripted
	recallMost int                                // what the last call asked for
	settings   map[string]*scheduler.QueueCommand // of queues, by name
	ring       *watch.Ring[engine.Event]
	watchers   map[chan struct{}]scheduler.TaskID
	attempts   map[scheduler.TaskID][]*storagev1.Attempt
	explains   map[string]scheduler.QueueExplanation
	looks      int // of a FindPage; 0: no bound
}

type proposed struct {
	cmd  scheduler.Command
	done func(engine.Result, error)
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{
		kick: make(chan struct{}, 1), done: make(chan struct{}), core: scheduler.New(), reading: func() {},
		bodies: map[scheduler.TaskID][]byte{}, finished: map[scheduler.TaskID]*storagev1.Finished{},
		ends:     map[scheduler.TaskID]*storagev1.Finished{},
		limits:   scheduler.Limits{MaxTasks: 1000, Depth: 500},
		settings: map[string]*scheduler.QueueCommand{}, ring: watch.NewRing[engine.Event](1000, 0),
		watchers: map[chan struct{}]scheduler.TaskID{}, attempts: map[scheduler.TaskID][]*storagev1.Attempt{},
		explains: map[string]scheduler.QueueExplanation{},
	}
}

// run applies what is proposed until ctx ends.
func (f *fakeEngine) run(ctx context.Context) {
	defer close(f.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.kick:
		}
		f.step()
	}
}

func (f *fakeEngine) poke() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// lead begins a term.
func (f *fakeEngine) lead(term uint64) {
	f.mu.Lock()
	f.apply([]proposed{{cmd: scheduler.Command{Op: scheduler.OpBeginTerm, BeginTerm: &scheduler.BeginTerm{Term: term, Limits: f.limits}}}})
	sessions, now := f.core.Sessions(), f.core.Now()
	f.mu.Unlock()
	f.observer.TermBegan(term, now, sessions)
}

func (f *fakeEngine) step() {
	f.mu.Lock()
	if f.held {
		f.mu.Unlock()
		return
	}
	batch := f.line
	f.line = nil
	results := f.apply(batch)
	f.mu.Unlock()
	for i, p := range batch {
		if p.done != nil {
			p.done(results[i], nil)
		}
	}
	f.observer.Applied(f.core.Now(), &f.eff)
	f.mu.Lock()
	for _, w := range f.waiters {
		close(w)
	}
	f.waiters = nil
	for w := range f.watchers { // more often than a task changes
		select {
		case w <- struct{}{}:
		default:
		}
	}
	if f.eff.More {
		f.poke()
	}
	f.mu.Unlock()
}

// apply runs the core. Under mu.
func (f *fakeEngine) apply(batch []proposed) []engine.Result {
	b := &scheduler.Batch{Logic: scheduler.LogicVersion, Now: scheduler.Time(time.Now().UnixNano())}
	answered, staged := map[int]engine.Result{}, map[string]uint64{}
	for i, p := range batch {
		cmd, res, done := f.beforeCore(p.cmd, staged)
		if done {
			answered[i] = res
		}
		b.Commands = append(b.Commands, cmd)
		f.commands = append(f.commands, p.cmd)
	}
	f.core.Apply(b, &f.eff)
	for _, s := range f.eff.Staged {
		f.bodies[s.Task] = b.Commands[s.Cmd].Submit.Tasks[s.Item].Body
	}
	for _, x := range f.eff.Finished {
		if x.State != scheduler.Dead {
			delete(f.bodies, x.Task)
		}
		if f.ends[x.Task] = finishedRow(b, &x); x.ExpiresAt != 0 {
			f.finished[x.Task] = f.ends[x.Task]
		}
	}
	for _, id := range f.eff.Revived {
		delete(f.finished, id)
	}
	results := make([]engine.Result, len(batch))
	for i := range batch {
		r := f.eff.Replies[i]
		results[i] = engine.Result{
			Reply: r, Now: f.core.Now(), IDs: slices.Clone(f.eff.IDs[r.IDs.From:r.IDs.To]), Old: slices.Clone(f.eff.Indexes[r.Old.From:r.Old.To]),
			Items: slices.Clone(f.eff.Items[r.Items.From:r.Items.To]), Stop: slices.Clone(f.eff.Tokens[r.Stop.From:r.Stop.To]),
			Answers: slices.Clone(f.eff.Answers[r.Answers.From:r.Answers.To]),
		}
		if res, ok := answered[i]; ok {
			results[i] = res
		}
		if c := batch[i].cmd.Cancel; c != nil && c.Purge {
			for _, item := range results[i].Items {
				delete(f.finished, item.ID)
			}
		}
	}
	return results
}

func finishedRow(b *scheduler.Batch, x *scheduler.Finished) *storagev1.Finished {
	row := &storagev1.Finished{
		State: uint32(x.State), Cause: uint32(x.Cause), Gen: x.Gen, Attempts: x.Attempts, Finished: int64(x.At), Token: uint64(x.Token),
		Worker: x.Worker, Spec: &storagev1.TaskSpec{
			Kind: x.Kind, Queue: x.Queue, Weight: uint32(x.Weight), PayloadBytes: x.PayloadBytes,
			Policy: &storagev1.Policy{
				MaxAttempts: uint32(x.Policy.MaxAttempts), MaxLosses: uint32(x.Policy.MaxLosses), Factor: uint32(x.Policy.Factor),
				Retention: int64(x.Policy.Retention), DeadRetention: int64(x.Policy.DeadRetention),
			},
		},
	}
	if x.Cmd >= 0 {
		if d := b.Commands[x.Cmd].Outcomes.List[x.Item].Detail; d != nil {
			row.Detail = &storagev1.Detail{}
			if err := proto.Unmarshal(d, row.Detail); err != nil {
				panic(err)
			}
		}
	}
	return row
}

// hold stops applying; release goes on.
func (f *fakeEngine) hold() { f.mu.Lock(); f.held = true; f.mu.Unlock() }

func (f *fakeEngine) release() { f.mu.Lock(); f.held = false; f.mu.Unlock(); f.poke() }

// admit closes (true) or opens the gate of admission.
func (f *fakeEngine) shut(yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if yes {
		f.gate = make(chan struct{})
	} else if f.gate != nil {
		close(f.gate)
		f.gate = nil
	}
}

// ops returns the applied commands of an op.
func (f *fakeEngine) ops(op scheduler.Op) []scheduler.Command {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []scheduler.Command
	for _, c := range f.commands {
		if c.Op == op {
			all = append(all, c)
		}
	}
	return all
}

func (f *fakeEngine) Propose(cmd scheduler.Command, done func(engine.Result, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.script != nil {
		if res, err, ok := f.script(cmd); ok {
			go done(res, err)
			return
		}
	}
	f.line = append(f.line, proposed{cmd, done})
	f.poke()
}

func (f *fakeEngine) Do(ctx context.Context, cmd scheduler.Command) (engine.Result, error) {
	type answer struct {
		res engine.Result
		err error
	}
	got := make(chan answer, 1)
	f.Propose(cmd, func(r engine.Result, err error) { got <- answer{r, err} })
	select {
	case a := <-got:
		return a.res, a.err
	case <-ctx.Done():
		return engine.Result{}, context.Cause(ctx)
	}
}

func (f *fakeEngine) Admit(ctx context.Context, _ int) error {
	f.mu.Lock()
	gate := f.gate
	f.mu.Unlock()
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Quiesce refuses what comes and waits until all before it is applied.
func (f *fakeEngine) Quiesce(ctx context.Context) error {
	_, err := f.Do(ctx, scheduler.Command{Op: scheduler.OpTick})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = func(scheduler.Command) (engine.Result, error, bool) { return engine.Result{}, engine.ErrStopping, true }
	return err
}

func (f *fakeEngine) SetObserver(o engine.Observer) { f.observer = o }

func (f *fakeEngine) Now() scheduler.Time { return scheduler.Time(time.Now().UnixNano()) }

func (f *fakeEngine) Task(_ context.Context, id scheduler.TaskID) (*engine.Task, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, damaged := &storagev1.Body{}, f.damaged[id]
	if damaged {
		body = nil
	} else if err := proto.Unmarshal(f.bodies[id], body); err != nil {
		return nil, err
	}
	if info, ok := f.core.Task(id); ok {
		return &engine.Task{ID: id, Live: &info, Body: body, Unreadable: damaged}, nil
	}
	if row := f.finished[id]; row != nil {
		return &engine.Task{ID: id, Finished: row, Body: body, Unreadable: damaged}, nil
	}
	if id == 0 || id > f.core.LastTask() {
		return nil, engine.ErrNoTask
	}
	return nil, engine.ErrNotRetained
}

func (f *fakeEngine) Await(ctx context.Context, ids []scheduler.TaskID, each func(scheduler.TaskID, *storagev1.Finished, error) error) error {
	left := slices.Clone(ids)
	for {
		f.mu.Lock()
		stepped := make(chan struct{})
		f.waiters = append(f.waiters, stepped)
		f.mu.Unlock()
		var still []scheduler.TaskID
		for _, id := range left {
			t, err := f.Task(ctx, id)
			if err == nil && t.Live != nil {
				still = append(still, id)
				continue
			}
			var row *storagev1.Finished
			if t != nil {
				row = t.Finished
			}
			if err := each(id, row, err); err != nil {
				return err
			}
		}
		if left = still; len(left) == 0 {
			return nil
		}
		select {
		case <-stepped:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (f *fakeEngine) Explain(id scheduler.TaskID) (scheduler.Explanation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x, ok := f.core.Explain(id); ok {
		return x, nil
	}
	return scheduler.Explanation{}, engine.ErrNotRetained
}

func (f *fakeEngine) Sessions() []scheduler.SessionInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.core.Sessions()
}

func (f *fakeEngine) SessionLeases(id scheduler.SessionID, most int) []scheduler.LeaseInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.core.SessionLeases(id, most)
}

func (f *fakeEngine) Bodies(ids []scheduler.TaskID, each func(int, []byte) error) error {
	var bad damagedBodies
	for i, id := range ids {
		f.mu.Lock()
		b, damaged, reading := f.bodies[id], f.damaged[id], f.reading
		f.mu.Unlock()
		reading()
		if damaged {
			bad = append(bad, id)
			continue
		}
		if err := each(i, b); err != nil {
			return err
		}
	}
	if bad != nil {
		return bad
	}
	return nil
}

func (f *fakeEngine) Status() engine.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return engine.Status{
		Leading: true, Term: f.core.Term(), Now: f.core.Now(), Counts: f.core.Counts(), Limits: f.limits, Logic: scheduler.LogicVersion,
		LastPosition: f.ring.Last(),
		Totals: engine.Totals{
			Submitted: 1, Granted: 2, Succeeded: 3, FailedAttempts: 4, Dead: 5, Cancelled: 6, Expired: 7, RejectedOutcomes: 8, Returned: 9,
		},
	}
}

func (f *fakeEngine) Hash() uint64 { return 0xabc }

func (f *fakeEngine) Checkpoint(context.Context, uint64) error {
	f.saves.Add(1)
	return nil
}
