package customer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/customer/purse"
)

// How long an order waits for what may pass, and how often it looks again. The book tells of devices that are free
// again, so that most waits end sooner than lookAgain.
const (
	patience  = 5 * time.Minute  // with rigs that are rented or busy
	restart   = time.Minute      // with rigs that start, end, are being mended, or do not answer
	resumeFor = 3 * time.Minute  // with a book in which nothing fits yet, for an order that a restart interrupted
	settleIn  = 10 * time.Second // the same for a new one, from this node's start on
	seekFor   = 30 * time.Second // while rigs are looked for elsewhere
	lookAgain = 15 * time.Second
	// an order that was told to wait looks more seldom the longer it does
	lookSeldom = 10 * time.Minute
	lookBook   = 500 * time.Millisecond // at most so often, however busy the book is
)

// shunned is a provider that has refused this order: it is asked again after until, or once it has said something new.
type shunned struct {
	err   error
	until time.Time
	offer market.DocID
	times int
}

// placing finds a provider for one attempt of an order, its channel and its lease. Quotes, and who has refused, are in
// memory only: the next start asks anew.
type placing struct {
	r *orderRun

	mu      sync.Mutex
	offer   *offered       // the quote that the order goes on with
	held    *purse.Channel // whose money is promised to it
	seen    uint64         // the book's changes at the last look
	shunned map[market.NodeID]shunned
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
func (pl *placing) shun(p market.NodeID, err error) {
	_, offer, _ := pl.r.c.Book.offerOf(p)
	pl.mu.Lock()
	defer pl.mu.Unlock()
	times := min(pl.shunned[p].times, 4)
	wait := time.Second << times
	var refusal *market.Refusal
	if errors.As(err, &refusal) {
		wait = max(wait, refusal.RetryAfter)
	}
	if pl.shunned == nil {
		pl.shunned = map[market.NodeID]shunned{}
	}
	pl.shunned[p] = shunned{err: err, until: pl.r.c.now().Add(min(wait, lookAgain)), offer: offer, times: times + 1}
}

// heed forgets that a provider has refused: it asks for the order now.
func (pl *placing) heed(p market.NodeID) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	delete(pl.shunned, p)
}

// refused says why a provider has refused the order, nil if it has not; some: any provider has.
func (pl *placing) refused(by market.NodeID) (why error, some bool) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	return pl.shunned[by].err, len(pl.shunned) > 0
}

// shuns reports whether a candidate has refused lately and said nothing new since.
func (pl *placing) shuns(c book.Candidate) bool {
	pl.mu.Lock()
	s, ok := pl.shunned[c.Provider]
	pl.mu.Unlock()
	return ok && s.offer == c.OfferID && pl.r.c.now().Before(s.until)
}

// best asks for quotes, the best five first, and returns the best by the order's ranking. Where all that fits is
// rented, it asks those rigs: an Offer may be some seconds old, and only the rig knows when it is free. Errors:
// no-offer-fits or needs-direct with the explanation, quote-refused with each refusal.
func (pl *placing) best(ctx context.Context, req *Request, e market.AskQuotes) (offered, verdict, error) {
	if e.First != (market.NodeID{}) { // its channel waits there, whatever the book knows by now
		good, _ := pl.r.c.Quotes.ask(ctx, req, []book.Candidate{{Provider: e.First,
			Offer: market.Offer{Reach: pl.r.snapshot().Reach}}})
		if o, ok := one(good); ok {
			return o, verdict{}, nil
		}
	}
	pl.r.c.net.Hear(req.File.Classes())
	pl.r.c.Book.soundFor(ctx, req)
	res, rented := pl.fitting(req)
	if len(res.Candidates) == 0 {
		res, _ = pl.r.c.Book.match(req, maxAsked, true)
		wait := pl.r.c.Book.patience(e.Patient)
		if pl.r.c.net.Seek(req.File.Classes()) {
			wait = max(wait, seekFor)
		}
		return offered{}, verdict{patience: wait, again: pl.calm()}, unfit(res.Explanation)
	}
	cands := res.Candidates
	if rented {
		cands = cands[:min(len(cands), topQuotes)]
	}
	for batch := range slices.Chunk(slices.DeleteFunc(slices.Clone(cands), pl.shuns), topQuotes) {
		good, refused := pl.r.c.Quotes.ask(ctx, req, batch)
		if len(good) > 0 {
			return good[0], verdict{}, nil
		}
		if ctx.Err() != nil {
			return offered{}, verdict{}, ctx.Err()
		}
		for i, err := range refused { // one per candidate: none was good
			pl.shun(batch[i].Provider, err)
		}
	}
	v := verdict{rented: rented}
	var detail []string
	hint := "gpuai offers --explain"
	for _, cand := range cands {
		err, _ := pl.refused(cand.Provider)
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
		v.free = pl.r.c.now().Add(v.again)
	}
	if res, _ := pl.r.c.Book.match(req, 1, true); len(res.Candidates) == 0 && res.Explanation.OnlyRelayed() {
		return offered{}, v, unfit(res.Explanation) // the book has learnt it from this round
	}
	return offered{}, v, &market.Error{Code: market.CodeQuoteRefused, Kind: market.KindConflict, Op: "ask for quotes",
		Detail: strings.Join(detail, "; "), Hint: hint}
}

