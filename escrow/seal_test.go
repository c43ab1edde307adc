package escrow_test

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// TestMakeSeal_NamesWhatIsSettled: the payee alone may not name more than the chain has recorded, whatever it is owed;
// with a live lease it signs nothing, and nothing begins on the channel while the Release lives.
func TestMakeSeal_NamesWhatIsSettled(t *testing.T) {
	t.Parallel()
	key := escrow.NewKeys([32]byte{5})
	release, err := key.Release(1, market.NodeID{2}, market.Address{3}, market.Address{})
	if err != nil {
		t.Fatal(err)
	}
	cs := escrow.ChannelState{ID: market.ChannelID{1}, Status: escrow.StatusOpen, Deposit: 1_000, Settled: 300}
	lease, clock := market.LeaseID{9}, time.Unix(1_000, 0)
	a, err := escrow.NewAccount(cs, escrow.Finalised).AddLease(lease, 900, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.MakeSeal(release, clock); market.CodeOf(err) != market.CodeLeaseLive {
		t.Errorf("with a live lease: %v", err)
	}
	a = a.EndLease(lease, 500)
	sealed, rel, err := a.MakeSeal(release, clock)
	if err != nil || rel.Final != 300 || !rel.Verify(escrow.PublicKey(release)) ||
		rel.Expires != clock.Add(escrow.MaxReleaseTTL).Unix() {
		t.Errorf("sealed by %+v, %v", rel, err)
	}
	if _, err := sealed.AddLease(market.LeaseID{8}, 100, 1); market.CodeOf(err) != market.CodeChannelUnfit {
		t.Errorf("a lease on a channel that is being sealed: %v", err)
	}
	if _, rel, err := a.MakeRelease(release, clock); err != nil || rel.Final != 500 {
		t.Errorf("with the payer's consent: %+v, %v", rel, err)
	}
}
