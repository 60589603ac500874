package workercore

import (
	"fmt"
	"slices"
)

// Recall takes the coordinator's question for tokens back. Those that no semaphore has admitted are given up here and now,
// without an outcome: they leave the core's tables and are never started, unless they are granted again. The answer names
// them, and goes out with the next messages; the others run, or have ended, and their outcomes tell. If the stream ends
// before the answer is sent, the next Hello answers by not naming them.
func (c *Core) Recall(now Time, tokens []Token, act *Actions) {
	c.tell(now)
	st := &c.stream
	switch {
	case !c.listening("Recall", act):
		return
	case st.version < VersionRecall:
		c.violate(fmt.Sprintf("Recall in protocol version %d", st.version), act)
		return
	case len(tokens) > RecallMax:
		c.violate(fmt.Sprintf("Recall of %d tokens, the most is %d", len(tokens), RecallMax), act)
		return
	}
	st.recalls++
	for _, token := range tokens {
		r := c.records[token]
		if r == nil || r.phase != Held {
			continue
		}
		c.pools[r.pool].sem.Withdraw(&r.Waiter)
		c.held--
		c.timers.remove(r)
		c.forget(r)
		st.recalled = append(st.recalled, token)
	}
}

// composeRecalled answers the Recalls so far: one message does for several, if it isn't too long.
func (c *Core) composeRecalled() Message {
	st := &c.stream
	n := min(len(st.recalled), RecallMax)
	m := Message{Kind: Recalled, Recalled: slices.Clone(st.recalled[:n])}
	st.recalled = slices.Delete(st.recalled, 0, n)
	if len(st.recalled) == 0 {
		st.recalls = 0
	}
	return m
}

// Progress takes note that handlers have said something of their progress. It goes with the next heartbeat, for which it
// doesn't wait: one that carries progress may follow another after ProgressAfter. A coordinator that doesn't understand
// it is sent none.
func (c *Core) Progress(now Time) {
	c.tell(now)
	c.progress = true
}

// progressAt is when a heartbeat is due for the sake of progress.
func (c *Core) progressAt() Time {
	st := &c.stream
	if !c.progress || st.version < VersionRecall {
		return TimeMax
	}
	return max(st.welcomed, st.heartbeatSent).Add(ProgressAfter)
}
