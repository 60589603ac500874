package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const submitLong = `Submit stores a task, or many, and prints their ids, one a line, once they are durable.

The payload is given as it is, as @FILE (the file's contents), or as - (stdin); @@ stands for a leading @. Durations are
written as 90s, 15m, 12h, 7d; times as 2030-01-31T15:04:05Z or as a duration from now.

With --batch each line of FILE (or of stdin, as -) is a TaskSpec in the proto's JSON form; its payload is base64:

  {"kind": "hash", "payload": "L2V0Yy9ob3N0bmFtZQ==", "labels": {"run": "42"}}

With --wait it waits for the tasks' ends and prints those instead, without a time limit unless --timeout is given. Exit
codes then: 0 all succeeded, 3 a task failed, 4 a task was cancelled or expired, 5 --timeout passed first.

A submit that is cut off is repeated, and never stores a task twice. Only if yardctl gives up midway is it open whether
the tasks are stored; it says so, and with --key the command can be repeated without harm.`

const submitExample = `  yardctl submit hash --payload @/etc/hostname
  yardctl submit mail --queue mail --priority 10 --label user=7 --payload '{"to": "ada@example.com"}'
  yardctl submit report --delay 15m --deadline 2h --max-attempts 3 --key report-2030-01-31
  echo hello | yardctl submit hash --payload - --wait --result
  yardctl submit noop --count 10000
  yardctl submit --batch tasks.jsonl --wait
  yardctl submit --batch - < tasks.jsonl | yardctl await -`

// submitFlags are the flags of task submit.
type submitFlags struct {
	taskFlags
	count  int
	batch  string
	wait   bool
	result bool
}

func newTaskSubmit(a *app) *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:     "submit KIND | --batch FILE",
		Short:   "Submit tasks and print their ids",
		Long:    submitLong,
		Example: submitExample,
		Args:    argsUpTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return err
			}
			return a.submit(cmd, &f, args)
		},
	}
	f.register(cmd.Flags())
	flags := cmd.Flags()
	flags.IntVar(&f.count, "count", 1, "submit the task so many times")
	flags.StringVar(&f.batch, "batch", "", "submit the tasks in `FILE`, JSON lines of TaskSpec; - is stdin")
	flags.BoolVar(&f.wait, "wait", false, "wait for the tasks' ends and print those")
	flags.BoolVar(&f.result, "result", false, "with --wait, for one task: print its result as it is")
	return cmd
}

// check finds flags that don't go together.
func (f *submitFlags) check(cmd *cobra.Command, args []string) error {
	switch given := f.given(cmd.Flags()); {
	case f.batch == "" && len(args) == 0:
		return usagef("name the task's KIND, or give --batch FILE")
	case f.batch != "" && len(args) > 0:
		return usagef("KIND and --batch exclude each other: a batch names the kind of each task")
	case f.batch != "" && (given != "" || cmd.Flags().Changed("count")):
		return usagef("--%s and --batch exclude each other: a batch has the options of each task", cmp.Or(given, "count"))
	case f.count < 1:
		return usagef("--count is %d; it must be at least 1", f.count)
	case f.count > 1 && f.key != "":
		return usagef("--key and --count exclude each other: the same key is the same task")
	case f.result && !f.wait:
		return usagef("--result needs --wait: there is no result before the end")
	case f.result && (f.count > 1 || f.batch != ""):
		return usagef("--result is for one task; -o json prints the results of many")
	}
	return nil
}

// submit sends one task, or a stream of them, and prints ids or waits.
func (a *app) submit(cmd *cobra.Command, f *submitFlags, args []string) error {
	specs, closeSpecs, err := a.specs(f, args)
	if err != nil {
		return err
	}
	defer closeSpecs()
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	bound := a.waiting
	if f.batch == "" && f.count == 1 && !f.wait {
		bound = a.bounded
	}
	ctx, cancel := bound(cmd.Context())
	defer cancel()

	s := submitted{a: a, wait: f.wait, progress: a.newProgress("submitted")}
	err = c.SubmitSpecs(ctx, specs, s.take)
	s.progress.end()
	if s.existing > 0 {
		fmt.Fprintf(a.stderr, "yardctl: %s there already, with the same key\n", plural(s.existing, "task was", "tasks were"))
	}
	if err != nil {
		if f.wait && len(s.ids) > 0 {
			fmt.Fprintf(a.stderr, "yardctl: not waiting for what is stored: %s\n", someIDs(s.ids))
		}
		return err
	}
	if !f.wait {
		return nil
	}
	return a.await(ctx, c, s.ids, f.result)
}

// submitted takes the coordinator's answers to a stream of tasks.
type submitted struct {
	a        *app
	wait     bool
	ids      []uint64 // if they are to be waited for
	existing int
	progress *progress
}

func (s *submitted) take(_ int, resp *yardmasterv1.SubmitResponse) error {
	s.existing += len(resp.GetExisting())
	s.progress.add(len(resp.GetTaskIds()))
	switch {
	case s.wait:
		s.ids = append(s.ids, resp.GetTaskIds()...)
		return nil
	case s.a.forScripts():
		return s.a.print(resp)
	}
	var lines strings.Builder
	for _, id := range resp.GetTaskIds() {
		fmt.Fprintln(&lines, id)
	}
	_, err := fmt.Fprint(s.a.stdout, lines.String())
	return err
}

// someIDs names ids, but not too many.
func someIDs(ids []uint64) string {
	const most = 20
	var words []string
	for _, id := range ids[:min(len(ids), most)] {
		words = append(words, fmt.Sprint(id))
	}
	text := strings.Join(words, ", ")
	if more := len(ids) - most; more > 0 {
		text += fmt.Sprintf(" and %s more", number(more))
	}
	return text
}

// specs makes the tasks to submit from the flags.
func (a *app) specs(f *submitFlags, args []string) (specs specSeq, done func(), err error) {
	if f.batch != "" {
		return a.batch(f.batch)
	}
	task, err := f.task(a, args[0])
	if err != nil {
		return nil, nil, err
	}
	spec := task.Spec()
	return func(yield func(*yardmasterv1.TaskSpec, error) bool) {
		for range f.count {
			if !yield(spec, nil) {
				return
			}
		}
	}, func() {}, nil
}

// await waits for tasks and prints how they ended; see task_await.go.
func (a *app) await(ctx context.Context, c *client.Client, ids []uint64, raw bool) error {
	w := newWaiter(a, ids, raw)
	err := c.AwaitAll(ctx, ids, w.take)
	return w.end(err)
}
