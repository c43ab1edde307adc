// Package api is the node's local interface: HTTP over a unix socket, its server and its Go client.
//
// Invariants: the socket's file mode is the gate; every error is one problem document with a code; amounts travel as
// text.
// Concurrency: server and Client are safe for any goroutine. Persistence: none. Next: server.go, client.go,
// docs/flows/order.md.
package api

import (
	"context"
	"io"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Backend is what the node does for its callers, in parts that no one has to know all of. Errors: *market.Error or
// *market.Refusal; not-found where an id is unknown.
type Backend interface {
	Control
	Orders
	Files
	Leases
	Spending
	Selling
	Network
}

// Control is about the node itself: how it stands, its settings, its end.
type Control interface {
	Status(ctx context.Context) (Status, error)
	Health(ctx context.Context) (Doctor, error)
	Doctor(ctx context.Context, r DoctorRequest) (Doctor, error)
	Config(ctx context.Context) (Settings, error)
	// PatchConfig writes settings and returns the keys that wait for the next start.
	PatchConfig(ctx context.Context, p SettingsPatch) (restart []string, err error)
	// Shutdown stops the node; endLeases also ends its leases first.
	Shutdown(ctx context.Context, endLeases bool) error
}

// OrderQuery is which orders are listed, oldest first; zero: all live ones. A backend may give more than are asked for
// by Newest, After and Limit, but leaves none of them out.
type OrderQuery struct {
	All    bool     // also those that are over
	Name   string   // only of this name
	Labels []string // NAME=VALUE, only with each of them
	Newest int      // so many of the newest; 0: all
	// After is the id of the order that was placed At: only younger ones, the oldest Limit of them; 0: all.
	After string
	At    time.Time
	Limit int
}

// Orders finds offers and places jobs on them, as their customer.
type Orders interface {
	// Offers is the book, the best first by a ranking.
	Offers(ctx context.Context, by market.Sort) ([]Offer, error)
	// Depth is what is offered of a class, and wanted. Errors: neither is (not-found, with the nearest class).
	Depth(ctx context.Context, class string) (Depth, error)
	// Plan ranks offers for a request and signs nothing.
	Plan(ctx context.Context, r OrderRequest) (Plan, error)
	// CreateOrder takes an order. A job with inputs is placed only after PutInputs.
	CreateOrder(ctx context.Context, r OrderRequest) (Order, error)
	// Orders lists live orders, or all: see OrderQuery.
	Orders(ctx context.Context, q OrderQuery) ([]Order, error)
	Order(ctx context.Context, id string) (Order, error)
	// StopOrder ends an order; now skips the grace.
	StopOrder(ctx context.Context, id string, now bool) error
	// RaiseCap lets a running order cost up to amount; not above its present cap: nothing changes.
	RaiseCap(ctx context.Context, id string, amount market.Amount) (Order, error)
}

// Files carries what goes into orders and comes out of them.
type Files interface {
	// PutInputs spools the order's input tar, then starts placing.
	PutInputs(ctx context.Context, id string, r io.Reader) error
	// GetOutputs writes the verified outputs as a tar.
	GetOutputs(ctx context.Context, id string, all bool, w io.Writer) error
	// Spool lists what is kept of orders' files; PruneSpool frees outputs first.
	Spool(ctx context.Context) (Spool, error)
	PruneSpool(ctx context.Context, p SpoolPrune) (Spool, error)
}

// Leases looks at leases and into their jobs. A lease is named by its id, or by its order's.
type Leases interface {
	// Leases are those of both roles.
	Leases(ctx context.Context) ([]Lease, error)
	Lease(ctx context.Context, id string) (Lease, error)
	// LeaseReceipts holds the newest Receipt: each says all that the ones before it said.
	LeaseReceipts(ctx context.Context, id string) ([]LeaseReceipt, error)
	LeaseOutcome(ctx context.Context, id string) (LeaseOutcome, error)
	// Receipt is order, lease and signed documents in one.
	Receipt(ctx context.Context, id string) (Receipt, error)
	// Logs calls f for each piece, in order, and says how the log stands. An error of f ends it.
	Logs(ctx context.Context, id string, q LogQuery, f func(LogPiece) error) (LogState, error)
	// Exec runs a command beside the job, in a terminal unless tty is nil, and returns its exit code.
	Exec(ctx context.Context, id string, argv []string, tty *Terminal, stdin io.Reader,
		out func(stream uint8, b []byte) error) (exit int, err error)
}

// Spending is the spending account with its payment channels.
type Spending interface {
	Wallet(ctx context.Context) (Wallet, error)
	WalletNew(ctx context.Context) (Wallet, error)
	Airdrop(ctx context.Context, amount market.Amount) (Wallet, error)
	Withdraw(ctx context.Context, w Withdrawal) (Transfer, error)
	Channels(ctx context.Context) ([]Channel, error)
	CloseChannel(ctx context.Context, addr string) (Channel, error)
}

// LeaseQuery is which leases of the provider's side are listed: those that are not done with, then the others, what
// ended last first.
type LeaseQuery struct {
	Live  bool   // only those that are not done with
	After string // where another list ended; empty: from the beginning
	Limit int    // at most so many; to a client 0: all
}

// Selling is the provider's side.
type Selling interface {
	Provider(ctx context.Context) (Provider, error)
	ProviderSell(ctx context.Context, on bool) (Provider, error)
	PatchProvider(ctx context.Context, p ProviderPatch) error
	// ProviderLeases lists leases of this side: see LeaseQuery. next is what After continues, empty at the end.
	ProviderLeases(ctx context.Context, q LeaseQuery) (list []Lease, next string, err error)
	// ProviderEarnings has rows from the UTC day of since on; zero: all.
	ProviderEarnings(ctx context.Context, since time.Time) (Earnings, error)
	ProviderIdle(ctx context.Context) (Idle, error)
	// KickLease ends a lease as its provider, by its id or a unique beginning; the customer hears the reason.
	KickLease(ctx context.Context, id, reason string) error
}
