package customer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Limits of placement: how many providers are asked at once, how long their answers and the whole placement may take.
const (
	topQuotes    = 5
	quoteWait    = 4 * time.Second
	quoteMore    = time.Second             // for the others, once there is one
	quoteFirst   = 1500 * time.Millisecond // on a connection that may be dead
	acceptWithin = 30 * time.Second
	fundWithin   = 90 * time.Second
	patience     = 5 * time.Minute          // with providers that are busy
	maxClaimFee  = market.Amount(1_000_000) // 0.001 SOL
	maxDelay     = 24 * time.Hour
)

// offered is one provider's valid Quote.
type offered struct {
	provider market.NodeID
	reach    []string
	order    market.Order
	orderRaw []byte
	quote    market.Quote
	quoteRaw []byte
}

// Match ranks the book for a request and explains every rejection.
func (c *Customer) Match(r *Request) book.Result {
	c.bookMu.RLock()
	defer c.bookMu.RUnlock()
	return c.book.Match(query(r, topQuotes), c.now())
}

// query is the order as the book is asked. Of a rig's cores, memory and disk an Offer says what is lent out in all; what is free of them, the
// Quote says.
func query(r *Request, limit int) book.Query {
	terms := append([]market.Term{{Field: market.FieldEgress, In: []uint64{uint64(r.Egress)}}}, r.Terms...)
	for _, size := range []market.Term{
		{Field: market.FieldRigCPU, Lo: uint64(r.CPUMilli)}, {Field: market.FieldRigRAM, Lo: r.RAM >> 20}, {Field: market.FieldDisk, Lo: r.Disk >> 20},
	} {
		if size.Lo > 0 {
			terms = append(terms, size)
		}
	}
	return book.Query{
		Terms: terms, Classes: r.Classes, Devices: r.Devices, MaxRate: r.MaxRate, Limit: limit,
		Providers: r.Providers, Exclude: r.Exclude,
	}
}

// quotes asks the best candidates at once and returns the valid quotes, cheapest first; refused says who refused and why.
func (c *Customer) quotes(ctx context.Context, r *Request, cands []book.Candidate) (good []offered, refused []error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(quoteWait, cancel)
	defer late.Stop()
	enough := sync.OnceFunc(func() { late.Reset(quoteMore) })
	type answer struct {
		o   offered
		err error
	}
	answers := make([]answer, len(cands))
	var g errgroup.Group
	for i, cand := range cands {
		g.Go(func() error {
			o, err := c.quote(ctx, r, cand.Provider, cand.Offer.Reach)
			if err == nil {
				enough()
			}
			answers[i] = answer{o, err}
			return nil
		})
	}
	_ = g.Wait() // the goroutines never fail
	for i, a := range answers {
		if a.err != nil {
			refused = append(refused, fmt.Errorf("%s: %w", cands[i].Provider.Short(), a.err))
			continue
		}
		good = append(good, a.o)
	}
	slices.SortStableFunc(good, func(a, b offered) int {
		switch {
		case a.quote.Rate < b.quote.Rate:
			return -1
		case a.quote.Rate > b.quote.Rate:
			return 1
		}
		return 0
	})
	return good, refused
}

// quote asks one provider and checks that its answer is what was asked for.
func (c *Customer) quote(ctx context.Context, r *Request, to market.NodeID, reach []string) (offered, error) {
	o := c.makeOrder(r, c.now())
	raw, err := wire.SealOrder(c.cfg.Key, c.cfg.Network, o)
	if err != nil {
		return offered{}, err
	}
	first, cancel := context.WithTimeout(ctx, quoteFirst)
	answer, err := c.net.Quote(first, to, reach, raw)
	cancel()
	var refusal *market.Refusal
	if err != nil && !errors.As(err, &refusal) && ctx.Err() == nil {
		c.net.HangUp(to) // of before the peer's last start, or on a path that is gone
		if sleep(ctx, 200*time.Millisecond) == nil {
			answer, err = c.net.Quote(ctx, to, reach, raw)
		}
	}
	if err != nil {
		return offered{}, err
	}
	q, env, err := wire.OpenQuote(answer, c.cfg.Network)
	if err != nil {
		return offered{}, fmt.Errorf("open quote: %w", err)
	}
	oenv, err := wire.Open(raw, c.cfg.Network)
	if err != nil {
		return offered{}, err
	}
	if err := checkQuote(q, o, oenv.ID, env.Signer, to, c.now()); err != nil {
		return offered{}, err
	}
	return offered{provider: to, reach: reach, order: o, orderRaw: raw, quote: q, quoteRaw: answer}, nil
}

