package main

import "github.com/spf13/cobra"

func newContext(a *app) *cobra.Command {
	return newNoun("context", "Name clusters, and choose the one to talk to",
		newContextList(a), newContextUse(a), newContextSet(a), newContextDelete(a))
}

// contextsWhere ends the help of each of these verbs.
const contextsWhere = `Contexts are kept in yardmaster/contexts.yaml in your configuration directory (on Linux ~/.config).`
