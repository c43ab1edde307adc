package main

import (
	"cmp"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/node/indexer"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// exitDiffer tells a script that two indexers do not agree.
const exitDiffer = 1

func newIndexerCompare(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "compare A B", Short: "Find the first row in which two indexers differ, and ask the chain about it",
		Long: "Find the first row in which two indexers differ, and ask the chain about it. Exit code 1: they do not " +
			"agree.",
		Args:    exact(2, "the addresses of two indexers"),
		Example: "  gpuai indexer compare http://127.0.0.1:8080 https://index.example",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			var read indexer.OnChainReads
			if len(c.Solana.RPC) > 0 {
				h := solana.NewHistory(c.Solana.RPC, "", program.ID)
				read = indexer.OnChainReads{Rows: indexer.OnChain(h), Channel: indexer.ChannelOnChain(h)}
			}
			got, err := indexer.CompareAll(cmd.Context(), args[0], args[1], read.Rows, read.Channel)
			if err != nil {
				return err
			}
			if err := a.print("comparison", got, func(t *Table) { comparisonTable(t, got) }); err != nil || got.Agrees {
				return err
			}
			return exitCode(exitDiffer)
		},
	}
}

func comparisonTable(t *Table, c indexer.Comparison) {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	t.Row("agree", map[bool]string{true: "yes", false: "no"}[c.Agrees])
	switch {
	case c.NoCheckpoint:
		t.Row("instructions", "not compared: they have no checkpoint in common yet")
	case c.Equal:
		t.Row("instructions", n(c.N)+" up to slot "+n(c.Slot)+", equal")
	default:
		t.Row("instructions", n(c.N)+" up to slot "+n(c.Slot)+", part "+n(c.Part)+" differs")
		instructionRow(t, "A", c.A)
		instructionRow(t, "B", c.B)
		if c.Read {
			instructionRow(t, "chain", c.Chain)
		}
	}
	for i, d := range []*indexer.RowsDiff{c.Channels, c.Leases} {
		if d == nil {
			continue
		}
		t.Row([]string{"channels", "leases"}[i],
			n(d.Common)+" at both, "+n(d.OnlyOne)+" at one, "+n(d.Differ)+" differ")
		for i, says := range []string{d.A, d.B, d.Chain} {
			if d.Differ > 0 && (says != "" || i < 2) {
				t.Row([]string{"A", "B", "chain"}[i], d.Key+" "+cmp.Or(says, "no such row"))
			}
		}
	}
	if c.ChainFault != "" {
		t.Row("chain", "not read: "+c.ChainFault)
	}
	if c.Offers != nil {
		t.Row("offers", n(c.Offers.Common)+" equal, "+n(c.Offers.Differ)+" differ")
		for _, e := range c.Offers.Examples {
			t.Row("offer", e.Peer+" A "+n(e.A)+" B "+n(e.B))
		}
	}
}

func instructionRow(t *Table, name string, r *public.DigestRow) {
	if r == nil {
		t.Row(name, "no such row")
		return
	}
	t.Row(name, r.Signature+" "+strconv.FormatInt(r.Outer, 10)+"/"+strconv.FormatInt(r.Inner, 10)+" "+r.Result+" "+
		r.Name+" "+r.Channel+" "+r.Amount)
}
