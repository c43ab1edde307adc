// Package selling is the API's side of a rig: what it sells and earns, and why it does not.
//
// Invariants: it keeps nothing; rates go to the settings, so that they outlive the node. Concurrency: all methods are
// safe for any goroutine. Persistence: none. Next: Counter.
package selling

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"math/bits"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/backend/control"
	"github.com/gpuai/gpuai/node/backend/leases"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/store"
)

// Counter is api.Selling. Known are the offers that the node has heard of, ok is false if it keeps no book; Set changes
// settings.
type Counter struct {
	Self  market.NodeID
	Role  func() (*provider.Provider, error)
	Early func() bool
	Known func() (list []market.Offer, ok bool)
	Set   func(context.Context, api.SettingsPatch) (restart []string, err error)
	Tell  func(context.Context, store.Event)
}

var _ api.Selling = (*Counter)(nil)

// WhyNot is why a provider takes no new leases.
func WhyNot(v provider.View) string {
	if v.Why == "" {
		return "paused"
	}
	return v.Why
}

// Provider implements api.Selling.
func (c *Counter) Provider(context.Context) (api.Provider, error) {
	p, err := c.Role()
	if err != nil {
		return api.Provider{}, err
	}
	v := p.View()
	out := api.Provider{
		Schema: "gpuai.provider/v1", Selling: v.Selling, Payout: v.Payout.String(), FeePayer: v.FeePayer.String(),
		Leases: v.Live,
		Earned: api.SOL(v.Earned.Total()), Settled: api.SOL(v.Earned.Settled), Claim: api.SOL(v.Earned.Claimable),
		Now:     api.SOL(v.Earned.Now),
		Devices: []api.Device{}, Rate: api.RateSOL(v.Policy.Rate), Rates: map[string]api.Money{},
	}
	if !v.Since.IsZero() {
		at := rest.At(v.Since)
		out.Since = &at
	}
	if w := p.Waits(); w.Sum > 0 {
		sum, lacks := api.SOL(w.Sum), api.SOL(w.Missing)
		out.Waits, out.Missing = &sum, &lacks
	}
	for class, r := range v.Policy.Rates {
		out.Rates[class] = api.RateSOL(r)
	}
	out.Note = v.Note
	if !v.Selling {
		out.Why = WhyNot(v)
	}
	for _, d := range v.Devices {
		dev := api.Device{Schema: "gpuai.device/v1", ID: d.ID.String(), Class: d.Class, State: d.State,
			Rate: api.RateSOL(d.Rate)}
		if d.Lease != (market.LeaseID{}) {
			dev.Lease = d.Lease.String()
		}
		out.Devices = append(out.Devices, dev)
	}
	return out, nil
}

// ProviderSell implements api.Selling.
func (c *Counter) ProviderSell(ctx context.Context, on bool) (api.Provider, error) {
	p, err := c.Role()
	if err != nil {
		return api.Provider{}, err
	}
	p.SetSelling(on)
	c.Tell(ctx, store.Event{Topic: "offer", ID: c.Self.String(),
		Cause: map[bool]string{true: "resumed", false: "paused"}[on]})
	return c.Provider(ctx)
}

// ProviderLeases implements api.Selling.
func (c *Counter) ProviderLeases(ctx context.Context, q api.LeaseQuery) (out []api.Lease, next string, err error) {
	if c.Early() {
		return nil, "", nil // none was ever taken
	}
	p, err := c.Role()
	if err != nil {
		return nil, "", err
	}
	after, err := base64.RawURLEncoding.DecodeString(q.After)
	if err != nil {
		return nil, "", rest.Usage(http.StatusBadRequest, "cursor is none of this list")
	}
	list, place, err := p.Page(after, q.Limit, q.Live)
	used := p.Usage(ctx)
	for _, v := range list {
		d := leases.Sold(v).Doc
		if u, ok := used[v.Lease.ID]; ok {
			d.UsedCPUMS, d.UsedRAM = u.CPU.Milliseconds(), u.Memory
		}
		out = append(out, d)
	}
	return out, base64.RawURLEncoding.EncodeToString(place), err
}

// signed makes Money of lamports that may be negative.
func signed(n int64) api.Money {
	m := api.SOL(0)
	m.Amount = strconv.FormatInt(n, 10)
	return m
}

// ProviderEarnings implements api.Selling.
func (c *Counter) ProviderEarnings(_ context.Context, since time.Time) (api.Earnings, error) {
	p, err := c.Role()
	if err != nil {
		return api.Earnings{}, err
	}
	e := p.Earned()
	out := api.Earnings{
		Schema: "gpuai.earnings/v1", Days: []api.EarnedDay{}, Earned: api.SOL(e.Total()), Settled: api.SOL(e.Settled),
		Claim: api.SOL(e.Claimable), Now: api.SOL(e.Now),
	}
	if !since.IsZero() {
		at := rest.At(since)
		out.Since = &at
	}
	for _, d := range p.Days(since) {
		row := api.EarnedDay{
			Day: d.Day.Format(time.DateOnly), Class: d.Class, Jobs: d.Jobs, RunMS: int64(d.MS),
			Earned: signed(d.Earned), Settled: signed(d.Settled),
		}
		if d.Device != (market.DeviceID{}) {
			row.Device = d.Device.String()
		}
		out.Days = append(out.Days, row)
	}
	return out, nil
}

