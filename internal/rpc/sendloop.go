package rpc

import (
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// outgoing is sendLoop's memory: messages are used again once SendMsg has returned, which has encoded them.
type outgoing struct {
	control  session.Control
	granting granting
	response yardmasterv1.SessionResponse
	beat     yardmasterv1.SessionResponse_HeartbeatAck
	cancel   yardmasterv1.SessionResponse_Cancel
	recall   yardmasterv1.SessionResponse_Recall
	ack      yardmasterv1.SessionResponse_OutcomeAck
	rejected []*yardmasterv1.Rejected
}

// sendLoop sends what the session's machine has for the stream: the Welcome, then control messages before grants.
func (st *stream) sendLoop() {
	st.out.beat.HeartbeatAck = &yardmasterv1.HeartbeatAck{}
	st.out.cancel.Cancel = &yardmasterv1.Cancel{}
	st.out.recall.Recall = &yardmasterv1.Recall{}
	st.out.ack.OutcomeAck = &yardmasterv1.OutcomeAck{}
	select {
	case <-st.ready:
	case <-st.ctx.Done():
		return
	}
	if !st.send(&yardmasterv1.SessionResponse{Message: &yardmasterv1.SessionResponse_Welcome{Welcome: st.welcome}}) {
		return
	}
	for {
		select {
		case <-st.ctx.Done():
			return
		case <-st.woken:
		}
		for st.sendNext() {
		}
	}
}

// sendNext sends the control messages that are waiting and one message of grants. False: there is no more for now, or the
// stream has ended.
func (st *stream) sendNext() bool {
	e, o := st.entry, &st.out
	if st.ctx.Err() != nil {
		return false
	}
	e.mu.Lock()
	control := e.m.TakeControl(st.id, &o.control)
	if o.granting.empty() {
		o.granting.drop()
		o.granting.grants = e.m.TakeGrants(st.id, o.granting.grants)
	}
	took := len(o.granting.grants) > 0
	e.mu.Unlock()
	if control && !st.sendControl() {
		return false
	}
	if took && !o.granting.loaded && !st.loadBodies() {
		return false
	}
	if o.granting.empty() {
		return control || took
	}
	return st.sendGrants()
}

func (st *stream) sendControl() bool {
	o := &st.out
	c := &o.control
	if c.Heartbeat {
		o.beat.HeartbeatAck.SendTimeNanos = c.HeartbeatTime
		o.response.Message = &o.beat
		if !st.send(&o.response) {
			return false
		}
	}
	for _, note := range c.Cancels {
		m := o.cancel.Cancel
		m.Token, m.TaskId = uint64(note.Token), uint64(note.Task)
		m.Reason = yardmasterv1.Cancel_Reason(note.Reason)
		o.response.Message = &o.cancel
		if !st.send(&o.response) {
			return false
		}
	}
	if len(c.Recalls) > 0 && !st.sendRecall() {
		return false
	}
	if !c.Ack {
		return true
	}
	for len(o.rejected) < len(c.Rejected) {
		o.rejected = append(o.rejected, &yardmasterv1.Rejected{})
	}
	for i, x := range c.Rejected {
		r := o.rejected[i]
		r.Seq, r.Token, r.Code = x.Seq, uint64(x.Token), yardmasterv1.Rejected_CODE_FENCED
		if x.Answer == scheduler.AnswerGone {
			r.Code = yardmasterv1.Rejected_CODE_GONE
		}
	}
	o.ack.OutcomeAck.ThroughSeq = c.AckThrough
	o.ack.OutcomeAck.Rejected = o.rejected[:len(c.Rejected)]
	o.response.Message = &o.ack
	return st.send(&o.response)
}

func (st *stream) sendRecall() bool {
	o := &st.out
	m := o.recall.Recall
	m.Tokens = m.Tokens[:0]
	for _, t := range o.control.Recalls {
		m.Tokens = append(m.Tokens, uint64(t))
	}
	o.response.Message = &o.recall
	return st.send(&o.response)
}

// loadBodies reads the payloads of the grants in hand. Those whose task has ended are given back; the tasks whose payload
// is damaged are ended, the others go on.
func (st *stream) loadBodies() bool {
	g := &st.out.granting
	err := g.load(st.r.engine)
	if err != nil {
		st.r.logger.Error("payloads can't be read", "session", st.entry.id, "error", err)
		_, mapped := engineError(err)
		st.end(mapped)
		return false
	}
	if len(g.gone)+len(g.damaged) == 0 {
		return true
	}
	e := st.entry
	e.mu.Lock()
	for _, t := range g.gone {
		e.m.Skip(st.id, t, &e.acts)
	}
	e.m.Unreadable(st.id, g.damaged, &e.acts)
	e.perform()
	return true
}

// sendGrants sends the next message of grants, if it may be sent now.
func (st *stream) sendGrants() bool {
	g, e := &st.out.granting, st.entry
	n, bytes := g.build(st.r.engine)
	e.mu.Lock()
	seq, verdict := e.m.Sent(st.r.now(), st.id, n, bytes)
	e.wakeAt.Store(e.m.NextWake())
	e.mu.Unlock()
	switch verdict {
	case session.Hold:
		return false
	case session.Send:
		g.message.Grants.Seq = seq
		st.out.response.Message = &g.message
		g.next += n
		return st.send(&st.out.response)
	}
	g.drop()
	return true
}

// send calls SendMsg. False: the stream has ended.
func (st *stream) send(m *yardmasterv1.SessionResponse) bool {
	err := st.sender.send(st.r.now, func() error { return st.gs.Send(m) })
	if err != nil {
		st.broke(err)
	}
	return err == nil && st.ctx.Err() == nil
}
