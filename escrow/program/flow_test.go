package program_test

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// events decodes the program's log events as (tag, first, second).
func events(t *testing.T, r result, id market.Address) (out [][3]uint64) {
	t.Helper()
	for _, l := range r.logs {
		text, found := strings.CutPrefix(l, "Program data: ")
		if !found {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(b) != 56 || string(b[:6]) != "gpuai/" || b[6] != 1 || market.Address(b[8:40]) != id {
			t.Fatalf("event %x, %v", b, err)
		}
		out = append(out, [3]uint64{uint64(b[7]), binary.LittleEndian.Uint64(b[40:]), binary.LittleEndian.Uint64(b[48:])})
	}
	return out
}

func TestFlow_Release_EveryLamportExplained(t *testing.T) {
	t.Parallel()
	c := start(t)
	payer, payee, fee := c.balance(addr(c.payer)), c.balance(c.payee), c.balance(addr(c.fee))
	h := c.open()
	s := h.state()
	if a := c.account(h.id); a.Lamports != channelRent+deposit {
		t.Errorf("channel holds %d", a.Lamports)
	}
	if s.Terms() != h.terms || s.Payee != s.PayeeDest || s.Payer != s.PayerDest || s.Vault != (market.Address{}) || s.OpenedAt == 0 || s.Deadline != 0 {
		t.Errorf("opened as %+v", s)
	}
	r := c.must([]ix{h.topUp(5_000_000)}, c.payer)
	if e := events(t, r, h.id); len(e) != 1 || e[0] != [3]uint64{2, 5_000_000, 15_000_000} {
		t.Errorf("top_up event %v", e)
	}
	h.pay(1_000_000)
	r = h.pay(3_000_000)
	if e := events(t, r, h.id); len(e) != 1 || e[0] != [3]uint64{3, 3_000_000, 3_000_000} {
		t.Errorf("claim event %v", e)
	}
	c.must([]ix{h.voucherIx(4_000_000), h.record()}, c.fee)
	h.holds(t, escrow.StatusOpen, 15_000_000, 4_000_000, 3_000_000, 0)
	if h.state().VoucherSlot == 0 {
		t.Error("slot of the last voucher was not kept")
	}
	r = h.finish(6_000_000)
	if e := events(t, r, h.id); len(e) != 3 || e[0] != [3]uint64{6, 6_000_000, 15_000_000} || e[1] != [3]uint64{8, 3_000_000, 6_000_000} || e[2] != [3]uint64{9, 9_000_000, 9_000_000} {
		t.Errorf("finish events %v", e)
	}
	h.holds(t, escrow.StatusSealed, 15_000_000, 6_000_000, 6_000_000, 9_000_000)
	c.want(int(escrow.CodeTooEarly), "reclaim before W", []ix{h.reclaim()}, c.payer)
	c.warp(window + 1)
	c.must([]ix{h.reclaim()}, c.payer)
	if a := c.account(h.id); a != nil {
		t.Errorf("after reclaim: %+v", a)
	}
	// Fees: open, top_up, finish (two signatures: the precompile's counts), a refused reclaim, reclaim; claims and record by the fee payer.
	const fees = escrow.FeePerSignature
	if got := payer - c.balance(addr(c.payer)); got != 6_000_000+6*fees {
		t.Errorf("payer spent %d", got)
	}
	if got := c.balance(c.payee) - payee; got != 6_000_000 {
		t.Errorf("payee got %d", got)
	}
	if got := fee - c.balance(addr(c.fee)); got != 3*2*fees {
		t.Errorf("fee payer spent %d", got)
	}
}

func TestFlow_PaidLegsAgain_DoNothing(t *testing.T) {
	t.Parallel()
	c := start(t)
	h := c.open()
	h.pay(2_000_000)
	h.finish(2_000_000)
	payer, payee := c.balance(addr(c.payer)), c.balance(c.payee)
	c.must([]ix{h.payPayee(), h.payPayer(), h.payPayee()}, c.stranger)
	if c.balance(addr(c.payer)) != payer || c.balance(c.payee) != payee {
		t.Error("a leg paid twice")
	}
}

func TestUnilateralClose(t *testing.T) {
	t.Parallel()
	c := start(t)
	h := c.open()
	c.want(int(escrow.CodeBadStatus), "seal while open", []ix{h.seal()}, c.stranger)
	r := c.must([]ix{h.requestClose(h.terms.Payer)}, c.payer)
	s := h.state()
	if e := events(t, r, h.id); s.Status != escrow.StatusClosing || len(e) != 1 || e[0] != [3]uint64{5, uint64(s.Deadline), 0} || s.Deadline-s.OpenedAt < 3600 || s.Deadline-s.OpenedAt > 3660 {
		t.Errorf("closing as %+v, events %v", s, e)
	}
	deadline := time.Unix(s.Deadline, 0)
	c.want(int(escrow.CodeBadStatus), "second request_close", []ix{h.requestClose(h.terms.Payer)}, c.payer)
	c.want(int(escrow.CodeBadStatus), "top_up while closing", []ix{h.topUp(1)}, c.payer)
	c.want(int(escrow.CodeBadStatus), "refund while closing", []ix{h.payPayer()}, c.payer)
	c.want(int(escrow.CodeBadStatus), "reclaim while closing", []ix{h.reclaim()}, c.payer)
	h.pay(1_000_000) // a voucher stays good while closing,
	c.clock(deadline.Add(-30 * time.Second))
	c.want(int(escrow.CodeTooEarly), "seal before the deadline", []ix{h.seal()}, c.payer)
	c.clock(deadline.Add(time.Hour))
	h.pay(2_500_000) // and past the deadline, until someone seals
	c.must([]ix{h.seal(), h.payPayee(), h.payPayer()}, c.stranger)
	h.holds(t, escrow.StatusSealed, deposit, 2_500_000, 2_500_000, deposit-2_500_000)
	c.want(int(escrow.CodeBadStatus), "voucher after the seal", []ix{h.voucherIx(3_000_000), h.claim()}, c.fee)
	c.want(int(escrow.CodeBadStatus), "second seal", []ix{h.seal()}, c.payer)
	c.want(int(escrow.CodeBadStatus), "request_close after the seal", []ix{h.requestClose(h.terms.Payer)}, c.payer)
}

func TestCloseDelay_Bounds(t *testing.T) {
	t.Parallel()
	c := start(t)
	for seconds, code := range map[int]int{0: int(escrow.CodeCloseDelayRange), 599: int(escrow.CodeCloseDelayRange), 600: ok, 604_800: ok, 604_801: int(escrow.CodeCloseDelayRange)} {
		h := c.plan(func(o *escrow.OpenTerms) { o.CloseDelay = time.Duration(seconds) * time.Second })
		c.want(code, h.terms.CloseDelay.String(), []ix{h.openIx()}, c.payer)
	}
}

func TestOpen_Refusals(t *testing.T) {
	t.Parallel()
	c := start(t)
	h := c.plan(func(o *escrow.OpenTerms) { o.Payee = o.Payer })
	x := h.openIx()
	c.want(int(escrow.CodeDuplicateAccount), "payer = payee", []ix{x}, c.payer)
	h = c.plan()
	h.deposit = 0
	c.want(int(escrow.CodeZeroAmount), "deposit 0", []ix{h.openIx()}, c.payer)
	// A point off the curve: about half of all encodings; this one is none.
	h = c.plan(func(o *escrow.OpenTerms) { o.VoucherKey = [32]byte{2} })
	if escrow.OnCurve(h.terms.VoucherKey) {
		t.Fatal("the example is on the curve")
	}
	c.want(int(escrow.CodeBadVoucherKey), "voucher key off the curve", []ix{h.openIx()}, c.payer)
	// Terms that the address does not stand for: the runtime refuses the signature of other seeds.
	h = c.plan()
	h.terms.ReleaseKey = [32]byte{1} // not part of the address
	c.must([]ix{h.openIx()}, c.payer)
	h = c.plan()
	h.terms.Salt++
	c.want(foreign, "address of another salt", []ix{h.openIx()}, c.payer)
	h = c.plan()
	h.terms.ClusterTag++
	c.want(foreign, "address of another cluster", []ix{h.openIx()}, c.payer)
}

// A keypair as Channel would satisfy System without the program's signature: its address would stand for no terms and could live twice.
func TestOpen_AddressOfAKeypair_Refused(t *testing.T) {
	t.Parallel()
	c := start(t)
	h := c.plan()
	k := key("keypair channel")
	h.id = addr(k)
	x := h.openIx()
	x.metas[2].s = true
	c.want(int(escrow.CodeBadAccount), "channel that signs", []ix{x}, c.payer, k)
	if a := c.account(h.id); a != nil {
		t.Errorf("opened: %+v", a)
	}
}

func TestReopen_NeverSameAddress(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.warp(window + 10)
	early := c.plan(func(o *escrow.OpenTerms) { o.OpenSlot = c.slot() + 1 })
	c.want(int(escrow.CodeSlotWindow), "open_slot in the future", []ix{early.openIx()}, c.payer)
	late := c.plan(func(o *escrow.OpenTerms) { o.OpenSlot = c.slot() - window - 1 })
	c.want(int(escrow.CodeSlotWindow), "open_slot older than W", []ix{late.openIx()}, c.payer)

	last := c.open(func(o *escrow.OpenTerms) { o.OpenSlot = c.slot() - window })
	last.finish(0)
	c.must([]ix{last.reclaim()}, c.payer) // W is over: it joins a finish that is late enough

	h := c.open()
	old := h.voucherIx(1_000_000)
	c.want(0, "open of a living channel", []ix{h.openIx()}, c.payer) // System: account already in use
	h.finish(0)
	c.want(0, "open of a sealed channel", []ix{h.openIx()}, c.payer)
	c.warp(h.terms.OpenSlot + window - c.slot())
	c.want(int(escrow.CodeTooEarly), "reclaim in the last slot of W", []ix{h.reclaim()}, c.payer)
	c.must([]ix{h.reclaim()}, c.payer)
	c.want(int(escrow.CodeSlotWindow), "open after reclaim", []ix{h.openIx()}, c.payer)
	c.want(int(escrow.CodeBadOwner), "voucher after reclaim", []ix{old, h.claim()}, c.fee)
}

func TestOpen_Prefunded(t *testing.T) {
	t.Parallel()
	c := start(t)
	for _, prefund := range []uint64{minimum, channelRent, channelRent + deposit, channelRent + deposit + 7} {
		h := c.plan()
		c.must([]ix{transfer(addr(c.stranger), h.id, prefund)}, c.stranger)
		before := c.balance(addr(c.payer))
		c.must([]ix{h.openIx()}, c.payer)
		pays := uint64(0)
		if prefund < channelRent+deposit {
			pays = channelRent + deposit - prefund
		}
		if got := before - c.balance(addr(c.payer)); got != pays+escrow.FeePerSignature {
			t.Errorf("prefund %d: payer paid %d, want %d and the fee", prefund, got, pays)
		}
		h.holds(t, escrow.StatusOpen, deposit, 0, 0, 0)
		if got := c.balance(h.id); got != max(prefund, channelRent+deposit) {
			t.Errorf("prefund %d: channel holds %d", prefund, got)
		}
	}
}

func TestReclaim_Dusted(t *testing.T) {
	t.Parallel()
	c := start(t)
	h := c.open()
	h.finish(0)
	c.warp(window + 1)
	c.must([]ix{transfer(addr(c.stranger), h.id, 1)}, c.stranger)
	before := c.balance(addr(c.payer))
	c.must([]ix{h.reclaim()}, c.stranger)
	if got := c.balance(addr(c.payer)) - before; got != channelRent+1 {
		t.Errorf("payer got %d", got)
	}
}

func TestReclaim_Revive(t *testing.T) {
	t.Parallel()
	c := start(t)
	h := c.open()
	old := h.voucherIx(1_000_000)
	h.finish(0)
	c.warp(window + 1)
	c.must([]ix{h.reclaim(), transfer(addr(c.payer), h.id, channelRent+deposit)}, c.payer)
	a := c.account(h.id)
	if a == nil || a.Owner != system.String() || len(a.bytes(t)) != 0 {
		t.Fatalf("revived as %+v", a)
	}
	c.want(int(escrow.CodeBadOwner), "voucher on a revived address", []ix{old, h.claim()}, c.fee)
	c.want(int(escrow.CodeSlotWindow), "open of a revived address", []ix{h.openIx()}, c.payer)
	c.want(int(escrow.CodeBadOwner), "second reclaim", []ix{h.reclaim()}, c.payer)
}

func TestLegs_Independent(t *testing.T) {
	t.Parallel()
	c := start(t)
	poor := addr(key("empty payee"))
	h := c.open(func(o *escrow.OpenTerms) { o.Payee = poor })
	// The payee's account would stay below the rent minimum: a payout fails, a record does not.
	c.want(foreign, "claim to an empty payee", []ix{h.voucherIx(1000), h.claim()}, c.fee)
	c.must([]ix{h.voucherIx(1000), h.record()}, c.fee)
	c.must([]ix{h.requestClose(h.terms.Payer)}, c.payer)
	c.clock(time.Unix(h.state().Deadline, 0))
	c.want(foreign, "finish with the payee's leg", []ix{h.seal(), h.payPayee(), h.payPayer()}, c.payer)
	c.must([]ix{h.seal()}, c.payer)
	before := c.balance(addr(c.payer))
	c.must([]ix{h.payPayer()}, c.stranger)
	if got := c.balance(addr(c.payer)) - before; got != deposit-1000 {
		t.Errorf("payer got %d", got)
	}
	c.warp(window + 1)
	c.want(int(escrow.CodeLegsOpen), "reclaim with an unpaid payee", []ix{h.reclaim()}, c.payer)
	c.must([]ix{transfer(addr(c.stranger), poor, minimum)}, c.stranger)
	c.must([]ix{h.payPayee(), h.reclaim()}, c.stranger)
	if got := c.balance(poor); got != minimum+1000 {
		t.Errorf("payee holds %d", got)
	}

	// The other way round: the payee's leg does not wait for the payer's account, and reclaim waits for the payer's leg.
	h = c.open()
	c.must([]ix{h.consent(5000), h.releaseIx(h.terms.Payer), h.payPayee()}, c.payer)
	c.warp(window + 1)
	c.want(int(escrow.CodeLegsOpen), "reclaim with an unpaid payer", []ix{h.reclaim()}, c.payer)
	c.must([]ix{h.payPayer(), h.reclaim()}, c.stranger)
}

func TestArithmetic_Edges(t *testing.T) {
	t.Parallel()
	c := start(t)
	const most = ^uint64(0)
	h := c.plan()
	h.deposit = most
	c.want(int(escrow.CodeOverflow), "deposit 2^64 - 1", []ix{h.openIx()}, c.payer)
	h.deposit = 1000 * sol
	c.want(1, "deposit over the balance", []ix{h.openIx()}, c.payer) // System: insufficient funds
	h = c.open()
	c.want(int(escrow.CodeOverflow), "top_up of 2^64 - 1", []ix{h.topUp(most)}, c.payer)
	c.want(int(escrow.CodeZeroAmount), "top_up of 0", []ix{h.topUp(0)}, c.payer)
	c.want(1, "top_up over the balance", []ix{h.topUp(1000 * sol)}, c.payer)
	c.want(int(escrow.CodeOverDeposit), "voucher of 2^64 - 1", []ix{h.voucherIx(most), h.claim()}, c.fee)
	h.holds(t, escrow.StatusOpen, deposit, 0, 0, 0)
	h.pay(deposit) // all of it
	h.finish(deposit)
	h.holds(t, escrow.StatusSealed, deposit, deposit, deposit, 0)

	// More owed than held cannot come about; if it did, nothing may wrap.
	h = c.open()
	data := c.account(h.id).bytes(t)
	c.set(h.id, 1000, market.Address(c.s.Program), data)
	c.want(int(escrow.CodeOverflow), "payout over the lamports", []ix{h.voucherIx(2000), h.claim()}, c.fee)
	binary.LittleEndian.PutUint64(data[24:], 5) // paid over settled
	c.set(h.id, channelRent+deposit, market.Address(c.s.Program), data)
	c.want(int(escrow.CodeOverflow), "paid over settled", []ix{h.payPayee()}, c.fee)
}

func TestRaces(t *testing.T) {
	t.Parallel()
	c := start(t)
	h := c.open()
	h.pay(2_000_000)
	c.want(int(escrow.CodeNotMonotonic), "an older voucher", []ix{h.voucherIx(1_999_999), h.claim()}, c.stranger)
	c.want(int(escrow.CodeNotMonotonic), "the same voucher", []ix{h.voucherIx(2_000_000), h.record()}, c.stranger)
	c.want(int(escrow.CodeOverDeposit), "claim before top_up", []ix{h.voucherIx(deposit + 1), h.claim()}, c.fee)
	c.must([]ix{h.topUp(1), h.voucherIx(deposit + 1), h.claim()}, c.payer)
	h.holds(t, escrow.StatusOpen, deposit+1, deposit+1, deposit+1, 0)
}

func TestStolenKeys(t *testing.T) {
	t.Parallel()
	c := start(t)
	h := c.open()
	// The voucher key pays this payee only.
	x := h.claim()
	x.metas[2].key = c.other
	c.want(int(escrow.CodeBadDestination), "claim to the thief", []ix{h.voucherIx(1000), x}, c.stranger)
	// The release key alone cannot release: the payer or the voucher key has to sign too.
	for name, by := range map[string]string{"release": "release", "payee": "payee", "stranger": "stranger"} {
		k := key(by)
		c.want(int(escrow.CodeBadSigner), "release by "+name, []ix{h.consent(1000), h.releaseIx(addr(k))}, c.stranger, k)
		c.want(int(escrow.CodeBadSigner), "request_close by "+name, []ix{h.requestClose(addr(k))}, c.stranger, k)
	}
	h.pay(5000)
	c.want(int(escrow.CodeNotMonotonic), "release below settled", []ix{h.consent(4999), h.releaseIx(h.terms.Payer)}, c.payer)
	// The voucher key may ask to close; the money still goes to the payer.
	vk := addr(h.voucher)
	c.must([]ix{h.requestClose(vk)}, c.stranger, h.voucher)
	c.must([]ix{h.consent(5000), h.releaseIx(vk)}, c.stranger, h.voucher)
	y := h.payPayer()
	y.metas[1].key = c.other
	c.want(int(escrow.CodeBadDestination), "refund to the thief", []ix{y}, c.stranger)
	before := c.balance(addr(c.payer))
	c.must([]ix{h.payPayer()}, c.stranger)
	if got := c.balance(addr(c.payer)) - before; got != deposit-5000 {
		t.Errorf("payer got %d", got)
	}
}
