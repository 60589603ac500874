package engine

import (
	"unicode/utf8"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// encodable refuses text that could be written to the log but not read from it again: an entry that can't be decoded halts
// every later start.
func encodable(c *scheduler.Command) error {
	whole := true
	check := func(texts ...string) {
		for _, s := range texts {
			whole = whole && utf8.ValidString(s)
		}
	}
	labels := func(all []scheduler.Label) {
		for _, l := range all {
			check(l.Key, l.Value)
		}
	}
	tokens := func(all []scheduler.KnownToken) {
		for i := range all {
			check(all[i].Pool)
		}
	}
	switch c.Op {
	case scheduler.OpSubmit:
		for i := range c.Submit.Tasks {
			t := &c.Submit.Tasks[i]
			check(t.Kind, t.Queue)
			labels(t.Require)
		}
	case scheduler.OpRetry:
		for i := range c.Retry.Items {
			t := &c.Retry.Items[i].Spec
			check(t.Kind, t.Queue)
			labels(t.Require)
		}
	case scheduler.OpOpenSession:
		w := &c.Open.Worker
		check(w.Name)
		check(w.Kinds...)
		check(w.Queues...)
		labels(w.Labels)
		for i := range w.Pools {
			check(w.Pools[i].Name)
			check(w.Pools[i].Kinds...)
		}
		tokens(c.Open.Tokens)
	case scheduler.OpResumeSession:
		tokens(c.Resume.Tokens)
	case scheduler.OpPauseQueue, scheduler.OpResumeQueue, scheduler.OpConfigureQueue:
		check(c.Queue.Name)
	}
	if !whole {
		return ErrText
	}
	return nil
}
