package engine

import (
	"sync/atomic"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// totals count what steps did while this process led. They are written by one goroutine and read by any.
type totals struct {
	submitted, granted, succeeded, failedAttempts, dead, cancelled, expired, rejected, returned atomic.Uint64

	causes [scheduler.CauseEnd]atomic.Uint64 // of failed attempts
}

// count adds a step.
func (t *totals) count(eff *scheduler.Effects) {
	var granted, succeeded, failed, dead, cancelled, expired, rejected, returned uint64
	for i := range eff.Grants {
		if !eff.Grants[i].Again {
			granted++
		}
	}
	failed = uint64(len(eff.Failed))
	for i := range eff.Failed {
		t.causes[eff.Failed[i].Cause].Add(1)
	}
	for i := range eff.Finished {
		f := &eff.Finished[i]
		switch f.State {
		case scheduler.Succeeded:
			succeeded++
		case scheduler.Dead:
			dead++
			if f.Cmd >= 0 {
				failed++ // the outcome that ended it is no Failed
				t.causes[f.Cause].Add(1)
			}
		case scheduler.Cancelled:
			cancelled++
		case scheduler.Expired:
			expired++
		}
	}
	for i := range eff.Answers {
		if eff.Answers[i] != scheduler.AnswerAccepted {
			rejected++
		}
	}
	for i := range eff.Events {
		if eff.Events[i].Type == scheduler.EventReturned {
			returned++
		}
	}
	add(&t.submitted, uint64(len(eff.Staged)))
	add(&t.granted, granted)
	add(&t.succeeded, succeeded)
	add(&t.failedAttempts, failed)
	add(&t.dead, dead)
	add(&t.cancelled, cancelled)
	add(&t.expired, expired)
	add(&t.rejected, rejected)
	add(&t.returned, returned)
}

func add(to *atomic.Uint64, n uint64) {
	if n > 0 {
		to.Add(n)
	}
}

func (t *totals) read() Totals {
	x := Totals{
		Submitted: t.submitted.Load(), Granted: t.granted.Load(), Succeeded: t.succeeded.Load(),
		FailedAttempts: t.failedAttempts.Load(), Dead: t.dead.Load(), Cancelled: t.cancelled.Load(), Expired: t.expired.Load(),
		RejectedOutcomes: t.rejected.Load(), Returned: t.returned.Load(),
	}
	for i := range t.causes {
		x.Causes[i] = t.causes[i].Load()
	}
	return x
}
