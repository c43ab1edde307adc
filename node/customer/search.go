package customer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
)

// How long an order waits for what may pass, and how often it looks again. The book tells of devices that are free
// again, so that most waits end sooner than lookAgain.
const (
	patience  = 5 * time.Minute  // with rigs that are rented or busy
	restart   = time.Minute      // with rigs that start, end, are being mended, or do not answer
	resumeFor = 3 * time.Minute  // with a book in which nothing fits yet, for an order that a restart interrupted
	settleIn  = 10 * time.Second // the same for a new one, from this node's start on
	lookAgain = 15 * time.Second
	lookBook  = 500 * time.Millisecond
)

// shunned is a provider that has refused this order: it is asked again after until, or once it has said something new.
type shunned struct {
	err   error
	until time.Time
	offer market.DocID
	times int
}

// verdict says what to do about a round in which nobody gave a quote.
type verdict struct {
	patience time.Duration // how long that may last since the search began; 0: it is final
	again    time.Duration // when to ask again
	free     time.Time     // when a device is free at the latest; zero: nobody knows
	rented   bool          // all that fits is rented or busy
}

// waitsFor is how long an order may wait for what a provider has answered to pass; 0: it never will.
func waitsFor(err error) time.Duration {
	var refusal *market.Refusal
	var ours *market.Error
	switch {
	case errors.As(err, &refusal):
		switch {
		case slices.Contains([]market.Code{market.CodeUnhealthy, market.CodeDraining, market.CodeChainUnreachable,
			market.CodeQuoteUnknown,
			market.CodeQuoteExpired, market.CodeTooLate}, refusal.Code):
			return restart
		case refusal.Passes():
			return patience
		}
		return 0
	case errors.As(err, &ours) && ours.Kind != market.KindUnavailable:
		return 0 // its answer is not what was asked for, or this node's own money is short
	}
	return restart // it did not answer
}

func (v *verdict) see(err error) {
	v.patience = max(v.patience, waitsFor(err))
	var refusal *market.Refusal
	if !errors.As(err, &refusal) || !refusal.Passes() {
		return
	}
	v.rented = v.rented || waitsFor(err) == patience
	if w := refusal.RetryAfter; w > 0 && (v.again == 0 || w < v.again) {
		v.again = w
	}
}

// shun leaves a provider alone for as long as it said, at most lookAgain, and longer each time.
func (r *orderRun) shun(p market.NodeID, err error) {
	r.c.bookMu.RLock()
	_, offer, _, _ := r.c.book.Get(p)
	r.c.bookMu.RUnlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	times := min(r.shunned[p].times, 4)
	wait := time.Second << times
	var refusal *market.Refusal
	if errors.As(err, &refusal) {
		wait = max(wait, refusal.RetryAfter)
	}
	if r.shunned == nil {
		r.shunned = map[market.NodeID]shunned{}
	}
	r.shunned[p] = shunned{err: err, until: r.c.now().Add(min(wait, lookAgain)), offer: offer, times: times + 1}
}

// shuns reports whether a candidate has refused lately and said nothing new since.
func (r *orderRun) shuns(c book.Candidate) bool {
	r.mu.Lock()
	s, ok := r.shunned[c.Provider]
	r.mu.Unlock()
	return ok && s.offer == c.OfferID && r.c.now().Before(s.until)
}

// best asks for quotes, the cheapest five first, and returns the cheapest. Where all that fits is rented, it asks those
// rigs: an Offer may be some seconds old, and only the rig knows when it is free. Errors: no-offer-fits with the
// explanation, quote-refused with each refusal.
func (r *orderRun) best(ctx context.Context, req *Request) (offered, verdict, error) {
	if o, ok := r.first(ctx, req); ok {
		return o, verdict{}, nil
	}
	res, rented := r.c.match(req, maxAsked, false)
	if len(res.Candidates) == 0 {
		res, _ = r.c.match(req, maxAsked, true)
		return offered{}, verdict{patience: r.fitPatience(), again: lookAgain}, &market.Error{
			Code: market.CodeNoOfferFits, Kind: market.KindConflict, Op: "match order", Detail: res.Explanation.Text(),
			Hint: res.Explanation.Hint(),
		}
	}
	cands := res.Candidates
	if rented {
		cands = cands[:min(len(cands), topQuotes)]
	}
	for batch := range slices.Chunk(slices.DeleteFunc(slices.Clone(cands), r.shuns), topQuotes) {
		good, refused := r.c.quotes(ctx, req, batch)
		if len(good) > 0 {
			return good[0], verdict{}, nil
		}
		if ctx.Err() != nil {
			return offered{}, verdict{}, ctx.Err()
		}
		for i, err := range refused { // one per candidate: none was good
			r.shun(batch[i].Provider, err)
		}
	}
	v := verdict{rented: rented}
	var detail []string
	hint := "gpuai offers --explain"
	for _, cand := range cands {
		r.mu.Lock()
		err := r.shunned[cand.Provider].err
		r.mu.Unlock()
		if err == nil {
			continue
		}
		v.see(err)
		detail = append(detail, cand.Provider.Short()+": "+because(err))
		if h := advice(market.CodeOf(err), cand.Provider); h != "" {
			hint = h
		}
	}
	if v.again > 0 {
		v.free = r.c.now().Add(v.again)
	}
	return offered{}, v, &market.Error{Code: market.CodeQuoteRefused, Kind: market.KindConflict, Op: "ask for quotes",
		Detail: strings.Join(detail, "; "), Hint: hint}
}

