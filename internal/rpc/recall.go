package rpc

import (
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// recall asks workers for leases that the core would rather have elsewhere. A tick takes RecallMax of them, so a paused
// queue of many prefetched leases is emptied within seconds; a tick comes every TickPeriod, and each machine asks for a
// token once in session.RecallAfter.
func (r *registry) recall() {
	r.mu.RLock()
	leading := r.leading
	r.mu.RUnlock()
	if !leading {
		return
	}
	items := r.engine.Recallable(session.RecallMax)
	var tokens []scheduler.Token
	for i := range items {
		x := &items[i]
		tokens = append(tokens, x.Token)
		if i+1 < len(items) && items[i+1].Session == x.Session && items[i+1].Attach == x.Attach {
			continue
		}
		if e := r.find(x.Session); e != nil {
			e.recall(x.Attach, tokens)
		}
		tokens = tokens[:0]
	}
}

// recall asks the session's worker for tokens.
func (e *entry) recall(attach uint64, tokens []scheduler.Token) {
	now := e.r.now()
	e.mu.Lock()
	e.m.Recall(now, attach, tokens, &e.acts)
	e.perform()
}
