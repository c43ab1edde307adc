package localnet_test

import (
	"crypto/ed25519"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
)

func TestUnilateralClose_NotBeforeDeadline(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	thief := c.funded()
	base := time.Now().Unix() + 1000
	c.must(nil, "test_setClock", base)
	c.refused(escrow.CodeBadStatus, one(d.relay), c.seal(d))     // still Open
	c.refused(escrow.CodeBadStatus, one(d.relay), c.payPayer(d)) // no refund before the seal
	c.refused(escrow.CodeBadStatus, one(d.relay), c.reclaim(d))
	c.refused(escrow.CodeBadSigner, one(thief), c.requestClose(d, pub(thief)))
	c.refused(escrow.CodeBadSigner, one(d.payee), c.requestClose(d, pub(d.payee)))
	// the voucher key may ask, the payer gets the money
	c.ok(one(d.relay, d.voucher), c.requestClose(d, pub(d.voucher)))
	deadline := c.state(d.id).Deadline
	if deadline < base+3600 || deadline > base+3660 {
		t.Errorf("deadline %d, asked at %d", deadline, base)
	}
	// a second one must not move the deadline
	c.refused(escrow.CodeBadStatus, one(d.payer), c.requestClose(d, pub(d.payer)))
	c.refused(escrow.CodeBadStatus, one(d.payer), c.topUp(d, 5))
	c.refused(escrow.CodeTooEarly, one(d.relay), c.seal(d))
	c.must(nil, "test_setClock", deadline-60)
	c.refused(escrow.CodeTooEarly, one(d.relay), c.seal(d))
	c.refused(escrow.CodeBadStatus, one(d.relay), c.payPayer(d))
	c.ok(one(d.relay), d.voucherIx(300_000), c.record(d)) // the provider comes back in time
	c.must(nil, "test_setClock", deadline)
	c.ok(one(d.relay), d.voucherIx(400_000), c.record(d)) // past the deadline and not sealed: still a debt
	c.ok(one(d.relay), c.seal(d))
	c.refused(escrow.CodeBadStatus, one(d.relay), c.seal(d))
	c.refused(escrow.CodeBadStatus, one(d.payer), c.requestClose(d, pub(d.payer)))
	c.refused(escrow.CodeBadStatus, one(d.relay), d.voucherIx(500_000), c.record(d))
	payer, payee := c.balance(pub(d.payer)), c.balance(pub(d.payee))
	c.ok(one(d.relay), c.payPayer(d), c.payPayee(d))
	c.ok(one(d.relay), c.payPayer(d), c.payPayee(d)) // twice moves nothing
	c.wantBalances(d, "finish", payer+600_000, payee+400_000, rent384)
}

func TestReclaim_WindowAndLegs(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	far := time.Now().Unix() + 600
	c.ok(one(d.payer), d.releaseMsg(300_000, far), c.releaseIx(d, pub(d.payer)))
	c.refused(escrow.CodeLegsOpen, one(d.relay), c.reclaim(d)) // legs before the window
	c.ok(one(d.relay), c.payPayer(d))
	c.refused(escrow.CodeLegsOpen, one(d.relay), c.reclaim(d)) // the payee's leg is open
	c.ok(one(d.relay), c.payPayee(d))
	c.refused(escrow.CodeTooEarly, one(d.relay), c.reclaim(d))
	// The last slot of the window, then the first one after it.
	c.must(nil, "test_warp", d.terms.OpenSlot+escrow.ReopenWindow-c.slot())
	c.refused(escrow.CodeTooEarly, one(d.relay), c.reclaim(d)) // at open_slot + W exactly; the refusal was a slot too
	before := c.balance(pub(d.payer))
	c.refused(escrow.CodeBadDestination, one(d.relay),
		c.plain(escrow.TagReclaim, meta{key: d.id, w: true}, meta{key: pub(d.payee), w: true}))
	c.ok(one(d.relay), transfer(pub(d.relay), d.id, 1), c.reclaim(d)) // dust in the same transaction goes to the payer
	if got := c.balance(pub(d.payer)); got != before+rent384+1 {
		t.Errorf("payer got %d", got-before)
	}
	if b, owner := c.data(d.id); b != nil {
		t.Errorf("account of %q with %d bytes is left", owner, len(b))
	}
	if r := c.send(one(d.relay), c.reclaim(d)); r.err == "" {
		t.Error("reclaimed twice")
	}

	// Only the payer's leg open.
	e := c.opened(1_000_000)
	c.ok(one(e.payer), e.releaseMsg(300_000, far), c.releaseIx(e, pub(e.payer)), c.payPayee(e))
	c.refused(escrow.CodeLegsOpen, one(e.relay), c.reclaim(e))
}

