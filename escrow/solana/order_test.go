package solana

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
)

// picky is an endpoint in front of a real ledger that answers no simulation of a transaction that names an account, and
// counts the units of the others as nothing.
type picky struct {
	to       string
	refuses  market.Address
	unitless bool

	mu   sync.Mutex
	sent [][]byte // in order, each once
}

func (p *picky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var req struct {
		ID     json.RawMessage
		Method string
		Params []json.RawMessage
	}
	_ = json.Unmarshal(body, &req) // what is no request is passed on
	var raw []byte
	if req.Method == "simulateTransaction" || req.Method == "sendTransaction" {
		_ = json.Unmarshal(req.Params[0], &raw) // base64
	}
	if req.Method == "sendTransaction" {
		p.mu.Lock()
		p.sent = append(p.sent, raw)
		p.mu.Unlock()
	}
	if req.Method == "simulateTransaction" && bytes.Contains(raw, p.refuses[:]) {
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": req.ID,
			"error": map[string]any{"code": -32603, "message": "Internal error"}})
		return
	}
	if req.Method == "simulateTransaction" && p.unitless {
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": req.ID, "result": map[string]any{
			"context": map[string]any{"slot": 1}, "value": map[string]any{"err": nil, "unitsConsumed": 0},
		}})
		return
	}
	resp, err := http.Post(p.to, "application/json", bytes.NewReader(body))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(w, resp.Body)
}

// TestSender_OneRefusedIntent_HoldsUpNoOther: an intent that the endpoint never simulates stays planned; what came
// after it is sent and confirmed, a Record before all else.
func TestSender_OneRefusedIntent_HoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: t.Name()})
	w := localWorld(s)(t)
	id, _ := w.Open(t, market.Address(escrow.PublicKey(testSigner("payee "+t.Name()))), 10_000_000, 0)
	p := &picky{to: s.RPC, refuses: market.Address(escrow.PublicKey(testSigner("refused")))}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	l, err := New(Config{RPC: []string{srv.URL}, Genesis: s.Genesis, Program: s.Program, Step: time.Millisecond},
		testSigner("sender "+t.Name()), &memJournal{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Fund(l.Address(), 1_000_000_000)
	v := escrow.Voucher{Channel: id, Amount: 1_000_000}.Sign(escrowtest.Key("voucher"))
	refused := escrow.Intent{Op: escrow.OpTransfer, Nonce: 1, To: p.refuses, Amount: 5_000_000}
	transfer := escrow.Intent{Op: escrow.OpTransfer, Nonce: 2,
		To: market.Address(escrow.PublicKey(testSigner("taken"))), Amount: 5_000_000}
	record := escrow.Intent{Op: escrow.OpRecord, Channel: id, Nonce: 1_000_000, Voucher: &v}
	for _, in := range []escrow.Intent{refused, transfer, record} {
		if err := l.Submit(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	for range 6 {
		_ = l.step(t.Context()) // the refused one is an error each time
	}
	state := func(in escrow.Intent) escrow.SendState {
		r, _, err := l.Result(t.Context(), in.Key())
		if err != nil {
			t.Fatal(err)
		}
		return r.State
	}
	if a, b, c := state(refused), state(transfer), state(record); a != escrow.Planned || b != escrow.ConfirmedTx ||
		c != escrow.ConfirmedTx {
		t.Errorf("refused %s, transfer %s, record %s", a, b, c)
	}
	if len(p.sent) == 0 || !bytes.Contains(p.sent[0], id[:]) {
		t.Error("the record was not sent first")
	}
}

// TestSender_UnitsOfNothing_AreNotBelieved: a limit below what is used would cost the fee and do nothing.
func TestSender_UnitsOfNothing_AreNotBelieved(t *testing.T) {
	t.Parallel()
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: t.Name()})
	w := localWorld(s)(t)
	p := &picky{to: s.RPC, unitless: true, refuses: market.Address{1, 2, 3}}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	l, err := New(Config{RPC: []string{srv.URL}, Genesis: s.Genesis, Program: s.Program, Step: time.Millisecond},
		testSigner("sender "+t.Name()), &memJournal{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Fund(l.Address(), 1_000_000_000)
	terms, _ := w.Terms(t, market.Address(escrow.PublicKey(testSigner("payee "+t.Name()))))
	terms.Payer = l.Address()
	terms, id, err := terms.FindSalt(w.Program)
	if err != nil {
		t.Fatal(err)
	}
	do := func(in escrow.Intent) {
		t.Helper()
		if err := l.Submit(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		for range 6 {
			_ = l.step(t.Context()) // the state tells
		}
		if r, _, err := l.Result(t.Context(), in.Key()); err != nil || r.State != escrow.ConfirmedTx &&
			r.State != escrow.Final {
			t.Fatalf("%s: %+v, %v", in.Op, r, err)
		}
	}
	v := escrow.Voucher{Channel: id, Amount: 2_000_000}.Sign(escrowtest.Key("voucher"))
	rel := escrow.Release{Channel: id, Final: 2_000_000, Expires: 1 << 40}.Sign(escrowtest.Key("release"))
	do(escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: 10_000_000, Open: &terms, ClaimFee: 50_000,
		FeePayer: w.FeePayerKey})
	do(escrow.Intent{Op: escrow.OpTopUp, Channel: id, Nonce: 1, Amount: 1_000_000, Total: 11_000_000})
	do(escrow.Intent{Op: escrow.OpClaim, Channel: id, Nonce: 2_000_000, Voucher: &v})
	do(escrow.Intent{Op: escrow.OpFinish, Channel: id, Nonce: 1, Release: &rel})
	w.Warp(escrow.ReopenWindow + 40)
	do(escrow.Intent{Op: escrow.OpReclaim, Channel: id})
	if limit := unitLimit(p.sent[0]); limit != leastUnits[escrow.OpOpen] {
		t.Errorf("the open's limit is %d units, want %d", limit, leastUnits[escrow.OpOpen])
	}
}

// unitLimit is what the transaction's SetComputeUnitLimit says: five bytes of data, the first 2.
func unitLimit(raw []byte) uint32 {
	if i := bytes.Index(raw, []byte{0, 5, 2}); i >= 0 {
		return binary.LittleEndian.Uint32(raw[i+3:])
	}
	return 0
}

// TestJournal_TopUpOfAnOlderVersion: a top-up that was signed before totals were stored gets the one that its nonce
// implies, so that it is not taken for done, or added again.
func TestJournal_TopUpOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old := record{
		Intent: escrow.Intent{Op: escrow.OpTopUp, Channel: market.ChannelID{4}, Nonce: 1_000, Amount: 500},
		Result: escrow.Result{State: escrow.Sent, Signature: "x"},
		Tx:     []byte{1}, At: time.Now(),
	}
	b, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.journal.Put(old.Intent.Key(), b); err != nil {
		t.Fatal(err)
	}
	r.restart(t)
	if got := r.l.recs[old.Intent.Key()].Total; got != 1_500 {
		t.Errorf("total %d, want 1,500", got)
	}
}
