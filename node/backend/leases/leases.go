// Package leases is the API's side of leases: how they stand, their signed documents, and the way into their jobs.
//
// Invariants: it keeps nothing. Concurrency: all methods are safe for any goroutine. Persistence: none. Next: Book.
package leases

import (
	"bytes"
	"context"
	"io"
	"slices"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/backend/orders"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/job"
)

// Book is api.Leases. Sides are the leases of all roles; Sold finds one of the provider's with its documents, also one
// that is not among them any more; Show makes the document of an order.
type Book struct {
	Network string
	Role    func() (*customer.Customer, error)
	Sides   func() []Side
	Sold    func(id string) (s Side, found bool, err error)
	Show    func(customer.View) api.Order
}

var _ api.Leases = (*Book)(nil)

// Side is one lease of either role, with its signed documents.
type Side struct {
	Doc                             api.Lease
	receipt, byProvider, byCustomer []byte
}

func leaseDoc(m *market.Lease, role string) api.Lease {
	covered := min(m.Owed(), m.Paid)
	return api.Lease{
		Schema: "gpuai.lease/v1", ID: m.ID.String(), Role: role, State: m.State.String(), Cause: m.Cause, Code: m.Code,
		Devices: m.Terms.Devices, CreatedAt: rest.At(m.Accepted),
		LeaseMoney: api.LeaseMoney{Rate: api.RateSOL(m.Terms.Rate), Owed: api.SOL(m.Owed()), Paid: api.SOL(covered),
			Ahead: api.SOL(m.Paid - covered), BillableMS: int64(m.Meter.BillableMS)},
	}
}

// Sold is a lease of the provider.
func Sold(v provider.LeaseView) Side {
	d := leaseDoc(&v.Lease, "provider")
	d.Customer = v.Customer.String()
	d.Image, d.CPUMilli, d.RAM, d.Disk, d.Egress = v.Order.Image, v.Order.CPUMilli, v.Order.RAM, v.Order.Disk,
		egressWord(v.Order.Egress)
	return Side{d, v.Receipt, v.Outcome, v.PeerOutcome}
}

// Bought is the lease of an order; ok is false while it has none. What is owed is what the provider claims: our
// own meter only checks it.
func Bought(v customer.View) (s Side, ok bool) {
	if v.Lease == nil {
		return s, false
	}
	d := leaseDoc(v.Lease, "customer")
	d.Order, d.Provider, d.Owed, d.BillableMS, d.CreatedAt = v.ID.String(), v.Provider.String(), api.SOL(v.Lease.Claim),
		int64(v.Lease.ClaimMS), rest.At(v.Created)
	d.Paid, d.Ahead = api.SOL(v.Cost()), api.SOL(orders.Ahead(v))
	return Side{d, v.Receipt, v.Outcome, v.OwnOutcome}, true
}

func egressWord(class uint8) string {
	switch class {
	case market.EgressNone:
		return "none"
	case market.EgressWeb:
		return "web"
	}
	return "any"
}

// findLease takes the id of a lease, or of an order; of a node that leases to itself the customer's side. Error:
// not-found.
func (b *Book) findLease(id string) (Side, error) {
	all := b.Sides()
	slices.Reverse(all) // the customer's first
	i := slices.IndexFunc(all, func(s Side) bool { return id != "" && (s.Doc.ID == id || s.Doc.Order == id) })
	if i < 0 || all[i].Doc.Role == "provider" {
		if s, ok := b.bought(id); ok {
			return s, nil
		}
		if s, found, err := b.Sold(id); found || err != nil {
			return s, err
		}
	}
	if i < 0 {
		return Side{}, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find lease",
			Detail: "this node has no such lease", Hint: "gpuai ps -a"}
	}
	return all[i], nil
}

// bought is the lease of an order, of either's id, also of one that has left memory.
func (b *Book) bought(id string) (s Side, ok bool) {
	c, err := b.Role()
	if err != nil {
		return s, false
	}
	v, err := c.Order(id)
	if err != nil || v.ID.String() != id && (v.Lease == nil || v.Lease.ID.String() != id) {
		return s, false
	}
	return Bought(v)
}

// Leases implements api.Leases.
func (b *Book) Leases(context.Context) ([]api.Lease, error) {
	out := []api.Lease{}
	for _, s := range b.Sides() {
		out = append(out, s.Doc)
	}
	return out, nil
}

