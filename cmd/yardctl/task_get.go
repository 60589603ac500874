package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
)

func newTaskGet(a *app) *cobra.Command {
	payload := false
	cmd := &cobra.Command{
		Use:   "get ID...",
		Short: "Show tasks with all that is known of them",
		Example: `  yardctl task get 42
  yardctl task get 42 --payload > payload.bin
  yardctl task get 42 -o json`,
		Args: argsFrom(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			if payload && len(ids) != 1 && !a.forScripts() {
				return usagef("--payload prints the payload of one task; -o json prints those of many")
			}
			return a.withClient(cmd, func(ctx context.Context, c *client.Client) error {
				return a.getTasks(ctx, c, ids, payload)
			})
		},
	}
	cmd.Flags().BoolVar(&payload, "payload", false, "print the payload as it is; with -o json or yaml, include it")
	return cmd
}

func (a *app) getTasks(ctx context.Context, c *client.Client, ids []uint64, payload bool) error {
	get := c.Get
	if payload {
		get = c.GetWithPayload
	}
	for i, id := range ids {
		task, err := get(ctx, id)
		switch {
		case err != nil:
			return err
		case a.forScripts():
			err = a.print(task)
		case payload:
			if task.GetPayloadBytes() > 0 && len(task.GetPayload()) == 0 {
				return fmt.Errorf("get task %d: its payload (%s) is no longer held, since it has ended", id, size(uint64(task.GetPayloadBytes())))
			}
			_, err = a.stdout.Write(task.GetPayload())
		default:
			if i > 0 {
				fmt.Fprintln(a.stdout)
			}
			err = a.taskSheet(task)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *app) taskSheet(t *client.TaskInfo) error {
	s := newSheet(a.stdout)
	s.line("Task", fmt.Sprint(t.GetId()))
	s.line("Kind", t.GetKind())
	s.line("Queue", t.GetQueue())
	s.line("State", stateText(t))
	if t.GetSuspect() {
		s.line("Suspect", "its worker was lost twice while running it: it runs beside no other suspect")
	}
	if p := t.GetProgress(); p != nil {
		s.line("Progress", fmt.Sprintf("%s (%s)", progressText(p), a.ago(p.GetReportTime())))
	}
	s.line("Submitted", a.when(t.GetSubmitTime()))
	s.line("Due", a.when(t.GetDueTime()))
	s.line("Start by", a.when(t.GetStartBy()))
	s.line("Deadline", a.when(t.GetDeadline()))
	s.line("Priority", fmt.Sprint(t.GetPriority()))
	s.line("Weight", fmt.Sprint(t.GetWeight()))
	s.line("Attempts", attemptsText(t))
	if t.GetWorkerLosses() > 0 {
		s.line("Worker losses", fmt.Sprintf("%d of %d", t.GetWorkerLosses(), t.GetRetry().GetMaxWorkerLosses()))
	}
	if t.GetGeneration() > 1 {
		s.line("Generation", fmt.Sprint(t.GetGeneration()))
	}
	if timeout := t.GetAttemptTimeout(); timeout != nil {
		text := span(timeout.AsDuration())
		if timeout.AsDuration() == 0 {
			text = "none"
		}
		s.line("Attempt timeout", text)
	}
	s.line("Labels", pairs(t.GetLabels()))
	s.line("Requires", pairs(t.GetRequire()))
	s.line("Payload", size(uint64(t.GetPayloadBytes())))
	if l := t.GetLease(); l != nil {
		s.line("Worker", fmt.Sprintf("%s (session %d)", l.GetWorker(), l.GetSessionId()))
		s.line("Token", fmt.Sprint(l.GetToken()))
		s.line("Granted", a.when(l.GetGrantTime()))
	}
	if f := t.GetLastFailure(); f != nil && t.GetOutcome() == nil {
		failureLines(s, "Last failure", f)
	}
	if o := t.GetOutcome(); o != nil {
		s.line("Finished", a.when(o.GetFinishTime()))
		s.line("By worker", o.GetWorker())
		if o.GetState() == client.Succeeded {
			s.line("Result", resultText(o.GetResult()))
		} else {
			s.line("Cause", client.CauseWord(o.GetCause()))
		}
		if o.GetFailure() != nil {
			failureLines(s, "Failure", o.GetFailure())
		}
		s.line("Retention", retentionText(t))
	}
	return s.flush()
}

func stateText(t *client.TaskInfo) string {
	text := client.StateWord(t.GetState())
	if t.GetCancelRequested() {
		text += ", cancel requested"
	}
	return text
}

func attemptsText(t *client.TaskInfo) string {
	if most := t.GetRetry().GetMaxAttempts(); most > 0 {
		return fmt.Sprintf("%d of %d", t.GetAttempts(), most)
	}
	return fmt.Sprint(t.GetAttempts())
}

func retentionText(t *client.TaskInfo) string {
	keep := t.GetRetention()
	if t.GetState() == client.Dead {
		keep = t.GetDeadRetention()
	}
	if keep == nil {
		return ""
	}
	return span(keep.AsDuration().Truncate(time.Second))
}

func resultText(result []byte) string {
	if len(result) == 0 {
		return "empty"
	}
	return fmt.Sprintf("%s: %s", size(uint64(len(result))), glance(result, 100))
}

func failureLines(s *sheet, name string, f *client.Failure) {
	s.line(name, join(failureText(f.GetCause(), f), exitText(f)))
	s.line("Detail", f.GetDetail())
}

// exitText says how a process ended, if it was one.
func exitText(f *client.Failure) string {
	switch {
	case f.GetSignal() != "":
		return "signal " + f.GetSignal()
	case f.GetExitCode() != 0:
		return fmt.Sprintf("exit code %d", f.GetExitCode())
	}
	return ""
}

// endText says why an attempt failed, without its message.
func endText(f *client.Failure) string { return join(client.CauseWord(f.GetCause()), exitText(f)) }
