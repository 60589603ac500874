package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yardmaster/yardmaster/internal/name"
	"github.com/yardmaster/yardmaster/internal/settings"
)

// contextAddressesMax is how many coordinators a cluster may have, with room to move it.
const contextAddressesMax = 16

func newContextSet(a *app) *cobra.Command {
	use := false
	cmd := &cobra.Command{
		Use:   "set NAME HOST:PORT...",
		Short: "Name a cluster, or change where it is",
		Long: `Set writes a context: a name for the coordinators of one cluster. The first context becomes the current one. Nothing is
sent to the addresses. ` + contextsWhere,
		Example: `  yardctl context set local 127.0.0.1:7420
  yardctl context set prod 10.0.0.1:7420 10.0.0.2:7420 10.0.0.3:7420 --use`,
		Args:              argsFrom(2),
		ValidArgsFunction: once(completeContexts),
		RunE: func(_ *cobra.Command, args []string) error {
			called, addresses := args[0], splitAddresses(strings.Join(args[1:], ","))
			if !name.Valid(called) {
				return usagef("NAME is %q; it must be %s", called, name.Rule)
			}
			if len(addresses) > contextAddressesMax {
				return usagef("%d addresses are given; a context has at most %d", len(addresses), contextAddressesMax)
			}
			for _, address := range addresses {
				if err := settings.CheckTarget("HOST:PORT", address); err != nil {
					return usageError{err}
				}
			}
			return changeContexts(func(file *contexts, _ string) error {
				if use || len(file.Contexts) == 0 {
					file.Current = called
					fmt.Fprintf(a.stderr, "yardctl: the current context is %s\n", called)
				}
				file.Contexts[called] = contextSpec{Addresses: addresses}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&use, "use", false, "make it the current one")
	return cmd
}
