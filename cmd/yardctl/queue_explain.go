package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newQueueExplain(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "explain NAME",
		Short: "Say why a queue's tasks don't go on",
		Long: `Explain says what holds a queue's tasks back: conditions of the queue as a whole, then for each shape (tasks alike in kind,
required labels and weight) those of its next task, the shapes with most pending tasks first.`,
		Example: `  yardctl queue explain mail
  yardctl queue explain mail -o json | jq -r '.shapes[].reasons[].code'`,
		Args:              argsExactly(1),
		ValidArgsFunction: once(a.completeQueues),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd, func(ctx context.Context, c *client.Client) error {
				why, err := c.Queues().Explain(ctx, &yardmasterv1.QueueServiceExplainRequest{Name: args[0]})
				switch {
				case err != nil:
					return client.AsError("explain queue "+args[0], err)
				case a.forScripts():
					return a.print(why)
				}
				return a.queueExplanation(why)
			})
		},
	}
}

func (a *app) queueExplanation(why *yardmasterv1.QueueServiceExplainResponse) error {
	if err := a.reasons(why.GetSummary(), why.GetReasons()); err != nil || len(why.GetShapes()) == 0 {
		return err
	}
	fmt.Fprintln(a.stdout)
	t := newTable(a.stdout, 0, "KIND", "REQUIRES", "WEIGHT", "PENDING", "NEXT", "AGE", "HELD BACK BY", "COUNT", "DETAIL")
	for _, s := range why.GetShapes() {
		kind := s.GetKind()
		if s.GetSuspects() {
			kind += " (suspects)"
		}
		cells := []string{kind, pairs(s.GetRequire()), number(s.GetWeight()), number(s.GetPending()),
			fmt.Sprint(s.GetNextTaskId()), a.age(s.GetNextSubmitTime())}
		if len(s.GetReasons()) == 0 {
			t.row(append(cells, "nothing", "", "about to be granted")...)
			continue
		}
		for _, r := range s.GetReasons() {
			t.row(append(cells, reasonWord(r.GetCode()), countText(r), r.GetDetail())...)
			cells = []string{" ", " ", " ", " ", " ", " "} // said in the row above
		}
	}
	return t.flush()
}
