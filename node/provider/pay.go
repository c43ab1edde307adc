package provider

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/node/till"
	"github.com/gpuai/gpuai/p2p/streams"
)

// channelRow is what the books of a customer's Channel hold beside its account.
type channelRow struct {
	Customer        market.NodeID  `json:"customer"`
	Payer           market.Address `json:"payer"`
	Release         wireRelease    `json:"release,omitzero"`
	Hourly          market.Amount  `json:"hourly,omitempty"` // price of an hour of the newest lease
	TickPrice       market.Amount  `json:"tick_price,omitempty"`
	OldestUnclaimed time.Time      `json:"oldest_unclaimed,omitzero"`
	LastEnd         time.Time      `json:"last_end,omitzero"`
	Booked          *bookings      `json:"booked,omitempty"` // what is in the sums already, by lease
}

// wireRelease is a signed Release as it travels.
type wireRelease [escrow.SignedLen]byte

// MarshalText writes it in base64.
func (r wireRelease) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, r[:]), nil
}

// UnmarshalText is the inverse of MarshalText.
func (r *wireRelease) UnmarshalText(b []byte) error {
	raw, err := base64.StdEncoding.AppendDecode(nil, b)
	if err == nil && len(raw) != len(r) {
		err = fmt.Errorf("a release of %d bytes", len(raw))
	}
	copy(r[:], raw)
	return err
}

// entry is a channel's books while they are written.
type entry = till.Entry[channelRow]

// channel is the books of a customer's Channel.
type channel struct {
	*till.Book[channelRow]
	id  market.ChannelID
	old bool // of before this start

	// asked is what the newest settlement under way brings, askedKey its intent; none: 0. mu guards both.
	mu       sync.Mutex
	asked    market.Amount
	askedKey string
}

// lastEnded is zero while a lease is live.
func lastEnded(a escrow.Account, r channelRow) time.Time {
	if a.Live() > 0 {
		return time.Time{}
	}
	return r.LastEnd
}

// debt is what one lease left unpaid; its node key and its payer answer for it. Its row is written with the lease's
// own.
type debt struct {
	Sum      market.Amount  `json:"Sum"`
	Lease    market.LeaseID `json:"Lease"`
	Customer market.NodeID  `json:"Customer"`
	Payer    market.Address `json:"Payer"`
	Until    time.Time      `json:"Until"`
}

// debtLife is how long a debt is remembered.
const debtLife = 90 * 24 * time.Hour

// newChannel has its books in memory only.
func (p *Provider) newChannel(cs escrow.ChannelState, row channelRow) *channel {
	return &channel{Book: p.till.Open(escrow.NewAccount(cs, escrow.Finalised), row), id: cs.ID}
}

// channelOf returns the known channel, or a new one in memory.
func (p *Provider) channelOf(cs escrow.ChannelState) *channel {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ch, ok := p.channels[cs.ID]; ok {
		return ch
	}
	return p.newChannel(cs, channelRow{})
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
	account, _ := ch.See()
	checked, stored, err := account.Check(pay)
	if err != nil {
		return stored, err
	}
	take := func(ctx context.Context, apply applyFunc) (err error) {
		stored, err = p.take(ctx, l, ch, checked, pay, apply)
		return err
	}
	if !l.over() {
		err = l.actor.DoWith(ctx, take)
	}
	if l.over() && (err == nil || market.CodeOf(err) == market.CodeBusy) { // what it left unpaid counts all the same
		err = take(ctx, nil)
	}
	var refusal *market.Refusal
	if err != nil && !errors.As(err, &refusal) {
		return 0, fmt.Errorf("store voucher: %w", err)
	}
	p.Learn(l.customer, l.order.Payer, l.actor.Lease())
	return stored, err
}

type applyFunc = func(market.Event) (market.Lease, []market.Effect, error)

// take books a checked Payment and what it does to its lease in one Change. Refusals: as TakePayment.
func (p *Provider) take(ctx context.Context, l *leaseRun, ch *channel, checked escrow.Checked, pay market.Payment,
	apply applyFunc) (stored market.Amount, err error) {
	var paid []soldJob
	err = ch.Write(ctx, true, func(e *entry) error {
		was := e.Account
		var err error
		if e.Account, stored, err = was.TakeChecked(checked); err != nil {
			return err
		}
		share := e.Account.Leases[pay.Lease]
		if same := e.Account.Newest == was.Newest && share == was.Leases[pay.Lease]; !same {
			if e.Own.OldestUnclaimed.IsZero() {
				e.Own.OldestUnclaimed = p.now()
			}
			if !share.Live { // an old debt is paid: that is earned
				paid = p.book(e)
			}
		}
		if apply == nil {
			return nil
		}
		before := l.actor.Lease()
		m, effects, err := apply(market.PaymentStored{LeaseAmount: e.Account.Covered(l.id), ReceiptSeq: pay.ReceiptSeq})
		if err != nil || len(effects) == 0 && m.Durable() == before.Durable() {
			return nil // the state has no use for it: it is stored all the same
		}
		add, err := l.stage(m, effects)
		if err != nil {
			return err
		}
		e.Account = e.Account.Owe(l.id, m.Owed())
		e.Add(add)
		return nil
	})
	if err == nil {
		p.tellEarned(paid)
	}
	return stored, err
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
	if _, row := ch.See(); row.Customer != from {
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
	ch := p.newChannel(cs, channelRow{Customer: from, Payer: cs.Payer})
	p.channels[id] = ch
	return ch, nil
}

// release makes and stores a Release at Σ owed before it leaves.
func (p *Provider) release(ctx context.Context, ch *channel) ([114]byte, error) {
	head, err := p.ledger.Head(ctx)
	if err != nil {
		return [114]byte{}, err
	}
	var rel wireRelease
	err = ch.Write(ctx, false, func(e *entry) error {
		if e.Account.Releases(e.Own.Release, head.Clock) {
			rel = e.Own.Release // asked again: the same answer, without a commit if it is on disk
			return nil
		}
		key, err := p.keys.Release(p.cfg.ClusterTag, e.Own.Customer, p.cfg.Payout, market.Address{})
		if err != nil {
			return err
		}
		account, signed, err := e.Account.MakeRelease(key, head.Clock)
		if err != nil {
			return err
		}
		rel = signed.Wire()
		e.Account, e.Own.Release = account, rel
		e.Event(p.released(ch.id, account))
		p.log.Info("Release signed", "channel", ch.id, "final_sol", market.Amount(signed.Final).SOL())
		return nil
	})
	var refusal *market.Refusal
	if err != nil && !errors.As(err, &refusal) {
		err = fmt.Errorf("store release: %w", err)
	}
	return rel, err
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

// owes enters what a lease leaves unpaid, 0: nothing, and returns what puts it into the lease's own Change.
func (p *Provider) owes(l *leaseRun, sum market.Amount) func(*store.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, known := p.debts[l.id]
	if sum == 0 {
		delete(p.debts, l.id)
		return func(c *store.Change) { c.Deletes = append(c.Deletes, store.Ref{Bucket: bucketDebts, Key: l.id[:]}) }
	}
	if !known {
		d = debt{Lease: l.id, Customer: l.customer, Payer: l.order.Payer, Until: p.now().Add(debtLife)}
	}
	d.Sum = sum
	p.debts[l.id] = d
	told := p.unpaid(l.id, sum)
	return func(c *store.Change) {
		c.Puts = append(c.Puts, store.Put{Bucket: bucketDebts, Key: l.id[:], Value: row(d)})
		c.Events = append(c.Events, told)
	}
}
