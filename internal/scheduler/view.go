package scheduler

import (
	"slices"
	"strings"
)

// The types here are copies for readers outside the apply path. The methods that fill them need the state to stand
// still: the caller holds its lock.

// TaskInfo is a live task as the core knows it.
type TaskInfo struct {
	TaskRow
	Kind, Queue string
	Require     []Label
	Weight      uint16
	Policy      Policy // shadows TaskRow.Policy, the id
	Lease       LeaseRow
	Worker      string // Leased: the worker's name
	Suspect     bool
}

// QueueInfo is a queue and its counts.
type QueueInfo struct {
	Name                             string
	Paused                           bool
	Weight                           uint16
	Shapes                           int
	Scheduled, Pending, Leased, Dead uint64
	DepthLimit                       uint64
	OwnDepth                         bool // DepthLimit is the queue's own
	MaxLeases                        uint32
	Retention, DeadRetention         Duration // as in QueueRow
	OldestPending                    Time     // when the longest waiting of its shapes' first tasks was submitted; 0: none
	Submitted, Ended                 uint64   // in this process; not part of the state
}

// PoolInfo is a pool and its use.
type PoolInfo struct {
	Pool
	Used int
}

// SessionInfo is a session.
type SessionInfo struct {
	ID                           SessionID
	Worker                       WorkerInfo
	Pools                        []PoolInfo
	Opened                       Time
	Attach                       uint64
	Attached                     bool // given work: attached in this term, not draining, not superseded
	Draining, Superseded, Ending bool
	HeardThisTerm                bool
	Leases                       int
	AnswersThrough               uint64 // all outcomes up to this number are answered
}

// LeaseInfo is a token that occupies slots, and its task's kind (empty if revoked).
type LeaseInfo struct {
	LeaseRow
	Kind           string
	AttemptTimeout Duration
}

// Counts are the cluster's figures.
type Counts struct {
	Queues, Sessions, Attached       int
	Scheduled, Pending, Leased, Dead uint64
	Leases                           int // tokens that occupy slots, revoked ones included
	Producers, Keys                  int
}

// ReasonCode names a condition of the matcher that holds a task back. Numbered as in the public contract.
type ReasonCode uint8

// The conditions.
const (
	ReasonQueuePaused    ReasonCode = 1
	ReasonNoWorkers      ReasonCode = 2
	ReasonKindNotServed  ReasonCode = 3
	ReasonQueueNotServed ReasonCode = 4
	ReasonLabelMissing   ReasonCode = 5
	ReasonPoolTooSmall   ReasonCode = 6
	ReasonSlotsBusy      ReasonCode = 7
	ReasonDetached       ReasonCode = 8
	ReasonDraining       ReasonCode = 9
	ReasonNotDue         ReasonCode = 10
	ReasonBehindOthers   ReasonCode = 11
	ReasonLeased         ReasonCode = 12
	ReasonTerminal       ReasonCode = 13
	ReasonReserved       ReasonCode = 14
	ReasonSuspectsApart  ReasonCode = 15
	ReasonQueueMaxLeases ReasonCode = 16
	ReasonQueueEmpty     ReasonCode = 17
)

// Reason is one condition and how many workers (or tasks) it concerns.
type Reason struct {
	Code    ReasonCode
	Count   int
	Label   Label  // ReasonLabelMissing: one that is required and missing
	Example string // a worker's name, where the reason concerns workers
	Until   Time   // ReasonNotDue
}

// Explanation says why a task is where it is.
type Explanation struct {
	Task    TaskInfo
	Reasons []Reason
}

// QueueExplanation says why a queue's tasks wait.
type QueueExplanation struct {
	Queue   QueueInfo
	Reasons []Reason           // of the queue as a whole
	Shapes  []ShapeExplanation // with pending tasks, those with most first; at most ShapesMax
}

// ShapeExplanation says what holds back the next task of a shape.
type ShapeExplanation struct {
	ShapeRow
	Pending uint64
	Next    TaskInfo
	Reasons []Reason // none: it is about to be granted
}

// RecallItem is an unstarted lease that should be given up by its worker, as far as the state can tell.
type RecallItem struct {
	Session SessionID
	Attach  uint64
	Token   Token
}

// Task returns a live task.
func (s *State) Task(id TaskID) (TaskInfo, bool) {
	t := s.findTask(id)
	if t == nil {
		return TaskInfo{}, false
	}
	return s.taskInfo(t), true
}

func (s *State) taskInfo(t *task) TaskInfo {
	sh := s.shapeOf(t)
	info := TaskInfo{
		TaskRow: s.taskRow(t), Kind: sh.Kind, Queue: sh.queue.Name, Require: sh.Require, Weight: sh.Weight,
		Policy: s.policyOf(t).Policy, Suspect: sh.Suspect,
	}
	if l := s.findLease(t.Token); l != nil {
		info.Lease = l.LeaseRow
		info.Worker = s.sessions[l.Session].Worker.Name
	}
	return info
}

// DeadGen returns the generation of a dead letter, or false.
func (s *State) DeadGen(id TaskID) (uint32, bool) {
	d := s.findDead(id)
	if d == nil {
		return 0, false
	}
	return d.Gen, true
}

