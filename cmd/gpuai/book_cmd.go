package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

func newBookCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "book MODEL", Short: "What is free of a model at each rate, and what buyers would pay",
		Args:    exact(1, "one model, as in rtx-4090"),
		Example: "  gpuai book rtx-4090\n  gpuai book rtx-4090 --json",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.book(cmd.Context(), args[0]) },
	}
}

func (a *App) book(ctx context.Context, model string) error {
	class := market.Slug(model)
	if !market.ValidClass(class) {
		return usage(fmt.Sprintf("%.40q is no model", model), "gpuai offers")
	}
	c, err := a.running(ctx)
	if err != nil {
		return err
	}
	d, err := c.Depth(ctx, class)
	if err != nil {
		return err
	}
	if len(d.Levels) == 0 {
		a.say("no rig offers %s now", class)
	}
	if d.Spread.Amount != "" {
		a.say("best ask %s, best bid %s, spread %s", d.Ask, d.Bid, d.Spread)
	}
	return a.print("depth", d, func(t *Table) { depthTable(t, d) })
}

// depthTable begins with the cheapest rate, and draws how much is free up to each; bids begin with the highest.
func depthTable(t *Table, d api.Depth) {
	t.Head("SIDE", "RATE", "RIGS/WANTS", "DEVICES", "RENTED", "UP TO HERE", "")
	for _, l := range d.Levels {
		t.Row("ask", l.Rate.String(), fmt.Sprint(l.Rigs), fmt.Sprint(l.Free), fmt.Sprint(l.Rented), fmt.Sprint(l.Up),
			bar(l.Up, d.Free))
	}
	for _, b := range d.Bids {
		rate := "any"
		if b.Rate.Amount != "" {
			rate = b.Rate.String()
		}
		t.Row("bid", rate, fmt.Sprint(b.Wants), fmt.Sprint(b.Devices), "-", fmt.Sprint(b.Up), bar(b.Up, d.Wanted))
	}
}

// bar is a line whose length is a share of the whole.
func bar(part, whole int) string {
	const width = 20
	if whole == 0 {
		return ""
	}
	return strings.Repeat("#", (part*width+whole-1)/whole)
}
