package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/yardmaster/yardmaster/internal/workercore"
)

// loop is the one goroutine that owns the core. It gathers what has happened, lets the core settle, and carries out what
// it asks for. It never waits for a handler, a stream or a hook.
type loop struct {
	w     *Worker
	core  *workercore.Core
	base  context.Context // of handlers: Run's values, without its end
	epoch time.Time       // the core's time 0
	timer *time.Timer
	wakeT workercore.Time // when timer fires

	in   chan event    // from the link
	wake chan struct{} // holds one signal: there are returned handlers, or sent messages

	// Owned by run.
	act     workercore.Actions
	leases  []workercore.Lease // of the Grants being taken in
	batch   []*run             // handlers that have returned; lent to their crew in turn
	crews   []*crew            // by the number of their pool in the config
	pools   map[string]*crew
	board   *board // of handlers' progress
	first   *run   // of those that run
	stream  *stream
	sent    int64 // messages of stream that the core knows to be sent
	outage  outage
	stats   Stats
	refused error
}

// eventsMax is how many events one step takes together.
const eventsMax = 64

// stragglersMax is how many handlers that still run are logged by name.
const stragglersMax = 100

func newLoop(base context.Context, w *Worker, core *workercore.Core) *loop {
	l := &loop{
		w: w, core: core, base: base, epoch: time.Now(), wakeT: workercore.TimeMax,
		timer: time.NewTimer(time.Hour), in: make(chan event, 16), wake: make(chan struct{}, 1), pools: map[string]*crew{},
	}
	l.board = &board{signal: l.signal}
	for _, p := range w.cfg.Pools {
		c := newCrew(base, p.Slots, l.now, l.signal)
		l.crews, l.pools[p.Name] = append(l.crews, c), c
	}
	return l
}

// run drives the core until a stop, begun by stop or Drain, has come to its end.
func (l *loop) run(stop, force <-chan struct{}) workercore.End {
	defer l.timer.Stop()
	drain, forced := l.w.drainC, l.w.forceC
	for {
		select {
		case ev := <-l.in:
			l.handle(ev)
			l.handleMore()
		case <-l.wake:
		case <-l.timer.C:
			l.wakeT = workercore.TimeMax
		case <-stop:
			stop = nil
			l.w.Drain()
		case <-drain:
			drain = nil
			l.w.log.Info("stopping", "drain_timeout", l.w.cfg.DrainTimeout, "running", l.core.Counts().Running, "held", l.core.Counts().Held)
			l.core.Drain(l.now())
		case <-force:
			force = nil
			l.w.Force()
		case <-forced:
			forced = nil
			l.w.log.Warn("stopping by force", "running", l.core.Counts().Running)
			l.core.Force(l.now())
		}
		runtime.Gosched() // handlers that are about to return go into the same step
		if end := l.step(); end.Ended {
			return end
		}
	}
}

func (l *loop) now() workercore.Time { return elapsed(l.epoch) }

func (l *loop) handleMore() {
	for range eventsMax {
		select {
		case ev := <-l.in:
			l.handle(ev)
		default:
			return
		}
	}
}

// step takes in what handlers and the sender have done, and settles.
func (l *loop) step() workercore.End {
	l.gather()
	if l.stream != nil {
		if sent := l.stream.sent.Load(); sent > l.sent {
			l.core.Sent(int(sent - l.sent))
			l.sent = sent
		}
	}
	if l.board.news.Load() && l.board.news.Swap(false) {
		l.core.Progress(l.now())
	}
	l.core.Settle(l.now(), &l.act)
	l.perform()
	end := l.act.End
	l.setTimer(l.act.NextWake)
	l.act.Reset()
	l.publish()
	return end
}

// gather reports the handlers that have returned.
func (l *loop) gather() {
	for _, c := range l.crews {
		l.batch = c.take(l.batch)
		if len(l.batch) == 0 {
			continue
		}
		now := l.now()
		for _, r := range l.batch {
			l.unlink(r)
			l.core.Finished(now, workercore.Token(r.Token), r.report)
		}
		l.stats.Finished += uint64(len(l.batch))
		clear(l.batch)
	}
}

