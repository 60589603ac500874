package main

import "github.com/spf13/cobra"

func newCluster(a *app) *cobra.Command {
	return newNoun("cluster", "Show and back up the cluster", newClusterStatus(a), newClusterBackup(a))
}
