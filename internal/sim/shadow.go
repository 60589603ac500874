package sim

import (
	"github.com/yardmaster/yardmaster/internal/engine"
	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// shadow is a second state: loaded from a checkpoint once that is written, it carries out the entries that follow beside the
// live one. What it does must be the same: a checkpoint holds all that later steps depend on, and nothing depends on what no
// row holds, such as a map's order.
type shadow struct {
	state *scheduler.State
	eff   scheduler.Effects
	index uint64 // of its last entry
	until uint64 // the entry with which it ends
}

const (
	shadowRate  = 150_000 // checkpoints of a million that one begins at
	shadowSteps = 120     // entries that it carries out
)

// beginShadow loads a shadow from the checkpoint just written, now and then, and has it catch up.
func (o *oracle) beginShadow(c *coordinator) {
	if o.shadow != nil || !o.w.chance(shadowRate) {
		return
	}
	s, err := c.disk.store.load()
	if err != nil {
		o.fail(InvReplay, "the checkpoint at index %d doesn't load: %v", c.disk.store.index, err)
		return
	}
	o.shadow = &shadow{state: s, index: c.disk.store.index, until: c.applied + shadowSteps}
	for index := o.shadow.index + 1; index <= c.applied; index++ {
		var b scheduler.Batch
		if err := engine.DecodeEntry(c.disk.entries[index-1], &b); err != nil {
			o.fail(InvReplay, "entry %d can't be decoded: %v", index, err)
			return
		}
		o.shadowed(index, &b, o.effects[index-1])
	}
	if o.shadow != nil && o.shadow.state.Hash() != c.state.Hash() {
		o.fail(InvReplay, "a state loaded from the checkpoint at index %d is another one at index %d", c.disk.store.index, c.applied)
	}
}

// shadowed (14): a state that was loaded does with each entry what the live one does.
func (o *oracle) shadowed(index uint64, b *scheduler.Batch, effects uint64) {
	x := o.shadow
	if x == nil || index != x.index+1 {
		return
	}
	x.index = index
	x.state.Apply(b, &x.eff)
	if hashEffects(&x.eff) != effects {
		o.fail(InvReplay, "entry %d does something else in a state that was loaded from a checkpoint", index)
	}
	if index < x.until {
		return
	}
	o.shadow = nil
	if c := o.w.coord; c.applied == index && x.state.Hash() != c.state.Hash() {
		o.fail(InvReplay, "a state that was loaded from a checkpoint is another one at index %d", index)
	}
}
