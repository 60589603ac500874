package main

import (
	"context"

	"github.com/spf13/cobra"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newQueueConfigure(a *app) *cobra.Command {
	var weight uint32
	cmd := &cobra.Command{
		Use:   "configure NAME...",
		Short: "Change queues' settings",
		Long: `Configure changes queues' settings; a queue that doesn't exist is made. The weight is a queue's share of free slots against
the other queues that have tasks ready: one of weight 3 gets three slots for each one of weight 1.`,
		Example: `  yardctl queue configure mail --weight 3`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("weight") {
				return usagef("say what to change: --weight")
			}
			return a.eachQueue(cmd, "configure", args,
				func(ctx context.Context, queues yardmasterv1.QueueServiceClient, name string) (*yardmasterv1.Queue, error) {
					resp, err := queues.Configure(ctx, &yardmasterv1.ConfigureRequest{Name: name, Weight: &weight})
					return resp.GetQueue(), err
				})
		},
	}
	cmd.Flags().Uint32Var(&weight, "weight", 0, "share of free slots against other queues: `N` from 1 to 1000")
	return cmd
}
