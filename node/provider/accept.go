package provider

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/provider/counter"
	"github.com/gpuai/gpuai/node/provider/rig"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/spec"
)

// maxRefused bounds what is remembered of refused leases, maxDeciding how many wait for a channel to show: each asks
// the chain.
const (
	maxRefused  = 4096
	maxDeciding = 64
)

// errStale says that another lease or a Release entered the channel while this one was decided: look again.
var errStale = errors.New("the channel changed meanwhile")

// clerk decides which leases are taken.
type clerk struct {
	*common
	ledger  escrow.Ledger
	rig     *rig.Rig
	counter *counter.Counter
	books   *releases
	desk    *desk

	mu       sync.Mutex
	serving  context.Context // serve's; nil before and after: nothing new is decided
	deciding map[market.LeaseID]*pending
	refused  map[market.LeaseID]market.Decision // last 4,096, memory only
	early    earlyStops
	wg       sync.WaitGroup
}

func newClerk(c *common, ledger escrow.Ledger, r *rig.Rig, k *counter.Counter, b *releases, d *desk) *clerk {
	return &clerk{common: c, ledger: ledger, rig: r, counter: k, books: b, desk: d,
		deciding: map[market.LeaseID]*pending{}, refused: map[market.LeaseID]market.Decision{}, early: earlyStops{}}
}

// pending is a lease that is being decided.
type pending struct {
	from   market.NodeID
	cancel context.CancelFunc
	stop   *market.StopAsked // its customer does not want it any more
}

// proposal is a Lease document with all that it names, opened and checked.
type proposal struct {
	id    market.LeaseID
	from  market.NodeID
	body  market.Proposal
	order market.Order
	quote market.Quote
	spec  spec.Spec
	raw   []byte
}

// Propose takes a Lease; nil acknowledges its receipt, the Decision follows by Status. The same bytes get the stored
// answer.
func (k *clerk) Propose(ctx context.Context, from market.NodeID, raw []byte) error {
	if err := k.started(ctx); err != nil {
		return err
	}
	body, env, err := wire.OpenProposal(raw, k.cfg.Network)
	if err != nil {
		return market.Refuse(market.CodeMalformed, market.KindInvalid, err.Error())
	}
	if env.Signer != from {
		return market.Refuse(market.CodeSignerNotPeer, market.KindDenied, "the lease is signed by another node")
	}
	pr := proposal{id: market.LeaseID(env.ID), from: from, body: body, raw: raw}
	if known, err := k.desk.knows(pr.id); known || err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	_, no := k.refused[pr.id]
	switch {
	case no || k.deciding[pr.id] != nil:
		return nil
	case k.serving == nil || k.serving.Err() != nil:
		return market.Refuse(market.CodeDraining, market.KindUnavailable, "this node is ending")
	case len(k.deciding) >= maxDeciding:
		return market.Refuse(market.CodeBusy, market.KindUnavailable, "too many leases wait for their decision")
	}
	// The time is not the request's: the decision goes on without it.
	dctx, cancel := context.WithTimeout(k.serving, time.Minute)
	p := &pending{from: from, cancel: cancel}
	if p.stop = k.early.take(from, pr.id, k.now()); p.stop != nil {
		cancel() // refused as soon as its parts are read: what is held for it goes free
	}
	k.deciding[pr.id] = p
	k.wg.Go(func() { defer cancel(); k.decide(dctx, pr) })
	return nil
}

// decide checks by cost, then reserves and answers in one commit.
func (k *clerk) decide(ctx context.Context, pr proposal) {
	err := k.tryAccept(ctx, &pr)
	defer k.rig.Unhold(pr.from, pr.order.Nonce)
	stop := k.decided(ctx, pr, err)
	if stop == nil {
		return
	}
	if err := k.desk.stop(context.WithoutCancel(ctx), pr.from, pr.id, *stop); err != nil {
		k.log.Warn("Lease that its customer gave up was not stopped", "lease", pr.id, "error", err)
	}
}

