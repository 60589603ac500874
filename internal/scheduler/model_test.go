package scheduler

import (
	"cmp"
	"maps"
	"slices"
)

// model is a dumb twin of State: the same rules over plain maps, scanned from end to end for each question, without any
// index, cache, heap or bound on a step. It speaks the core's types of rows and effects, and nothing else of it.
type model struct {
	g         GlobalsRow  // LastPolicy stays 0
	shapes    []*ShapeRow // by id
	tasks     map[TaskID]*mTask
	leases    map[Token]*LeaseRow
	sessions  map[SessionID]*SessionRow
	queues    map[string]*QueueRow
	producers map[Hash128]*ProducerRow
	keys      map[Hash128]*KeyRow
	dead      map[TaskID]*DeadRow
	eff       *Effects
	nextLogic uint32
	restored  bool
}

// mTask is a task with what the core shares between tasks. Its row's Policy stays 0.
type mTask struct {
	TaskRow
	kind, queue string
	require     []Label
	weight      uint16
	policy      Policy
}

func newModel() *model {
	m := &model{
		tasks: map[TaskID]*mTask{}, leases: map[Token]*LeaseRow{}, sessions: map[SessionID]*SessionRow{},
		queues: map[string]*QueueRow{}, producers: map[Hash128]*ProducerRow{}, keys: map[Hash128]*KeyRow{}, dead: map[TaskID]*DeadRow{},
	}
	m.g.Limits = Limits{MaxTasks: MaxTasksDefault, Depth: QueueDepth}
	m.newQueue(DefaultQueue)
	return m
}

func sorted[K cmp.Ordered, V any](from map[K]V) []V {
	var all []V
	for _, k := range slices.Sorted(maps.Keys(from)) {
		all = append(all, from[k])
	}
	return all
}

func (m *model) newQueue(name string) *QueueRow {
	q := m.queues[name]
	if q == nil {
		m.g.LastQueue++
		q = &QueueRow{ID: m.g.LastQueue, Name: name, Weight: 1}
		m.queues[name] = q
	}
	return q
}

func (m *model) apply(b *Batch) *Effects {
	m.eff = &Effects{}
	m.g.Logic, m.nextLogic = b.Logic, b.Logic
	if b.Now > m.g.Now {
		if len(b.Commands) == 0 || b.Commands[0].Op != OpBeginTerm {
			m.g.Served += Duration(b.Now - m.g.Now)
		}
		m.g.Now = b.Now
	}
	for i := range b.Commands {
		r := Reply{Code: CodeOK}
		m.command(&b.Commands[i], int32(i), &r)
		m.eff.Replies = append(m.eff.Replies, r)
	}
	if !m.g.Restoring {
		m.endRestored()
		m.bury()
		m.expire()
		m.wake()
		m.clean()
		m.match()
	}
	m.g.Logic = m.nextLogic
	if m.restored {
		m.jump()
	}
	return m.eff
}

func (m *model) command(c *Command, i int32, r *Reply) {
	switch c.Op {
	case OpBeginTerm:
		m.g.Term, m.g.Limits = c.BeginTerm.Term, c.BeginTerm.Limits
	case OpTick:
	case OpSubmit:
		m.submit(c.Submit, i, r)
	case OpCancel:
		from := len(m.eff.Items)
		for _, id := range c.Cancel.IDs {
			m.eff.Items = append(m.eff.Items, ItemResult{id, m.cancel(id, c.Cancel)})
		}
		r.Items = Span{int32(from), int32(len(m.eff.Items))}
	case OpRetry:
		from := len(m.eff.Items)
		for i := range c.Retry.Items {
			m.eff.Items = append(m.eff.Items, ItemResult{c.Retry.Items[i].ID, m.retry(&c.Retry.Items[i])})
		}
		r.Items = Span{int32(from), int32(len(m.eff.Items))}
	case OpOpenSession:
		m.open(c.Open, r)
	case OpResumeSession:
		m.resume(c.Resume, r)
	case OpOutcomes:
		m.outcomes(c.Outcomes, i, r)
	case OpPauseQueue, OpResumeQueue, OpConfigureQueue:
		m.queueCommand(c.Op, c.Queue, r)
	case OpForget:
		for _, ref := range c.Forget.Items {
			if d := m.dead[ref.ID]; d != nil && d.Gen == ref.Gen {
				delete(m.dead, ref.ID)
				m.eff.Forgotten = append(m.eff.Forgotten, ref.ID)
			}
		}
	case OpDelete:
		if len(c.Delete.Items) == 0 {
			r.Code = CodeInvalid
			return
		}
		from := len(m.eff.Items)
		for i := range c.Delete.Items {
			m.eff.Items = append(m.eff.Items, ItemResult{c.Delete.Items[i].ID, m.delete(&c.Delete.Items[i])})
		}
		r.Items = Span{int32(from), int32(len(m.eff.Items))}
	case OpSetLogic:
		m.nextLogic = c.SetLogic.Logic
	case OpRestored:
		m.restored = true
	default:
		m.session(c.Op, c.Session, r)
	}
}