func (l *loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// perform carries out the actions of a step.
func (l *loop) perform() {
	for i := range l.act.Start {
		l.start(&l.act.Start[i])
	}
	if len(l.act.Start) > 0 {
		for _, c := range l.crews {
			c.begin()
		}
	}
	for _, s := range l.act.Stop {
		l.w.log.Debug("stopping a handler", "token", uint64(s.Token), "cause", causeError(s.Cause), "kill", s.Kill)
		s.Body.(*run).stop(causeError(s.Cause), s.Kill)
	}
	for i := range l.act.Send {
		l.stream.out <- l.request(&l.act.Send[i]) // never full: the core keeps to InFlightMax
	}
	for _, f := range l.act.Fenced {
		l.fenced(f)
	}
	if l.act.Straggle {
		l.nameStragglers()
	}
	if l.act.Reconnect != "" && l.stream != nil {
		l.stream.giveUp(errors.New(l.act.Reconnect))
	}
}

func (l *loop) start(s *workercore.Start) {
	r := s.Body.(*run)
	if s.Deadline != workercore.TimeMax {
		r.Deadline = l.epoch.Add(time.Duration(s.Deadline))
	}
	l.link(r)
	l.stats.Started++
	c := l.pools[r.Pool]
	c.starting = append(c.starting, r)
}

func (l *loop) fenced(f workercore.Fenced) {
	l.stats.Fenced++
	l.w.log.Warn("outcome not accepted: the lease was no longer ours", "task", uint64(f.Task), "token", uint64(f.Token), "gone", f.Gone)
	if hook := l.w.cfg.OnFenced; hook != nil {
		hook(Fenced{TaskID: uint64(f.Task), Token: uint64(f.Token), Gone: f.Gone})
	}
}

func (l *loop) setTimer(at workercore.Time) {
	if at == l.wakeT {
		return
	}
	l.wakeT = at
	if at == workercore.TimeMax {
		l.timer.Stop()
		return
	}
	l.timer.Reset(max(0, time.Duration(at-l.now())))
}

func (l *loop) publish() {
	n := l.core.Counts()
	s := l.stats
	s.Connected, s.SessionID, s.Held, s.Running, s.Unanswered = n.Live, n.Session, n.Held, n.Running, n.Unanswered
	s.Slots, s.Used = n.Slots, n.Used
	if s.Streams > 0 {
		s.Reconnects = s.Streams - 1
	}
	if s != *l.w.stats.Load() {
		l.w.stats.Store(&s)
	}
}

// nameStragglers logs which handlers still run, killed and given up.
func (l *loop) nameStragglers() {
	n := 0
	for r := l.first; r != nil; r = r.next {
		if n++; n <= stragglersMax {
			l.w.log.Warn("handler still runs, it ignores the end of its context", "kind", r.Kind, "task", r.ID, "token", r.Token,
				"attempt", r.Attempt, "pool", r.Pool)
		}
	}
	if n > stragglersMax {
		l.w.log.Warn("more handlers still run", "count", n-stragglersMax)
	}
}

// dismiss ends the crews' goroutines, and waits for them unless some are stuck.
func (l *loop) dismiss(wait bool) {
	for _, c := range l.crews {
		c.close()
	}
	if !wait {
		return
	}
	for _, c := range l.crews {
		c.hands.Wait()
	}
}

// result is what Run returns.
func (l *loop) result(end workercore.End) error {
	var errs []error
	if l.refused != nil {
		errs = append(errs, fmt.Errorf("%w: %w", ErrRefused, l.refused))
	}
	if end.Left > 0 {
		var who []string
		for r := l.first; r != nil && len(who) < 10; r = r.next {
			who = append(who, fmt.Sprintf("%s (task %d)", r.Kind, r.ID))
		}
		errs = append(errs, fmt.Errorf("%w: %d: %s", ErrStragglers, end.Left, strings.Join(who, ", ")))
	}
	if end.Unanswered > 0 && l.refused == nil {
		errs = append(errs, fmt.Errorf("%w: %s", ErrUnanswered, unanswered(end)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	l.w.log.Info("stopped")
	return nil
}

func (l *loop) link(r *run) {
	r.next = l.first
	if l.first != nil {
		l.first.prev = r
	}
	l.first = r
}

func (l *loop) unlink(r *run) {
	if r.prev == nil {
		l.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
}
