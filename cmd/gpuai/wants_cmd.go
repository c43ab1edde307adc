package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// wantOptions are the flags of gpuai wants.
type wantOptions struct {
	words       []string
	mine, serve bool
	limit       int
	sort        string
}

var wantSorts = []string{"rate", "devices", "age"}

func newWantsCmd(a *App) *cobra.Command {
	var o wantOptions
	cmd := &cobra.Command{
		Use: "wants [MODEL...]", Short: "What orders in the network wait for: the bids beside the offers",
		Example: "  gpuai wants\n  gpuai wants rtx-4090 --sort rate\n  gpuai wants --serve   # that your rig could " +
			"take now",
		RunE: func(cmd *cobra.Command, words []string) error {
			o.words = words
			if !slices.Contains(wantSorts, o.sort) {
				return usage("--sort "+o.sort+" is none of "+strings.Join(wantSorts, ", "), "gpuai wants --help")
			}
			if err := atLeast("--limit", o.limit, 1, "gpuai wants --help"); err != nil {
				return err
			}
			if err := models(words, "gpuai wants --help"); err != nil {
				return err
			}
			return a.wants(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.mine, "mine", false, "only those of this node's own orders")
	f.BoolVar(&o.serve, "serve", false, "only those that this node's rig could serve now")
	f.IntVar(&o.limit, "limit", 50, "how many rows")
	f.StringVar(&o.sort, "sort", "rate", strings.Join(wantSorts, ", "))
	return cmd
}

func (a *App) wants(ctx context.Context, o wantOptions) error {
	c, err := a.running(ctx)
	if err != nil {
		return err
	}
	list, err := c.Wants(ctx)
	if err != nil {
		return a.hinted(err)
	}
	shown := o.choose(list)
	switch {
	case len(list) == 0:
		a.say("no order in the network waits for a rig, as far as this node has heard")
	case len(shown) == 0:
		a.say("none of %s is of that kind", count(len(list), "want", "wants"))
	}
	shown = firstRows(a, shown, o.limit)
	return a.print("wants", map[string]any{"wants": shown}, func(t *Table) { wantsTable(t, shown) })
}

// choose filters and sorts; the result is never nil.
func (o wantOptions) choose(list []api.Want) []api.Want {
	shown := []api.Want{}
	for _, w := range list {
		fits := len(o.words) == 0
		for _, word := range o.words {
			fits = fits || slices.ContainsFunc(w.Classes,
				func(c string) bool { return strings.Contains(c, market.Slug(word)) })
		}
		if fits && (!o.mine || w.Mine) && (!o.serve || w.Rig != nil && w.Rig.Serves) {
			shown = append(shown, w)
		}
	}
	top := func(w api.Want) uint64 { // whoever names no rate pays any
		return uint64(w.MaxRate.Lamports()) - 1
	}
	slices.SortStableFunc(shown, func(x, y api.Want) int {
		rate := cmp.Compare(top(y), top(x))
		switch o.sort {
		case "devices":
			return cmp.Or(cmp.Compare(y.Devices, x.Devices), rate)
		case "age":
			return x.IssuedAt.Compare(y.IssuedAt.Time)
		}
		return rate
	})
	return shown
}

func wantsTable(t *Table, list []api.Want) {
	t.Head("CUSTOMER", "MODEL", "DEVICES", "RATE", "FOR", "AGE", "TERMS", "YOUR RIG")
	for _, w := range list {
		who := short(w.Customer)
		if w.Mine {
			who = "you"
		}
		rate, lasts := "any", "-"
		if w.MaxRate.Lamports() > 0 {
			rate = "<= " + w.MaxRate.String()
		}
		if w.MaxDurationMS > 0 {
			lasts = span(ms(w.MaxDurationMS))
		}
		t.Row(who, strings.Join(w.Classes, " or "), fmt.Sprint(w.Devices), rate, lasts,
			span(time.Since(w.IssuedAt.Time)), or(strings.Join(w.Terms, ", "), "-"), rigSays(w))
	}
}

// rigSays is what the own rig has to do with a want.
func rigSays(w api.Want) string {
	switch {
	case w.Rig == nil:
		return "-"
	case w.Rig.Serves:
		return "serves it at " + w.Rig.Rate.String()
	}
	return or(w.Rig.Detail, or(w.Rig.Reason, "sells nothing now"))
}
