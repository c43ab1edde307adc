package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Limits of quoting: a Quote lives quoteLife, maxQuotes of them are kept in memory, and clocks may differ by maxSkew.
const (
	quoteLife  = 20 * time.Second
	maxQuotes  = 4096
	maxSkew    = 5 * time.Second
	prepFloor  = 3 * time.Minute
	assumeRate = 8 << 20 // bytes/s: our download rate until one was measured
	floorRate  = 256_000 // bytes/s
)

// quoted is a Quote in memory: what was asked and what was answered.
type quoted struct {
	order market.Order
	quote market.Quote
	used  market.LeaseID // the lease that took it, zero if none
}

// Quote answers an Order with a signed Quote; it reserves nothing. Refusals: malformed, signer-not-peer, policy, clock-skew,
// debt-unpaid, does-not-fit (names the term), busy, draining, unhealthy.
func (p *Provider) Quote(ctx context.Context, from market.NodeID, raw []byte) ([]byte, error) {
	for _, step := range []<-chan struct{}{p.loaded, p.checked} {
		if err := p.started(ctx, step); err != nil {
			return nil, err
		}
	}
	order, env, err := wire.OpenOrder(raw, p.cfg.Network)
	if err != nil {
		return nil, market.Refuse("malformed", market.KindInvalid, err.Error())
	}
	if env.Signer != from {
		return nil, market.Refuse("signer-not-peer", market.KindDenied, "the order is signed by another node")
	}
	now := p.now()
	if err := p.orderFits(order, from, now); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expireQuotes(now)
	if len(p.quotes) >= maxQuotes {
		return nil, market.Refuse("busy", market.KindUnavailable, "too many open quotes")
	}
	devices, group, err := p.pickDevices(order)
	if err != nil {
		return nil, err
	}
	q := p.makeQuote(order, env.ID, devices, p.rateOf(group), now)
	sealed, err := wire.SealQuote(p.cfg.Key, p.cfg.Network, q)
	if err != nil {
		return nil, fmt.Errorf("seal quote: %w", err)
	}
	qenv, err := wire.Open(sealed, p.cfg.Network)
	if err != nil {
		return nil, fmt.Errorf("open own quote: %w", err)
	}
	p.quotes[qenv.ID] = &quoted{order: order, quote: q}
	return sealed, nil
}

