package provider

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/node/till"
)

// books are the channels of customers: what each owes, has paid and is due, and what leases left unpaid.
//
// The till's lock is never taken under mu.
type books struct {
	*common
	till  *till.Till[channelRow]
	sums  *sums
	debts debts

	mu       sync.Mutex
	channels map[market.ChannelID]*channel
	rentMin  market.Amount
	feeBal   market.Amount
}

func newBooks(c *common, s *sums) *books {
	return &books{common: c, till: till.New[channelRow](c.db, till.Selling), sums: s,
		debts: debts{list: map[market.LeaseID]debt{}}, channels: map[market.ChannelID]*channel{}}
}

// load reads the books of an earlier start. Errors: the store's.
func (b *books) load() error {
	if err := b.debts.load(b.db); err != nil {
		return fmt.Errorf("load debts: %w", err)
	}
	list, err := b.till.Load()
	if err != nil {
		return fmt.Errorf("load channels: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, book := range list {
		a, _ := book.See()
		b.channels[id] = &channel{Book: book, id: id, old: true, gone: a.Phase == escrow.PhaseGone,
			adding: make(chan struct{}, 1)}
	}
	return nil
}

// rebook books what this node earned before it kept sums, or before its last end could. Errors: the store's.
func (b *books) rebook(ctx context.Context) error {
	for _, ch := range b.all() {
		if err := b.keep(ctx, ch, func(*entry) error { return nil }); err != nil {
			return fmt.Errorf("book earnings: %w", err)
		}
	}
	b.sums.begin()
	return nil
}

// all lists the channels.
func (b *books) all() []*channel {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Values(b.channels))
}

// funds notes what the chain shows of the fee payer.
func (b *books) funds(rentMin, balance market.Amount) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rentMin, b.feeBal = rentMin, balance
}

// fees are what funds noted last.
func (b *books) fees() (rentMin, balance market.Amount) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rentMin, b.feeBal
}

// channelRow is what the books of a customer's Channel hold beside its account.
type channelRow struct {
	Customer        market.NodeID  `json:"customer"`
	Payer           market.Address `json:"payer"`
	Release         wireRelease    `json:"release,omitzero"`
	Hourly          market.Amount  `json:"hourly,omitempty"` // price of an hour of the newest lease
	TickPrice       market.Amount  `json:"tick_price,omitempty"`
	OldestUnclaimed time.Time      `json:"oldest_unclaimed,omitzero"`
	LastEnd         time.Time      `json:"last_end,omitzero"`
	Sealed          bool           `json:"sealed,omitempty"` // the chain showed its end, for good
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
	// gone: an earlier start had seen already that its account is absent.
	gone bool
	// adding is full while a lease of the channel is committed.
	adding chan struct{}

	// asked is what the newest settlement under way brings, askedKey its intent; none: 0. mu guards both.
	mu       sync.Mutex
	asked    market.Amount
	askedKey string
}

// owner is the customer whose leases it pays; zero: none was accepted yet.
func (ch *channel) owner() market.NodeID {
	_, r := ch.See()
	return r.Customer
}

// lastEnded is zero while a lease is live.
func lastEnded(a escrow.Account, r channelRow) time.Time {
	if a.Live() > 0 {
		return time.Time{}
	}
	return r.LastEnd
}

// create makes one that has its books in memory only.
func (b *books) create(cs escrow.ChannelState, row channelRow) *channel {
	return &channel{Book: b.till.Open(escrow.NewAccount(cs, escrow.Finalised), row), id: cs.ID,
		adding: make(chan struct{}, 1)}
}

// of returns the known channel, or a new one in memory. Errors: the store's.
func (b *books) of(cs escrow.ChannelState) (*channel, error) {
	ch, err := b.find(cs.ID)
	if ch == nil && err == nil {
		ch = b.create(cs, channelRow{})
	}
	return ch, err
}

// enter makes a channel known before its first lease is committed, so that another lease of it waits for this
// one; false: another object is known by its id.
func (b *books) enter(ch *channel) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if cur, ok := b.channels[ch.id]; ok && cur != ch {
		return false
	}
	b.channels[ch.id] = ch
	return true
}

type applyFunc = func(market.Event) (market.Lease, []market.Effect, error)

// thinParts of a tick are the least that two kept vouchers are apart: a customer pays twice a tick.
const thinParts = 4

