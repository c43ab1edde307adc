package solana

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
)

// TestHistory_OnLedger: each landed transaction of the program comes once it is final, newest first, and its calls are
// those that were made.
func TestHistory_OnLedger(t *testing.T) {
	t.Parallel()
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: t.Name()})
	w := localWorld(s)(t)
	h := NewHistory([]string{s.RPC}, s.Genesis, s.Program)
	payee := market.Address(escrow.PublicKey(testSigner("payee " + t.Name())))
	first, r1 := w.Open(t, payee, 10_000_000, 0)
	if sigs, err := h.Signatures(t.Context(), "", ""); err != nil || len(sigs) != 0 {
		t.Errorf("before it is final: %v, %v", sigs, err)
	}
	if _, err := h.Transaction(t.Context(), r1.Signature); !errors.Is(err, ErrNotShown) {
		t.Errorf("before it is final: %v", err)
	}
	_, r2 := w.Open(t, payee, 20_000_000, 0)
	w.Warp(40)
	sigs, err := h.Signatures(t.Context(), "", "")
	if err != nil || len(sigs) != 2 || sigs[0] != r2.Signature || sigs[1] != r1.Signature {
		t.Fatalf("%v, %v", sigs, err)
	}
	if sigs, err = h.Signatures(t.Context(), "", r1.Signature); err != nil || len(sigs) != 1 ||
		sigs[0] != r2.Signature {
		t.Errorf("after the first: %v, %v", sigs, err)
	}
	if sigs, err = h.Signatures(t.Context(), r2.Signature, ""); err != nil || len(sigs) != 1 ||
		sigs[0] != r1.Signature {
		t.Errorf("before the second: %v, %v", sigs, err)
	}
	l, err := h.Transaction(t.Context(), r1.Signature)
	if err != nil || l.Failed || l.Unread || len(l.Calls) != 1 || l.Slot != r1.Slot || l.At.Unix() <= 0 {
		t.Fatalf("%+v, %v", l, err)
	}
	c := l.Calls[0]
	d, err := escrow.DecodeOpenData(c.Data)
	if err != nil || d.Deposit != 10_000_000 || c.Inner != -1 || len(c.Accounts) != 4 ||
		c.Accounts[2] != market.Address(first) || c.Accounts[0] != w.PayerKey {
		t.Errorf("%+v, %+v, %v", d, c, err)
	}
	if _, err := NewHistory([]string{s.RPC}, "another", s.Program).Signatures(t.Context(), "", ""); err == nil {
		t.Error("a ledger of another genesis is read")
	}
}

// TestHistory_Calls_InnerAndLookedUp: calls through another program count, accounts from lookup tables too; what points
// nowhere is an error and no panic.
func TestHistory_Calls_InnerAndLookedUp(t *testing.T) {
	t.Parallel()
	program, other, loaded := market.Address{7}, market.Address{8}, market.Address{9}
	// one signature, a v0 message: payer and another program, which is called with account 2, the first of a table
	msg := append([]byte{1}, make([]byte, 64)...)
	msg = append(msg, 0x80, 1, 0, 1, 2)
	msg = append(append(msg, make([]byte, 32)...), other[:]...)
	msg = append(msg, make([]byte, 32)...)
	msg = append(msg, 1, 1, 1, 2, 1, 0xEE, 1)
	msg = append(append(msg, make([]byte, 32)...), 1, 5, 1, 6)
	answer := func(inner string) *rawTransaction {
		t.Helper()
		var r rawTransaction
		text := `{"slot":5,"transaction":["` + base64.StdEncoding.EncodeToString(msg) + `","base64"],"meta":{"err":null,
			"innerInstructions":` + inner + `,"loadedAddresses":{"writable":["` + loaded.String() + `"],"readonly":["` +
			program.String() + `"]}}}`
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		return &r
	}
	got, err := answer(`[{"index":0,"instructions":[{"programIdIndex":1,"accounts":[],"data":"2"},
		{"programIdIndex":3,"accounts":[2,0],"data":"4"}]}]`).calls(program)
	if err != nil || len(got) != 1 || got[0].Outer != 0 || got[0].Inner != 1 || len(got[0].Data) != 1 ||
		len(got[0].Accounts) != 2 || got[0].Accounts[0] != loaded {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{
		`[{"index":0,"instructions":[{"programIdIndex":9,"accounts":[],"data":"2"}]}]`,
		`[{"index":0,"instructions":[{"programIdIndex":3,"accounts":[-1],"data":"2"}]}]`,
		`[{"index":0,"instructions":[{"programIdIndex":3,"accounts":[4],"data":"2"}]}]`,
	} {
		if _, err := answer(bad).calls(program); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
	cut := answer(`[]`)
	cut.Transaction[0] = cut.Transaction[0][:40]
	if _, err := cut.calls(program); err == nil {
		t.Error("a transaction that is cut is read")
	}
}
