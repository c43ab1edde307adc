package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/node/indexer"
	"github.com/gpuai/gpuai/node/indexer/public"
)

func newIndexerCompare(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "compare A B", Short: "Find the first row in which two indexers differ, and ask the chain about it",
		Args:    exact(2, "the addresses of two indexers"),
		Example: "  gpuai indexer compare http://127.0.0.1:8080 https://index.example",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			var read func(context.Context, string) ([]public.DigestRow, error)
			if len(c.Solana.RPC) > 0 {
				read = indexer.OnChain(solana.NewHistory(c.Solana.RPC, "", program.ID))
			}
			got, err := indexer.Compare(cmd.Context(), args[0], args[1], read)
			if err != nil {
				return err
			}
			return a.print("comparison", got, func(t *Table) { comparisonTable(t, got) })
		},
	}
}

func comparisonTable(t *Table, c indexer.Comparison) {
	t.Row("compared", strconv.FormatInt(c.N, 10)+" instructions up to slot "+strconv.FormatInt(c.Slot, 10))
	if c.Equal {
		t.Row("equal", "yes")
		return
	}
	row := func(name string, r *public.DigestRow) {
		if r == nil {
			t.Row(name, "no such row")
			return
		}
		t.Row(name, r.Signature+" "+strconv.FormatInt(r.Outer, 10)+"/"+strconv.FormatInt(r.Inner, 10)+" "+r.Result+" "+
			r.Name+" "+r.Channel+" "+r.Amount)
	}
	t.Row("equal", "no, part "+strconv.FormatInt(c.Part, 10))
	row("A", c.A)
	row("B", c.B)
	if c.Read {
		row("chain", c.Chain)
	}
}
