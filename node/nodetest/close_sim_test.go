package nodetest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
)

// TestCrash_CloseByHand: a node that dies while its user closes a kept channel, before the wish is on disk, after it,
// or after the ledger was asked, goes on at its next start: with the wish the channel comes home by itself, without it
// stays as it was.
func TestCrash_CloseByHand(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"before commit", "after commit", "after effect"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) { diesClosing(t, w, at) })
		})
	}
}

func diesClosing(t *testing.T, w *world, at string) {
	t.Helper()
	v := w.doneAndKept(t)
	copied := func() []byte {
		b, err := os.ReadFile(w.files["c"])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before := copied()
	w.sw.cutOff(true) // no Release comes
	closing := func(d time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		return w.cust.CloseChannel(ctx, v.Channel)
	}
	if err := closing(5 * time.Second); err == nil {
		t.Fatal("closed without a Release")
	}
	after := copied()
	if at == "after effect" {
		if err := closing(5 * time.Minute); market.CodeOf(err) != market.CodeChannelClosing || !w.closing(v.Channel) {
			t.Fatalf("close says %v, the ledger closes it: %v", err, w.closing(v.Channel))
		}
	}
	w.stopCust()
	if err := w.cstore.Close(); err != nil {
		t.Fatal(err)
	}
	file := after // the store does not know what the ledger was asked for
	if at == "before commit" {
		file = before
	}
	if err := os.WriteFile(w.files["c"], file, 0o600); err != nil {
		t.Fatal(err)
	}
	w.cstore = w.openStore(t, "c")
	w.startCustomer(t)
	<-w.cust.Loaded()
	w.sw.cutOff(false)
	switch at {
	case "before commit":
		time.Sleep(time.Hour)
		if w.closing(v.Channel) {
			t.Fatal("a channel is closed that nobody has asked to be closed")
		}
		if err := w.cust.CloseChannel(t.Context(), v.Channel); err != nil {
			t.Fatal(err)
		}
	case "after effect":
		w.chain.Advance(closeDelay)
	}
	w.back(t, "the money does not come back", 1)
	v = w.await(t, v.ID, func(v customer.View) bool { return v.Finished })
	if v.Paid+v.Returned != v.Deposit || v.Paid != v.Lease.Claim {
		t.Errorf("paid %d of %d, returned %d of %d", v.Paid, v.Lease.Claim, v.Returned, v.Deposit)
	}
}

// TestSim_CloseByHand_NoLeaseBegins: an order that comes while a channel is being closed opens another one.
func TestSim_CloseByHand_NoLeaseBegins(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		v := w.doneAndKept(t)
		w.sw.cutOff(true)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := w.cust.CloseChannel(ctx, v.Channel); err == nil {
			t.Fatal("closed without a Release")
		}
		w.sw.cutOff(false)
		r := long()
		r.Key = "another"
		if next := w.await(t, w.place(t, r), running); next.Channel == v.Channel {
			t.Error("a lease begins on a channel whose money is asked back")
		}
	})
}

// TestSim_Storage_IsCountedOnce: while the storage deposit of a finished channel comes back, the wallet and what its
// orders cost never add up to more than was put in.
func TestSim_Storage_IsCountedOnce(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		put := w.chain.Balance(w.payer)
		v := w.await(t, w.place(t, long()), over)
		for held := market.Amount(1); held > 0; time.Sleep(100 * time.Millisecond) {
			var gone market.Amount
			gone, held = w.spent()
			if sum := w.chain.Balance(w.payer) + gone + held; sum > put {
				t.Fatalf("wallet, costs and deposits are %d more than was put in", sum-put)
			}
			if time.Since(v.Created) > 2*time.Hour {
				t.Fatal("the storage deposit does not come back")
			}
		}
	})
}
