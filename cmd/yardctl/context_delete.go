package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newContextDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Forget a named cluster",
		Long: `Delete removes a context. If it was the current one, none is: yardctl then talks to 127.0.0.1:7420 unless it is told
otherwise. Nothing happens to the cluster. ` + contextsWhere,
		Example:           `  yardctl context delete staging`,
		Args:              argsExactly(1),
		ValidArgsFunction: once(completeContexts),
		RunE: func(_ *cobra.Command, args []string) error {
			name := args[0]
			return changeContexts(func(file *contexts, path string) error {
				if _, ok := file.Contexts[name]; !ok {
					return noContext(path, name, *file)
				}
				delete(file.Contexts, name)
				if file.Current == name {
					file.Current = ""
					fmt.Fprintf(a.stderr, "yardctl: %s was the current context; now none is\n", name)
				}
				return nil
			})
		},
	}
}
