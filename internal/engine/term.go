package engine

import "github.com/yardmaster/yardmaster/internal/scheduler"

// termLoop follows the log's leadership: a new term is begun before anything else, a lost one ends at once.
func (e *Engine) termLoop() {
	for {
		select {
		case l, ok := <-e.log.Leadership():
			if !ok {
				return
			}
			e.turn(l)
		case <-e.stopped.Done():
			return
		}
	}
}

// turn ends the term that was, wholly, before it lets the next one begin: what stands in line goes back to its proposers,
// the observer hears of the end.
func (e *Engine) turn(l Leadership) {
	e.qmu.Lock()
	if l.Leader && l.Term == e.elected {
		e.qmu.Unlock()
		return // said before
	}
	was := e.elected
	e.elected, e.begin, e.leading, e.upgrade, e.restore = 0, 0, false, upgrade{}, restoreStep{}
	e.notify()
	e.qmu.Unlock()
	e.failLine(ErrNotLeader)
	e.termEnded(was)
	if !l.Leader {
		return
	}
	e.qmu.Lock()
	e.elected, e.begin = l.Term, l.Term
	e.poke()
	e.qmu.Unlock()
}

// termBegan opens for business: the term's BeginTerm is durable and applied. If that was under older rules, it has them
// changed first, and is called again; so it is after each step of a restore. On the apply goroutine, under omu.
func (e *Engine) termBegan(term uint64) {
	e.mu.RLock()
	sessions, now, logic, restored := e.state.Sessions(), e.state.Now(), e.state.Logic(), e.state.Restored()
	e.mu.RUnlock()
	if logic < scheduler.LogicVersion {
		e.beginUpgrade(term, logic)
		return
	}
	if !restored {
		e.goOnRestoring(term)
		return
	}
	e.qmu.Lock()
	if term != e.elected { // leadership changed meanwhile
		e.qmu.Unlock()
		return
	}
	e.leading = true
	e.notify()
	e.qmu.Unlock()
	e.logger.Info("leading", "term", term, "index", e.applied, "sessions", len(sessions), "logic", logic)
	if e.observer != nil {
		e.observing = true
		e.observer.TermBegan(term, now, sessions)
	}
}

// termEnded tells the observer, if it was told of the begin.
func (e *Engine) termEnded(term uint64) {
	e.omu.Lock()
	defer e.omu.Unlock()
	if !e.observing {
		return
	}
	e.observing = false
	e.logger.Warn("leadership lost", "term", term)
	e.observer.TermEnded()
}
