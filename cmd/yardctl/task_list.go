package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// listPageMax is the largest page that a coordinator gives.
const listPageMax = 1_000

func newTaskList(a *app) *cobra.Command {
	var (
		filter client.Filter
		states []string
		limit  int
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tasks in order of id",
		Long: `List prints tasks in order of id, finished ones that are still retained included. All conditions must hold; of several
states, any. States: ` + strings.Join(stateNames(), ", ") + `.`,
		Example: `  yardctl task list
  yardctl task list --queue mail --state pending,scheduled
  yardctl task list --state dead --limit 0 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range states {
				state, ok := stateNamed(name)
				if !ok {
					return usagef("--state is %q; it must be one of %s", name, strings.Join(stateNames(), ", "))
				}
				filter.States = append(filter.States, state)
			}
			if limit < 0 {
				return usagef("--limit is %d; it must not be negative (0: no limit)", limit)
			}
			filter.PageSize = listPageMax
			if limit > 0 {
				filter.PageSize = min(limit, listPageMax)
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			ctx, cancel := a.waiting(cmd.Context()) // a list of millions takes its time
			defer cancel()
			return a.listTasks(ctx, c, filter, limit)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&filter.Queue, "queue", "", "only of this queue")
	flags.StringVar(&filter.Kind, "kind", "", "only of this kind")
	flags.StringSliceVar(&states, "state", nil, "only in this `state`; repeatable, or a comma list")
	flags.IntVar(&limit, "limit", 100, "at most so many, 0: all")
	return cmd
}

func (a *app) listTasks(ctx context.Context, c *client.Client, filter client.Filter, limit int) error {
	var t *table
	if !a.forScripts() {
		t = newTable(a.stdout, 0, "ID", "KIND", "QUEUE", "STATE", "PRIORITY", "ATTEMPTS", "AGE", "WORKER", "NOTE")
	}
	n := 0
	for task, err := range c.List(ctx, filter) {
		switch {
		case err != nil:
			return err
		case t == nil:
			if err := a.print(task); err != nil {
				return err
			}
		default:
			a.taskRow(t, task)
		}
		if n++; n == limit {
			break
		}
	}
	if t == nil {
		return nil
	}
	if err := t.flush(); err != nil {
		return err
	}
	if n == limit {
		fmt.Fprintf(a.stderr, "yardctl: stopped at --limit %d; there may be more\n", limit)
	}
	return nil
}

func (a *app) taskRow(t *table, task *client.TaskInfo) {
	worker := task.GetLease().GetWorker()
	if worker == "" {
		worker = task.GetOutcome().GetWorker()
	}
	t.row(fmt.Sprint(task.GetId()), task.GetKind(), task.GetQueue(), client.StateWord(task.GetState()),
		fmt.Sprint(task.GetPriority()), attemptsText(task), a.age(task.GetSubmitTime()), worker, a.taskNote(task))
}

// taskNote is what else matters at a glance.
func (a *app) taskNote(task *client.TaskInfo) string {
	switch {
	case task.GetCancelRequested():
		return "cancel requested"
	case task.GetDueTime() != nil:
		return "due " + a.ago(task.GetDueTime())
	case task.GetOutcome() != nil && task.GetState() != client.Succeeded:
		return failureText(task.GetOutcome().GetCause(), task.GetOutcome().GetFailure())
	case task.GetLastFailure() != nil:
		return failureText(task.GetLastFailure().GetCause(), task.GetLastFailure())
	}
	return ""
}

// stateNames lists the states as --state takes them, in the contract's order.
func stateNames() []string {
	var names []string
	for n := int32(1); ; n++ {
		if _, ok := yardmasterv1.TaskState_name[n]; !ok {
			return names
		}
		names = append(names, client.StateWord(client.TaskState(n)))
	}
}

func stateNamed(name string) (client.TaskState, bool) {
	n, ok := yardmasterv1.TaskState_value["TASK_STATE_"+strings.ToUpper(name)]
	return client.TaskState(n), ok && n != 0
}
