package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newWorkerGet(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "get NAME",
		Short: "Show a worker with its pools and leases",
		Long: `Get shows a worker's session, its pools, and the leases it holds (the first 1,000). While a newer process of the name takes
over from an older one there are two sessions.`,
		Example: `  yardctl worker get build-7
  yardctl worker get build-7 -o json`,
		Args:              argsExactly(1),
		ValidArgsFunction: once(a.completeWorkers),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd, func(ctx context.Context, c *client.Client) error {
				resp, err := c.Operator().GetWorker(ctx, &yardmasterv1.GetWorkerRequest{Name: args[0]})
				if err != nil {
					return client.AsError("get worker "+args[0], err)
				}
				if a.forScripts() {
					return printAll(a, resp.GetSessions())
				}
				for i, session := range resp.GetSessions() {
					if i > 0 {
						fmt.Fprintln(a.stdout)
					}
					if err := a.workerSheet(session); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func (a *app) workerSheet(detail *yardmasterv1.WorkerDetail) error {
	w := detail.GetWorker()
	s := newSheet(a.stdout)
	s.line("Worker", w.GetName())
	s.line("State", workerState(w))
	s.line("Session", fmt.Sprint(w.GetSessionId()))
	s.line("Opened", a.when(w.GetOpenTime()))
	s.line("Last heard", heardText(w))
	s.line("Address", w.GetRemoteAddress())
	s.line("Kinds", strings.Join(w.GetKinds(), ","))
	s.line("Queues", queuesText(w))
	s.line("Labels", pairs(w.GetLabels()))
	s.line("Protocol version", protocolText(w))
	s.line("Leases", fmt.Sprint(w.GetLeases()))
	if err := s.flush(); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	pools := newTable(a.stdout, 0, "POOL", "USED", "SLOTS", "PREFETCHED", "KINDS")
	for i, p := range w.GetPools() {
		pools.row(p.GetName(), number(min(p.GetUsed(), p.GetSlots())), number(p.GetSlots()),
			prefetchText([]*yardmasterv1.WorkerPool{p}), poolKinds(i, p))
	}
	if err := pools.flush(); err != nil || len(detail.GetLeases()) == 0 {
		return err
	}
	fmt.Fprintln(a.stdout)
	leases := newTable(a.stdout, 0, "TOKEN", "TASK", "KIND", "STATE", "GRANTED")
	for _, l := range detail.GetLeases() {
		leases.row(fmt.Sprint(l.GetToken()), fmt.Sprint(l.GetTaskId()), l.GetKind(), leaseState(l), a.ago(l.GetGrantTime()))
	}
	if err := leases.flush(); err != nil {
		return err
	}
	if more := int(w.GetLeases()) - len(detail.GetLeases()); more > 0 {
		fmt.Fprintf(a.stdout, "and %s more\n", number(more))
	}
	return nil
}

func leaseState(l *yardmasterv1.WorkerLease) string {
	switch {
	case l.GetRevoked():
		return "revoked"
	case l.GetStarted():
		return "started"
	}
	return "granted"
}
