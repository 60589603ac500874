package sim

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// upMessage is a message of a worker.
type upMessage struct {
	m        workercore.Message
	hello    *helloMessage
	outcomes *scheduler.Outcomes
	tokens   []uint64 // Started, Recalled
	size     int
}

// downKind says what a downMessage is.
type downKind uint8

const (
	downWelcome downKind = iota
	downBeat
	downCancel
	downRecall
	downAck
	downGrants
)

// downMessage is a message of the coordinator.
type downMessage struct {
	kind       downKind
	size       int
	session    scheduler.SessionID // Welcome
	newSession bool
	version    uint32
	stop       []scheduler.Token
	beat       int64                // HeartbeatAck
	cancel     scheduler.CancelNote // Cancel
	recall     []scheduler.Token    // Recall
	through    uint64               // OutcomeAck
	rejected   []session.Rejected
	seq        uint64 // Grants
	leases     []leaseMessage
}

// leaseMessage is a lease as it is sent.
type leaseMessage struct {
	grant      scheduler.Grant
	deadlineIn int64 // -1: none
	within     int64 // -1: none
	body       []byte
}

// stream is the coordinator's side of a worker's stream: the recvLoop, sendLoop and admitLoop of internal/rpc.
type stream struct {
	r       *registry
	conn    *conn
	id      session.StreamID
	e       *entry // nil: not bound yet
	begun   int64  // 0 once Hello has come
	welcome *downMessage
	over    bool // ended: nothing is sent or taken in any more
	gone    bool // the handler has returned
	goodbye bool

	sent, confirmed uint64 // the last Grants message sent, and confirmed
	beatAt          int64  // true time at which the last heartbeat came
	answered        uint64 // the last outcome that was answered on it

	arrivals []arrival
	admits   bool // the admit loop is about to run

	woken   bool // the send loop is about to run
	out     []*downMessage
	since   int64 // when the SendMsg under way began; 0: none is
	control session.Control
	hand    []scheduler.Grant
	leases  []leaseMessage // of hand, loaded
	loaded  bool
	loading bool
}

// arrival is what has come and waits for admission: outcomes, or, behind them, a Goodbye.
type arrival struct {
	outcomes *scheduler.Outcomes
	goodbye  bool
}

func (r *registry) addStream(x *conn) *stream {
	r.lastID++
	st := &stream{r: r, conn: x, id: r.lastID, begun: r.now()}
	r.streams = append(r.streams, st)
	return st
}

// end ends the stream by the coordinator's wish: the worker learns of it behind all that was sent.
func (st *stream) end() {
	if st.over {
		return
	}
	st.over = true
	st.conn.closeByServer()
	st.r.c.after(st.r.c.w.between(0, millisecond), st.finish)
}

// broke takes note that the stream has ended from outside.
func (st *stream) broke() {
	if st.over {
		return
	}
	st.over = true
	st.conn.serverGone = true
	st.conn.forget()
	st.finish()
}

// finish tells the session that the stream is over.
func (st *stream) finish() {
	st.gone = true
	st.conn.up.lost = true
	st.r.streams = slices.DeleteFunc(st.r.streams, func(o *stream) bool { return o == st })
	if st.e != nil {
		st.r.c.w.step()
		st.e.broken(st)
	}
}

// bind gives the stream its session. False: it is over already.
func (st *stream) bind(e *entry) bool {
	if st.gone {
		return false
	}
	st.e = e
	st.transmit(st.welcome)
	if e.m.NeedTimeouts() {
		e.m.Timeouts(st.r.c.state.SessionLeases(e.id, 1<<20), &e.acts)
	}
	st.wake()
	return true
}

// watch ends a stream whose peer doesn't say Hello, or doesn't read.
func (st *stream) watch(now, gap int64) {
	if st.begun != 0 {
		if st.begun += gap; now-st.begun >= helloMax {
			st.end()
			return
		}
	}
	if st.since != 0 {
		if st.since += gap; now-st.since >= sendBlockedMax {
			st.r.c.w.injected(FaultSlowReader)
			st.end()
		}
	}
}

// receive takes one message.
func (st *stream) receive(u *upMessage) {
	c := st.r.c
	if st.gone {
		return
	}
	c.w.step()
	if u.hello != nil {
		if st.begun == 0 || st.over {
			st.end()
			return
		}
		st.begun = 0
		st.r.open(st, u.hello)
		return
	}
	e, now := st.e, st.r.now()
	if e == nil {
		if st.over {
			return
		}
		c.w.fail(InvOutcomes, "worker %d speaks before it is welcomed on stream %d", st.conn.worker.id, st.id)
		return
	}
	if e.m.Received(now, st.id, u.m.ReceivedThrough, &e.acts) && !st.goodbye {
		st.confirmed = max(st.confirmed, u.m.ReceivedThrough)
		st.take(e, now, u)
	}
	e.perform()
}

func (st *stream) take(e *entry, now int64, u *upMessage) {
	switch u.m.Kind {
	case workercore.Started:
		e.m.Begun(now, u.tokens, &e.acts)
	case workercore.Outcomes:
		if e.m.Arrived(len(u.outcomes.List), &e.acts) {
			st.push(arrival{outcomes: u.outcomes})
		}
	case workercore.Heartbeat:
		st.beatAt = st.r.c.w.now
		e.m.Beat(int64(u.m.SendTime), &e.acts)
	case workercore.Recalled:
		e.m.Recalled(u.tokens, &e.acts)
	case workercore.Draining:
		e.m.Draining(&e.acts)
	case workercore.Goodbye:
		st.goodbye = true
		st.push(arrival{goodbye: true})
	default: // a bare confirmation, or Drained
	}
}

// push queues what needs admission.
func (st *stream) push(a arrival) {
	st.arrivals = append(st.arrivals, a)
	if !st.admits {
		st.admits = true
		st.r.c.after(st.r.c.w.between(0, 20*microsecond), st.admitLoop)
	}
}

// admitLoop proposes outcomes as they are admitted, until the stream ends. Goodbye keeps its place behind them.
func (st *stream) admitLoop() {
	if st.over || len(st.arrivals) == 0 {
		st.admits = false
		return
	}
	if st.arrivals[0].outcomes != nil && st.r.c.gate {
		st.r.c.admit(st.admitLoop)
		return
	}
	a := st.arrivals[0]
	st.arrivals = st.arrivals[1:]
	st.r.c.w.step()
	if a.goodbye {
		st.e.m.Goodbye(st.id, &st.e.acts)
	} else {
		st.e.m.Outcomes(st.id, a.outcomes, &st.e.acts)
	}
	st.e.perform()
	st.admitLoop()
}
