package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newTaskExplain(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Say why a task is where it is",
		Long: `Explain says why a task is where it is: which of the scheduler's own conditions hold it back, for how many workers each,
and what would cure them.`,
		Example: `  yardctl task explain 42
  yardctl task explain 42 -o json`,
		Args: argsExactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			return a.withClient(cmd, func(ctx context.Context, c *client.Client) error {
				why, err := c.Explain(ctx, ids[0])
				switch {
				case err != nil:
					return err
				case a.forScripts():
					return a.print(why)
				}
				return a.reasons(why.GetSummary(), why.GetReasons())
			})
		},
	}
}

// reasons prints a summary, which names what it is about, and the conditions behind it.
func (a *app) reasons(summary string, reasons []*yardmasterv1.Reason) error {
	fmt.Fprintln(a.stdout, capital(summary))
	if len(reasons) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	t := newTable(a.stdout, 0, "REASON", "COUNT", "DETAIL")
	for _, r := range reasons {
		t.row(reasonWord(r.GetCode()), countText(r), r.GetDetail())
	}
	return t.flush()
}

// capital begins a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func reasonWord(code yardmasterv1.Reason_Code) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(code.String(), "CODE_"), "_", " "))
}

// countText says what the count counts.
func countText(r *yardmasterv1.Reason) string {
	switch r.GetCode() {
	case yardmasterv1.Reason_CODE_BEHIND_OTHERS:
		return plural(int(r.GetCount()), "task", "tasks")
	case yardmasterv1.Reason_CODE_QUEUE_PAUSED, yardmasterv1.Reason_CODE_NO_WORKERS, yardmasterv1.Reason_CODE_NOT_DUE,
		yardmasterv1.Reason_CODE_LEASED, yardmasterv1.Reason_CODE_TERMINAL,
		yardmasterv1.Reason_CODE_QUEUE_MAX_LEASES, yardmasterv1.Reason_CODE_QUEUE_EMPTY:
		return ""
	}
	return plural(int(r.GetCount()), "worker", "workers")
}
