package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// listPageMax is the largest page that a coordinator gives, and the most ids that one Cancel, Retry or Delete takes.
const listPageMax = 1_000

// taskFilter are the flags that select tasks; all conditions must hold.
type taskFilter struct {
	queue, kind  string
	states       []string
	labels       map[string]string
	since, until string
}

// filterFlags are the names of a taskFilter's flags.
var filterFlags = []string{"queue", "kind", "state", "label", "since", "until"}

func (f *taskFilter) register(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.queue, "queue", "", "only of the queue of this `name`")
	flags.StringVar(&f.kind, "kind", "", "only of this `kind`")
	flags.StringSliceVar(&f.states, "state", nil, "only in this `state`; repeatable, or a comma list")
	flags.StringToStringVar(&f.labels, "label", nil, "only those with this label `k=v`; repeatable: they must have all")
	flags.StringVar(&f.since, "since", "", "only those submitted at this `time` or later: RFC 3339, or a duration ago as 2h")
	flags.StringVar(&f.until, "until", "", "only those submitted before this `time`")
	flags.Lookup("label").DefValue = "" // not "[]"
	completeFlag(cmd, "queue", a.completeQueues)
	completeFlag(cmd, "state", cobra.FixedCompletions(stateNames(), cobra.ShellCompDirectiveNoFileComp))
}

// given reports whether any condition is set.
func (f *taskFilter) given(flags *pflag.FlagSet) bool {
	return slices.ContainsFunc(filterFlags, flags.Changed)
}

// request makes a request for the first page. Without --state it asks for the states in among; with it, all named must be
// of those (none: any state).
func (f *taskFilter) request(a *app, among []client.TaskState, verb string) (*yardmasterv1.TaskServiceListRequest, error) {
	req := &yardmasterv1.TaskServiceListRequest{Queue: f.queue, Kind: f.kind, Labels: f.labels, States: among, PageSize: listPageMax}
	if len(f.states) > 0 {
		req.States = nil
	}
	for _, name := range f.states {
		state, ok := stateNamed(name)
		if !ok {
			return nil, usagef("--state is %q; it must be one of %s", name, strings.Join(stateNames(), ", "))
		}
		if len(among) > 0 && !slices.Contains(among, state) {
			return nil, usagef("--state is %q, and no task in that state can be %s; it must be one of %s", name, verb, statesText(among))
		}
		req.States = append(req.States, state)
	}
	var err error
	if req.SubmittedFrom, err = pastTime("since", f.since, a.now()); err != nil {
		return nil, err
	}
	if req.SubmittedBefore, err = pastTime("until", f.until, a.now()); err != nil {
		return nil, err
	}
	if from, before := req.GetSubmittedFrom(), req.GetSubmittedBefore(); from != nil && before != nil && !from.AsTime().Before(before.AsTime()) {
		return nil, usagef("--since %s is not before --until %s: no task can match", f.since, f.until)
	}
	return req, nil
}

// pastTime reads a flag that names a time: RFC 3339, or a duration ago. "" is no time.
func pastTime(flag, text string, now time.Time) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return timestamppb.New(t), nil
	}
	d, err := parseDuration(text)
	if err != nil || d < 0 {
		return nil, usagef("--%s: %q is neither a time, as 2030-01-31T15:04:05Z, nor a duration ago, as 90s, 2h or 7d", flag, text)
	}
	return timestamppb.New(now.Add(-d)), nil
}

// pages asks for one page after the other; an error is the last thing it yields. A page may be empty and not the last. The
// size of the next page is what req.PageSize says by then.
func pages(ctx context.Context, c *client.Client, req *yardmasterv1.TaskServiceListRequest) iter.Seq2[*yardmasterv1.TaskServiceListResponse, error] {
	return func(yield func(*yardmasterv1.TaskServiceListResponse, error) bool) {
		for {
			resp, err := c.Tasks().List(ctx, req)
			if err != nil {
				yield(nil, client.AsError("list tasks", err))
				return
			}
			req.PageToken = resp.GetNextPageToken()
			if !yield(resp, nil) || req.GetPageToken() == "" {
				return
			}
		}
	}
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

func statesText(states []client.TaskState) string {
	var words []string
	for _, state := range states {
		words = append(words, client.StateWord(state))
	}
	return strings.Join(words, ", ")
}

// filterText writes a request's conditions as the flags that ask for them, for people.
func filterText(req *yardmasterv1.TaskServiceListRequest) string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, fmt.Sprintf("%s %s", name, value))
		}
	}
	at := func(t *timestamppb.Timestamp) string {
		if t == nil {
			return ""
		}
		return t.AsTime().UTC().Format(time.RFC3339)
	}
	add("queue", req.GetQueue())
	add("kind", req.GetKind())
	add("state", strings.ReplaceAll(statesText(req.GetStates()), ", ", "|"))
	add("label", pairs(req.GetLabels()))
	add("submitted since", at(req.GetSubmittedFrom()))
	add("submitted until", at(req.GetSubmittedBefore()))
	return strings.Join(parts, ", ")
}