func (m *model) queueCommand(op Op, c *QueueCommand, r *Reply) {
	switch q := m.queues[c.Name]; {
	case op == OpConfigureQueue:
		m.configure(c, r)
	case q == nil:
		r.Code = CodeNotFound
	case op == OpPauseQueue && !q.Paused:
		q.Paused = true
		for _, sh := range m.shapes {
			if sh.Queue == q.ID {
				sh.HeadSince, sh.Reserved = 0, 0
			}
		}
		m.event(Event{Type: EventQueuePaused, Queue: c.Name})
	case op == OpResumeQueue && q.Paused:
		q.Paused = false
		m.event(Event{Type: EventQueueResumed, Queue: c.Name})
	}
}

// submit stores all tasks or none: it tries on a copy of what the checks count.
func (m *model) submit(c *Submit, cmd int32, r *Reply) {
	if len(c.Tasks) == 0 {
		r.Code = CodeInvalid
		return
	}
	var p *ProducerRow
	if c.Producer != (Hash128{}) {
		if p = m.admit(c, r); p == nil {
			return
		}
	}
	if r.Code, r.Index, r.First = m.check(c.Tasks); r.Code != CodeOK {
		return
	}
	keyed := slices.ContainsFunc(c.Tasks, func(t TaskSpec) bool { return t.HasKey })
	a := ProducerAnswer{Number: c.Number, First: m.g.LastTask + 1, Count: int32(len(c.Tasks))}
	for i := range c.Tasks {
		spec := &c.Tasks[i]
		var id TaskID
		if k := m.keys[spec.Key]; spec.HasKey && k != nil {
			id = k.Task
			a.Old = append(a.Old, int32(i))
		} else {
			m.g.LastTask++
			id = m.g.LastTask
			m.eff.Staged = append(m.eff.Staged, Staged{id, cmd, int32(i)})
			m.store(TaskRow{ID: id, Gen: 1}, spec, EventSubmitted)
			if spec.HasKey {
				m.g.LastKey++
				m.keys[spec.Key] = &KeyRow{Row: m.g.LastKey, Key: spec.Key, Body: spec.KeyBody, Task: id}
				m.tasks[id].Flags |= FlagHasKey
			}
		}
		if keyed {
			a.IDs = append(a.IDs, id)
		}
	}
	r.Fresh = true
	m.answer(&a, r)
	if p != nil {
		p.Answers = append(p.Answers, a)
		slices.SortFunc(p.Answers, func(a, b ProducerAnswer) int { return cmp.Compare(a.Number, b.Number) })
	}
}

func (m *model) answer(a *ProducerAnswer, r *Reply) {
	r.First, r.Count = a.First, a.Count
	r.IDs.From, r.Old.From = int32(len(m.eff.IDs)), int32(len(m.eff.Indexes))
	m.eff.IDs, m.eff.Indexes = append(m.eff.IDs, a.IDs...), append(m.eff.Indexes, a.Old...)
	r.IDs.To, r.Old.To = int32(len(m.eff.IDs)), int32(len(m.eff.Indexes))
}

