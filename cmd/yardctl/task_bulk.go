package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const (
	bulkSampleMax  = 5           // tasks shown before the question
	bulkFailedMax  = 5           // failed ids named at the end
	bulkQuietUntil = time.Second // counting that takes longer says how far it is
)

// bulkLong ends the help of each verb that takes ids or a filter.
const bulkLong = `

With a filter in place of ids it first counts what matches, shows a sample and asks; --yes doesn't ask, --dry-run only
counts. It then goes through the tasks that existed at that time, at most 1,000 at once. It may be broken off at any time,
and run again.`

// bulk is a verb over tasks: cancel, retry, delete. Tasks are named by ids, or found by a filter and gone through page by
// page, up to the highest id at the start, so that it ends however fast new tasks come.
type bulk struct {
	a          *app
	verb, past string // "cancel", "cancelled"
	filter     taskFilter
	among      []client.TaskState // that the verb can do something about
	good       []yardmasterv1.TaskResult_Code
	goodFound  []yardmasterv1.TaskResult_Code // no failures either for tasks that a filter found: they went meanwhile
	do         func(ctx context.Context, c *client.Client, ids []uint64) ([]*yardmasterv1.TaskResult, error)

	all, yes, dryRun bool
}

// register adds the filter's flags and those that steer a bulk.
func (b *bulk) register(cmd *cobra.Command) {
	b.filter.register(b.a, cmd)
	flags := cmd.Flags()
	flags.BoolVar(&b.all, "all", false, "every task, of all queues: in place of a filter")
	flags.BoolVar(&b.yes, "yes", false, "don't ask")
	flags.BoolVar(&b.dryRun, "dry-run", false, "only count what matches")
}

// run is the verb: by ids, or by filter.
func (b *bulk) run(cmd *cobra.Command, args []string) error {
	filtered := b.filter.given(cmd.Flags())
	switch {
	case len(args) > 0 && (filtered || b.all):
		return usagef("ids and a filter exclude each other")
	case len(args) > 0 && (b.dryRun || b.yes):
		return usagef("--dry-run and --yes go with a filter; ids are not asked about")
	case len(args) > 0:
		return b.byIDs(cmd, args)
	case filtered && b.all:
		return usagef("--all and a filter exclude each other: --all is every task")
	case !filtered && !b.all:
		return usagef("name ids, or a filter (--%s), or --all", strings.Join(filterFlags, ", --"))
	}
	req, err := b.filter.request(b.a, b.among, b.past)
	if err != nil {
		return err
	}
	if !b.yes && !b.dryRun {
		if err := b.a.canAsk(); err != nil {
			return err
		}
	}
	c, err := b.a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := b.a.waiting(cmd.Context())
	defer cancel()
	return b.byFilter(ctx, c, req)
}

func (b *bulk) byIDs(cmd *cobra.Command, args []string) error {
	ids, err := b.a.idsFrom(args)
	if err != nil {
		return err
	}
	return b.a.withClient(cmd, func(ctx context.Context, c *client.Client) error {
		var results []*yardmasterv1.TaskResult
		var failed error
		for part := range slices.Chunk(ids, listPageMax) {
			some, err := b.do(ctx, c, part)
			results = append(results, some...)
			if err != nil {
				failed = err
				break
			}
		}
		printed := b.a.printResults(results, b.good...)
		if failed != nil {
			return failed
		}
		return printed
	})
}

// found is what a count found.
type found struct {
	tasks  int
	sample []*client.TaskInfo
}

func (b *bulk) byFilter(ctx context.Context, c *client.Client, req *yardmasterv1.TaskServiceListRequest) error {
	last, err := lastTask(ctx, c)
	if err != nil {
		return err
	}
	req.ThroughTaskId = last
	f, err := b.count(ctx, c, req)
	if err != nil {
		return err
	}
	if err := b.show(f, req); err != nil || b.dryRun || f.tasks == 0 {
		return err
	}
	if !b.yes {
		sure, err := b.a.ask(ctx, fmt.Sprintf("%s %s?", capital(b.verb), plural(f.tasks, "task", "tasks")))
		if err != nil {
			return err
		}
		if !sure {
			return fmt.Errorf("%s tasks: not confirmed; nothing was changed", b.verb)
		}
	}
	req.PageToken = ""
	return b.walk(ctx, c, req, f.tasks)
}

