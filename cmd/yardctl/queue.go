package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newQueue(a *app) *cobra.Command {
	return newNoun("queue", "Show queues, set their shares, pause them",
		newQueueList(a), newQueueGet(a), newQueueConfigure(a), newQueuePause(a), newQueueResume(a))
}

// printQueues prints queues as rows.
func (a *app) printQueues(queues []*yardmasterv1.Queue) error {
	if a.forScripts() {
		return printAll(a, queues)
	}
	t := newTable(a.stdout, 0, "NAME", "STATE", "WEIGHT", "SCHEDULED", "PENDING", "LEASED", "DEAD", "DEPTH LIMIT", "SHAPES")
	for _, q := range queues {
		state := "open"
		if q.GetPaused() {
			state = "paused"
		}
		t.row(q.GetName(), state, number(q.GetWeight()), number(q.GetScheduled()), number(q.GetPending()),
			number(q.GetLeased()), number(q.GetDead()), number(q.GetDepthLimit()), number(q.GetShapes()))
	}
	return t.flush()
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
