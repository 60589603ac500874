package workercore

import "testing"

// TestTrustRunsFromWhenTheHeartbeatWasSent: the coordinator counts the TTL from the receipt of a heartbeat, which may be as old as
// its sending. An answer that is slow to come must not prolong the trust: nothing may run when the lease is another's.
func TestTrustRunsFromWhenTheHeartbeatWasSent(t *testing.T) {
	const slow = testMargin + second // the answer's way: more than the margin allows for
	r := live(t, Config{})
	r.grant(1, Lease{Token: 1})
	r.pass(testInterval, false)
	beat := r.sent[len(r.sent)-1]
	if beat.Kind != Heartbeat {
		t.Fatalf("the last message is %s, want a heartbeat", describe(beat))
	}
	r.pass(slow, false)
	r.core.HeartbeatAck(r.now, beat.SendTime, &r.act)
	r.settle()
	r.cut()
	until := beat.SendTime.Add(testTTL - testMargin)
	r.log = nil
	r.pass(Duration(until-r.now)-1, false)
	r.want()
	r.pass(1, false)
	r.want("kill 1: lost")
}
