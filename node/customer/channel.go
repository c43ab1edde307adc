package customer

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/till"
)

// closeDelay is what our channels are opened with, unless a Quote wants more (at most maxDelay).
const closeDelay = time.Hour

// channelRow is what the books of an own Channel hold beside its account.
type channelRow struct {
	Terms     escrow.OpenTerms      `json:"Terms"`
	Provider  market.NodeID         `json:"Provider"`
	N         uint32                `json:"N"`       // voucher key number
	Deposit   market.Amount         `json:"Deposit"` // of the open intent
	ClaimFee  market.Amount         `json:"ClaimFee"`
	FeePayer  market.Address        `json:"FeePayer"`
	OpenKey   string                `json:"OpenKey"` // the open intent
	Release   *escrow.SignedRelease `json:"Release"`
	FinishSig string                `json:"FinishSig"`
	Opened    time.Time             `json:"Opened"`
	Returned  market.Amount         `json:"Returned"`
	Paid      market.Amount         `json:"Paid"`
	FinishKey string                `json:"FinishKey"`
	Order     market.OrderID        `json:"Order"` // that opened it
}

// entry is a channel's books while they are written.
type entry = till.Entry[channelRow]

// channel is the books of an own Channel, and what its orders are about to do with it, which mu guards.
type channel struct {
	*till.Book[channelRow]
	mu  sync.Mutex
	id  market.ChannelID
	key ed25519.PrivateKey
	// avoid: no lease begins on it any more: the provider has refused one since this node's start, or its money is
	// asked back
	avoid bool
	// loaded: read from the store at this start, not used yet
	loaded bool
	// promised: money that orders count on which have no lease on it yet
	promised map[*orderRun]promise
	payAt    atomic.Int64 // when its payee's account was looked at last, ns
	told     atomic.Bool  // its orders know what it paid
	left     atomic.Bool  // no order needs it, it is being closed
	alone    atomic.Bool  // its provider has fallen silent: a Release is asked for once
	// grower is the order whose start adds to the deposit now; it uses the channel only afterwards
	grower market.OrderID
	// closing is full while one closes it
	closing chan struct{}
	bell    await.Bell // rings after each entry
}

// channelOf is an own channel; nil: there is none.
func (c *Customer) channelOf(id market.ChannelID) *channel {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.channels[id]
}

// enterBooks changes the books of a channel and stores them with the event of another phase. Most looks at the chain
// change nothing. Errors: f's, the store's.
func (c *Customer) enterBooks(ctx context.Context, ch *channel, f func(*entry) error) error {
	defer ch.bell.Ring()
	return ch.Write(ctx, false, func(e *entry) error {
		was := e.Account.Phase
		if err := f(e); err != nil {
			return err
		}
		if e.Account.Phase != was {
			e.Event(channelHappened(ch.id, e, c.now()))
		}
		return nil
	})
}

// account and row are the books as they are.
func (ch *channel) account() escrow.Account {
	a, _ := ch.See()
	return a
}

func (ch *channel) row() channelRow {
	_, r := ch.See()
	return r
}

// fund returns a Channel to the quote's provider that can carry the lease: an open one with room, else with deposit
// more in it, else a new one with that deposit. Called at the provider's desk, by one at a time. Errors: funds-short,
// spend-cap, chain-unreachable, transaction-pending.
func (c *Customer) fund(ctx context.Context, r *Request, o *offered, deposit market.Amount,
	say func(phase, detail string)) (*channel, error) {
	limit := leaseCap(r, o)
	if ch := c.usable(o, limit, true); ch != nil {
		say("channel", "uses channel "+ch.id.String())
		return ch, nil
	}
	ch := c.unfinished(ctx, o)
	if ch == nil {
		if ch = c.usable(o, limit, false); ch != nil {
			say("channel", fmt.Sprintf("adds %s SOL to channel %s", deposit.SOL(), ch.id))
			return ch, c.grow(ctx, ch, OrderIDOf(c.cfg.ID, r.Key), deposit)
		}
		var err error
		if ch, err = c.newChannel(ctx, OrderIDOf(c.cfg.ID, r.Key), o, deposit); err != nil {
			return nil, err
		}
	}
	row := ch.row()
	say("channel", fmt.Sprintf("opening %s with %s SOL", ch.id, row.Deposit.SOL()))
	in := row.openIntent(ch.id)
	if err := c.ledger.Submit(ctx, in); err != nil {
		if _, known, unknown := c.ledger.Result(ctx, in.Key()); known || unknown != nil {
			return nil, err // it was submitted before: the chain decides
		}
		return nil, errors.Join(err, c.forget(ctx, ch)) // nothing was signed for it
	}
	return ch, c.waitOpen(ctx, ch)
}