func TestReclaim_RevivedInSameTransaction_HoldsNothing(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	c.ok(one(d.payer), d.releaseMsg(0, time.Now().Unix()+600), c.releaseIx(d, pub(d.payer)), c.payPayer(d))
	c.must(nil, "test_warp", escrow.ReopenWindow+1)
	c.ok(one(d.relay), c.reclaim(d), transfer(pub(d.relay), d.id, 2_000_000))
	if b, owner := c.data(d.id); len(b) != 0 || owner != name58(systemProgram) {
		t.Errorf("revived as %d bytes of %s", len(b), owner)
	}
	c.refused(escrow.CodeBadOwner, one(d.relay), c.payPayer(d))
}

func TestReopen_NeverSameAddress(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	c.ok(one(d.payer), d.releaseMsg(300_000, time.Now().Unix()+600), c.releaseIx(d, pub(d.payer)), c.payPayee(d),
		c.payPayer(d))
	if r := c.send(one(d.payer), c.open(d)); r.err == "" { // the account lives on until the window is over
		t.Error("a sealed Channel was opened again")
	}
	c.must(nil, "test_warp", d.terms.OpenSlot+escrow.ReopenWindow-c.slot())
	if r := c.send(one(d.payer), c.open(d)); r.err == "" { // the window's last slot
		t.Error("a sealed Channel was opened again at the end of its window")
	}
	c.ok(one(d.relay), c.reclaim(d))
	c.refused(escrow.CodeSlotWindow, one(d.payer), c.open(d)) // the address is free, but its slot is too old for ever
	old := *d
	d.terms.OpenSlot = c.slot()
	c.place(d)
	if d.id == old.id {
		t.Fatal("a new slot gives a new address")
	}
	c.ok(one(d.payer), c.open(d))
	// old vouchers never meet new money
	c.refused(escrow.CodeWrongChannel, one(d.relay), old.voucherIx(400_000), c.record(d))
}

func TestLegs_Independent(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	// The payee's address has no lamports and the sum is below the rent minimum: only his leg fails.
	d := c.plan(1_000_000)
	d.payee = keyOf("an address without lamports")
	d.terms.Payee = pub(d.payee)
	c.place(d)
	c.ok(one(d.payer), c.open(d))
	if r := c.send(one(d.relay), d.voucherIx(1_000), c.claim(d)); r.err == "" {
		t.Error("a payee was left below the rent minimum")
	}
	c.ok(one(d.relay), d.voucherIx(1_000), c.record(d)) // the debt is kept all the same
	c.ok(one(d.payer), d.releaseMsg(1_000, time.Now().Unix()+600), c.releaseIx(d, pub(d.payer)))
	if r := c.send(one(d.relay), c.payPayee(d)); r.err == "" {
		t.Error("a payee was left below the rent minimum by pay_payee")
	}
	before := c.balance(pub(d.payer))
	c.ok(one(d.relay), c.payPayer(d))
	if got := c.balance(pub(d.payer)) - before; got != 999_000 {
		t.Errorf("the payer's leg moved %d", got)
	}
	c.refused(escrow.CodeLegsOpen, one(d.relay), c.reclaim(d))
	// Anybody heals it with lamports for the payee.
	c.ok(one(d.relay), transfer(pub(d.relay), pub(d.payee), 890_880), c.payPayee(d))
	if got := c.balance(pub(d.payee)); got != 891_880 {
		t.Errorf("payee holds %d", got)
	}
	// An address without lamports that gets the rent minimum at once is no special case.
	g := c.plan(1_000_000)
	g.payee = keyOf("another address without lamports")
	g.terms.Payee = pub(g.payee)
	c.place(g)
	c.ok(one(g.payer), c.open(g))
	c.ok(one(g.relay), g.voucherIx(890_880), c.claim(g))
	if got := c.balance(pub(g.payee)); got != 890_880 {
		t.Errorf("a new payee holds %d", got)
	}
	// A foreign payer_dest is refused; the owner of the money does not sign.
	e := c.opened(1_000_000)
	c.ok(one(e.payer), e.releaseMsg(1_000, time.Now().Unix()+600), c.releaseIx(e, pub(e.payer)))
	thief := c.funded()
	steal := c.payPayer(e)
	steal.metas[1].key = pub(thief)
	c.refused(escrow.CodeBadDestination, one(thief), steal)
	readOnly := c.payPayer(e)
	readOnly.metas[1].w = false
	c.refused(escrow.CodeNotWritable, one(thief), readOnly)
}

