package program_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/market"
)

const (
	sol         = 1_000_000_000
	deposit     = 10_000_000
	channelRent = (escrow.AccountOverhead + escrow.ChannelLen) * 6960
	walletRent  = escrow.AccountOverhead * 6960
	// ok marks a transaction that took effect: 0 is a code that System returns.
	ok = -1
	// foreign marks a refusal without a custom code: the runtime's own.
	foreign = -2
)

var (
	system  = market.Address{}
	sysvar  = address("Sysvar1nstructions1111111111111111111111111")
	ed      = address("Ed25519SigVerify111111111111111111111111111")
	budget  = address("ComputeBudget111111111111111111111111111111")
	memo    = address("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
	window  = escrow.ReopenWindow
	minimum = uint64(walletRent)
)

func address(text string) market.Address {
	b, err := market.ParseBase58(text, 32)
	if err != nil {
		panic(err)
	}
	return market.Address(b)
}

func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("program test " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func addr(k ed25519.PrivateKey) market.Address { return market.Address(escrow.PublicKey(k)) }

// meta is an account of an instruction; ix an instruction.
type meta struct {
	key  market.Address
	s, w bool
}

type ix struct {
	program market.Address
	metas   []meta
	data    []byte
}

func (i ix) clone() ix { return ix{i.program, slices.Clone(i.metas), slices.Clone(i.data)} }

// chain is a local ledger with a payer (signs as `payer`), a fee payer and a stranger, all funded.
type chain struct {
	t                    *testing.T
	s                    *localnet.Server
	tag                  uint64
	payer, fee, stranger ed25519.PrivateKey
	payee, other         market.Address
	salt                 uint64
	ahead                time.Duration // the chain's clock less the real one
}

func start(t *testing.T) *chain {
	t.Helper()
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: t.Name()})
	tag, err := escrow.ClusterTag(s.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	c := &chain{t: t, s: s, tag: tag, payer: key("payer"), fee: key("fee"), stranger: key("stranger"), payee: addr(key("payee")), other: addr(key("other"))}
	for _, a := range []market.Address{addr(c.payer), addr(c.fee), addr(c.stranger), c.payee, c.other} {
		c.rpc(nil, "requestAirdrop", a.String(), 100*sol)
	}
	return c
}

func (c *chain) rpc(out any, method string, params ...any) {
	c.t.Helper()
	if err := c.call(out, method, params...); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

func (c *chain) call(out any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	resp, err := http.Post(c.s.RPC, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var r struct {
		Result json.RawMessage
		Error  *struct {
			Code    int
			Message string
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		return err
	}
	if r.Error != nil {
		return fmt.Errorf("%d %s", r.Error.Code, r.Error.Message)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(r.Result, out)
}

func shortLen(n int) []byte {
	if n < 128 {
		return []byte{byte(n)}
	}
	return []byte{byte(n) | 128, byte(n >> 7)}
}

// encode makes a legacy transaction: keys in the order signer-writable, signer, writable, rest, each with its maximal rights.
func encode(blockhash [32]byte, ixs []ix, signers ...ed25519.PrivateKey) []byte {
	all := []meta{{addr(signers[0]), true, true}}
	add := func(m meta) {
		i := slices.IndexFunc(all, func(x meta) bool { return x.key == m.key })
		if i < 0 {
			all = append(all, m)
			return
		}
		all[i].s, all[i].w = all[i].s || m.s, all[i].w || m.w
	}
	for _, x := range ixs {
		for _, m := range x.metas {
			add(m)
		}
		add(meta{key: x.program})
	}
	rank := func(m meta) int {
		switch {
		case m.s && m.w:
			return 0
		case m.s:
			return 1
		case m.w:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(all, func(a, b meta) int { return rank(a) - rank(b) })
	count := [4]int{}
	for _, m := range all {
		count[rank(m)]++
	}
	at := func(k market.Address) byte {
		return byte(slices.IndexFunc(all, func(x meta) bool { return x.key == k }))
	}
	msg := []byte{byte(count[0] + count[1]), byte(count[1]), byte(count[3])}
	msg = append(msg, shortLen(len(all))...)
	for _, m := range all {
		msg = append(msg, m.key[:]...)
	}
	msg = append(msg, blockhash[:]...)
	msg = append(msg, shortLen(len(ixs))...)
	for _, x := range ixs {
		msg = append(append(msg, at(x.program)), shortLen(len(x.metas))...)
		for _, m := range x.metas {
			msg = append(msg, at(m.key))
		}
		msg = append(append(msg, shortLen(len(x.data))...), x.data...)
	}
	out := shortLen(count[0] + count[1])
	for _, m := range all[:count[0]+count[1]] {
		i := slices.IndexFunc(signers, func(k ed25519.PrivateKey) bool { return addr(k) == m.key })
		if i < 0 {
			panic("no key for signer " + m.key.String())
		}
		out = append(out, ed25519.Sign(signers[i], msg)...)
	}
	return append(out, msg...)
}

// result is what a transaction did: code is ok, the custom code of instruction at, or foreign with err.
type result struct {
	code, at int
	err      string
	units    uint64
	logs     []string
}

// send sends instructions in one transaction; the first key pays the fee. Each transaction is its own slot.
func (c *chain) send(ixs []ix, signers ...ed25519.PrivateKey) result {
	c.t.Helper()
	var latest struct{ Value struct{ Blockhash string } }
	c.rpc(&latest, "getLatestBlockhash")
	raw := encode([32]byte(address(latest.Value.Blockhash)), ixs, signers...)
	var sig string
	if err := c.call(&sig, "sendTransaction", base64.StdEncoding.EncodeToString(raw), map[string]string{"encoding": "base64"}); err != nil {
		return result{code: foreign, at: -1, err: err.Error()}
	}
	var r struct {
		Err           json.RawMessage
		UnitsConsumed uint64
		Logs          []string
	}
	c.rpc(&r, "test_transaction", sig)
	res := result{code: foreign, at: -1, err: string(r.Err), units: r.UnitsConsumed, logs: r.Logs}
	if string(r.Err) == "null" {
		res.code = ok
		return res
	}
	var in struct{ InstructionError []json.RawMessage }
	if json.Unmarshal(r.Err, &in) != nil || len(in.InstructionError) != 2 {
		return res
	}
	var custom struct{ Custom *int }
	_ = json.Unmarshal(in.InstructionError[0], &res.at)
	if json.Unmarshal(in.InstructionError[1], &custom) == nil && custom.Custom != nil {
		res.code = *custom.Custom
	}
	return res
}

// want sends and compares the outcome.
func (c *chain) want(code int, what string, ixs []ix, signers ...ed25519.PrivateKey) result {
	c.t.Helper()
	r := c.send(ixs, signers...)
	if r.code != code {
		c.t.Errorf("%s: code %d (%s), want %d\n%s", what, r.code, r.err, code, strings.Join(r.logs, "\n"))
	}
	return r
}

func (c *chain) must(ixs []ix, signers ...ed25519.PrivateKey) result {
	c.t.Helper()
	r := c.send(ixs, signers...)
	if r.code != ok {
		c.t.Fatalf("refused with %d at instruction %d: %s\n%s", r.code, r.at, r.err, strings.Join(r.logs, "\n"))
	}
	return r
}

func (c *chain) slot() (s uint64) {
	c.t.Helper()
	c.rpc(&s, "getSlot", map[string]string{"commitment": "confirmed"})
	return s
}

func (c *chain) warp(slots uint64) { c.t.Helper(); c.rpc(nil, "test_warp", slots) }

// clock moves the chain's clock; from there it goes on as real time does.
func (c *chain) clock(at time.Time) {
	c.t.Helper()
	c.rpc(nil, "test_setClock", at.Unix())
	c.ahead = time.Until(at)
}

// now is the chain's clock, to a second or two.
func (c *chain) now() time.Time { return time.Now().Add(c.ahead) }

type account struct {
	Lamports uint64
	Owner    string
	Data     []string
}

func (a *account) bytes(t *testing.T) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(a.Data[0])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (c *chain) account(a market.Address) *account {
	c.t.Helper()
	var r struct{ Value []*account }
	c.rpc(&r, "getMultipleAccounts", []string{a.String()}, map[string]string{"commitment": "confirmed", "encoding": "base64"})
	return r.Value[0]
}

func (c *chain) balance(a market.Address) uint64 {
	c.t.Helper()
	if x := c.account(a); x != nil {
		return x.Lamports
	}
	return 0
}

// set overwrites an account, as only a test cluster can.
func (c *chain) set(a market.Address, lamports uint64, owner market.Address, data []byte) {
	c.t.Helper()
	c.rpc(nil, "test_setAccount", a.String(), map[string]any{"lamports": lamports, "owner": owner.String(), "data": base64.StdEncoding.EncodeToString(data)})
}

func u64(vs ...uint64) (b []byte) {
	for _, v := range vs {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func transfer(from, to market.Address, lamports uint64) ix {
	return ix{system, []meta{{from, true, true}, {to, false, true}}, append([]byte{2, 0, 0, 0}, u64(lamports)...)}
}

func call(data []byte, metas ...meta) ix { return ix{program.ID, metas, data} }
