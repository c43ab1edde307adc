package purse

import (
	"context"
	"crypto/ed25519"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/node/till"
)

// Row is what the books of an own Channel hold beside its account.
type Row struct {
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
	FinishKey string                `json:"FinishKey"`      // the finish intent
	Order     market.OrderID        `json:"Order"`          // that opened it
	Close     time.Time             `json:"Close,omitzero"` // since when its user wants it closed
}

// openIntent is the one that Terms describe; its key makes a repeat free.
func (r *Row) openIntent(id market.ChannelID) escrow.Intent {
	terms := r.Terms
	return escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: r.Deposit, Open: &terms,
		ClaimFee: r.ClaimFee, FeePayer: r.FeePayer}
}

// entry is a channel's books while they are written.
type entry = till.Entry[Row]

// Channel is the books of an own Channel, and what is about to happen to it.
type Channel struct {
	of   *books
	book *till.Book[Row]
	id   market.ChannelID
	key  ed25519.PrivateKey
	gone atomic.Bool // a confirmed view has its account no more
	told atomic.Bool // its orders know what it paid
	busy atomic.Bool // something is being done about it
	news await.Bell  // rings at its looks, and with its entries

	mu sync.Mutex
	// avoid: no lease begins on it any more: the provider has refused one since this node's start, or its money is
	// asked back
	avoid bool
	// loaded: read from the store at this start, not used yet
	loaded bool
	// promised: money that orders count on which have no lease on it yet
	promised map[market.OrderID]promise
	pursuit  pursuit
	newest   string    // transaction that this start has submitted
	due      bool      // it is to be looked at
	until    time.Time // when it is to be looked at again; zero: with the others
	faults   int
	fault    error        // the newest
	faultIn  escrow.Phase // where the channel stood then
}

// pursuit is how far this start of the node has come with a channel: what escrow.PayerNeeds wants to know. A restart
// forgets it.
type pursuit struct {
	left             bool // an order has left it
	free, back       time.Time
	silent           bool
	asked            int
	askedAt          time.Time
	failedAt, paidAt time.Time
	under            string // what was decided last and submitted
}

func newChannel(b *books, book *till.Book[Row], id market.ChannelID, key ed25519.PrivateKey) *Channel {
	return &Channel{of: b, book: book, id: id, key: key}
}

// ID is the channel's address.
func (ch *Channel) ID() market.ChannelID { return ch.id }

// Account is the books' account as it is now.
func (ch *Channel) Account() escrow.Account {
	a, _ := ch.book.See()
	return a
}

// Row is the rest of the books as they are now.
func (ch *Channel) Row() Row {
	_, r := ch.book.See()
	return r
}

// Bind binds the voucher key to a node and the channel; the provider checks it.
func (ch *Channel) Bind(node market.NodeID) (sig [64]byte) {
	return escrow.SignBind(ch.key, node, ch.id)
}

// enter changes the books and stores them with the event of another phase. Most looks at the chain change nothing.
// Errors: f's, the store's.
func (ch *Channel) enter(ctx context.Context, f func(*entry) error) error {
	err := ch.book.Write(ctx, false, func(e *entry) error {
		was := e.Account.Phase
		if err := f(e); err != nil {
			return err
		}
		if e.Account.Phase != was {
			e.Event(happened(ch.id, e, ch.of.now()))
		}
		return nil
	})
	ch.news.Ring()
	return err
}

// happened is the event of a channel whose phase changed.
func happened(id market.ChannelID, e *entry, at time.Time) store.Event {
	a := e.Account
	paid := a.PaidSum()
	if a.Phase == escrow.PhaseSealed || a.Phase == escrow.PhaseGone {
		paid = e.Own.Paid // what the ledger paid out: less than was signed, if that was ahead of the meter
	}
	return store.Event{
		At: at, Topic: "channel", ID: id.String(), Cause: a.Phase.String(), Money: true,
		Amounts: map[string]market.Amount{"deposit": a.Seen, "paid": paid, "returned": e.Own.Returned},
	}
}

// fail notes that something about the channel did not work.
func (ch *Channel) fail(err error) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.pursuit.failedAt = ch.of.now()
	ch.faults++
	ch.fault, ch.faultIn = err, ch.Account().Phase
}

