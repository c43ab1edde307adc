package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
)

// sealing is a world whose provider ends channels of customers who are gone after 40 minutes, and their storage
// deposits ten later.
func sealing(t *testing.T, f func(t *testing.T, w *world)) {
	manyMinutes(t)
	simulate(t, setup{work: time.Minute, change: func(p *provider.Config, _ *customer.Config) {
		p.Dues.SealAfter, p.Dues.RentAfter, p.Dues.ChainEvery = 40*time.Minute, 10*time.Minute, 20*time.Second
	}}, f)
}

func (w *world) onChain(t *testing.T, id market.ChannelID) escrow.ChannelState {
	t.Helper()
	s, err := w.chain.Ledger(w.payer).Channels(t.Context(), []market.ChannelID{id}, escrow.Confirmed)
	if err != nil {
		t.Fatal(err)
	}
	return s[0]
}

// TestSim_CustomerGone_ProviderEndsTheChannel: the customer's node never comes back after its job. Later the provider
// has what it earned and the customer's wallet all the rest, the storage deposit included; the fees are the provider's.
func TestSim_CustomerGone_ProviderEndsTheChannel(t *testing.T) {
	t.Parallel()
	sealing(t, func(t *testing.T, w *world) {
		wallet, payout := w.chain.Balance(w.payer), w.chain.Balance(w.payout)
		v := w.doneAndKept(t)
		w.stopCust()
		time.Sleep(35 * time.Minute)
		if cs := w.onChain(t, v.Channel); cs.Status != escrow.StatusOpen {
			t.Fatalf("the channel is %s after 35 of 40 minutes", cs.Status)
		}
		time.Sleep(8 * time.Minute)
		cs := w.onChain(t, v.Channel)
		if cs.Status != escrow.StatusSealed || cs.Settled != v.Lease.Claim || cs.Paid != cs.Settled ||
			cs.Refunded != cs.Deposit-cs.Settled {
			t.Fatalf("not ended for the customer: %+v, claim %d", cs, v.Lease.Claim)
		}
		if got := w.chain.Balance(w.payout) - payout; got != v.Lease.Claim {
			t.Errorf("the payout got %d of %d", got, v.Lease.Claim)
		}
		time.Sleep(12 * time.Minute)
		if cs := w.onChain(t, v.Channel); cs.Status != escrow.StatusGone {
			t.Fatalf("the storage deposit lingers: %s", cs.Status)
		}
		const open = 5_000 + 890_880 + 50_000 // the open's fee, and the claim fee of a rig whose fee payer was empty
		if got := wallet - w.chain.Balance(w.payer); got != v.Lease.Claim+open {
			t.Errorf("the wallet is %d lighter, want %d", got, v.Lease.Claim+open)
		}
	})
}

// TestSim_CustomerBack_SeesTheEndedChannel: a customer who comes back after the channel was ended finds his refund in
// his books.
func TestSim_CustomerBack_SeesTheEndedChannel(t *testing.T) {
	t.Parallel()
	sealing(t, func(t *testing.T, w *world) {
		v := w.doneAndKept(t)
		w.stopCust()
		time.Sleep(45 * time.Minute)
		w.startCustomer(t)
		w.back(t, "the refund is not in the books", 1)
		end := w.await(t, v.ID, func(v customer.View) bool { return v.Finished })
		if end.Paid != v.Lease.Claim || end.Paid+end.Returned != end.Deposit {
			t.Errorf("paid %d, returned %d of %d, claim %d", end.Paid, end.Returned, end.Deposit, v.Lease.Claim)
		}
	})
}

// TestSim_CustomerThere_ChannelIsLeftAlone: who asks for something now and then keeps his channel, and so does one
// whose lease lives.
func TestSim_CustomerThere_ChannelIsLeftAlone(t *testing.T) {
	t.Parallel()
	sealing(t, func(t *testing.T, w *world) {
		v := w.doneAndKept(t)
		time.Sleep(25 * time.Minute)
		r := long()
		r.Key, r.KeepChannel = "again", true
		w.await(t, w.place(t, r), over)
		time.Sleep(25 * time.Minute)
		if cs := w.onChain(t, v.Channel); cs.Status != escrow.StatusOpen {
			t.Fatalf("the channel of a customer who was here 25 minutes ago is %s", cs.Status)
		}
	})
}