// first asks the provider with which this order was funding when the node ended: its channel waits there, whatever the
// book knows by now.
func (r *orderRun) first(ctx context.Context, req *Request) (offered, bool) {
	o := r.snapshot()
	if !r.resumed || o.Standing != StandingFunding || o.Provider == (market.NodeID{}) || r.firstAsked {
		return offered{}, false
	}
	r.firstAsked = true
	good, _ := r.c.quotes(ctx, req, []book.Candidate{{Provider: o.Provider, Offer: market.Offer{Reach: o.Reach}}})
	return one(good)
}

func one(good []offered) (offered, bool) {
	if len(good) == 0 {
		return offered{}, false
	}
	return good[0], true
}

// fitPatience is how long an order waits for an offer that fits.
func (r *orderRun) fitPatience() time.Duration {
	if r.resumed {
		return resumeFor
	}
	return max(time.Until(r.c.began.Add(settleIn)), 0)
}

// busyError is the end of a wait for rigs that are rented.
func busyError(v verdict, now time.Time, err error) error {
	when := ""
	if v.free.After(now) {
		when = fmt.Sprintf("; one is free at %s UTC at the latest", v.free.UTC().Format(time.DateTime))
	}
	var cause *market.Error
	detail := ""
	if errors.As(err, &cause) {
		detail = " (" + cause.Detail + ")"
	}
	return &market.Error{
		Code: market.CodeBusy, Kind: market.KindUnavailable, Op: "place order",
		Detail: "all that fits is rented" + when + detail,
		Hint:   "place it again then, or see what else there is: gpuai offers --explain",
	}
}

// search is best, asked again while what it says may pass: until patience is over for rented rigs, for a minute where
// rigs start or do not answer. Errors: best's; busy, with the time when a device is free, if known; stopped; ctx's.
func (r *orderRun) search(ctx context.Context, req *Request) (offered, error) {
	begun, said := r.c.now(), ""
	for {
		seen := r.c.bookSeq.Load()
		o, v, err := r.best(ctx, req)
		if err == nil || ctx.Err() != nil {
			return o, errors.Join(err, ctx.Err())
		}
		now := r.c.now()
		until := begun.Add(v.patience)
		if v.patience == patience || r.until.Before(until) {
			until = r.until
		}
		if v.patience == 0 || !now.Before(until) {
			if v.rented {
				err = busyError(v, now, err)
			}
			return o, err
		}
		if text := waitText(v, err); text != said {
			r.say(ctx, "waits", text)
			said = text
		}
		wait := min(max(v.again, time.Second), lookAgain, until.Sub(now))
		if err := r.pause(ctx, req, wait+rand.N(wait/4+1), seen); err != nil {
			return o, err
		}
	}
}

// waitText is what people read while an order waits: what for, without what changes at each look.
func waitText(v verdict, err error) string {
	switch {
	case v.rented && !v.free.IsZero():
		return fmt.Sprintf("all that fits is rented, free at %s UTC at the latest", v.free.UTC().Format("15:04"))
	case v.rented:
		return "all that fits is rented"
	}
	var e *market.Error
	if errors.As(err, &e) && e.Detail != "" {
		return e.Detail // the phase says the rest
	}
	return err.Error()
}

// pause waits, less if the book comes to hold a free rig that has not refused. Errors: stopped, ctx's.
func (r *orderRun) pause(ctx context.Context, req *Request, wait time.Duration, seen uint64) error {
	for end := r.c.now().Add(wait); r.c.now().Before(end); {
		if err := sleep(ctx, min(lookBook, end.Sub(r.c.now()))); err != nil {
			return err
		}
		if r.stopped() {
			return errStopped()
		}
		if now := r.c.bookSeq.Load(); now != seen {
			seen = now
			if res, rented := r.c.match(req, maxAsked, false); !rented &&
				slices.ContainsFunc(res.Candidates, func(c book.Candidate) bool { return !r.shuns(c) }) {
				return nil
			}
		}
	}
	return nil
}

func errStopped() error {
	return &market.Error{Code: market.CodeStopped, Kind: market.KindConflict, Op: "place order", Hint: "gpuai run"}
}

// because is why a provider gave no quote, for people: of one that does not answer not every address that was dialled,
// which is many lines.
func because(err error) string {
	var e *market.Error
	if errors.As(err, &e) && e.Code == market.CodePeerUnreachable && e.Detail != "" {
		return e.Detail
	}
	return err.Error()
}
