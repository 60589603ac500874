package workercore

import "testing"

func draining(t *testing.T) *rig {
	return live(t, Config{DrainTimeout: 25 * second, KillGrace: 5 * second})
}

func TestDrainInOrder(t *testing.T) {
	r := draining(t)
	r.grant(1, Lease{Token: 1}, Lease{Token: 2}, Lease{Token: 3})
	r.log = nil
	r.drain()
	r.want("[r1 a0] draining 2 1", "[r1 a0] outcomes from 1: 3 interrupted (the worker stops)")
	r.grant(2, Lease{Token: 4})
	r.want("[r2 a0] outcomes from 2: 4 interrupted (the worker stops)")
	r.finished(1, Succeeded)
	r.pass(25*second, true)
	r.want("[r2 a0] outcomes from 3: 1 succeeded", "stop 2: draining")
	r.finished(2, Failed)
	r.want("[r2 a0] outcomes from 4: 2 interrupted (the worker stops)")
	r.answer(4)
	r.want("[r2 a4] drained 0", "[r2 a4] goodbye")
	if r.end.Ended {
		t.Fatal("ended before the stream's end")
	}
	r.cut()
	if r.end != (End{Ended: true}) {
		t.Errorf("end %+v", r.end)
	}
}

func TestDrainGivesUpHandlersThatIgnoreIt(t *testing.T) {
	r := draining(t)
	r.grant(1, Lease{Token: 1}, Lease{Token: 2, AttemptTimeout: 26 * second})
	r.drain()
	r.log = nil
	r.pass(30*second, true)
	r.want("stop 1: draining", "stop 2: draining", "kill 1: draining", "kill 2: draining",
		"[r1 a0] outcomes from 1: 1 interrupted (the worker stops) 2 interrupted (the worker stops)")
	r.answer(2)
	r.grant(2, Lease{Token: 1})
	r.cancel(2, ReasonCancelled)
	r.finished(2, Succeeded)
	r.pass(KillWait, true)
	r.want("[r2 a2] receipt", "[r2 a2] drained 1", "[r2 a2] goodbye", "stragglers")
	r.pass(AnswerWait, true)
	if r.end != (End{Ended: true, Left: 1}) {
		t.Errorf("end %+v", r.end)
	}
}

func TestForceDuringDrain(t *testing.T) {
	r := draining(t)
	r.grant(1, Lease{Token: 1})
	r.drain()
	r.log = nil
	r.core.Force(r.now)
	r.settle()
	r.want("stop 1: draining", "kill 1: draining", "[r1 a0] outcomes from 1: 1 interrupted (the worker stops)")
	r.answer(1)
	r.finished(1, Failed)
	r.want("[r1 a1] drained 0", "[r1 a1] goodbye")
}

func TestDrainOverABrokenStream(t *testing.T) {
	r := draining(t)
	r.grant(1, Lease{Token: 1}, Lease{Token: 2}, Lease{Token: 3})
	r.cut()
	r.drain()
	r.finished(1, Succeeded)
	r.finished(2, Succeeded)
	r.log = nil
	r.pass(10*second, false)
	if r.end.Ended {
		t.Fatal("ended with unanswered outcomes before the drain deadline")
	}
	r.connect()
	r.welcome(WelcomeMessage{Session: 1})
	r.want("[r0 a0] hello session 1: 1f 2f 3f", "[r0 a0] draining 0 1",
		"[r0 a0] outcomes from 1: 3 interrupted (the worker stops) 1 succeeded 2 succeeded")
	r.answer(3)
	r.want("[r0 a3] drained 0", "[r0 a3] goodbye")
	r.pass(AnswerWait, true)
	if r.end != (End{Ended: true}) {
		t.Errorf("end %+v", r.end)
	}
}

func TestDrainWithoutCoordinator(t *testing.T) {
	r := newRig(t, Config{})
	r.drain()
	if r.end != (End{Ended: true}) {
		t.Errorf("no session was ever open: %+v", r.end)
	}

	r = draining(t)
	r.grant(1, Lease{Token: 1})
	r.cut()
	began := r.now
	r.drain()
	r.finished(1, Succeeded)
	r.pass(60*second, false)
	if e := r.end; !e.Ended || e.Unanswered != 1 || e.Live || e.Waited < 25*second || e.Silent < e.Waited || e.TTL != 15*second || r.act.NextWake.Add(0) > began.Add(25*second) {
		t.Errorf("end %+v", r.end)
	}

	r = draining(t)
	r.cut()
	r.drain()
	r.pass(AnswerWait-1, false)
	if r.end.Ended {
		t.Error("gave up saying Goodbye too early")
	}
	r.pass(1, false)
	if r.end != (End{Ended: true}) {
		t.Errorf("end %+v", r.end)
	}
}

// TestDrainOfAStalledWorker: what the coordinator has said while this process stood still is read before anybody gives up.
func TestDrainOfAStalledWorker(t *testing.T) {
	stalled := func() *rig {
		r := draining(t)
		r.grant(1, Lease{Token: 1})
		r.drain()
		r.finished(1, Succeeded)
		r.log = nil
		r.now = r.now.Add(40 * second) // past the drain deadline, and the patience with the stream
		r.settle()
		if r.end.Ended || r.act.NextWake > r.now.Add(StallLook) {
			t.Fatalf("end %+v, next wake in %d", r.end, r.act.NextWake-r.now)
		}
		r.want() // no reconnect
		return r
	}
	r := stalled()
	r.log = nil
	r.answer(1)
	r.want("[r1 a1] drained 0", "[r1 a1] goodbye")
	r.cut()
	if r.end != (End{Ended: true}) {
		t.Errorf("end %+v", r.end)
	}
	r = stalled()
	r.pass(StallLook, false)
	if e := r.end; !e.Ended || e.Unanswered != 1 || e.Waited != 41*second {
		t.Errorf("end %+v", e)
	}
}

func TestAbort(t *testing.T) {
	r := draining(t)
	r.grant(1, Lease{Token: 1}, Lease{Token: 2})
	r.cut()
	r.drain()
	r.log = nil
	r.core.Abort(r.now)
	r.settle()
	r.want("kill 1: draining", "kill 2: draining")
	r.finished(1, Failed)
	r.pass(5*second, false)
	if r.end.Ended {
		t.Error("the last handler had no time to end")
	}
	r.pass(KillWait, false)
	if !r.end.Ended || r.end.Left != 1 {
		t.Errorf("end %+v", r.end)
	}
}
