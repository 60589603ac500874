package scheduler

// State is the whole cluster: queues, tasks, sessions, leases, producers. One goroutine calls Apply; readers (view.go,
// explain.go) change nothing and may share the caller's lock among them; the checkpoint (dirt.go) needs it alone.
type State struct {
	globals GlobalsRow
	dirt    dirt

	tasks  slab[task, *task]
	ids    idSet // of tasks
	leases slab[lease, *lease]
	due    heap[timer] // Scheduled tasks
	expiry heap[timer] // tasks with start-by or deadline

	unconfirmed map[TaskID]SessionID // TaskRow.LastSession, of tasks with Undelivered above 0

	queues        []*queue // by id - 1; never deleted
	queueByName   map[string]*queue
	shapes        map[uint32]*shape
	shapeByKey    map[string]*shape // by appendShapeKey
	policies      slab[policy, *policy]
	policyByValue map[Policy]uint32 // value → slot
	idlePolicies  []uint32          // without tasks, by id; at most idlePoliciesMax
	lastShape     *shape            // of the last submitted task, usually the next one's too
	lastPolicy    *policy           // likewise

	sessions      map[SessionID]*session
	sessionByName map[string]*session   // the one that is matched: not superseded, not ending
	outnamed      map[string][]*session // those of a name that are superseded and not ending, by id
	dying         []*session            // Ending, by id
	attached      int                   // Invariant: sessions with matchable() true

	matcher matcher

	producers    map[Hash128]*producer
	producerUse  heap[*producer] // by order of last use
	producerRows map[uint64]*producer
	keys         slab[key, *key]
	keyRow       map[Hash128]uint64 // key → row
	keyOfTask    map[TaskID]uint64  // live or dead task → row of its key
	keyExpiry    heap[keyTimer]     // keys whose task ended
	dead         slab[deadStub, *deadStub]
	deadOf       map[TaskID]uint64 // dead letter → row
	deadHead     uint32            // slot + 1 of the oldest dead letter; 0: none
	deadTail     uint32            // slot + 1 of the newest

	counts [Leased + 1]uint64 // non-terminal tasks by state
	step   uint64             // counts Apply, in this process
	rows   int                // changed by the step under way

	nextLogic uint32 // set by the step under way; 0: unchanged
	restored  bool   // set by the step under way: see restored
	scratch   submitScratch
}

// New returns an empty state: the default queue, nothing else.
func New() *State {
	s := newState()
	s.globals.Limits = Limits{MaxTasks: MaxTasksDefault, Depth: QueueDepth}
	s.makeQueue(DefaultQueue)
	return s
}

func newState() *State {
	s := &State{
		queueByName: map[string]*queue{}, shapes: map[uint32]*shape{}, shapeByKey: map[string]*shape{},
		policyByValue: map[Policy]uint32{}, unconfirmed: map[TaskID]SessionID{},
		sessions: map[SessionID]*session{}, sessionByName: map[string]*session{}, outnamed: map[string][]*session{},
		producers: map[Hash128]*producer{}, producerRows: map[uint64]*producer{},
		keyRow: map[Hash128]uint64{}, keyOfTask: map[TaskID]uint64{}, deadOf: map[TaskID]uint64{},
	}
	s.dirt.init()
	s.due = heap[timer]{less: timerLess, moved: func(e timer, pos int32) { s.tasks.at(e.slot).pos = pos }}
	s.expiry = heap[timer]{less: timerLess, moved: func(e timer, pos int32) { s.tasks.at(e.slot).expiryPos = pos }}
	s.producerUse = heap[*producer]{
		less:  func(a, b *producer) bool { return a.Use < b.Use },
		moved: func(p *producer, pos int32) { p.pos = pos },
	}
	s.keyExpiry = heap[keyTimer]{less: keyTimerLess, moved: func(e keyTimer, pos int32) { s.keys.at(e.slot).pos = pos }}
	s.scratch.init()
	s.matcher.init()
	return s
}

// Now is the log's time.
func (s *State) Now() Time { return s.globals.Now }

// Served is the time that passed within terms: what retention is counted in.
func (s *State) Served() Duration { return s.globals.Served }

// Term is the current term.
func (s *State) Term() uint64 { return s.globals.Term }

// Limits are the bounds in force.
func (s *State) Limits() Limits { return s.globals.Limits }

// LastTask is the highest task id assigned so far.
func (s *State) LastTask() TaskID { return s.globals.LastTask }