// trouble is why the channel's next step did not work, nil if none has failed since the last one that did.
func (ch *Channel) trouble() error {
	phase := ch.Account().Phase
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.faultIn != phase || phase >= escrow.PhaseGone {
		return nil
	}
	return ch.fault
}

// failed counts the faults, and returns the newest if there are more than seen; seen below 0: never.
func (ch *Channel) failed(seen int) (int, error) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if seen < 0 || ch.faults == seen {
		return ch.faults, nil
	}
	return ch.faults, ch.fault
}

func (ch *Channel) submitted() string {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.newest
}

// AwaitIdle returns once no lease lives on the channel. Errors: ctx's.
func (ch *Channel) AwaitIdle(ctx context.Context) error {
	return ch.news.Until(ctx, func() bool { return ch.Account().Live() == 0 })
}

// Avoid keeps leases from beginning on the channel.
func (ch *Channel) Avoid() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.avoid = true
}

// AddLease enters a lease's share, together with what step adds to the Change. Errors: *market.Refusal channel-unfit;
// step's; the store's.
func (ch *Channel) AddLease(ctx context.Context, lease market.LeaseID, limit, headroom market.Amount,
	step func() (func(*store.Change), error)) error {
	return ch.enter(ctx, func(e *entry) error {
		account, err := e.Account.AddLease(lease, limit, headroom)
		if err != nil {
			return err
		}
		ch.mu.Lock()
		avoid := ch.avoid
		ch.mu.Unlock()
		if avoid || !e.Own.Close.IsZero() {
			return market.Refuse(market.CodeChannelUnfit, market.KindConflict, "its money is asked back")
		}
		add, err := step()
		if err != nil {
			return err
		}
		e.Account = account
		e.Add(add)
		return nil
	})
}

// Sign makes and stores the voucher of a lease's new cumulative amount. Errors: as escrow.Account.Sign; the store's.
func (ch *Channel) Sign(ctx context.Context, lease market.LeaseID, amount market.Amount) (p market.Payment, err error) {
	err = ch.enter(ctx, func(e *entry) (err error) {
		e.Account, p, err = e.Account.Sign(ch.key, lease, amount)
		return err
	})
	return p, err
}

// SignWith is Sign in one Change with what add puts, which is stored also where nothing can be signed.
func (ch *Channel) SignWith(ctx context.Context, lease market.LeaseID, amount market.Amount,
	add func(*store.Change)) error {
	return ch.enter(ctx, func(e *entry) error {
		if next, _, err := e.Account.Sign(ch.key, lease, amount); err == nil {
			e.Account = next
		}
		e.Add(add)
		return nil
	})
}

// RaiseCap lets a lease cost more. Errors: the store's.
func (ch *Channel) RaiseCap(ctx context.Context, lease market.LeaseID, to market.Amount) error {
	return ch.enter(ctx, func(e *entry) error {
		e.Account = e.Account.RaiseCap(lease, to)
		return nil
	})
}

// Recall takes back vouchers that the provider holds and this store does not know; see escrow.Account.Recall. It
// returns the lease's share. Errors: the store's.
func (ch *Channel) Recall(ctx context.Context, s escrow.Signed, lease market.LeaseID, amount market.Amount) (
	share market.Amount, changed bool, err error) {
	err = ch.enter(ctx, func(e *entry) error {
		was := e.Account
		e.Account = was.Recall(s, lease, amount)
		share = e.Account.Leases[lease].Paid
		changed = e.Account.Newest != was.Newest || share != was.Leases[lease].Paid
		return nil
	})
	return share, changed, err
}

// EndLease makes a lease's share final. silent: its provider was not heard at the end, so that it is asked for its
// Release once. Errors: the store's.
func (ch *Channel) EndLease(ctx context.Context, lease market.LeaseID, owed market.Amount, silent bool) error {
	ch.mu.Lock()
	ch.pursuit.silent = silent
	ch.mu.Unlock()
	defer ch.of.look(ch)
	return ch.enter(ctx, func(e *entry) error {
		e.Account = e.Account.EndLease(lease, owed)
		return nil
	})
}
