// Package purse is the buying role's channels and the money in them: it opens them and adds to them for orders, signs
// their vouchers, reads the chain, and brings home what no order needs.
//
// Invariants: one reader looks at the chain; whoever waits for it waits for a channel's next look. What to do about a
// channel is decided by escrow.DecidePayer at each look, and may be done twice. Concurrency: any goroutine; each owner
// has its own lock, which is held while memory changes only. Persistence: the buying books of node/till. Next: Purse,
// escrow.DecidePayer, docs/adr/0020-the-purse.md.
package purse

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/node/till"
)

// Config is what a purse needs to know.
type Config struct {
	ClusterTag     uint64
	Payer, Program market.Address
	Seed           [32]byte      // of voucher keys
	Every          time.Duration // how often channels are read
}

// Orders is what a purse asks and tells the orders of its node. None of it is called under a lock.
type Orders interface {
	// Needs reports whether an order uses a channel, may still come to use it, or wants it kept; left: whether one is
	// about to use it, although another has left it.
	Needs(id market.ChannelID, provider market.NodeID, left bool) bool
	// Hourly is the price of an hour of a channel's live leases.
	Hourly(id market.ChannelID) market.Amount
	// Follows reports whether something of a lease may still be signed.
	Follows(lease market.LeaseID) bool
	// Funds tells live leases how far their share can grow, so that they ask for a top-up in time.
	Funds(ctx context.Context, id market.ChannelID, a escrow.Account)
	// Settled tells what a finished channel has paid and returned; a repeat changes nothing.
	Settled(ctx context.Context, s Settlement)
	// Spends enters a transaction in the costs of the order that it is for, before it is submitted: by, else the
	// newest that uses its channel, else the one that opened it. Errors: the store's; the ledger's.
	Spends(ctx context.Context, in escrow.Intent, opener, by market.OrderID) error
	// Spent tells that a transaction has come to its end.
	Spent(ctx context.Context, key string)
	// Release asks a provider for its consent to finish a channel now.
	Release(ctx context.Context, provider market.NodeID, id market.ChannelID) ([114]byte, error)
}

// Settlement is what a finished channel has paid and returned. Owes is the part of Paid that waits until the provider's
// account can take it.
type Settlement struct {
	Channel              market.ChannelID
	Paid, Returned, Owes market.Amount
	Tx                   string
}

// Purse is the owners together.
type Purse struct {
	*books
	*reader
	*keeper
	*funder
}

// New returns a purse on the books in db. Call Load, then Serve.
func New(cfg Config, db *store.Store, ledger escrow.Ledger, orders Orders, now func() time.Time,
	log *slog.Logger) *Purse {
	b := &books{cfg: cfg, ledger: ledger, orders: orders, now: now, log: log, keys: escrow.NewKeys(cfg.Seed),
		till:     till.New[Row](db, till.Buying),
		channels: map[market.ChannelID]*Channel{}, woken: make(chan struct{}, 1)}
	f := &funder{books: b, desks: map[market.NodeID]*desk{}}
	k := &keeper{books: b, desks: f}
	return &Purse{b, &reader{books: b, keeper: k}, k, f}
}

// books is the list of channels.
type books struct {
	cfg    Config
	ledger escrow.Ledger
	orders Orders
	now    func() time.Time
	log    *slog.Logger
	keys   escrow.Keys
	till   *till.Till[Row]
	woken  chan struct{} // full while a channel is new or to be looked at

	mu       sync.Mutex
	channels map[market.ChannelID]*Channel
}

// Load reads the store. Channels that are over are left there. Errors: the store's.
func (b *books) Load() error {
	list, err := b.till.Load()
	if err != nil {
		return fmt.Errorf("load channels: %w", err)
	}
	var over []*till.Book[Row]
	for _, book := range list {
		if isOver(book) {
			over = append(over, book)
		}
	}
	left := b.till.Leave(over...)
	if left != nil {
		b.log.Warn("Channels that are gone stay in memory", "error", left)
	}
	for _, book := range list {
		if left == nil && isOver(book) {
			continue
		}
		ch, err := b.channelOf(book)
		if err != nil {
			return err
		}
		ch.loaded = true
		b.add(ch)
	}
	return nil
}

func (b *books) channelOf(book *till.Book[Row]) (*Channel, error) {
	_, row := book.See()
	key, err := b.keys.Voucher(b.cfg.ClusterTag, b.cfg.Payer, row.Terms.Payee, row.Terms.Mint, row.N)
	if err != nil {
		return nil, err
	}
	return newChannel(b, book, book.ID(), key), nil
}

// isOver reports that the chain has nothing more to tell of a channel, and that no lease is in its books. One that is
// absent and was never seen paid out may be the endpoint's fault.
func isOver(book *till.Book[Row]) bool {
	a, row := book.See()
	return a.Phase == escrow.PhaseGone && row.Paid+row.Returned > 0 && len(a.Leases) == 0
}

// leave lets a channel go from memory if it is over; Of reads it from the store.
func (b *books) leave(ch *Channel) {
	if !isOver(ch.book) {
		return
	}
	if err := b.till.Leave(ch.book); err != nil {
		b.log.Warn("Channel that is gone stays in memory", "channel", ch.id, "error", err)
		return
	}
	if !ch.book.Left() { // a lease came meanwhile
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.channels, ch.id)
}

