package provider

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/counter"
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
func (p *Provider) Propose(ctx context.Context, from market.NodeID, raw []byte) error {
	if err := p.started(ctx, p.loaded); err != nil {
		return err
	}
	body, env, err := wire.OpenProposal(raw, p.cfg.Network)
	if err != nil {
		return market.Refuse(market.CodeMalformed, market.KindInvalid, err.Error())
	}
	if env.Signer != from {
		return market.Refuse(market.CodeSignerNotPeer, market.KindDenied, "the lease is signed by another node")
	}
	pr := proposal{id: market.LeaseID(env.ID), from: from, body: body, raw: raw}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, have := p.leases[pr.id]
	_, no := p.refused[pr.id]
	switch {
	case have || no || p.deciding[pr.id]:
		return nil
	case p.serving == nil || p.serving.Err() != nil:
		return market.Refuse(market.CodeDraining, market.KindUnavailable, "this node is ending")
	case len(p.deciding) >= maxDeciding:
		return market.Refuse(market.CodeBusy, market.KindUnavailable, "too many leases wait for their decision")
	}
	p.deciding[pr.id] = true
	serving := p.serving // not the request's: the decision goes on without it
	p.wg.Go(func() { p.decide(serving, pr) })
	return nil
}

// decide checks by cost, then reserves and answers in one commit.
func (p *Provider) decide(ctx context.Context, pr proposal) {
	ctx, cancel := context.WithDeadline(ctx, time.Now().Add(time.Minute))
	defer cancel()
	err := p.tryAccept(ctx, &pr)
	defer p.Unhold(pr.from, pr.order.Nonce)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.deciding, pr.id)
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) { // ending: the customer asks the next start
		return
	}
	if market.CodeOf(err) == "" {
		p.log.Error("Lease could not be decided", "lease", pr.id, "error", err)
	}
	d := refusalOf(err)
	d.Lease, d.At = pr.id, p.now()
	if len(p.refused) >= maxRefused {
		clear(p.refused)
	}
	p.refused[pr.id] = d
	p.Refused(pr.order.Nonce, d.Code, d.Detail)
	p.log.Info("Lease refused", "lease", pr.id, "customer", pr.from, "code", d.Code, "detail", d.Detail)
}

func (p *Provider) tryAccept(ctx context.Context, pr *proposal) error {
	now := p.now()
	if now.After(pr.body.AcceptUntil) {
		return market.Refuse(market.CodeTooLate, market.KindExpired, "accept_until is over")
	}
	if err := p.openParts(pr, now); err != nil {
		return err
	}
	if !boundKey(pr) {
		return market.Refuse(market.CodeBadSignature, market.KindInvalid,
			"voucher key is not bound to this customer and channel")
	}
	if err := p.Admits(pr.order, pr.from, now); err != nil {
		return err
	}
	for {
		ch, err := p.fitChannel(ctx, pr)
		if err == nil {
			err = p.reserve(ctx, pr, ch)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errStale):
			continue
		case !p.mayPass(ctx, pr.body.Channel, err) || p.now().Add(2*acceptAgain).After(pr.body.AcceptUntil):
			return err
		}
		if err := sleep(ctx, acceptAgain); err != nil {
			return err
		}
	}
}

// acceptAgain is how often a channel is looked at that does not fit yet.
const acceptAgain = 250 * time.Millisecond

// mayPass reports whether a channel that was refused may fit before its customer gives up: money that is only confirmed
// counts once it is final.
func (p *Provider) mayPass(ctx context.Context, id market.ChannelID, err error) bool {
	switch market.CodeOf(err) {
	case market.CodeChannelUnknown, market.CodeChainUnreachable:
		return true
	case market.CodeChannelTooSmall:
		return p.growing(ctx, id)
	case market.CodeChannelUnfit: // the claim fee is on its way
		var r *market.Refusal
		return errors.As(err, &r) && r.Passes()
	}
	return false
}

