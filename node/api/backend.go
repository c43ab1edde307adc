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

// Backend is what the node does for its callers. Errors: *market.Error or *market.Refusal; not-found where an id is
// unknown.
type Backend interface {
	Status(ctx context.Context) (Status, error)
	Offers(ctx context.Context) ([]Offer, error)
	// Plan ranks offers for a request and signs nothing.
	Plan(ctx context.Context, r OrderRequest) (Plan, error)
	// CreateOrder takes an order. With HasInputs it is placed only after PutInputs.
	CreateOrder(ctx context.Context, r OrderRequest) (Order, error)
	// PutInputs spools the order's input tar, then starts placing.
	PutInputs(ctx context.Context, id string, r io.Reader) error
	// Orders lists live orders, or all.
	Orders(ctx context.Context, all bool) ([]Order, error)
	Order(ctx context.Context, id string) (Order, error)
	// StopOrder ends an order; now skips the grace.
	StopOrder(ctx context.Context, id string, now bool) error
	// Logs calls f for each piece, in order, and says how the log stands. An error of f ends it.
	Logs(ctx context.Context, id string, q LogQuery, f func(LogPiece) error) (LogState, error)
	// Exec runs a command beside the job, in a terminal unless tty is nil, and returns its exit code.
	Exec(ctx context.Context, id string, argv []string, tty *Terminal, stdin io.Reader,
		out func(stream uint8, b []byte) error) (exit int, err error)
	// GetOutputs writes the verified outputs as a tar.
	GetOutputs(ctx context.Context, id string, w io.Writer) error
	// Spool lists what is kept of orders' files; PruneSpool frees outputs first.
	Spool(ctx context.Context) (Spool, error)
	PruneSpool(ctx context.Context, p SpoolPrune) (Spool, error)
	Receipt(ctx context.Context, id string) (Receipt, error)
	Wallet(ctx context.Context) (Wallet, error)
	WalletNew(ctx context.Context) (Wallet, error)
	Airdrop(ctx context.Context, amount market.Amount) (Wallet, error)
	Withdraw(ctx context.Context, w Withdrawal) (Transfer, error)
	Channels(ctx context.Context) ([]Channel, error)
	CloseChannel(ctx context.Context, addr string) (Channel, error)
	Provider(ctx context.Context) (Provider, error)
	ProviderSell(ctx context.Context, on bool) (Provider, error)
	PatchProvider(ctx context.Context, p ProviderPatch) error
	ProviderLeases(ctx context.Context) ([]Lease, error)
	// ProviderEarnings has rows from the UTC day of since on; zero: all.
	ProviderEarnings(ctx context.Context, since time.Time) (Earnings, error)
	ProviderIdle(ctx context.Context) (Idle, error)
	// KickLease ends a lease as its provider, by its id or a unique beginning; the customer hears the reason.
	KickLease(ctx context.Context, id, reason string) error
	// Leases are those of both roles. A lease is named by its id, or by its order's.
	Leases(ctx context.Context) ([]Lease, error)
	Lease(ctx context.Context, id string) (Lease, error)
	// LeaseReceipts holds the newest Receipt: each says all that the ones before it said.
	LeaseReceipts(ctx context.Context, id string) ([]LeaseReceipt, error)
	LeaseOutcome(ctx context.Context, id string) (LeaseOutcome, error)
	Health(ctx context.Context) (Doctor, error)
	Doctor(ctx context.Context, r DoctorRequest) (Doctor, error)
	Config(ctx context.Context) (Settings, error)
	// PatchConfig writes settings and returns the keys that wait for the next start.
	PatchConfig(ctx context.Context, p SettingsPatch) (restart []string, err error)
	// Shutdown stops the node; endLeases also ends its leases first.
	Shutdown(ctx context.Context, endLeases bool) error
}

// CapRaiser is a Backend that lets a running order cost up to amount; not above its present cap: nothing changes.
type CapRaiser interface {
	RaiseCap(ctx context.Context, id string, amount market.Amount) (Order, error)
}