// lastTask returns the highest id assigned so far. It is asked for before the first page of the walk, because a page token
// goes with one filter, through_task_id included.
func lastTask(ctx context.Context, c *client.Client) (uint64, error) {
	resp, err := c.Tasks().List(ctx, &yardmasterv1.TaskServiceListRequest{PageSize: 1})
	if err != nil {
		return 0, client.AsError("list tasks", err)
	}
	return resp.GetLastTaskId(), nil
}

// count counts what matches now.
func (b *bulk) count(ctx context.Context, c *client.Client, req *yardmasterv1.TaskServiceListRequest) (found, error) {
	var f found
	if req.GetThroughTaskId() == 0 {
		return f, nil // there has never been a task, and 0 would mean no bound
	}
	p := b.a.newProgress("counted")
	p.quiet = bulkQuietUntil
	defer p.end()
	for page, err := range pages(ctx, c, req) {
		if err != nil {
			return f, err
		}
		f.tasks += len(page.GetTasks())
		if room := bulkSampleMax - len(f.sample); room > 0 {
			f.sample = append(f.sample, page.GetTasks()[:min(room, len(page.GetTasks()))]...)
		}
		p.add(len(page.GetTasks()))
	}
	return f, nil
}

// show tells what matches: a dry run on stdout, as its result, else on stderr.
func (b *bulk) show(f found, req *yardmasterv1.TaskServiceListRequest) error {
	to := b.a.stderr
	if b.dryRun && !b.a.forScripts() {
		to = b.a.stdout
	}
	fmt.Fprintf(to, "%s: %s\n", plural(f.tasks, "task matches", "tasks match"), filterText(req))
	if len(f.sample) == 0 {
		return nil
	}
	t := newTable(to, 0, "ID", "KIND", "QUEUE", "STATE", "PRIORITY", "ATTEMPTS", "AGE", "WORKER", "NOTE")
	for _, task := range f.sample {
		b.a.taskRow(t, task)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if more := f.tasks - len(f.sample); more > 0 {
		fmt.Fprintf(to, "and %s more\n", number(more))
	}
	return nil
}

// walk goes through what matches, page by page, and tells what came of it.
func (b *bulk) walk(ctx context.Context, c *client.Client, req *yardmasterv1.TaskServiceListRequest, expected int) error {
	t := tally{good: append(slices.Clone(b.good), b.goodFound...), counts: map[yardmasterv1.TaskResult_Code]int{}}
	p := b.a.newProgress(b.past)
	p.of = expected
	var failed error
	for page, err := range pages(ctx, c, req) {
		if failed = err; err != nil {
			break
		}
		if len(page.GetTasks()) == 0 {
			continue
		}
		ids := make([]uint64, len(page.GetTasks()))
		for i, task := range page.GetTasks() {
			ids[i] = task.GetId()
		}
		results, err := b.do(ctx, c, ids)
		if err != nil {
			failed = err
			break
		}
		t.add(results)
		if b.a.forScripts() {
			if err := printAll(b.a, results); err != nil {
				return err
			}
		}
		p.add(len(results))
	}
	p.end()
	if err := b.a.printTally(&t); err != nil {
		return err
	}
	switch {
	case failed != nil:
		return failed
	case t.failed > 0:
		return &exitError{exitFailed, fmt.Errorf("%s tasks: %s: %s", b.verb,
			plural(t.failed, "task failed", "tasks failed"), t.failedText())}
	}
	return nil
}

// tally counts results by code.
type tally struct {
	good      []yardmasterv1.TaskResult_Code
	counts    map[yardmasterv1.TaskResult_Code]int
	failed    int
	failedIDs []uint64 // the first of them
}

func (t *tally) add(results []*yardmasterv1.TaskResult) {
	for _, r := range results {
		t.counts[r.GetCode()]++
		if slices.Contains(t.good, r.GetCode()) {
			continue
		}
		if t.failed++; len(t.failedIDs) < bulkFailedMax {
			t.failedIDs = append(t.failedIDs, r.GetTaskId())
		}
	}
}

func (t *tally) failedText() string {
	text := someIDs(t.failedIDs)
	if more := t.failed - len(t.failedIDs); more > 0 {
		text += fmt.Sprintf(" and %s more", number(more))
	}
	return text
}

// printTally prints how many tasks had each result. For scripts each result has been printed already.
func (a *app) printTally(t *tally) error {
	if a.forScripts() || len(t.counts) == 0 {
		return nil
	}
	out := newTable(a.stdout, 0, "RESULT", "TASKS")
	for _, code := range slices.Sorted(maps.Keys(t.counts)) {
		out.row(resultWords[code], number(t.counts[code]))
	}
	return out.flush()
}
