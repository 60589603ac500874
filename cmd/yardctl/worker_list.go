package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newWorkerList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the registered workers",
		Long: `List prints the registered sessions in order of worker name. SLOTS are those taken, of all; PREFETCHED are leases sent ahead
beyond the slots, of as many as may be.`,
		Example: `  yardctl worker list
  yardctl worker list -o json | jq -r 'select(.state == "STATE_DETACHED").name'`,
		Args: argsUpTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd, a.listWorkers)
		},
	}
}

func (a *app) listWorkers(ctx context.Context, c *client.Client) error {
	var t *table
	if !a.forScripts() {
		t = newTable(a.stdout, 0, "NAME", "STATE", "SLOTS", "PREFETCHED", "LEASES", "HEARD", "KINDS", "QUEUES", "ADDRESS",
			"PROTOCOL")
	}
	req := &yardmasterv1.ListWorkersRequest{PageSize: listPageMax}
	for {
		resp, err := c.Operator().ListWorkers(ctx, req)
		if err != nil {
			return client.AsError("list workers", err)
		}
		if t == nil {
			if err := printAll(a, resp.GetWorkers()); err != nil {
				return err
			}
		} else {
			for _, w := range resp.GetWorkers() {
				t.row(w.GetName(), workerState(w), slotsText(w.GetPools()), prefetchText(w.GetPools()), fmt.Sprint(w.GetLeases()), heardText(w),
					glance([]byte(strings.Join(w.GetKinds(), ",")), 40), glance([]byte(queuesText(w)), 40), w.GetRemoteAddress(),
					protocolText(w))
			}
		}
		if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	if t == nil {
		return nil
	}
	return t.flush()
}