// WalkTasks calls f for live tasks in order of id, from the first above after on, for at most n of them, and returns the
// last one's id (after: there was none); done: there are no more.
func (s *State) WalkTasks(after TaskID, n int, f func(TaskInfo)) (last TaskID, done bool) {
	last, done = after, true
	s.ids.walk(after, func(id TaskID) bool {
		if n--; n < 0 {
			done = false
			return false
		}
		f(s.taskInfo(s.findTask(id)))
		last = id
		return true
	})
	return last, done
}

// Queue returns a queue.
func (s *State) Queue(name string) (QueueInfo, bool) {
	q := s.queueByName[name]
	if q == nil {
		return QueueInfo{}, false
	}
	info := s.queueInfo(q)
	for _, sh := range s.shapes {
		if sh.queue == q {
			s.waited(sh, &info)
		}
	}
	return info, true
}

// QueueSettings returns a queue's row alone: for those who ask at every submit, it doesn't look at its tasks.
func (s *State) QueueSettings(name string) (QueueRow, bool) {
	q := s.queueByName[name]
	if q == nil {
		return QueueRow{}, false
	}
	return q.QueueRow, true
}

// waited lets a shape's first task count in its queue's OldestPending.
func (s *State) waited(sh *shape, info *QueueInfo) {
	if sh.ready.len() == 0 {
		return
	}
	if at := s.firstReady(sh).Submitted; info.OldestPending == 0 || at < info.OldestPending {
		info.OldestPending = at
	}
}

// Queues returns all queues, by name.
func (s *State) Queues() []QueueInfo {
	all := make([]QueueInfo, 0, len(s.queues))
	for _, q := range s.queues {
		all = append(all, s.queueInfo(q))
	}
	for _, sh := range s.shapes {
		s.waited(sh, &all[sh.Queue-1])
	}
	slices.SortFunc(all, func(a, b QueueInfo) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (s *State) queueInfo(q *queue) QueueInfo {
	return QueueInfo{
		Name: q.Name, Paused: q.Paused, Weight: q.Weight, Shapes: q.shapes, Scheduled: q.counts[Scheduled] + q.counts[Waiting],
		Pending: q.counts[Pending], Leased: q.counts[Leased], Dead: q.dead, DepthLimit: s.depthLimit(q), OwnDepth: q.Depth != 0,
		MaxLeases: q.MaxLeases, Retention: q.Retention, DeadRetention: q.DeadRetention, Submitted: q.submitted, Ended: q.ended,
	}
}

// Session returns a session.
func (s *State) Session(id SessionID) (SessionInfo, bool) {
	x := s.sessions[id]
	if x == nil {
		return SessionInfo{}, false
	}
	return s.sessionInfo(x), true
}

// Sessions returns all sessions, by worker's name, then id.
func (s *State) Sessions() []SessionInfo {
	all := make([]SessionInfo, 0, len(s.sessions))
	for _, x := range s.sortedSessions() {
		all = append(all, s.sessionInfo(x))
	}
	slices.SortStableFunc(all, func(a, b SessionInfo) int { return strings.Compare(a.Worker.Name, b.Worker.Name) })
	return all
}

func (s *State) sortedSessions() []*session {
	all := make([]*session, 0, len(s.sessions))
	for _, x := range s.sessions {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b *session) int { return cmpID(a.ID, b.ID) })
	return all
}

func (s *State) sessionInfo(x *session) SessionInfo {
	info := SessionInfo{
		ID: x.ID, Worker: x.Worker, Opened: x.Opened, Attach: x.Attach, Attached: x.attachedIn(s.globals.Term),
		Draining: x.Draining, Superseded: x.Superseded, Ending: x.Ending, HeardThisTerm: x.HeardTerm == s.globals.Term,
		Leases: x.leases, AnswersThrough: x.nextSeq() - 1,
	}
	for i := range x.pools {
		info.Pools = append(info.Pools, PoolInfo{Pool: x.Worker.Pools[i], Used: x.pools[i].used})
	}
	return info
}

// SessionLeases returns the first n tokens of a session, in order.
func (s *State) SessionLeases(id SessionID, n int) []LeaseInfo {
	x := s.sessions[id]
	if x == nil {
		return nil
	}
	tokens := s.tokensOf(x)
	tokens = tokens[:min(n, len(tokens))]
	all := make([]LeaseInfo, 0, len(tokens))
	for _, token := range tokens {
		l := s.findLease(token)
		info := LeaseInfo{LeaseRow: l.LeaseRow}
		if t := s.findTask(l.Task); t != nil && !l.Revoked {
			info.Kind, info.AttemptTimeout = s.shapeOf(t).Kind, s.policyOf(t).Policy.AttemptTimeout
		}
		all = append(all, info)
	}
	return all
}

// Counts returns the cluster's figures.
func (s *State) Counts() Counts {
	return Counts{
		Queues: len(s.queues), Sessions: len(s.sessions), Attached: s.attached,
		Scheduled: s.counts[Scheduled] + s.counts[Waiting], Pending: s.counts[Pending], Leased: s.counts[Leased],
		Dead: uint64(s.dead.live), Leases: s.leases.live, Producers: len(s.producers), Keys: s.keys.live,
	}
}
