package engine

import (
	"fmt"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

func submitFromProto(p *storagev1.Submit) (*scheduler.Submit, error) {
	s := &scheduler.Submit{Number: p.GetNumber(), Lowest: p.GetLowest(), Tasks: sliceOf[scheduler.TaskSpec](len(p.GetTasks()))}
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

func retryFromProto(p *storagev1.Retry) (*scheduler.Retry, error) {
	r := &scheduler.Retry{Items: sliceOf[scheduler.RetryItem](len(p.GetItems()))}
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

func outcomesFromProto(p *storagev1.Outcomes) *scheduler.Outcomes {
	o := &scheduler.Outcomes{
		Session: scheduler.SessionID(p.GetSession()), Attach: p.GetAttach(), FirstSeq: p.GetFirstSeq(),
		AnswersThrough: p.GetAnswersThrough(), List: sliceOf[scheduler.Outcome](len(p.GetList())),
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
