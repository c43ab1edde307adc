package localnet_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
)

// post sends a body as it is and returns the answer's bytes: what JSON decoding would round must arrive with all
// digits.
func (c *chain) post(body string) string {
	c.t.Helper()
	resp, err := http.Post(c.RPC, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// errorOf calls a method and returns the error's code.
func (c *chain) errorOf(method string, params ...any) int {
	c.t.Helper()
	p, err := json.Marshal(params)
	if err != nil {
		c.t.Fatal(err)
	}
	var r struct{ Error struct{ Code int } }
	if err := json.Unmarshal([]byte(c.post(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, p))),
		&r); err != nil {
		c.t.Fatal(err)
	}
	return r.Error.Code
}

func (c *chain) blockhash() (hash addr, last uint64) {
	c.t.Helper()
	var h struct {
		Value struct {
			Blockhash            string
			LastValidBlockHeight uint64
		}
	}
	c.must(&h, "getLatestBlockhash")
	b, err := market.ParseBase58(h.Value.Blockhash, 32)
	if err != nil {
		c.t.Fatal(err)
	}
	return addr(b), h.Value.LastValidBlockHeight
}

func (c *chain) finalised(a addr) uint64 {
	c.t.Helper()
	var v struct{ Value uint64 }
	c.must(&v, "getBalance", name58(a), map[string]string{"commitment": "finalized"})
	return v.Value
}

func TestServer_Finalised_TrailsBy32Slots(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	a := pub(keyOf("finalised"))
	c.must(nil, "test_warp", 100)
	first := c.slot()
	c.must(nil, "requestAirdrop", name58(a), 1_000_000_000)
	second := c.slot()
	c.must(nil, "requestAirdrop", name58(a), 2_000_000_000)
	c.must(nil, "test_warp", first+31-c.slot())
	for slot := c.slot(); slot < second+34; slot = c.slot() {
		want := uint64(0)
		if slot-32 >= first {
			want = 1_000_000_000
		}
		if slot-32 >= second {
			want = 3_000_000_000
		}
		if got := c.finalised(a); got != want || c.balance(a) != 3_000_000_000 {
			t.Errorf("slot %d: %d finalised, want %d; %d confirmed", slot, got, want, c.balance(a))
		}
		c.must(nil, "test_warp", 1)
	}
	var height uint64
	if c.must(&height, "getBlockHeight", map[string]string{"commitment": "finalized"}); height != c.slot()-32 {
		t.Errorf("finalised height %d at slot %d", height, c.slot())
	}
	if code := c.errorOf("getSlot",
		map[string]any{"commitment": "confirmed", "minContextSlot": c.slot() + 1}); code != -32016 {
		t.Errorf("a slot that is not reached: error %d", code)
	}
}

func TestServer_Blockhash_LivesFor150Blocks(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	k := c.funded()
	send := func(hash addr, lamports uint64) string {
		tx := encode(hash, one(k), []ix{transfer(pub(k), addr{7}, lamports)})
		return c.call(nil, "sendTransaction", base64.StdEncoding.EncodeToString(tx),
			map[string]any{"encoding": "base64"})
	}
	hash, last := c.blockhash()
	c.must(nil, "test_warp", last-c.slot())
	if e := send(hash, 1_000_000); e != "" {
		t.Errorf("in its last block: %s", e)
	}
	if e := send(hash, 1_000_001); !strings.Contains(e, "BlockhashNotFound") {
		t.Errorf("one block later: %q", e)
	}
	if e := send(addr{1}, 1_000_002); !strings.Contains(e, "BlockhashNotFound") {
		t.Errorf("a hash that never was: %q", e)
	}
	if got := c.balance(addr{7}); got != 1_000_000 {
		t.Errorf("%d lamports moved", got)
	}
}

func TestServer_SameTransactionTwice_OneEffect(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	k := c.funded()
	hash, _ := c.blockhash()
	tx := base64.StdEncoding.EncodeToString(encode(hash, one(k), []ix{transfer(pub(k), addr{7}, 1_000_000)}))
	cfg := map[string]any{"encoding": "base64"}
	var sim struct {
		Value struct {
			Err           json.RawMessage
			UnitsConsumed uint64
		}
	}
	if c.must(&sim, "simulateTransaction", tx, cfg); string(sim.Value.Err) != "null" ||
		sim.Value.UnitsConsumed != 150 || c.balance(addr{7}) != 0 {
		t.Errorf("simulated as %+v, moved %d", sim, c.balance(addr{7}))
	}
	var s1, s2 string
	c.must(&s1, "sendTransaction", tx, cfg)
	c.must(&s2, "sendTransaction", tx, cfg)
	if s1 != s2 || c.balance(addr{7}) != 1_000_000 {
		t.Errorf("%s and %s moved %d", s1, s2, c.balance(addr{7}))
	}
	status := func() (confirmations *uint64, word string) {
		var v struct {
			Value []*struct {
				Confirmations      *uint64
				ConfirmationStatus string
			}
		}
		c.must(&v, "getSignatureStatuses", []string{s1, strings.Repeat("1", 64)})
		if v.Value[0] == nil || v.Value[1] != nil {
			t.Fatalf("statuses %+v", v.Value)
		}
		return v.Value[0].Confirmations, v.Value[0].ConfirmationStatus
	}
	if n, word := status(); n == nil || word != "confirmed" {
		t.Errorf("at once: %v %s", n, word)
	}
	c.must(nil, "test_warp", 32)
	if n, word := status(); n != nil || word != "finalized" {
		t.Errorf("32 slots later: %v %s", n, word)
	}
}

func TestServer_Refusals(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	k := c.funded()
	cfg := map[string]any{"encoding": "base64"}
	hash, _ := c.blockhash()
	good := encode(hash, one(k), []ix{transfer(pub(k), addr{7}, 1_000_000)})
	b64 := base64.StdEncoding.EncodeToString
	bent := slices.Clone(good)
	bent[20] ^= 1
	for name, r := range map[string]struct {
		code   int
		method string
		params []any
	}{
		"too large":        {-32602, "sendTransaction", []any{b64(make([]byte, 1233)), cfg}},
		"cut off":          {-32602, "sendTransaction", []any{b64(good[:80]), cfg}},
		"no bytes":         {-32602, "sendTransaction", []any{"", cfg}},
		"other encoding":   {-32602, "sendTransaction", []any{b64(good), map[string]any{"encoding": "base58"}}},
		"bent signature":   {-32003, "sendTransaction", []any{b64(bent), cfg}},
		"101 accounts":     {-32602, "getMultipleAccounts", []any{slices.Repeat([]string{name58(addr{7})}, 101), cfg}},
		"no address":       {-32602, "getBalance", []any{"abc"}},
		"huge airdrop":     {-32602, "requestAirdrop", []any{name58(addr{7}), 1_001_000_000_000}},
		"unknown":          {-32601, "getProgramAccounts", []any{name58(c.Program)}},
		"name of a method": {-32601, "toString", nil},
	} {
		if got := c.errorOf(r.method, r.params...); got != r.code {
			t.Errorf("%s: error %d, want %d", name, got, r.code)
		}
	}
	if got := c.balance(addr{7}); got != 0 {
		t.Errorf("%d lamports moved", got)
	}
	if got := c.post("{"); !strings.Contains(got, "-32700") {
		t.Errorf("no JSON: %s", got)
	}
	if got := c.post(`{"jsonrpc":"2.0","id":"x","method":"getSlot"}`); !strings.Contains(got, `"id":"x"`) {
		t.Errorf("a text id: %s", got)
	}
	if got := c.post(fmt.Sprintf(
		`{"jsonrpc":"2.0","id":1,"method":"getMultipleAccounts","params":[[%q,%q],{"commitment":"confirmed"}]}`,
		name58(pub(k)), name58(addr{7}))); !strings.Contains(got, `"rentEpoch":18446744073709551615`) ||
		!strings.Contains(got, "null]") {
		t.Errorf("accounts: %s", got)
	}
}

func TestStart_Seed_FixesTheLedger(t *testing.T) {
	t.Parallel()
	a := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: "a"})
	again := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: "a"})
	b := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: 10})
	if a.Genesis != again.Genesis || a.Faucet != again.Faucet || a.RPC == again.RPC {
		t.Errorf("%s %s and %s %s", a.Genesis, a.Faucet, again.Genesis, again.Faucet)
	}
	if a.Genesis == b.Genesis || a.Faucet == b.Faucet || a.Program != b.Program {
		t.Errorf("without a seed: genesis %s, faucet %s", b.Genesis, b.Faucet)
	}
	// Slots go on by themselves.
	c := &chain{Server: b, t: t}
	first := c.slot()
	for end := time.Now().Add(10 * time.Second); c.slot() < first+3; {
		if time.Now().After(end) {
			t.Fatalf("slot %d stands still", first)
		}
	}
}

// BenchmarkSend_Confirmed is one claim from building to its status, in manual mode.
func BenchmarkSend_Confirmed(b *testing.B) {
	s := escrowtest.NeedLocalnet(b, localnet.Options{SlotMS: -1, Seed: b.Name()})
	tag, err := escrow.ClusterTag(s.Genesis)
	if err != nil {
		b.Fatal(err)
	}
	c := &chain{Server: s, t: b, tag: tag}
	d := c.opened(1_000_000_000)
	v := uint64(0)
	for b.Loop() {
		v += 1_000
		c.ok(one(d.relay), d.voucherIx(v), c.claim(d))
	}
}
