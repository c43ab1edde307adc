package nodetest

import (
	"context"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
)

// twisted is a line between customer and provider on which one of them says something else of a lease's end, and signs
// that.
type twisted struct {
	customer.Net
	t      *testing.T
	seller func(*market.Outcome) // nil: it says what it means
	buyer  func(*market.Outcome)
}

// say seals an Outcome as its signer would have.
func (n twisted) say(key byte, raw []byte, change func(*market.Outcome)) []byte {
	if change == nil || raw == nil {
		return raw
	}
	o, _, err := wire.OpenOutcome(raw, p2ptest.Network)
	if err != nil {
		n.t.Error(err)
		return raw
	}
	change(&o)
	if raw, err = wire.SealOutcome(p2ptest.Key(key), p2ptest.Network, o); err != nil {
		n.t.Error(err)
	}
	return raw
}

func (n twisted) Status(ctx context.Context, to market.NodeID, id market.LeaseID) (market.Status, error) {
	s, err := n.Net.Status(ctx, to, id)
	s.Outcome = n.say(1, s.Outcome, n.seller)
	return s, err
}

func (n twisted) Vouchers(ctx context.Context, to market.NodeID) (streams.VoucherSession, error) {
	s, err := n.Net.Vouchers(ctx, to)
	return twistedLine{s, n}, err
}

// twistedLine is a session of it.
type twistedLine struct {
	streams.VoucherSession
	n twisted
}

func (l twistedLine) Recv(ctx context.Context) (streams.VoucherPush, error) {
	p, err := l.VoucherSession.Recv(ctx)
	if p.Status != nil {
		p.Status.Outcome = l.n.say(1, p.Status.Outcome, l.n.seller)
	}
	return p, err
}

func (n twisted) Outcome(ctx context.Context, to market.NodeID, raw []byte) ([]byte, error) {
	answer, err := n.Net.Outcome(ctx, to, n.say(2, raw, n.buyer))
	if err != nil {
		return nil, err
	}
	return n.say(1, answer, n.seller), nil
}

// staged counts the leases that a node is to tell.
func staged(t *testing.T, db *store.Store) (n int) {
	t.Helper()
	if err := db.Scan(store.BucketOutcomes, nil, func(_, _ []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestOutcome_SidesDiffer_NobodyHears: a side of an older version, or one that states another deal than was made, keeps
// the lease from everybody, and changes nothing of the money. The honest side neither signs what is not so nor has
// anything to tell.
func TestOutcome_SidesDiffer_NobodyHears(t *testing.T) {
	t.Parallel()
	old := func(o *market.Outcome) { o.Deal = market.Deal{} }
	for name, c := range map[string]struct {
		seller, buyer func(*market.Outcome)
		signs         bool // the honest customer states the deal
	}{
		"old provider":           {seller: old},
		"old customer":           {buyer: old, signs: true},
		"another class":          {seller: func(o *market.Outcome) { o.Deal.Class = "h100" }},
		"another rate":           {seller: func(o *market.Outcome) { o.Deal.Rate /= 2 }, signs: true},
		"another payee":          {seller: func(o *market.Outcome) { o.Deal.Payee[0]++ }, signs: true},
		"another customer":       {seller: func(o *market.Outcome) { o.Deal.Customer[0]++ }, signs: true},
		"customer's other class": {buyer: func(o *market.Outcome) { o.Deal.Class = "h100" }, signs: true},
		"customer's other end":   {buyer: func(o *market.Outcome) { o.Ended = o.Ended.Add(time.Second) }, signs: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: 20 * time.Second}, func(t *testing.T, w *world) {
				w.stopCust()
				net := w.c.deps.Net
				w.c.deps.Net = func(n customer.Net) customer.Net {
					return twisted{Net: net(n), t: t, seller: c.seller, buyer: c.buyer}
				}
				w.startCustomer(t)
				until(t, "the offer did not come again", func() bool { return len(w.cust.Book.Offers()) == 1 })
				if c.buyer != nil {
					w.cust.Ends = nil // it is the one that lies: what it knows itself is not told
				}
				third, before := w.listen(t), w.chain.Balance(w.payout)
				v := w.await(t, w.place(t, request("differ")), over)
				w.exact(t, v, market.CodeCompleted, before)
				time.Sleep(20 * time.Minute)
				o, _, err := wire.OpenOutcome(v.OwnOutcome, p2ptest.Network)
				if err != nil || o.Deal != (market.Deal{}) != c.signs || c.signs && (o.Deal.Class != market.ClassCPU ||
					o.Deal.Rate != 3_600_000_000 || o.Deal.Payee != w.payout || o.Deal.Customer != w.ch.ID()) {
					t.Errorf("the customer signs %+v, %v", o.Deal, err)
				}
				if c.buyer != nil && staged(t, w.pstore) > 0 || c.seller != nil && staged(t, w.cstore) > 0 {
					t.Error("the honest side has something to tell")
				}
				if c.buyer != nil && len(third.heard()) > 0 {
					t.Errorf("heard %+v", third.heard()[0].Outcome)
				}
			})
		})
	}
}
