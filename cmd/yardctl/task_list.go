package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newTaskList(a *app) *cobra.Command {
	var (
		filter taskFilter
		limit  int
		token  string
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tasks in order of id",
		Long: `List prints tasks in order of id, finished ones that are still retained included. All conditions must hold; of several
states, any. States: ` + strings.Join(stateNames(), ", ") + `.

A list that stops at --limit says with which --page-token it goes on; the conditions must be the same then.`,
		Example: `  yardctl task list
  yardctl task list --queue mail --state pending,scheduled
  yardctl task list --kind report --label user=7 --since 2h
  yardctl task list --since 2030-01-31T00:00:00Z --until 2030-02-01T00:00:00Z --limit 0
  yardctl task list --state dead --limit 0 -o json | jq -r .id`,
		Args: argsUpTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usagef("--limit is %d; it must not be negative (0: no limit)", limit)
			}
			req, err := filter.request(a, nil, "listed")
			if err != nil {
				return err
			}
			req.PageToken = token
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			ctx, cancel := a.waiting(cmd.Context()) // a list of millions takes its time
			defer cancel()
			return a.listTasks(ctx, c, req, limit)
		},
	}
	filter.register(a, cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many, 0: all")
	cmd.Flags().StringVar(&token, "page-token", "", "go on where an earlier list stopped: the `token` that it named")
	return cmd
}

// listTasks prints up to limit tasks; 0 is no limit. It never asks for more than it may print, so that the limit falls on
// the end of a page and the list can be gone on with.
func (a *app) listTasks(ctx context.Context, c *client.Client, req *yardmasterv1.TaskServiceListRequest, limit int) error {
	var t *table
	if !a.forScripts() {
		t = newTable(a.stdout, 0, "ID", "KIND", "QUEUE", "STATE", "PRIORITY", "ATTEMPTS", "AGE", "WORKER", "NOTE")
	}
	n := 0
	room := func() uint32 {
		if limit == 0 {
			return listPageMax
		}
		return uint32(min(limit-n, listPageMax))
	}
	req.PageSize = room()
	var failed error
	for page, err := range pages(ctx, c, req) {
		if err != nil {
			failed = err
			break
		}
		for _, task := range page.GetTasks() {
			if t != nil {
				a.taskRow(t, task)
			} else if err := a.print(task); err != nil {
				return err
			}
		}
		if n += len(page.GetTasks()); limit > 0 && n >= limit {
			break
		}
		req.PageSize = room()
	}
	if t != nil && (failed == nil || n > 0) { // headers alone would look like an empty list
		if err := t.flush(); err != nil {
			return err
		}
	}
	if failed == nil && req.GetPageToken() != "" {
		fmt.Fprintf(a.stderr, "yardctl: stopped at --limit %d; to go on: --page-token %s\n", limit, req.GetPageToken())
	}
	return failed
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
	case task.GetProgress() != nil:
		return progressText(task.GetProgress())
	case task.GetDueTime() != nil:
		return "due " + a.ago(task.GetDueTime())
	case task.GetOutcome() != nil && task.GetState() != client.Succeeded:
		return failureText(task.GetOutcome().GetCause(), task.GetOutcome().GetFailure())
	case task.GetSuspect():
		return "suspect"
	case task.GetLastFailure() != nil:
		return failureText(task.GetLastFailure().GetCause(), task.GetLastFailure())
	}
	return ""
}

// progressText writes what a handler said: "42.5 %: page 17".
func progressText(p *yardmasterv1.Progress) string {
	text := fmt.Sprintf("%d.%d %%", p.GetPermille()/10, p.GetPermille()%10)
	text = strings.Replace(text, ".0 %", " %", 1)
	if m := glance([]byte(p.GetMessage()), 60); m != "" {
		text += ": " + m
	}
	return text
}
