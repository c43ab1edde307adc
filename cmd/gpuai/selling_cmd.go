package main

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
)

func newEarnings(a *App) *cobra.Command {
	var since string
	var asCSV bool
	cmd := &cobra.Command{
		Use: "earnings", Short: "What the rig has brought, by day and device", Args: exact(0, "no arguments"),
		Example: "  gpuai provider earnings --since 7d\n  gpuai provider earnings --csv > earned.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var from time.Time
			if since != "" {
				var d config.Duration
				if err := d.UnmarshalText([]byte(since)); err != nil || d <= 0 {
					return usage("--since "+since+" is no time, write 24h or 7d", "gpuai provider earnings --since 7d")
				}
				from = time.Now().Add(-time.Duration(d))
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			e, err := c.ProviderEarnings(cmd.Context(), from)
			if err != nil {
				return a.hinted(err)
			}
			if asCSV && !a.json {
				return a.earningsCSV(e)
			}
			if !a.json {
				a.say("earned %s since ever: %s settled on the ledger, %s claimable; %s more by jobs that run",
					e.Earned, e.Settled, e.Claim, e.Now)
			}
			return a.print("earnings", e, func(t *Table) {
				t.Head("DAY", "DEVICE", "MODEL", "JOBS", "RAN", "EARNED", "SETTLED")
				for _, d := range e.Days {
					t.Row(d.Day, or(d.Device, "-"), or(d.Class, "-"), fmt.Sprint(d.Jobs), span(ms(d.RunMS)),
						signedSOL(d.Earned)+" SOL", signedSOL(d.Settled)+" SOL")
				}
			})
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "days from then on, as in 7d")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "as comma-separated values, with a header")
	return cmd
}

func (a *App) earningsCSV(e api.Earnings) error {
	w := csv.NewWriter(a.out)
	_ = w.Write([]string{"day", "device_id", "class", "jobs", "run_s", "earned_sol", "settled_sol"}) // Flush tells
	for _, d := range e.Days {
		_ = w.Write([]string{d.Day, d.Device, d.Class, strconv.Itoa(d.Jobs),
			strconv.FormatFloat(float64(d.RunMS)/1000, 'f', 3, 64), signedSOL(d.Earned), signedSOL(d.Settled)})
	}
	w.Flush()
	return w.Error()
}

// signedSOL writes an amount that may be negative.
func signedSOL(m api.Money) string {
	n, err := strconv.ParseInt(m.Amount, 10, 64)
	if err != nil || n >= 0 {
		return m.Lamports().SOL()
	}
	return "-" + market.Amount(-n).SOL()
}

func newWhyIdle(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "why-idle", Short: "Who asked this rig in the last 24 hours, and why it was not taken",
		Args: exact(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			i, err := c.ProviderIdle(cmd.Context())
			if err != nil {
				return a.hinted(err)
			}
			return a.print("idle", i, func(t *Table) { idleTable(t, i) })
		},
	}
}

func idleTable(t *Table, i api.Idle) {
	t.Row("sells", sellsWord(i.Selling, i.Why))
	if i.Asked == 0 {
		t.Row("asked", "by nobody in the last 24 hours: no order that this rig could fit was placed where its offer "+
			"is known")
	} else {
		t.Row("asked", fmt.Sprintf("by %s of %s since %s", count(i.Asked, "order", "orders"),
			count(i.Customers, "customer", "customers"), i.Since.Local().Format(time.DateTime)))
		t.Row("quoted", fmt.Sprintf("%d: %d leased, %d lost to others or not placed, %d asked a moment ago", i.Quoted,
			i.Leased, i.Lost, i.Waiting))
	}
	for _, r := range i.Refused {
		t.Row("refused", fmt.Sprintf("%d x %s: %s", r.Orders, r.Code, or(r.Detail, "-")))
	}
	for _, p := range i.Prices {
		t.Row("price", priceWord(p))
	}
	if len(i.Prices) == 0 {
		t.Row("price", "not compared: a node with the role customer, too, knows the offers of others")
	}
	t.Row("would win", strings.Join(wins(i), "; "))
}

// priceWord says how an own price stands among others.
func priceWord(p api.PriceRank) string {
	if p.Offers == 0 {
		return fmt.Sprintf("%s at %s: nobody else offers it", p.Class, p.Own)
	}
	return fmt.Sprintf("%s at %s: rank %d of %d; others ask %s and more, the middle one %s", p.Class, p.Own, p.Rank,
		p.Offers+1, p.Lowest, p.Middle)
}

