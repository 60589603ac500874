package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newQueueList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all queues with their counts",
		Long:  "List prints every queue with its settings and counts.\n\n" + queueColumns,
		Example: `  yardctl queue list
  yardctl queue list -o json | jq -r 'select(.paused).name'`,
		Args: argsUpTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd, func(ctx context.Context, c *client.Client) error {
				resp, err := c.Queues().List(ctx, &yardmasterv1.QueueServiceListRequest{})
				if err != nil {
					return client.AsError("list queues", err)
				}
				return a.printQueues(resp.GetQueues())
			})
		},
	}
}