// Queue stores what f puts, in the order of the entries of all channels; see till.Till.
func (b *books) Queue(f func(*store.Change)) error { return b.till.Queue(f) }

// Of is an own channel; nil: there is none. One that has left memory is read from the store.
func (b *books) Of(id market.ChannelID) *Channel {
	b.mu.Lock()
	ch := b.channels[id]
	b.mu.Unlock()
	if ch != nil {
		return ch
	}
	book := b.past(id)
	if book == nil {
		return nil
	}
	ch, err := b.channelOf(book)
	if err != nil {
		b.log.Error("Channel that is gone has no voucher key", "channel", id, "error", err)
	}
	return ch
}

func (b *books) add(ch *Channel) {
	b.mu.Lock()
	b.channels[ch.id] = ch
	b.mu.Unlock()
	b.wake()
}

func (b *books) all() []*Channel {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Values(b.channels))
}

// forget drops a channel that was never opened.
func (b *books) forget(ctx context.Context, ch *Channel) error {
	b.mu.Lock()
	delete(b.channels, ch.id)
	b.mu.Unlock()
	return ch.book.Forget(ctx)
}

// look has the chain read for a channel now.
func (b *books) look(ch *Channel) {
	ch.mu.Lock()
	ch.due = true
	ch.mu.Unlock()
	b.wake()
}

func (b *books) wake() {
	select {
	case b.woken <- struct{}{}:
	default:
	}
}

// submit enters a transaction in the costs of an order, and gives it to the ledger. Errors: the store's; the ledger's.
func (b *books) submit(ctx context.Context, ch *Channel, in escrow.Intent, by market.OrderID) error {
	if err := b.orders.Spends(ctx, in, ch.Row().Order, by); err != nil {
		return err
	}
	ch.mu.Lock()
	ch.newest = in.Key()
	ch.mu.Unlock()
	err := b.ledger.Submit(ctx, in)
	b.look(ch)
	return err
}

// View is an own channel as people see it.
type View struct {
	ID       market.ChannelID
	Provider market.NodeID
	Account  escrow.Account
	Paid     market.Amount
	Returned market.Amount
	Opened   time.Time
	Owes     market.Amount // sealed, and the provider's account cannot take it yet
	Trouble  error         // why its next step did not work; of this start
}

// Channels lists own channels, also those that have left memory.
func (b *books) Channels() []View {
	out := b.Held()
	held := map[market.ChannelID]bool{}
	for _, v := range out {
		held[v.ID] = true
	}
	err := b.till.EachPast(func(book *till.Book[Row]) {
		if !held[book.ID()] {
			out = append(out, viewOf(book))
		}
	})
	if err != nil {
		b.log.Error("Channels that are gone were not read", "error", err)
	}
	return out
}

// Held lists the own channels that are in memory: all that are not gone.
func (b *books) Held() (out []View) {
	for _, ch := range b.all() {
		v := viewOf(ch.book)
		v.Trouble = ch.trouble()
		out = append(out, v)
	}
	return out
}

// Channel is one of Channels; false: there is none.
func (b *books) Channel(id market.ChannelID) (View, bool) {
	b.mu.Lock()
	ch := b.channels[id]
	b.mu.Unlock()
	if ch != nil {
		return viewOf(ch.book), true
	}
	book := b.past(id)
	if book == nil {
		return View{}, false
	}
	return viewOf(book), true
}

// past are the books of a channel that has left memory; nil: there are none.
func (b *books) past(id market.ChannelID) *till.Book[Row] {
	book, err := b.till.Past(id)
	if err != nil {
		b.log.Error("Channel that is gone was not read", "channel", id, "error", err)
	}
	return book
}

func viewOf(book *till.Book[Row]) View {
	a, row := book.See()
	return View{ID: book.ID(), Provider: row.Provider, Account: a, Paid: row.Paid, Returned: row.Returned,
		Opened: row.Opened, Owes: owes(a)}
}

// Reclaimed reports that a channel's account is gone, and with it what the ledger held for it: the wallet has it.
func (b *books) Reclaimed(ctx context.Context, id market.ChannelID) bool {
	ch := b.Of(id)
	if ch == nil {
		return true
	}
	if phase := ch.Account().Phase; phase == escrow.PhaseGone || phase == escrow.PhaseLost || ch.gone.Load() {
		return true
	}
	res, ok, err := b.ledger.Result(ctx, reclaimOf(id).Key())
	return err == nil && ok && (res.State == escrow.ConfirmedTx || res.State == escrow.Final)
}

func reclaimOf(id market.ChannelID) escrow.Intent {
	return escrow.Intent{Op: escrow.OpReclaim, Channel: id}
}

// owes is what a sealed channel has settled for its provider and not paid: its account cannot take it yet.
func owes(a escrow.Account) market.Amount {
	if a.Phase != escrow.PhaseSealed {
		return 0
	}
	return a.Settled - min(a.SentToPay, a.Settled)
}
