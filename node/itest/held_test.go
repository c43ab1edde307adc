//go:build integration

package itest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// running places an order that works for some seconds and waits until its meter runs.
func (p *proc) running(t *testing.T, r *rig, key, step string) (id string) {
	t.Helper()
	o, err := p.api.CreateOrder(t.Context(), r.order(key, step))
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the job does not run", 60*time.Second, func() bool {
		v, err := p.api.Order(context.Background(), o.ID)
		return err == nil && v.State == "running"
	})
	return o.ID
}

// TestHeld_OlderStore_LeaseGoesOn: a node whose store is put back by some seconds under a live lease goes on with it.
// The job ends as itself, it is paid once and for all that both sides hold to be owed, and the same customer may rent
// again.
func TestHeld_OlderStore_LeaseGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	prov := r.seller(t)
	c := r.buyer(t)
	for name, node := range map[string]*proc{"provider": prov, "customer": c} {
		c.sees(t)
		id := c.running(t, r, name, "sleep=25s")
		state := filepath.Join(filepath.Dir(node.log), "state.db")
		node.kill(t) // no writer: the copy is whole
		old, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		node.start(t)
		paid := func() market.Amount {
			v, err := c.api.Order(context.Background(), id)
			if err != nil {
				return 0
			}
			return v.Paid.Lamports()
		}
		before := paid()
		wait(t, "nothing is paid after the copy", 60*time.Second, func() bool { return paid() > before })
		node.kill(t)
		if err := os.WriteFile(state, old, 0o600); err != nil {
			t.Fatal(err)
		}
		node.start(t)
		o := c.ended(t, id)
		if o.Code != market.CodeCompleted || o.Paid.Lamports() == 0 ||
			o.Paid.Lamports()+o.Returned.Lamports() != o.Deposit.Lamports() {
			t.Errorf("%s put back: %s %s %s; paid %s, returned %s of %s; %+v", name, o.Standing, o.Code, o.Detail,
				o.Paid, o.Returned, o.Deposit, o.Steps)
		}
	}
}

// TestHeld_ProviderGone_StopAsksTheMoneyBack: with its provider gone for good, one stop of the user's asks for the
// deposit at once, not after a day.
func TestHeld_ProviderGone_StopAsksTheMoneyBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	prov := r.seller(t)
	c := r.buyer(t)
	id := c.running(t, r, "gone", "sleep=10m")
	prov.kill(t)
	wait(t, "the provider does not count as silent", 60*time.Second, func() bool {
		v, err := c.api.Order(context.Background(), id)
		return err == nil && v.State == "silent"
	})
	if err := c.api.StopOrder(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	wait(t, "the close is not asked for", 60*time.Second, func() bool {
		list, err := c.api.Channels(context.Background())
		return err == nil && len(list) == 1 && list[0].State == "closing"
	})
}

// TestHeld_EmptyPayout_IsPaidBySums: a payout account that does not exist takes no small sum; what two jobs earned
// creates it, and nothing is lost on the way.
func TestHeld_EmptyPayout_IsPaidBySums(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.provider(t, 1)
	n := r.customer(t)
	var earned market.Amount
	for key, step := range map[string]string{"short": "sleep=1s", "long": "sleep=4s"} {
		id, err := n.Customer().Place(t.Context(), r.request(key, step))
		if err != nil {
			t.Fatal(err)
		}
		var v customer.View
		wait(t, "the order is not over", 120*time.Second, func() bool {
			v, err = n.Customer().Order(id.String())
			return err == nil && over(v) && v.Finished
		})
		if v.Code != market.CodeCompleted || v.Paid == 0 {
			t.Fatalf("%s: %s %s, paid %d", key, v.Code, v.Detail, v.Paid)
		}
		earned += v.Paid
	}
	wait(t, "the payout account is not paid", 60*time.Second, func() bool {
		b, err := n.Spending().Balance(context.Background(), r.payout)
		return err == nil && b == earned
	})
}