// take books a checked Payment and what it does to its lease in one Change. Refusals: as TakePayment.
func (b *books) take(ctx context.Context, l *leaseRun, ch *channel, checked escrow.Checked, pay market.Payment,
	apply applyFunc) (stored market.Amount, err error) {
	var paid []soldJob
	grain, _ := l.quote.Rate.For(len(l.quote.Devices), l.quote.Tick/thinParts) // a rate that was quoted cannot overflow
	err = ch.Write(ctx, true, func(e *entry) error {
		was := e.Account
		var err error
		if e.Account, stored, err = was.TakeChecked(checked); err != nil {
			return err
		}
		e.Account = e.Account.Thin(grain)
		share := e.Account.Leases[pay.Lease]
		if same := e.Account.Newest == was.Newest && share == was.Leases[pay.Lease]; !same {
			if e.Own.OldestUnclaimed.IsZero() {
				e.Own.OldestUnclaimed = b.now()
			}
			if !share.Live { // an old debt is paid: that is earned
				paid = b.sums.book(e)
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
		b.sums.tell(paid)
	}
	return stored, err
}

// byID is a known channel, also one that has left memory. Refusal: channel-unknown; errors: the store's.
func (b *books) byID(id market.ChannelID) (*channel, error) {
	ch, err := b.find(id)
	if ch == nil && err == nil {
		err = market.Refuse(market.CodeChannelUnknown, market.KindNotFound, id.String())
	}
	return ch, err
}

// owe keeps the channel's account at what this lease has metered; it is stored with the next payment or end, the lease
// row has it too.
func (b *books) owe(l *leaseRun, owed market.Amount) {
	ch, err := b.byID(l.channel)
	if err != nil {
		return // at accept the channel is entered right after
	}
	ch.Note(func(e *entry) { e.Account = e.Account.Owe(l.id, owed) })
}

// end ends the lease's share at what is owed, and remembers a payer who has paid.
func (b *books) end(ctx context.Context, l *leaseRun) error {
	ch, err := b.byID(l.channel)
	if err != nil {
		return err
	}
	m := l.actor.Lease()
	err = b.keep(ctx, ch, func(e *entry) error {
		if share, ok := e.Account.Leases[l.id]; ok && (share.Live || share.Owed != min(m.Owed(), share.Cap)) {
			e.Account, e.Own.LastEnd = e.Account.EndLease(l.id, m.Owed()), b.now()
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.d.counter.Learn(l.customer, l.order.Payer, m)
	return nil
}

// addLease enters the lease's share and commits it with all that the lease is: nil means that it is on disk, an error
// that it is not, nor in memory. Leases of one channel follow each other, so that none is stored on top of another that
// is refused.
func (b *books) addLease(ctx context.Context, pr *proposal, ch *channel, l *leaseRun, change store.Change) error {
	select {
	case ch.adding <- struct{}{}:
		defer func() { <-ch.adding }()
	case <-ctx.Done():
		return ctx.Err()
	}
	entered := false
	err := ch.Write(ctx, false, func(e *entry) error {
		// Again in the entry: what leases of one channel need together counts.
		need := min(pr.quote.MinHeadroom, pr.body.Cap)
		if e.Past { // an endpoint shows it open again
			return market.Refuse(market.CodeChannelUnfit, market.KindConflict, "status: "+escrow.PhaseGone.String())
		}
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
		b.sums.enter(l.sale())
		e.Add(add)
		e.Add(func(c *store.Change) {
			c.Guards, c.Puts = append(c.Guards, change.Guards...), append(c.Puts, change.Puts...)
		})
		entered = true
		return nil
	})
	if err == nil || !entered {
		return err
	}
	if row, e := b.db.Get(store.BucketTicks, pr.id[:]); e == nil && row != nil {
		return nil // it is on disk, only a payment before it is not: that one is stored with the next
	}
	b.sums.drop(pr.id)
	if e := b.withdraw(ctx, ch, pr.id); e != nil {
		b.log.Warn("Share of a refused lease was not taken back", "lease", pr.id, "error", e)
	}
	return fmt.Errorf("commit lease: %w", err)
}

// withdraw takes the share of a lease that never came to be out of the books. Errors: the store's.
func (b *books) withdraw(ctx context.Context, ch *channel, id market.LeaseID) error {
	return ch.Write(context.WithoutCancel(ctx), false, func(e *entry) error {
		e.Account = e.Account.Without(id)
		return nil
	})
}

// keep changes a channel's books, books what is earned with them and stores all that. Errors: f's, the store's.
func (b *books) keep(ctx context.Context, ch *channel, f func(*entry) error) error {
	var jobs []soldJob
	err := ch.Write(ctx, false, func(e *entry) error {
		if err := f(e); err != nil {
			return err
		}
		jobs = b.sums.book(e)
		return nil
	})
	if err == nil {
		b.sums.tell(jobs)
	}
	return err
}

// left notes that a lease has left memory: its share is folded once nothing more of it can be settled.
func (b *books) left(l *leaseRun) {
	x := l.sale()
	x.now, x.left = frozen(l.actor.Lease()), true
	b.sums.enter(x)
}

// DebtOf sums what this node key or payer owes.
func (b *books) DebtOf(node market.NodeID, payer market.Address, now time.Time) market.Amount {
	return b.debts.of(node, payer, now)
}

// Earned sums over all that this node ever sold, also where the rows of the leases are gone.
func (b *books) Earned() Earned {
	e := b.sums.total()
	for _, ch := range b.all() {
		a, r := ch.See()
		for id, s := range a.Leases {
			if have := min(s.Owed, a.Covered(id)); s.Live && a.Phase < escrow.PhaseSealed {
				e.Now += have - min(have, r.booked().Leases[id].Settled)
			}
		}
	}
	return e
}