// decided takes a lease from those that are being decided and remembers why it was not taken, at once, so that a
// repeated Lease is not decided again in between. stop is what its customer asked of an accepted one meanwhile.
func (k *clerk) decided(ctx context.Context, pr proposal, err error) (stop *market.StopAsked) {
	k.mu.Lock()
	defer k.mu.Unlock()
	stop = k.deciding[pr.id].stop
	delete(k.deciding, pr.id)
	switch {
	case err == nil:
		return stop
	case stop != nil:
		err = market.Refuse(market.CodeNeverUsed, market.KindConflict, "its customer gave it up before it was decided")
	case ctx.Err() != nil && errors.Is(err, context.Canceled): // ending: the customer asks the next start
		return nil
	}
	if market.CodeOf(err) == "" {
		k.log.Error("Lease could not be decided", "lease", pr.id, "error", err)
	}
	d := refusalOf(err)
	d.Lease, d.At = pr.id, k.now()
	if len(k.refused) >= maxRefused {
		clear(k.refused)
	}
	k.refused[pr.id] = d
	k.counter.Refused(pr.order.Nonce, d.Code, d.Detail)
	k.log.Info("Lease refused", "lease", pr.id, "customer", pr.from, "code", d.Code, "detail", d.Detail)
	return nil
}

func (k *clerk) tryAccept(ctx context.Context, pr *proposal) error {
	now := k.now()
	if now.After(pr.body.AcceptUntil) {
		return market.Refuse(market.CodeTooLate, market.KindExpired, "accept_until is over")
	}
	if err := k.openParts(pr, now); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !escrow.Bound(pr.body.VoucherKey, pr.from, pr.body.Channel, pr.body.BindSig) {
		return market.Refuse(market.CodeBadSignature, market.KindInvalid,
			"voucher key is not bound to this customer and channel")
	}
	if err := k.counter.Admits(pr.order, pr.from, now); err != nil {
		return err
	}
	for {
		ch, err := k.fitChannel(ctx, pr)
		if err == nil {
			err = k.reserve(ctx, pr, ch)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errStale):
			continue
		case !k.mayPass(ctx, pr.body.Channel, err) || k.now().Add(2*acceptAgain).After(pr.body.AcceptUntil):
			return err
		}
		if err := await.Sleep(ctx, acceptAgain); err != nil {
			return err
		}
	}
}

// acceptAgain is how often a channel is looked at that does not fit yet.
const acceptAgain = 250 * time.Millisecond

// mayPass reports whether a channel that was refused may fit before its customer gives up: money that is only confirmed
// counts once it is final.
func (k *clerk) mayPass(ctx context.Context, id market.ChannelID, err error) bool {
	switch market.CodeOf(err) {
	case market.CodeChannelUnknown, market.CodeChainUnreachable:
		return true
	case market.CodeChannelTooSmall:
		return k.growing(ctx, id)
	case market.CodeChannelUnfit: // the claim fee is on its way
		var r *market.Refusal
		return errors.As(err, &r) && r.Passes()
	}
	return false
}

// openParts opens Order and Quote inside the Lease and checks that the three agree and that the Quote is ours, unused
// and unexpired.
func (k *clerk) openParts(pr *proposal, now time.Time) error {
	order, oenv, err := wire.OpenOrder(pr.body.Order, k.cfg.Network)
	if err != nil {
		return market.Refuse(market.CodeMalformed, market.KindInvalid, "order: "+err.Error())
	}
	quote, qenv, err := wire.OpenQuote(pr.body.Quote, k.cfg.Network)
	if err != nil {
		return market.Refuse(market.CodeMalformed, market.KindInvalid, "quote: "+err.Error())
	}
	if qenv.Signer != k.cfg.ID {
		return market.Refuse(market.CodeQuoteUnknown, market.KindNotFound, "this quote is not known here")
	}
	if err := k.counter.Usable(qenv.ID, pr.id); err != nil {
		return err
	}
	whole, _ := quote.Rate.For(len(quote.Devices), order.MaxDuration)
	switch {
	case now.After(quote.Expires.Add(counter.MaxSkew)):
		return market.Refuse(market.CodeQuoteExpired, market.KindExpired, "")
	case oenv.Signer != pr.from || quote.Order != oenv.ID:
		return market.Refuse(market.CodeSpecMismatch, market.KindInvalid,
			"order, quote and lease do not belong together")
	case pr.body.Cap > order.Budget || pr.body.Cap > whole || pr.body.Cap == 0:
		return market.Refuse(market.CodeSpecMismatch, market.KindInvalid,
			"cap is above the budget or the price of the longest time")
	}
	sp, err := spec.ParseSpec(pr.body.Spec)
	if err != nil {
		return market.Refuse(market.CodeSpecRefused, market.KindInvalid, err.Error())
	}
	pr.order, pr.quote, pr.spec = order, quote, sp
	k.rig.Prolong(pr.from, order.Nonce, pr.body.AcceptUntil, now)
	return nil
}

