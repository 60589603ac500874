package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// queueFlags are the settings of a queue as flags. "" leaves a setting as it is.
type queueFlags struct {
	weight                   uint32
	depth, maxLeases         string
	retention, deadRetention string
}

func newQueueConfigure(a *app) *cobra.Command {
	var f queueFlags
	cmd := &cobra.Command{
		Use:   "configure NAME...",
		Short: "Change queues' settings",
		Long: `Configure changes queues' settings, those that are named; a queue that doesn't exist is made.

The weight is a queue's share of free slots against the other queues that have tasks ready: one of weight 3 gets three
slots for each one of weight 1. The depth limit counts tasks that haven't ended; a queue that holds more than a new limit
keeps them and takes no further ones. Leases above a new bound run on. Retention goes for tasks submitted from now on that
ask for none themselves.`,
		Example: `  yardctl queue configure mail --weight 3
  yardctl queue configure mail --depth 100000 --max-leases 50
  yardctl queue configure mail --retention 1h --dead-retention 30d
  yardctl queue configure mail --depth default --max-leases none --retention default`,
		Args:              argsFrom(1),
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := f.settings(cmd)
			if err != nil {
				return err
			}
			return a.eachQueue(cmd, "configure", args,
				func(ctx context.Context, queues yardmasterv1.QueueServiceClient, name string) (*yardmasterv1.Queue, error) {
					settings.Name = name
					resp, err := queues.Configure(ctx, settings)
					return resp.GetQueue(), err
				})
		},
	}
	flags := cmd.Flags()
	flags.Uint32Var(&f.weight, "weight", 0, "share of free slots against other queues: `N` from 1 to 1000")
	flags.StringVar(&f.depth, "depth", "", "the most tasks that haven't ended: `N` from 1 to 20000000, or default: the cluster's")
	flags.StringVar(&f.maxLeases, "max-leases", "", "the most leases at once: `N` from 1 to 1000000, or none: no bound")
	flags.StringVar(&f.retention, "retention", "", "how long finished tasks stay readable: a `duration` up to 365d, or default: 24h")
	flags.StringVar(&f.deadRetention, "dead-retention", "", "the same for dead letters: a `duration` up to 365d, or default: 7d")
	for flag, word := range map[string]string{"depth": "default", "max-leases": "none", "retention": "default", "dead-retention": "default"} {
		completeFlag(cmd, flag, cobra.FixedCompletions([]string{word}, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// settings makes a request of the flags, without a name.
func (f *queueFlags) settings(cmd *cobra.Command) (*yardmasterv1.ConfigureRequest, error) {
	names := []string{"weight", "depth", "max-leases", "retention", "dead-retention"}
	given := false
	for _, name := range names {
		given = given || cmd.Flags().Changed(name)
	}
	if !given {
		return nil, usagef("say what to change: --%s", strings.Join(names, ", --"))
	}
	req := &yardmasterv1.ConfigureRequest{}
	if cmd.Flags().Changed("weight") {
		req.Weight = &f.weight
	}
	var err error
	if cmd.Flags().Changed("depth") {
		if req.DepthLimit, err = countOr("depth", f.depth, "default"); err != nil {
			return nil, err
		}
	}
	if cmd.Flags().Changed("max-leases") {
		if req.MaxLeases, err = countOr("max-leases", f.maxLeases, "none"); err != nil {
			return nil, err
		}
	}
	if cmd.Flags().Changed("retention") {
		if req.Retention, req.ClearRetention, err = durationOrDefault("retention", f.retention); err != nil {
			return nil, err
		}
	}
	if cmd.Flags().Changed("dead-retention") {
		if req.DeadRetention, req.ClearDeadRetention, err = durationOrDefault("dead-retention", f.deadRetention); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// countOr reads a number from 1, or the word that stands for none of one's own: 0.
func countOr(flag, text, word string) (*uint32, error) {
	var n uint32
	if text == word {
		return &n, nil
	}
	parsed, err := strconv.ParseUint(text, 10, 32)
	if err != nil || parsed == 0 {
		return nil, usagef("--%s is %q; it must be a number from 1, or %s", flag, text, word)
	}
	n = uint32(parsed)
	return &n, nil
}

// durationOrDefault reads a duration, or "default".
func durationOrDefault(flag, text string) (d *durationpb.Duration, reset bool, err error) {
	if text == "default" {
		return nil, true, nil
	}
	parsed, err := parseDuration(text)
	if err != nil {
		return nil, false, usagef("--%s: %w, or default", flag, err)
	}
	if parsed < 0 {
		return nil, false, usagef("--%s is %s; it must be from 0 to 365d, or default", flag, text)
	}
	return durationpb.New(parsed), false, nil
}
