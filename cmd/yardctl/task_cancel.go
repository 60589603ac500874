package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newTaskCancel(a *app) *cobra.Command {
	force := false
	b := &bulk{a: a, verb: "cancel", past: "cancelled",
		among: []client.TaskState{client.Scheduled, client.Waiting, client.Pending, client.Leased, client.Running},
		good: []yardmasterv1.TaskResult_Code{yardmasterv1.TaskResult_CODE_DONE,
			yardmasterv1.TaskResult_CODE_REQUESTED, yardmasterv1.TaskResult_CODE_ALREADY_TERMINAL},
		goodFound: []yardmasterv1.TaskResult_Code{yardmasterv1.TaskResult_CODE_NOT_FOUND},
		do: func(ctx context.Context, c *client.Client, ids []uint64) ([]*yardmasterv1.TaskResult, error) {
			if force {
				return c.ForceCancel(ctx, ids...)
			}
			return c.Cancel(ctx, ids...)
		},
	}
	cmd := &cobra.Command{
		Use:   "cancel ID... | - | FILTER",
		Short: "Cancel tasks",
		Long: `Cancel ends tasks. One that no worker has ends at once. One at a worker is cancelled there, and ends when the worker has
answered; --force fences it at once and doesn't wait for the worker. Cancelling a task that has ended changes nothing and
is no failure. Exit code 1 if a named task wasn't found.` + bulkLong,
		Example: `  yardctl task cancel 42
  yardctl task cancel 42 43 --force
  yardctl task cancel --queue mail --label campaign=7
  yardctl task cancel --kind report --state pending --since 2h --yes
  yardctl task cancel --all --dry-run`,
		RunE: b.run,
	}
	b.register(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "end tasks at workers at once, without waiting for the workers' answers")
	return cmd
}
