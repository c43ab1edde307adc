package provider

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/streams"
)

// channelRow is what the store keeps of a customer's Channel.
type channelRow struct {
	Account         escrow.Account
	Customer        market.NodeID
	ReleaseCustomer market.NodeID
	Payer           market.Address
	Release         [114]byte
	Hourly          market.Amount // price of an hour of the newest lease
	TickPrice       market.Amount
	OldestUnclaimed time.Time
	LastEnd         time.Time
	Booked          map[market.LeaseID]booked `json:",omitempty"` // in the sums already
}

// lastEnded is zero while a lease is live.
func (r *channelRow) lastEnded() time.Time {
	if r.Account.Live() > 0 {
		return time.Time{}
	}
	return r.LastEnd
}

// channel is a channelRow with its lock: one Payment at a time.
type channel struct {
	mu  sync.Mutex
	id  market.ChannelID
	old bool // of before this start
	row channelRow
	// asked is what the newest settlement under way brings, askedKey its intent; none: 0
	asked    market.Amount
	askedKey string
}

// debt is what one lease left unpaid; its node key and its payer answer for it.
type debt struct {
	Sum      market.Amount
	Lease    market.LeaseID
	Customer market.NodeID
	Payer    market.Address
	Until    time.Time
}

// debtLife is how long a debt is remembered.
const debtLife = 90 * 24 * time.Hour

// channelOf returns the known channel, or a new one in memory.
func (p *Provider) channelOf(cs escrow.ChannelState) *channel {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ch, ok := p.channels[cs.ID]; ok {
		return ch
	}
	return &channel{id: cs.ID, row: channelRow{Account: escrow.NewAccount(cs, escrow.Finalised)}}
}

// enterChannel makes a channel known before its first lease is committed, so that another lease of it waits for this
// one; false: another object is known by its id.
func (p *Provider) enterChannel(ch *channel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cur, ok := p.channels[ch.id]; ok && cur != ch {
		return false
	}
	p.channels[ch.id] = ch
	return true
}

// liveChannels counts channels with live leases beside one. Caller holds mu.
func (p *Provider) liveChannels(beside market.ChannelID) int {
	seen := map[market.ChannelID]bool{}
	for _, l := range p.leases {
		if l.actor.Lease().State.Live() {
			seen[l.channel] = true
		}
	}
	delete(seen, beside)
	return len(seen)
}

// Payment stores a voucher and answers with the stored total; the acknowledgement leaves only after the commit.
func (p *Provider) Payment(ctx context.Context, from market.NodeID, pay market.Payment) (market.Amount, error) {
	if err := p.started(ctx, p.loaded); err != nil {
		return 0, err
	}
	l, err := p.ownLease(from, pay.Lease)
	if err != nil {
		return 0, err
	}
	ch, err := p.channelByID(l.channel)
	if err != nil {
		return 0, err
	}
	ch.mu.Lock()
	account, stored, err := ch.row.Account.TakePayment(pay)
	if err != nil {
		ch.mu.Unlock()
		return stored, err
	}
	same := account.Newest == ch.row.Account.Newest && account.Leases[pay.Lease] == ch.row.Account.Leases[pay.Lease]
	crow := ch.row
	crow.Account = account
	if crow.OldestUnclaimed.IsZero() {
		crow.OldestUnclaimed = p.now()
	}
	if same {
		ch.row = crow // a repeat: it is on disk
	} else if account.Leases[pay.Lease].Live {
		err = p.put(ctx, bucketChannels, ch.id[:], row(crow))
		if err == nil {
			ch.row = crow
		}
	} else { // an old debt is paid: that is earned
		err = p.keepRow(ctx, ch, crow)
	}
	if err != nil {
		ch.mu.Unlock()
		return 0, fmt.Errorf("store voucher: %w", err)
	}
	covered := account.Covered(pay.Lease)
	ch.mu.Unlock()
	if err := l.paid(ctx, covered, pay.ReceiptSeq); err != nil {
		return 0, err
	}
	p.Learn(l.customer, l.order.Payer, l.actor.Lease())
	return stored, p.settleDebt(ctx, l)
}

// Session keeps the push of a customer's live stream and repeats what it may have missed.
func (p *Provider) Session(from market.NodeID, push func(streams.VoucherPush) error) func() {
	// bounded; without its leases a session has nothing to repeat, and is asked for it
	_ = p.started(context.Background(), p.loaded)
	p.hear(from)
	s := &pusher{push: push}
	p.mu.Lock()
	p.pushes[from] = s
	var mine []*leaseRun
	for _, l := range p.leases {
		if l.customer == from {
			mine = append(mine, l)
		}
	}
	p.mu.Unlock()
	for _, l := range mine {
		l.resend()
	}
	return func() {
		p.hear(from)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.pushes[from] == s {
			delete(p.pushes, from)
		}
	}
}

// pushTo sends to a customer if connected; the newest document is repeated anyway, so a failure costs nothing.
func (p *Provider) pushTo(to market.NodeID, m streams.VoucherPush) {
	p.mu.Lock()
	s := p.pushes[to]
	p.mu.Unlock()
	if s == nil {
		return
	}
	if err := s.push(m); err != nil {
		p.log.Debug("Push failed", "customer", to, "error", err)
	}
}

