package localnet_test

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
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
)

type addr = [32]byte

var (
	systemProgram addr
	ixSysvar      = addr{6, 167, 213, 23, 24, 123, 209, 102, 53, 218, 212, 4, 85, 253, 194, 192, 193, 36, 198, 143, 33,
		86, 117, 165, 219, 186, 203, 95, 8}
	ed25519Prog = addr{3, 125, 70, 214, 124, 147, 251, 190, 18, 249, 66, 143, 131, 141, 64, 255, 5, 112, 116, 73, 39,
		244, 138, 100, 252, 202, 112, 68, 128}
)

// meta is one account of an instruction; s signer, w writable.
type meta struct {
	key  addr
	s, w bool
}

// ix is one instruction.
type ix struct {
	program addr
	metas   []meta
	data    []byte
}

// result of a transaction: err is "" or "141@1" (code or name, instruction index) or the error's JSON.
type result struct {
	err string
	cu  uint64
}

// chain is one local ledger with manual slots: each transaction is a slot.
type chain struct {
	*localnet.Server
	t   testing.TB
	tag uint64
	n   uint64 // counts names and salts
}

func newChain(t *testing.T) *chain {
	t.Helper()
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: t.Name()})
	tag, err := escrow.ClusterTag(s.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	return &chain{Server: s, t: t, tag: tag}
}

// with binds failures to a subtest.
func (c *chain) with(t testing.TB) *chain {
	d := *c
	d.t = t
	return &d
}

