package main

import (
	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/node/config"
)

func newIndexerCmd(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "indexer", Short: "Keep a public index of the market"}
	var store, listen string
	run := newNodeCmd(a) // the same node, with this role
	run.Use, run.Short = "run", "Run an indexer in the foreground: a node that hears offers and serves what it knows"
	run.Example = "  gpuai indexer run\n  gpuai indexer run --store postgres:///index --listen 0.0.0.0:8080"
	run.ResetCommands()
	run.Flags().StringVar(&store, "store", "", "file of the index, or postgres://…")
	run.Flags().StringVar(&listen, "listen", "", "address of the public API, as in 0.0.0.0:8080 for everybody")
	before := run.PersistentPreRunE
	run.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed("roles") {
			a.sets = append(a.sets, "node.roles="+config.RoleIndexer)
		}
		if store != "" {
			a.sets = append(a.sets, "indexer.store="+store)
		}
		if listen != "" {
			a.sets = append(a.sets, "indexer.listen="+listen)
		}
		return before(cmd, args)
	}
	cmd.AddCommand(run, newIndexerCompare(a))
	return cmd
}
