package localnet_test

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

func address(t testing.TB, text string) addr {
	t.Helper()
	a, err := market.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return addr(a)
}

// TestOpen_PayeeThatCannotBePaid_Refused: a sysvar, a builtin, a precompile, a program, this one and what the runtime
// owns: a Channel to it would keep the payer's rent for ever. Nothing is spent but the fee.
func TestOpen_PayeeThatCannotBePaid_Refused(t *testing.T) {
	t.Parallel()
	root := newChain(t)
	owned := addr{7, 8}
	root.setAccount(owned, 1_000_000_000, nil, address(t, "Sysvar1111111111111111111111111111111111111"))
	native := addr{7, 9}
	root.setAccount(native, 1_000_000_000, nil, address(t, "NativeLoader1111111111111111111111111111111"))
	for name, c := range map[string]struct {
		payee addr
		code  uint32
	}{
		"instructions sysvar": {ixSysvar, escrow.CodeNotWritable},
		"clock sysvar":        {address(t, "SysvarC1ock11111111111111111111111111111111"), escrow.CodeNotWritable},
		"vote program":        {address(t, "Vote111111111111111111111111111111111111111"), escrow.CodeNotWritable},
		"compute budget":      {address(t, "ComputeBudget111111111111111111111111111111"), escrow.CodeNotWritable},
		"ed25519 precompile":  {ed25519Prog, escrow.CodeNotWritable},
		"this program":        {root.Program, escrow.CodeNotWritable},
		"a program": {address(t, "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
			escrow.CodeBadDestination},
		"owned by Sysvar":          {owned, escrow.CodeBadDestination},
		"owned by the native one":  {native, escrow.CodeBadDestination},
		"reserved, not on chain":   {address(t, "Feature111111111111111111111111111111111111"), escrow.CodeNotWritable},
		"System, named twice (R2)": {systemProgram, escrow.CodeDuplicateAccount},
	} {
		t.Run(name, func(t *testing.T) {
			d := root.with(t).plan(1_000_000)
			d.terms.Payee = market.Address(c.payee)
			root.with(t).place(d)
			x := root.open(d)
			x.metas[1].key = c.payee
			root.with(t).refused(c.code, one(d.payer), x)
			if got := root.balance(d.id); got != 0 {
				t.Errorf("the Channel holds %d", got)
			}
		})
	}
	// An address that does not exist yet, and one that another program owns, can be paid.
	fresh := root.plan(1_000_000)
	fresh.payee = keyOf("a payee without an account")
	fresh.terms.Payee = pub(fresh.payee)
	root.place(fresh)
	root.ok(one(fresh.payer), root.open(fresh))
	vault := root.plan(1_000_000)
	root.setAccount(pub(vault.payee), 1_000_000, []byte{1}, addr{9})
	root.ok(one(vault.payer), root.open(vault))
	readOnly := root.plan(1_000_000)
	x := root.open(readOnly)
	x.metas[1].w = false
	root.refused(escrow.CodeNotWritable, one(readOnly.payer), x)
}

// TestConsent_PayeeEndsForAPayerWhoIsGone: with the payee's Release at or below what is settled anybody seals, in Open
// and in Closing: the payee keeps what vouchers have proven and gets no lamport more, the payer gets all the rest and
// the rent, and nobody else had to sign.
func TestConsent_PayeeEndsForAPayerWhoIsGone(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	far := time.Now().Unix() + 600
	for _, final := range []uint64{0, 250_000, 300_000} {
		for _, closing := range []bool{false, true} {
			d := c.opened(1_000_000)
			c.ok(one(d.relay), d.voucherIx(300_000), c.record(d))
			if closing {
				c.ok(one(d.relay, d.voucher), c.requestClose(d, pub(d.voucher)))
			}
			payer, payee := c.balance(pub(d.payer)), c.balance(pub(d.payee))
			c.ok(one(d.relay), d.releaseMsg(final, far), c.consent(d), c.payPayee(d), c.payPayer(d))
			c.wantBalances(d, "consent", payer+700_000, payee+300_000, rent384)
			if s := c.state(d.id); s.Status != escrow.StatusSealed || s.Settled != 300_000 {
				t.Errorf("final %d: sealed as %+v", final, s)
			}
			// what he did not settle he has given up
			c.refused(escrow.CodeBadStatus, one(d.relay), d.voucherIx(400_000), c.record(d))
			c.refused(escrow.CodeBadStatus, one(d.relay), d.releaseMsg(final, far), c.consent(d))
		}
	}
}

func TestConsent_Refusals(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	far := time.Now().Unix() + 600
	d, other := c.opened(1_000_000), c.opened(1_000_000)
	c.ok(one(d.relay), d.voucherIx(300_000), c.record(d))
	// a Release alone proves no debt
	c.refused(escrow.CodeOverSettled, one(d.relay), d.releaseMsg(300_001, far), c.consent(d))
	c.refused(escrow.CodeOverSettled, one(d.relay), d.releaseMsg(1<<64-1, far), c.consent(d))
	c.refused(escrow.CodeWrongChannel, one(d.relay), other.releaseMsg(0, far), c.consent(d))
	c.refused(escrow.CodeWrongSigner, one(d.relay), signed(d.payer, message(0x52, d.id, 0, far)), c.consent(d))
	// the payout key is not asked
	c.refused(escrow.CodeWrongSigner, one(d.relay), signed(d.payee, message(0x52, d.id, 0, far)), c.consent(d))
	c.refused(escrow.CodeWrongSigner, one(d.relay), signed(d.voucher, message(0x52, d.id, 0, far)), c.consent(d))
	// no voucher is a consent
	c.refused(escrow.CodeBadMagic, one(d.relay), signed(d.release, message(0x56, d.id, 0, far)), c.consent(d))
	c.refused(escrow.CodeExpired, one(d.relay), d.releaseMsg(0, 0), c.consent(d))
	c.refused(escrow.CodeExpired, one(d.relay), d.releaseMsg(0, -1), c.consent(d))
	c.refused(escrow.CodeExpired, one(d.relay), d.releaseMsg(0, time.Now().Unix()-60), c.consent(d))
	c.refused(escrow.CodeNoSignature, one(d.relay), c.consent(d))
	if s := c.state(d.id); s.Status != escrow.StatusOpen || s.Settled != 300_000 {
		t.Errorf("refused, yet %+v", s)
	}
	// A Channel without a release key takes none: 32 zero bytes are a key of low order.
	zero := c.plan(1_000_000)
	zero.terms.ReleaseKey = [32]byte{}
	c.place(zero)
	c.ok(one(zero.payer), c.open(zero))
	c.refused(escrow.CodeWrongSigner, one(zero.relay), zero.releaseMsg(0, far), c.consent(zero))
	c.refused(escrow.CodeWrongSigner, one(zero.relay), c.consent(zero)) // before any message is looked at
}

// TestTopUp_IsATotal: what lands twice lands once; a lower total and the same one add nothing.
func TestTopUp_IsATotal(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	c.ok(one(d.payer), c.topUp(d, 1_500_000))
	before := c.balance(pub(d.payer))
	for _, total := range []uint64{1_500_000, 1_499_999, 1} {
		// other bytes each time
		c.refused(escrow.CodeNotMonotonic, one(d.payer, d.relay), transfer(pub(d.relay), pub(d.payer), total),
			c.topUp(d, total))
	}
	if s := c.state(d.id); s.Deposit != 1_500_000 || c.balance(d.id) != rent384+1_500_000 {
		t.Errorf("deposit %d, channel holds %d", s.Deposit, c.balance(d.id))
	}
	if got := before - c.balance(pub(d.payer)); got != 3*2*fee {
		t.Errorf("three repeats cost %d, want their fees", got)
	}
	c.ok(one(d.payer), c.topUp(d, 1_500_001))
	if s := c.state(d.id); s.Deposit != 1_500_001 {
		t.Errorf("deposit %d", s.Deposit)
	}
}

// TestSeal_AtTheDeadline: one second before it is too early, at it it is not.
func TestSeal_AtTheDeadline(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	c.must(nil, "test_setClock", time.Now().Unix()+100)
	c.ok(one(d.payer), c.requestClose(d, pub(d.payer)))
	deadline := c.state(d.id).Deadline
	c.must(nil, "test_setClock", deadline-1) // the next transaction is in this slot
	c.refused(escrow.CodeTooEarly, one(d.relay), c.seal(d))
	c.must(nil, "test_setClock", deadline)
	c.ok(one(d.relay), c.seal(d))
}

// TestOpen_StoresTheSlotThatItNames, not the one that it came in.
func TestOpen_StoresTheSlotThatItNames(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.plan(1_000_000)
	c.must(nil, "test_warp", 500)
	c.ok(one(d.payer), c.open(d))
	if s := c.state(d.id); s.OpenSlot != d.terms.OpenSlot || c.slot() < s.OpenSlot+500 {
		t.Errorf("open slot %d, want %d; the slot is %d", s.OpenSlot, d.terms.OpenSlot, c.slot())
	}
}

// TestRent_ThresholdOfTwo: a cluster before SIMD-0194 keeps the rate per byte-year and a threshold of 2.
func TestRent_ThresholdOfTwo(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	for _, v := range []struct{ perByte, threshold, want uint64 }{{3_480, 2, rent384}, {6_960, 1, rent384},
		{696, 1, rent384 / 10}, {500, 2, 512_000}} {
		d := c.plan(1_000_000)
		c.must(nil, "test_setRent", v.perByte, v.threshold)
		c.ok(one(d.payer), c.open(d))
		if got := c.balance(d.id); got != v.want+1_000_000 {
			t.Errorf("%d per byte and threshold %d: the Channel holds %d, want %d and the deposit", v.perByte,
				v.threshold, got-1_000_000, v.want)
		}
	}
}
