package engine

import (
	"fmt"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

// upgrade is a term that was begun under older rules than this build's newest. Nothing is served before they are changed:
// first a checkpoint takes everything that was applied, so that no tail is ever replayed from before the change, then
// SetLogic is committed, alone, and its application opens the term. A crash in between leaves a log under the old rules,
// which the next term changes in the same way.
type upgrade struct {
	term  uint64 // 0: none is under way
	index uint64 // of the BeginTerm: the checkpoint must hold it
	saved bool   // it does: SetLogic may be proposed
}

// entryLogic is the version of an entry that is cut now: that in force, as the last step left it. Under qmu.
// Invariant: while commands are taken it is the newest, and so is that of what is in flight: the line opens only after
// BeginTerm, which follows all that may have changed it, and an upgrade ends before that.
func (e *Engine) entryLogic() uint32 {
	if e.logic == 0 {
		return scheduler.LogicVersion // an empty log: its first entry says
	}
	return e.logic
}

// ruled checks the version of an entry against that in force. A BeginTerm is proposed while older entries, a SetLogic
// among them, may still be on their way here; it means the same under every version, and takes that in force.
func (e *Engine) ruled(b *scheduler.Batch) error {
	force := e.state.Logic()
	switch {
	case force == 0 || force == b.Logic:
		return nil
	case len(b.Commands) == 1 && b.Commands[0].Op == scheduler.OpBeginTerm:
		b.Logic = force
		return nil
	}
	return fmt.Errorf("it was written under logic version %d, but %d is in force: the log is damaged, restore a backup", b.Logic, force)
}

// beginUpgrade asks for the checkpoint that goes before the change of rules.
func (e *Engine) beginUpgrade(term uint64, from uint32) {
	e.qmu.Lock()
	if term == e.elected {
		e.upgrade = upgrade{term: term, index: e.applied}
	}
	e.qmu.Unlock()
	e.logger.Info("the rules are to change: a checkpoint comes first", "term", term, "from", from, "to", scheduler.LogicVersion)
	e.pokeCheckpoint()
}

// upgradeSaved goes on with an upgrade once a checkpoint holds what it must.
func (e *Engine) upgradeSaved() {
	index := e.opts.Storage.DurableIndex()
	e.qmu.Lock()
	defer e.qmu.Unlock()
	if e.upgrade.term != 0 && index >= e.upgrade.index {
		e.upgrade.saved = true
		e.poke()
	}
}
