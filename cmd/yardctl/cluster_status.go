package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newClusterStatus(a *app) *cobra.Command {
	hash := false
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the coordinator's state in one look",
		Example: `  yardctl cluster status
  yardctl cluster status --hash -o json | jq -r .stateHash`,
		Args: argsUpTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd, func(ctx context.Context, c *client.Client) error {
				resp, err := c.Operator().Status(ctx, &yardmasterv1.OperatorServiceStatusRequest{IncludeHash: hash})
				switch {
				case err != nil:
					return client.AsError("get the cluster's status", err)
				case a.forScripts():
					return a.print(resp)
				}
				return a.statusSheet(resp)
			})
		},
	}
	cmd.Flags().BoolVar(&hash, "hash", false, "compute the state's hash too: seconds for millions of tasks")
	return cmd
}

func (a *app) statusSheet(r *yardmasterv1.OperatorServiceStatusResponse) error {
	live := r.GetScheduled() + r.GetPending() + r.GetLeased()
	s := newSheet(a.stdout)
	s.line("Coordinator", strings.Join(a.target, ", "))
	s.line("Version", r.GetVersion())
	s.line("Serving since", a.when(r.GetStartTime()))
	s.line("Log time", a.when(r.GetLogTime()))
	s.line("Term", number(r.GetTerm()))
	s.line("Log", fmt.Sprintf("applied %s, checkpoint %s", number(r.GetAppliedIndex()), number(r.GetCheckpointIndex())))
	s.line("Tasks", fmt.Sprintf("%s of at most %s", number(live), number(r.GetMaxTasks())))
	s.line("  scheduled", number(r.GetScheduled()))
	s.line("  pending", number(r.GetPending()))
	s.line("  leased", number(r.GetLeased()))
	s.line("Dead letters", number(r.GetDead()))
	s.line("Queues", number(r.GetQueues()))
	s.line("Workers", fmt.Sprintf("%s, %s of them given work", number(r.GetSessions()), number(r.GetAttached())))
	s.line("Store", size(r.GetStoreBytes()))
	s.line("Disk free", size(r.GetDiskFreeBytes()))
	s.line("State hash", r.GetStateHash())
	return s.flush()
}