func (p *Provider) orderFits(o market.Order, from market.NodeID, now time.Time) error {
	switch {
	case o.Customer != from:
		return market.Refuse("signer-not-peer", market.KindDenied, "the order names another customer")
	case o.ClusterTag != p.cfg.ClusterTag:
		return market.Refuse("policy", market.KindDenied, "the order is for another ledger")
	case o.Created.After(now.Add(maxSkew)) || o.ValidUntil.Before(now):
		return market.Refuse("clock-skew", market.KindInvalid, fmt.Sprintf("order created %s, valid until %s, here it is %s", o.Created.UTC().Format(time.TimeOnly), o.ValidUntil.UTC().Format(time.TimeOnly), now.UTC().Format(time.TimeOnly)))
	case o.Mint != (market.Address{}):
		return market.Refuse("does-not-fit", market.KindConflict, "only SOL is taken")
	case o.Platform != "" && o.Platform != "linux/amd64":
		return market.Refuse("does-not-fit", market.KindConflict, "platform "+o.Platform)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if limit := p.policy.MaxTime; limit > 0 && o.MaxDuration > limit {
		return market.Refuse("does-not-fit", market.KindConflict, fmt.Sprintf("longest lease is %s", limit))
	}
	if !p.health.fit {
		return market.Refuse("unhealthy", market.KindUnavailable, p.health.code)
	}
	if o.Egress > p.health.egress {
		return market.Refuse("does-not-fit", market.KindConflict, "egress is not offered")
	}
	if !p.selling {
		return market.Refuse("draining", market.KindUnavailable, "this rig does not sell now")
	}
	if err := p.room(o); err != nil {
		return err
	}
	return p.admits(o, from, now)
}

// room checks the order's sizes against what is lent out: cores by the whole rig, they are shared; memory and disk by what live leases
// leave. Caller holds mu. Refusal: does-not-fit, with the field.
func (p *Provider) room(o market.Order) error {
	ram, disk := o.RAM, o.Disk
	for _, l := range p.leases {
		if l.actor.Lease().State.Live() {
			ram, disk = ram+l.order.RAM, disk+l.order.Disk
		}
	}
	switch {
	case o.CPUMilli > p.cfg.CPUMilli:
		return market.Refuse("does-not-fit", market.KindConflict, fmt.Sprintf("cpu: %d of %d milli-cores", o.CPUMilli, p.cfg.CPUMilli))
	case o.RAM > p.cfg.RAM || ram > p.cfg.RAM:
		return market.Refuse("does-not-fit", market.KindConflict, fmt.Sprintf("ram: %d MiB with other jobs, of %d", ram>>20, p.cfg.RAM>>20))
	case o.Disk > p.cfg.Disk || disk > p.cfg.Disk:
		return market.Refuse("does-not-fit", market.KindConflict, fmt.Sprintf("disk: %d MiB with other jobs, of %d", disk>>20, p.cfg.Disk>>20))
	}
	return nil
}

// pickDevices matches the order against the own rig by the same matcher that customers use. Caller holds mu.
func (p *Provider) pickDevices(o market.Order) ([]market.DeviceID, market.DeviceGroup, error) {
	offer := p.buildOffer(uint64(p.now().UnixMilli())) // the number is the issue time, too
	b := book.New(len(p.devices) + 1)
	if _, err := b.Put(offer, market.DocID{}, nil, p.now()); err != nil {
		return nil, market.DeviceGroup{}, fmt.Errorf("own offer: %w", err)
	}
	res := b.Match(book.Query{Terms: o.Constraints, Devices: o.Devices, Mint: o.Mint, MaxRate: o.MaxRate, Limit: 1, Order: o.Nonce}, p.now())
	if len(res.Candidates) == 0 {
		return nil, market.DeviceGroup{}, market.Refuse("does-not-fit", market.KindConflict, res.Explanation.Text())
	}
	g := offer.Groups[res.Candidates[0].Group]
	var out []market.DeviceID
	for i, d := range g.Devices {
		if g.Free&(1<<i) != 0 && len(out) < o.Devices {
			out = append(out, d)
		}
	}
	return out, g, nil
}

// prepMax bounds what is free for the customer: twice the time that image and inputs need at our rate, plus 2 min, at least 3 min.
func prepMax(bytes uint64) time.Duration {
	d := time.Duration(bytes/assumeRate)*time.Second*2 + 2*time.Minute
	return max(d, prepFloor)
}

func (p *Provider) makeQuote(o market.Order, id market.DocID, devs []market.DeviceID, rate market.Rate, now time.Time) market.Quote {
	headroom, _ := rate.For(len(devs), o.StopGrace+6*p.cfg.Tick)
	q := market.Quote{
		Order: id, Offer: p.offerID, OfferSeq: p.offerSeq, Devices: devs, Rate: rate, Mint: o.Mint, Payout: p.cfg.Payout,
		Created: now.Truncate(time.Millisecond), Expires: now.Add(quoteLife).Truncate(time.Millisecond),
		Tick: p.cfg.Tick, Hold: p.cfg.Hold, PrepMax: prepMax(o.ImageBytes + o.InputBytes), FloorRate: floorRate,
		MinHeadroom: headroom, MinCloseDelay: p.cfg.MinCloseDelay, ClaimFee: p.claimFee(), FeePayer: p.cfg.FeePayer,
		ReleaseKey: p.releaseKey(o.Customer, o.Mint),
	}
	if !p.knows(o.Customer, o.Payer) {
		q.Prepay = 1 // a stranger's first tick is paid ahead
	}
	return q
}

func (p *Provider) expireQuotes(now time.Time) {
	for id, q := range p.quotes {
		if now.After(q.quote.Expires.Add(30 * time.Second)) {
			delete(p.quotes, id)
		}
	}
}