// ReleaseRequest answers with a signed Release of a channel without live leases. Refusals: channel-unknown, lease-live,
// chain-unreachable.
func (p *Provider) ReleaseRequest(ctx context.Context, from market.NodeID, id market.ChannelID) ([114]byte, error) {
	if err := p.started(ctx, p.loaded); err != nil {
		return [114]byte{}, err
	}
	ch, err := p.channelByID(id)
	if err != nil {
		ch, err = p.adoptUnused(ctx, from, id)
	}
	if err != nil {
		return [114]byte{}, err
	}
	ch.mu.Lock()
	owner := ch.row.Customer
	ch.mu.Unlock()
	if owner != from {
		return [114]byte{}, market.Refuse(market.CodeChannelUnknown, market.KindNotFound,
			"not a channel of this customer")
	}
	return p.release(ctx, ch)
}

// adoptUnused enters a channel on which no lease was ever accepted, so that its deposit can go back at once: a customer
// funds before it is refused. Only one with the release key of exactly this customer is taken. Refusals:
// channel-unknown, chain-unreachable.
func (p *Provider) adoptUnused(ctx context.Context, from market.NodeID, id market.ChannelID) (*channel, error) {
	// the customer asks again until it is
	states, err := p.ledger.Channels(ctx, []market.ChannelID{id}, escrow.Finalised)
	if err != nil {
		return nil, &market.Refusal{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable,
			Detail: err.Error()}
	}
	cs := states[0]
	if cs.Status != escrow.StatusOpen || cs.Payee != p.cfg.Payout || cs.ReleaseKey == ([32]byte{}) ||
		cs.ReleaseKey != p.ReleaseKey(from, cs.Mint) {
		return nil, market.Refuse(market.CodeChannelUnknown, market.KindNotFound, id.String())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ch, ok := p.channels[id]; ok {
		return ch, nil // accepted meanwhile: its leases count
	}
	ch := &channel{id: id, row: channelRow{Account: escrow.NewAccount(cs, escrow.Finalised), Customer: from,
		ReleaseCustomer: from, Payer: cs.Payer}}
	p.channels[id] = ch
	return ch, nil
}

// release makes and stores a Release at Σ owed before it leaves.
func (p *Provider) release(ctx context.Context, ch *channel) ([114]byte, error) {
	head, err := p.ledger.Head(ctx)
	if err != nil {
		return [114]byte{}, err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.row.Account.Releases(ch.row.Release, head.Clock) {
		return ch.row.Release, nil // asked again: the same answer, without a commit
	}
	key, err := p.keys.Release(p.cfg.ClusterTag, ch.row.Customer, p.cfg.Payout, market.Address{})
	if err != nil {
		return [114]byte{}, err
	}
	account, rel, err := ch.row.Account.MakeRelease(key, head.Clock)
	if err != nil {
		return [114]byte{}, err
	}
	crow := ch.row
	crow.Account, crow.Release = account, rel.Wire()
	if err := p.put(ctx, bucketChannels, ch.id[:], row(crow), p.released(ch.id, account)); err != nil {
		return [114]byte{}, fmt.Errorf("store release: %w", err)
	}
	ch.row = crow
	p.log.Info("Release signed", "channel", ch.id, "final_sol", market.Amount(rel.Final).SOL())
	return crow.Release, nil
}

func (p *Provider) channelByID(id market.ChannelID) (*channel, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ch, ok := p.channels[id]
	if !ok {
		return nil, market.Refuse(market.CodeChannelUnknown, market.KindNotFound, id.String())
	}
	return ch, nil
}

// ownLease returns a lease of this customer. Refusal: unknown-lease, also for somebody else's.
func (p *Provider) ownLease(from market.NodeID, id market.LeaseID) (*leaseRun, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.leases[id]
	if !ok || l.customer != from {
		return nil, market.Refuse(market.CodeUnknownLease, market.KindNotFound, id.String())
	}
	return l, nil
}

// DebtOf sums what this node key or payer owes.
func (p *Provider) DebtOf(node market.NodeID, payer market.Address, now time.Time) (sum market.Amount) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.debts {
		if (d.Customer == node || d.Payer == payer) && now.Before(d.Until) {
			sum += d.Sum
		}
	}
	return sum
}

// remember writes what a lease that ended leaves unpaid; 0 forgets it.
func (p *Provider) remember(ctx context.Context, l *leaseRun, sum market.Amount) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, known := p.debts[l.id]
	if sum == 0 {
		if !known {
			return nil
		}
		if err := p.del(ctx, bucketDebts, l.id[:]); err != nil {
			return fmt.Errorf("forget debt: %w", err)
		}
		delete(p.debts, l.id)
		return nil
	}
	if !known {
		d = debt{Lease: l.id, Customer: l.customer, Payer: l.order.Payer, Until: p.now().Add(debtLife)}
	}
	d.Sum = sum
	if err := p.put(ctx, bucketDebts, l.id[:], row(d), p.unpaid(l.id, sum)); err != nil {
		return fmt.Errorf("store debt: %w", err)
	}
	p.debts[l.id] = d
	return nil
}

// settleDebt brings a remembered debt to what the lease still owes before its payment is acknowledged: the customer may
// order at once.
func (p *Provider) settleDebt(ctx context.Context, l *leaseRun) error {
	p.mu.Lock()
	_, known := p.debts[l.id]
	p.mu.Unlock()
	if !known {
		return nil
	}
	m := l.actor.Lease()
	return p.remember(ctx, l, m.Owed()-min(m.Paid, m.Owed()))
}
