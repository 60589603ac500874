package sim

import (
	"slices"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// wake has the send loop look for something to send.
func (st *stream) wake() {
	if st.woken || st.over || st.e == nil {
		return
	}
	st.woken = true
	st.r.c.after(st.r.c.w.between(0, 30*microsecond), func() {
		st.woken = false
		for st.sendNext() {
		}
	})
}

// sendNext sends the control messages that are waiting and one message of grants. False: there is no more for now, or
// SendMsg blocks, or the stream has ended.
func (st *stream) sendNext() bool {
	e := st.e
	if st.over || len(st.out) > 0 || st.loading {
		return false
	}
	st.r.c.w.step()
	control := e.m.TakeControl(st.id, &st.control)
	if len(st.hand) == 0 {
		st.hand = e.m.TakeGrants(st.id, st.hand[:0])
		st.loaded = false
	}
	if control {
		st.sendControl()
	}
	switch {
	case len(st.hand) == 0:
		return control
	case !st.loaded:
		st.load()
		return false
	}
	return st.sendGrants()
}

func (st *stream) sendControl() {
	c, o := &st.control, st.r.c.w.oracle
	if c.Heartbeat {
		o.beatAnswered(st)
		st.transmit(&downMessage{kind: downBeat, beat: c.HeartbeatTime, size: 16})
	}
	for _, note := range c.Cancels {
		o.cancelSent(st, note.Token)
		st.transmit(&downMessage{kind: downCancel, cancel: note, size: 32})
	}
	if len(c.Recalls) > 0 {
		st.transmit(&downMessage{kind: downRecall, recall: slices.Clone(c.Recalls), size: 8 * len(c.Recalls)})
	}
	if c.Ack {
		o.ackSent(st, c.AckThrough)
		st.transmit(&downMessage{kind: downAck, through: c.AckThrough, rejected: slices.Clone(c.Rejected), size: 16 + 24*len(c.Rejected)})
	}
}

// load reads the bodies of the grants in hand, which takes a while. Those whose task has ended are given back; tasks
// whose body can't be read are ended.
func (st *stream) load() {
	st.loading = true
	c := st.r.c
	d := c.w.span(c.w.plan.Read)
	if c.w.fault(c.w.plan.DiskSlow) {
		c.w.injected(FaultDiskSlow)
		d += c.w.between(10*millisecond, second)
	} else if c.w.fault(c.w.plan.Meanwhile) {
		d += c.w.between(0, 50*millisecond)
	}
	c.after(d, func() {
		st.loading = false
		if st.over {
			return
		}
		st.loaded = true
		st.leases = st.leases[:0]
		var gone, damaged []scheduler.Token
		for i := range st.hand {
			g := &st.hand[i]
			body := c.body(g.Task)
			if body == nil {
				gone = append(gone, g.Token)
				continue
			}
			if traitsOf(body)&traitUnreadable != 0 {
				c.w.injected(FaultUnreadable)
				damaged = append(damaged, g.Token)
				continue
			}
			st.leases = append(st.leases, leaseMessage{grant: *g, body: body})
		}
		for _, t := range gone {
			st.e.m.Skip(st.id, t, &st.e.acts)
		}
		st.e.m.Unreadable(st.id, damaged, &st.e.acts)
		if st.hand = st.hand[:len(st.leases)]; len(gone)+len(damaged) > 0 {
			for i := range st.leases {
				st.hand[i] = st.leases[i].grant
			}
			st.e.perform()
		}
		for st.sendNext() {
		}
	})
}

// sendGrants sends the next message of grants, if it may be sent now.
func (st *stream) sendGrants() bool {
	c := st.r.c
	n, bytes := 0, 0
	now := scheduler.Time(c.readClock())
	for i := range st.leases {
		l := &st.leases[i]
		size := 112 + len(l.body) + len(l.grant.Kind) + len(l.grant.Queue) + len(l.grant.Pool)
		if n > 0 && (bytes+size > session.MessageBytesMax || n >= c.w.plan.MessageLeases) {
			break
		}
		l.deadlineIn, l.within = remaining(l.grant.Deadline, now), remaining(l.grant.StartBy, now)
		n++
		bytes += size
	}
	seq, verdict := st.e.m.Sent(st.r.now(), st.id, n, bytes)
	switch verdict {
	case session.Hold:
		return false
	case session.Send:
		m := &downMessage{kind: downGrants, seq: seq, leases: slices.Clone(st.leases[:n]), size: bytes}
		st.leases, st.hand = st.leases[n:], st.hand[n:]
		st.sent = seq
		for i := range m.leases {
			c.w.oracle.grantSent(&m.leases[i].grant)
			st.r.sight.sent[m.leases[i].grant.Token] = true
		}
		st.transmit(m)
		return true
	}
	st.hand, st.leases = st.hand[:0], st.leases[:0]
	return true
}

// remaining is what is left until at; -1: there is no such time.
func remaining(at, now scheduler.Time) int64 {
	if at == 0 {
		return -1
	}
	return int64(max(0, at-now))
}

// transmit is SendMsg: it returns when the message is in the send buffer, and blocks while that is full.
func (st *stream) transmit(m *downMessage) {
	st.out = append(st.out, m)
	st.flush()
}

// flush moves messages into the send buffer.
func (st *stream) flush() {
	p := &st.conn.down
	for len(st.out) > 0 {
		if st.over {
			st.out = nil
			return
		}
		if st.conn.full(p) {
			if st.since == 0 {
				st.since = st.r.now()
			}
			if p.room == nil {
				p.room = func() {
					p.room = nil
					st.r.c.after(0, func() {
						st.flush()
						st.wake()
					})
				}
			}
			return
		}
		m := st.out[0]
		st.out = st.out[1:]
		st.since = 0
		k := st.conn.worker
		st.conn.send(p, &k.process, m.size, func() { k.message(st.conn, m) })
	}
}
