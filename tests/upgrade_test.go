//go:build e2e

package tests

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/client"
	pb "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const (
	upgradeKills = 10
	upgradeStep  = 20 * time.Millisecond // each start may live that much longer than the one before; it serves after 100 ms or more
	logicNow     = 3
)

// TestUpgradeUnderKills has a data directory of release 0.1.0 served by a coordinator that is killed again and again while
// it starts: in the end it follows the rules of today, and all is there that was.
func TestUpgradeUnderKills(t *testing.T) {
	t.Parallel()
	seed := setting(t, "YARD_SEED", uint64(time.Now().UnixNano()))
	t.Logf("replay the moments with YARD_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 7))
	c := newCoordinator(t, "--session-ttl", "10m")
	unpack(t, "format-1", c.data)
	served := 0
	for i := range upgradeKills {
		c.launch()
		pass(t.Context(), time.Duration(rng.Int64N(int64(upgradeStep)*int64(i+1))))
		if !c.proc.alive() {
			t.Fatalf("it ended by itself with code %d", c.proc.exit())
		}
		if c.serves() {
			served++
		}
		c.proc.kill()
	}
	if code, out := run(t, program("coordinator"), "check", "--data-dir", c.data); code != 0 {
		t.Errorf("check: exit code %d: %s", code, out)
	}
	c.start()
	cl := c.client()
	var status *pb.OperatorServiceStatusResponse
	eventually(t, fmt.Sprintf("it follows logic %d", logicNow), func() bool {
		var err error
		status, err = cl.Operator().Status(bounded(t), &pb.OperatorServiceStatusRequest{})
		return err == nil && status.GetLogicVersion() == logicNow
	})
	c.wantRecorded()
	t.Logf("%d of %d starts served before their kill; the last position is %d", served, upgradeKills, status.GetLastPosition())

	submit(t, cl, client.Task{Kind: "nobody"})
	w := follow(t, cl, client.WatchFilter{}) // what the first release didn't have
	id := submit(t, cl, client.Task{Kind: "nobody"})[0]
	w.sees("the submit", func(e *client.Event) bool { return e.GetTaskId() == id && e.GetType() == pb.Event_TYPE_SUBMITTED })
	if code := c.stop(); code != exitClean {
		t.Errorf("exit code %d", code)
	}
	c.wantWhole("format 3")
	c.start()
	status, err := cl.Operator().Status(bounded(t), &pb.OperatorServiceStatusRequest{})
	if err != nil || status.GetLogicVersion() != logicNow {
		t.Errorf("after another start: %v, %v", status, err)
	}
	wantWords(t, c.ctl("cluster", "status", "-o", "json"), fmt.Sprintf(`"logicVersion":%d`, logicNow))
}

// wantRecorded holds that the tasks of the old data directory are as its release told them.
func (c *coordinator) wantRecorded() {
	c.t.Helper()
	for _, want := range recorded(c.t, "format-1/details.json") {
		want = want.asOf(time.Now())
		got := records(c.t, c.ctl("task", "get", want["id"].(string), "--payload", "-o", "json"))
		says(c.t, "task "+want["id"].(string), map[string]any(got[0]), map[string]any(want))
	}
}