// Lease implements api.Leases.
func (b *Book) Lease(_ context.Context, id string) (api.Lease, error) {
	s, err := b.findLease(id)
	return s.Doc, err
}

// LeaseReceipts implements api.Leases.
func (b *Book) LeaseReceipts(_ context.Context, id string) ([]api.LeaseReceipt, error) {
	s, err := b.findLease(id)
	if err != nil || s.receipt == nil {
		return []api.LeaseReceipt{}, err
	}
	r, _, err := wire.OpenReceipt(s.receipt, b.Network)
	if err != nil {
		return nil, err
	}
	return []api.LeaseReceipt{{Schema: "gpuai.lease-receipt/v1", Lease: s.Doc.ID, Seq: r.Seq, Claim: api.SOL(r.Amount),
		Signed: s.receipt}}, nil
}

// LeaseOutcome implements api.Leases. Error: not-found until the provider has signed one.
func (b *Book) LeaseOutcome(_ context.Context, id string) (api.LeaseOutcome, error) {
	s, err := b.findLease(id)
	if err != nil {
		return api.LeaseOutcome{}, err
	}
	if s.byProvider == nil {
		return api.LeaseOutcome{}, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound,
			Op:     "read outcome",
			Detail: "the lease has none yet", Hint: "gpuai ps -a"}
	}
	o, _, err := wire.OpenOutcome(s.byProvider, b.Network)
	if err != nil {
		return api.LeaseOutcome{}, err
	}
	out := api.LeaseOutcome{Schema: "gpuai.outcome/v1", Lease: s.Doc.ID, Amount: api.SOL(o.Amount),
		Provider: s.byProvider, Customer: s.byCustomer}
	if s.byCustomer != nil {
		c, _, err := wire.OpenOutcome(s.byCustomer, b.Network)
		if err == nil && c.LogEnd != market.LogUnsaid {
			out.Logs = &api.LogState{Bytes: c.LogBytes, Missing: c.LogMissing, Over: true,
				Complete: c.LogEnd == market.LogWhole && c.LogMissing == 0}
		}
		out.SignedByBoth = err == nil && c.Amount == o.Amount && bytes.Equal(c.OutputsRoot[:], o.OutputsRoot[:])
	}
	return out, nil
}

// Receipt implements api.Leases.
func (b *Book) Receipt(_ context.Context, id string) (api.Receipt, error) {
	c, err := b.Role()
	if err != nil {
		return api.Receipt{}, err
	}
	v, err := c.Order(id)
	if err != nil {
		return api.Receipt{}, err
	}
	return api.Receipt{Schema: "gpuai.receipt/v1", Order: b.Show(v), Lease: v.RawLease, Receipt: v.Receipt,
		Outcome: v.Outcome, OwnOutcome: v.OwnOutcome}, nil
}

// Logs implements api.Leases.
func (b *Book) Logs(ctx context.Context, id string, q api.LogQuery, f func(api.LogPiece) error) (api.LogState,
	error) {
	c, err := b.Role()
	if err != nil {
		return api.LogState{}, err
	}
	s, err := c.Logs(ctx, id, customer.LogQuery(q), func(r job.LogRecord) error {
		return f(api.LogPiece{Offset: r.Offset, At: r.Time, Stream: r.Stream, Data: r.Data, Gap: r.Gap})
	})
	return orders.LogState(s), err
}

// Exec implements api.Leases.
func (b *Book) Exec(ctx context.Context, id string, argv []string, tty *api.Terminal, stdin io.Reader,
	out func(stream uint8, data []byte) error) (int, error) {
	c, err := b.Role()
	if err != nil {
		return 0, err
	}
	if len(argv) == 0 {
		return 0, &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "exec",
			Detail: "a command is needed",
			Hint:   "gpuai exec - -- nvidia-smi"}
	}
	args := tunnel.ExecArgs{Argv: argv}
	if tty == nil {
		return c.Exec(ctx, id, args, nil, stdin, out)
	}
	args.TTY, args.Cols, args.Rows, args.Term = true, tty.Cols, tty.Rows, tty.Term
	return c.Exec(ctx, id, args, tty.Resized, stdin, out)
}
