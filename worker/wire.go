package worker

import (
	"errors"
	"io"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// protocolVersion is the newest version of the contract that this package speaks; it speaks all since 1.
const protocolVersion = 2

// handle takes one event of the link.
func (l *loop) handle(ev event) {
	now := l.now()
	switch {
	case ev.opened != nil:
		l.stream, l.sent = ev.opened, 0
		l.core.Connected(now)
	case ev.message != nil:
		l.message(now, ev.message)
	case ev.closed:
		l.lost(now, ev)
	}
}

func (l *loop) message(now workercore.Time, m *pb.SessionResponse) {
	switch m := m.Message.(type) {
	case *pb.SessionResponse_Welcome:
		l.welcome(now, m.Welcome)
	case *pb.SessionResponse_Grants:
		l.grants(now, m.Grants)
	case *pb.SessionResponse_OutcomeAck:
		var rejected []workercore.Rejection
		for _, r := range m.OutcomeAck.Rejected {
			rejected = append(rejected, workercore.Rejection{
				Seq: r.Seq, Token: workercore.Token(r.Token), Gone: r.Code == pb.Rejected_CODE_GONE,
			})
		}
		l.core.Answers(now, m.OutcomeAck.ThroughSeq, rejected, &l.act)
	case *pb.SessionResponse_HeartbeatAck:
		l.core.HeartbeatAck(now, workercore.Time(m.HeartbeatAck.SendTimeNanos), &l.act)
	case *pb.SessionResponse_Recall:
		tokens := make([]workercore.Token, len(m.Recall.Tokens))
		for i, token := range m.Recall.Tokens {
			tokens[i] = workercore.Token(token)
		}
		l.core.Recall(now, tokens, &l.act)
	case *pb.SessionResponse_Cancel:
		c := m.Cancel
		l.core.Cancel(now, workercore.Token(c.Token), workercore.TaskID(c.TaskId), workercore.CancelReason(c.Reason), &l.act)
	}
}

func (l *loop) welcome(now workercore.Time, m *pb.Welcome) {
	before := l.core.Counts()
	w := workercore.WelcomeMessage{
		Session: m.SessionId, TTL: span(m.SessionTtl), Interval: span(m.HeartbeatInterval), Margin: span(m.Margin),
		NewSession: m.NewSession, Version: min(max(m.ProtocolVersion, 1), l.stream.version),
	}
	for _, token := range m.StopTokens {
		w.Stop = append(w.Stop, workercore.Token(token))
	}
	l.core.Welcome(now, w, &l.act)
	after := l.core.Counts()
	if !after.Live {
		return
	}
	l.stats.Streams++
	l.outage = outage{}
	for r := l.first; r != nil; r = r.next {
		l.board.again(&r.Task) // what the stream before has carried may be lost, or this coordinator be another
	}
	log := l.w.log.With("session", after.Session, "coordinator", l.stream.address)
	switch {
	case before.Session == 0:
		log.Info("session opened", "name", l.w.cfg.Name, "protocol", w.Version, "ttl", m.SessionTtl.AsDuration())
	case before.Session == after.Session:
		log.Info("session resumed", "running", after.Running, "held", after.Held, "unanswered", after.Unanswered, "to_stop", len(w.Stop))
	default:
		log.Warn("session had expired, new one opened", "expired", before.Session, "to_stop", len(w.Stop), "unanswered", after.Unanswered)
	}
}

// lost takes note of a stream's end, or of an attempt to open one that failed.
func (l *loop) lost(now workercore.Time, ev event) {
	counts := l.core.Counts()
	if l.stream != nil {
		l.stream = nil
		l.core.Disconnected(now)
	}
	switch {
	case ev.older:
		l.w.log.Info("the coordinator is older than this worker: going on with the first protocol version, without prefetch, recall and progress",
			"coordinator", ev.address)
	case ev.refused:
		l.w.log.Error("refused by the coordinator", "coordinator", ev.address, "error", plainly{ev.err}.Error())
		l.refused = plainly{ev.err}
		l.core.Abort(now)
	case errors.Is(ev.err, io.EOF) && l.stopping():
		l.outage.due(now) // it was to be expected, and so is what follows
	default:
		l.warn(now, ev, counts)
	}
}

func (l *loop) stopping() bool {
	select {
	case <-l.w.drainC:
		return true
	case <-l.w.forceC:
		return true
	default:
		return false
	}
}

// grants takes in leases, and makes the runs that they will be.
func (l *loop) grants(now workercore.Time, m *pb.Grants) {
	l.leases = slices.Grow(l.leases[:0], len(m.Leases))[:len(m.Leases)]
	for i, lease := range m.Leases {
		l.lease(&l.leases[i], lease)
	}
	l.core.Grants(now, m.Seq, l.leases, &l.act)
	clear(l.leases)
}

// lease translates a lease.
func (l *loop) lease(to *workercore.Lease, m *pb.TaskLease) {
	r := &run{handler: l.w.handlers[m.Kind]}
	t := &r.Task
	t.ID, t.Token, t.Kind, t.Queue, t.Payload, t.Attempt = m.TaskId, m.Token, m.Kind, m.Queue, m.Payload, int(m.Attempt)
	t.MaxAttempts, t.Generation, t.Weight, t.Pool = int(m.MaxAttempts), int(m.Generation), int(m.Weight), m.Pool
	t.Labels, t.worker, t.board = m.Labels, l.w, l.board
	*to = workercore.Lease{
		Token: workercore.Token(m.Token), Task: workercore.TaskID(m.TaskId), Pool: m.Pool, Weight: m.Weight,
		AttemptTimeout: span(m.AttemptTimeout), DeadlineIn: bound(m.DeadlineIn), StartWithin: bound(m.StartWithin), Body: r,
	}
}

// request translates a message of the core's.
func (l *loop) request(m *workercore.Message) *pb.SessionRequest {
	req := &pb.SessionRequest{ReceivedThrough: m.ReceivedThrough, AnswersThrough: m.AnswersThrough}
	switch m.Kind {
	case workercore.Hello:
		req.Message = &pb.SessionRequest_Hello{Hello: l.hello(m)}
	case workercore.Started:
		tokens := make([]uint64, len(m.Started))
		for i, token := range m.Started {
			tokens[i] = uint64(token)
		}
		req.Message = &pb.SessionRequest_Started{Started: &pb.Started{Tokens: tokens}}
	case workercore.Outcomes:
		l.stats.Sent += uint64(len(m.Outcomes))
		list := make([]*pb.AttemptOutcome, len(m.Outcomes))
		for i := range m.Outcomes {
			list[i] = outcome(&m.Outcomes[i])
		}
		req.Message = &pb.SessionRequest_Outcomes{Outcomes: &pb.Outcomes{FirstSeq: m.FirstSeq, Outcomes: list}}
	case workercore.Heartbeat:
		req.Message = &pb.SessionRequest_Heartbeat{Heartbeat: &pb.Heartbeat{SendTimeNanos: int64(m.SendTime), Progress: l.progress(m)}}
	case workercore.Recalled:
		tokens := make([]uint64, len(m.Recalled))
		for i, token := range m.Recalled {
			tokens[i] = uint64(token)
		}
		l.stats.GivenUp += uint64(len(tokens))
		req.Message = &pb.SessionRequest_Recalled{Recalled: &pb.Recalled{Tokens: tokens}}
	case workercore.Draining:
		req.Message = &pb.SessionRequest_Draining{Draining: &pb.Draining{Running: uint32(m.Running), Waiting: uint32(m.Waiting)}}
	case workercore.Drained:
		req.Message = &pb.SessionRequest_Drained{Drained: &pb.Drained{ProcessesLeft: uint32(m.Left)}}
	case workercore.Goodbye:
		req.Message = &pb.SessionRequest_Goodbye{Goodbye: &pb.Goodbye{}}
	}
	return req
}

// progress is what a heartbeat carries. What doesn't fit goes with the next.
func (l *loop) progress(m *workercore.Message) []*pb.TaskProgress {
	if !m.Progress {
		return nil
	}
	list, more := l.board.take()
	if more {
		l.board.news.Store(true)
		l.signal()
	}
	return list
}

func (l *loop) hello(m *workercore.Message) *pb.Hello {
	cfg := &l.w.cfg
	h := &pb.Hello{
		ProtocolVersion: l.stream.version, WorkerName: cfg.Name, Incarnation: l.w.incarnation, Kinds: l.w.kinds(),
		Queues: cfg.Queues, Labels: cfg.Labels, MaxMessageBytes: messageBytesMax,
	}
	for _, p := range cfg.Pools {
		pool := &pb.Pool{Name: p.Name, Slots: uint32(p.Slots)}
		if h.ProtocolVersion >= workercore.VersionRecall {
			pool.Prefetch = uint32(p.Prefetch)
		}
		for _, kind := range h.Kinds {
			if l.w.handlers[kind].pool == p.Name {
				pool.Kinds = append(pool.Kinds, kind)
			}
		}
		h.Pools = append(h.Pools, pool)
	}
	if m.Session == 0 {
		return h
	}
	h.Resume = &pb.Resume{SessionId: m.Session}
	for _, k := range m.Tokens {
		h.Resume.Tokens = append(h.Resume.Tokens, &pb.KnownToken{
			Token: uint64(k.Token), Phase: pb.KnownToken_Phase(k.Phase), Weight: k.Weight, Pool: k.Pool, TaskId: uint64(k.Task),
		})
	}
	return h
}

// outcome translates one outcome. That of a handler was made where it returned, and is sent as it is, on each stream.
func outcome(o *workercore.Outcome) *pb.AttemptOutcome {
	e, _ := o.Body.(*ended)
	if e != nil && (o.Kind == workercore.Succeeded || o.Kind == workercore.Failed) {
		return &e.outcome
	}
	out := &pb.AttemptOutcome{Token: uint64(o.Token), TaskId: uint64(o.Task)}
	if o.Ran > 0 {
		out.RunTime = durationpb.New(time.Duration(o.Ran))
	}
	switch o.Kind {
	case workercore.TimedOut:
		var was *pb.AttemptOutcome
		if e != nil {
			was = &e.outcome
		}
		out.Kind = &pb.AttemptOutcome_Failed{Failed: timedOut(was, o.Reason)}
	case workercore.Failed:
		out.Kind = &pb.AttemptOutcome_Failed{Failed: failed(errors.New(o.Reason))}
	case workercore.Cancelled:
		out.Kind = &pb.AttemptOutcome_Cancelled{Cancelled: &pb.AttemptCancelled{}}
	default:
		out.Kind = &pb.AttemptOutcome_Interrupted{Interrupted: &pb.Interrupted{Reason: o.Reason}}
	}
	return out
}

// span translates a duration; absent is 0.
func span(d *durationpb.Duration) workercore.Duration {
	if d == nil {
		return 0
	}
	return workercore.Duration(d.AsDuration())
}

// bound translates a time that is left; absent is 0, and none left at least 1.
func bound(d *durationpb.Duration) workercore.Duration {
	if d == nil {
		return 0
	}
	return max(1, workercore.Duration(d.AsDuration()))
}
