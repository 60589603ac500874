package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newContextUse(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "use NAME",
		Short: "Choose the cluster to talk to from now on",
		Long: `Use makes a context the current one: the one that counts when neither --addr, --context, YARD_ADDR nor YARD_CONTEXT is given.
` + contextsWhere,
		Example:           `  yardctl context use prod`,
		Args:              argsExactly(1),
		ValidArgsFunction: once(completeContexts),
		RunE: func(_ *cobra.Command, args []string) error {
			name := args[0]
			err := changeContexts(func(file *contexts, path string) error {
				if _, ok := file.Contexts[name]; !ok {
					return noContext(path, name, *file)
				}
				file.Current = name
				return nil
			})
			if err == nil {
				fmt.Fprintf(a.stderr, "yardctl: the current context is %s\n", name)
			}
			return err
		},
	}
}
