package engine

import (
	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// The reference builds messages and lets the generated code encode them. The engine writes the same bytes without.

func referenceEntry(b *scheduler.Batch, id identity) ([]byte, error) {
	en := &storagev1.Entry{Logic: b.Logic, Now: int64(b.Now), Proposer: id.proposer, Proposal: id.proposal}
	for i := range b.Commands {
		c := &b.Commands[i]
		p := &storagev1.Command{Op: uint32(c.Op)}
		switch c.Op {
		case scheduler.OpSubmit:
			p.Args = &storagev1.Command_Submit{Submit: submitToProto(c.Submit)}
		case scheduler.OpRetry:
			p.Args = &storagev1.Command_Retry{Retry: retryToProto(c.Retry)}
		case scheduler.OpOutcomes:
			p.Args = &storagev1.Command_Outcomes{Outcomes: outcomesToProto(c.Outcomes)}
		default:
			p = commandToProto(c)
		}
		en.Commands = append(en.Commands, p)
	}
	return proto.Marshal(en)
}

func submitToProto(s *scheduler.Submit) *storagev1.Submit {
	p := &storagev1.Submit{Producer: hashToProto(&s.Producer), Number: s.Number, Lowest: s.Lowest}
	for i := range s.Tasks {
		p.Tasks = append(p.Tasks, specToProto(&s.Tasks[i], i == 0 || s.Tasks[i].Policy != s.Tasks[i-1].Policy))
	}
	return p
}

func specToProto(t *scheduler.TaskSpec, withPolicy bool) *storagev1.TaskSpec {
	p := &storagev1.TaskSpec{
		Kind: t.Kind, Queue: t.Queue, Require: labelsToProto(t.Require), Priority: int32(t.Priority), Weight: uint32(t.Weight),
		HasLabels: t.HasLabels, NotBefore: int64(t.NotBefore), Delay: int64(t.Delay), StartBy: int64(t.StartBy),
		Deadline: int64(t.Deadline), PayloadBytes: t.PayloadBytes, Body: t.Body,
	}
	if t.HasKey {
		p.Key, p.KeyBody = t.Key[:], t.KeyBody[:]
	}
	if withPolicy {
		v := &t.Policy
		p.Policy = &storagev1.Policy{
			AttemptTimeout: int64(v.AttemptTimeout), Backoff: int64(v.Backoff), BackoffMax: int64(v.BackoffMax),
			Retention: int64(v.Retention), DeadRetention: int64(v.DeadRetention), MaxAttempts: uint32(v.MaxAttempts),
			MaxLosses: uint32(v.MaxLosses), Factor: uint32(v.Factor),
		}
	}
	return p
}

func retryToProto(r *scheduler.Retry) *storagev1.Retry {
	p := &storagev1.Retry{}
	for i := range r.Items {
		it := &r.Items[i]
		p.Items = append(p.Items, &storagev1.RetryItem{Id: uint64(it.ID), Gen: it.Gen, Found: it.Found, Spec: specToProto(&it.Spec, true)})
	}
	return p
}

func outcomesToProto(o *scheduler.Outcomes) *storagev1.Outcomes {
	p := &storagev1.Outcomes{Session: uint64(o.Session), Attach: o.Attach, FirstSeq: o.FirstSeq, AnswersThrough: o.AnswersThrough}
	for i := range o.List {
		x := &o.List[i]
		p.List = append(p.List, &storagev1.Outcome{
			Token: uint64(x.Token), Task: uint64(x.Task), Kind: uint32(x.Kind), Cause: uint32(x.Cause), Permanent: x.Permanent,
			RetryAfter: int64(x.RetryAfter), Detail: x.Detail,
		})
	}
	return p
}

func hashToProto(h *scheduler.Hash128) []byte {
	if *h == (scheduler.Hash128{}) {
		return nil
	}
	return h[:]
}

// referenceFinished is the stored form of an end.
func referenceFinished(fin *scheduler.Finished, body *storagev1.Body, outcome *storagev1.Detail, last *storagev1.Attempt, tried bool) *storagev1.Finished {
	return &storagev1.Finished{
		State: uint32(fin.State), Cause: uint32(fin.Cause), Gen: fin.Gen, Attempts: fin.Attempts, Losses: fin.Losses,
		Submitted: int64(fin.Submitted), Finished: int64(fin.At), ExpiresAt: int64(fin.ExpiresAt), Token: uint64(fin.Token),
		Session: uint64(fin.Session), Worker: fin.Worker, LastFailure: last, Detail: outcome, Labels: body.GetLabels(), Granted: int64(fin.Granted),
		HasAttempts: tried,
		Spec: specToProto(&scheduler.TaskSpec{
			Kind: fin.Kind, Queue: fin.Queue, Require: fin.Require, Priority: fin.Priority, Weight: fin.Weight,
			HasLabels: fin.HasLabels, StartBy: fin.StartBy, Deadline: fin.Deadline, Policy: fin.Policy, PayloadBytes: fin.PayloadBytes,
		}, true),
	}
}
