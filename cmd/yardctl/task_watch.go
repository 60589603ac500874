package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const watchLong = `Watch prints what happens as it happens, over restarts of the coordinator, until it is interrupted (Ctrl-C, exit code 0).

With the ID of one task it follows that task's latest state: a line for each change, until the task has ended. Exit codes
then: 0 it succeeded, 3 it failed, 4 it was cancelled or expired, 5 --timeout passed first. --latest=false prints the task's
events instead.

Without, it prints events of tasks, queues and workers in order, each once; all conditions must hold. Started and progress
events are printed only if --type names them. The coordinator keeps the last 100,000 events; who falls behind is told on
stderr how many were missed. --after-position goes on after an event seen earlier.

Types: `

// watchFlags are the flags of task watch.
type watchFlags struct {
	latest        bool
	queues, kinds []string
	types         []string
	tasks         []string
	after         uint64
}

func newTaskWatch(a *app) *cobra.Command {
	var f watchFlags
	cmd := &cobra.Command{
		Use:   "watch [ID]",
		Short: "Follow a task, or all events, as they happen",
		Long:  watchLong + strings.Join(eventTypeNames(), ", ") + ".",
		Example: `  yardctl task watch 42
  yardctl task watch 42 -o json | jq .progress.permille
  yardctl task watch --queue mail --type dead,expired
  yardctl task watch --kind report --type started,progress,succeeded
  yardctl task watch --after-position 123456 -o json`,
		Args: argsUpTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := f.request(cmd, args)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			ctx, cancel := a.waiting(cmd.Context())
			defer cancel()
			w := &watcher{a: a, c: c, req: req}
			return w.run(ctx)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.latest, "latest", false, "follow the latest state of the one task (default with an ID and no other condition)")
	flags.StringSliceVar(&f.queues, "queue", nil, "only events of the queue of this `name`; repeatable, or a comma list")
	flags.StringSliceVar(&f.kinds, "kind", nil, "only events of tasks of this `kind`; repeatable, or a comma list")
	flags.StringSliceVar(&f.types, "type", nil, "only events of this `type`; repeatable, or a comma list")
	flags.StringSliceVar(&f.tasks, "task", nil, "only events of the task with this `id`; repeatable, or a comma list")
	flags.Uint64Var(&f.after, "after-position", 0, "begin after the event of this `position` (default: with what happens from now on)")
	completeFlag(cmd, "queue", a.completeQueues)
	completeFlag(cmd, "type", cobra.FixedCompletions(eventTypeNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// request makes the request that the flags ask for.
func (f *watchFlags) request(cmd *cobra.Command, args []string) (*yardmasterv1.TaskServiceWatchRequest, error) {
	req := &yardmasterv1.TaskServiceWatchRequest{AfterPosition: f.after, Queues: f.queues, Kinds: f.kinds}
	ids, err := parseIDs(append(args, f.tasks...))
	if err != nil {
		return nil, err
	}
	req.TaskIds = ids
	for _, name := range f.types {
		typ, ok := eventTypeNamed(name)
		if !ok {
			return nil, usagef("--type is %q; it must be one of %s", name, strings.Join(eventTypeNames(), ", "))
		}
		req.Types = append(req.Types, typ)
	}
	events := ""
	for _, name := range []string{"queue", "kind", "type", "task", "after-position"} {
		if cmd.Flags().Changed(name) {
			events = name
		}
	}
	chosen := cmd.Flags().Changed("latest")
	switch {
	case f.latest && len(args) != 1:
		return nil, usagef("--latest follows one task: name its ID")
	case f.latest && events != "":
		return nil, usagef("--latest and --%s exclude each other: the latest state is no stream of events", events)
	case f.latest, !chosen && len(args) == 1 && events == "":
		req.LatestOnly = true
	}
	return req, nil
}

// eventTypeNames lists the types as --type takes them, in the contract's order.
func eventTypeNames() []string {
	var names []string
	for n := int32(1); ; n++ {
		if _, ok := yardmasterv1.Event_Type_name[n]; !ok {
			return names
		}
		names = append(names, eventTypeName(yardmasterv1.Event_Type(n)))
	}
}

// eventTypeName writes TYPE_CANCEL_REQUESTED as "cancel-requested".
func eventTypeName(t yardmasterv1.Event_Type) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(t.String(), "TYPE_"), "_", "-"))
}

func eventTypeNamed(name string) (yardmasterv1.Event_Type, bool) {
	n, ok := yardmasterv1.Event_Type_value["TYPE_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))]
	return yardmasterv1.Event_Type(n), ok && n != 0
}

// watchOp names the call in messages.
func watchOp(req *yardmasterv1.TaskServiceWatchRequest) string {
	if req.GetLatestOnly() {
		return fmt.Sprintf("watch task %d", req.GetTaskIds()[0])
	}
	return "watch events"
}
