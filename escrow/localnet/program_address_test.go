package localnet_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// A keypair as Channel would satisfy System without the program's own signature: its address would stand for no terms
// and could live twice, so that old vouchers meet new money.
func TestOpen_AddressOfAKeypair_Refused(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.plan(1_000_000)
	k := keyOf("a keypair as channel")
	d.id = pub(k)
	x := c.open(d)
	x.metas[2].s = true
	c.refused(escrow.CodeBadAccount, one(d.payer, k), x)
	if b, owner := c.data(d.id); owner != "" {
		t.Errorf("opened %d bytes of %s", len(b), owner)
	}
}

func TestOpen_ReadOnlyPayer_Refused(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.plan(1_000_000)
	x := c.open(d)
	x.metas[0].w = false
	// the relay pays the fee: a fee payer is always writable
	c.refused(escrow.CodeNotWritable, one(d.relay, d.payer), x)
}

// The last slot of the window still opens; the first one after it does not (TestReopen_NeverSameAddress).
func TestOpen_LastSlotOfWindow(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.plan(1_000_000)
	c.must(nil, "test_warp", d.terms.OpenSlot+escrow.ReopenWindow-c.slot())
	late := *d
	late.terms.OpenSlot--
	c.place(&late)
	c.refused(escrow.CodeSlotWindow, one(d.payer), c.open(&late)) // this refusal is a slot too
	d.terms.OpenSlot++
	c.place(d)
	c.ok(one(d.payer), c.open(d))
}

// The address binds every term that a voucher does not name: other terms, other address, and the old address refuses
// them.
func TestOpen_OtherTermsAtTheAddress_Refused(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.plan(1_000_000)
	thief := c.funded()
	for name, change := range map[string]func(*deal){
		"payer":       func(d *deal) { d.payer = thief },
		"payee":       func(d *deal) { d.payee = thief },
		"voucher key": func(d *deal) { d.terms.VoucherKey = pub(thief) },
		"salt":        func(d *deal) { d.terms.Salt++ },
		"cluster":     func(d *deal) { d.terms.ClusterTag++ },
		"open slot":   func(d *deal) { d.terms.OpenSlot-- },
	} {
		e := *d
		change(&e)
		if r := c.send(one(e.payer), c.open(&e)); r.err == "" {
			t.Errorf("opened with another %s", name)
		}
	}
	c.ok(one(d.payer), c.open(d))
}

func TestVoucherReplay_OtherCluster(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	there := *d
	there.terms.ClusterTag++ // the same terms on another cluster
	c.place(&there)
	if there.id == d.id {
		t.Fatal("one address on two clusters")
	}
	c.refused(escrow.CodeWrongChannel, one(d.relay), there.voucherIx(5_000), c.record(d))
}

// States that the program never writes; if one came about, no sum may wrap around and no leg may pay.
func TestArithmetic_ImpossibleStates_PayNothing(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	c.ok(one(d.relay), d.voucherIx(400_000), c.record(d))
	b, _ := c.data(d.id)
	with := func(at int, v uint64) {
		bent := append([]byte(nil), b...)
		binary.LittleEndian.PutUint64(bent[at:], v)
		c.setAccount(d.id, rent384+1_000_000, bent, c.Program)
	}
	with(24, 400_001) // paid over settled
	c.refused(escrow.CodeOverflow, one(d.relay), c.payPayee(d))
	with(24, math.MaxUint64) // so far over that the difference wraps around to what the Channel holds
	c.refused(escrow.CodeOverflow, one(d.relay), c.payPayee(d))
	sealed := func(settled, refunded uint64) {
		bent := append([]byte(nil), b...)
		bent[escrow.OffStatus] = byte(escrow.StatusSealed)
		binary.LittleEndian.PutUint64(bent[16:], settled)
		binary.LittleEndian.PutUint64(bent[32:], refunded)
		c.setAccount(d.id, rent384+1_000_000, bent, c.Program)
	}
	sealed(400_000, 600_001) // refunded over the rest
	c.refused(escrow.CodeOverflow, one(d.relay), c.payPayer(d))
	sealed(1_000_001, 0) // settled over the deposit: the rest would be nearly 2^64
	c.refused(escrow.CodeOverflow, one(d.relay), c.payPayer(d))
	sealed(1_000_000, math.MaxUint64) // both wrap around to a sum that the Channel holds
	c.refused(escrow.CodeOverflow, one(d.relay), c.payPayer(d))
	sealed(1_000_001, math.MaxUint64-1)
	c.refused(escrow.CodeOverflow, one(d.relay), c.payPayer(d))
	// A destination that cannot hold more lamports.
	with(24, 0)
	c.setAccount(pub(d.payee), math.MaxUint64-399_999, nil, systemProgram)
	c.refused(escrow.CodeOverflow, one(d.relay), c.payPayee(d))
	c.setAccount(pub(d.payee), math.MaxUint64-400_000, nil, systemProgram)
	c.ok(one(d.relay), c.payPayee(d))
}

// Only the precompile has checked a signature. Another program without accounts and with as many bytes, which also
// succeeds, proves nothing: the one guard between a forger and every Channel.
func TestVoucher_LookAlikeProgram_ProvesNothing(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	raw, err := market.ParseBase58("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", 32)
	if err != nil {
		t.Fatal(err)
	}
	memo := ix{program: addr(raw), data: bytes.Repeat([]byte{'a'}, 162)}
	c.ok(one(d.relay), memo) // it succeeds
	c.refused(escrow.CodeNoSignature, one(d.relay), memo, c.record(d))
	c.refused(escrow.CodeNoSignature, one(d.relay), memo, c.claim(d))
	c.refused(escrow.CodeNoSignature, one(d.payer), memo, c.releaseIx(d, pub(d.payer)))
	if s := c.state(d.id); s.Settled != 0 || s.Status != escrow.StatusOpen {
		t.Errorf("settled %d, %s", s.Settled, s.Status)
	}
}
