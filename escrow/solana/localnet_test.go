package solana

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
)

func testSigner(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// serve opens a ledger on s and runs its sender until the test ends.
func serve(t *testing.T, s *localnet.Server, signer ed25519.PrivateKey) *Ledger {
	t.Helper()
	cfg := Config{RPC: []string{s.RPC}, Genesis: s.Genesis, Program: s.Program, Step: 10 * time.Millisecond}
	l, err := New(cfg, signer, &memJournal{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Serve(ctx); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return l
}

func localWorld(s *localnet.Server) func(t *testing.T) *escrowtest.World {
	return func(t *testing.T) *escrowtest.World {
		payer, fee := serve(t, s, testSigner("payer "+t.Name())), serve(t, s, testSigner("fee payer "+t.Name()))
		w := &escrowtest.World{
			Program: s.Program, Payer: payer, PayerKey: payer.Address(), FeePayer: fee, FeePayerKey: fee.Address(),
			SettleTimeout: 20 * time.Second,
		}
		w.Fund = func(a market.Address, lamports market.Amount) {
			if err := payer.Airdrop(t.Context(), a, lamports); err != nil {
				t.Fatal(err)
			}
		}
		w.Warp = func(slots uint64) { escrowtest.Cheat(t, s.RPC, "test_warp", slots) }
		w.Advance = func(d time.Duration) {
			h, err := payer.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			escrowtest.Cheat(t, s.RPC, "test_setClock", h.Clock.Add(d).Unix())
		}
		w.Fund(w.PayerKey, 10_000_000_000)
		w.Fund(w.FeePayerKey, 10_000_000_000)
		h, err := payer.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.ClusterTag, w.RentPerByte = h.ClusterTag, h.RentPerByte
		return w
	}
}

func TestPaidJob_OnLedger(t *testing.T) {
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: "conformance"})
	escrowtest.TestLedger(t, localWorld(s))
}

// TestVerifierSubsetOfChain: what we accept, the chain's precompile accepts. Every pair of crafted key and R, and the
// honest signature.
func TestVerifierSubsetOfChain(t *testing.T) {
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: "verifier"})
	l := serve(t, s, testSigner("verifier"))
	if err := l.Airdrop(t.Context(), l.Address(), 1_000_000_000); err != nil {
		t.Fatal(err)
	}
	chainAccepts := func(key [32]byte, msg [escrow.MessageLen]byte, sig [64]byte) bool {
		t.Helper()
		hash, _, err := l.latest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		raw, _, err := compile(l.signer, hash, append(budgetIx(simUnits, 0), ed25519Ix(key, msg, sig)))
		if err != nil {
			t.Fatal(err)
		}
		sim, err := l.simulate(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		return !sim.failed
	}
	var ours, chain atomic.Int64
	for _, v := range escrowtest.SignatureVectors() {
		us, it := escrow.Verify(v.Key, v.Msg[:], v.Sig), chainAccepts(v.Key, v.Msg, v.Sig)
		if us && !it {
			t.Errorf("%s: we accept what the chain refuses", v.Name)
		}
		if v.Honest && !(us && it) {
			t.Errorf("%s: ours %v, chain %v; an honest signature must pass both", v.Name, us, it)
		}
		if us {
			ours.Add(1)
		}
		if it {
			chain.Add(1)
		}
	}
	t.Logf("%d vectors accepted by us, %d by the chain", ours.Load(), chain.Load())
}

// TestSpendingAccount: fund, open, top up, refund, withdraw all: in = out + paid + fees.
func TestSpendingAccount(t *testing.T) {
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: "spending"})
	w := localWorld(s)(t)
	out := market.Address(escrow.PublicKey(testSigner("a wallet elsewhere")))
	payee := market.Address(escrow.PublicKey(testSigner("a payee")))
	w.Fund(payee, 1_000_000)
	id, open := w.Open(t, payee, 10_000_000, 50_000)
	fees := open.Fee
	do := func(l escrow.Ledger, in escrow.Intent) {
		t.Helper()
		r := w.Do(t, l, in)
		if r.State == escrow.Failed {
			t.Fatalf("%s: %s", in.Key(), r.Err)
		}
		if l == w.Payer {
			fees += r.Fee
		}
	}
	do(w.Payer, escrow.Intent{Op: escrow.OpTopUp, Channel: id, Nonce: 1, Amount: 5_000_000})
	rel := escrow.Release{Channel: id, Final: 12_000_000, Expires: 1 << 40}.Sign(escrowtest.Key("release"))
	do(w.Payer, escrow.Intent{Op: escrow.OpFinish, Channel: id, Release: &rel})
	w.Warp(escrow.ReopenWindow + 40)
	do(w.Payer, escrow.Intent{Op: escrow.OpReclaim, Channel: id})
	do(w.Payer, escrow.Intent{Op: escrow.OpTransfer, Nonce: 1, To: out, All: true})
	got, err := w.Payer.Balance(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	if want := 10_000_000_000 - 50_000 - 12_000_000 - market.Amount(fees); got != want {
		t.Errorf("withdrew %d, want %d", got, want)
	}
}