// Apply carries out one step and writes what it did to eff. It never fails: a command that can't be carried out says so
// in its reply. An unknown command or logic version is a bug, or a log from the future: it panics, never skips.
func (s *State) Apply(b *Batch, eff *Effects) {
	eff.Reset()
	s.checkLogic(b.Logic)
	s.step++
	s.rows = 0
	s.advance(b)
	for i := range b.Commands {
		eff.Replies = append(eff.Replies, Reply{Code: CodeOK})
		s.command(&b.Commands[i], int32(i), eff)
	}
	s.housekeep(eff)
	if s.nextLogic != 0 {
		s.globals.Logic, s.nextLogic = s.nextLogic, 0
		s.matcher.unblockAll()
	}
	if s.restored {
		s.jump(eff)
	}
}

// advance moves the log's time, which never goes back.
func (s *State) advance(b *Batch) {
	if b.Now <= s.globals.Now {
		return
	}
	if len(b.Commands) == 0 || b.Commands[0].Op != OpBeginTerm {
		s.globals.Served += Duration(b.Now - s.globals.Now)
	}
	s.globals.Now = b.Now
}

func (s *State) command(c *Command, i int32, eff *Effects) {
	r := &eff.Replies[i]
	switch c.Op {
	case OpBeginTerm:
		s.beginTerm(c.BeginTerm)
	case OpTick:
	case OpSubmit:
		s.submit(c.Submit, i, r, eff)
	case OpCancel:
		s.cancel(c.Cancel, r, eff)
	case OpRetry:
		s.retry(c.Retry, r, eff)
	case OpOpenSession:
		s.openSession(c.Open, r, eff)
	case OpResumeSession:
		s.resumeSession(c.Resume, r, eff)
	case OpAttach, OpDetach, OpRelease, OpExpireSession, OpDrainSession, OpCloseSession, OpTimeoutLeases:
		s.sessionCommand(c.Op, c.Session, r, eff)
	case OpUnreadable:
		s.since(3, c.Op)
		s.sessionCommand(c.Op, c.Session, r, eff)
	case OpOutcomes:
		s.outcomes(c.Outcomes, i, r, eff)
	case OpPauseQueue, OpResumeQueue, OpConfigureQueue:
		s.queueCommand(c.Op, c.Queue, r, eff)
	case OpForget:
		s.forget(c.Forget, eff)
	case OpSetLogic:
		s.setLogic(c.SetLogic)
	case OpRestored:
		s.since(3, c.Op)
		s.restored = true
	case OpDelete:
		s.since(2, c.Op)
		s.deleteFinished(c.Delete, r, eff)
	default:
		panic("scheduler: unknown command " + utoa(uint64(c.Op)) + " in the log: use the build that wrote it")
	}
}

// beginTerm detaches every session at once: attached means attach term = current term.
func (s *State) beginTerm(c *BeginTerm) {
	if c.Term <= s.globals.Term {
		panic("scheduler: terms must grow")
	}
	s.globals.Term = c.Term
	s.globals.Limits = c.Limits
	s.matcher.detachAll(s)
}

// housekeep does what time and free slots ask for, within the step's bound: deaths of sessions first, then timers, then
// grants. What is left is found by the next step, where it was.
func (s *State) housekeep(eff *Effects) {
	if s.globals.Restoring || !s.endRestored(eff) {
		return
	}
	left := func() int { return max(0, StepRowsMax-decisionRowsMax-s.rows) }
	s.buryDying(s.rows+left()/2, eff)
	s.fireExpiry(s.rows+left()/2, eff)
	s.fireDue(s.rows+left()/2, eff)
	s.expireKeys()
	s.expireProducers()
	s.matcher.run(s, s.rows+left(), eff)
	if next, ok := s.NextDeadline(); ok && next <= s.globals.Now {
		eff.More = true
	}
}

// decisionRowsMax is how far one decision (a grant, a lost lease, an end) may carry a step past the bound it has just asked
// about: its task, lease, session, queue, key, two stubs of dead letters.
const decisionRowsMax = 8

// NextDeadline is when the next Tick is due, if ever. At or before Now means at once.
func (s *State) NextDeadline() (Time, bool) {
	if s.globals.Restoring {
		return 0, false
	}
	if len(s.dying) > 0 || s.globals.EndThrough != 0 {
		return s.globals.Now, true
	}
	at, ok := TimeMax, false
	if s.due.len() > 0 {
		at, ok = s.due.min().at, true
	}
	if s.expiry.len() > 0 && (!ok || s.expiry.min().at < at) {
		at, ok = s.expiry.min().at, true
	}
	if h := &s.matcher.heads; h.len() > 0 {
		at, ok = min(at, h.min().HeadSince.Add(HeavyWait)), true
	}
	return at, ok
}

// utoa is strconv.FormatUint for messages of panics.
func utoa(n uint64) string {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}
