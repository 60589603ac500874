package main

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newTaskTimeline(a *app) *cobra.Command {
	detail := false
	cmd := &cobra.Command{
		Use:   "timeline ID",
		Short: "Tell what happened to a task, attempt by attempt",
		Long: `Timeline prints a task's attempts, oldest first: the last 10 that were charged, and the one that ended it. HELD is how long
a worker had the lease; RAN is how long the handler ran, as the worker measured it. An attempt that was interrupted, or
whose lease went back for another reason, was not charged and isn't listed.

--detail prints below the table what failed attempts left: the tail of stderr, or the stack of a panic.`,
		Example: `  yardctl task timeline 42
  yardctl task timeline 42 --detail
  yardctl task timeline 42 -o json | jq '.attempts[].failure.cause'`,
		Args: argsExactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			return a.withClient(cmd, func(ctx context.Context, c *client.Client) error {
				resp, err := c.Tasks().Timeline(ctx, &yardmasterv1.TimelineRequest{TaskId: ids[0]})
				switch {
				case err != nil:
					return client.AsError(fmt.Sprintf("get the timeline of task %d", ids[0]), err)
				case a.forScripts():
					return a.print(resp)
				}
				return a.timeline(resp, detail)
			})
		},
	}
	cmd.Flags().BoolVar(&detail, "detail", false, "print what failed attempts left on stderr, and panics' stacks")
	return cmd
}

func (a *app) timeline(r *yardmasterv1.TimelineResponse, detail bool) error {
	task := r.GetTask()
	fmt.Fprintf(a.stdout, "Task %d (%s in queue %s) is %s; submitted %s.\n",
		task.GetId(), task.GetKind(), task.GetQueue(), stateText(task), a.when(task.GetSubmitTime()))
	if n := r.GetEarlierAttempts(); n > 0 {
		fmt.Fprintf(a.stdout, "%s no longer kept.\n", capital(plural(int(n), "earlier attempt is", "earlier attempts are")))
	}
	if len(r.GetAttempts()) == 0 && task.GetLease() == nil {
		_, err := fmt.Fprintln(a.stdout, "No attempt has ended.")
		return err
	}
	fmt.Fprintln(a.stdout)
	t := newTable(a.stdout, 0, "ATTEMPT", "WORKER", "GRANTED", "HELD", "RAN", "ENDED", "ERROR")
	for _, at := range r.GetAttempts() {
		ended := "succeeded"
		if !at.GetSucceeded() {
			ended = client.CauseWord(at.GetFailure().GetCause())
		}
		t.row(attemptName(at), at.GetWorker(), a.ago(at.GetGrantTime()), heldText(at), ranText(at), ended,
			glance([]byte(at.GetFailure().GetMessage()), 60))
	}
	if l := task.GetLease(); l != nil {
		t.row(leaseName(task), l.GetWorker(), a.ago(l.GetGrantTime()), a.age(l.GetGrantTime()), "", stateText(task), a.taskNote(task))
	}
	if err := t.flush(); err != nil || !detail {
		return err
	}
	for _, at := range r.GetAttempts() {
		a.attemptDetail(at)
	}
	return nil
}

// attemptName numbers an attempt: "3", or "3 (generation 2)".
func attemptName(at *yardmasterv1.Attempt) string {
	return numbered(at.GetNumber(), at.GetGeneration())
}

// leaseName numbers the attempt that a task's present lease is for; task.attempts counts ended ones.
func leaseName(task *client.TaskInfo) string {
	return numbered(task.GetAttempts()+1, task.GetGeneration())
}

func numbered(number, generation uint32) string {
	if generation > 1 {
		return fmt.Sprintf("%d (generation %d)", number, generation)
	}
	return fmt.Sprint(number)
}

func heldText(at *yardmasterv1.Attempt) string {
	if at.GetGrantTime() == nil || at.GetEndTime() == nil {
		return ""
	}
	return span(at.GetEndTime().AsTime().Sub(at.GetGrantTime().AsTime()))
}

func ranText(at *yardmasterv1.Attempt) string {
	if at.GetRunTime() == nil {
		return ""
	}
	return span(at.GetRunTime().AsDuration())
}

// attemptDetail prints what a failed attempt left, indented, with nothing in it that a terminal would obey.
func (a *app) attemptDetail(at *yardmasterv1.Attempt) {
	f := at.GetFailure()
	left := strings.TrimRight(f.GetDetail(), "\n")
	if strings.Contains(f.GetMessage(), "\n") { // the table shows its first line only
		left = strings.TrimRight(f.GetMessage(), "\n") + "\n" + left
	}
	if left == "" {
		return
	}
	fmt.Fprintf(a.stdout, "\nAttempt %s at %s, token %d: %s\n", attemptName(at), at.GetWorker(), at.GetToken(), endText(f))
	for line := range strings.SplitSeq(strings.TrimRight(left, "\n"), "\n") {
		fmt.Fprintln(a.stdout, "    "+printable(line))
	}
}

// printable replaces what a terminal would obey: control characters, but for tabs, and bytes that are no UTF-8.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(line, string(unicode.ReplacementChar)))
}