// ProviderIdle implements api.Selling.
func (c *Counter) ProviderIdle(context.Context) (api.Idle, error) {
	p, err := c.Role()
	if err != nil {
		return api.Idle{}, err
	}
	v, idle := p.View(), p.Idle()
	out := api.Idle{
		Schema: "gpuai.idle/v1", Selling: v.Selling, Asked: idle.Asked, Customers: idle.Customers, Quoted: idle.Quoted,
		Leased:  idle.Leased,
		Waiting: idle.Waits, Lost: idle.Lost, Refused: []api.IdleReason{}, Prices: []api.PriceRank{},
	}
	if out.Why = v.Why; !v.Selling && out.Why == "" {
		out.Why = "paused"
	}
	if !idle.Since.IsZero() {
		at := rest.At(idle.Since)
		out.Since = &at
	}
	for _, r := range idle.Refused {
		out.Refused = append(out.Refused, api.IdleReason{Code: r.Code, Detail: r.Detail, Orders: r.Orders})
	}
	offers, ok := c.Known()
	if !ok {
		return out, nil
	}
	own := map[string]market.Rate{}
	for _, d := range v.Devices {
		own[d.Class] = d.Rate
	}
	for class, rate := range own {
		out.Prices = append(out.Prices, rank(class, rate, c.Self, offers))
	}
	slices.SortFunc(out.Prices, func(x, y api.PriceRank) int { return cmp.Compare(x.Class, y.Class) })
	return out, nil
}

// rank says where a rate stands among the offers of others for the same model.
func rank(class string, own market.Rate, self market.NodeID, offers []market.Offer) api.PriceRank {
	out := api.PriceRank{Class: class, Own: api.RateSOL(own), Rank: 1}
	var rates []market.Rate
	for _, o := range offers {
		if o.Provider == self || len(o.Mints) == 0 || o.Mints[0] != (market.Address{}) {
			continue
		}
		for _, g := range o.Groups {
			if g.Class != class || len(g.Rates) == 0 {
				continue
			}
			rates = append(rates, g.Rates[0])
			if g.Rates[0] < own {
				out.Cheaper++
				out.FreeElse += bits.OnesCount64(g.Free)
			}
		}
	}
	out.Rank, out.Offers = 1+out.Cheaper, len(rates)
	if len(rates) > 0 {
		slices.Sort(rates)
		out.Lowest, out.Middle = api.RateSOL(rates[0]), api.RateSOL(rates[len(rates)/2])
	}
	return out
}

// KickLease implements api.Selling. Error: not-found.
func (c *Counter) KickLease(ctx context.Context, id, reason string) error {
	p, err := c.Role()
	if err != nil {
		return err
	}
	if err := p.Kick(ctx, id, reason); err != nil {
		return err
	}
	c.Tell(ctx, store.Event{Topic: "security", ID: id, Cause: "lease-kicked"})
	return nil
}

// PatchProvider implements api.Selling: rates go to the settings, so that they outlive the node.
func (c *Counter) PatchProvider(ctx context.Context, p api.ProviderPatch) (err error) {
	if _, err = c.Role(); err != nil {
		return err
	}
	set := map[string]string{}
	if p.Rate != nil {
		if set["provider.rate"], err = rateText(*p.Rate); err != nil {
			return err
		}
	}
	if p.Rates != nil {
		pairs := []string{}
		for _, class := range slices.Sorted(maps.Keys(p.Rates)) {
			text, err := rateText(p.Rates[class])
			if err == nil && class != market.Slug(class) {
				err = errors.New("not a slug")
			}
			if err != nil {
				return control.Invalid("rates are of models, as in rtx-4090, in lamports per hour")
			}
			pairs = append(pairs, class+"="+text)
		}
		set["provider.rates"] = strings.Join(pairs, ",")
	}
	if len(set) > 0 {
		if _, err := c.Set(ctx, api.SettingsPatch{Set: set}); err != nil {
			return err
		}
	}
	if p.Selling != nil {
		_, err = c.ProviderSell(ctx, *p.Selling)
	}
	return err
}

func rateText(m api.Money) (string, error) {
	if m.Lamports() == 0 || m.Per != "" && m.Per != "hour" || m.Mint != "" && m.Mint != api.SOL(0).Mint {
		return "", control.Invalid("a rate is lamports per hour, above 0")
	}
	return m.Lamports().SOL() + "/h", nil
}
