package main

import (
	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
)

func newCapCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "cap ID AMOUNT", Short: "Raise what a running order may cost at most",
		Args:    exact(2, "an order, a lease, a name, or - for the last, and an amount of SOL"),
		Example: "  gpuai cap - 0.05",
		RunE: func(cmd *cobra.Command, args []string) error {
			amount, err := market.ParseSOL(args[1])
			if err != nil || amount == 0 {
				return usage("a cap is an amount of SOL", "gpuai cap - 0.05")
			}
			c, id, err := a.orderOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			before, err := c.Order(cmd.Context(), id)
			if err != nil {
				return err
			}
			o, err := c.RaiseCap(cmd.Context(), id, amount)
			if err != nil {
				return err
			}
			if before.Cap.Lamports() >= amount {
				a.say("the cap is %s already; a cap only rises", o.Cap)
			} else {
				a.say("the cap is %s now", o.Cap)
			}
			return a.document("order", o)
		},
	}
}
