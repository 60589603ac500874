package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// kill is one planned SIGKILL and start of a process, and what came of it.
type kill struct {
	name  string
	share int // percent of the tasks that have ended by then

	killStep                // the last step; zero: not yet
	workAfter time.Duration // from the kill until the first outcome that shows the process back at work; 0: none seen

	open       map[uint64]bool // tasks that a killed worker held, without an outcome so far
	leasesDone time.Duration   // from the kill until the last outcome of what it held; 0: none seen
}

// killStep is how far a kill has come.
type killStep struct {
	pid      int       // of the process that was killed
	killedAt time.Time // when it was sent SIGKILL
	deadAt   time.Time // when it had ended
	held     []uint64  // a worker: tasks that it held then, as the coordinator says

	back      bool // it was started again, or that failed
	backPID   int
	backAfter time.Duration // from the kill until the start; a coordinator's, until it serves
	err       error
}

// planKills says who is killed, and when: one worker, then the coordinator.
func planKills(workers int) []*kill {
	victim := workerName(workers - 1)
	return []*kill{{name: victim, share: 30}, {name: coordinatorName, share: 60}}
}

// due returns the kill whose time has come, or nil. The last task is left to come back to.
func due(kills []*kill, done, total int) *kill {
	for _, k := range kills {
		if !k.killedAt.IsZero() {
			if !k.back {
				return nil // one after the other
			}
			continue
		}
		if done < total && done*100 >= k.share*total {
			return k
		}
		return nil
	}
	return nil
}

// takenIn is how long after a worker's death the coordinator may still accept what it had sent before. No new process is
// at work so soon.
const takenIn = 10 * time.Millisecond

// take brings k up to date.
func (k *kill) take(s killStep) {
	k.killStep = s
	if k.open == nil {
		k.open = make(map[uint64]bool)
		for _, id := range s.held {
			k.open[id] = true
		}
	}
}

// note takes an outcome that came after the kill. The process is back at work with the first task that it ended since: for
// the coordinator, the first whose end it made durable; for a worker, the first whose outcome is its own. (The times of
// ends follow the wall clock of the same machine.)
func (k *kill) note(out *client.Outcome, now time.Time) {
	if k.killedAt.IsZero() {
		return
	}
	after := now.Sub(k.killedAt)
	if k.open[out.ID] {
		delete(k.open, out.ID)
		k.leasesDone = after
	}
	if k.workAfter > 0 {
		return
	}
	if k.name == coordinatorName && out.FinishTime.After(k.deadAt) ||
		k.name == out.Worker && out.FinishTime.After(k.deadAt.Add(takenIn)) {
		k.workAfter = after
	}
}

// String tells it in one line of the summary.
func (k *kill) String() string {
	parts := []string{"started again after " + span(k.backAfter)}
	switch {
	case k.workAfter == 0:
		parts = append(parts, "no outcome seen since")
	case k.name == coordinatorName:
		parts = append(parts, "next outcome after "+span(k.workAfter))
	default:
		parts = append(parts, "its next outcome after "+span(k.workAfter))
	}
	if n := len(k.held); n > 0 && len(k.open) == 0 {
		parts = append(parts, plural(n, "task", "tasks")+" it held done after "+span(k.leasesDone))
	}
	return fmt.Sprintf("%s at %d%%: %s", k.name, k.share, strings.Join(parts, ", "))
}

// carryOut kills the process and starts it again. It tells the loop, which owns the kill, by what it sends: a step once the
// process is dead, another when it is back. heldBy asks for the tasks that a worker holds.
func carryOut(ctx context.Context, name string, f *fleet, heldBy func(context.Context, string) []uint64, steps chan<- killStep) {
	p := f.get(name)
	step := killStep{pid: p.pid(), killedAt: time.Now()}
	p.kill()
	step.deadAt = time.Now()
	if name != coordinatorName {
		step.held = heldBy(ctx, name)
	}
	steps <- step
	step.err = f.startOne(ctx, name)
	step.back = true
	if step.err == nil {
		step.backPID, step.backAfter = f.get(name).pid(), time.Since(step.killedAt)
	}
	steps <- step
}

// heldMax bounds the question for a killed worker's leases, which is for the report only.
const heldMax = time.Second

// heldBy returns the tasks that a worker holds, by the coordinator's word; none if it doesn't say.
func heldBy(c *client.Client) func(context.Context, string) []uint64 {
	return func(ctx context.Context, worker string) (ids []uint64) {
		ctx, cancel := context.WithTimeout(ctx, heldMax)
		defer cancel()
		resp, err := c.Operator().GetWorker(ctx, &yardmasterv1.GetWorkerRequest{Name: worker})
		if err != nil {
			return nil
		}
		for _, session := range resp.GetSessions() {
			for _, lease := range session.GetLeases() {
				ids = append(ids, lease.GetTaskId())
			}
		}
		return ids
	}
}
