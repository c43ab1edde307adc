package node

import (
	"bytes"
	"context"
	"slices"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/p2p/wire"
)

// leaseSide is one lease of either role, with its signed documents.
type leaseSide struct {
	doc                             api.Lease
	receipt, byProvider, byCustomer []byte
}

func leaseDoc(m *market.Lease, role string) api.Lease {
	covered := min(m.Owed(), m.Paid)
	return api.Lease{
		Schema: "gpuai.lease/v1", ID: m.ID.String(), Role: role, State: m.State.String(), Cause: m.Cause, Code: m.Code,
		Devices: m.Terms.Devices,
		Rate:    api.RateSOL(m.Terms.Rate), Owed: api.SOL(m.Owed()), Paid: api.SOL(covered),
		Ahead:      api.SOL(m.Paid - covered),
		BillableMS: int64(m.Meter.BillableMS), CreatedAt: rest.At(m.Accepted),
	}
}

func soldLease(v provider.LeaseView) leaseSide {
	d := leaseDoc(&v.Lease, "provider")
	d.Customer = v.Customer.String()
	d.Image, d.CPUMilli, d.RAM, d.Disk, d.Egress = v.Order.Image, v.Order.CPUMilli, v.Order.RAM, v.Order.Disk,
		egressWord(v.Order.Egress)
	return leaseSide{d, v.Receipt, v.Outcome, v.PeerOutcome}
}

// boughtLease is the lease of an order; ok is false while it has none. What is owed is what the provider claims: our
// own meter only checks it.
func boughtLease(v customer.View) (s leaseSide, ok bool) {
	if v.Lease == nil {
		return s, false
	}
	d := leaseDoc(v.Lease, "customer")
	d.Order, d.Provider, d.Owed, d.BillableMS, d.CreatedAt = v.ID.String(), v.Provider.String(), api.SOL(v.Lease.Claim),
		int64(v.Lease.ClaimMS), rest.At(v.Created)
	d.Paid, d.Ahead = api.SOL(paidOf(v)), api.SOL(aheadOf(v))
	return leaseSide{d, v.Receipt, v.Outcome, v.OwnOutcome}, true
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

func (b *Backend) leaseSides() (out []leaseSide) {
	each(b.n, func(g lessor) { out = append(out, g.Sides()...) })
	return out
}

// findLease takes the id of a lease, or of an order; of a node that leases to itself the customer's side. Error:
// not-found.
func (b *Backend) findLease(id string) (leaseSide, error) {
	all := b.leaseSides()
	slices.Reverse(all) // the customer's first
	i := slices.IndexFunc(all, func(s leaseSide) bool { return id != "" && (s.doc.ID == id || s.doc.Order == id) })
	if i < 0 {
		return leaseSide{}, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find lease",
			Detail: "this node has no such lease", Hint: "gpuai ps -a"}
	}
	return all[i], nil
}

// Leases implements api.Backend.
func (b *Backend) Leases(context.Context) ([]api.Lease, error) {
	out := []api.Lease{}
	for _, s := range b.leaseSides() {
		out = append(out, s.doc)
	}
	return out, nil
}

// Lease implements api.Backend.
func (b *Backend) Lease(_ context.Context, id string) (api.Lease, error) {
	s, err := b.findLease(id)
	return s.doc, err
}

// ProviderLeases implements api.Backend.
func (b *Backend) ProviderLeases(ctx context.Context) ([]api.Lease, error) {
	if b.n.early() {
		return []api.Lease{}, nil // none was ever taken
	}
	p, err := b.provider()
	if err != nil {
		return nil, err
	}
	out, used := []api.Lease{}, p.Usage(ctx)
	for _, v := range p.Leases() {
		d := soldLease(v).doc
		if u, ok := used[v.Lease.ID]; ok {
			d.UsedCPUMS, d.UsedRAM = u.CPU.Milliseconds(), u.Memory
		}
		out = append(out, d)
	}
	return out, nil
}

// LeaseReceipts implements api.Backend.
func (b *Backend) LeaseReceipts(_ context.Context, id string) ([]api.LeaseReceipt, error) {
	s, err := b.findLease(id)
	if err != nil || s.receipt == nil {
		return []api.LeaseReceipt{}, err
	}
	r, _, err := wire.OpenReceipt(s.receipt, b.n.host.Network().Name)
	if err != nil {
		return nil, err
	}
	return []api.LeaseReceipt{{Schema: "gpuai.lease-receipt/v1", Lease: s.doc.ID, Seq: r.Seq, Claim: api.SOL(r.Amount),
		Signed: s.receipt}}, nil
}

// LeaseOutcome implements api.Backend. Error: not-found until the provider has signed one.
func (b *Backend) LeaseOutcome(_ context.Context, id string) (api.LeaseOutcome, error) {
	s, err := b.findLease(id)
	if err != nil {
		return api.LeaseOutcome{}, err
	}
	if s.byProvider == nil {
		return api.LeaseOutcome{}, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound,
			Op:     "read outcome",
			Detail: "the lease has none yet", Hint: "gpuai ps -a"}
	}
	o, _, err := wire.OpenOutcome(s.byProvider, b.n.host.Network().Name)
	if err != nil {
		return api.LeaseOutcome{}, err
	}
	out := api.LeaseOutcome{Schema: "gpuai.outcome/v1", Lease: s.doc.ID, Amount: api.SOL(o.Amount),
		Provider: s.byProvider, Customer: s.byCustomer}
	if s.byCustomer != nil {
		c, _, err := wire.OpenOutcome(s.byCustomer, b.n.host.Network().Name)
		if err == nil && c.LogEnd != market.LogUnsaid {
			out.Logs = &api.LogState{Bytes: c.LogBytes, Missing: c.LogMissing, Over: true,
				Complete: c.LogEnd == market.LogWhole && c.LogMissing == 0}
		}
		out.SignedByBoth = err == nil && c.Amount == o.Amount && bytes.Equal(c.OutputsRoot[:], o.OutputsRoot[:])
	}
	return out, nil
}
