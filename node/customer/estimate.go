package customer

import (
	"context"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/node/customer/purse"
)

// How long a plan waits for a rig's terms, and how long it holds them for known: they hardly change, and many plans at
// once ask once.
const (
	termsWait = 3 * time.Second
	termsLife = 20 * time.Second
)

// knownTerms are what rigs quoted last, for plans.
type knownTerms struct {
	mu    sync.Mutex // held while a rig is asked
	terms map[market.NodeID]heardTerms
}

type heardTerms struct {
	quote market.Quote
	ok    bool // it answered with a Quote
	at    time.Time
}

// Estimate is what an order would take and buy at a candidate's terms. Quoted is false where the rig did not answer:
// then they are the usual ones.
type Estimate struct {
	Quoted            bool
	Reuses            bool // an open channel carries the order, with Deposit more in it
	Deposit, ClaimFee market.Amount
	Tick, Hold        time.Duration
	// until it is told to stop by its cap or longest time, and what then remains of them
	Runs, Grace time.Duration
	AtRisk      market.Amount // the most that is signed ahead
	Asleep      time.Duration // how long the job works on for it
}

// Estimate asks the candidate for its terms, which reserves nothing. usualFee stands in for the claim fee of a rig that
// does not answer.
func (q *Quotes) Estimate(ctx context.Context, r *Request, cand book.Candidate, usualFee market.Amount) Estimate {
	t, ok := q.termsOf(ctx, r, cand)
	if !ok {
		t = market.Quote{Rate: cand.Rate, ClaimFee: usualFee,
			Tick: time.Duration(cand.Offer.Fields[market.FieldTickMin]) * time.Millisecond}
	}
	e := Estimate{Quoted: ok, ClaimFee: t.ClaimFee, Tick: t.Tick, Hold: t.Hold}
	devices := r.File.Devices()
	limit := r.File.Limits.MaxTotal
	if whole, err := cand.Rate.For(devices, r.File.Limits.MaxDuration); err == nil {
		limit = min(limit, whole)
	}
	if len(t.Devices) == 0 {
		t.Devices = make([]market.DeviceID, devices)
	}
	// the usual terms suit no channel
	if e.Deposit, e.Reuses = q.purse.Would(purse.Want{Provider: cand.Provider, Quote: t, Limit: limit}); e.Reuses {
		e.ClaimFee = 0
	}
	e.Runs, e.Grace = market.CapTime(cand.Rate, devices, limit, r.File.Limits.MaxDuration, r.File.StopGrace)
	if away, err := cand.Rate.For(devices, r.File.Limits.Away); err == nil {
		e.AtRisk = min(away, q.cfg.AwayMax, limit)
	}
	e.Asleep = min(cand.Rate.Reach(devices, e.AtRisk)+t.Tick, r.File.Limits.MaxDuration)
	return e
}

// termsOf returns a rig's newest Quote, asked for unless it is known.
func (q *Quotes) termsOf(ctx context.Context, r *Request, cand book.Candidate) (market.Quote, bool) {
	q.terms.mu.Lock()
	defer q.terms.mu.Unlock()
	if k, ok := q.terms.terms[cand.Provider]; ok && time.Since(k.at) < termsLife {
		return k.quote, k.ok
	}
	ctx, cancel := context.WithTimeout(ctx, termsWait)
	defer cancel()
	good, _ := q.ask(ctx, r, []book.Candidate{cand})
	heard := heardTerms{ok: len(good) > 0, at: time.Now()}
	if heard.ok {
		heard.quote = good[0].quote
	}
	if q.terms.terms == nil || len(q.terms.terms) > 1000 {
		q.terms.terms = map[market.NodeID]heardTerms{}
	}
	q.terms.terms[cand.Provider] = heard
	return heard.quote, heard.ok
}