func TestArithmetic_Edges(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	for _, total := range []uint64{0, 1, 999_999, 1_000_000} {
		c.refused(escrow.CodeNotMonotonic, one(d.payer), c.topUp(d, total))
	}
	c.refused(1, one(d.payer), c.topUp(d, math.MaxUint64)) // System: not that much money
	if s := c.state(d.id); s.Deposit != 1_000_000 {
		t.Errorf("deposit %d", s.Deposit)
	}
	// The whole deposit, and nothing for the payer.
	c.ok(one(d.relay), d.voucherIx(1_000_000), c.claim(d))
	c.ok(one(d.payer), d.releaseMsg(1_000_000, time.Now().Unix()+600), c.releaseIx(d, pub(d.payer)), c.payPayer(d))
	if got := c.balance(d.id); got != rent384 {
		t.Errorf("channel holds %d", got)
	}
	// A Channel that lacks the lamports it owes (only the cheat can make one) pays nothing rather than less.
	e := c.opened(1_000_000)
	c.ok(one(e.relay), e.voucherIx(900_000), c.record(e))
	b, _ := c.data(e.id)
	c.setAccount(e.id, 899_999, b, c.Program)
	c.refused(escrow.CodeOverflow, one(e.relay), c.payPayee(e))
	// A payee whose balance cannot grow (the cheat again).
	f := c.opened(1_000_000)
	c.ok(one(f.relay), f.voucherIx(900_000), c.record(f))
	c.setAccount(pub(f.payee), math.MaxUint64-1_000, nil, systemProgram)
	c.refused(escrow.CodeOverflow, one(f.relay), c.payPayee(f))
}

// TestStolenKeys shows what a thief of one key can do: pay this payee, or ask to close; no money leaves for him.
func TestStolenKeys(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	thief := c.funded()
	stolen := c.claim(d)
	stolen.metas[2].key = pub(thief)
	c.refused(escrow.CodeBadDestination, one(thief), d.voucherIx(1_000), stolen)
	asThief := c.topUp(d, 5)
	asThief.metas[0].key = pub(thief)
	c.refused(escrow.CodeBadSigner, one(thief), asThief)
	for _, k := range []ed25519.PrivateKey{thief, d.release, d.payee} {
		c.refused(escrow.CodeBadSigner, one(thief, k), d.releaseMsg(0, time.Now().Unix()+600), c.releaseIx(d, pub(k)))
	}
	c.ok(one(thief, d.voucher), c.requestClose(d, pub(d.voucher)))
	c.ok(one(thief, d.voucher), d.releaseMsg(0, time.Now().Unix()+600), c.releaseIx(d, pub(d.voucher)), c.payPayer(d))
	if s := c.state(d.id); s.Refunded != 1_000_000 || s.PayerDest != d.terms.Payer {
		t.Errorf("refunded %d to %s", s.Refunded, s.PayerDest)
	}
}

// TestRaces lands claims, top-ups and older vouchers in one transaction and in any order: the watermark decides.
func TestRaces(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	c.refused(escrow.CodeOverDeposit, one(d.relay), d.voucherIx(1_500_000), c.claim(d))
	c.ok(one(d.payer), c.topUp(d, 1_500_000), d.voucherIx(1_500_000), c.claim(d))
	e := c.opened(1_000_000)
	start := c.balance(pub(e.payee))
	c.ok(one(e.relay), e.voucherIx(100), c.record(e), e.voucherIx(200), c.claim(e), e.voucherIx(300), c.record(e))
	if r := c.send(one(e.relay), e.voucherIx(400), c.claim(e), e.voucherIx(350),
		c.claim(e)); r.err != fmt.Sprintf("%d@3", escrow.CodeNotMonotonic) {
		t.Errorf("an older voucher after a newer one: %q", r.err)
	}
	s := c.state(e.id) // the transaction is atomic: 400 is undone
	if got := c.balance(pub(e.payee)) - start; got != 200 || s.Settled != 300 || s.Paid != 200 {
		t.Errorf("paid %d, settled %d, watermark %d", got, s.Settled, s.Paid)
	}
}
