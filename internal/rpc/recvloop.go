package rpc

import (
	"errors"
	"io"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
)

// recvLoop reads the stream. It never waits for the sender or the engine, but for the answer to its Hello.
func (st *stream) recvLoop() {
	req, err := st.gs.Recv()
	if err != nil {
		st.broke(err)
		return
	}
	st.begun.Store(0)
	h, err := checkHello(req)
	if err != nil {
		st.end(err)
		return
	}
	st.r.open(st, h)
	select {
	case <-st.ready:
	case <-st.ctx.Done():
		return
	}
	st.learnTimeouts()
	for {
		req, err := st.gs.Recv()
		if errors.Is(err, io.EOF) && st.saidGoodbye() {
			return // the end comes once the session's is durable
		}
		if err != nil {
			st.broke(err)
			return
		}
		if !st.receive(req) {
			return
		}
	}
}

// learnTimeouts asks the engine for what the machine doesn't know of leases that another term granted.
func (st *stream) learnTimeouts() {
	e := st.entry
	e.mu.Lock()
	need := e.m.NeedTimeouts()
	e.mu.Unlock()
	if !need {
		return
	}
	leases := st.r.engine.SessionLeases(e.id, scheduler.TokensKnownMax+scheduler.PoolsMax*(scheduler.SlotsMax+scheduler.PrefetchMax))
	e.mu.Lock()
	e.m.Timeouts(leases, &e.acts)
	e.perform()
}

func (st *stream) saidGoodbye() bool {
	st.entry.mu.Lock()
	defer st.entry.mu.Unlock()
	return st.goodbye
}

// receive takes one message. False: the stream is ended.
func (st *stream) receive(req *yardmasterv1.SessionRequest) bool {
	var report *scheduler.Outcomes
	if m, ok := req.GetMessage().(*yardmasterv1.SessionRequest_Outcomes); ok {
		var err error
		if report, err = outcomesCommand(m.Outcomes, req.GetAnswersThrough()); err != nil {
			st.end(err)
			return false
		}
	}
	now, e := st.r.now(), st.entry
	e.mu.Lock()
	defer e.perform()
	if st.ctx.Err() != nil {
		return false
	}
	if !e.m.Received(now, st.id, req.GetReceivedThrough(), &e.acts) || st.goodbye {
		return true // dropped
	}
	switch m := req.GetMessage().(type) {
	case *yardmasterv1.SessionRequest_Started:
		tokens := m.Started.GetTokens()
		if len(tokens) > StartedMax {
			st.end(invalid("started.tokens", "want at most %d, got %d", StartedMax, len(tokens)))
			return false
		}
		e.m.Begun(now, tokens, &e.acts)
	case *yardmasterv1.SessionRequest_Outcomes:
		if len(report.List) > 0 && e.m.Arrived(len(report.List), &e.acts) {
			st.push(arrival{outcomes: report})
		}
	case *yardmasterv1.SessionRequest_Heartbeat:
		if err := progress(e.m, now, m.Heartbeat.GetProgress(), &e.acts); err != nil {
			st.end(err)
			return false
		}
		e.m.Beat(m.Heartbeat.GetSendTimeNanos(), &e.acts)
	case *yardmasterv1.SessionRequest_Recalled:
		tokens := m.Recalled.GetTokens()
		if len(tokens) > session.RecallMax {
			st.end(invalid("recalled.tokens", "want at most %d, got %d", session.RecallMax, len(tokens)))
			return false
		}
		e.m.Recalled(tokens, &e.acts)
	case *yardmasterv1.SessionRequest_Draining:
		st.r.logger.Info("worker drains", "worker", e.name, "session", e.id,
			"running", m.Draining.GetRunning(), "waiting", m.Draining.GetWaiting())
		e.m.Draining(&e.acts)
	case *yardmasterv1.SessionRequest_Drained:
		st.r.logger.Info("worker has drained", "worker", e.name, "session", e.id, "processes_left", m.Drained.GetProcessesLeft())
	case *yardmasterv1.SessionRequest_Goodbye:
		st.goodbye = true
		st.push(arrival{goodbye: true})
	case *yardmasterv1.SessionRequest_Hello:
		st.end(invalid("message", "want one Hello, first; got another"))
		return false
	case nil: // a bare confirmation
	default:
		st.end(invalid("message", "is of a kind that this coordinator doesn't know"))
		return false
	}
	return true
}