func (c *chain) call(out any, method string, params ...any) (refusal string) {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.Post(c.RPC, "application/json", bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var r struct {
		Result json.RawMessage
		Error  *struct {
			Message string
			Data    struct{ Err json.RawMessage }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		c.t.Fatal(err)
	}
	if r.Error != nil {
		return r.Error.Message
	}
	if out != nil {
		if err := json.Unmarshal(r.Result, out); err != nil {
			c.t.Fatalf("%s: %v in %s", method, err, r.Result)
		}
	}
	return ""
}

func (c *chain) must(out any, method string, params ...any) {
	c.t.Helper()
	if e := c.call(out, method, params...); e != "" {
		c.t.Fatalf("%s: %s", method, e)
	}
}

func name58(a addr) string { return market.Address(a).String() }

func (c *chain) slot() (n uint64) {
	c.must(&n, "getSlot", map[string]string{"commitment": "confirmed"})
	return n
}

func (c *chain) balance(a addr) uint64 {
	var v struct{ Value uint64 }
	c.must(&v, "getBalance", name58(a), map[string]string{"commitment": "confirmed"})
	return v.Value
}

// data returns the account's bytes and owner; nil when absent.
func (c *chain) data(a addr) (b []byte, owner string) {
	var v struct {
		Value []*struct {
			Data  []string
			Owner string
		}
	}
	c.must(&v, "getMultipleAccounts", []string{name58(a)},
		map[string]string{"commitment": "confirmed", "encoding": "base64"})
	if v.Value[0] == nil {
		return nil, ""
	}
	b, err := base64.StdEncoding.DecodeString(v.Value[0].Data[0])
	if err != nil {
		c.t.Fatal(err)
	}
	return b, v.Value[0].Owner
}

func (c *chain) state(id addr) escrow.ChannelState {
	c.t.Helper()
	b, owner := c.data(id)
	if owner != name58(c.Program) {
		c.t.Fatalf("channel's owner is %q", owner)
	}
	s, err := escrow.DecodeChannel(b)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *chain) setAccount(a addr, lamports uint64, data []byte, owner addr) {
	c.must(nil, "test_setAccount", name58(a),
		map[string]any{"lamports": lamports, "data": base64.StdEncoding.EncodeToString(data), "owner": name58(owner)})
}

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func pub(k ed25519.PrivateKey) addr { return addr(k.Public().(ed25519.PublicKey)) }

// funded makes a key with 10 SOL.
func (c *chain) funded() ed25519.PrivateKey {
	c.n++
	k := keyOf(fmt.Sprint(c.t.Name(), c.n))
	c.must(nil, "requestAirdrop", name58(pub(k)), 10_000_000_000)
	return k
}

// encode makes a signed legacy transaction; the first signer pays the fee.
func encode(blockhash addr, signers []ed25519.PrivateKey, ixs []ix) []byte {
	all := []meta{}
	add := func(m meta) {
		if i := slices.IndexFunc(all, func(o meta) bool { return o.key == m.key }); i >= 0 {
			all[i].s, all[i].w = all[i].s || m.s, all[i].w || m.w
			return
		}
		all = append(all, m)
	}
	for i, k := range signers {
		add(meta{pub(k), true, i == 0})
	}
	for _, x := range ixs {
		for _, m := range x.metas {
			add(m)
		}
		add(meta{key: x.program})
	}
	class := func(m meta) (n int) {
		if !m.s {
			n += 2
		}
		if !m.w {
			n++
		}
		return n
	}
	slices.SortStableFunc(all[1:], func(a, b meta) int { return class(a) - class(b) })
	var count [4]byte
	for _, m := range all {
		count[class(m)]++
	}
	b := []byte{count[0] + count[1], count[1], count[3], byte(len(all))}
	for _, m := range all {
		b = append(b, m.key[:]...)
	}
	b = append(b, blockhash[:]...)
	at := func(k addr) byte { return byte(slices.IndexFunc(all, func(m meta) bool { return m.key == k })) }
	b = append(b, byte(len(ixs)))
	for _, x := range ixs {
		b = append(b, at(x.program), byte(len(x.metas)))
		for _, m := range x.metas {
			b = append(b, at(m.key))
		}
		b = append(binary.AppendUvarint(b, uint64(len(x.data))), x.data...)
	}
	tx := []byte{count[0] + count[1]}
	for _, m := range all[:count[0]+count[1]] {
		i := slices.IndexFunc(signers, func(k ed25519.PrivateKey) bool { return pub(k) == m.key })
		tx = append(tx, ed25519.Sign(signers[i], b)...)
	}
	return append(tx, b...)
}

// send sends one transaction and returns its fate.
func (c *chain) send(signers []ed25519.PrivateKey, ixs ...ix) result {
	c.t.Helper()
	var h struct{ Value struct{ Blockhash string } }
	c.must(&h, "getLatestBlockhash", map[string]string{"commitment": "confirmed"})
	raw, err := market.ParseBase58(h.Value.Blockhash, 32)
	if err != nil {
		c.t.Fatal(err)
	}
	tx := encode(addr(raw), signers, ixs)
	var sig string
	if e := c.call(&sig, "sendTransaction", base64.StdEncoding.EncodeToString(tx),
		map[string]any{"encoding": "base64", "skipPreflight": true}); e != "" {
		return result{err: e}
	}
	var r struct {
		Err           json.RawMessage
		UnitsConsumed uint64
	}
	c.must(&r, "test_transaction", sig)
	out := result{cu: r.UnitsConsumed}
	if string(r.Err) == "null" {
		return out
	}
	out.err = string(r.Err)
	var in struct{ InstructionError []json.RawMessage }
	if json.Unmarshal(r.Err, &in) == nil && len(in.InstructionError) == 2 {
		var custom struct{ Custom *uint32 }
		what := string(bytes.Trim(in.InstructionError[1], `"`))
		if json.Unmarshal(in.InstructionError[1], &custom) == nil && custom.Custom != nil {
			what = fmt.Sprint(*custom.Custom)
		}
		out.err = fmt.Sprintf("%s@%s", what, in.InstructionError[0])
	}
	return out
}

// ok sends and fails the test on an error.
func (c *chain) ok(signers []ed25519.PrivateKey, ixs ...ix) result {
	c.t.Helper()
	r := c.send(signers, ixs...)
	if r.err != "" {
		c.t.Fatalf("transaction: %s", r.err)
	}
	return r
}

// refused sends and wants this code of the last instruction.
func (c *chain) refused(code uint32, signers []ed25519.PrivateKey, ixs ...ix) {
	c.t.Helper()
	if r, want := c.send(signers, ixs...), fmt.Sprintf("%d@%d", code, len(ixs)-1); r.err != want {
		c.t.Errorf("got %q, want %q (%s)", r.err, want, escrow.CodeName(code))
	}
}

// one wraps a signer.
func one(k ...ed25519.PrivateKey) []ed25519.PrivateKey { return k }

// deal is one Channel and everybody around it. relay pays fees of instructions that need no signature.
type deal struct {
	id                                    addr
	terms                                 escrow.OpenTerms
	deposit                               uint64
	payer, payee, voucher, release, relay ed25519.PrivateKey
}

// plan makes funded parties and terms; nothing is opened yet.
func (c *chain) plan(deposit uint64) *deal {
	c.t.Helper()
	d := &deal{payer: c.funded(), payee: c.funded(), relay: c.funded(), deposit: deposit}
	d.voucher, d.release = keyOf(fmt.Sprint("v", name58(pub(d.payer)))), keyOf(fmt.Sprint("r", name58(pub(d.payer))))
	d.terms = escrow.OpenTerms{
		Payer: pub(d.payer), Payee: pub(d.payee), VoucherKey: pub(d.voucher), ReleaseKey: pub(d.release),
		CloseDelay: time.Hour, Salt: 7, ClusterTag: c.tag, OpenSlot: c.slot(),
	}
	c.place(d)
	return d
}

// place finds the salt after a change of the terms.
func (c *chain) place(d *deal) {
	c.t.Helper()
	terms, id, err := d.terms.FindSalt(c.Program)
	if err != nil {
		c.t.Fatal(err)
	}
	d.terms, d.id = terms, addr(id)
}

// opened makes and opens a Channel.
func (c *chain) opened(deposit uint64) *deal {
	c.t.Helper()
	d := c.plan(deposit)
	c.ok(one(d.payer), c.open(d))
	return d
}

func (c *chain) open(d *deal) ix {
	b := make([]byte, 101)
	b[0] = escrow.TagOpen
	binary.LittleEndian.PutUint64(b[1:], d.deposit)
	binary.LittleEndian.PutUint32(b[9:], uint32(d.terms.CloseDelay/time.Second))
	binary.LittleEndian.PutUint64(b[13:], d.terms.Salt)
	binary.LittleEndian.PutUint64(b[21:], d.terms.ClusterTag)
	binary.LittleEndian.PutUint64(b[29:], d.terms.OpenSlot)
	copy(b[37:], d.terms.VoucherKey[:])
	copy(b[69:], d.terms.ReleaseKey[:])
	return ix{c.Program, []meta{{pub(d.payer), true, true}, {key: pub(d.payee), w: true}, {key: d.id, w: true}, {}}, b}
}

func (c *chain) topUp(d *deal, total uint64) ix {
	b := binary.LittleEndian.AppendUint64([]byte{escrow.TagTopUp}, total)
	return ix{c.Program, []meta{{pub(d.payer), true, true}, {key: d.id, w: true}, {}}, b}
}

func (c *chain) plain(tag byte, metas ...meta) ix { return ix{c.Program, metas, []byte{tag}} }

func (c *chain) claim(d *deal) ix {
	return c.plain(escrow.TagClaim, meta{key: d.id, w: true}, meta{key: ixSysvar}, meta{key: pub(d.payee), w: true})
}

func (c *chain) record(d *deal) ix {
	return c.plain(escrow.TagRecord, meta{key: d.id, w: true}, meta{key: ixSysvar})
}

func (c *chain) requestClose(d *deal, who addr) ix {
	return c.plain(escrow.TagRequestClose, meta{key: who, s: true}, meta{key: d.id, w: true})
}

func (c *chain) releaseIx(d *deal, who addr) ix {
	return c.plain(escrow.TagRelease, meta{key: who, s: true}, meta{key: d.id, w: true}, meta{key: ixSysvar})
}

func (c *chain) consent(d *deal) ix {
	return c.plain(escrow.TagConsent, meta{key: d.id, w: true}, meta{key: ixSysvar})
}

func (c *chain) seal(d *deal) ix { return c.plain(escrow.TagSeal, meta{key: d.id, w: true}) }
func (c *chain) payPayee(d *deal) ix {
	return c.plain(escrow.TagPayPayee, meta{key: d.id, w: true}, meta{key: pub(d.payee), w: true})
}

func (c *chain) payPayer(d *deal) ix {
	return c.plain(escrow.TagPayPayer, meta{key: d.id, w: true}, meta{key: pub(d.payer), w: true})
}

func (c *chain) reclaim(d *deal) ix {
	return c.plain(escrow.TagReclaim, meta{key: d.id, w: true}, meta{key: pub(d.payer), w: true})
}

// message is a 50-byte message with any magic, channel and expiry.
func message(magic byte, ch addr, v uint64, expires int64) []byte {
	b := append([]byte{magic, 1}, ch[:]...)
	b = binary.LittleEndian.AppendUint64(b, v)
	return binary.LittleEndian.AppendUint64(b, uint64(expires))
}

// signed is the ed25519 instruction of the one accepted form.
func signed(k ed25519.PrivateKey, msg []byte) ix {
	d := escrow.Ed25519Data(pub(k), [50]byte(msg), [64]byte(ed25519.Sign(k, msg)))
	return ix{program: ed25519Prog, data: d[:]}
}

func (d *deal) voucherIx(v uint64) ix { return signed(d.voucher, message(0x56, d.id, v, 0)) }
func (d *deal) releaseMsg(v uint64, expires int64) ix {
	return signed(d.release, message(0x52, d.id, v, expires))
}

// transfer is a System transfer.
func transfer(from, to addr, lamports uint64) ix {
	return ix{systemProgram, []meta{{from, true, true}, {key: to, w: true}},
		binary.LittleEndian.AppendUint64([]byte{2, 0, 0, 0}, lamports)}
}
