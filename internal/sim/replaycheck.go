package sim

import (
	"hash/fnv"

	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// crashed notes what the live state is when its process ends.
func (o *oracle) crashed(c *coordinator) {
	if c.state != nil && c.applied == o.index {
		o.crash = snapshot{index: c.applied, hash: c.state.Hash()}
	}
	o.unheard()
}

// loaded (14): a checkpoint holds what the state was when it was sealed; it is never behind what the log has let go of.
func (o *oracle) loaded(c *coordinator) {
	if c.applied == o.seal.index && o.seal.index > 0 && c.state.Hash() != o.seal.hash {
		o.fail(InvReplay, "the checkpoint at index %d isn't the state that was sealed", c.applied)
	}
	o.passing(c)
	if c.disk.first > c.applied+1 {
		o.fail(InvReplay, "the checkpoint is at index %d and the log begins at %d", c.applied, c.disk.first)
	}
}

// recovered (14, 1): checkpoint and tail of the log give the state that the ended process had, or more: what was applied
// was durable.
func (o *oracle) recovered(c *coordinator) {
	if c.applied < o.index {
		o.fail(InvDurable, "entries through %d were applied, and %d survive", o.index, c.applied)
		return
	}
	o.fullCheck()
}

// passing (14): on its way a replay passes the state that the ended process had.
func (o *oracle) passing(c *coordinator) {
	if c.applied == o.crash.index && o.crash.index > 0 && c.state.Hash() != o.crash.hash {
		o.fail(InvReplay, "checkpoint and tail give another state at index %d than the live one was", c.applied)
	}
}

// sealed notes what the state is that a checkpoint takes.
func (o *oracle) sealed(c *coordinator) {
	o.seal = snapshot{}
	if o.w.chance(200_000) {
		o.seal = snapshot{index: c.applied, hash: c.state.Hash()}
	}
}

// saved (14): what a checkpoint has written loads as the state that was sealed.
func (o *oracle) saved(c *coordinator) {
	o.beginShadow(c)
	o.restores(c)
	if o.seal.index == 0 || c.disk.store.index != o.seal.index {
		return
	}
	s, err := c.disk.store.load()
	if err != nil {
		o.fail(InvReplay, "the checkpoint at index %d doesn't load: %v", c.disk.store.index, err)
		return
	}
	if s.Hash() != o.seal.hash {
		o.fail(InvReplay, "the checkpoint at index %d isn't the state that was sealed", c.disk.store.index)
	}
	if err := s.Check(); err != nil {
		o.fail(InvReplay, "the state of the checkpoint at index %d: %v", c.disk.store.index, err)
	}
}

// wholeReplay (14): the log from its first entry on, decoded, gives the live state, and each entry does what it did.
func (o *oracle) wholeReplay(c *coordinator) {
	s := scheduler.New()
	var eff scheduler.Effects
	for index := uint64(1); index <= c.applied; index++ {
		var b scheduler.Batch
		if err := engine.DecodeEntry(c.disk.entries[index-1], &b); err != nil {
			o.fail(InvReplay, "entry %d can't be decoded: %v", index, err)
			return
		}
		s.Apply(&b, &eff)
		if hashEffects(&eff) != o.effects[index-1] {
			o.fail(InvReplay, "entry %d does something else in a replay from the first entry", index)
			return
		}
	}
	if s.Hash() != c.state.Hash() {
		o.fail(InvReplay, "a replay from the first entry gives another state at index %d", c.applied)
	}
}

// hashEffects is a number that two steps share iff, all but surely, they did the same.
func hashEffects(e *scheduler.Effects) uint64 {
	h := uint64(len(e.Events))
	add := func(v uint64) { h = mix(h ^ v) }
	for i := range e.Events {
		add(hashEvent(&e.Events[i]))
	}
	for i := range e.Grants {
		g := &e.Grants[i]
		add(uint64(g.Token))
		add(uint64(g.Task)<<20 ^ uint64(g.Session)<<8 ^ uint64(g.Attempt))
		add(uint64(g.Deadline) ^ uint64(g.StartBy)<<1 ^ uint64(boolInt(g.Again)))
	}
	for i := range e.Replies {
		r := &e.Replies[i]
		add(uint64(r.Code)<<56 ^ uint64(r.First)<<8 ^ uint64(r.Count))
		add(uint64(r.Session)<<40 ^ r.Attach<<20 ^ r.Through ^ uint64(boolInt(r.Fresh))<<60)
	}
	for _, a := range e.Answers {
		add(uint64(a))
	}
	for _, it := range e.Items {
		add(uint64(it.ID)<<8 ^ uint64(it.Code))
	}
	for i := range e.Finished {
		f := &e.Finished[i]
		add(uint64(f.Task)<<16 ^ uint64(f.State)<<8 ^ uint64(f.Cause))
		add(uint64(f.ExpiresAt) ^ uint64(f.Token)<<32)
	}
	for _, t := range e.Tokens {
		add(uint64(t))
	}
	for i := range e.Cancels {
		add(uint64(e.Cancels[i].Token)<<8 ^ uint64(e.Cancels[i].Reason))
	}
	return h
}

// hashEvent is the same of an event.
func hashEvent(ev *scheduler.Event) uint64 {
	h := mix(ev.Position ^ uint64(ev.Type)<<56 ^ uint64(ev.Cause)<<48)
	h = mix(h ^ uint64(ev.Task)<<16 ^ uint64(ev.Gen))
	h = mix(h ^ uint64(ev.Token)<<16 ^ uint64(ev.Attempt))
	f := fnv.New64a()
	f.Write([]byte(ev.Queue))
	f.Write([]byte(ev.Kind))
	f.Write([]byte(ev.Worker))
	return mix(h ^ uint64(ev.Session) ^ f.Sum64())
}
