package workercore

import (
	"errors"
	"fmt"
)

// Check recomputes every counter and index, for tests and the simulator. It returns what doesn't hold.
func (c *Core) Check() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	var phases [Finished + 1]int
	used, waiting := make([]int, len(c.pools)), make([]int, len(c.pools))
	inTimers := 0
	for token, r := range c.records {
		bad(r.Token == token, "record of token %d stands under %d", r.Token, token)
		phases[r.phase]++
		switch r.state {
		case waiterAdmitted:
			used[r.pool] += r.Weight
		case waiterWaiting:
			waiting[r.pool]++
		}
		bad((r.phase == Held) == (r.state == waiterWaiting), "token %d in phase %d waits: %d", token, r.phase, r.state)
		bad((r.phase == Running) == (r.state == waiterAdmitted), "token %d in phase %d has permits: %d", token, r.phase, r.state)
		if r.timerPos != noTimer {
			inTimers++
			bad(c.timers.heap[r.timerPos] == r, "token %d isn't where it is among the timers", token)
			bad(r.phase != Finished, "finished token %d has a timer", token)
		}
	}
	bad(phases[Held] == c.held, "held: %d, counted %d", c.held, phases[Held])
	bad(phases[Running] == c.running, "running: %d, counted %d", c.running, phases[Running])
	bad(phases[Finished] == c.outbox.n, "in the outbox: %d, finished %d", c.outbox.n, phases[Finished])
	bad(inTimers == len(c.timers.heap), "timers: %d, of known tokens %d", len(c.timers.heap), inTimers)
	bad(len(c.records) <= TokensMax, "known tokens: %d", len(c.records))
	bad(len(c.free) <= TokensMax, "spare records: %d", len(c.free))
	for i := range c.pools {
		sem := &c.pools[i].sem
		bad(sem.Used() == used[i], "pool %s: %d permits out, counted %d", c.pools[i].name, sem.Used(), used[i])
		bad(sem.Waiting() == waiting[i], "pool %s: %d wait, counted %d", c.pools[i].name, sem.Waiting(), waiting[i])
	}
	errs = append(errs, c.outbox.check()...)
	return errors.Join(errs...)
}

func (o *outbox) check() (errs []error) {
	if o.sent < 0 || o.sent > o.numbered || o.numbered > min(o.n, OutboxMax) {
		errs = append(errs, fmt.Errorf("outbox: %d sent, %d numbered, %d in all", o.sent, o.numbered, o.n))
	}
	bytes := 0
	for i := range o.n {
		if r := o.at(i); r.phase != Finished || r.outcome.Token != r.Token {
			errs = append(errs, fmt.Errorf("outbox: place %d holds token %d in phase %d", i, r.Token, r.phase))
		} else {
			bytes += r.outcome.Size
		}
	}
	if bytes != o.bytes {
		errs = append(errs, fmt.Errorf("outbox: %d bytes, counted %d", o.bytes, bytes))
	}
	return errs
}