// wins lists what would have won orders that were not taken here.
func wins(i api.Idle) (out []string) {
	if !i.Selling {
		out = append(out, "selling: "+or(i.Why, "gpuai provider resume"))
	}
	for _, p := range i.Prices {
		if p.Cheaper > 0 && p.FreeElse > 0 {
			out = append(out, fmt.Sprintf("a price of %s or less for %s (%d free devices are offered below yours)",
				p.Lowest, p.Class, p.FreeElse))
		}
	}
	for n, r := range i.Refused {
		if r.Code == market.CodeDoesNotFit && n < 3 {
			out = append(out, fmt.Sprintf("more for %d orders: %s", r.Orders, r.Detail))
		}
	}
	if len(out) == 0 {
		out = append(out, "nothing that this node knows of")
	}
	return out
}

func newKick(a *App) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "kick LEASE", Short: "End a job on this rig: what ran is paid, the fault is yours, its customer hears " +
			"the reason", Args: exact(1, "a lease of gpuai provider leases"),
		Example: "  gpuai provider kick lease_3f --reason 'the rig moves house'",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, _, err := c.ProviderLeases(cmd.Context(), api.LeaseQuery{Live: true})
			if err != nil {
				return a.hinted(err)
			}
			if !slices.ContainsFunc(list, func(l api.Lease) bool { return strings.HasPrefix(l.ID, args[0]) }) {
				return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find lease",
					Detail: "no lease of this rig begins with " + args[0], Hint: "gpuai provider leases"}
			}
			if err := a.confirm("end " + args[0] + "? it counts as this rig's fault"); err != nil {
				return err
			}
			if err := c.KickLease(cmd.Context(), args[0], reason); err != nil {
				return err
			}
			a.say("%s ends: provider-stop; its customer pays what ran and no more", args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "for the customer, at most 200 characters")
	return cmd
}

func newLeases(a *App) *cobra.Command {
	var most int
	cmd := &cobra.Command{Use: "leases", Short: "Who rents it, what runs, and what it brings",
		Args: exact(0, "no arguments"), RunE: func(cmd *cobra.Command, _ []string) error {
			if err := atLeast("--limit", most, 0, "gpuai provider leases --help"); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			live, _, err := c.ProviderLeases(cmd.Context(), api.LeaseQuery{Live: true})
			if err != nil {
				return a.hinted(err)
			}
			q := api.LeaseQuery{}
			if most > 0 {
				// one that goes on is always shown, and one more says that there are more
				q.Limit = max(most, len(live)) + 1
			}
			list, _, err := c.ProviderLeases(cmd.Context(), q)
			if err != nil {
				return a.hinted(err)
			}
			if most > 0 && len(list) == q.Limit {
				list = list[:q.Limit-1]
				a.say("older leases are not shown: --limit 0 shows all")
			}
			slices.SortStableFunc(list, func(x, y api.Lease) int { return x.CreatedAt.Compare(y.CreatedAt.Time) })
			return a.print("leases", map[string]any{"leases": list}, func(t *Table) { leasesTable(t, list) })
		}}
	cmd.Flags().IntVar(&most, "limit", 50, "the newest so many; 0: all")
	return cmd
}

func leasesTable(t *Table, list []api.Lease) {
	t.Head("LEASE", "CUSTOMER", "STATE", "DEVICES", "RAN", "OWED", "PAID", "AGE", "ASKED FOR", "USES", "NETWORK",
		"IMAGE")
	for _, l := range list {
		t.Row(l.ID, short(l.Customer), l.State, fmt.Sprint(l.Devices), span(ms(l.BillableMS)), l.Owed.String(),
			l.Paid.String(), ago(l.CreatedAt.Time), sizes(l), uses(l), or(l.Egress, "-"), or(imageWord(l.Image), "-"))
	}
}

// sizes are what a lease asked for of the rig.
func sizes(l api.Lease) string {
	if l.CPUMilli == 0 && l.RAM == 0 {
		return "-"
	}
	unit := "cores"
	if l.CPUMilli == 1000 {
		unit = "core"
	}
	return fmt.Sprintf("%s %s, %d MiB, disk %d MiB", strconv.FormatFloat(float64(l.CPUMilli)/1000, 'f', -1, 64), unit,
		l.RAM>>20, l.Disk>>20)
}

// uses is what a running job takes: cores on average since its start, and memory now.
func uses(l api.Lease) string {
	if l.UsedRAM == 0 {
		return "-"
	}
	cores := float64(l.UsedCPUMS) / float64(max(l.BillableMS, 1))
	return fmt.Sprintf("%.2f cores, %d MiB", cores, l.UsedRAM>>20)
}

// imageWord is an image without the bulk of its digest.
func imageWord(image string) string {
	name, digest, ok := strings.Cut(image, "@sha256:")
	if !ok {
		return image
	}
	return name + "@" + digest[:min(len(digest), 12)]
}