// openParts opens Order and Quote inside the Lease and checks that the three agree and that the Quote is ours, unused
// and unexpired.
func (p *Provider) openParts(pr *proposal, now time.Time) error {
	order, oenv, err := wire.OpenOrder(pr.body.Order, p.cfg.Network)
	if err != nil {
		return market.Refuse(market.CodeMalformed, market.KindInvalid, "order: "+err.Error())
	}
	quote, qenv, err := wire.OpenQuote(pr.body.Quote, p.cfg.Network)
	if err != nil {
		return market.Refuse(market.CodeMalformed, market.KindInvalid, "quote: "+err.Error())
	}
	if qenv.Signer != p.cfg.ID {
		return market.Refuse(market.CodeQuoteUnknown, market.KindNotFound, "this quote is not known here")
	}
	if err := p.Usable(qenv.ID, pr.id); err != nil {
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
	p.Prolong(pr.from, order.Nonce, pr.body.AcceptUntil, now)
	return nil
}

func boundKey(pr *proposal) bool {
	key, err := escrow.ParseVoucherKey(pr.body.VoucherKey[:])
	if err != nil {
		return false
	}
	return escrow.Verify(key, BindMessage(pr.from, pr.body.Channel), pr.body.BindSig)
}

// BindMessage is what a voucher key signs to be bound to a customer's node and a Channel.
func BindMessage(customer market.NodeID, ch market.ChannelID) []byte {
	return append(append([]byte("gpuai/bind/1"), customer[:]...), ch[:]...)
}

// SignBind signs BindMessage.
func SignBind(key ed25519.PrivateKey, customer market.NodeID, ch market.ChannelID) (sig [64]byte) {
	copy(sig[:], ed25519.Sign(key, BindMessage(customer, ch)))
	return sig
}

// fitChannel reads the Channel and applies the accept rules; money counts when finalised.
func (p *Provider) fitChannel(ctx context.Context, pr *proposal) (*channel, error) {
	states, err := p.ledger.Channels(ctx, []market.ChannelID{pr.body.Channel}, escrow.Finalised)
	if err != nil {
		return nil, &market.Refusal{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable,
			Detail: err.Error()}
	}
	bal, err := p.ledger.Balance(ctx, p.cfg.FeePayer)
	if err != nil {
		return nil, &market.Refusal{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable,
			Detail: err.Error()}
	}
	head, err := p.ledger.Head(ctx)
	if err != nil {
		return nil, &market.Refusal{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable,
			Detail: err.Error()}
	}
	cs := states[0]
	ch := p.channelOf(cs)
	if ch.old && p.now().Before(p.cfg.OldChannels) {
		return nil, market.Refuse(market.CodeChannelUnfit, market.KindConflict, "known from before an unclean start: "+
			"open a new one, or wait until "+p.cfg.OldChannels.UTC().Format(time.TimeOnly))
	}
	// the chain's clock judges a Release, not ours
	ch.Note(func(e *entry) { e.Account = e.Account.Observe(cs, escrow.Finalised, finalClock(head, cs)) })
	account, _ := ch.See()
	p.mu.Lock()
	rules := escrow.AcceptRules{

		Program: p.cfg.Program, ClusterTag: p.cfg.ClusterTag, Payer: pr.order.Payer, Payout: p.cfg.Payout,
		Mint:       pr.quote.Mint,
		VoucherKey: pr.body.VoucherKey, ReleaseKey: p.ReleaseKey(pr.from, pr.quote.Mint),
		MinCloseDelay: p.cfg.MinCloseDelay,
		MinHeadroom:   min(pr.quote.MinHeadroom, pr.body.Cap), FeePayer: bal, RentMinimum: p.rentMin,
		LiveChannels: p.liveChannels(ch.id),
	}
	p.mu.Unlock()
	if err := escrow.AcceptChannel(cs, rules, account); err != nil {
		return nil, err
	}
	return ch, nil
}

// growing reports whether a deposit is on its way to be final: more is confirmed than counts yet.
func (p *Provider) growing(ctx context.Context, id market.ChannelID) bool {
	seen, err := p.ledger.Channels(ctx, []market.ChannelID{id}, escrow.Confirmed)
	if err != nil {
		return true // not known: ask again
	}
	final, err := p.ledger.Channels(ctx, []market.ChannelID{id}, escrow.Finalised)
	return err != nil || seen[0].Deposit > final[0].Deposit
}

// reserve commits lease, Decision, channel share and device rows at once; one taken device refuses all.
func (p *Provider) reserve(ctx context.Context, pr *proposal, ch *channel) error {
	l, err := p.newLease(pr, ch.id)
	if err != nil {
		return err
	}
	if !p.enterChannel(ch) {
		return errStale
	}
	entered, err := p.Enter(l.visit(), pr.order, pr.quote.Order)
	if err != nil {
		return err
	}
	var change store.Change
	held, err := p.Hold(&change, l.claim(), p.Ask(pr.order, pr.from), p.now())
	if err != nil {
		entered(false)
		return err
	}
	change.Puts = append(change.Puts, l.document())
	err = p.bookLease(ctx, pr, ch, l, change)
	entered(err == nil)
	held(err == nil)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.leases[pr.id] = l
	p.mu.Unlock()
	p.start <- l
	p.log.Info("Lease accepted", "lease", pr.id, "customer", pr.from, "sol_per_hour",
		market.Amount(pr.quote.Rate).SOL(), "cap_sol", pr.body.Cap.SOL())
	return nil
}

// bookLease enters the lease's share and commits it with all that the lease is.
func (p *Provider) bookLease(ctx context.Context, pr *proposal, ch *channel, l *leaseRun, change store.Change) error {
	entered := false
	err := ch.Write(ctx, false, func(e *entry) error {
		// Again under the lock that counts: leases of one channel may be decided at the same time.
		need := min(pr.quote.MinHeadroom, pr.body.Cap)
		if h := e.Account.Headroom(); h < need {
			return market.Refuse(market.CodeChannelTooSmall, market.KindConflict,
				fmt.Sprintf("headroom %s SOL, need %s SOL", h.SOL(), need.SOL()))
		}
		account, err := e.Account.AddLease(pr.id, pr.body.Cap, pr.quote.MinHeadroom)
		if err != nil {
			return err
		}
		add, err := l.stage(l.actor.Lease(), nil)
		if err != nil {
			return err
		}
		e.Account, e.Own.Customer, e.Own.Payer = account, pr.from, pr.order.Payer
		// a rate and a count that were quoted cannot overflow
		e.Own.Hourly, _ = pr.quote.Rate.For(len(pr.quote.Devices), time.Hour)
		e.Own.TickPrice, _ = pr.quote.Rate.For(len(pr.quote.Devices), pr.quote.Tick)
		e.Add(add)
		e.Add(func(c *store.Change) {
			c.Guards, c.Puts = append(c.Guards, change.Guards...), append(c.Puts, change.Puts...)
		})
		entered = true
		return nil
	})
	if err != nil && entered {
		ch.Note(func(e *entry) { e.Account = e.Account.Without(pr.id) }) // it never came to be
		return fmt.Errorf("commit lease: %w", err)
	}
	return err
}
