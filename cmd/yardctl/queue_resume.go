package main

import (
	"context"

	"github.com/spf13/cobra"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newQueueResume(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "resume NAME...",
		Short:             "Hand out tasks of paused queues again",
		Long:              `Resume ends queues' pauses. Resuming a queue that isn't paused changes nothing.`,
		Example:           `  yardctl queue resume mail`,
		Args:              argsFrom(1),
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachQueue(cmd, "resume", args,
				func(ctx context.Context, queues yardmasterv1.QueueServiceClient, name string) (*yardmasterv1.Queue, error) {
					resp, err := queues.Resume(ctx, &yardmasterv1.QueueServiceResumeRequest{Name: name})
					return resp.GetQueue(), err
				})
		},
	}
}
