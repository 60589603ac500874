package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newTaskRetry(a *app) *cobra.Command {
	b := &bulk{a: a, verb: "retry", past: "retried",
		among: []client.TaskState{client.Dead},
		good:  []yardmasterv1.TaskResult_Code{yardmasterv1.TaskResult_CODE_DONE},
		do: func(ctx context.Context, c *client.Client, ids []uint64) ([]*yardmasterv1.TaskResult, error) {
			return c.Retry(ctx, ids...)
		},
	}
	cmd := &cobra.Command{
		Use:   "retry ID... | - | FILTER",
		Short: "Give dead letters a new generation",
		Long: `Retry puts dead letters back to work: attempts and losses start from zero, the id stays, the generation counts up. Exit
code 1 if a task could not be retried. If the answer is lost, yardctl doesn't repeat the request: see the generation with
yardctl task get.` + bulkLong,
		Example: `  yardctl task retry 42
  yardctl task retry --queue mail
  yardctl task retry --kind report --since 1d --dry-run
  yardctl task list --state dead --limit 0 -o json | jq -r .id | yardctl task retry -`,
		RunE: b.run,
	}
	b.register(cmd)
	return cmd
}
