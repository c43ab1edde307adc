// Package streams carries negotiation over libp2p streams: quote, want, lease, voucher and tunnel. Payloads are
// documents as signed bytes (p2p/wire); this package frames, limits and times them, and never interprets money.
//
// Invariants: every frame has a size limit and a deadline; whatever counts has an answer. Concurrency: Handlers are
// called from many goroutines. Persistence: none. Next: Service.Serve, docs/flows/order.md.
package streams

import (
	"context"

	"github.com/gpuai/gpuai/market"
)

// Quoter answers an Order envelope with a Quote envelope. err may be *market.Refusal and travels as such; other errors
// become "internal".
type Quoter interface {
	Quote(ctx context.Context, from market.NodeID, order []byte) (quote []byte, err error)
}

// Wanter is the customer's side of want/1: a provider that can serve one of its Wants opens it.
type Wanter interface {
	// Replied takes a provider's reply: the id of the Want, and its own Offer as an envelope, which nobody has
	// verified. It returns the Order to ask it for, and what takes the Quote, or why there is none. ErrBadReply: the
	// provider is blamed. Refusals: want-over, busy, does-not-fit.
	Replied(ctx context.Context, from market.NodeID, want market.DocID, offer []byte) (order []byte,
		quoted func(quote []byte, err error), err error)
}

// Leaser is the provider's side of lease/1, by lease.
type Leaser interface {
	// Propose takes a Lease envelope; nil acknowledges receipt, the Decision follows by Status. Idempotent by document
	// id.
	Propose(ctx context.Context, from market.NodeID, lease []byte) error
	// Status is the whole truth about a lease of this customer. Refusal: unknown-lease.
	Status(ctx context.Context, from market.NodeID, id market.LeaseID) (market.Status, error)
	// Stop takes a Stop envelope.
	Stop(ctx context.Context, from market.NodeID, stop []byte) error
	// Outcome takes the customer's Outcome envelope and returns the provider's own for the same lease.
	Outcome(ctx context.Context, from market.NodeID, outcome []byte) ([]byte, error)
}

// Amender is what a Leaser has that lets a customer raise the cap of a lease; one without it refuses the message as
// malformed, as nodes did before.
type Amender interface {
	// Amend takes an Amend envelope; nil once the cap is on disk.
	Amend(ctx context.Context, from market.NodeID, amend []byte) error
}

// VoucherServer is the provider's side of voucher/1; one session per customer, all its leases. Push sends Receipts,
// Statuses and Releases; it is safe to call until the session ends and never blocks for longer than the write deadline.
type VoucherServer interface {
	// Session is called when a customer connects; the returned func is called at its end.
	Session(from market.NodeID, push func(VoucherPush) error) (closed func())
	// Deals reports whether the customer has a lease here that is not over. A session of another one ends when it says
	// nothing for strangerTime.
	Deals(from market.NodeID) bool
	// Payment returns the stored total only after the voucher is durable. Refusal codes: docs/flows/payment.md.
	Payment(ctx context.Context, from market.NodeID, p market.Payment) (stored market.Amount, err error)
	// ReleaseRequest returns the 50 + 64 bytes of a signed Release of a channel without live leases.
	ReleaseRequest(ctx context.Context, from market.NodeID, ch market.ChannelID) (release [114]byte, err error)
}

// VoucherPush is one message from provider to customer: exactly one field is set. Receipt is an envelope.
type VoucherPush struct {
	Receipt []byte
	Status  *market.Status
	Release *ReleasePush
}

// ReleasePush is a signed Release: 50 bytes message, 64 bytes signature.
type ReleasePush struct {
	Channel market.ChannelID
	Bytes   [114]byte
}

// VoucherSession is the customer's side of voucher/1. Recv blocks for the next push; Pay blocks for the acknowledgement
// (stored total). Any error ends the session; reconnect and repeat the newest Payment (cumulative, so harmless).
type VoucherSession interface {
	Recv(ctx context.Context) (VoucherPush, error)
	Pay(ctx context.Context, p market.Payment) (stored market.Amount, err error)
	ReleaseRequest(ctx context.Context, ch market.ChannelID) ([114]byte, error)
	Close() error
}

// TunnelKind is what a tunnel carries. TunnelLogs flows one way: the end of the customer's direction ends it. The
// context that a serve function gets is cancelled then; the other kinds learn of the peer's end when they read or
// write.
type TunnelKind uint8

// Tunnel kinds, on the wire: append-only.
const (
	TunnelExec TunnelKind = iota + 1
	TunnelLogs
	TunnelPut
	TunnelGet
)

// TunnelOpen is the first frame. Args is JSON that both ends of the kind agree on (node defines it), ≤ 64 KiB.
type TunnelOpen struct {
	Lease market.LeaseID
	Kind  TunnelKind
	Args  []byte
	// Relayed: it came over a relay, which carries little. Set by the side that serves; it does not travel.
	Relayed bool
}

// Tunneler is the provider's side of tunnel/1: it answers Opened by returning nil error from Accept, then serve runs on
// the framed conn.
type Tunneler interface {
	Open(ctx context.Context, from market.NodeID, o TunnelOpen) (serve func(ctx context.Context, c *FrameConn) error,
		err error)
}

// Frame channels of tunnel/1.
const (
	ChanControl uint8 = 0 // JSON: resize, eof, exit, error, manifest
	ChanIn      uint8 = 1
	ChanOut     uint8 = 2
	ChanErr     uint8 = 3
)
