package solana

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
)

// TestTransfer_TooLittleForATicket: an account that cannot hold a ticket beside the rent minimum is emptied by one
// transaction. If that is lost it is not made again: nobody could tell a repeat from the first.
func TestTransfer_TooLittleForATicket(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: t.Name()})
		x := &lie{World: localWorld(s)(t), s: s, j: &memJournal{},
			to: market.Address(escrow.PublicKey(testSigner("far wallet " + t.Name())))}
		b, url := newBalancer(t, s)
		x.b, x.urls = b, []string{url}
		x.restart(t)
		x.Fund(x.l.Address(), 1_500_000)
		b.set(func(b *balancer) { b.loses = lost })
		in := escrow.Intent{Op: escrow.OpTransfer, Nonce: 1, To: x.to, All: true}
		if err := x.l.Submit(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		x.steps(t, 3, in.Key(), ended)
		x.Warp(200)
		b.set(func(b *balancer) { b.loses = false })
		r := x.steps(t, 9, in.Key(), ended)
		got, err := x.l.Balance(t.Context(), x.to)
		if err != nil {
			t.Fatal(err)
		}
		left, err := x.l.Balance(t.Context(), x.l.Address())
		switch {
		case err != nil:
			t.Fatal(err)
		case lost && (r.State != escrow.Failed || got != 0 || left != 1_500_000 || b.signatures() != 1):
			t.Errorf("lost: %+v, %d arrived, %d left, %d signatures", r, got, left, b.signatures())
		case !lost && (r.State != escrow.Final || got != 1_500_000-market.Amount(r.Fee) || left != 0):
			t.Errorf("taken: %+v, %d arrived, %d left", r, got, left)
		}
	}
}

// TestTransfer_RefusedMove_TicketReturns: a transfer that the chain refuses once its ticket is made fails, and the
// ticket's lamports come back.
func TestTransfer_RefusedMove_TicketReturns(t *testing.T) {
	t.Parallel()
	x := newLie(t)
	in := escrow.Intent{Op: escrow.OpTransfer, Nonce: 1, To: x.to, Amount: 9_000_000_000}
	if err := x.l.Submit(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	made := func(escrow.Result) bool {
		x.l.mu.Lock()
		defer x.l.mu.Unlock()
		return x.l.recs[in.Key()].Moving
	}
	x.steps(t, 9, in.Key(), made)
	// Meanwhile most of the money leaves by another transaction of the same key.
	other, err := New(Config{RPC: []string{x.s.RPC}, Genesis: x.s.Genesis, Program: x.s.Program,
		Step: time.Millisecond}, x.l.signer, &memJournal{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	away := escrow.Intent{Op: escrow.OpTransfer, Nonce: 2, To: market.Address{9, 9}, Amount: 5_000_000_000}
	if err := other.Submit(t.Context(), away); err != nil {
		t.Fatal(err)
	}
	for range 9 {
		_ = other.step(t.Context()) // the balance tells
	}
	x.steps(t, 9, in.Key(), ended)
	x.Warp(200)
	r := x.steps(t, 9, in.Key(), ended)
	left, err := x.l.Balance(t.Context(), x.l.Address())
	if err != nil {
		t.Fatal(err)
	}
	if r.State != escrow.Failed || left < 4_999_900_000 {
		t.Errorf("%+v, %d left: the ticket did not come back", r, left)
	}
	if got, err := x.l.Balance(t.Context(), x.to); err != nil || got != 0 {
		t.Errorf("%d arrived (%v)", got, err)
	}
}
