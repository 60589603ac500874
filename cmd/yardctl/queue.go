package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newQueue(a *app) *cobra.Command {
	return newNoun("queue", "Show queues, set their shares and limits, pause and empty them",
		newQueueList(a), newQueueGet(a), newQueueConfigure(a), newQueuePause(a), newQueueResume(a), newQueuePurge(a),
		newQueueExplain(a))
}

// queueColumns explains the table of queues, in the help of the verbs that print it.
const queueColumns = `OLDEST is the age of the longest waiting of the tasks that are next in line. A depth limit that is the queue's own is
marked with own; the others follow the cluster's default. RETENTION is that of finished tasks and, after the slash, of dead
letters that ask for none themselves.`

// The retentions of a queue that has none of its own.
const (
	retentionDefault     = 24 * time.Hour
	deadRetentionDefault = 7 * 24 * time.Hour
)

// printQueues prints queues as rows.
func (a *app) printQueues(queues []*yardmasterv1.Queue) error {
	if a.forScripts() {
		return printAll(a, queues)
	}
	t := newTable(a.stdout, 0, "NAME", "STATE", "WEIGHT", "SCHEDULED", "PENDING", "OLDEST", "LEASED", "MAX LEASES", "DEAD",
		"DEPTH LIMIT", "RETENTION", "SHAPES")
	for _, q := range queues {
		state, depth, most := "open", number(q.GetDepthLimit()), ""
		if q.GetPaused() {
			state = "paused"
		}
		if q.GetOwnDepthLimit() {
			depth += " own"
		}
		if q.GetMaxLeases() > 0 {
			most = number(q.GetMaxLeases())
		}
		t.row(q.GetName(), state, number(q.GetWeight()), number(q.GetScheduled()), number(q.GetPending()),
			a.age(q.GetOldestPending()), number(q.GetLeased()), most, number(q.GetDead()), depth,
			retained(q.Retention, retentionDefault)+"/"+retained(q.DeadRetention, deadRetentionDefault), number(q.GetShapes()))
	}
	return t.flush()
}

func retained(own *durationpb.Duration, otherwise time.Duration) string {
	if own == nil {
		return span(otherwise)
	}
	return span(own.AsDuration())
}

// eachQueue does something to each named queue and prints those that it was done to.
func (a *app) eachQueue(cmd *cobra.Command, verb string, names []string,
	do func(context.Context, yardmasterv1.QueueServiceClient, string) (*yardmasterv1.Queue, error)) error {
	return a.withClient(cmd, func(ctx context.Context, c *client.Client) error {
		var queues []*yardmasterv1.Queue
		var failed error
		for _, name := range names {
			q, err := do(ctx, c.Queues(), name)
			if err != nil {
				failed = client.AsError(fmt.Sprintf("%s queue %s", verb, name), err)
				break
			}
			queues = append(queues, q)
		}
		if len(queues) > 0 {
			if err := a.printQueues(queues); err != nil {
				return err
			}
		}
		return failed
	})
}
