package scheduler

// submitScratch is memory for the checks of one Submit.
type submitScratch struct {
	needs  []queueNeed
	queues map[string]*queueNeed // into needs; only once a Submit names a second queue
	shapes map[string]struct{}   // keys of the shapes to be made, with the need's index in place of the queue
	keys   map[Hash128]Hash128   // idempotency keys of this Submit and their bodies
	key    []byte
	serial uint64 // of the check under way; see shape.wanted
}

// queueNeed is what a Submit asks of one queue.
type queueNeed struct {
	name   string
	index  uint32 // in needs
	queue  *queue // nil: to be made
	tasks  uint64
	shapes int // without tasks now
}

func (x *submitScratch) init() {
	x.queues, x.shapes, x.keys = map[string]*queueNeed{}, map[string]struct{}{}, map[Hash128]Hash128{}
}

// reset makes room for n tasks: the needs never move, so that pointers into them stay good.
func (x *submitScratch) reset(n int) {
	clear(x.queues)
	clear(x.shapes)
	clear(x.keys)
	clear(x.needs)
	if x.needs = x.needs[:0]; cap(x.needs) < n {
		x.needs = make([]queueNeed, 0, BatchTasksMax)
	}
	x.serial++
}

// need returns what the Submit asks of a queue so far; made is true for one that isn't there yet and is named first now.
func (s *State) need(name string) (n *queueNeed, made bool) {
	x := &s.scratch
	if len(x.needs) > 0 && x.needs[0].name == name {
		return &x.needs[0], false
	}
	if n = x.queues[name]; n != nil {
		return n, false
	}
	x.needs = append(x.needs, queueNeed{name: name, index: uint32(len(x.needs)), queue: s.queueByName[name]})
	n = &x.needs[len(x.needs)-1]
	if len(x.needs) > 1 {
		x.queues[name] = n
	}
	return n, n.queue == nil
}

// submit stores tasks, all or none: everything is checked before anything changes.
func (s *State) submit(c *Submit, cmd int32, r *Reply, eff *Effects) {
	if len(c.Tasks) == 0 || len(c.Tasks) > BatchTasksMax {
		r.Code = CodeInvalid
		return
	}
	var p *producer
	if c.Producer != (Hash128{}) {
		var done bool
		if p, done = s.admitProducer(c, r, eff); done {
			return
		}
	}
	if r.Code, r.Index, r.First = s.checkSubmit(c.Tasks); r.Code != CodeOK {
		return
	}
	keyed := false
	for i := range c.Tasks {
		keyed = keyed || c.Tasks[i].HasKey
	}
	r.First, r.Count, r.Fresh = s.globals.LastTask+1, int32(len(c.Tasks)), true
	ids, old := len(eff.IDs), len(eff.Indexes)
	for i := range c.Tasks {
		spec := &c.Tasks[i]
		if keyed {
			if id := s.taskOfKey(spec); id != 0 {
				eff.IDs = append(eff.IDs, id)
				eff.Indexes = append(eff.Indexes, int32(i))
				continue
			}
		}
		id := s.store(spec, eff)
		eff.Staged = append(eff.Staged, Staged{Task: id, Cmd: cmd, Item: int32(i)})
		if keyed {
			eff.IDs = append(eff.IDs, id)
		}
	}
	r.IDs, r.Old = Span{int32(ids), int32(len(eff.IDs))}, Span{int32(old), int32(len(eff.Indexes))}
	if p != nil {
		s.remember(p, c.Number, r, eff)
	}
}

// store makes a task of a checked spec.
func (s *State) store(spec *TaskSpec, eff *Effects) TaskID {
	s.globals.LastTask++
	row := TaskRow{ID: s.globals.LastTask, Gen: 1}
	t := s.revive(row, spec, EventSubmitted, eff)
	if spec.HasKey {
		s.addKey(t, spec)
	}
	return t.ID
}

// revive makes a live task of a row that has its id and generation, and a spec.
func (s *State) revive(row TaskRow, spec *TaskSpec, kind EventType, eff *Effects) *task {
	q := s.queueByName[spec.Queue]
	if q == nil {
		q = s.makeQueue(spec.Queue)
		s.queueEvent(EventQueueConfigured, q, eff)
	}
	q.submitted++
	sh, p := s.takeShape(q, spec), s.takePolicy(spec.Policy)
	row.Shape, row.Policy = sh.ID, p.ID
	row.Priority, row.PayloadBytes = spec.Priority, spec.PayloadBytes
	row.StartBy, row.Deadline, row.Submitted = spec.StartBy, spec.Deadline, s.globals.Now
	if spec.HasLabels {
		row.Flags |= FlagHasLabels
	}
	row.Due = spec.NotBefore
	if spec.Delay > 0 {
		row.Due = s.globals.Now.Add(spec.Delay)
	}
	state := Scheduled
	if row.Due <= s.globals.Now {
		row.Due, state = 0, Pending
	}
	t := s.addTask(row, sh, p)
	s.touchTask(t)
	s.taskEvent(kind, t, sh, held{}, CauseNone, eff)
	s.enter(t, state)
	return t
}

