package purse

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// closeDelay is what our channels are opened with, unless a Quote wants more. fundWithin bounds how long an order waits
// for its money to be on the chain. landWithin is how many slots of its window an opening must have left to be taken up
// again: a transaction lives 150. openRoom is how many slots an open has to land: 6 minutes at 400 ms, more than
// fundWithin.
const (
	closeDelay = time.Hour
	fundWithin = 90 * time.Second
	landWithin = 300
	openRoom   = 900
)

// Want is a lease that is to be paid for: an order's, by a quote. Limit is what it may cost at most.
type Want struct {
	Order    market.OrderID
	Provider market.NodeID
	Quote    market.Quote
	Limit    market.Amount
}

// deposit is what one order puts into a channel: one hour of price, at most its cap, at least what the provider asks
// for to begin.
func (w *Want) deposit() (market.Amount, error) {
	hourly, err := w.hourly()
	if err != nil {
		return 0, fmt.Errorf("price of an hour: %w", err)
	}
	return max(escrow.FirstDeposit(w.Limit, hourly), min(w.Limit, 2*w.Quote.MinHeadroom)), nil
}

func (w *Want) hourly() (market.Amount, error) {
	return w.Quote.Rate.For(len(w.Quote.Devices), time.Hour)
}

// suits reports whether a channel was opened for such terms.
func (w *Want) suits(row Row) bool {
	t := row.Terms
	return row.Provider == w.Provider && t.Payee == w.Quote.Payout && t.Mint == w.Quote.Mint &&
		t.ReleaseKey == w.Quote.ReleaseKey && t.CloseDelay >= w.Quote.MinCloseDelay
}

// promise is what an order that has no lease yet counts on: its provider's headroom, and the price of its hour within
// its cap.
type promise struct{ headroom, hourly market.Amount }

// desk is where this node's orders stand in line for money at one provider: one funds at a time, for those behind it
// too, so that they share its channel. Twenty orders at once would else open twenty channels.
type desk struct {
	turn chan struct{} // full while one funds
	mu   sync.Mutex
	line map[market.OrderID]market.Amount // what those in line need
}

func (d *desk) join(order market.OrderID, need market.Amount) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.line[order] = need
}

func (d *desk) leave(order market.OrderID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.line, order)
}

func (d *desk) waiting() (sum market.Amount, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, need := range d.line {
		sum += need
	}
	return sum, len(d.line)
}

// funder puts money into channels for orders.
type funder struct {
	*books
	mu    sync.Mutex
	desks map[market.NodeID]*desk
}

func (f *funder) deskOf(provider market.NodeID) *desk {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.desks[provider]
	if d == nil {
		d = &desk{turn: make(chan struct{}, 1), line: map[market.OrderID]market.Amount{}}
		f.desks[provider] = d
	}
	return d
}