// fitChannel reads the Channel and applies the accept rules; money counts when finalised.
func (k *clerk) fitChannel(ctx context.Context, pr *proposal) (*channel, error) {
	states, err := k.ledger.Channels(ctx, []market.ChannelID{pr.body.Channel}, escrow.Finalised)
	if err != nil {
		return nil, &market.Refusal{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable,
			Detail: err.Error()}
	}
	bal, err := k.ledger.Balance(ctx, k.cfg.FeePayer)
	if err != nil {
		return nil, &market.Refusal{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable,
			Detail: err.Error()}
	}
	head, err := k.ledger.Head(ctx)
	if err != nil {
		return nil, &market.Refusal{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable,
			Detail: err.Error()}
	}
	cs := states[0]
	ch, err := k.books.of(cs)
	if err != nil {
		return nil, err
	}
	if ch.old && k.now().Before(k.cfg.Dues.OldChannels) {
		return nil, market.Refuse(market.CodeChannelUnfit, market.KindConflict, "known from before an unclean start: "+
			"open a new one, or wait until "+k.cfg.Dues.OldChannels.UTC().Format(time.TimeOnly))
	}
	// the chain's clock judges a Release, not ours
	ch.Note(func(e *entry) { e.Account = e.Account.Observe(cs, escrow.Finalised, finalClock(head, cs)) })
	account, _ := ch.See()
	rentMin, _ := k.books.fees()
	rules := escrow.AcceptRules{
		Program: k.cfg.Program, ClusterTag: k.cfg.ClusterTag, Payer: pr.order.Payer, Payout: k.cfg.Payout,
		Mint:       pr.quote.Mint,
		VoucherKey: pr.body.VoucherKey, ReleaseKey: k.books.ReleaseKey(pr.from, pr.quote.Mint),
		MinCloseDelay: k.cfg.Dues.MinCloseDelay,
		MinHeadroom:   min(pr.quote.MinHeadroom, pr.body.Cap), FeePayer: bal, RentMinimum: rentMin,
		LiveChannels: k.desk.liveChannels(ch.id),
	}
	if err := escrow.AcceptChannel(cs, rules, account); err != nil {
		return nil, err
	}
	return ch, nil
}

// growing reports whether a deposit is on its way to be final: more is confirmed than counts yet.
func (k *clerk) growing(ctx context.Context, id market.ChannelID) bool {
	seen, err := k.ledger.Channels(ctx, []market.ChannelID{id}, escrow.Confirmed)
	if err != nil {
		return true // not known: ask again
	}
	final, err := k.ledger.Channels(ctx, []market.ChannelID{id}, escrow.Finalised)
	return err != nil || seen[0].Deposit > final[0].Deposit
}

// reserve commits lease, Decision, channel share and device rows at once; one taken device refuses all. Each owner
// enters its part before the commit and takes it back if that fails, so nothing is locked meanwhile and two leases that
// are decided at the same time see each other.
func (k *clerk) reserve(ctx context.Context, pr *proposal, ch *channel) error {
	l, err := k.desk.newLease(pr, ch.id)
	if err != nil {
		return err
	}
	if !k.books.enter(ch) {
		return errStale
	}
	entered, err := k.counter.Enter(l.visit(), pr.order, pr.quote.Order)
	if err != nil {
		return err
	}
	var change store.Change
	held, err := k.rig.Hold(&change, l.claimed(), k.counter.Ask(pr.order, pr.from), k.now())
	if err != nil {
		entered(false)
		return err
	}
	change.Puts = append(change.Puts, l.document())
	err = k.books.addLease(ctx, pr, ch, l, change)
	entered(err == nil)
	held(err == nil)
	if err != nil {
		return err
	}
	k.desk.enter(l)
	k.log.Info("Lease accepted", "lease", pr.id, "customer", pr.from, "sol_per_hour",
		market.Amount(pr.quote.Rate).SOL(), "cap_sol", pr.body.Cap.SOL())
	return nil
}

// serve decides until ctx ends.
func (k *clerk) serve(ctx context.Context) {
	k.mu.Lock()
	k.serving = ctx
	k.mu.Unlock()
	<-ctx.Done()
	k.mu.Lock()
	k.serving = nil // no goroutine joins a group that is waited for
	k.mu.Unlock()
	k.wg.Wait()
}

// answer is what became of a lease that was not accepted: its refusal, or that it is being decided.
func (k *clerk) answer(id market.LeaseID) (d market.Decision, refused, deciding bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d, refused = k.refused[id]
	return d, refused, k.deciding[id] != nil
}
