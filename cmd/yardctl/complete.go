package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/client"
	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

const (
	completeTimeout = time.Second // a shell that hangs on a key is worse than one that completes nothing
	completeMax     = 1_000       // names offered
)

// completer offers words to the shell.
type completer = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// completeFlag sets how the shell completes a flag's value.
func completeFlag(cmd *cobra.Command, flag string, words completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, words); err != nil {
		panic(err) // the flag doesn't exist, or has a completion already: our own bug
	}
}

// completeQueues offers the names of queues.
func (a *app) completeQueues(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.completeNames(cmd, begun, func(ctx context.Context, c *client.Client) (names []string, err error) {
		resp, err := c.Queues().List(ctx, &yardmasterv1.QueueServiceListRequest{})
		for _, q := range resp.GetQueues() {
			names = append(names, q.GetName())
		}
		return names, err
	})
}

// completeWorkers offers the names of workers: those of the first page.
func (a *app) completeWorkers(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.completeNames(cmd, begun, func(ctx context.Context, c *client.Client) (names []string, err error) {
		resp, err := c.Operator().ListWorkers(ctx, &yardmasterv1.ListWorkersRequest{PageSize: completeMax})
		for _, w := range resp.GetWorkers() {
			names = append(names, w.GetName())
		}
		return names, err
	})
}

// completeContexts offers the names of contexts.
func completeContexts(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	file, _, err := readContexts()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return withPrefix(file.names(), begun), cobra.ShellCompDirectiveNoFileComp
}

// once completes the first argument only.
func once(words completer) completer {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return words(cmd, args, begun)
	}
}

// completeNames asks the coordinator, briefly. Without an answer there is nothing to offer, and nothing is said: the user
// is typing.
func (a *app) completeNames(cmd *cobra.Command, begun string,
	ask func(context.Context, *client.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	c, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := a.withTimeout(parent, completeTimeout)
	defer cancel()
	names, err := ask(ctx, c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return withPrefix(names, begun), cobra.ShellCompDirectiveNoFileComp
}

// withPrefix keeps the words that begin so, in order, each once.
func withPrefix(words []string, begun string) []string {
	var fit []string
	for _, word := range words {
		if strings.HasPrefix(word, begun) && (len(fit) == 0 || fit[len(fit)-1] != word) {
			fit = append(fit, word)
		}
		if len(fit) == completeMax {
			break
		}
	}
	return fit
}
