package sim

import (
	"encoding/binary"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// worker is a worker's process: the glue that package worker is for the real one, round the same core. Its clock runs
// faster or slower than the true time by plan.
type worker struct {
	process
	id          int
	plan        *WorkerPlan
	incarnation scheduler.Hash128
	bornAt      int64 // true time at which its clock showed 0
	drift       int64 // millionths by which its clock is fast
	blocked     int64 // true time until which the network lets no connection be made

	core     *workercore.Core
	act      workercore.Actions
	conn     *conn
	version  uint32
	unsent   []*upMessage // composed, waiting for room in the send buffer
	sent     int          // messages sent since the core was told
	failures int          // attempts in a row without a Welcome
	settles  bool         // a Settle is about to come
	wakeAt   int64        // true time of the wake that is to come; 0: none is
	draining bool
	handlers map[workercore.Token]*handler
	sight    workerSight
}

func newWorker(w *World, id int, plan *WorkerPlan) *worker {
	return &worker{process: process{w: w}, id: id, plan: plan}
}

// boot starts the process: a new incarnation of the name.
func (k *worker) boot() {
	w := k.w
	k.start()
	*k = worker{
		process: k.process, id: k.id, plan: k.plan, drift: k.plan.Drift, bornAt: w.now, blocked: k.blocked,
		handlers: map[workercore.Token]*handler{},
	}
	binary.BigEndian.PutUint64(k.incarnation[:], uint64(k.id+1))
	binary.BigEndian.PutUint64(k.incarnation[8:], k.life)
	core, err := workercore.New(workercore.Config{
		Pools: k.plan.Pools, DrainTimeout: workercore.Duration(w.plan.DrainTimeout), KillGrace: workercore.Duration(w.plan.KillGrace),
	})
	if err != nil {
		w.fail(InvBounds, "worker %d: %v", k.id, err)
		return
	}
	k.core = core
	w.note("worker %d: starts, incarnation %d", int64(k.id), int64(k.life))
	k.connect()
}

// local is what the worker's clock shows.
func (k *worker) local() workercore.Time {
	t := k.w.now - k.bornAt
	return workercore.Time(t + t/1_000_000*k.drift + t%1_000_000*k.drift/1_000_000)
}

// untilLocal is how long it takes, in true time, until the worker's clock shows at.
func (k *worker) untilLocal(at workercore.Time) int64 {
	d := int64(at - k.local())
	if d <= 0 {
		return 0
	}
	rate := 1_000_000 + k.drift
	return d/rate*1_000_000 + (d%rate)*1_000_000/rate + 2
}

// crash ends the process at once, and what runs in it. silent: its machine is gone, nobody is told.
func (k *worker) crash(silent bool) {
	if !k.up {
		return
	}
	k.w.note("worker %d: crashes, %d handlers run", int64(k.id), int64(len(k.handlers)))
	k.exit(silent)
	k.w.after(k.w.span(k.w.plan.Restart), k.restart)
}

func (k *worker) exit(silent bool) {
	k.die()
	k.conn = nil
	k.handlers = nil
	k.w.net.workerDied(k, silent)
}

func (k *worker) restart() {
	if !k.up {
		k.boot()
	}
}

// drain begins the worker's own stop.
func (k *worker) drain() {
	if !k.up || k.paused || k.draining {
		return
	}
	k.w.note("worker %d: drains", int64(k.id))
	k.draining = true
	k.w.step()
	k.core.Drain(k.local())
	k.settleSoon()
}

// connect opens a stream.
func (k *worker) connect() {
	k.w.net.dial(k, k.opened, k.notOpened)
}

func (k *worker) opened(x *conn) {
	k.conn, k.version, k.sent, k.unsent = x, k.plan.Version, 0, nil
	k.sight.streamBegins()
	k.w.step()
	k.core.Connected(k.local())
	k.settleSoon()
}

func (k *worker) notOpened() {
	k.failures++
	k.again()
}

// again connects after a pause: with each failure in a row it may be longer.
func (k *worker) again() {
	top := min(3*second, 200*millisecond<<min(k.failures, 10))
	k.after(k.w.between(100*millisecond, top), k.connect)
}

// streamLost takes note of the stream's end.
func (k *worker) streamLost(x *conn) {
	if k.conn != x {
		return
	}
	k.conn, k.unsent, k.sent = nil, nil, 0
	k.w.step()
	k.core.Disconnected(k.local())
	k.settleSoon()
	k.failures++
	k.again()
}

// message takes in what the coordinator has sent.
func (k *worker) message(x *conn, m *downMessage) {
	if k.conn != x {
		return
	}
	now, w := k.local(), k.w
	w.step()
	switch m.kind {
	case downWelcome:
		k.failures = 0
		w.note("worker %d: session %d, %d to stop", int64(k.id), int64(m.session), int64(len(m.stop)))
		welcome := workercore.WelcomeMessage{
			Session: uint64(m.session), TTL: workercore.Duration(w.plan.TTL), Interval: workercore.Duration(w.plan.TTL / 3),
			Margin: workercore.Duration(w.plan.Margin), NewSession: m.newSession, Version: min(m.version, k.version),
		}
		for _, t := range m.stop {
			welcome.Stop = append(welcome.Stop, workercore.Token(t))
		}
		k.core.Welcome(now, welcome, &k.act)
		k.trusts(k.sight.helloAt)
	case downBeat:
		k.core.HeartbeatAck(now, workercore.Time(m.beat), &k.act)
		k.trusts(workercore.Time(m.beat))
	case downCancel:
		k.core.Cancel(now, workercore.Token(m.cancel.Token), workercore.TaskID(m.cancel.Task), workercore.CancelReason(m.cancel.Reason), &k.act)
	case downRecall:
		tokens := make([]workercore.Token, len(m.recall))
		for i, t := range m.recall {
			tokens[i] = workercore.Token(t)
		}
		k.core.Recall(now, tokens, &k.act)
	case downAck:
		w.oracle.workerAnswered(k, m)
		var rejected []workercore.Rejection
		for _, r := range m.rejected {
			rejected = append(rejected, workercore.Rejection{Seq: r.Seq, Token: workercore.Token(r.Token), Gone: r.Answer == scheduler.AnswerGone})
		}
		k.answers(now, m.through, rejected)
	case downGrants:
		k.grants(now, m)
	}
	k.settleSoon()
}

// grants takes in leases.
func (k *worker) grants(now workercore.Time, m *downMessage) {
	leases := make([]workercore.Lease, len(m.leases))
	for i := range m.leases {
		l := &m.leases[i]
		g := &l.grant
		k.w.oracle.received(k, g)
		delete(k.sight.gaveUp, workercore.Token(g.Token))
		leases[i] = workercore.Lease{
			Token: workercore.Token(g.Token), Task: workercore.TaskID(g.Task), Pool: g.Pool, Weight: uint32(g.Weight),
			AttemptTimeout: workercore.Duration(g.AttemptTimeout), DeadlineIn: bound(l.deadlineIn), StartWithin: bound(l.within),
			Body: &handler{k: k, grant: *g, body: l.body, startBy: boundAt(now, l.within), deadline: boundAt(now, l.deadlineIn)},
		}
	}
	k.w.note("worker %d: grants %d, %d leases from token %d", int64(k.id), int64(m.seq), int64(len(m.leases)), int64(m.leases[0].grant.Token))
	k.core.Grants(now, m.seq, leases, &k.act)
	k.sight.grantsCame(now, m.seq)
	k.w.oracle.room(k)
}

// boundAt is when a time that is left ends by the worker's clock.
func boundAt(now workercore.Time, d int64) workercore.Time {
	if d < 0 {
		return workercore.TimeMax
	}
	return now.Add(bound(d))
}

// bound translates a time that is left: none is 0, and none left at least 1.
func bound(d int64) workercore.Duration {
	if d < 0 {
		return 0
	}
	return workercore.Duration(max(1, d))
}

// settleSoon has the core settle, together with what else comes until then.
func (k *worker) settleSoon() {
	if k.settles {
		return
	}
	k.settles = true
	k.after(k.w.between(0, 40*microsecond), k.settle)
}

// settle carries out what the core asks for.
func (k *worker) settle() {
	k.settles = false
	k.w.step()
	if k.sent > 0 {
		k.core.Sent(k.sent)
		k.sent = 0
	}
	k.core.Settle(k.local(), &k.act)
	act := &k.act
	for i := range act.Start {
		act.Start[i].Body.(*handler).begin()
	}
	for i := range act.Stop {
		act.Stop[i].Body.(*handler).stop(&act.Stop[i])
	}
	for i := range act.Send {
		k.transmit(k.translate(&act.Send[i]))
	}
	if act.Reconnect != "" && k.conn != nil {
		k.w.note("worker %d: gives the stream up", int64(k.id))
		k.w.oracle.gaveUp(k, act.Reconnect)
		x := k.conn
		x.closeByWorker()
		k.after(k.w.between(0, millisecond), func() { k.streamLost(x) })
	}
	end, next := act.End, act.NextWake
	act.Reset()
	if end.Ended {
		k.w.note("worker %d: has stopped, %d unanswered", int64(k.id), int64(end.Unanswered))
		k.exit(false)
		k.w.after(k.w.span(k.w.plan.Restart), k.restart)
		return
	}
	k.w.oracle.settled(k)
	k.w.oracle.letsGo(k, next)
	k.w.oracle.inTime(k, next)
	k.wakeFor(next)
}

// wakeFor has the core settle at a time of its clock.
func (k *worker) wakeFor(at workercore.Time) {
	if at == workercore.TimeMax {
		return
	}
	due := k.w.now + k.untilLocal(at)
	if k.wakeAt > k.w.now && k.wakeAt <= due {
		return
	}
	k.wakeAt = due
	k.after(due-k.w.now, func() {
		if k.wakeAt == due {
			k.wakeAt = 0
			k.settleSoon()
		}
	})
}

// transmit is the sending goroutine: a message is sent once it is in the send buffer.
func (k *worker) transmit(u *upMessage) {
	k.unsent = append(k.unsent, u)
	k.flush()
}

func (k *worker) flush() {
	x := k.conn
	if x == nil {
		return
	}
	p := &x.up
	for len(k.unsent) > 0 {
		if x.full(p) {
			p.room = func() {
				p.room = nil
				k.w.after(0, func() {
					if k.conn == x {
						k.run(k.flush)
					}
				})
			}
			return
		}
		u := k.unsent[0]
		k.unsent = k.unsent[1:]
		x.send(p, &k.w.coord.process, u.size, func() { x.st.receive(u) })
		k.sent++
		k.sight.spoke(&u.m)
		k.settleSoon()
	}
}
