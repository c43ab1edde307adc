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
		Use: "book MODEL", Short: "What is free of a model at each rate", Args: exact(1, "one model, as in rtx-4090"),
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
	return a.print("depth", d, func(t *Table) { depthTable(t, d) })
}

// depthTable begins with the cheapest rate, and draws how much is free up to each.
func depthTable(t *Table, d api.Depth) {
	t.Head("RATE", "RIGS", "FREE", "RENTED", "UP TO HERE", "")
	for _, l := range d.Levels {
		t.Row(l.Rate.String(), fmt.Sprint(l.Rigs), fmt.Sprint(l.Free), fmt.Sprint(l.Rented), fmt.Sprint(l.Up),
			bar(l.Up, d.Free))
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
