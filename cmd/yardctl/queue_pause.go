package main

import (
	"context"

	"github.com/spf13/cobra"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newQueuePause(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "pause NAME...",
		Short: "Stop handing out tasks of queues",
		Long: `Pause stops the coordinator from handing out tasks of queues. Submits go on, tasks at workers run on. It holds over
restarts, until resume. Pausing a paused queue changes nothing.`,
		Example:           `  yardctl queue pause mail`,
		Args:              argsFrom(1),
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachQueue(cmd, "pause", args,
				func(ctx context.Context, queues yardmasterv1.QueueServiceClient, name string) (*yardmasterv1.Queue, error) {
					resp, err := queues.Pause(ctx, &yardmasterv1.QueueServicePauseRequest{Name: name})
					return resp.GetQueue(), err
				})
		},
	}
}
