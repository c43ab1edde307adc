package customer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/customer/purse"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Limits of placement: how many providers are asked at once, how long their answers and the whole placement may take.
const (
	topQuotes    = 5
	maxAsked     = 20 // in one round, if none of the first ones has a quote
	quoteWait    = 4 * time.Second
	quoteMore    = time.Second             // for the others, once there is one
	quoteFirst   = 1500 * time.Millisecond // on a connection that may be dead
	acceptWithin = 30 * time.Second
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

// Quotes asks providers what an order costs. All methods are safe for any goroutine.
type Quotes struct {
	cfg    *Config
	net    *paced
	ledger escrow.Ledger
	clock  *lease.Clock
	terms  knownTerms
	paid   sync.Map // payout accounts that the ledger called payable
	purse  *purse.Purse
	paths  paths
}

// ask asks candidates at once and returns the valid quotes, the best by the ranking of the candidates first; refused
// says who refused and why, in their order.
func (q *Quotes) ask(ctx context.Context, r *Request, cands []book.Candidate) (good []offered, refused []error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	enough := sync.OnceFunc(func() { time.AfterFunc(quoteMore, cancel) })
	type answer struct {
		o   offered
		err error
	}
	answers := make([]answer, len(cands))
	var g errgroup.Group
	for i, cand := range cands {
		g.Go(func() error {
			o, err := q.inTurn(ctx, r, cand.Provider, cand.Offer.Reach)
			if err == nil {
				err = q.payable(ctx, o)
			}
			if err == nil {
				err = q.carry(ctx, r, o)
			}
			if err == nil {
				enough()
			}
			answers[i] = answer{o, err}
			return nil
		})
	}
	_ = g.Wait() // the goroutines never fail
	ranks := map[market.NodeID]uint64{}
	for i, a := range answers {
		if a.err != nil {
			refused = append(refused, a.err)
			continue
		}
		good = append(good, a.o)
		ranks[a.o.provider] = cands[i].Rank(a.o.quote.Rate)
	}
	slices.SortStableFunc(good, func(a, b offered) int { return cmp.Compare(ranks[a.provider], ranks[b.provider]) })
	return good, refused
}

// inTurn asks one provider when it may be asked; its time to answer begins then.
func (q *Quotes) inTurn(ctx context.Context, r *Request, to market.NodeID, reach []string) (offered, error) {
	o := q.cfg.makeOrder(r, q.clock.Now())
	raw, err := wire.SealOrder(q.cfg.Key, q.cfg.Network, o)
	if err != nil {
		return offered{}, err
	}
	return q.again(ctx, offered{provider: to, reach: reach, order: o, orderRaw: raw})
}

// again asks for a quote with the same Order document.
func (q *Quotes) again(ctx context.Context, off offered) (offered, error) {
	leave, err := q.net.turn(ctx, off.provider)
	if err != nil {
		return offered{}, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, quoteWait)
	defer cancel()
	return q.one(ctx, off)
}

// one asks a provider and checks that its answer is what was asked for.
func (q *Quotes) one(ctx context.Context, off offered) (offered, error) {
	to, reach, raw := off.provider, off.reach, off.orderRaw
	first, cancel := context.WithTimeout(ctx, quoteFirst)
	answer, err := q.net.Quote(first, to, reach, raw)
	cancel()
	var refusal *market.Refusal
	if err != nil && !errors.As(err, &refusal) && ctx.Err() == nil {
		q.net.HangUp(to) // of before the peer's last start, or on a path that is gone
		if await.Sleep(ctx, 200*time.Millisecond) == nil {
			answer, err = q.net.Quote(ctx, to, reach, raw)
		}
	}
	if err != nil {
		return offered{}, err
	}
	quote, env, err := wire.OpenQuote(answer, q.cfg.Network)
	if err != nil {
		return offered{}, fmt.Errorf("open quote: %w", err)
	}
	oenv, err := wire.Open(raw, q.cfg.Network)
	if err != nil {
		return offered{}, err
	}
	if err := checkQuote(quote, off.order, oenv.ID, env.Signer, to, q.clock.Now()); err != nil {
		return offered{}, err
	}
	off.quote, off.quoteRaw = quote, answer
	return off, nil
}

func checkQuote(q market.Quote, o market.Order, id market.DocID, signer, to market.NodeID, now time.Time) error {
	bad := func(what string) error {
		return &market.Error{Code: market.CodeQuoteRefused, Kind: market.KindDenied, Op: "check quote", Detail: what,
			Hint: "another provider is tried"}
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
	case escrow.ReservedPayee(q.Payout):
		return bad("pays out to an address that can never be paid: a channel to it would keep its storage deposit " +
			"for ever")
	case q.ClaimFee > 0 && (q.FeePayer == market.Address{} || q.FeePayer == o.Payer ||
		escrow.ReservedPayee(q.FeePayer)):
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

// payees is what some ledgers know beside escrow.Ledger: why an address can never be paid.
type payees interface {
	Payable(ctx context.Context, a market.Address) (reason string, err error)
}

// payableWait is how long a quote waits for the ledger's word on its payout account.
const payableWait = time.Second

// payable refuses a provider whose payout account can never be paid, before anything is signed for it. A ledger that
// does not answer refuses nobody: the program refuses the open.
func (q *Quotes) payable(ctx context.Context, o offered) error {
	l, ok := q.ledger.(payees)
	if !ok {
		return nil
	}
	if _, known := q.paid.Load(o.quote.Payout); known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, payableWait)
	defer cancel()
	reason, err := l.Payable(ctx, o.quote.Payout)
	switch {
	case err != nil:
		return nil
	case reason == "":
		q.paid.Store(o.quote.Payout, nil)
		return nil
	}
	return &market.Error{
		Code: market.CodeQuoteRefused, Kind: market.KindDenied, Op: "check payout",
		Detail: "pays out to " + o.quote.Payout.String() + ", which can never be paid: " + reason,
		Hint:   "another provider is tried",
	}
}

// advice is what to do about a refusal that the same provider repeats; "" for others.
func advice(code market.Code, provider market.NodeID) string {
	if code != market.CodePolicy {
		return ""
	}
	return "change what the rule names, wait if it says until when, or ask others: gpuai run --exclude " +
		provider.String()
}
