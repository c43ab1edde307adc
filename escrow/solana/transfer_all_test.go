package solana

import (
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
)

// TestTransfer_BesideWhatStays: what Needs says of a transfer of all covers the two transactions that a transfer of all
// but a reserve takes, so that the reserve stays whole.
func TestTransfer_BesideWhatStays(t *testing.T) {
	t.Parallel()
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: t.Name()})
	x := &lie{World: localWorld(s)(t), s: s, j: &memJournal{},
		to: market.Address(escrow.PublicKey(testSigner("far wallet " + t.Name())))}
	b, url := newBalancer(t, s)
	x.b, x.urls = b, []string{url}
	x.restart(t)
	const has, stays = 50_000_000, 1_000_000
	x.Fund(x.l.Address(), has)
	n, err := x.l.Needs(t.Context(), escrow.Intent{Op: escrow.OpTransfer, To: x.to, All: true})
	if err != nil {
		t.Fatal(err)
	}
	in := escrow.Intent{Op: escrow.OpTransfer, Nonce: 1, To: x.to, Amount: has - stays - n.Fees}
	if err := x.l.Submit(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	r := x.steps(t, 30, in.Key(), ended)
	left, err := x.l.Balance(t.Context(), x.l.Address())
	if err != nil || r.State == escrow.Failed || left < stays || b.signatures() != 2 {
		t.Errorf("%+v, %v: %d are left, %d transactions", r, err, left, b.signatures())
	}
}
