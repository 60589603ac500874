package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/yardmaster/yardmaster/client"
)

const awaitLong = `Await waits until tasks have ended and prints how, each as it ends. The ids come as arguments, or with - from stdin. It
waits without a time limit unless --timeout is given, over restarts of the coordinator too.

With --result the one task's result is printed as it is, and nothing else.

Exit codes: 0 all succeeded, 1 an outcome is not known any more, 3 a task failed, 4 a task was cancelled or expired, 5
--timeout passed first.`

const awaitExample = `  yardctl await 42
  yardctl await 42 --result > result.bin
  yardctl await 42 43 44 --timeout 5m -o json
  yardctl submit --batch tasks.jsonl | yardctl await -`

func newTaskAwait(a *app) *cobra.Command {
	raw := false
	cmd := &cobra.Command{
		Use:     "await ID... | -",
		Short:   "Wait for tasks' ends and print them",
		Long:    awaitLong,
		Example: awaitExample,
		Args:    argsFrom(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := a.idsFrom(args)
			if err != nil {
				return err
			}
			if raw && len(ids) != 1 {
				return usagef("--result is for one task; -o json prints the results of many")
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			ctx, cancel := a.waiting(cmd.Context())
			defer cancel()
			return a.await(ctx, c, ids, raw)
		},
	}
	cmd.Flags().BoolVar(&raw, "result", false, "print the task's result as it is")
	return cmd
}

// waiter prints outcomes as they come and keeps the exit code.
type waiter struct {
	a     *app
	raw   bool
	left  map[uint64]struct{}
	ids   []uint64
	table *table
	said  error // --result of a task that has none

	dead, ended, lost int
}

func newWaiter(a *app, ids []uint64, raw bool) *waiter {
	w := &waiter{a: a, raw: raw, ids: ids, left: make(map[uint64]struct{}, len(ids))}
	for _, id := range ids {
		w.left[id] = struct{}{}
	}
	return w
}

func (w *waiter) take(id uint64, out *client.Outcome) error {
	delete(w.left, id)
	switch {
	case out.Lost != nil:
		w.lost++
	case out.State == client.Succeeded:
	case out.State == client.Dead:
		w.dead++
	default:
		w.ended++
	}
	switch {
	case w.raw:
		return w.result(out)
	case w.a.forScripts():
		return w.a.print(out.Proto())
	}
	return w.row(out)
}

// result prints a result as it is. Why there is none is said at the end.
func (w *waiter) result(out *client.Outcome) error {
	switch {
	case out.Lost != nil:
		w.said = fmt.Errorf("await task %d: %w", out.ID, out.Lost)
	case out.State != client.Succeeded:
		w.said = out.Err()
	default:
		_, err := w.a.stdout.Write(out.Result)
		return err
	}
	return nil
}

// row prints an outcome at once: who waits wants to see each as it comes.
func (w *waiter) row(out *client.Outcome) error {
	if w.table == nil {
		w.table = newTable(w.a.stdout, 12, "ID", "STATE", "ATTEMPTS", "WORKER", "AGO", "RESULT")
	}
	state, finished, result := client.StateWord(out.State), "", glance(out.Result, 60)
	switch {
	case out.Lost != nil:
		state, result = "unknown", out.Lost.Error()
	case out.State != client.Succeeded:
		result = failureText(out.Cause, out.Failure)
	}
	if !out.FinishTime.IsZero() {
		finished = w.a.age(timestamppb.New(out.FinishTime))
	}
	w.table.row(fmt.Sprint(out.ID), state, fmt.Sprint(out.Attempts), out.Worker, finished, result)
	return w.table.flush()
}

// failureText is what a table says of a failure.
func failureText(cause client.Cause, f *client.Failure) string {
	text := client.CauseWord(cause)
	if m := glance([]byte(f.GetMessage()), 100); m != "" {
		text += ": " + m
	}
	return text
}

// end turns what was waited for into the run's end.
func (w *waiter) end(err error) error {
	switch {
	case w.a.timeoutGiven && errors.Is(err, context.DeadlineExceeded):
		var left []uint64
		for _, id := range w.ids {
			if _, ok := w.left[id]; ok {
				left = append(left, id)
			}
		}
		return &exitError{exitTimeout, fmt.Errorf("await: %s after %v: %s",
			plural(len(left), "task hasn't ended", "tasks haven't ended"), w.a.flags.timeout, someIDs(left))}
	case err != nil:
		return err
	case w.lost > 0:
		return &exitError{exitFailed, w.said}
	case w.dead > 0:
		return &exitError{exitTaskDead, w.said}
	case w.ended > 0:
		return &exitError{exitTaskEnded, w.said}
	}
	return nil
}