// admit returns the producer of a request that is to be carried out.
func (m *model) admit(c *Submit, r *Reply) *ProducerRow {
	p := m.producers[c.Producer]
	switch {
	case c.Number < 1 || c.Lowest < 1 || c.Lowest > c.Number || c.Number-c.Lowest >= ProducerWindow,
		p == nil && c.Lowest != 1, p != nil && c.Number < p.Lowest:
		r.Code = CodeProducerWindow
		return nil
	case p == nil:
		m.g.LastProducer++
		p = &ProducerRow{Row: m.g.LastProducer, ID: c.Producer, Lowest: 1}
		m.producers[c.Producer] = p
	}
	m.g.LastUse++
	p.Use, p.LastUsed = m.g.LastUse, m.g.Served
	p.Lowest = max(p.Lowest, c.Lowest)
	p.Answers = slices.DeleteFunc(p.Answers, func(a ProducerAnswer) bool { return a.Number < p.Lowest })
	for i := range p.Answers {
		if p.Answers[i].Number == c.Number {
			m.answer(&p.Answers[i], r)
			return nil
		}
	}
	return p
}

// check looks at the tasks one by one, against the state and those before.
func (m *model) check(tasks []TaskSpec) (Code, int32, TaskID) {
	fresh := map[string]uint64{}
	keys := map[Hash128]Hash128{}
	total := uint64(len(m.tasks))
	for i := range tasks {
		t := &tasks[i]
		if !t.valid() {
			return CodeInvalid, int32(i), 0
		}
		if k, body := m.keys[t.Key], keys[t.Key]; t.HasKey && (k != nil || body != Hash128{}) {
			var other TaskID
			if k != nil {
				body, other = k.Body, k.Task
			}
			if body != t.KeyBody {
				return CodeKeyConflict, int32(i), other
			}
			continue
		}
		if t.HasKey {
			keys[t.Key] = t.KeyBody
		}
		if !t.validShape() {
			return CodeInvalid, int32(i), 0
		}
		fresh[t.Queue]++
		total++
		depth := fresh[t.Queue]
		for _, o := range m.tasks {
			if o.queue == t.Queue {
				depth++
			}
		}
		if total > m.g.Limits.MaxTasks {
			return CodeLimitTasks, int32(i), 0
		}
		most := m.g.Limits.Depth
		if q := m.queues[t.Queue]; q != nil && q.Depth > 0 {
			most = q.Depth
		}
		if depth > most {
			return CodeLimitDepth, int32(i), 0
		}
	}
	return CodeOK, 0, 0
}

func (m *model) store(row TaskRow, spec *TaskSpec, kind EventType) {
	if m.queues[spec.Queue] == nil {
		m.newQueue(spec.Queue)
		m.event(Event{Type: EventQueueConfigured, Queue: spec.Queue})
	}
	row.Priority, row.PayloadBytes, row.Submitted = spec.Priority, spec.PayloadBytes, m.g.Now
	row.StartBy, row.Deadline = spec.StartBy, spec.Deadline
	if spec.HasLabels {
		row.Flags |= FlagHasLabels
	}
	t := &mTask{TaskRow: row, kind: spec.Kind, queue: spec.Queue, require: spec.Require, weight: spec.Weight, policy: spec.Policy}
	t.Shape = m.shape(t, false).ID
	m.taskEvent(kind, t, mNoLease, CauseNone)
	due := spec.NotBefore
	if spec.Delay > 0 {
		due = m.g.Now.Add(spec.Delay)
	}
	m.enter(t, due)
}

// enter puts a task without a lease where it waits: until due, or for a slot.
func (m *model) enter(t *mTask, due Time) {
	m.tasks[t.ID] = t
	t.Token = 0
	if due > m.g.Now {
		t.State, t.Due = Scheduled, due
		return
	}
	t.State, t.Due = 0, 0
	others := false
	for _, o := range m.tasks {
		others = others || o.State == Pending && o.queue == t.queue
	}
	t.State = Pending
	if q := m.queues[t.queue]; !others {
		q.Pass = max(q.Pass, m.g.VirtualTime)
	}
}