// checkSubmit says whether all tasks can be stored, or the first that can't and why.
func (s *State) checkSubmit(tasks []TaskSpec) (Code, int32, TaskID) {
	x := &s.scratch
	x.reset(len(tasks))
	total, freshQueues := s.counts[Scheduled]+s.counts[Waiting]+s.counts[Pending]+s.counts[Leased], 0
	var need *queueNeed
	for i := range tasks {
		spec := &tasks[i]
		if !spec.valid() {
			return CodeInvalid, int32(i), 0
		}
		if spec.HasKey {
			body, id, known := s.checkKey(spec)
			if known {
				if body != spec.KeyBody {
					return CodeKeyConflict, int32(i), id
				}
				continue
			}
			if x.keys[spec.Key] = spec.KeyBody; s.keys.live+len(x.keys) > KeysMax {
				return CodeLimitKeys, int32(i), 0
			}
		}
		if need == nil || spec.Queue != need.name {
			var made bool
			if need, made = s.need(spec.Queue); made {
				freshQueues++
			}
		}
		need.tasks++
		total++
		if code := s.checkNeed(need, spec, total, freshQueues); code != CodeOK {
			return code, int32(i), 0
		}
	}
	return CodeOK, 0, 0
}

// checkNeed checks the limits that one more task meets.
func (s *State) checkNeed(need *queueNeed, spec *TaskSpec, total uint64, freshQueues int) Code {
	if !s.needShape(need, spec) {
		return CodeInvalid
	}
	var depth uint64
	var shapes int
	most := s.globals.Limits.Depth
	if q := need.queue; q != nil {
		depth, shapes, most = q.depth(), q.shapes, s.depthLimit(q)
	}
	switch {
	case total > s.globals.Limits.MaxTasks:
		return CodeLimitTasks
	case len(s.queues)+freshQueues > QueuesMax:
		return CodeLimitQueues
	case depth+need.tasks > most:
		return CodeLimitDepth
	case shapes+need.shapes > ShapesMax:
		return CodeLimitShapes
	}
	return CodeOK
}

// needShape counts a task's shape among those that the Submit brings to life; false: it isn't valid.
func (s *State) needShape(need *queueNeed, spec *TaskSpec) bool {
	x := &s.scratch
	if need.queue != nil {
		if sh := s.findShape(need.queue, spec); sh != nil {
			if sh.refs == 0 && sh.wanted != x.serial {
				sh.wanted = x.serial
				need.shapes++
			}
			return true
		}
	}
	if !spec.validShape() {
		return false
	}
	x.key = appendShapeKey(x.key[:0], need.index, spec)
	if _, ok := x.shapes[string(x.key)]; !ok {
		x.shapes[string(x.key)] = struct{}{}
		need.shapes++
	}
	return true
}

// cancel ends tasks, or asks their workers to.
func (s *State) cancel(c *Cancel, r *Reply, eff *Effects) {
	if len(c.IDs) > BatchTasksMax {
		r.Code = CodeInvalid
		return
	}
	from := len(eff.Items)
	for _, id := range c.IDs {
		eff.Items = append(eff.Items, ItemResult{ID: id, Code: s.cancelOne(id, c, eff)})
	}
	r.Items = Span{int32(from), int32(len(eff.Items))}
}

func (s *State) cancelOne(id TaskID, c *Cancel, eff *Effects) ItemCode {
	t := s.findTask(id)
	purge := c.Purge && s.globals.Logic >= 2
	switch {
	case t == nil && (id == 0 || id > s.globals.LastTask):
		return ItemNotFound
	case t == nil:
		return ItemAlreadyTerminal
	case t.State != Leased:
		s.leave(t)
		s.finish(t, Cancelled, CauseCancelled, end{cmd: -1, purged: purge}, eff)
		return ItemDone
	case purge:
		return ItemNotTerminal
	case c.Force:
		by := s.revoke(t, eff)
		s.finish(t, Cancelled, CauseCancelled, by, eff)
		return ItemDone
	case !t.has(FlagCancelRequested):
		s.touchTask(t)
		t.Flags |= FlagCancelRequested
		s.noteCancel(t, CancelAsked, eff)
		l := s.findLease(t.Token)
		s.taskEvent(EventCancelRequested, t, s.shapeOf(t), heldBy(t, l, s.sessions[l.Session]), CauseNone, eff)
	}
	return ItemRequested
}
