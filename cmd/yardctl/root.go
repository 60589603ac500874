package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/internal/version"
)

const rootLong = `yardctl submits tasks to a Yardmaster cluster, waits for them, and shows and changes what the cluster does.

The coordinator's address comes from --addr, --context, the environment (YARD_ADDR, YARD_CONTEXT), the current context
of the contexts file, or is 127.0.0.1:7420; the first of these that is set wins. The contexts file is
yardmaster/contexts.yaml in your configuration directory (on Linux ~/.config); yardctl context set, use and delete write it:

  current: prod
  contexts:
    prod:
      addresses: [10.0.0.1:7420, 10.0.0.2:7420, 10.0.0.3:7420]
    local:
      addresses: [127.0.0.1:7420]

Exit codes: 0 done, 1 failed, 2 bad usage or configuration; with --wait, await and watch also 3 a task failed, 4 a task
was cancelled or expired, 5 --timeout passed first.`

const rootExample = `  yardctl submit hash --payload @/etc/hostname --wait
  yardctl task list --state dead
  yardctl task retry --queue mail --since 2h
  yardctl queue pause mail
  yardctl top`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "yardctl",
		Short:         "Command line of the Yardmaster task coordinator",
		Long:          rootLong,
		Example:       rootExample,
		Version:       version.String(),
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          nounRun,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(outputs, a.flags.output) {
				return usagef("--output is %q; it must be one of %s", a.flags.output, strings.Join(outputs, ", "))
			}
			if a.flags.timeout < 0 {
				return usagef("--timeout is %v; it must not be negative (0: no limit)", a.flags.timeout)
			}
			a.timeoutGiven = cmd.Flags().Changed("timeout")
			a.running = true
			return nil
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetVersionTemplate("yardctl {{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVar(&a.flags.addr, "addr", "", "coordinator's `host:port`; several of one cluster separated by commas")
	flags.StringVar(&a.flags.context, "context", "", "`name` of a context in the contexts file")
	flags.StringVarP(&a.flags.output, "output", "o", outputTable, "`form` of the output: table, json or yaml")
	flags.DurationVar(&a.flags.timeout, "timeout", timeoutDefault,
		"give up after this long, 0: never; verbs that wait for tasks wait without end unless it is given")
	completeFlag(root, "context", completeContexts)
	completeFlag(root, "output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
	short := []*cobra.Command{newTaskSubmit(a), newTaskAwait(a)}
	for _, cmd := range short {
		cmd.GroupID = "short"
		cmd.Short += " (short for task " + cmd.Name() + ")"
	}
	root.AddGroup(&cobra.Group{ID: "noun", Title: "Nouns:"}, &cobra.Group{ID: "short", Title: "Short forms:"})
	root.AddCommand(newTask(a), newQueue(a), newWorker(a), newCluster(a), newContext(a), newTop(a), newVersion(a))
	root.AddCommand(short...)
	root.InitDefaultCompletionCmd() // after SetOut, which it keeps
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Args, completion.RunE = cobra.ArbitraryArgs, nounRun // an unknown shell is an error, no call for help
	}
	return root
}

// newNoun makes the command that the verbs of a noun stand under.
func newNoun(name, short string, verbs ...*cobra.Command) *cobra.Command {
	noun := &cobra.Command{Use: name, Short: short, GroupID: "noun", Args: cobra.ArbitraryArgs, RunE: nounRun}
	noun.AddCommand(verbs...)
	return noun
}

// nounRun answers a command without a verb with help, and one with an unknown verb with an error: cobra would print help
// and call it a success.
func nounRun(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	text := fmt.Sprintf("%s has no %q", cmd.CommandPath(), args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return usagef("%s", text)
}
