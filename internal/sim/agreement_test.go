package sim

import (
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"github.com/yardmaster/yardmaster/internal/session"
	"github.com/yardmaster/yardmaster/internal/workercore"
)

// busy returns a handler that runs, in a fair world.
func busy(t *testing.T, w *World) *handler {
	t.Helper()
	var found *handler
	w.runUntil(func() bool {
		for _, k := range w.workers {
			for _, h := range k.handlers {
				if !h.asked {
					found = h
				}
			}
		}
		return found != nil && w.coord.leading && len(w.coord.flights) == 0 && w.coord.line.Len() == 0
	})
	if w.failure != nil {
		t.Fatal(w.failure)
	}
	return found
}

// TestSightsCanFail has each thing that is watched at the shells go wrong.
func TestSightsCanFail(t *testing.T) {
	for _, test := range []struct {
		name string
		want Invariant
		do   func(*World, *handler, *entry)
	}{
		{"a handler that isn't asked to stop", InvLiveness, func(w *World, h *handler, _ *entry) {
			h.stopAt = h.k.local()
			w.oracle.inTime(h.k, h.k.local()+1)
		}},
		{"a worker that comes too late to kill", InvLiveness, func(w *World, h *handler, _ *entry) {
			h.asked, h.killAt = true, h.k.local()+1
			w.oracle.inTime(h.k, h.k.local()+2)
		}},
		{"a pool that runs too much", InvSlots, func(w *World, h *handler, _ *entry) {
			h.grant.Weight, h.stopAt = 1000, workercore.TimeMax
			w.oracle.inTime(h.k, h.k.local())
		}},
		{"an attempt that outlasts its back-stop", InvAttempts, func(w *World, h *handler, _ *entry) {
			t := w.oracle.leases[h.grant.Token].task
			spec := *t.spec
			spec.Policy.AttemptTimeout = scheduler.Second
			t.spec, t.state = &spec, lifeRunning
			t.heardAt = w.now - int64(scheduler.Second) - w.plan.KillGrace - 2*(w.plan.TTL/3) - backstopSlack - 1
			w.oracle.backstopKept(t)
		}},
		{"a start that the leader isn't told of", InvAttempts, func(w *World, h *handler, _ *entry) {
			w.oracle.leases[h.grant.Token].task.state = lifeLeased
			w.oracle.knowsStarted([]session.Known{{Token: h.grant.Token, Started: true}})
		}},
		{"a start after its time", InvAttempts, func(w *World, h *handler, _ *entry) {
			h.startBy = h.k.local()
			w.oracle.startedInTime(h)
		}},
		{"a start of what was given up", InvOneLease, func(w *World, h *handler, _ *entry) {
			h.startBy, h.deadline = workercore.TimeMax, workercore.TimeMax
			h.k.saidGivenUp([]workercore.Token{workercore.Token(h.grant.Token)})
			w.oracle.startedInTime(h)
		}},
		{"a start of what has ended", InvOneLease, func(w *World, h *handler, _ *entry) {
			h.startBy, h.deadline = workercore.TimeMax, workercore.TimeMax
			h.k.saidEnded([]workercore.Outcome{{Token: workercore.Token(h.grant.Token)}})
			w.oracle.startedInTime(h)
		}},
		{"a lease that the machine doesn't know", InvLiveness, func(w *World, _ *handler, e *entry) {
			info, _ := w.coord.state.Session(e.id)
			e.m.Ended(&e.acts)
			w.oracle.agrees(e, &info)
		}},
		{"a listening session without work", InvLiveness, func(w *World, _ *handler, e *entry) {
			info, _ := w.coord.state.Session(e.id)
			info.Attached, e.st.sent, e.st.hand = false, e.st.confirmed, nil
			w.oracle.agrees(e, &info)
		}},
		{"a task that isn't looked at in time", InvLiveness, func(w *World, h *handler, _ *entry) {
			r := w.coord.reg
			r.sight.at, r.sight.applied, r.sight.looks = w.coord.state.Now(), w.now-2*dueSlack, looksBetween-1
			w.oracle.tasks[0].state, w.oracle.tasks[0].notBefore = lifeScheduled, 0
			w.oracle.dueInTime(r, 0)
		}},
		{"a worker that isn't let in", InvLiveness, func(w *World, h *handler, _ *entry) {
			w.calm, w.since, h.k.bornAt = true, w.now-2*welcomeMost, w.now-2*welcomeMost
			h.k.core.Disconnected(h.k.local())
			w.oracle.allWelcome(w.coord.reg)
		}},
		{"a log that is cut too far", InvReplay, func(w *World, _ *handler, _ *entry) {
			w.disk.cut(w.disk.written() + w.plan.TrailingLogs + 1)
		}},
		{"a rejection that isn't told", InvOutcomes, func(w *World, h *handler, e *entry) {
			s := w.oracle.sessions[e.id]
			s.answers = append(s.answers, answerRecord{token: h.grant.Token, answer: scheduler.AnswerFenced})
			h.k.sight.told = map[scheduler.SessionID]int{e.id: len(s.answers) - 1}
			w.oracle.tells(h.k, e.id, 1, nil)
		}},
		{"a worker that trusts its leases for too long", InvLetGo, func(w *World, h *handler, _ *entry) {
			w.oracle.letsGo(h.k, h.k.sight.trusted+1)
		}},
		{"a worker that doesn't let go", InvLetGo, func(w *World, h *handler, _ *entry) {
			h.k.sight.trusted = h.k.local()
			w.oracle.letsGo(h.k, h.k.local())
		}},
		{"a session that expires although it was answered", InvLetGo, func(w *World, _ *handler, e *entry) {
			e.st.beatAt = w.now - w.plan.TTL + 1
			w.oracle.beatAnswered(e.st)
			w.oracle.trustKept(e.id, w.oracle.sessions[e.id])
		}},
		{"a Cancel that overtakes its grant", InvOutcomes, func(w *World, h *handler, e *entry) {
			e.st.hand = append(e.st.hand, h.grant)
			w.oracle.cancelSent(e.st, h.grant.Token)
		}},
		{"an acknowledgement that runs ahead", InvOutcomes, func(w *World, _ *handler, e *entry) {
			w.oracle.ackSent(e.st, e.st.answered+1)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := brokenWorld(t)
			h := busy(t, w)
			s := w.oracle.leases[h.grant.Token].session
			test.do(w, h, w.coord.reg.find(s))
			if w.failure == nil || w.failure.Invariant != test.want {
				t.Fatalf("it is found as %v, want %s", w.failure, test.want)
			}
		})
	}
}
