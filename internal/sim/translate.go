package sim

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// translate makes what goes over the wire of a message of the core, as package worker does and internal/rpc reads it.
func (k *worker) translate(m *workercore.Message) *upMessage {
	u := &upMessage{m: *m, size: 24}
	u.m.Tokens, u.m.Started, u.m.Outcomes, u.m.Recalled = nil, nil, nil, nil
	switch m.Kind {
	case workercore.Hello:
		u.hello = k.hello(m)
		k.sight.helloAt = k.local()
		u.size += 200 + 24*len(m.Tokens)
	case workercore.Started:
		u.tokens = numbers(m.Started)
		k.w.oracle.saidStarted(k, m.Started)
	case workercore.Recalled:
		u.tokens = numbers(m.Recalled)
		k.w.oracle.saidRecalled(k, m.Recalled)
		k.saidGivenUp(m.Recalled)
	case workercore.Outcomes:
		o := &scheduler.Outcomes{FirstSeq: m.FirstSeq, AnswersThrough: m.AnswersThrough, List: make([]scheduler.Outcome, len(m.Outcomes))}
		for i := range m.Outcomes {
			o.List[i] = outcome(&m.Outcomes[i])
			u.size += 32 + m.Outcomes[i].Size
		}
		k.w.oracle.reported(k, o)
		k.saidEnded(m.Outcomes)
		u.outcomes = o
	}
	u.size += 8 * len(u.tokens)
	return u
}

func numbers(tokens []workercore.Token) []uint64 {
	list := make([]uint64, len(tokens))
	for i, t := range tokens {
		list[i] = uint64(t)
	}
	return list
}

var phases = [...]scheduler.TokenPhase{
	workercore.Held: scheduler.PhaseHeld, workercore.Running: scheduler.PhaseStarted, workercore.Finished: scheduler.PhaseFinished,
}

func (k *worker) hello(m *workercore.Message) *helloMessage {
	h := &helloMessage{version: k.version, worker: k.info(), resume: scheduler.SessionID(m.Session), answers: m.AnswersThrough}
	for _, t := range m.Tokens {
		h.tokens = append(h.tokens, scheduler.KnownToken{
			Token: scheduler.Token(t.Token), Task: scheduler.TaskID(t.Task), Phase: phases[t.Phase], Weight: uint16(t.Weight), Pool: t.Pool,
		})
	}
	k.w.note("worker %d: says Hello for session %d with %d tokens", int64(k.id), int64(m.Session), int64(len(m.Tokens)))
	return h
}

// info is what the worker says of itself.
func (k *worker) info() scheduler.WorkerInfo {
	p := k.plan
	info := scheduler.WorkerInfo{Name: p.Name, Incarnation: k.incarnation, Labels: p.Labels, Queues: p.Queues}
	for i, pool := range p.Pools {
		s := scheduler.Pool{Name: pool.Name, Slots: uint16(pool.Slots), Kinds: p.Kinds[i]}
		if k.version >= workercore.VersionRecall {
			s.Prefetch = uint16(pool.Prefetch)
		}
		info.Kinds = append(info.Kinds, p.Kinds[i]...)
		info.Pools = append(info.Pools, s)
	}
	slices.Sort(info.Kinds)
	return info
}

// outcome translates one outcome.
func outcome(o *workercore.Outcome) scheduler.Outcome {
	out := scheduler.Outcome{Token: scheduler.Token(o.Token), Task: scheduler.TaskID(o.Task)}
	rep, _ := o.Body.(*report)
	switch o.Kind {
	case workercore.Succeeded:
		out.Kind, out.Detail = scheduler.OutcomeSucceeded, rep.detail
	case workercore.Failed:
		out.Kind, out.Cause = scheduler.OutcomeFailed, scheduler.CauseError
		if rep != nil {
			out.Cause, out.Permanent, out.RetryAfter, out.Detail = rep.cause, rep.permanent, rep.retryAfter, rep.detail
		}
	case workercore.TimedOut:
		out.Kind, out.Cause = scheduler.OutcomeFailed, scheduler.CauseTimeout
	case workercore.Cancelled:
		out.Kind = scheduler.OutcomeCancelled
	default:
		out.Kind = scheduler.OutcomeInterrupted
	}
	return out
}
