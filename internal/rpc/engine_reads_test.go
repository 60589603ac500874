package rpc

import (
	"context"
	"slices"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/watch"
)

// beforeCore does what the fake does in the core's place, so that it is the same whatever the core's rules are: queues'
// settings and depths, purges, deletes. staged are the tasks of the batch so far, by queue. done: res is the answer, and the
// core is told of nothing but the time. Under mu.
func (f *fakeEngine) beforeCore(cmd scheduler.Command, staged map[string]uint64) (out scheduler.Command, res engine.Result, done bool) {
	tick := scheduler.Command{Op: scheduler.OpTick}
	switch cmd.Op {
	case scheduler.OpConfigureQueue:
		f.configure(cmd.Queue)
		cmd.Queue = &scheduler.QueueCommand{Name: cmd.Queue.Name, Weight: cmd.Queue.Weight}
	case scheduler.OpSubmit:
		need := map[string]uint64{}
		for i := range cmd.Submit.Tasks {
			name := cmd.Submit.Tasks[i].Queue
			need[name]++
			q, _ := f.queue(name)
			if set := f.settings[name]; set != nil && set.Depth > 0 && q.Scheduled+q.Pending+q.Leased+staged[name]+need[name] > set.Depth {
				return tick, engine.Result{Reply: scheduler.Reply{Code: scheduler.CodeLimitDepth, Index: int32(i)}}, true
			}
		}
		for name, n := range need {
			staged[name] += n
		}
	case scheduler.OpCancel:
		if cmd.Cancel.Purge {
			c := &scheduler.Cancel{}
			for _, id := range cmd.Cancel.IDs {
				if t, ok := f.core.Task(id); ok && t.State != scheduler.Leased {
					c.IDs = append(c.IDs, id)
				}
			}
			cmd.Cancel = c
		}
	case scheduler.OpDelete:
		res := engine.Result{Reply: scheduler.Reply{Code: scheduler.CodeOK}}
		for _, item := range cmd.Delete.Items {
			code := scheduler.ItemNotFound
			if _, lives := f.core.Task(item.ID); lives {
				code = scheduler.ItemNotTerminal
			} else if item.Found {
				delete(f.finished, item.ID)
				code = scheduler.ItemDone
			}
			res.Items = append(res.Items, scheduler.ItemResult{ID: item.ID, Code: code})
		}
		return tick, res, true
	}
	return cmd, engine.Result{}, false
}

func (f *fakeEngine) configure(c *scheduler.QueueCommand) {
	set := f.settings[c.Name]
	if set == nil {
		set = &scheduler.QueueCommand{}
		f.settings[c.Name] = set
	}
	if c.Fields&scheduler.QueueDepthSet != 0 {
		set.Depth = c.Depth
	}
	if c.Fields&scheduler.QueueMaxLeasesSet != 0 {
		set.MaxLeases = c.MaxLeases
	}
	if c.Fields&scheduler.QueueRetentionSet != 0 {
		set.Retention = c.Retention
	}
	if c.Fields&scheduler.QueueDeadRetentionSet != 0 {
		set.DeadRetention = c.DeadRetention
	}
}

func (f *fakeEngine) queue(name string) (scheduler.QueueInfo, bool) {
	q, ok := f.core.Queue(name)
	if set := f.settings[name]; set != nil {
		if set.Depth > 0 {
			q.DepthLimit, q.OwnDepth = set.Depth, true
		}
		q.MaxLeases, q.Retention, q.DeadRetention = set.MaxLeases, set.Retention, set.DeadRetention
	}
	return q, ok
}

func (f *fakeEngine) Queue(name string) (scheduler.QueueInfo, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.queue(name)
}

func (f *fakeEngine) QueueSettings(name string) (scheduler.QueueRow, bool) {
	q, ok := f.Queue(name)
	return scheduler.QueueRow{Name: q.Name, Retention: q.Retention, DeadRetention: q.DeadRetention}, ok
}

func (f *fakeEngine) Queues() []scheduler.QueueInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.core.Queues()
	for i := range all {
		all[i], _ = f.queue(all[i].Name)
	}
	return all
}

func (f *fakeEngine) ExplainQueue(name string) (scheduler.QueueExplanation, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, ok := f.explains[name]
	return x, ok
}

func (f *fakeEngine) Events() *watch.Ring[engine.Event] { return f.ring }

// emit publishes events with the next positions.
func (f *fakeEngine) emit(events ...scheduler.Event) {
	for _, e := range events {
		e.Position = f.ring.Last() + 1
		f.ring.Append([]engine.Event{{Event: e, At: f.Now()}})
	}
}

func (f *fakeEngine) WatchTask(id scheduler.TaskID) engine.TaskWatch {
	c := make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers[c] = id
	before := f.ends[id]
	return engine.TaskWatch{
		Changed: c,
		Ended: func() (*storagev1.Finished, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if end := f.ends[id]; end != before {
				return end, nil
			}
			return nil, nil
		},
		Stop: func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.watchers, c)
		},
	}
}

func (f *fakeEngine) Timeline(ctx context.Context, id scheduler.TaskID) (*engine.Timeline, error) {
	t, err := f.Task(ctx, id)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return &engine.Timeline{Task: t, Attempts: f.attempts[id], Earlier: uint32(len(f.attempts[id]))}, nil
}

// FindPage looks at every task by itself.
func (f *fakeEngine) FindPage(ctx context.Context, x engine.ListFilter) (*engine.Listed, error) {
	f.mu.Lock()
	last, looks := f.core.LastTask(), f.looks
	f.mu.Unlock()
	res := &engine.Listed{Last: last}
	to := last
	if x.Through > 0 {
		to = min(last, x.Through)
	}
	for id := x.After + 1; id <= to; id++ {
		if looks > 0 && int(id-x.After) > looks {
			res.Next = id - 1
			return res, nil
		}
		t, err := f.Task(ctx, id)
		if err != nil || !passes(t, &x) {
			continue
		}
		if len(res.Tasks) == x.Max {
			res.Next = res.Tasks[x.Max-1].ID
			return res, nil
		}
		res.Tasks = append(res.Tasks, t)
	}
	return res, nil
}

func passes(t *engine.Task, x *engine.ListFilter) bool {
	state, queue, kind := scheduler.TaskState(t.Finished.GetState()), t.Finished.GetSpec().GetQueue(), t.Finished.GetSpec().GetKind()
	submitted, labels := scheduler.Time(t.Finished.GetSubmitted()), storedLabels(t.Finished.GetLabels())
	if t.Live != nil {
		state, queue, kind, submitted, labels = t.Live.State, t.Live.Queue, t.Live.Kind, t.Live.Submitted, storedLabels(t.Body.GetLabels())
	}
	for k, v := range x.Labels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return (len(x.States) == 0 || slices.Contains(x.States, state)) && (x.Queue == "" || x.Queue == queue) &&
		(x.Kind == "" || x.Kind == kind) && submitted >= x.SubmittedFrom && (x.SubmittedBefore == 0 || submitted < x.SubmittedBefore)
}

var _ Engine = (*fakeEngine)(nil)
