package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/node/api"
)

func newSpoolCmd(a *App) *cobra.Command {
	cmd := &cobra.Command{
		Use: "spool", Short: "What the node keeps of orders' inputs and outputs", Args: exact(0, "no arguments"),
		Example: "  gpuai spool\n  gpuai spool prune",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.Spool(cmd.Context())
			if err != nil {
				return err
			}
			return a.print("spool", s, func(t *Table) { spoolTable(a, t, s) })
		},
	}
	cmd.AddCommand(newSpoolPruneCmd(a))
	return cmd
}

func spoolTable(a *App, t *Table, s api.Spool) {
	t.Head("ORDER", "NAME", "STATE", "INPUTS", "OUTPUTS", "OTHER", "FETCHED")
	for _, e := range s.Entries {
		fetched := "-"
		switch {
		case e.FetchedAt != nil:
			fetched = ago(e.FetchedAt.Time)
		case e.Outputs > 0:
			fetched = "never"
		}
		t.Row(e.Order, or(e.Name, "-"), or(e.Standing, "unknown"), megabytes(e.Inputs), megabytes(e.Outputs),
			megabytes(e.Other), fetched)
	}
	bound := "no bound"
	if s.MaxBytes > 0 {
		bound = "at most " + megabytes(s.MaxBytes) + " (customer.spool_max)"
	}
	a.say("%s in all, %s; free some: gpuai spool prune", megabytes(s.Bytes), bound)
}

func newSpoolPruneCmd(a *App) *cobra.Command {
	var unfetched bool
	cmd := &cobra.Command{
		Use: "prune [ID...]", Short: "Free outputs that were fetched, of these orders or of all that are over",
		Example: "  gpuai spool prune\n  gpuai spool prune --unfetched train",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			p := api.SpoolPrune{Unfetched: unfetched}
			for _, ref := range args {
				_, id, err := a.orderOf(cmd.Context(), ref)
				if err != nil {
					return err
				}
				p.Orders = append(p.Orders, id)
			}
			if unfetched {
				if err := a.confirm("outputs that nobody has fetched are lost. go on?"); err != nil {
					return err
				}
			}
			s, err := c.PruneSpool(cmd.Context(), p)
			if err != nil {
				return err
			}
			a.say("%s freed, %s left", megabytes(s.Freed), megabytes(s.Bytes))
			return a.document("spool", s)
		},
	}
	cmd.Flags().BoolVar(&unfetched, "unfetched", false, "also outputs that nobody has fetched: they are lost")
	return cmd
}

// megabytes writes bytes for people.
func megabytes(n uint64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
