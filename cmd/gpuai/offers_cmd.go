package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// offerOptions are the flags of gpuai offers: those that say where a job may run, and what to show.
type offerOptions struct {
	place        spec.Flags
	words        []string
	all, explain bool
	limit        int
}

func newOffersCmd(a *App) *cobra.Command {
	var o offerOptions
	cmd := &cobra.Command{
		Use: "offers [MODEL...]", Short: "What is for rent now",
		Example: "  gpuai offers\n  gpuai offers rtx-4090 --max-rate 0.003/h\n  gpuai offers --gpu any --vram 40GiB " +
			"--sort value",
		RunE: func(cmd *cobra.Command, words []string) error {
			o.words, o.all = words, o.all || o.explain // what is rented out has values, too
			if err := atLeast("--limit", o.limit, 1, "gpuai offers --help"); err != nil {
				return err
			}
			if err := models(words, "gpuai offers --help"); err != nil {
				return err
			}
			return a.offers(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	o.place = orderFlags(f, func(x spec.Flag) bool { return x.Place })
	f.BoolVar(&o.all, "all", false, "also rigs with too few free")
	f.BoolVar(&o.explain, "explain", false, "every value that each rig states; terms of --where use these names")
	f.IntVar(&o.limit, "limit", 50, "how many rows")
	return cmd
}

func (a *App) offers(ctx context.Context, o offerOptions) (err error) {
	if err := a.wholeIDs(ctx, o.place); err != nil {
		return err
	}
	w, err := wants(o)
	if err != nil {
		return err
	}
	c, err := a.running(ctx)
	if err != nil {
		return err
	}
	list, err := a.listOffers(ctx, c, w.job.Placement.Sort)
	if err != nil {
		return err
	}
	shown := w.choose(list, o)
	if len(list) == 0 {
		a.say("%s", a.nobody(ctx, c))
	} else if len(shown) == 0 {
		a.say("%s", w.nothing(list, o))
	}
	shown = firstRows(a, shown, o.limit)
	return a.print("offers", map[string]any{"offers": shown}, func(t *Table) {
		if o.explain {
			factsTable(t, shown)
			return
		}
		offersTable(t, shown)
	})
}

// wanted is what the flags ask of an offer. Sizes that were not given ask for nothing.
type wanted struct {
	job     spec.File
	any     bool // no --gpu, --vram or --cuda: CPU slots too
	terms   []market.Term
	minimum map[market.FieldID]uint64
}

// wants reads the flags by the rules of a job. Errors: spec-….
func wants(o offerOptions) (w wanted, err error) {
	f := spec.Flags{"image": {"any"}}
	maps.Copy(f, o.place)
	w.any = !f.Given("gpu") && !f.Given("vram") && !f.Given("cuda")
	file, faults := spec.FromFlags(f)
	if err := spec.AsError("", faults); err != nil {
		return w, err
	}
	w.job, w.terms, w.minimum = file, file.Terms(), map[market.FieldID]uint64{}
	for _, m := range []struct {
		flag  string
		field market.FieldID
		value uint64
	}{{"cpu", market.FieldCPU, uint64(file.CPUMilli)}, {"memory", market.FieldRAM, file.Memory >> 20},
		{"disk", market.FieldDisk, file.Disk >> 20}} {
		if f.Given(m.flag) {
			w.minimum[m.field] = m.value
		}
	}
	if f.Given("egress") {
		w.terms = append(w.terms, market.Term{Field: market.FieldEgress, In: []uint64{uint64(file.Egress)}})
	}
	return w, nil
}

func (w wanted) fits(o api.Offer) bool {
	if !w.any {
		if classes := w.job.Classes(); len(classes) > 0 && !slices.Contains(classes, o.Class) {
			return false
		}
	}
	if top := w.job.Limits.MaxRate; top > 0 && market.Rate(o.Rate.Lamports()) > top {
		return false
	}
	is := func(id market.NodeID) bool { return id.String() == o.Provider }
	if p := w.job.Placement; len(p.Providers) > 0 && !slices.ContainsFunc(p.Providers, is) ||
		slices.ContainsFunc(p.Exclude, is) {
		return false
	}
	for _, t := range w.terms {
		switch v, ok := fact(o, t.Field); {
		case t.Soft:
		case t.Field == market.FieldClass:
			if !t.FitsClass(o.Class) {
				return false
			}
		case !t.Fits(v, ok):
			return false
		}
	}
	for field, least := range w.minimum {
		if v, ok := fact(o, field); !ok || v < least {
			return false
		}
	}
	return true
}

// fact reads what an offer states; rate and free devices stand beside the facts.
func fact(o api.Offer, field market.FieldID) (uint64, bool) {
	switch field {
	case market.FieldRate:
		return uint64(o.Rate.Lamports()), true
	case market.FieldFree:
		return uint64(o.Free), true
	case market.FieldEgress:
		return uint64(o.Egress), true
	}
	text, ok := o.Facts[field.String()]
	if !ok {
		return 0, false
	}
	v, err := market.ParseValue(field, text)
	return v, err == nil
}

// choose filters, and keeps the order; the result is never nil.
func (w wanted) choose(list []api.Offer, o offerOptions) []api.Offer {
	shown := []api.Offer{}
	for _, offer := range list {
		fits := len(o.words) == 0
		for _, word := range o.words {
			fits = fits || strings.Contains(offer.Class, market.Slug(word))
		}
		need := 1
		if !w.any {
			need = w.job.Devices()
		}
		if fits && (o.all || offer.Free >= need) && w.fits(offer) {
			shown = append(shown, offer)
		}
	}
	return shown
}

// listOffers asks the node, which waits some seconds after its start until it has heard of a rig; it says so after one.
func (a *App) listOffers(ctx context.Context, c *api.Client, by market.Sort) (list []api.Offer, err error) {
	var asking sync.WaitGroup
	done := make(chan struct{})
	asking.Go(func() {
		defer close(done)
		list, err = c.Offers(ctx, by)
	})
	select {
	case <-done:
	case <-time.After(time.Second):
		a.say("this node has just started and looks for rigs, up to 10s")
	}
	asking.Wait()
	return list, err
}

// nobody says why there is no offer at all, as far as this node knows.
func (a *App) nobody(ctx context.Context, c *api.Client) string {
	s, err := c.Status(ctx)
	switch {
	case err == nil && s.Quiet:
		return "no rig is known: this node is quiet and hears no offers, it looks for rigs when an order needs them; " +
			"look now: gpuai net find MODEL; or hear them all: gpuai config set p2p.quiet=false, then restart the node"
	case err != nil || s.Peers == 0:
		return "no rig is known: this node is connected to no other; see gpuai doctor --only net"
	case s.Peers == 1:
		return "no rig is known: the 1 node that this one is connected to has heard of none that sells"
	}
	return fmt.Sprintf("no rig is known: the %d nodes that this one is connected to have heard of none that sells",
		s.Peers)
}

// asksNothing reports that every rig would fit if it had a device free.
func (w wanted) asksNothing(list []api.Offer, o offerOptions) bool {
	o.all = true
	return len(w.choose(list, o)) == len(list)
}

// nothing says what models there are instead.
func (w wanted) nothing(list []api.Offer, o offerOptions) string {
	classes := modelsOf(list)
	what := "what the flags ask"
	if len(o.words) > 0 {
		what = strings.Join(o.words, " ")
	}
	near := ""
	for _, w := range o.words {
		if n := market.Nearest(market.Slug(w), classes, 3); n != "" && n != market.Slug(w) {
			near = "; did you mean " + n + "?"
		}
	}
	if w.asksNothing(list, o) {
		return fmt.Sprintf("all rigs are rented now; what there is: %s (all of them: gpuai offers --all)",
			strings.Join(classes, ", "))
	}
	return fmt.Sprintf("nothing free fits %s; on offer are: %s (all of them: gpuai offers --all)%s", what,
		strings.Join(classes, ", "), near)
}

func offersTable(t *Table, list []api.Offer) {
	t.Head("PROVIDER", "MODEL", "FREE", "RATE", "CORES", "MEMORY", "DISK", "RTT", "SEEN")
	for _, o := range list {
		t.Row(short(o.Provider), o.Class, fmt.Sprintf("%d of %d", o.Free, o.Devices), o.Rate.String(),
			cores(o.CPUMilli), number(o.RAMBytes, 1<<30, " GiB"), number(o.DiskBytes, 1<<30, " GiB"), distance(o),
			seen(o.Orders))
	}
}

// distance is the round trip to a rig, if this node has measured it.
func distance(o api.Offer) string {
	if o.RTTms == nil {
		return "unknown"
	}
	return fmt.Sprintf("%d ms", *o.RTTms)
}

// seen says how a provider's leases with this node ended.
func seen(x *api.Experience) string {
	switch {
	case x == nil:
		return "never used"
	case x.NotStarted > 0:
		return fmt.Sprintf("failed %d of %d, %d did not start", x.Failed, x.Orders, x.NotStarted)
	case x.Failed > 0:
		return fmt.Sprintf("failed %d of %d", x.Failed, x.Orders)
	}
	return count(x.Orders, "order", "orders") + " well"
}

func factsTable(t *Table, list []api.Offer) {
	for _, o := range list {
		t.Row(short(o.Provider), o.Class, "rate", o.Rate.String())
		for _, name := range slices.Sorted(maps.Keys(o.Facts)) {
			t.Row(short(o.Provider), o.Class, name, o.Facts[name])
		}
	}
}

// cores is a share of the rig's cores, which can be less than one.
func cores(milli uint32) string {
	if milli == 0 {
		return "-"
	}
	return market.FormatValue(market.FieldCPU, uint64(milli))
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
