package counter

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/rig"
	"github.com/gpuai/gpuai/p2p/wire"
)

// MaxSkew is how much clocks may differ, QuoteLife how long a Quote lives.
const (
	MaxSkew   = 5 * time.Second
	QuoteLife = 20 * time.Second
)

// Limits of quoting: maxQuotes are kept in memory.
const (
	maxQuotes  = 4096
	prepFloor  = 3 * time.Minute
	assumeRate = 8 << 20 // bytes/s: our download rate until one was measured
	floorRate  = 256_000 // bytes/s
)

// The longest preparations, of customers that have not paid here yet and of those that have.
const (
	prepMost      = time.Hour
	prepMostKnown = 6 * time.Hour
)

// errTaken: a Quote is used once.
var errTaken = market.Refuse(market.CodeQuoteUnknown, market.KindConflict, "this quote was taken by another lease")

// quote answers an Order with a signed Quote; the first one reserves nothing, a further one for the same order holds
// its devices. Refusals: malformed, signer-not-peer, policy, clock-skew, debt-unpaid, does-not-fit (names the term),
// busy (says when a device is free at the latest), draining, unhealthy.
func (c *Counter) quote(ctx context.Context, from market.NodeID, raw []byte) ([]byte, error) {
	if err := c.deps.Started(ctx); err != nil {
		return nil, err
	}
	order, env, err := wire.OpenOrder(raw, c.cfg.Network)
	if err != nil {
		return nil, market.Refuse(market.CodeMalformed, market.KindInvalid, err.Error())
	}
	if env.Signer != from {
		return nil, market.Refuse(market.CodeSignerNotPeer, market.KindDenied, "the order is signed by another node")
	}
	c.deps.Heard(from)
	now := c.deps.Now()
	if err := c.fits(order, from, now); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quotes.expire(now)
	if len(c.quotes) >= maxQuotes {
		return nil, market.Refuse(market.CodeBusy, market.KindUnavailable, "too many open quotes")
	}
	ask := c.Ask(order, from)
	ask.Named = c.quotes.named(order, now)
	expires := now.Add(QuoteLife).Truncate(time.Millisecond)
	if mine, _ := c.quotes.of(env.ID); len(mine) > 0 { // asked again
		ask.Until = expires.Add(MaxSkew)
		ask.One, ask.Busy = c.policy.Load().PayerStarts > 0 && !ask.Known, oneAtATime(c.cfg.Tick)
	}
	picked, err := c.deps.Rig.Pick(ask, now)
	if err != nil {
		return nil, err
	}
	q := c.makeQuote(ask, env.ID, picked, now, expires)
	sealed, err := wire.SealQuote(c.cfg.Key, c.cfg.Network, q)
	if err != nil {
		return nil, fmt.Errorf("seal quote: %w", err)
	}
	qenv, err := wire.Open(sealed, c.cfg.Network)
	if err != nil {
		return nil, fmt.Errorf("open own quote: %w", err)
	}
	c.quotes[qenv.ID] = &quoted{order: order, quote: q}
	return sealed, nil
}

// Ask is what an order asks of the rig.
func (c *Counter) Ask(o market.Order, from market.NodeID) rig.Ask {
	return rig.Ask{Order: o, From: from, Known: c.guests.knows(from, o.Payer)}
}

// Usable refuses the Quote of a lease that is not open here. Refusal: quote-unknown.
func (c *Counter) Usable(quote market.DocID, by market.LeaseID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch q := c.quotes[quote]; {
	case q == nil:
		return market.Refuse(market.CodeQuoteUnknown, market.KindNotFound, "this quote is not known here")
	case q.used != market.LeaseID{} && q.used != by:
		return errTaken
	}
	return nil
}

func (c *Counter) fits(o market.Order, from market.NodeID, now time.Time) error {
	switch limit := c.policy.Load().MaxTime; {
	case o.Customer != from:
		return market.Refuse(market.CodeSignerNotPeer, market.KindDenied, "the order names another customer")
	case o.ClusterTag != c.cfg.ClusterTag:
		return market.Refuse(market.CodePolicy, market.KindDenied, "the order is for another ledger")
	case o.Created.After(now.Add(MaxSkew)) || o.ValidUntil.Before(now):
		return market.Refuse(market.CodeClockSkew, market.KindInvalid,
			fmt.Sprintf("order created %s, valid until %s, here "+
				"it is %s", o.Created.UTC().Format(time.TimeOnly), o.ValidUntil.UTC().Format(time.TimeOnly),
				now.UTC().Format(time.TimeOnly)))
	case o.Mint != (market.Address{}):
		return market.Refuse(market.CodeDoesNotFit, market.KindConflict, "only SOL is taken")
	case o.Platform != "" && o.Platform != "linux/amd64":
		return market.Refuse(market.CodeDoesNotFit, market.KindConflict, "platform "+o.Platform)
	case limit > 0 && o.MaxDuration > limit:
		return market.Refuse(market.CodeDoesNotFit, market.KindConflict, fmt.Sprintf("longest lease is %s", limit))
	}
	if err := c.deps.Rig.Fits(c.Ask(o, from), now); err != nil {
		return err
	}
	return c.Admits(o, from, now)
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

func (c *Counter) makeQuote(a rig.Ask, id market.DocID, p rig.Picked, now, expires time.Time) market.Quote {
	o := a.Order
	headroom, _ := p.Rate.For(len(p.Devices), o.StopGrace+6*c.cfg.Tick)
	q := market.Quote{
		Order: id, Offer: p.Offer, OfferSeq: p.Seq, Devices: p.Devices, Rate: p.Rate, Mint: o.Mint,
		Payout: c.cfg.Payout, Created: now.Truncate(time.Millisecond), Expires: expires, Tick: c.cfg.Tick,
		Hold: c.cfg.Hold, PrepMax: prepMax(o.ImageBytes, o.InputBytes, a.Known), FloorRate: floorRate,
		MinHeadroom: headroom, MinCloseDelay: c.cfg.MinCloseDelay, ClaimFee: c.deps.Books.ClaimFee(),
		FeePayer: c.cfg.FeePayer, ReleaseKey: c.deps.Books.ReleaseKey(o.Customer, o.Mint),
	}
	if !a.Known {
		q.Prepay = 1 // a stranger's first tick is paid ahead
	}
	return q
}
