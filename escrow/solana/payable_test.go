package solana

import (
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
)

// TestPayable: what the program's open refuses as payee, the ledger names before; and what it names, the open refuses.
func TestPayable(t *testing.T) {
	t.Parallel()
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: t.Name()})
	w := localWorld(s)(t)
	l := w.Payer.(*Ledger)
	address := func(text string) market.Address {
		a, err := market.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for name, c := range map[string]struct {
		payee market.Address
		ok    bool
	}{
		"an address without an account": {market.Address(escrow.PublicKey(testSigner("nobody yet"))), true},
		"a wallet":                      {w.FeePayerKey, true},
		"a sysvar":                      {address("Sysvar1nstructions1111111111111111111111111"), false},
		"a builtin":                     {address("Vote111111111111111111111111111111111111111"), false},
		"a program":                     {address("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"), false},
		"the escrow program":            {s.Program, false},
	} {
		reason, err := l.Payable(t.Context(), c.payee)
		if err != nil || (reason == "") != c.ok {
			t.Errorf("%s: %q, %v", name, reason, err)
		}
		terms, id := w.Terms(t, c.payee)
		r := w.Do(t, l, escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: 1_000_000, Open: &terms})
		if (r.State != escrow.Failed) != c.ok {
			t.Errorf("%s: open %s %s", name, r.State, r.Err)
		}
	}
}
