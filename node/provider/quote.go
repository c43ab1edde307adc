package provider

import (
	"context"
	"fmt"
	"slices"
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

// The longest preparations, of customers that have not paid here yet and of those that have.
const (
	prepMost      = time.Hour
	prepMostKnown = 6 * time.Hour
)

// quoted is a Quote in memory: what was asked and what was answered.
type quoted struct {
	order market.Order
	quote market.Quote
	used  market.LeaseID // the lease that took it, zero if none
}

// quote answers an Order with a signed Quote; the first one reserves nothing, a further one for the same order holds
// its devices. Refusals: malformed, signer-not-peer, policy, clock-skew, debt-unpaid, does-not-fit (names the term),
// busy (says when a device is free at the latest), draining, unhealthy.
func (p *Provider) quote(ctx context.Context, from market.NodeID, raw []byte) ([]byte, error) {
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
	p.hear(from)
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
	p.expireHolds(now)
	devices, group, err := p.pickDevices(order, from, now)
	if err != nil {
		return nil, err
	}
	means := p.asked(env.ID)
	if means && p.policy.PayerStarts > 0 && !p.knows(from, order.Payer) {
		if err := p.oneHold(order, from); err != nil {
			return nil, err
		}
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
	if means {
		p.keepFor(order, q, now)
	}
	return sealed, nil
}

func (p *Provider) orderFits(o market.Order, from market.NodeID, now time.Time) error {
	switch {
	case o.Customer != from:
		return market.Refuse("signer-not-peer", market.KindDenied, "the order names another customer")
	case o.ClusterTag != p.cfg.ClusterTag:
		return market.Refuse("policy", market.KindDenied, "the order is for another ledger")
	case o.Created.After(now.Add(maxSkew)) || o.ValidUntil.Before(now):
		return market.Refuse("clock-skew", market.KindInvalid, fmt.Sprintf("order created %s, valid until %s, here "+
			"it is %s", o.Created.UTC().Format(time.TimeOnly), o.ValidUntil.UTC().Format(time.TimeOnly),
			now.UTC().Format(time.TimeOnly)))
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
	if err := p.room(o, from, now); err != nil {
		return err
	}
	return p.admits(o, from, now)
}

// room checks the order's sizes against what is lent out: cores by the whole rig, they are shared; memory and disk by
// what live leases and other orders' holds leave. Caller holds mu. Refusals: does-not-fit, with the field; busy if it
// would fit an empty rig.
func (p *Provider) room(o market.Order, from market.NodeID, now time.Time) error {
	ram, disk := o.RAM, o.Disk
	holds := p.others(o, from)
	for _, h := range holds {
		ram, disk = ram+h.ram, disk+h.disk
	}
	for _, l := range p.leases {
		if l.actor.Lease().State.Live() {
			ram, disk = ram+l.order.RAM, disk+l.order.Disk
		}
	}
	switch {
	case o.CPUMilli > p.cfg.CPUMilli:
		return market.Refuse("does-not-fit", market.KindConflict,
			fmt.Sprintf("cpu: %d of %d milli-cores", o.CPUMilli, p.cfg.CPUMilli))
	case o.RAM > p.cfg.RAM:
		return market.Refuse("does-not-fit", market.KindConflict,
			fmt.Sprintf("ram: %d of %d MiB", o.RAM>>20, p.cfg.RAM>>20))
	case o.Disk > p.cfg.Disk:
		return market.Refuse("does-not-fit", market.KindConflict,
			fmt.Sprintf("disk: %d of %d MiB", o.Disk>>20, p.cfg.Disk>>20))
	case ram > p.cfg.RAM:
		return p.rented(fmt.Sprintf("ram: %d MiB with other jobs, of %d", ram>>20, p.cfg.RAM>>20), p.deviceIDs,
			len(p.deviceIDs), holds, now)
	case disk > p.cfg.Disk:
		return p.rented(fmt.Sprintf("disk: %d MiB with other jobs, of %d", disk>>20, p.cfg.Disk>>20), p.deviceIDs,
			len(p.deviceIDs), holds, now)
	}
	return nil
}

// oneHold: a stranger has one lease at a time, so one hold. Caller holds mu. Refusal: busy.
func (p *Provider) oneHold(o market.Order, from market.NodeID) error {
	for k := range p.held {
		if k.from == from && k.order != o.Nonce {
			return refuseUntil("busy", market.KindUnavailable,
				"limits.payer_starts: one lease at a time until its first tick is paid", p.cfg.Tick)
		}
	}
	return nil
}

// pickDevices matches the order against the own rig by the same matcher that customers use; devices that the fewest
// other quotes name come first. Caller holds mu. Refusals: does-not-fit, busy.
func (p *Provider) pickDevices(o market.Order, from market.NodeID, now time.Time) ([]market.DeviceID,
	market.DeviceGroup, error) {
	offer := p.buildOffer(uint64(now.UnixMilli())) // the number is the issue time, too
	holds := p.others(o, from)
	held := map[market.DeviceID]bool{}
	for _, h := range holds {
		for _, d := range h.devices {
			held[d] = true
		}
	}
	for gi := range offer.Groups {
		for i, d := range offer.Groups[gi].Devices {
			if held[d] {
				offer.Groups[gi].Free &^= 1 << i
			}
		}
	}
	b := book.New(len(p.devices) + 1)
	if _, err := b.Put(offer, market.DocID{}, nil, now); err != nil {
		return nil, market.DeviceGroup{}, fmt.Errorf("own offer: %w", err)
	}
	q := book.Query{Terms: o.Constraints, Devices: o.Devices, Mint: o.Mint, MaxRate: o.MaxRate, Limit: 1,
		Order: o.Nonce}
	res := b.Match(q, now)
	if len(res.Candidates) == 0 {
		q.Rented = true
		if all := b.Match(q, now); len(all.Candidates) > 0 {
			g := offer.Groups[all.Candidates[0].Group]
			what := fmt.Sprintf("%d of %d devices are free, %d asked for", all.Candidates[0].Devices, len(g.Devices),
				o.Devices)
			return nil, market.DeviceGroup{}, p.rented(what, g.Devices, o.Devices, holds, now)
		}
		return nil, market.DeviceGroup{}, market.Refuse("does-not-fit", market.KindConflict, res.Explanation.Text())
	}
	g := offer.Groups[res.Candidates[0].Group]
	var out []market.DeviceID
	for i, d := range g.Devices {
		if g.Free&(1<<i) != 0 {
			out = append(out, d)
		}
	}
	named := p.named(o, now)
	slices.SortStableFunc(out, func(a, b market.DeviceID) int { return named[a] - named[b] })
	return out[:o.Devices], g, nil
}

// named counts the open quotes of other orders by device. Caller holds mu.
func (p *Provider) named(o market.Order, now time.Time) map[market.DeviceID]int {
	out := map[market.DeviceID]int{}
	for _, q := range p.quotes {
		if q.used == (market.LeaseID{}) && now.Before(q.quote.Expires) && q.order.Nonce != o.Nonce {
			for _, d := range q.quote.Devices {
				out[d]++
			}
		}
	}
	return out
}

// prepMax bounds what is free for the customer: twice the time that image and inputs need at our rate, plus 2 min, at
// least 3 min. The sizes are the customer's word, so there is an end to it.
func prepMax(image, inputs uint64, known bool) time.Duration {
	most := prepMost
	if known {
		most = prepMostKnown
	}
	seconds := min(image, 1<<50)/assumeRate + min(inputs, 1<<50)/assumeRate
	return min(max(time.Duration(seconds)*time.Second*2+2*time.Minute, prepFloor), most)
}

func (p *Provider) makeQuote(o market.Order, id market.DocID, devs []market.DeviceID, rate market.Rate,
	now time.Time) market.Quote {
	headroom, _ := rate.For(len(devs), o.StopGrace+6*p.cfg.Tick)
	q := market.Quote{
		Order: id, Offer: p.offerID, OfferSeq: p.offerSeq, Devices: devs, Rate: rate, Mint: o.Mint,
		Payout:  p.cfg.Payout,
		Created: now.Truncate(time.Millisecond), Expires: now.Add(quoteLife).Truncate(time.Millisecond),
		Tick: p.cfg.Tick, Hold: p.cfg.Hold, PrepMax: prepMax(o.ImageBytes, o.InputBytes, p.knows(o.Customer, o.Payer)),
		FloorRate:   floorRate,
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