// landWithin is how many slots of its window an opening must have left to be taken up again: a transaction lives 150.
const landWithin = 300

// unfinished finds a channel whose opening this node's last start began for the same terms, so that a deposit is not
// paid twice.
func (c *Customer) unfinished(ctx context.Context, o *offered) *channel {
	head, err := c.ledger.Head(ctx)
	if err != nil {
		return nil // a new one needs the ledger as well, and says so
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.channels {
		a, row := ch.See()
		t := row.Terms
		ch.mu.Lock()
		fits := ch.loaded && head.Slot+landWithin <= t.OpenSlot+escrow.ReclaimAfter &&
			a.Phase == escrow.PhaseOpening && row.Provider == o.provider && t.Payee == o.quote.Payout &&
			t.Mint == o.quote.Mint && t.ReleaseKey == o.quote.ReleaseKey && t.CloseDelay >= o.quote.MinCloseDelay
		if fits {
			ch.loaded = false // taken
		}
		ch.mu.Unlock()
		if fits {
			return ch
		}
	}
	return nil
}

// openIntent is the one that Terms describe; its key makes a repeat free.
func (r *channelRow) openIntent(id market.ChannelID) escrow.Intent {
	terms := r.Terms
	return escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: r.Deposit, Open: &terms,
		ClaimFee: r.ClaimFee, FeePayer: r.FeePayer}
}

// forget drops a channel that was never opened.
func (c *Customer) forget(ctx context.Context, ch *channel) error {
	c.mu.Lock()
	delete(c.channels, ch.id)
	c.mu.Unlock()
	return ch.Forget(ctx)
}

// unopened reports that no open of a channel's slot can come any more, and that a finalised view from then has no such
// account: until then a deposit may be on the chain, and only this row can fetch it.
func (c *Customer) unopened(ctx context.Context, ch *channel, head escrow.Head) (bool, error) {
	a, row := ch.See()
	last, key := row.Terms.OpenSlot+escrow.ReclaimAfter, row.OpenKey
	if a.Phase != escrow.PhaseOpening || head.Slot <= last {
		return false, nil
	}
	if res, ok, err := c.ledger.Result(ctx, key); err != nil || ok && !res.State.Ended() {
		return false, err
	}
	final, err := c.ledger.Channels(ctx, []market.ChannelID{ch.id}, escrow.Finalised)
	return err == nil && final[0].Status == escrow.StatusGone && final[0].Slot > last, err
}

// usable finds an open Channel of this pair that can take one more lease. With room: whose rest covers the quote's
// headroom, once its deposit is final, and 20 % of an hour of all its leases, below which it would be topped up.
func (c *Customer) usable(o *offered, limit market.Amount, room bool) *channel {
	own, err := o.quote.Rate.For(len(o.quote.Devices), time.Hour)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	list := slices.Collect(maps.Values(c.channels))
	c.mu.Unlock()
	for _, ch := range list {
		hourly := c.hourly(ch.id)
		a, row := ch.See()
		t := row.Terms
		ch.mu.Lock()
		a.Deposit = max(a.Deposit, a.Seen) // the provider waits until it is final; a second deposit would wait as long
		fits := !ch.avoid && row.Provider == o.provider && t.Payee == o.quote.Payout && t.Mint == o.quote.Mint &&
			t.ReleaseKey == o.quote.ReleaseKey && t.CloseDelay >= o.quote.MinCloseDelay &&
			(a.Phase == escrow.PhaseOpen || a.Phase == escrow.PhaseSeen) &&
			(!room || ch.holds(a, o.quote.MinHeadroom, min(own, limit), hourly)) &&
			a.Live()+len(ch.promised) < escrow.MaxLiveLeases && limit >= o.quote.MinHeadroom
		ch.mu.Unlock()
		if fits {
			return ch
		}
	}
	return nil
}

