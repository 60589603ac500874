package main

import (
	"context"

	"github.com/spf13/cobra"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newQueueGet(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "get NAME...",
		Short: "Show queues with their counts",
		Long:  "Get prints queues with their settings and counts.\n\n" + queueColumns,
		Example: `  yardctl queue get mail
  yardctl queue get mail -o yaml`,
		Args:              argsFrom(1),
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachQueue(cmd, "get", args,
				func(ctx context.Context, queues yardmasterv1.QueueServiceClient, name string) (*yardmasterv1.Queue, error) {
					resp, err := queues.Get(ctx, &yardmasterv1.QueueServiceGetRequest{Name: name})
					return resp.GetQueue(), err
				})
		},
	}
}
