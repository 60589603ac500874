package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newTaskRetry(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "retry ID... | -",
		Short: "Give dead letters a new generation",
		Long: `Retry puts dead letters back to work: attempts and losses start from zero, the id stays, the generation counts up. Exit
code 1 if a task could not be retried. If the answer is lost, yardctl doesn't repeat the request: see the generation with
yardctl task get.`,
		Example: `  yardctl task retry 42
  yardctl task list --state dead --limit 0 -o json | jq -r .id | yardctl task retry -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := a.idsFrom(args)
			if err != nil {
				return err
			}
			return a.withClient(cmd, func(ctx context.Context, c *client.Client) error {
				results, err := c.Retry(ctx, ids...)
				printed := a.printResults(results, yardmasterv1.TaskResult_CODE_DONE)
				if err != nil {
					return err
				}
				return printed
			})
		},
	}
}
