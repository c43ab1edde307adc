package solana

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// memJournal is a Journal that can be made to fail.
type memJournal struct {
	mu   sync.Mutex
	rows map[string][]byte
	err  error
}

func (j *memJournal) Put(key string, b []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	if j.rows == nil {
		j.rows = map[string][]byte{}
	}
	j.rows[key] = b
	return nil
}

func (j *memJournal) Delete(key string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.rows, key)
	return nil
}

func (j *memJournal) All() (map[string][]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.rows), nil
}

// fakeRPC answers like an endpoint whose state the test sets; it does not execute transactions.
type fakeRPC struct {
	mu       sync.Mutex
	genesis  string
	balance  uint64
	height   uint64 // finalised
	statuses map[string]any
	simErr   any
	sent     []string // base64
	down     bool
	deny     string // a method that is not answered
}

func (f *fakeRPC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	var req struct {
		ID     json.RawMessage
		Method string
		Params []json.RawMessage
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	out := map[string]any{"jsonrpc": "2.0", "id": req.ID}
	if res, err := f.answer(req.Method, req.Params); err != nil {
		out["error"] = map[string]any{"code": -32601, "message": err.Error()}
	} else {
		out["result"] = res
	}
	_ = json.NewEncoder(w).Encode(out) // the client sees a short answer
}

func (f *fakeRPC) answer(method string, params []json.RawMessage) (any, error) {
	value := func(v any) map[string]any {
		return map[string]any{"context": map[string]any{"slot": f.height + 32}, "value": v}
	}
	switch method {
	case f.deny:
	case "getGenesisHash":
		return f.genesis, nil
	case "getBalance":
		return value(f.balance), nil
	case "getEpochInfo":
		return map[string]any{"absoluteSlot": f.height, "blockHeight": f.height}, nil
	case "getBlockHeight":
		return f.height, nil
	case "getLatestBlockhash":
		return value(map[string]any{"blockhash": f.genesis, "lastValidBlockHeight": f.height + 150}), nil
	case "getRecentPrioritizationFees":
		return []any{}, nil
	case "simulateTransaction":
		return value(map[string]any{"err": f.simErr, "unitsConsumed": 600}), nil
	case "sendTransaction":
		var b string
		if err := json.Unmarshal(params[0], &b); err != nil {
			return nil, err
		}
		f.sent = append(f.sent, b)
		return "ok", nil
	case "getSignatureStatuses":
		var sigs []string
		if err := json.Unmarshal(params[0], &sigs); err != nil {
			return nil, err
		}
		out := make([]any, len(sigs))
		for i, s := range sigs {
			out[i] = f.statuses[s]
		}
		return value(out), nil
	case "getMultipleAccounts":
		var keys []string
		if err := json.Unmarshal(params[0], &keys); err != nil {
			return nil, err
		}
		out := make([]any, len(keys))
		for i, k := range keys {
			if k == sysvarRent {
				b := binary.LittleEndian.AppendUint64(nil, 6_960)
				b = append(binary.LittleEndian.AppendUint64(b, math.Float64bits(1)), 50)
				out[i] = map[string]any{"lamports": 1, "owner": "Sysvar", "rentEpoch": uint64(math.MaxUint64),
					"data": []string{base64.StdEncoding.EncodeToString(b), "base64"}}
			}
		}
		return value(out), nil
	}
	return nil, fmt.Errorf("method %s not found", method)
}

type rig struct {
	l       *Ledger
	rpc     *fakeRPC
	journal *memJournal
	url     string
	key     ed25519.PrivateKey
}

func (r *rig) restart(t *testing.T) {
	t.Helper()
	cfg := Config{RPC: []string{r.url}, Genesis: r.rpc.genesis, Program: market.Address{42}, MaxPerDay: 5_000_000}
	l, err := New(cfg, r.key, r.journal, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.l = l
}

func newRig(t *testing.T) *rig {
	t.Helper()
	hash := [32]byte{3, 1}
	r := &rig{rpc: &fakeRPC{genesis: market.Base58(hash[:]), balance: 1_000_000_000, height: 100,
		statuses: map[string]any{}}, journal: &memJournal{}}
	r.key = ed25519.NewKeyFromSeed(append(make([]byte, 31), 1))
	s := httptest.NewServer(r.rpc)
	t.Cleanup(s.Close)
	r.url = s.URL
	r.restart(t)
	return r
}

func (r *rig) state(t *testing.T, key string) escrow.Result {
	t.Helper()
	res, ok, err := r.l.Result(t.Context(), key)
	if err != nil || !ok {
		t.Fatalf("result of %s: %v, %v", key, ok, err)
	}
	return res
}

func (r *rig) step(t *testing.T, want string, key string, state escrow.SendState) escrow.Result {
	t.Helper()
	if err := r.l.step(t.Context()); err != nil {
		t.Fatalf("%s: %v", want, err)
	}
	res := r.state(t, key)
	if res.State != state {
		t.Fatalf("%s: state %s, want %s (%s)", want, res.State, state, res.Err)
	}
	return res
}

var transfer = escrow.Intent{Op: escrow.OpTransfer, Nonce: 1, To: market.Address{7}, Amount: 1_000}

// opening is an open of this deposit; n tells one from another.
func (r *rig) opening(t *testing.T, n byte, deposit market.Amount) escrow.Intent {
	t.Helper()
	key := ed25519.NewKeyFromSeed(append(make([]byte, 31), n))
	terms := escrow.OpenTerms{Payer: r.l.Address(), Payee: market.Address{2}, VoucherKey: escrow.PublicKey(key),
		ClusterTag: r.l.tag}
	terms, id, err := terms.FindSalt(market.Address{42})
	if err != nil {
		t.Fatal(err)
	}
	return escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: deposit, Open: &terms}
}

func TestSender_KilledInEveryState_SignsOnce(t *testing.T) {
	r := newRig(t)
	open := r.opening(t, 1, 1_000)
	if err := r.l.Submit(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	key := open.Key()
	r.restart(t)
	first := r.step(t, "planned", key, escrow.Sent)
	for range 3 {
		r.restart(t) // the last send is forgotten, the bytes are not
		if got := r.step(t, "sent", key, escrow.Sent); got.Signature != first.Signature {
			t.Fatal("signed again while the first could still land")
		}
	}
	for _, b := range r.rpc.sent {
		if b != r.rpc.sent[0] {
			t.Fatal("other bytes were sent")
		}
	}
	if len(r.rpc.sent) != 4 {
		t.Fatalf("%d sends, want 4", len(r.rpc.sent))
	}
	r.rpc.statuses[first.Signature] = map[string]any{"slot": 9, "err": nil, "confirmationStatus": "confirmed"}
	r.step(t, "confirmed", key, escrow.ConfirmedTx)
	r.restart(t)
	r.rpc.statuses[first.Signature] = nil
	r.step(t, "vanished", key, escrow.Sent)
	r.rpc.statuses[first.Signature] = map[string]any{"slot": 9, "err": nil, "confirmationStatus": "finalized"}
	r.step(t, "finalised", key, escrow.Final)
	if err := r.l.Submit(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	if got := r.state(t, key); got.State != escrow.Final {
		t.Fatalf("submitted again: %s", got.State)
	}
}

func TestSender_Expired_SignsAgainOnlyPastLastValidHeight(t *testing.T) {
	r := newRig(t)
	if err := r.l.Submit(t.Context(), transfer); err != nil {
		t.Fatal(err)
	}
	key := transfer.Key()
	first := r.step(t, "sent", key, escrow.Sent)
	r.rpc.height = 250 // = last valid height: could still be in that block
	r.step(t, "at the last valid height", key, escrow.Sent)
	r.rpc.height = 251
	r.step(t, "past it", key, escrow.Expired)
	second := r.step(t, "again", key, escrow.Sent)
	if second.Signature == first.Signature {
		t.Fatal("the expired bytes were sent again")
	}
	if second.Fee <= first.Fee {
		t.Errorf("fee %d after %d: the price did not rise", second.Fee, first.Fee)
	}
}

func TestSender_Unreachable_KeepsIntent(t *testing.T) {
	r := newRig(t)
	if err := r.l.Submit(t.Context(), transfer); err != nil {
		t.Fatal(err)
	}
	r.rpc.down = true
	if err := r.l.step(t.Context()); !errors.Is(err, escrow.ErrUnreachable) {
		t.Fatalf("step while down: %v", err)
	}
	if got := r.state(t, transfer.Key()).State; got != escrow.Planned {
		t.Fatalf("state %s, want planned", got)
	}
	second := transfer
	second.Nonce = 2
	if err := r.l.Submit(t.Context(), second); market.CodeOf(err) != market.CodeChainUnreachable {
		t.Fatalf("submit while down: %v", err)
	}
	r.rpc.down = false
	r.step(t, "back", transfer.Key(), escrow.Sent)
}

func TestSender_JournalFails_SendsNothing(t *testing.T) {
	r := newRig(t)
	if err := r.l.Submit(t.Context(), transfer); err != nil {
		t.Fatal(err)
	}
	r.journal.err = errors.New("disk full")
	if err := r.l.Serve(t.Context()); !errors.Is(err, errJournal) {
		t.Fatalf("serve: %v, want errJournal", err)
	}
	if len(r.rpc.sent) != 0 {
		t.Fatal("sent what is not stored")
	}
}

func TestSender_SimulationFails_EndsWithCode(t *testing.T) {
	r := newRig(t)
	r.rpc.simErr = map[string]any{"InstructionError": []any{4, map[string]any{"Custom": 122}}}
	if err := r.l.Submit(t.Context(), transfer); err != nil {
		t.Fatal(err)
	}
	res := r.step(t, "simulated", transfer.Key(), escrow.Failed)
	if res.Code != escrow.CodeSlotWindow || res.Err != "122 slot-window" || len(r.rpc.sent) != 0 {
		t.Fatalf("%+v, %d sent", res, len(r.rpc.sent))
	}
}

func TestLedger_ForeignGenesis_SignsNothing(t *testing.T) {
	r := newRig(t)
	if err := r.l.Submit(t.Context(), transfer); err != nil {
		t.Fatal(err)
	}
	other := [32]byte{9}
	r.rpc.genesis = market.Base58(other[:])
	if err := r.l.step(t.Context()); market.CodeOf(err) != market.CodeChainDisagrees {
		t.Fatalf("step: %v, want chain-disagrees", err)
	}
	if len(r.rpc.sent) != 0 {
		t.Fatal("sent to another cluster")
	}
}

func TestSubmit_SpendCapAndFunds(t *testing.T) {
	r := newRig(t)
	open := func(nonce byte, deposit market.Amount) escrow.Intent { return r.opening(t, nonce, deposit) }
	if err := r.l.Submit(t.Context(), open(1, 4_000_000)); err != nil {
		t.Fatal(err)
	}
	if err := r.l.Submit(t.Context(), open(2, 1_000_001)); market.CodeOf(err) != market.CodeSpendCap {
		t.Errorf("over max_per_day: %v, want spend-cap", err)
	}
	if err := r.l.Submit(t.Context(), open(2, 1_000_000)); err != nil {
		t.Errorf("up to max_per_day: %v", err)
	}
	r.rpc.balance = 5_000_000
	if err := r.l.Submit(t.Context(), open(3, 1)); market.CodeOf(err) != market.CodeFundsShort ||
		!strings.Contains(err.Error(), "holds 0.005 SOL") {
		t.Errorf("empty account: %v, want funds-short with the balance", err)
	}
}

func TestServe_EndsWithContext(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.l.Serve(ctx); err != nil {
		t.Fatalf("serve: %v", err)
	}
}

func TestCompile_HeaderAndRights(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	payer := market.Address(escrow.PublicKey(key))
	program, ch := market.Address{42}, market.ChannelID{5}
	// request_close names the payer as a read-only signer, the fee payer is writable: the key must end up in the
	// writable group.
	raw, _, err := compile(key, [32]byte{1}, append(budgetIx(1, 1), requestCloseIx(program, payer, ch)))
	if err != nil {
		t.Fatal(err)
	}
	// 1 signature; header 1 signer, 0 read-only signers, 2 read-only others (budget, program); 4 keys; payer first,
	// then the channel.
	msg := raw[65:]
	if raw[0] != 1 || msg[0] != 1 || msg[1] != 0 || msg[2] != 2 || msg[3] != 4 || [32]byte(msg[4:36]) != payer ||
		[32]byte(msg[36:68]) != ch {
		t.Fatalf("message begins %x", msg[:68])
	}
	if !ed25519.Verify(payer[:], msg, raw[1:65]) {
		t.Fatal("signature does not cover the message")
	}
	if _, _, err := compile(key, [32]byte{1},
		[]instruction{requestCloseIx(program, market.Address{8}, ch)}); !errors.Is(err, escrow.ErrMalformed) {
		t.Fatalf("a second signer: %v", err)
	}
}

func TestInstructions_Layout(t *testing.T) {
	p, ch := market.Address{42}, market.ChannelID{5}
	terms := escrow.OpenTerms{Payer: market.Address{1}, Payee: market.Address{2}, VoucherKey: [32]byte{3},
		ReleaseKey: [32]byte{4}, CloseDelay: 3600e9, Salt: 6, ClusterTag: 7, OpenSlot: 8}
	for _, c := range []struct {
		ix       instruction
		tag      byte
		len      int
		accounts string
	}{
		{openIx(p, ch, terms, 9), 1, 101, "sw,w,w,"},
		{topUpIx(p, terms.Payer, ch, 9), 2, 9, "sw,w,"},
		{claimIx(p, ch, terms.Payee), 3, 1, "w,,w"},
		{recordIx(p, ch), 4, 1, "w,"},
		{requestCloseIx(p, terms.Payer, ch), 5, 1, "s,w"},
		{releaseIx(p, terms.Payer, ch), 6, 1, "s,w,"},
		{sealIx(p, ch), 7, 1, "w"},
		{payIx(p, escrow.TagPayPayee, ch, terms.Payee), 8, 1, "w,w"},
		{payIx(p, escrow.TagPayPayer, ch, terms.Payer), 9, 1, "w,w"},
		{reclaimIx(p, ch, terms.Payer), 10, 1, "w,w"},
		{consentIx(p, ch), 11, 1, "w,"},
	} {
		var rights []string
		for _, m := range c.ix.metas {
			s := ""
			if m.signer {
				s = "s"
			}
			if m.writable {
				s += "w"
			}
			rights = append(rights, s)
		}
		if got := strings.Join(rights, ","); c.ix.data[0] != c.tag || len(c.ix.data) != c.len || got != c.accounts {
			t.Errorf("tag %d: data %d bytes, accounts %q; want tag %d, %d bytes, %q", c.ix.data[0], len(c.ix.data), got,
				c.tag, c.len, c.accounts)
		}
	}
	open := openIx(p, ch, terms, 9).data
	le := binary.LittleEndian
	if le.Uint64(open[1:]) != 9 || le.Uint32(open[9:]) != 3600 || le.Uint64(open[13:]) != 6 ||
		le.Uint64(open[21:]) != 7 || le.Uint64(open[29:]) != 8 || open[37] != 3 || open[69] != 4 {
		t.Errorf("open data %x", open)
	}
}

// TestSender_EndpointsDisagree_SignsOnce: that a transaction is too old and that it is absent must be said by one
// endpoint; one that lags, asked because the other fails, proves nothing.
func TestSender_EndpointsDisagree_SignsOnce(t *testing.T) {
	r := newRig(t)
	if err := r.l.Submit(t.Context(), transfer); err != nil {
		t.Fatal(err)
	}
	first := r.step(t, "planned", transfer.Key(), escrow.Sent)
	lags := &fakeRPC{genesis: r.rpc.genesis, balance: r.rpc.balance, height: 90, statuses: map[string]any{}}
	s := httptest.NewServer(lags)
	defer s.Close()
	r.l.rpc.urls = append(r.l.rpc.urls, s.URL)
	r.rpc.height, r.rpc.deny = 1_000, "getSignatureStatuses" // it has landed, but this endpoint does not say so now
	if got := r.step(t, "one lags", transfer.Key(), escrow.Sent); got.Signature != first.Signature {
		t.Fatal("signed again on two half answers")
	}
}

// TestSender_OtherNetworkBehindTheFirst_IsNotAsked: an endpoint of another network does not answer in place of one that
// fails.
func TestSender_OtherNetworkBehindTheFirst_IsNotAsked(t *testing.T) {
	r := newRig(t)
	if _, err := r.l.Balance(t.Context(), r.l.Address()); err != nil {
		t.Fatal(err)
	}
	other := [32]byte{9}
	s := httptest.NewServer(&fakeRPC{genesis: market.Base58(other[:]), balance: 7})
	defer s.Close()
	r.l.rpc.urls = append(r.l.rpc.urls, s.URL)
	r.rpc.down = true
	if b, err := r.l.Balance(t.Context(), r.l.Address()); !errors.Is(err, escrow.ErrUnreachable) {
		t.Fatalf("a balance of %d from another network: %v", b, err)
	}
}

// TestSender_BlockhashUnknownToTheEndpoint_TriesAgain: a simulation on a node that is behind the one that gave the
// blockhash ends no intent.
func TestSender_BlockhashUnknownToTheEndpoint_TriesAgain(t *testing.T) {
	r := newRig(t)
	if err := r.l.Submit(t.Context(), transfer); err != nil {
		t.Fatal(err)
	}
	r.rpc.simErr = "BlockhashNotFound"
	if err := r.l.step(t.Context()); !errors.Is(err, escrow.ErrUnreachable) {
		t.Fatalf("step: %v", err)
	}
	r.rpc.simErr = nil
	r.step(t, "known now", transfer.Key(), escrow.Sent)
}