func checkQuote(q market.Quote, o market.Order, id market.DocID, signer, to market.NodeID, now time.Time) error {
	bad := func(what string) error {
		return &market.Error{Code: "quote-refused", Kind: market.KindDenied, Op: "check quote", Detail: what, Hint: "another provider is tried"}
	}
	switch {
	case signer != to:
		return bad("signed by another node")
	case q.Order != id:
		return bad("answers another order")
	case q.Rate > o.MaxRate:
		return bad("asks more than the top rate")
	case len(q.Devices) != o.Devices:
		return bad("names another number of devices")
	case q.Payout == market.Address{} || q.Payout == o.Payer:
		return bad("pays out to nobody, or to the payer itself: no channel can be opened for that")
	case q.ClaimFee > 0 && (q.FeePayer == market.Address{} || q.FeePayer == o.Payer):
		return bad("names no account for the claim fee")
	case q.Mint != o.Mint:
		return bad("wants another mint")
	case q.Expires.Before(now) || q.Expires.After(now.Add(time.Minute)):
		return bad("expired, or valid for too long")
	case q.Tick < time.Second || q.Tick > time.Minute:
		return bad("tick out of range")
	case q.ClaimFee > maxClaimFee:
		return bad("claim fee above 0.001 SOL")
	case q.MinCloseDelay > maxDelay:
		return bad("close delay above 24 h")
	case q.Prepay > 1:
		return bad("wants more than one tick ahead")
	case q.Hold > 10*time.Minute:
		return bad("hold above 10 min")
	}
	return nil
}

// advice is what to do about a refusal that the same provider repeats; "" for others.
func advice(code string, provider market.NodeID) string {
	if code != "policy" {
		return ""
	}
	return "change what the rule names, wait if it says until when, or ask others: gpuai run --exclude " + provider.String()
}

// best asks for quotes and returns the cheapest. wait is not 0 if a provider is only busy, and may be asked again after it. Errors:
// no-offer-fits with the explanation, quote-refused with each refusal.
func (c *Customer) best(ctx context.Context, r *Request) (o offered, wait time.Duration, err error) {
	c.AwaitOffers(ctx)
	res := c.Match(r)
	if len(res.Candidates) == 0 {
		return o, 0, &market.Error{Code: "no-offer-fits", Kind: market.KindConflict, Op: "match order", Detail: res.Explanation.Text(), Hint: res.Explanation.Hint()}
	}
	good, refused := c.quotes(ctx, r, res.Candidates)
	if len(good) > 0 {
		return good[0], 0, nil
	}
	detail, hint := "", "gpuai offers --explain"
	for i, e := range refused {
		if i > 0 {
			detail += "; "
		}
		detail += e.Error()
		if h := advice(market.CodeOf(e), res.Candidates[i].Provider); h != "" {
			hint = h
		}
		var refusal *market.Refusal
		if errors.As(e, &refusal) && refusal.Code == "busy" && refusal.RetryAfter > 0 && (wait == 0 || refusal.RetryAfter < wait) {
			wait = refusal.RetryAfter
		}
	}
	return o, wait, &market.Error{Code: "quote-refused", Kind: market.KindConflict, Op: "ask for quotes", Detail: detail, Hint: hint}
}

// search is best, asked again while a provider is only busy: a new customer's next job waits until the first tick of the one before is paid.
func (r *orderRun) search(ctx context.Context, req *Request) (offered, error) {
	for end := r.c.now().Add(patience); ; {
		o, wait, err := r.c.best(ctx, req)
		if err == nil || wait == 0 || r.c.now().Add(wait).After(end) {
			return o, err
		}
		r.say(ctx, "waits", err.Error())
		for until := r.c.now().Add(wait); r.c.now().Before(until) && !r.stopped(); {
			if err := sleep(ctx, min(wait, time.Second)); err != nil {
				return o, err
			}
		}
		if r.stopped() {
			return o, &market.Error{Code: "stopped", Kind: market.KindConflict, Op: "place order", Hint: "gpuai run"}
		}
	}
}