// grow adds to an open channel for an order that is about to use it, and waits until that is confirmed. Errors: as
// fund's.
func (c *Customer) grow(ctx context.Context, ch *channel, order market.OrderID, add market.Amount) error {
	seen := ch.account().Seen
	ch.mu.Lock()
	ch.grower = order
	ch.mu.Unlock()
	defer func() {
		ch.mu.Lock()
		ch.grower = market.OrderID{}
		ch.mu.Unlock()
	}()
	deadline := time.Now().Add(fundWithin)
	for want := seen + add; seen < want; {
		in := escrow.Intent{Op: escrow.OpTopUp, Channel: ch.id, Nonce: uint64(seen), Amount: want - seen, Total: want}
		if err := c.ledger.Submit(ctx, in); err != nil {
			return err
		}
		if err := c.refresh(ctx, ch); err == nil {
			if now := ch.account().Seen; now > seen { // a top-up that a lease asked for may have been faster
				seen = now
				continue
			}
		}
		res, ok, err := c.ledger.Result(ctx, in.Key())
		if err == nil && ok && res.State == escrow.Failed {
			return &market.Error{Code: market.CodeFundsShort, Kind: market.KindConflict, Op: "top up channel",
				Detail: res.Err,
				Hint:   "gpuai wallet show"}
		}
		if time.Now().After(deadline) {
			return &market.Error{Code: market.CodeTransactionPending, Kind: market.KindUnavailable,
				Op:     "top up channel",
				Detail: "sent, outcome not known yet; do not repeat", Hint: "gpuai channel list"}
		}
		if err := await.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// openRoom is how many slots an open has to land: 6 minutes at 400 ms, more than waitOpen waits.
const openRoom = 900

// openSlot is the slot that a new channel is named by. The program takes an open until its window after that slot is
// over, and gives the account's storage deposit back only then: named by an older slot, the deposit is back as much
// earlier.
func openSlot(head escrow.Head) uint64 {
	return head.Slot - min(head.Slot, escrow.ReclaimAfter-openRoom)
}

// newChannel stores what is about to be opened.
func (c *Customer) newChannel(ctx context.Context, order market.OrderID, o *offered, deposit market.Amount) (*channel,
	error) {
	head, err := c.ledger.Head(ctx)
	if err != nil {
		return nil, &market.Error{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable, Op: "open channel",
			Err:  err,
			Hint: "gpuai doctor --only chain"}
	}
	var salt [8]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(salt[:]) // a fresh voucher key per channel
	vkey, err := c.keys.Voucher(c.cfg.ClusterTag, c.cfg.Payer, o.quote.Payout, o.quote.Mint, n)
	if err != nil {
		return nil, fmt.Errorf("derive voucher key: %w", err)
	}
	terms := escrow.OpenTerms{
		Payer: c.cfg.Payer, Payee: o.quote.Payout, Mint: o.quote.Mint, VoucherKey: escrow.PublicKey(vkey),
		ReleaseKey: o.quote.ReleaseKey,
		CloseDelay: max(closeDelay, o.quote.MinCloseDelay), Salt: binary.LittleEndian.Uint64(salt[:]),
		ClusterTag: c.cfg.ClusterTag, OpenSlot: openSlot(head),
	}
	terms, id, err := terms.FindSalt(c.cfg.Program)
	if err != nil {
		return nil, fmt.Errorf("channel address: %w", err)
	}
	row := channelRow{
		Terms: terms, Provider: o.provider, N: n, Opened: c.now(), Deposit: deposit, ClaimFee: o.quote.ClaimFee,
		FeePayer: o.quote.FeePayer,
		Order:    order,
	}
	row.OpenKey = row.openIntent(id).Key()
	account := escrow.NewAccount(escrow.ChannelState{ID: id, Status: escrow.StatusGone, VoucherKey: terms.VoucherKey},
		escrow.Shown)
	ch := &channel{Book: c.till.Open(account, row), id: id, key: vkey, closing: make(chan struct{}, 1)}
	err = ch.Write(ctx, false, func(e *entry) error {
		e.Event(channelHappened(id, e, c.now()))
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.channels[id] = ch
	c.mu.Unlock()
	return ch, nil
}

// waitOpen waits until the open is confirmed. Errors: the intent's failure, transaction-pending when fundWithin is
// over.
func (c *Customer) waitOpen(ctx context.Context, ch *channel) error {
	deadline := time.Now().Add(fundWithin)
	for {
		if err := c.refresh(ctx, ch); err == nil {
			if phase := ch.account().Phase; phase == escrow.PhaseSeen || phase == escrow.PhaseOpen {
				return nil
			}
		}
		res, ok, err := c.ledger.Result(ctx, ch.row().OpenKey)
		if err == nil && ok && res.State == escrow.Failed && res.Code == escrow.CodeSlotWindow {
			return &market.Error{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable, Op: "open channel",
				Detail: "the ledger took too long to take it; nothing is locked", Hint: "gpuai doctor --only chain"}
		}
		// the row stays until the chain cannot have the channel: unopened
		if err == nil && ok && res.State == escrow.Failed {
			return &market.Error{Code: market.CodeFundsShort, Kind: market.KindConflict, Op: "open channel",
				Detail: res.Err,
				Hint:   "gpuai wallet show"}
		}
		if time.Now().After(deadline) {
			return &market.Error{Code: market.CodeTransactionPending, Kind: market.KindUnavailable, Op: "open channel",
				Detail: "sent, outcome not known yet; do not repeat", Hint: "gpuai channel list"}
		}
		if err := await.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// refresh reads the Channel and keeps the account up to date.
func (c *Customer) refresh(ctx context.Context, ch *channel) error {
	head, err := c.ledger.Head(ctx)
	if err != nil {
		return err
	}
	states, err := c.ledger.Channels(ctx, []market.ChannelID{ch.id}, escrow.Confirmed)
	if err != nil {
		return err
	}
	return c.observe(ctx, ch, states[0], head)
}

// observe takes a confirmed view of the Channel.
func (c *Customer) observe(ctx context.Context, ch *channel, cs escrow.ChannelState, head escrow.Head) error {
	trust := escrow.Confirmed
	if cs.Status == escrow.StatusGone { // reclaimed, if it stays so: only then it is not read again
		final, err := c.ledger.Channels(ctx, []market.ChannelID{ch.id}, escrow.Finalised)
		if err != nil {
			return err
		}
		if final[0].Status == escrow.StatusGone {
			trust = escrow.Finalised
		}
	}
	return c.enterBooks(ctx, ch, func(e *entry) error {
		e.Account = e.Account.Observe(cs, trust, head.Clock.Unix())
		if cs.Status == escrow.StatusSealed {
			// what is settled is the provider's, also where its address cannot take it yet
			e.Own.Paid, e.Own.Returned = cs.Settled, cs.Refunded
		}
		return nil
	})
}

// finalise notes a deposit, or a top-up, that has become final: only that carries the next lease on the channel. The
// finalised view is an old one, so nothing else is taken from it.
func (c *Customer) finalise(ctx context.Context, ch *channel) error {
	due := func(a escrow.Account) bool {
		return (a.Phase == escrow.PhaseSeen || a.Phase == escrow.PhaseOpen) && a.Deposit < a.Seen
	}
	if !due(ch.account()) {
		return nil
	}
	states, err := c.ledger.Channels(ctx, []market.ChannelID{ch.id}, escrow.Finalised)
	if err != nil || states[0].Status != escrow.StatusOpen {
		return err
	}
	return c.enterBooks(ctx, ch, func(e *entry) error {
		a := e.Account
		if !due(a) || states[0].Deposit <= a.Deposit {
			return nil
		}
		e.Account = a.Observe(states[0], escrow.Finalised, 0)
		e.Account.Seen = a.Seen
		return nil
	})
}

// leaseCap is what one lease may cost at most: the order's budget, or the rate for its longest time.
func leaseCap(r *Request, o *offered) market.Amount {
	whole, err := o.quote.Rate.For(len(o.quote.Devices), r.File.Limits.MaxDuration)
	if err != nil {
		return r.File.Limits.MaxTotal
	}
	return min(r.File.Limits.MaxTotal, whole)
}
