package node

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/store"
)

// signed makes Money of lamports that may be negative.
func signed(n int64) api.Money {
	m := api.SOL(0)
	m.Amount = strconv.FormatInt(n, 10)
	return m
}

// ProviderEarnings implements api.Backend.
func (b *Backend) ProviderEarnings(_ context.Context, since time.Time) (api.Earnings, error) {
	p, err := b.provider()
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

// ProviderIdle implements api.Backend.
func (b *Backend) ProviderIdle(context.Context) (api.Idle, error) {
	p, err := b.provider()
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
	c, err := b.customer()
	if err != nil {
		return out, nil // it knows no other offers
	}
	own := map[string]market.Rate{}
	for _, d := range v.Devices {
		own[d.Class] = d.Rate
	}
	for class, rate := range own {
		out.Prices = append(out.Prices, rank(class, rate, b.n.host.ID(), c.Offers()))
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

// KickLease implements api.Backend. Error: not-found.
func (b *Backend) KickLease(ctx context.Context, id, reason string) error {
	p, err := b.provider()
	if err != nil {
		return err
	}
	if err := p.Kick(ctx, id, reason); err != nil {
		return err
	}
	b.tell(ctx, store.Event{Topic: "security", ID: id, Cause: "lease-kicked"})
	return nil
}
