package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

func newOffersCmd(a *App) *cobra.Command {
	var all, explain bool
	var limit int
	var sort, maxRate string
	cmd := &cobra.Command{
		Use: "offers [MODEL...]", Short: "What is for rent now", Example: "  gpuai offers\n  gpuai offers rtx-4090 --max-rate 0.003/h",
		RunE: func(cmd *cobra.Command, words []string) error {
			var top market.Rate
			if maxRate != "" {
				r, err := market.ParseRateSOL(maxRate)
				if err != nil {
					return usage("--max-rate: "+err.Error(), "write SOL per hour as in --max-rate 0.003/h")
				}
				top = r
			}
			if sort != "price" && sort != "free" {
				return usage("--sort "+sort+" is neither price nor free", "--sort price")
			}
			c, err := a.running(cmd.Context())
			if err != nil {
				return err
			}
			list, err := c.Offers(cmd.Context())
			if err != nil {
				return err
			}
			shown := choose(list, words, top, all, sort)
			if len(shown) == 0 && len(words) > 0 {
				a.say("%s", nothing(list, words))
			}
			if len(shown) > limit {
				a.say("%d more, see them with --limit", len(shown)-limit)
				shown = shown[:limit]
			}
			return a.print("offers", map[string]any{"offers": shown}, func(t *Table) {
				if explain {
					factsTable(t, shown)
					return
				}
				offersTable(t, shown)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "also rigs with nothing free")
	f.BoolVar(&explain, "explain", false, "every value that each rig states; terms of --where use these names")
	f.IntVar(&limit, "limit", 50, "how many rows")
	f.StringVar(&sort, "sort", "price", "price or free")
	f.StringVar(&maxRate, "max-rate", "", "top price, SOL per device and hour")
	return cmd
}

// choose filters and sorts; the result is never nil.
func choose(list []api.Offer, words []string, top market.Rate, all bool, sort string) []api.Offer {
	shown := []api.Offer{}
	for _, o := range list {
		fits := len(words) == 0
		for _, w := range words {
			fits = fits || strings.Contains(o.Class, market.Slug(w))
		}
		if fits && (all || o.Free > 0) && (top == 0 || market.Rate(o.Rate.Lamports()) <= top) {
			shown = append(shown, o)
		}
	}
	slices.SortStableFunc(shown, func(x, y api.Offer) int {
		if sort == "free" {
			return cmp.Compare(y.Free, x.Free)
		}
		return cmp.Compare(x.Rate.Lamports(), y.Rate.Lamports())
	})
	return shown
}

// nothing says what models there are instead.
func nothing(list []api.Offer, words []string) string {
	var classes []string
	for _, o := range list {
		if !slices.Contains(classes, o.Class) {
			classes = append(classes, o.Class)
		}
	}
	if len(classes) == 0 {
		return "no rig has offered anything yet; a node that has just started needs a moment"
	}
	slices.Sort(classes)
	return fmt.Sprintf("nothing free fits %s; on offer are: %s", strings.Join(words, " "), strings.Join(classes, ", "))
}

func offersTable(t *Table, list []api.Offer) {
	t.Head("PROVIDER", "MODEL", "FREE", "RATE", "CORES", "MEMORY", "DISK")
	for _, o := range list {
		t.Row(short(o.Provider), o.Class, fmt.Sprintf("%d of %d", o.Free, o.Devices), o.Rate.String(),
			number(uint64(o.CPUMilli), 1000, ""), number(o.RAMBytes, 1<<30, " GiB"), number(o.DiskBytes, 1<<30, " GiB"))
	}
}

func factsTable(t *Table, list []api.Offer) {
	for _, o := range list {
		t.Row(short(o.Provider), o.Class, "rate", o.Rate.String())
		for _, name := range slices.Sorted(maps.Keys(o.Facts)) {
			t.Row(short(o.Provider), o.Class, name, o.Facts[name])
		}
	}
}

// number prints v in a larger unit; 0 is unknown.
func number(v, per uint64, unit string) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%d%s", v/per, unit)
}

// short is the end of a node id, as container names have it.
func short(id string) string { return id[max(0, len(id)-8):] }
