package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newTaskDelete(a *app) *cobra.Command {
	b := &bulk{a: a, verb: "delete", past: "deleted",
		among:     []client.TaskState{client.Succeeded, client.Dead, client.Cancelled, client.Expired},
		good:      []yardmasterv1.TaskResult_Code{yardmasterv1.TaskResult_CODE_DONE},
		goodFound: []yardmasterv1.TaskResult_Code{yardmasterv1.TaskResult_CODE_NOT_FOUND},
		do: func(ctx context.Context, c *client.Client, ids []uint64) ([]*yardmasterv1.TaskResult, error) {
			resp, err := c.Tasks().Delete(ctx, &yardmasterv1.TaskServiceDeleteRequest{TaskIds: ids})
			if err != nil {
				return nil, client.AsError(fmt.Sprintf("delete %s", plural(len(ids), "task", "tasks")), err)
			}
			return resp.GetResults(), nil
		},
	}
	cmd := &cobra.Command{
		Use:   "delete ID... | - | FILTER",
		Short: "Remove finished tasks before their retention is over",
		Long: `Delete removes finished tasks with their outcomes and attempts: nothing of them can be read afterwards, and a dead letter
can't be retried. Live tasks stay; cancel them first. Exit code 1 if a named task wasn't found or hasn't ended.` + bulkLong,
		Example: `  yardctl task delete 42
  yardctl task delete --queue mail --state dead --until 7d
  yardctl task delete --kind report --yes
  yardctl task delete --all --dry-run`,
		RunE: b.run,
	}
	b.register(cmd)
	return cmd
}
