package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// argsExactly, argsFrom and argsUpTo bound the number of arguments. They name the one that is missing or too many, which
// cobra's own don't.
func argsExactly(n int) cobra.PositionalArgs { return cobra.MatchAll(argsFrom(n), argsUpTo(n)) }

func argsFrom(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= n {
			return nil
		}
		names := strings.Fields(cmd.Use)[1:]
		return usagef("%s is missing", strings.TrimRight(names[len(args)], ".[]"))
	}
}

func argsUpTo(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		return usagef("unexpected argument %q: want %s", args[n], cmd.UseLine())
	}
}