func one(good []offered) (offered, bool) {
	if len(good) == 0 {
		return offered{}, false
	}
	return good[0], true
}

// fitting is what fits an order. Providers that have lost it before come only where no other fits.
func (pl *placing) fitting(req *Request) (book.Result, bool) {
	lost := pl.r.snapshot().Lost
	if len(lost) > 0 {
		others := *req
		not := slices.Clone(req.File.Placement.Exclude)
		for _, a := range lost {
			not = append(not, a.Provider)
		}
		others.File.Placement.Exclude = not
		if res, rented := pl.r.c.Book.match(&others, maxAsked, false); len(res.Candidates) > 0 {
			return res, rented
		}
	}
	return pl.r.c.Book.match(req, maxAsked, false)
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

// askQuotes chooses a provider, or says for how long it is worth to ask again.
func (pl *placing) askQuotes(ctx context.Context, e market.AskQuotes) {
	req := pl.r.snapshot().wish()
	seen, _ := pl.r.c.Book.changes()
	o, v, err := pl.best(ctx, &req, e)
	if ctx.Err() != nil {
		return // it is asked again, if it still is due
	}
	scarce := err != nil
	if err == nil {
		if fault := CapFits(o.quote.Rate, &req, o.quote.Tick); fault != nil {
			err = fault
		}
	}
	if err == nil {
		pl.choose(&o)
		pl.r.happens(ctx, market.QuoteChosen{Round: e.Round, Provider: o.provider, Rate: o.quote.Rate},
			func(row *orderRow) { row.Reach = o.reach })
		return
	}
	waits := waitText(v, err)
	if v.rented {
		err = busyError(v, pl.r.c.now(), err)
	}
	wait := min(max(v.again, time.Second), pl.calm())
	pl.mu.Lock()
	pl.seen = seen
	pl.mu.Unlock()
	pl.r.happens(ctx, market.NoQuote{Round: e.Round, Why: reasonOf(err), Patience: v.patience,
		Rented: v.patience == patience, Scarce: scarce, Again: wait + rand.N(wait/4+1), Waits: waits}, nil)
}

// calm is how long an order leaves alone what its book does not tell: it asks the DHT, and rigs that have refused, less
// often the longer it waits.
func (pl *placing) calm() time.Duration {
	p := pl.r.purchase()
	if p.Terms.Wait == 0 {
		return lookAgain
	}
	return min(max(pl.r.c.now().Sub(p.Placed)/8, lookAgain), lookSeldom)
}

// watchBook waits for Offers that fit, until the book holds a free rig that has not refused.
func (pl *placing) watchBook(ctx context.Context, e market.WatchBook) {
	req := pl.r.snapshot().wish()
	w, leave := pl.r.c.Book.enter(pl.r.c.cfg.query(&req, pl.r.c.now()))
	defer leave()
	pl.mu.Lock()
	seen := pl.seen
	pl.mu.Unlock()
	if count, _ := pl.r.c.Book.changes(); count != seen { // between the last look and now
		w.ring()
	}
	for {
		select {
		case <-w.came:
		case <-ctx.Done():
			return
		}
		res, rented := pl.fitting(&req)
		if !rented && slices.ContainsFunc(res.Candidates, func(c book.Candidate) bool { return !pl.shuns(c) }) {
			pl.r.happens(ctx, market.BookMoved{Round: e.Round}, nil)
			return
		}
		if await.Sleep(ctx, lookBook) != nil {
			return
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

// because is why a provider gave no quote, for people: of one that does not answer not every address that was dialled,
// which is many lines.
func because(err error) string {
	var e *market.Error
	if errors.As(err, &e) && e.Code == market.CodePeerUnreachable && e.Detail != "" {
		return e.Detail
	}
	return err.Error()
}
