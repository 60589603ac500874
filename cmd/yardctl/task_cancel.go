package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newTaskCancel(a *app) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "cancel ID... | -",
		Short: "Cancel tasks",
		Long: `Cancel ends tasks. One that no worker has ends at once. One at a worker is cancelled there, and ends when the worker has
answered; --force fences it at once and doesn't wait for the worker. Cancelling a task that has ended changes nothing and
is no failure. Exit code 1 if a task wasn't found.`,
		Example: `  yardctl task cancel 42
  yardctl task cancel 42 43 --force
  yardctl task list --queue mail --limit 0 -o json | jq -r .id | yardctl task cancel -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := a.idsFrom(args)
			if err != nil {
				return err
			}
			return a.withClient(cmd, func(ctx context.Context, c *client.Client) error {
				cancel := c.Cancel
				if force {
					cancel = c.ForceCancel
				}
				results, err := cancel(ctx, ids...)
				printed := a.printResults(results, yardmasterv1.TaskResult_CODE_DONE,
					yardmasterv1.TaskResult_CODE_REQUESTED, yardmasterv1.TaskResult_CODE_ALREADY_TERMINAL)
				if err != nil {
					return err
				}
				return printed
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "end tasks at workers at once, without waiting for the workers' answers")
	return cmd
}