// Fund returns a channel whose money the order may count on until Drop: promised to it, so that no other order of this
// node takes it and its channel is not closed. say tells people how far it is. Errors: funds-short, spend-cap,
// chain-unreachable, transaction-pending; ctx's.
func (f *funder) Fund(ctx context.Context, w Want, say func(phase, detail string)) (*Channel, error) {
	need, err := w.deposit()
	if err != nil {
		return nil, err
	}
	d := f.deskOf(w.Provider)
	d.join(w.Order, need)
	defer d.leave(w.Order)
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d.leave(w.Order)
	others, _ := d.waiting()
	others = f.spare(ctx, need, others)
	ch, err := f.fund(ctx, &w, need+others, say)
	if code := market.CodeOf(err); others > 0 && (code == market.CodeFundsShort || code == market.CodeSpendCap) {
		ch, err = f.fund(ctx, &w, need, say) // for the others there is no money: they find out themselves
	}
	if err != nil {
		return nil, err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.promised == nil {
		ch.promised = map[market.OrderID]promise{}
	}
	ch.promised[w.Order] = promise{min(w.Limit, w.Quote.MinHeadroom), need}
	return ch, nil
}

// Drop ends the promise to an order: its lease has its share, or there is none.
func (ch *Channel) Drop(order market.OrderID) {
	ch.mu.Lock()
	delete(ch.promised, order)
	ch.mu.Unlock()
	ch.of.look(ch)
}

// holds reports whether the channel's rest carries one more lease beside its own, which cost hourly, and beside what is
// promised. a is its account with all that is seen. Caller holds mu.
func (ch *Channel) holds(a escrow.Account, headroom, own, hourly market.Amount) bool {
	hourly += own
	for _, p := range ch.promised {
		headroom += p.headroom
		hourly += p.hourly
	}
	rest := own
	for _, s := range a.Leases {
		if s.Live {
			rest += s.Cap - min(s.Paid, s.Cap)
		}
	}
	return a.Headroom() >= headroom && a.Seen-min(a.PaidSum(), a.Seen) >= min(hourly, rest)/5
}

// spare is how much of others the wallet can carry beside need; with a wallet that cannot be read, nothing.
func (f *funder) spare(ctx context.Context, need, others market.Amount) market.Amount {
	if others == 0 {
		return 0
	}
	have, err := f.ledger.Balance(ctx, f.cfg.Payer)
	if err != nil || have < need+others {
		return 0
	}
	return others
}

// Would says what Fund would put into a channel, and whether an open one takes it. Where the price of an hour is not
// to be had, it is the limit.
func (f *funder) Would(w Want) (deposit market.Amount, reuses bool) {
	if f.usable(&w, true) != nil {
		return 0, true
	}
	deposit, err := w.deposit()
	if err != nil {
		deposit = w.Limit
	}
	if ch := f.usable(&w, false); ch != nil {
		return f.missing(ch, deposit), true
	}
	return deposit, false
}

// missing is what an open channel without room lacks to deposit, beside an hour of its live leases and what is
// promised.
func (f *funder) missing(ch *Channel, deposit market.Amount) market.Amount {
	hourly, a := f.orders.Hourly(ch.id), ch.Account()
	var rest, reserve market.Amount
	for _, s := range a.Leases {
		if s.Live {
			left := s.Cap - min(s.Paid, s.Cap)
			rest, reserve = rest+left, reserve+min(left, s.MinHeadroom)
		}
	}
	taken := max(a.PaidSum(), a.OwedSum()) + max(min(hourly, rest), reserve)
	ch.mu.Lock()
	for _, p := range ch.promised {
		taken += p.hourly
	}
	ch.mu.Unlock()
	if add := deposit - min(a.Seen-min(taken, a.Seen), deposit); add > 0 {
		return add
	}
	return deposit // it has no room all the same
}

// fund returns a channel to the quote's provider that can carry the lease: an open one with room, else with deposit
// more in it, else a new one with that deposit. Called at the provider's desk, by one at a time. Errors: as Fund's.
func (f *funder) fund(ctx context.Context, w *Want, deposit market.Amount, say func(phase, detail string)) (*Channel,
	error) {
	if ch := f.usable(w, true); ch != nil {
		say("channel", "uses channel "+ch.id.String())
		return ch, nil
	}
	ch := f.unfinished(ctx, w)
	if ch == nil {
		if ch = f.usable(w, false); ch != nil {
			add := f.missing(ch, deposit)
			say("channel", fmt.Sprintf("adds %s SOL to channel %s", add.SOL(), ch.id))
			return ch, f.grow(ctx, ch, w.Order, add)
		}
		var err error
		if ch, err = f.create(ctx, w, deposit); err != nil {
			return nil, err
		}
	}
	row := ch.Row()
	say("channel", fmt.Sprintf("opening %s with %s SOL", ch.id, row.Deposit.SOL()))
	in, news := row.openIntent(ch.id), ch.news.Next()
	if err := f.submit(ctx, ch, in, row.Order); err != nil {
		if _, known, unknown := f.ledger.Result(ctx, in.Key()); known || unknown != nil {
			return nil, err // it was submitted before: the chain decides
		}
		return nil, errors.Join(err, f.forget(ctx, ch)) // nothing was signed for it
	}
	return ch, f.opened(ctx, ch, news)
}

// unfinished finds a channel whose opening this node's last start began for the same terms, so that a deposit is not
// paid twice.
func (f *funder) unfinished(ctx context.Context, w *Want) *Channel {
	head, err := f.ledger.Head(ctx)
	if err != nil {
		return nil // a new one needs the ledger as well, and says so
	}
	for _, ch := range f.all() {
		a, row := ch.book.See()
		ch.mu.Lock()
		fits := ch.loaded && head.Slot+landWithin <= row.Terms.OpenSlot+escrow.ReclaimAfter &&
			a.Phase == escrow.PhaseOpening && w.suits(row) && row.Close.IsZero()
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

// usable finds an open channel of this pair that can take one more lease. With room: whose rest covers the quote's
// headroom, once its deposit is final, and 20 % of an hour of all its leases, below which it would be topped up.
func (f *funder) usable(w *Want, room bool) *Channel {
	own, err := w.hourly()
	if err != nil {
		return nil
	}
	list := f.all()
	// of several always the same
	slices.SortFunc(list, func(a, b *Channel) int { return slices.Compare(a.id[:], b.id[:]) })
	for _, ch := range list {
		hourly := f.orders.Hourly(ch.id)
		a, row := ch.book.See()
		a.Deposit = max(a.Deposit, a.Seen) // the provider waits until it is final; a second deposit would wait as long
		ch.mu.Lock()
		fits := !ch.avoid && row.Close.IsZero() && w.suits(row) &&
			(a.Phase == escrow.PhaseOpen || a.Phase == escrow.PhaseSeen) &&
			(!room || ch.holds(a, w.Quote.MinHeadroom, min(own, w.Limit), hourly)) &&
			a.Live()+len(ch.promised) < escrow.MaxLiveLeases && w.Limit >= w.Quote.MinHeadroom
		ch.mu.Unlock()
		if fits {
			return ch
		}
	}
	return nil
}

// grow adds to an open channel for an order that is about to use it, and waits until that is confirmed. Errors: as
// Fund's.
func (f *funder) grow(ctx context.Context, ch *Channel, order market.OrderID, add market.Amount) error {
	late, cancel := context.WithTimeout(ctx, fundWithin)
	defer cancel()
	seen := ch.Account().Seen
	for want := seen + add; seen < want; {
		in := escrow.Intent{Op: escrow.OpTopUp, Channel: ch.id, Nonce: uint64(seen), Amount: want - seen, Total: want}
		news := ch.news.Next()
		if err := f.submit(ctx, ch, in, order); err != nil {
			return err
		}
		for was := seen; ; {
			if err := soon(ctx, late, news, "top up channel"); err != nil {
				return err
			}
			news = ch.news.Next()
			if seen = ch.Account().Seen; seen > was { // a top-up that a lease asked for may be faster
				break
			}
			res, ok, err := f.ledger.Result(ctx, in.Key())
			if err == nil && ok && res.State == escrow.Failed {
				return &market.Error{Code: market.CodeFundsShort, Kind: market.KindConflict, Op: "top up channel",
					Detail: res.Err,
					Hint:   "gpuai wallet show"}
			}
		}
	}
	return nil
}

// soon waits for the next news of a channel. Errors: transaction-pending once late has ended; ctx's.
func soon(ctx, late context.Context, news <-chan struct{}, op string) error {
	select {
	case <-news:
		return nil
	case <-late.Done():
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &market.Error{Code: market.CodeTransactionPending, Kind: market.KindUnavailable, Op: op,
		Detail: "sent, outcome not known yet; do not repeat", Hint: "gpuai channel list"}
}

// openSlot is the slot that a new channel is named by. The program takes an open until its window after that slot is
// over, and gives the account's storage deposit back only then: named by an older slot, the deposit is back as much
// earlier.
func openSlot(head escrow.Head) uint64 {
	return head.Slot - min(head.Slot, escrow.ReclaimAfter-openRoom)
}

// create stores what is about to be opened.
func (f *funder) create(ctx context.Context, w *Want, deposit market.Amount) (*Channel, error) {
	head, err := f.ledger.Head(ctx)
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
	key, err := f.keys.Voucher(f.cfg.ClusterTag, f.cfg.Payer, w.Quote.Payout, w.Quote.Mint, n)
	if err != nil {
		return nil, fmt.Errorf("derive voucher key: %w", err)
	}
	terms := escrow.OpenTerms{
		Payer: f.cfg.Payer, Payee: w.Quote.Payout, Mint: w.Quote.Mint, VoucherKey: escrow.PublicKey(key),
		ReleaseKey: w.Quote.ReleaseKey,
		CloseDelay: max(closeDelay, w.Quote.MinCloseDelay), Salt: binary.LittleEndian.Uint64(salt[:]),
		ClusterTag: f.cfg.ClusterTag, OpenSlot: openSlot(head),
	}
	terms, id, err := terms.FindSalt(f.cfg.Program)
	if err != nil {
		return nil, fmt.Errorf("channel address: %w", err)
	}
	row := Row{
		Terms: terms, Provider: w.Provider, N: n, Opened: f.now(), Deposit: deposit, ClaimFee: w.Quote.ClaimFee,
		FeePayer: w.Quote.FeePayer, Order: w.Order,
	}
	in := row.openIntent(id)
	row.OpenKey = in.Key()
	account := escrow.NewAccount(escrow.ChannelState{ID: id, Status: escrow.StatusGone, VoucherKey: terms.VoucherKey},
		escrow.Shown)
	ch := newChannel(f.books, f.till.Open(account, row), id, key)
	err = ch.enter(ctx, func(e *entry) error {
		e.Event(happened(id, e, f.now()))
		return nil
	})
	if err != nil {
		return nil, err
	}
	f.add(ch)
	return ch, nil
}

// opened waits until the open is confirmed, from the first news after it was submitted. Errors: the intent's failure;
// transaction-pending.
func (f *funder) opened(ctx context.Context, ch *Channel, news <-chan struct{}) error {
	late, cancel := context.WithTimeout(ctx, fundWithin)
	defer cancel()
	for {
		if err := soon(ctx, late, news, "open channel"); err != nil {
			return err
		}
		news = ch.news.Next()
		a, row := ch.book.See()
		if a.Phase == escrow.PhaseSeen || a.Phase == escrow.PhaseOpen {
			return nil
		}
		res, ok, err := f.ledger.Result(ctx, row.OpenKey)
		switch failed := err == nil && ok && res.State == escrow.Failed; {
		case failed && res.Code == escrow.CodeSlotWindow:
			return &market.Error{Code: market.CodeChainUnreachable, Kind: market.KindUnavailable, Op: "open channel",
				Detail: "the ledger took too long to take it; nothing is locked", Hint: "gpuai doctor --only chain"}
		case failed: // the row stays until the chain cannot have the channel: unopened
			return &market.Error{Code: market.CodeFundsShort, Kind: market.KindConflict, Op: "open channel",
				Detail: res.Err,
				Hint:   "gpuai wallet show"}
		}
	}
}
