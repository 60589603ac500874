package engine

import (
	"fmt"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func submitToProto(s *scheduler.Submit) *storagev1.Submit {
	p := &storagev1.Submit{Producer: hashToProto(&s.Producer), Number: s.Number, Lowest: s.Lowest, Tasks: make([]*storagev1.TaskSpec, len(s.Tasks))}
	specs := make([]storagev1.TaskSpec, len(s.Tasks))
	for i := range s.Tasks {
		fillSpec(&specs[i], &s.Tasks[i], i == 0 || s.Tasks[i].Policy != s.Tasks[i-1].Policy)
		p.Tasks[i] = &specs[i]
	}
	return p
}

func specToProto(t *scheduler.TaskSpec, withPolicy bool) *storagev1.TaskSpec {
	p := &storagev1.TaskSpec{}
	fillSpec(p, t, withPolicy)
	return p
}

// fillSpec writes a spec. Within a Submit a policy like that of the task before is left out.
func fillSpec(p *storagev1.TaskSpec, t *scheduler.TaskSpec, withPolicy bool) {
	p.Kind, p.Queue, p.Require = t.Kind, t.Queue, labelsToProto(t.Require)
	p.Priority, p.Weight, p.HasLabels = int32(t.Priority), uint32(t.Weight), t.HasLabels
	if t.HasKey {
		p.Key, p.KeyBody = t.Key[:], t.KeyBody[:]
	}
	p.NotBefore, p.Delay, p.StartBy, p.Deadline = int64(t.NotBefore), int64(t.Delay), int64(t.StartBy), int64(t.Deadline)
	p.PayloadBytes, p.Body = t.PayloadBytes, t.Body
	if withPolicy {
		v := &t.Policy
		p.Policy = &storagev1.Policy{
			AttemptTimeout: int64(v.AttemptTimeout), Backoff: int64(v.Backoff), BackoffMax: int64(v.BackoffMax),
			Retention: int64(v.Retention), DeadRetention: int64(v.DeadRetention), MaxAttempts: uint32(v.MaxAttempts),
			MaxLosses: uint32(v.MaxLosses), Factor: uint32(v.Factor),
		}
	}
}

func submitFromProto(p *storagev1.Submit) (*scheduler.Submit, error) {
	s := &scheduler.Submit{Number: p.GetNumber(), Lowest: p.GetLowest(), Tasks: make([]scheduler.TaskSpec, len(p.GetTasks()))}
	if err := hashFromProto(p.GetProducer(), &s.Producer); err != nil {
		return nil, err
	}
	policy := scheduler.DefaultPolicy()
	for i, t := range p.GetTasks() {
		if t.GetPolicy() != nil {
			policy = policyFromProto(t.GetPolicy())
		}
		if err := specFromProto(t, &s.Tasks[i]); err != nil {
			return nil, fmt.Errorf("task %d: %w", i, err)
		}
		s.Tasks[i].Policy = policy
	}
	return s, nil
}

func policyFromProto(p *storagev1.Policy) scheduler.Policy {
	return scheduler.Policy{
		AttemptTimeout: scheduler.Duration(p.GetAttemptTimeout()), Backoff: scheduler.Duration(p.GetBackoff()),
		BackoffMax: scheduler.Duration(p.GetBackoffMax()), Retention: scheduler.Duration(p.GetRetention()),
		DeadRetention: scheduler.Duration(p.GetDeadRetention()), MaxAttempts: narrow16(p.GetMaxAttempts()),
		MaxLosses: narrow8(p.GetMaxLosses()), Factor: narrow8(p.GetFactor()),
	}
}

// specFromProto reads a spec; the policy is the caller's.
func specFromProto(p *storagev1.TaskSpec, t *scheduler.TaskSpec) error {
	*t = scheduler.TaskSpec{
		Kind: p.GetKind(), Queue: p.GetQueue(), Require: labelsFromProto(p.GetRequire()),
		Priority: int8(max(min(p.GetPriority(), 127), -128)), Weight: narrow16(p.GetWeight()), HasLabels: p.GetHasLabels(),
		HasKey: len(p.GetKey()) > 0, NotBefore: scheduler.Time(p.GetNotBefore()), Delay: scheduler.Duration(p.GetDelay()),
		StartBy: scheduler.Time(p.GetStartBy()), Deadline: scheduler.Time(p.GetDeadline()), PayloadBytes: p.GetPayloadBytes(),
		Body: p.GetBody(),
	}
	if err := hashFromProto(p.GetKey(), &t.Key); err != nil {
		return err
	}
	return hashFromProto(p.GetKeyBody(), &t.KeyBody)
}

func retryToProto(r *scheduler.Retry) *storagev1.Retry {
	p := &storagev1.Retry{}
	for i := range r.Items {
		it := &r.Items[i]
		p.Items = append(p.Items, &storagev1.RetryItem{Id: uint64(it.ID), Gen: it.Gen, Found: it.Found, Spec: specToProto(&it.Spec, true)})
	}
	return p
}

func retryFromProto(p *storagev1.Retry) (*scheduler.Retry, error) {
	r := &scheduler.Retry{Items: make([]scheduler.RetryItem, len(p.GetItems()))}
	for i, it := range p.GetItems() {
		x := &r.Items[i]
		x.ID, x.Gen, x.Found = scheduler.TaskID(it.GetId()), it.GetGen(), it.GetFound()
		if err := specFromProto(it.GetSpec(), &x.Spec); err != nil {
			return nil, fmt.Errorf("task %d: %w", it.GetId(), err)
		}
		x.Spec.Policy = policyFromProto(it.GetSpec().GetPolicy())
	}
	return r, nil
}

func labelsToProto(labels []scheduler.Label) []*storagev1.Label {
	if len(labels) == 0 {
		return nil
	}
	p := make([]*storagev1.Label, len(labels))
	for i, l := range labels {
		p[i] = &storagev1.Label{Key: l.Key, Value: l.Value}
	}
	return p
}

func labelsFromProto(p []*storagev1.Label) []scheduler.Label {
	if len(p) == 0 {
		return nil
	}
	labels := make([]scheduler.Label, len(p))
	for i, l := range p {
		labels[i] = scheduler.Label{Key: l.GetKey(), Value: l.GetValue()}
	}
	return labels
}

func outcomesToProto(o *scheduler.Outcomes) *storagev1.Outcomes {
	p := &storagev1.Outcomes{
		Session: uint64(o.Session), Attach: o.Attach, FirstSeq: o.FirstSeq, AnswersThrough: o.AnswersThrough,
		List: make([]*storagev1.Outcome, len(o.List)),
	}
	list := make([]storagev1.Outcome, len(o.List))
	for i := range o.List {
		x, q := &o.List[i], &list[i]
		q.Token, q.Task, q.Kind, q.Cause = uint64(x.Token), uint64(x.Task), uint32(x.Kind), uint32(x.Cause)
		q.Permanent, q.RetryAfter, q.Detail = x.Permanent, int64(x.RetryAfter), x.Detail
		p.List[i] = q
	}
	return p
}

func outcomesFromProto(p *storagev1.Outcomes) *scheduler.Outcomes {
	o := &scheduler.Outcomes{
		Session: scheduler.SessionID(p.GetSession()), Attach: p.GetAttach(), FirstSeq: p.GetFirstSeq(),
		AnswersThrough: p.GetAnswersThrough(), List: make([]scheduler.Outcome, len(p.GetList())),
	}
	for i, q := range p.GetList() {
		o.List[i] = scheduler.Outcome{
			Token: scheduler.Token(q.GetToken()), Task: scheduler.TaskID(q.GetTask()), Kind: scheduler.OutcomeKind(narrow8(q.GetKind())),
			Cause: scheduler.Cause(narrow8(q.GetCause())), Permanent: q.GetPermanent(), RetryAfter: scheduler.Duration(q.GetRetryAfter()),
			Detail: q.GetDetail(),
		}
	}
	return o
}
